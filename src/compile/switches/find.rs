//! The operators that switch, and those that do without telling where.

use std::collections::HashSet;

use super::{Kind, Levels, Switch, Winners, winners};
use crate::compile::build::{Emit, Expr};
use crate::compile::linear::{Samples, VarId};
use crate::compile::linearise::Linearised;
use crate::compile::rules;
use crate::error::{Error, Result};
use crate::graph::{Dim, Node, NodeId, ValueId};
use winners::{Field, Windows};

/// Operators whose result depends on the shape of the input alone.
const OF_SHAPES: &[&str] = &["Shape", "Size", "EyeLike", "RandomNormalLike", "RandomUniformLike"];
/// Curved operators whose slope jumps at most where a norm is 0 or the argument ends.
const CURVED: &[&str] = &[
    "Sqrt",
    "Pow",
    "ReduceL2",
    "LpPool",
    "GlobalLpPool",
    "LpNormalization",
    "Asin",
    "Acos",
    "Acosh",
    "Atanh",
    "Log",
    "Reciprocal",
    "MeanVarianceNormalization",
];
/// Operators with activation functions inside.
const RECURRENT: &[&str] = &["RNN", "GRU", "LSTM"];

/// Every switch on the way to `layer`, in the order of the graph.
///
/// # Errors
/// When an operator on the way jumps with the input or has kinks whose place is not known here; with
/// `exact`, when one is curved, too. The error names its node.
pub fn find<'e>(
    e: &'e Emit,
    order: &[NodeId],
    network: &Linearised,
    (input, layer): (ValueId, ValueId),
    samples: Option<&[Option<Samples>]>,
    exact: bool,
) -> Result<Vec<Switch<'e>>> {
    let wanted = e.graph(|graph| graph.ancestors([layer]));
    let mut reached = HashSet::from([input]);
    let mut switches = Vec::new();
    for &id in order.iter().filter(|&&id| wanted.has_node(id)) {
        let node = e.graph(|graph| graph.node(id).clone());
        let reads = node.inputs.iter().flatten().chain(&node.captures);
        if !reads.copied().any(|value| reached.contains(&value)) {
            continue;
        }
        if node.is_standard() && OF_SHAPES.contains(&node.op.as_str()) {
            continue;
        }
        reached.extend(node.outputs.iter().flatten());
        let at = Place { e, network, node: &node };
        let found = at.switch(exact).map_err(|error| e.graph(|graph| graph.at(id, error)))?;
        let Some((kind, like)) = found else { continue };
        let place = samples.map(|places| places[like.0].clone());
        if place == Some(None) {
            let error = Error::request("the samples of the batch are mixed here")
                .help("use --batch none to take the whole input as one sample");
            return Err(e.graph(|graph| graph.at(id, error)));
        }
        let samples = place.flatten();
        let count = count(e, &network.program.var(like).dims, samples.as_ref());
        switches.push(Switch { node: id, count, like, samples, kind });
    }
    Ok(switches)
}

/// The elements of one sample.
fn count(e: &Emit, dims: &[Dim], samples: Option<&Samples>) -> Dim {
    let Some(samples) = samples else { return e.product(dims) };
    let mut own = dims.to_vec();
    own[samples.axis] = samples.outer.clone() * samples.inner.clone();
    e.product(&own)
}

/// One node on the way.
struct Place<'e, 'n> {
    e: &'e Emit,
    network: &'n Linearised,
    node: &'n Node,
}

