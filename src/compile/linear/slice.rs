//! Steps that cut, embed, thin out and reverse along one axis.

use super::scale::only;
use super::{Linear, Lower, Samples, Var};
use crate::compile::build::Expr;
use crate::graph::{Dim, fixed};

/// The part of the output's size that begins at `start`. Transposed: [`Pad`].
#[derive(Debug)]
pub struct Window {
    /// The axis, without the seeds.
    pub axis: usize,
    /// The first index.
    pub start: Dim,
}

/// The input with zeros around it to the output's size, beginning at `start`. Transposed: [`Window`].
#[derive(Debug)]
pub struct Pad {
    /// The axis, without the seeds.
    pub axis: usize,
    /// The number of zeros before.
    pub start: Dim,
}

impl Linear for Window {
    fn name(&self) -> &'static str {
        "Window"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        cut(only(x), self.axis, &self.start, &at.out_dims())
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        vec![embed(dy, self.axis, &self.start, &at.in_dims(0))]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], _: &Var) -> Option<Samples> {
        unless_on(self.axis, inputs[0].1)
    }
}

impl Linear for Pad {
    fn name(&self) -> &'static str {
        "Pad"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        embed(only(x), self.axis, &self.start, &at.out_dims())
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        vec![cut(dy, self.axis, &self.start, &at.in_dims(0))]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], _: &Var) -> Option<Samples> {
        unless_on(self.axis, inputs[0].1)
    }
}

/// Every `step`-th element from the first on. Transposed: zeros between.
#[derive(Debug)]
pub struct Stride {
    /// The axis, without the seeds.
    pub axis: usize,
    /// The distance of the elements, at least 2.
    pub step: i64,
}

impl Linear for Stride {
    fn name(&self) -> &'static str {
        "Stride"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        strided(only(x), self.axis + 1, 0, i64::MAX, self.step).assume(&at.out_dims())
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        let axis = self.axis + 1;
        let target = at.in_dims(0);
        let mut between = dy.dims();
        between.insert(axis + 1, Dim::Value(1));
        let mut dilated = between.clone();
        dilated[axis + 1] = Dim::Value(self.step as i32);
        let apart = embed(dy.reshape(&between), self.axis + 1, &Dim::Value(0), &dilated);
        let mut long = target.clone();
        long[axis] = (dy.dims()[axis].clone() * dilated[axis + 1].clone()).simplify();
        vec![cut(apart.reshape(&long), self.axis, &Dim::Value(0), &target)]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], _: &Var) -> Option<Samples> {
        unless_on(self.axis, inputs[0].1)
    }
}

/// The elements of an axis in reverse order. Its own transpose.
#[derive(Debug)]
pub struct Reverse {
    /// The axis, without the seeds.
    pub axis: usize,
}

impl Linear for Reverse {
    fn name(&self) -> &'static str {
        "Reverse"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        strided(only(x), self.axis + 1, -1, i64::MIN, -1).assume(&at.out_dims())
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        vec![strided(dy, self.axis + 1, -1, i64::MIN, -1).assume(&at.in_dims(0))]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], _: &Var) -> Option<Samples> {
        unless_on(self.axis, inputs[0].1)
    }
}

fn strided(x: Expr<'_>, axis: usize, start: i64, end: i64, step: i64) -> Expr<'_> {
    let [start, end, axis, step] = [start, end, axis as i64, step].map(|v| x.e.ints(&[v]));
    x.e.op("Slice", &[x, start, end, axis, step], &[])
}

fn cut<'e>(x: Expr<'e>, axis: usize, start: &Dim, to: &[Dim]) -> Expr<'e> {
    let end = (start.clone() + to[axis + 1].clone()).simplify();
    x.slice(axis + 1, start, &end).assume(to)
}

/// `x` among zeros along one axis, by a Pad of constant widths or, where a width is only known at
/// run time, by zeros on both sides, since some runtimes want the widths of Pad constant.
fn embed<'e>(x: Expr<'e>, axis: usize, start: &Dim, to: &[Dim]) -> Expr<'e> {
    let axis = axis + 1;
    let size = x.dims()[axis].clone();
    let after = (to[axis].clone() - start.clone() - size).simplify();
    match (fixed(start), fixed(&after)) {
        (Some(0), Some(0)) => x,
        (Some(before), Some(after)) => {
            let mut pads = vec![0; 2 * to.len()];
            pads[axis] = before;
            pads[to.len() + axis] = after;
            x.e.op("Pad", &[x, x.e.ints(&pads)], &[]).assume(to)
        }
        _ => {
            let zeros = |width: &Dim| {
                let mut dims = to.to_vec();
                dims[axis] = width.clone();
                Expr::zeros(x.e, x.dtype(), &dims)
            };
            let border = |width: &Dim| (fixed(width) != Some(0)).then(|| zeros(width));
            let parts = [border(start), Some(x), border(&after)];
            Expr::concat(&parts.into_iter().flatten().collect::<Vec<_>>(), axis).assume(to)
        }
    }
}

fn unless_on(axis: usize, samples: &Samples) -> Option<Samples> {
    (samples.axis != axis).then(|| samples.clone())
}
