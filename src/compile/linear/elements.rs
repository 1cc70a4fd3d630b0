//! Steps that move single elements by index, and running sums.

use super::scale::only;
use super::{Linear, Lower, Samples, Var};
use crate::compile::build::Expr;
use crate::graph::{Attr, Dim, ValueId};

/// Elements along an axis, as the operator GatherElements: the element at a place of the output is
/// that of the input at the same place, with the index there in the place of `axis`. Transposed:
/// [`ScatterElements`].
#[derive(Debug)]
pub struct GatherElements {
    /// The axis, without the seeds.
    pub axis: usize,
    /// The int64 indices, of the output's dimensions; negative ones count from the end.
    pub indices: ValueId,
}

/// Elements added to zeros along an axis, as the operator ScatterElements adds them: each goes to its
/// own place, with the index there in the place of `axis`. Transposed: [`GatherElements`].
#[derive(Debug)]
pub struct ScatterElements {
    /// The axis, without the seeds.
    pub axis: usize,
    /// The int64 indices, of the input's dimensions; negative ones count from the end.
    pub indices: ValueId,
}

impl Linear for GatherElements {
    fn name(&self) -> &'static str {
        "GatherElements"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        gathered(only(x), at.e.expr(self.indices), self.axis, &at.out_dims())
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        vec![scattered(dy, at.e.expr(self.indices), self.axis, &at.in_dims(0))]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], output: &Var) -> Option<Samples> {
        along_another(self.axis, inputs[0], output)
    }

    fn scatters(&self) -> bool {
        true
    }
}

impl Linear for ScatterElements {
    fn name(&self) -> &'static str {
        "ScatterElements"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        scattered(only(x), at.e.expr(self.indices), self.axis, &at.out_dims())
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        vec![gathered(dy, at.e.expr(self.indices), self.axis, &at.in_dims(0))]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], output: &Var) -> Option<Samples> {
        along_another(self.axis, inputs[0], output)
    }

    fn scatters(&self) -> bool {
        true
    }
}

/// Indices may cover only a part of the other axes: then it is left open which samples are there.
fn along_another(axis: usize, (input, samples): (&Var, &Samples), output: &Var) -> Option<Samples> {
    let same = input.dims[samples.axis] == output.dims[samples.axis];
    (samples.axis != axis && same).then(|| samples.clone())
}

/// The same indices for every seed.
fn seeded<'e>(indices: Expr<'e>, seeds: &Dim) -> Expr<'e> {
    let mut dims = vec![Dim::Value(1)];
    dims.extend(indices.dims());
    let one = indices.reshape(&dims);
    dims[0] = seeds.clone();
    one.expand(&dims)
}

fn gathered<'e>(x: Expr<'e>, indices: Expr<'e>, axis: usize, to: &[Dim]) -> Expr<'e> {
    let indices = seeded(indices, &to[0]);
    x.e.op("GatherElements", &[x, indices], &[("axis", (axis as i64 + 1).into())]).assume(to)
}

fn scattered<'e>(x: Expr<'e>, indices: Expr<'e>, axis: usize, to: &[Dim]) -> Expr<'e> {
    let indices = seeded(indices, &to[0]);
    let zeros = Expr::zeros(x.e, x.dtype(), to);
    let attributes = [("axis", (axis as i64 + 1).into()), ("reduction", "add".into())];
    x.e.op("ScatterElements", &[zeros, indices, x], &attributes).assume(to)
}

/// Running sums along an axis. Transposed: the same from the other end.
#[derive(Debug)]
pub struct CumSum {
    /// The axis, without the seeds.
    pub axis: usize,
    /// Whether an element is left out of its own sum.
    pub exclusive: bool,
    /// Whether the sums run from the end.
    pub reverse: bool,
}

impl Linear for CumSum {
    fn name(&self) -> &'static str {
        "CumSum"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        self.sums(only(x), self.reverse).assume(&at.out_dims())
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        vec![self.sums(dy, !self.reverse).assume(&at.in_dims(0))]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], _: &Var) -> Option<Samples> {
        let samples = inputs[0].1;
        (samples.axis != self.axis).then(|| samples.clone())
    }
}

impl CumSum {
    fn sums<'e>(&self, x: Expr<'e>, reverse: bool) -> Expr<'e> {
        let flags = [("exclusive", self.exclusive), ("reverse", reverse)];
        let attributes: Vec<(&str, Attr)> =
            flags.into_iter().filter(|(_, on)| *on).map(|(name, _)| (name, 1.into())).collect();
        x.e.op("CumSum", &[x, x.e.int(self.axis as i64 + 1)], &attributes)
    }
}
