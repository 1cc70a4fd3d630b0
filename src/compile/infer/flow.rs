//! Nodes with subgraphs: `If`, `Loop` and `Scan`.

use rten_shape_inference::SymbolGen;

use super::cx::{Cx, resolve};
use super::dim::unify;
use super::elementwise::shape_of;
use super::graph_at;
use super::table::Known;
use crate::error::{Error, Result};
use crate::graph::{Attr, DataType, Dim, Facts, Graph, Node, NodeId, ValueId};

/// How often the shapes that a loop carries are widened before they count as unknown.
const MOST_ROUNDS: usize = 3;

/// Loops nested deeper carry values of unknown shape, so that the work stays bounded.
const MOST_NESTED: usize = 3;

/// Infers the subgraphs of a node, with what is known of the values around them.
///
/// # Errors
/// When a subgraph is contradictory.
pub fn enter(
    graph: &mut Graph,
    id: NodeId,
    opset: i64,
    symbols: &mut SymbolGen,
    depth: usize,
) -> Result<()> {
    if graph.node(id).subgraphs().next().is_none() {
        return Ok(());
    }
    let scanned = Scanned::of(graph.node(id))?;
    let mut attributes = std::mem::take(&mut graph.node_mut(id).attributes);
    let mut result = Ok(());
    for attribute in &mut attributes {
        let bodies = match &mut attribute.value {
            Attr::Graph(body) => std::slice::from_mut(&mut **body),
            Attr::Graphs(bodies) => bodies,
            _ => continue,
        };
        for body in bodies {
            bind_captures(graph, body);
            let first = first_inputs(graph, graph.node(id), body, &scanned);
            result = result.and_then(|()| match first {
                Ok(first) => settle(body, &first, opset, symbols, depth),
                Err(error) => Err(error),
            });
        }
    }
    graph.node_mut(id).attributes = attributes;
    result
}

/// Gives the values that `body` takes from around it what is known of them there.
fn bind_captures(graph: &Graph, body: &mut Graph) {
    for id in body.free_values() {
        if let Some(outer) = graph.find(&body.value(id).name) {
            let (dtype, facts) = (graph.value(outer).dtype, graph.value(outer).facts.clone());
            let value = body.value_mut(id);
            (value.dtype, value.facts) = (dtype, facts);
        }
    }
}

/// An input of a loop's body, as the first round finds it.
struct First {
    input: ValueId,
    dtype: Option<DataType>,
    facts: Facts,
    /// The output that the next round finds it as.
    next: Option<ValueId>,
}

fn first_inputs(graph: &Graph, node: &Node, body: &Graph, scanned: &Scanned) -> Result<Vec<First>> {
    let scalar = |dtype| (Some(dtype), Facts::from_shape(vec![]));
    let outer = |index: usize| match node.input(index) {
        Some(id) => (graph.value(id).dtype, shape_of(&graph.value(id).facts)),
        None => (None, Facts::unknown("an input is left out")),
    };
    let states = match node.op.as_str() {
        _ if !node.is_standard() => return Ok(vec![]),
        "Loop" => node.inputs.len().saturating_sub(2),
        "Scan" => scanned.states,
        _ => return Ok(vec![]),
    };
    let mut list = Vec::new();
    for (i, &input) in body.inputs.iter().enumerate() {
        let ((dtype, facts), next) = match (node.op.as_str(), i) {
            ("Loop", 0) => (scalar(DataType::I64), None),
            ("Loop", 1) => (scalar(DataType::Bool), None),
            ("Loop", i) if i - 2 < states => (outer(i), body.outputs.get(i - 1).copied()),
            ("Scan", i) if i < states => (outer(i), body.outputs.get(i).copied()),
            ("Scan", i) => {
                let (dtype, facts) = outer(i);
                ((dtype, without(&facts, scanned.axis(i))?), None)
            }
            _ => continue,
        };
        list.push(First { input, dtype, facts, next });
    }
    Ok(list)
}

