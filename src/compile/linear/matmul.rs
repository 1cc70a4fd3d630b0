//! Matrix products with one operand fixed.

use super::scale::only;
use super::{Linear, Local, Lower, Patch, Place, Samples, Span, Var, Windows};
use crate::compile::build::Expr;
use crate::graph::{Dim, ValueId};

/// On which side of the changing operand the fixed one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `y = A·x`
    Left,
    /// `y = x·A`
    Right,
}

/// `y = A·x` or `y = x·A` over the last two axes; leading axes of `A` broadcast to those of `x`.
/// Transposed: the product with the transposed matrix on the same side.
#[derive(Clone, Copy, Debug)]
pub struct MatMul {
    /// The matrix `A`, of rank 2 or more.
    pub matrix: ValueId,
    /// The side `A` stands on.
    pub side: Side,
    /// Whether `A` is the value transposed over its last two axes.
    pub transpose: bool,
}

impl Linear for MatMul {
    fn name(&self) -> &'static str {
        "MatMul"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        self.product(at, only(x), self.transpose).assume(&at.out_dims())
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        vec![self.product(at, dy, !self.transpose).assume(&at.in_dims(0))]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], _: &Var) -> Option<Samples> {
        let (input, samples) = inputs[0];
        let rank = input.dims.len();
        let contracted = if self.side == Side::Right { rank - 1 } else { rank - 2 };
        (samples.axis != contracted).then(|| samples.clone())
    }

    fn local(&self) -> Option<&dyn Local> {
        Some(self)
    }

    fn products(&self, inputs: &[&Var], output: &Var, size: &dyn Fn(&[Dim]) -> f64) -> f64 {
        size(&output.dims) * self.contracted(inputs[0], size)
    }

    fn weights(&self, inputs: &[&Var], output: &Var, size: &dyn Fn(&[Dim]) -> f64) -> f64 {
        let kept = self.axis(output).map_or(1.0, |d| size(std::slice::from_ref(d)));
        kept * self.contracted(inputs[0], size)
    }
}

impl Local for MatMul {
    fn reach(&self, inputs: &[&Var], _: &Var, windows: &[Span]) -> Option<Vec<Vec<Span>>> {
        let flat = windows.is_empty() && inputs[0].dims.len() == 2;
        (flat && self.side == Side::Right).then(|| vec![Vec::new()])
    }

    fn keeps_channels(&self) -> bool {
        false
    }

    /// The cotangent of one neuron is its column of `A`, taken, not multiplied.
    fn pull<'e>(
        &self,
        at: &Lower<'e, '_>,
        place: &Place<'e>,
        _: &Windows,
        dy: Patch<'e>,
    ) -> Vec<Patch<'e>> {
        let matrix = at.coefficient(self.matrix);
        let value = match dy.channel {
            Some(_) if place.whole && at.output.dims[1] == place.count => {
                let rows = swapped(matrix, !self.transpose);
                let dims = rows.dims();
                dy.value * rows.reshape(&[dims[0].clone(), Dim::Value(1), dims[1].clone()])
            }
            None => self.product(at, dy.value, !self.transpose),
            Some(channel) if self.transpose => dy.value * matrix.gather(channel, 0),
            Some(channel) => dy.value * matrix.gather(channel, 1).transpose(&[1, 2, 0]),
        };
        vec![Patch { value, channel: None }]
    }
}

impl MatMul {
    /// The axis of an operand or product that the matrix takes the place of.
    fn axis<'v>(&self, var: &'v Var) -> Option<&'v Dim> {
        let behind = if self.side == Side::Right { 1 } else { 2 };
        var.dims.iter().rev().nth(behind - 1)
    }

    /// The number of terms of each element of the product.
    fn contracted(&self, input: &Var, size: &dyn Fn(&[Dim]) -> f64) -> f64 {
        self.axis(input).map_or(1.0, |d| size(std::slice::from_ref(d)))
    }

    fn product<'e>(&self, at: &Lower<'e, '_>, x: Expr<'e>, transpose: bool) -> Expr<'e> {
        self.of(x, at.coefficient(self.matrix), transpose)
    }

    /// The transposed product of `dy` with what stands for the matrix.
    pub(super) fn against<'e>(&self, dy: Expr<'e>, matrix: Expr<'e>) -> Expr<'e> {
        self.of(dy, matrix, !self.transpose)
    }

    fn of<'e>(&self, x: Expr<'e>, matrix: Expr<'e>, transpose: bool) -> Expr<'e> {
        match (self.side, transpose) {
            (Side::Right, true) if matrix.rank() == 2 => self.gemm(x, matrix),
            (Side::Right, _) => x.binary("MatMul", swapped(matrix, transpose)),
            (Side::Left, _) => swapped(matrix, transpose).binary("MatMul", x),
        }
    }

    /// `x·Aᵀ` through Gemm's own transposition, so that no transposed copy of `A` exists.
    fn gemm<'e>(&self, x: Expr<'e>, matrix: Expr<'e>) -> Expr<'e> {
        let dims = x.dims();
        let Some((columns, rows)) = dims.split_last() else { return x };
        let flat = x.reshape(&[x.e.product(rows), columns.clone()]);
        let product = x.e.op("Gemm", &[flat, matrix], &[("transB", 1.into())]);
        let mut out = rows.to_vec();
        out.push(matrix.dims()[0].clone());
        product.reshape(&out)
    }
}

fn swapped(matrix: Expr<'_>, swap: bool) -> Expr<'_> {
    if !swap {
        return matrix;
    }
    let rank = matrix.rank();
    let mut perm: Vec<_> = (0..rank).collect();
    perm.swap(rank - 2, rank - 1);
    matrix.transpose(&perm)
}
