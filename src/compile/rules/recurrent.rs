//! RNN, GRU and LSTM as scans over their cells.
//!
//! With `p = x_t·Wᵀ + b` made for all steps at once and `q = h·Rᵀ`, a step is
//!
//! * RNN: `h' = f(p + q)`;
//! * GRU: `z, r = f(p + q)`, `n = g(p + (r ⊙ h)·Rᵀ + b)` or `g(p + r ⊙ (h·Rᵀ + b))`,
//!   `h' = (1 − z) ⊙ n + z ⊙ h`;
//! * LSTM: `i, o, f = f(p + q + P ⊙ c)`, `c' = f ⊙ c + i ⊙ g(p + q)`, `h' = o ⊙ h(c')`.
//!
//! The operator itself stays; its change is that of the scan.

use super::Inputs::Only;
use super::{Entry, Rule};
use crate::compile::build::{Emit, Expr};
use crate::compile::linear::capture;
use crate::error::{Error, Result};
use crate::graph::{Attr, Dim, Graph, fixed};

pub(super) const RULES: &[Entry] = &[
    Entry::smooth("RNN", Only(&[0, 1, 2, 3, 5]), |cx| recurrent(cx, &RNN)),
    Entry::smooth("GRU", Only(&[0, 1, 2, 3, 5]), |cx| recurrent(cx, &GRU)),
    Entry::smooth("LSTM", Only(&[0, 1, 2, 3, 5, 6, 7]), |cx| recurrent(cx, &LSTM)),
];

/// A kind of cell.
struct Kind {
    gates: usize,
    activations: &'static [&'static str],
    /// Whether there is a second state.
    memory: bool,
    step: for<'b> fn(&Cell<'_, 'b>) -> Result<Vec<Expr<'b>>>,
}

const RNN: Kind = Kind { gates: 1, activations: &["Tanh"], memory: false, step: rnn };
const GRU: Kind = Kind { gates: 3, activations: &["Sigmoid", "Tanh"], memory: false, step: gru };
const LSTM: Kind =
    Kind { gates: 4, activations: &["Sigmoid", "Tanh", "Tanh"], memory: true, step: lstm };

/// An activation with its parameters.
struct Activation {
    name: String,
    alpha: Option<f32>,
    beta: Option<f32>,
}

/// One step: values of the body of the scan.
struct Cell<'c, 'b> {
    activations: &'c [Activation],
    clip: Option<f32>,
    input_forget: bool,
    linear_before_reset: bool,
    hidden: Dim,
    /// `x·Wᵀ` with the biases that can be added to it, `[N, gates·H]`.
    projected: Expr<'b>,
    /// The states `[N, H]`.
    h: Expr<'b>,
    c: Option<Expr<'b>>,
    /// `Rᵀ`, `[H, gates·H]`.
    recurrence: Expr<'b>,
    /// The last gate's recurrent bias, where it is not in `projected`.
    inner_bias: Option<Expr<'b>>,
    peepholes: Option<Expr<'b>>,
}