/// Which inputs of a `Scan` are taken apart, and along which axes.
struct Scanned {
    /// The number of inputs before them, which are states.
    states: usize,
    axes: Vec<i64>,
}

impl Scanned {
    fn of(node: &Node) -> Result<Self> {
        let count = node.int("num_scan_inputs")?.and_then(|n| usize::try_from(n).ok());
        Ok(Self {
            states: node.inputs.len().saturating_sub(count.unwrap_or_default()),
            axes: node.ints("scan_input_axes")?.unwrap_or_default().to_vec(),
        })
    }

    /// The axis that input `index` of the node is taken apart along.
    fn axis(&self, index: usize) -> i64 {
        self.axes.get(index - self.states).copied().unwrap_or(0)
    }
}

fn without(facts: &Facts, axis: i64) -> Result<Facts> {
    let Some(dims) = facts.shape() else { return Ok(facts.clone()) };
    let mut dims: Vec<Dim> = dims.collect();
    dims.remove(resolve(axis, dims.len())?);
    Ok(Facts::from_shape(dims))
}

/// Infers a body until the shapes it carries from round to round no longer change: a dimension
/// that does becomes a symbol of its own, a changing rank makes the shape unknown.
fn settle(
    body: &mut Graph,
    first: &[First],
    opset: i64,
    symbols: &mut SymbolGen,
    depth: usize,
) -> Result<()> {
    for entry in first {
        let value = body.value_mut(entry.input);
        value.dtype = entry.dtype.or(value.dtype);
        value.facts = match (&entry.next, depth >= MOST_NESTED) {
            (Some(_), true) => Facts::unknown("the loop is nested too deep").into(),
            _ => entry.facts.clone().into(),
        };
    }
    for round in 0.. {
        graph_at(body, opset, symbols, depth + 1)?;
        let mut changed = false;
        for entry in first {
            let Some(next) = entry.next else { continue };
            let now = &body.value(entry.input).facts;
            let wide = match round < MOST_ROUNDS {
                true => widen(now, &entry.facts, &body.value(next).facts, symbols),
                false => Facts::unknown("the loop changes the shape"),
            };
            if wide != **now && now.ndim().is_some() {
                changed = true;
                body.value_mut(entry.input).facts = wide.into();
            }
        }
        if !changed {
            break;
        }
    }
    Ok(())
}

/// The facts `now` of a carried value, with symbols for dimensions that are not the same in the
/// `first` and the `next` round.
fn widen(now: &Facts, first: &Facts, next: &Facts, symbols: &mut SymbolGen) -> Facts {
    let (Some(now), Some(first), Some(next)) = (now.shape(), first.shape(), next.shape()) else {
        return Facts::unknown("the loop changes the shape");
    };
    if now.len() != next.len() {
        return Facts::unknown("the loop changes the rank");
    }
    let dims = now.zip(first).zip(next).map(|((now, first), next)| {
        let fixed = now == first && now != next;
        if fixed { symbols.gen_positive() } else { now }
    });
    Facts::from_shape(dims.collect())
}

/// What the subgraphs of an `If`, `Loop` or `Scan` say of its outputs; `None` for other operators.
///
/// # Errors
/// When a body is missing or does not fit the node.
pub fn outputs(cx: &mut Cx) -> Result<Option<Known>> {
    match cx.node.op.as_str() {
        _ if !cx.node.is_standard() => Ok(None),
        "If" => branches(cx).map(Some),
        "Loop" => rounds(cx).map(Some),
        "Scan" => scan(cx).map(Some),
        _ => Ok(None),
    }
}

fn body<'a>(cx: &Cx<'a>, name: &str) -> Result<&'a Graph> {
    match cx.node.attr(name) {
        Some(Attr::Graph(body)) => Ok(body),
        _ => Err(Error::unreadable(format!("attribute '{name}' is no graph"))),
    }
}

