//! Index tables that count their places: a Gather by such a table is a Reshape.
//!
//! PyTorch's exporter writes views of a tensor as a Gather from its elements in row-major order, by
//! indices `Σ stepₐ·iₐ` that it computes from ranges.

use crate::compile::infer::tidy;
use crate::graph::{Dim, Graph, Node, ValueId, fixed};

/// The most elements of a constant table that are read.
const LARGEST: usize = 1 << 20;

/// The most values that are looked at on the way to one table.
const LONGEST: usize = 256;

/// Whether element `i` of the integer tensor is `i` itself, in row-major order, for each of the
/// `size` places of an axis.
pub(super) fn counts_places(graph: &Graph, indices: ValueId, size: &Dim) -> bool {
    let counts = || {
        let dims = graph.value(indices).dims()?;
        let Even { start, steps } = Search { graph, left: LONGEST }.even(indices)?;
        let mut behind = Dim::Value(1);
        for (dim, step) in dims.iter().zip(&steps).rev() {
            if dim != &Dim::Value(1) && step != &behind {
                return None;
            }
            behind = tidy(&(behind * dim.clone()))?;
        }
        (start == Dim::Value(0) && behind == tidy(size)?).then_some(())
    };
    counts().is_some()
}

/// A tensor that grows evenly along each axis: the element at `i` is `start + Σ stepsₐ·iₐ`.
struct Even {
    start: Dim,
    steps: Vec<Dim>,
}

struct Search<'a> {
    graph: &'a Graph,
    left: usize,
}

impl Search<'_> {
    /// How an integer tensor grows, where it does so evenly.
    fn even(&mut self, value: ValueId) -> Option<Even> {
        self.left = self.left.checked_sub(1)?;
        let held = self.graph.value(value);
        if let Some(scalar) = held.facts.as_scalar() {
            return Some(Even { start: scalar.clone(), steps: vec![] });
        }
        let dims = held.dims()?;
        match &held.tensor {
            Some(_) if self.graph.inputs.contains(&value) => None,
            Some(tensor) if tensor.len() <= LARGEST => table(&tensor.to_ints().ok()?, &dims),
            Some(_) => None,
            None => self.computed(self.graph.node(self.graph.producer(value)?), &dims),
        }
    }

    fn computed(&mut self, node: &Node, dims: &[Dim]) -> Option<Even> {
        let x = node.input(0).filter(|_| node.is_standard())?;
        let from = || self.graph.value(x).dims();
        match node.op.as_str() {
            "Range" => {
                let scalar =
                    |index| self.graph.value(node.input(index)?).facts.as_scalar().cloned();
                Some(Even { start: scalar(0)?, steps: vec![scalar(2)?] })
            }
            "Identity" => self.even(x),
            "Expand" => self.even(x)?.spread(&from()?, dims),
            "Reshape" | "Squeeze" | "Unsqueeze" => self.even(x)?.reshaped(&from()?, dims),
            "Add" | "Mul" => {
                let other = node.input(1)?;
                let a = self.even(x)?.spread(&from()?, dims)?;
                let b = self.even(other)?.spread(&self.graph.value(other).dims()?, dims)?;
                if node.op == "Add" { a.plus(&b) } else { a.times(&b).or_else(|| b.times(&a)) }
            }
            _ => None,
        }
    }
}

impl Even {
    /// The tensor broadcast from its dimensions to others.
    fn spread(self, from: &[Dim], to: &[Dim]) -> Option<Self> {
        let new = to.len().checked_sub(from.len())?;
        let mut steps = vec![Dim::Value(0); to.len()];
        for (i, step) in self.steps.into_iter().enumerate() {
            if from[i] == to[new + i] {
                steps[new + i] = step;
            } else if from[i] != Dim::Value(1) {
                return None;
            }
        }
        Some(Self { steps, ..self })
    }

    /// The tensor with axes of size 1 taken away or put in.
    fn reshaped(self, from: &[Dim], to: &[Dim]) -> Option<Self> {
        let wide = |dims: &[Dim]| -> Vec<usize> {
            (0..dims.len()).filter(|&axis| fixed(&dims[axis]) != Some(1)).collect()
        };
        let (old, new) = (wide(from), wide(to));
        let same = old.iter().map(|&a| &from[a]).eq(new.iter().map(|&a| &to[a]));
        let mut steps = vec![Dim::Value(0); to.len()];
        for (&old, &new) in old.iter().zip(&new) {
            steps[new] = self.steps[old].clone();
        }
        same.then_some(Self { steps, ..self })
    }

    fn plus(&self, other: &Self) -> Option<Self> {
        let sum = |a: &Dim, b: &Dim| tidy(&(a.clone() + b.clone()));
        let steps = self.steps.iter().zip(&other.steps).map(|(a, b)| sum(a, b));
        Some(Self { start: sum(&self.start, &other.start)?, steps: steps.collect::<Option<_>>()? })
    }

    /// The product, where the other tensor holds one number only.
    fn times(&self, other: &Self) -> Option<Self> {
        let product = |a: &Dim| tidy(&(a.clone() * other.start.clone()));
        let constant = other.steps.iter().all(|step| step == &Dim::Value(0));
        let steps = self.steps.iter().map(product);
        constant
            .then_some(Self { start: product(&self.start)?, steps: steps.collect::<Option<_>>()? })
    }
}

/// How the elements of a constant grow.
fn table(elements: &[i64], dims: &[Dim]) -> Option<Even> {
    let sizes: Vec<usize> =
        dims.iter().map(|d| usize::try_from(fixed(d)?).ok()).collect::<Option<_>>()?;
    if elements.iter().any(|&element| i32::try_from(element).is_err()) {
        return None;
    }
    let first = *elements.first()?;
    let strides: Vec<usize> = (0..sizes.len()).map(|a| sizes[a + 1..].iter().product()).collect();
    let step = |axis: usize| {
        elements.get(strides[axis]).filter(|_| sizes[axis] > 1).map_or(0, |e| e - first)
    };
    let steps: Vec<i64> = (0..sizes.len()).map(step).collect();
    let grown = |flat: usize| {
        let along = |axis: usize| (flat / strides[axis] % sizes[axis]) as i64 * steps[axis];
        first + (0..sizes.len()).map(along).sum::<i64>()
    };
    let even = elements.iter().enumerate().all(|(flat, &element)| element == grown(flat));
    let dim = |n: i64| i32::try_from(n).ok().map(Dim::Value);
    let steps = steps.into_iter().map(dim).collect::<Option<_>>()?;
    even.then_some(Even { start: dim(first)?, steps })
}

#[cfg(test)]
mod tests;