impl<'e> Place<'e, '_> {
    /// The switch, none where the operator has no kinks; with the variable whose elements switch.
    fn switch(&self, exact: bool) -> Result<Option<(Kind<'e>, VarId)>> {
        let node = self.node;
        let help = "leave out state and radius, or choose a layer before this node";
        let Some(like) = node.outputs.iter().flatten().find_map(|y| self.var(*y)) else {
            let what = "what this operator gives jumps with the input, and where is not known";
            return Err(Error::unsupported(what).help(help));
        };
        let Some(entry) = rules::find(node) else { return Ok(None) };
        let changes = |index: usize| self.input_var(index).is_some();
        if exact && !(entry.bodies || entry.is_exact(node, changes)) {
            let what = "this operator is curved, so no input has a linear region around it";
            return Err(Error::unsupported(what)
                .help("leave out radius, or choose a layer before this node"));
        }
        let standard = node.is_standard();
        if standard {
            if let Some(levels) = self.levels().transpose()? {
                let some = !levels.levels.is_empty();
                return Ok(some.then_some((Kind::Levels(levels), like)));
            }
            if let Some(winners) = self.winners(like).transpose()? {
                return Ok(Some((Kind::Winners(winners), like)));
            }
        }
        let inside = entry.bodies || RECURRENT.contains(&node.op.as_str());
        let silent = entry.kink.is_empty() || (standard && CURVED.contains(&node.op.as_str()));
        match silent && !inside {
            true => Ok(None),
            false => {
                let what = "where this operator switches is not known from outside";
                Err(Error::unsupported(what).help(help))
            }
        }
    }

    fn var(&self, value: ValueId) -> Option<VarId> {
        self.network.vars.get(&value).copied()
    }

    fn input_var(&self, index: usize) -> Option<VarId> {
        self.var(self.node.input(index)?)
    }

    fn input(&self, index: usize) -> Option<Expr<'e>> {
        self.node.input(index).map(|id| self.e.expr(id).widen())
    }

    fn float(&self, name: &str, default: f64) -> Result<f64> {
        Ok(self.node.float(name)?.map_or(default, f64::from))
    }

    /// The levels of an element-wise operator.
    fn levels(&self) -> Option<Result<Levels<'e>>> {
        let (x, change) = (self.input(0)?, self.input_var(0)?);
        let numbers = match self.node.op.as_str() {
            "Relu" | "LeakyRelu" | "PRelu" | "Elu" | "Selu" => Ok(vec![(0.0, false)]),
            "Abs" => Ok(vec![(0.0, true), (0.0, false)]),
            "HardSwish" => Ok(vec![(-3.0, false), (3.0, true)]),
            "ThresholdedRelu" => self.float("alpha", 1.0).map(|alpha| vec![(alpha, false)]),
            "Shrink" => {
                let bound = self.float("lambd", 0.5);
                bound.map(|bound| vec![(-bound, true), (bound, false)])
            }
            "HardSigmoid" => self.hard_sigmoid(),
            "Clip" => return Some(self.clip().map(|levels| Levels { x, change, levels })),
            _ => return None,
        };
        let level = |(number, equal)| (x.number(number), equal);
        let levels = numbers.map(|list| list.into_iter().map(level).collect());
        Some(levels.map(|levels| Levels { x, change, levels }))
    }

    /// `max(0, min(1, alpha·x + beta))`.
    fn hard_sigmoid(&self) -> Result<Vec<(f64, bool)>> {
        let (alpha, beta) = (self.float("alpha", 0.2)?, self.float("beta", 0.5)?);
        let ends = [-beta / alpha, (1.0 - beta) / alpha];
        let (low, high) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
        Ok(if alpha == 0.0 { Vec::new() } else { vec![(low, false), (high, true)] })
    }

    /// The bounds that are there.
    fn clip(&self) -> Result<Vec<(Expr<'e>, bool)>> {
        if self.input_var(1).or(self.input_var(2)).is_some() {
            return Err(Error::unsupported("the bounds of this Clip change with the input")
                .help("leave out state and radius, or choose a layer before this node"));
        }
        let levels = [(self.input(1), false), (self.input(2), true)];
        Ok(levels.into_iter().filter_map(|(bound, equal)| Some((bound?, equal))).collect())
    }

    /// The candidates of an operator that takes the largest or the least.
    fn winners(&self, output: VarId) -> Option<Result<Winners<'e>>> {
        let op = self.node.op.as_str();
        let least = matches!(op, "Min" | "ReduceMin");
        let x = self.input(0)?;
        let field = match op {
            "MaxPool" => {
                let y = self.e.expr(self.node.output(0)?).dims();
                Windows::of(self.node, &x.dims(), &y).map(Field::Windows)
            }
            "GlobalMaxPool" => Ok(Field::Axes((2..x.rank()).collect())),
            "ReduceMax" | "ReduceMin" => self.reduced(x.rank()).map(Field::Axes),
            "Max" | "Min" => Ok(Field::Inputs),
            _ => return None,
        };
        let count = if matches!(op, "Max" | "Min") { self.node.inputs.len() } else { 1 };
        let input = |i: usize| Some((self.input(i)?, self.input_var(i)));
        let inputs = (0..count).filter_map(input).collect();
        let y = self.e.expr(self.node.output(0)?).widen();
        Some(field.map(|field| Winners { inputs, output: (y, output), field, least }))
    }

    /// The reduced axes of operator set 18 and later, ascending.
    fn reduced(&self, rank: usize) -> Result<Vec<usize>> {
        let given = self.node.input(1).map(|axes| self.e.expr(axes).as_ints());
        let axes = match given {
            Some(Some(axes)) => axes,
            Some(None) => {
                return Err(Error::unsupported("the reduced axes are only known at run time"));
            }
            None => Vec::new(),
        };
        if axes.is_empty() {
            let none = self.node.int("noop_with_empty_axes")?.unwrap_or(0) != 0;
            return Ok(if none { Vec::new() } else { (0..rank).collect() });
        }
        let front = |axis: i64| usize::try_from(if axis < 0 { axis + rank as i64 } else { axis });
        let mut axes: Vec<usize> = axes.into_iter().filter_map(|axis| front(axis).ok()).collect();
        axes.retain(|&axis| axis < rank);
        axes.sort_unstable();
        axes.dedup();
        Ok(axes)
    }
}