fn branches(cx: &mut Cx) -> Result<Known> {
    let (a, b) = (body(cx, "then_branch")?, body(cx, "else_branch")?);
    let mut known = Known::default();
    for (&x, &y) in a.outputs.iter().zip(&b.outputs) {
        let (x, y) = (a.value(x), b.value(y));
        known.0.push(join(cx, &x.facts, &y.facts));
        known.1.push(x.dtype.filter(|_| x.dtype == y.dtype).or(x.dtype.xor(y.dtype)));
    }
    Ok(known)
}

/// What is true of both `a` and `b`.
fn join(cx: &mut Cx, a: &Facts, b: &Facts) -> Facts {
    if a == b {
        return a.clone();
    }
    match (a.shape(), b.shape()) {
        (Some(a), Some(b)) if a.len() == b.len() => {
            Facts::from_shape(a.zip(b).map(|(a, b)| if a == b { a } else { cx.fresh() }).collect())
        }
        _ => Facts::unknown("the branches differ in rank"),
    }
}

/// The state that a loop ends with, where `index` is the node's input, `inner` the body's input
/// and `last` the body's output for it.
fn carried(cx: &mut Cx, body: &Graph, index: usize, inner: usize, last: usize, known: &mut Known) {
    let find = |list: &[ValueId], i: usize| list.get(i).map(|&id| body.value(id));
    let (inner, last) = (find(&body.inputs, inner), find(&body.outputs, last));
    let first = cx.facts(index).map(shape_of);
    let facts = match (first, inner, last) {
        (Some(first), Some(inner), Some(last)) => {
            let inside = join(cx, &shape_of(&inner.facts), &shape_of(&last.facts));
            join(cx, &first, &inside)
        }
        _ => Facts::unknown("the loop's body does not fit"),
    };
    known.0.push(facts);
    known.1.push(last.and_then(|value| value.dtype).or(cx.dtype(index)));
}

/// A stack of what every round gives: `length` inserted at `axis`.
fn stacked(body: &Graph, output: usize, axis: i64, length: Dim, known: &mut Known) -> Result<()> {
    let value = body.outputs.get(output).map(|&id| body.value(id));
    known.1.push(value.and_then(|value| value.dtype));
    known.0.push(match value.and_then(|value| value.dims()) {
        None => Facts::unknown("what a round gives has no known shape"),
        Some(mut dims) => {
            dims.insert(resolve(axis, dims.len() + 1)?, length);
            Facts::from_shape(dims)
        }
    });
    Ok(())
}

fn rounds(cx: &mut Cx) -> Result<Known> {
    let body = body(cx, "body")?;
    let states = cx.node.inputs.len().saturating_sub(2);
    let mut known = Known::default();
    for i in 0..states {
        carried(cx, body, i + 2, i + 2, i + 1, &mut known);
    }
    let length = cx.fresh();
    for i in states + 1..body.outputs.len() {
        stacked(body, i, 0, length.clone(), &mut known)?;
    }
    Ok(known)
}

fn scan(cx: &mut Cx) -> Result<Known> {
    let body = body(cx, "body")?;
    let scanned = Scanned::of(cx.node)?;
    let states = scanned.states;
    let mut known = Known::default();
    for i in 0..states {
        carried(cx, body, i, i, i, &mut known);
    }
    let mut length = cx.fresh();
    for i in states..cx.node.inputs.len() {
        let Some(dims) = cx.dims(i)? else { continue };
        let axis = resolve(scanned.axis(i), dims.len())?;
        length = unify(&length, &dims[axis])
            .ok_or_else(|| Error::unreadable("the scanned inputs differ in length"))?;
    }
    let axes = cx.node.ints("scan_output_axes")?.unwrap_or_default();
    for i in states..body.outputs.len() {
        let axis = axes.get(i - states).copied().unwrap_or(0);
        stacked(body, i, axis, length.clone(), &mut known)?;
    }
    Ok(known)
}