impl<'b> Cell<'_, 'b> {
    /// Gate `index` of several side by side in the last axis.
    fn gate(&self, all: Expr<'b>, index: usize) -> Expr<'b> {
        let at = |i: usize| (Dim::Value(i as i32) * self.hidden.clone()).simplify();
        let mut dims = all.dims();
        let last = dims.len() - 1;
        dims[last] = self.hidden.clone();
        all.slice(last, &at(index), &at(index + 1)).assume(&dims)
    }

    /// Activation `index` of a gate.
    fn act(&self, index: usize, x: Expr<'b>) -> Result<Expr<'b>> {
        let x = match self.clip {
            Some(clip) => {
                x.e.op("Clip", &[x, x.number(f64::from(-clip)), x.number(clip.into())], &[])
            }
            None => x,
        };
        self.function(index, x)
    }

    /// Activation `index` without the clip.
    fn function(&self, index: usize, x: Expr<'b>) -> Result<Expr<'b>> {
        let Activation { name, alpha, beta } = &self.activations[index];
        let given = |value: &Option<f32>, default: Option<f32>| {
            value.or(default).ok_or_else(|| {
                Error::unreadable(format!("activation {name} needs activation_alpha and _beta"))
            })
        };
        let with = |attributes: &[(&str, f32)]| {
            let list: Vec<_> = attributes.iter().map(|&(n, v)| (n, Attr::Float(v))).collect();
            x.e.op(name, &[x], &list)
        };
        Ok(match name.as_str() {
            "Relu" | "Tanh" | "Sigmoid" | "Softsign" | "Softplus" => x.unary(name),
            "LeakyRelu" => with(&[("alpha", given(alpha, Some(0.01))?)]),
            "Elu" | "ThresholdedRelu" => with(&[("alpha", given(alpha, Some(1.0))?)]),
            "HardSigmoid" => {
                with(&[("alpha", given(alpha, Some(0.2))?), ("beta", given(beta, Some(0.5))?)])
            }
            "Affine" => x * f64::from(given(alpha, None)?) + f64::from(given(beta, None)?),
            "ScaledTanh" => {
                (x * f64::from(given(beta, None)?)).unary("Tanh") * f64::from(given(alpha, None)?)
            }
            _ => return Err(Error::unreadable(format!("there is no activation '{name}'"))),
        })
    }
}

fn rnn<'b>(cell: &Cell<'_, 'b>) -> Result<Vec<Expr<'b>>> {
    let q = cell.h.binary("MatMul", cell.recurrence);
    Ok(vec![cell.act(0, cell.projected + q)?])
}

fn gru<'b>(cell: &Cell<'_, 'b>) -> Result<Vec<Expr<'b>>> {
    let (p, h) = (cell.projected, cell.h);
    let q = |gate: usize, h: Expr<'b>| h.binary("MatMul", cell.gate(cell.recurrence, gate));
    let z = cell.act(0, cell.gate(p, 0) + q(0, h))?;
    let r = cell.act(0, cell.gate(p, 1) + q(1, h))?;
    let biased = |x: Expr<'b>| cell.inner_bias.map_or(x, |bias| x + bias);
    let inner = match cell.linear_before_reset {
        true => r * biased(q(2, h)),
        false => biased(q(2, r * h)),
    };
    let n = cell.act(1, cell.gate(p, 2) + inner)?;
    Ok(vec![(z.number(1.0) - z) * n + z * h])
}

fn lstm<'b>(cell: &Cell<'_, 'b>) -> Result<Vec<Expr<'b>>> {
    let c = cell.c.ok_or_else(|| Error::internal("an LSTM without its second state"))?;
    let sum = cell.projected + cell.h.binary("MatMul", cell.recurrence);
    let seen = |gate: usize, peephole: usize, c: Expr<'b>| {
        let x = cell.gate(sum, gate);
        cell.peepholes.map_or(x, |all| x + cell.gate(all, peephole) * c)
    };
    let i = cell.act(0, seen(0, 0, c))?;
    let f = match cell.input_forget {
        true => i.number(1.0) - i,
        false => cell.act(0, seen(2, 2, c))?,
    };
    let next = f * c + i * cell.act(1, cell.gate(sum, 3))?;
    let o = cell.act(0, seen(1, 1, next))?;
    Ok(vec![o * cell.function(2, next)?, next])
}

/// What an operator says of its directions.
struct Layout {
    directions: Vec<bool>,
    batch_first: bool,
    hidden: Dim,
}

/// An optional input: vectors of biases or peepholes, or states, of each direction.
fn by_direction<'e>(cx: &Rule<'e>, index: usize) -> Result<Expr<'e>> {
    let (x, rank) = (cx.x(index)?, if matches!(index, 3 | 7) { 2 } else { 3 });
    if x.rank() == rank {
        return Ok(x);
    }
    let what = format!("input {index} has rank {}, {rank} is needed", x.rank());
    Err(Error::unreadable(what))
}

