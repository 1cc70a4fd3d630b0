//! What a step costs for one seed: multiply-adds and bytes moved, from shapes and windows.

use std::collections::HashMap;

use super::windows::Sight;
use crate::compile::linear::{Program, Span, Step, Var, VarId};
use crate::graph::Dim;

/// Multiply-adds in a second of a nominal core. Decisions need ratios only.
const PRODUCTS: f64 = 30e9;
/// Bytes read or written in a second.
const BYTES: f64 = 6e9;
/// How much dearer than writing it is to place an element by its index.
const SCATTER: f64 = 4.0;

/// The sizes of symbolic dimensions, 1 where nothing else is assumed.
#[derive(Clone, Debug, Default)]
pub struct Assumed(pub HashMap<String, i64>);

impl Assumed {
    /// The number of elements of a tensor.
    pub fn elements(&self, dims: &[Dim]) -> f64 {
        dims.iter().map(|d| self.size(d)).product()
    }

    fn size(&self, dim: &Dim) -> f64 {
        let two = |a: &Dim, b: &Dim| (self.size(a), self.size(b));
        let value = match dim {
            Dim::Value(n) => f64::from(*n),
            Dim::Var(symbol) => self.0.get(&symbol.name).map_or(1.0, |&n| n as f64),
            Dim::Add(a, b) => self.size(a) + self.size(b),
            Dim::Sub(a, b) => self.size(a) - self.size(b),
            Dim::Mul(a, b) => self.size(a) * self.size(b),
            Dim::Div(a, b) => (self.size(a) / self.size(b).max(1.0)).floor(),
            Dim::DivCeil(a, b) => (self.size(a) / self.size(b).max(1.0)).ceil(),
            Dim::Max(a, b) | Dim::Broadcast(a, b) => two(a, b).0.max(two(a, b).1),
            Dim::Min(a, b) => two(a, b).0.min(two(a, b).1),
            Dim::Neg(a) => -self.size(a),
        };
        value.max(0.0)
    }
}

/// What one step costs for one seed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Multiply-adds.
    pub products: f64,
    /// Bytes read and written.
    pub bytes: f64,
    /// Bytes of the tensors it reads and writes that depend on the seed.
    pub held: f64,
    /// Bytes of weights that it reads, once for all seeds of a block.
    pub weights: f64,
}

impl Cost {
    /// The cost for `count` seeds, one after another.
    pub fn times(self, count: f64) -> Self {
        Self { products: self.products * count, bytes: self.bytes * count, ..self }
    }

    /// Seconds on a nominal core.
    pub fn seconds(self) -> f64 {
        self.products / PRODUCTS + self.bytes / BYTES
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |a, b| Self {
            products: a.products + b.products,
            bytes: a.bytes + b.bytes,
            held: a.held.max(b.held),
            weights: a.weights + b.weights,
        })
    }
}

/// The cost of every step for a seed of whole variables.
pub fn whole(program: &Program, assumed: &Assumed) -> Vec<Cost> {
    program.steps().iter().map(|step| of(program, step, assumed, &|_| None)).collect()
}

/// The cost of every step back to `input` for one neuron of a layer, 0 for steps it does not depend on.
pub fn seen(
    program: &Program,
    (input, layer): (VarId, VarId),
    sight: &Sight,
    assumed: &Assumed,
) -> Vec<Cost> {
    let mut reached = vec![false; program.var_count()];
    reached[layer.0] = true;
    let mut costs = vec![Cost::default(); program.steps().len()];
    for (cost, step) in costs.iter_mut().zip(program.steps()).rev() {
        if !step.outputs.iter().any(|v| reached[v.0]) {
            continue;
        }
        step.inputs.iter().for_each(|v| reached[v.0] = true);
        *cost = of(program, step, assumed, &|var| {
            Some((sight.windows(var)?.to_vec(), sight.one_channel(var)))
        });
        for (var, windows) in embedded(program, step, sight, input) {
            *cost = [*cost, embedding(program.var(var), &windows, assumed)].into_iter().sum();
        }
    }
    costs
}

/// The variables whose windows are set into the whole of them at a step, with the windows.
fn embedded(
    program: &Program,
    step: &Step,
    sight: &Sight,
    input: VarId,
) -> Vec<(VarId, Vec<Span>)> {
    let Some(reached) = sight.reached(program, step) else {
        let left = |&v: &VarId| Some((v, sight.windows(v)?.to_vec()));
        return step.outputs.iter().filter_map(left).collect();
    };
    let whole = |v: VarId| v == input || sight.windows(v).is_none();
    let pairs = step.inputs.iter().copied().zip(reached);
    pairs.filter(|(v, _)| whole(*v)).collect()
}

/// The cost of setting windows into the whole of a variable, an axis after another.
fn embedding(var: &Var, windows: &[Span], assumed: &Assumed) -> Cost {
    let channels = assumed.elements(&var.dims[1..2]);
    let mut lengths: Vec<f64> = windows.iter().map(|w| w.length as f64).collect();
    let mut cost = Cost::default();
    for (axis, dim) in var.dims[2..].iter().enumerate().take(lengths.len()) {
        let size = assumed.elements(std::slice::from_ref(dim));
        if size > lengths[axis] {
            let before: f64 = lengths.iter().product();
            cost.products += channels * before * size;
            cost.bytes += channels * before * (1.0 + size / lengths[axis]) * 4.0;
            lengths[axis] = size;
        }
    }
    cost
}

/// What is seen of a variable: its windows, and whether of one channel only.
type Seen = Option<(Vec<Span>, bool)>;

fn of(program: &Program, step: &Step, assumed: &Assumed, sight: &dyn Fn(VarId) -> Seen) -> Cost {
    let part = |&var: &VarId| -> Var {
        let mut part = program.var(var).clone();
        if let Some((windows, one_channel)) = sight(var) {
            for (dim, window) in part.dims[2..].iter_mut().zip(&windows) {
                *dim = Dim::Value(window.length as i32);
            }
            if one_channel {
                part.dims[1] = Dim::Value(1);
            }
        }
        part
    };
    let inputs: Vec<Var> = step.inputs.iter().map(part).collect();
    let outputs: Vec<Var> = step.outputs.iter().map(part).collect();
    let taken = step.outputs.iter().all(|&v| {
        sight(v).is_some_and(|(windows, channel)| channel && windows.iter().all(|w| w.length == 1))
    });
    let size = |var: &Var| assumed.elements(&var.dims) * var.dtype.bits() as f64 / 8.0;
    let held: f64 = inputs.iter().chain(&outputs).map(size).sum();
    let all: Vec<&Var> = inputs.iter().collect();
    let elements = |dims: &[Dim]| assumed.elements(dims);
    let (products, weights) = match outputs.first() {
        Some(output) if !taken => {
            let weights = step.map.weights(&all, output, &elements);
            (step.map.products(&all, output, &elements), weights * output.dtype.bits() as f64 / 8.0)
        }
        _ => (0.0, 0.0),
    };
    let dearer = if step.map.scatters() { SCATTER } else { 1.0 };
    Cost { products, bytes: held * dearer, held, weights }
}