/// Part `d` of the first axis, which vanishes.
fn part(x: Expr<'_>, d: usize) -> Expr<'_> {
    let dims = x.dims();
    let at = |i: usize| Dim::Value(i as i32);
    let cut = x.slice(0, &at(d), &at(d + 1));
    cut.reshape(&dims[1..])
}

fn recurrent(cx: &Rule, kind: &Kind) -> Result<()> {
    let layout = layout(cx, kind)?;
    let functions = activations(cx, kind, layout.directions.len())?;
    let mut x = cx.x(0)?;
    if layout.batch_first {
        x = x.transpose(&[1, 0, 2]);
    }
    let mut sides = Vec::new();
    for (d, functions) in functions.chunks(kind.activations.len()).enumerate() {
        sides.push(direction(cx, kind, &layout, d, functions, x)?);
    }
    let whole = |i: usize, axis: i64| {
        let parts: Vec<_> = sides.iter().map(|side| side[i].unsqueeze(&[axis])).collect();
        Expr::concat(&parts, axis as usize)
    };
    let states = 1 + usize::from(kind.memory);
    for output in (0..=states).filter(|&i| cx.node.output(i).is_some()) {
        let y = match (output, layout.batch_first) {
            (0, false) => whole(states, 1),
            (0, true) => whole(states, 1).transpose(&[2, 0, 1, 3]),
            (i, false) => whole(i - 1, 0),
            (i, true) => whole(i - 1, 0).transpose(&[1, 0, 2]),
        };
        if let Some(change) = cx.maybe_through(y)? {
            cx.emit(output, change);
        }
    }
    Ok(())
}

fn layout(cx: &Rule, kind: &Kind) -> Result<Layout> {
    let directions = match cx.node.text("direction")?.unwrap_or("forward") {
        "forward" => vec![false],
        "reverse" => vec![true],
        "bidirectional" => vec![false, true],
        other => return Err(Error::unreadable(format!("there is no direction '{other}'"))),
    };
    let (x, w, r) = (cx.x(0)?, cx.x(1)?.dims(), cx.x(2)?.dims());
    let count = Dim::Value(directions.len() as i32);
    let same = |a: &Dim, b: &Dim| fixed(a).zip(fixed(b)).is_none_or(|(a, b)| a == b);
    let fits = x.rank() == 3
        && w.len() == 3
        && r.len() == 3
        && same(&w[0], &count)
        && same(&r[0], &count)
        && same(&w[1], &r[1])
        && same(&r[1], &(Dim::Value(kind.gates as i32) * r[2].clone()).simplify());
    if !fits {
        return Err(Error::unreadable(format!(
            "the weights {w:?} and {r:?} do not fit the operator and its input {:?}",
            x.dims()
        )));
    }
    let batch_first = cx.node.int("layout")?.unwrap_or(0) == 1;
    Ok(Layout { directions, batch_first, hidden: r[2].clone() })
}

/// The activations of every direction, one after another.
fn activations(cx: &Rule, kind: &Kind, directions: usize) -> Result<Vec<Activation>> {
    let count = kind.activations.len() * directions;
    let names: Vec<String> = match cx.node.attr("activations") {
        None => kind.activations.iter().cycle().take(count).map(|&n| n.to_owned()).collect(),
        Some(Attr::Strings(list)) => {
            list.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
        }
        Some(_) => return Err(Error::unreadable("attribute 'activations' is no list of texts")),
    };
    if names.len() != count {
        let what = format!("{} activations are named, {count} are needed", names.len());
        return Err(Error::unreadable(what));
    }
    let floats = |name: &str| match cx.node.attr(name) {
        None => Ok(Vec::new()),
        Some(Attr::Floats(list)) => Ok(list.clone()),
        Some(_) => Err(Error::unreadable(format!("attribute '{name}' is no list of floats"))),
    };
    // Parameters stand one after another for those activations that have them.
    let (mut alphas, mut betas) =
        (floats("activation_alpha")?.into_iter(), floats("activation_beta")?.into_iter());
    let two = ["Affine", "HardSigmoid", "ScaledTanh"];
    let one = ["Elu", "LeakyRelu", "ThresholdedRelu"];
    let read = |name: String| {
        let name = canonical(&name);
        let alpha = [&two[..], &one].concat().contains(&name.as_str()).then(|| alphas.next());
        let beta = two.contains(&name.as_str()).then(|| betas.next());
        Activation { name, alpha: alpha.flatten(), beta: beta.flatten() }
    };
    Ok(names.into_iter().map(read).collect())
}

/// The name as the standard spells it: exporters write all of them in lower case too.
fn canonical(name: &str) -> String {
    const NAMES: [&str; 11] = [
        "Affine",
        "Elu",
        "HardSigmoid",
        "LeakyRelu",
        "Relu",
        "ScaledTanh",
        "Sigmoid",
        "Softplus",
        "Softsign",
        "Tanh",
        "ThresholdedRelu",
    ];
    let same = NAMES.iter().find(|known| known.eq_ignore_ascii_case(name));
    same.map_or(name, |known| known).to_owned()
}

/// `from..to` of a vector.
fn cut<'e>(x: Expr<'e>, from: &Dim, to: &Dim) -> Expr<'e> {
    let size = (to.clone() - from.clone()).simplify();
    x.slice(0, from, to).assume(&[size])
}

/// The size of `count` gates.
fn gates(count: usize, hidden: &Dim) -> Dim {
    (Dim::Value(count as i32) * hidden.clone()).simplify()
}

/// The biases of the input and of the state.
fn halves<'e>(bias: Expr<'e>, kind: &Kind, hidden: &Dim) -> (Expr<'e>, Expr<'e>) {
    let (half, whole) = (gates(kind.gates, hidden), gates(2 * kind.gates, hidden));
    (cut(bias, &Dim::Value(0), &half), cut(bias, &half, &whole))
}

/// The bias with zeros for its last gate, and that gate's.
fn last_gate<'e>(bias: Expr<'e>, kind: &Kind, hidden: &Dim) -> (Expr<'e>, Expr<'e>) {
    let (kept, whole) = (gates(kind.gates - 1, hidden), gates(kind.gates, hidden));
    let last = cut(bias, &kept, &whole);
    let zeros = Expr::zeros(bias.e, bias.dtype(), &last.dims());
    (Expr::concat(&[cut(bias, &Dim::Value(0), &kept), zeros], 0), last)
}

/// The last states of one direction, and the sequence `[T, N, H]` of the first.
fn direction<'e>(
    cx: &Rule<'e>,
    kind: &Kind,
    layout: &Layout,
    d: usize,
    activations: &[Activation],
    x: Expr<'e>,
) -> Result<Vec<Expr<'e>>> {
    let e = cx.e;
    let given = |i: usize| cx.node.input(i).map(|_| by_direction(cx, i)).transpose();
    let [length, batch] = [0, 1].map(|axis| x.dims()[axis].clone());
    let lengths = cx.node.input(4).map(|_| cx.raw(4)).transpose()?;
    let backward = layout.directions[d];
    let turned = |x: Expr<'e>| match (lengths.filter(|_| backward), backward) {
        (Some(lengths), _) => {
            let lengths = lengths.cast(crate::graph::DataType::I64);
            let axes = [("batch_axis", Attr::Int(1)), ("time_axis", Attr::Int(0))];
            e.op("ReverseSequence", &[x, lengths], &axes)
        }
        (None, _) => x,
    };
    let weights = part(cx.x(1)?, d).transpose(&[1, 0]);
    let mut projected = turned(x).binary("MatMul", weights);
    let linear_before_reset =
        kind.gates == 3 && cx.node.int("linear_before_reset")?.unwrap_or(0) == 1;
    let mut inner_bias = None;
    if let Some(bias) = given(3)? {
        let (own, recurrent) = halves(part(bias, d), kind, &layout.hidden);
        projected = projected + own;
        if linear_before_reset {
            let (outer, inner) = last_gate(recurrent, kind, &layout.hidden);
            projected = projected + outer;
            inner_bias = Some(inner);
        } else {
            projected = projected + recurrent;
        }
    }
    let start = |i: usize| -> Result<Expr<'e>> {
        let dims = [batch.clone(), layout.hidden.clone()];
        Ok(match given(i)? {
            Some(x) if layout.batch_first => part(x.transpose(&[1, 0, 2]), d),
            Some(x) => part(x, d),
            None => Expr::zeros(e, x.dtype(), &dims),
        })
    };
    let mut states = vec![start(5)?];
    if kind.memory {
        states.push(start(6)?);
    }
    let peepholes = if kind.memory { given(7)?.map(|p| part(p, d)) } else { None };
    let going = lengths.map(|lengths| {
        let steps = e.range(&length).reshape(&[length.clone(), Dim::Value(1), Dim::Value(1)]);
        let lengths = lengths.cast(crate::graph::DataType::I64);
        steps.binary("Less", lengths.reshape(&[batch.clone(), Dim::Value(1)]))
    });
    let recurrence = part(cx.x(2)?, d).transpose(&[1, 0]);

    let b = e.nested(Graph::new("cell"), "step");
    let around = |x: Option<Expr<'e>>| x.map(|x| capture(&b, e, x.id));
    let inside: Vec<_> = states.iter().map(|state| b.element("state", *state, None)).collect();
    let cell = Cell {
        activations,
        clip: cx.node.float("clip")?,
        input_forget: cx.node.int("input_forget")?.unwrap_or(0) == 1,
        linear_before_reset,
        hidden: layout.hidden.clone(),
        projected: b.element("x", projected, Some(0)),
        h: inside[0],
        c: inside.get(1).copied(),
        recurrence: capture(&b, e, recurrence.id),
        inner_bias: around(inner_bias),
        peepholes: around(peepholes),
    };
    let next = (kind.step)(&cell)?;
    let on = going.map(|going| b.element("going", going, Some(0)));
    write_results(&b, &inside, &next, on);
    let body = b.finish()?;

    let mut inputs: Vec<_> = states.iter().map(|state| Some(state.id)).collect();
    inputs.push(Some(projected.id));
    inputs.extend(going.map(|going| Some(going.id)));
    let against = i64::from(backward && lengths.is_none());
    let sequences = 1 + usize::from(going.is_some());
    let attributes = vec![
        ("body", Attr::Graph(Box::new(body))),
        ("num_scan_inputs", Attr::Int(sequences as i64)),
        ("scan_input_directions", vec![against; sequences].into()),
        ("scan_output_directions", vec![against].into()),
    ];
    let mut results = e.control("Scan", inputs, attributes, states.len() + 1);
    let y = results.pop().ok_or_else(|| Error::internal("a scan without outputs"))?;
    results.push(turned(y));
    Ok(results)
}

/// The next states and the element of the sequence; past a sequence's end states stay and the
/// element is 0.
fn write_results<'b>(b: &'b Emit, old: &[Expr<'b>], next: &[Expr<'b>], on: Option<Expr<'b>>) {
    let kept = |(old, next): (&Expr<'b>, &Expr<'b>)| match on {
        Some(on) => next.where_(on, *old),
        None => *next,
    };
    for state in old.iter().zip(next).map(kept) {
        b.result("state", state);
    }
    let y = match on {
        Some(on) => next[0].where_(on, next[0].number(0.0)),
        None => next[0],
    };
    b.result("y", y);
}

#[cfg(test)]
mod tests;
