//! Steps that move or repeat elements by their axes.

use super::scale::only;
use super::{Linear, Lower, Samples, Var};
use crate::compile::build::Expr;
use crate::graph::Dim;

/// The same elements in row-major order under the output's dimensions. Transposed: back again.
#[derive(Debug)]
pub struct Reshape;

impl Linear for Reshape {
    fn name(&self) -> &'static str {
        "Reshape"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        only(x).reshape(&at.out_dims())
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        vec![dy.reshape(&at.in_dims(0))]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], output: &Var) -> Option<Samples> {
        let (input, samples) = inputs[0];
        samples.reshaped(&input.dims, &output.dims)
    }
}

/// Axes in the order `perm`: axis `i` of the output is axis `perm[i]` of the input. Transposed: the
/// inverse order.
#[derive(Debug)]
pub struct Transpose(pub Vec<usize>);

impl Linear for Transpose {
    fn name(&self) -> &'static str {
        "Transpose"
    }

    fn forward<'e>(&self, _: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        only(x).transpose(&behind_seeds(&self.0))
    }

    fn transposed<'e>(&self, _: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        let mut inverse = vec![0; self.0.len()];
        for (i, &p) in self.0.iter().enumerate() {
            inverse[p] = i;
        }
        vec![dy.transpose(&behind_seeds(&inverse))]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], _: &Var) -> Option<Samples> {
        let samples = inputs[0].1;
        let axis = self.0.iter().position(|&p| p == samples.axis)?;
        Some(Samples { axis, ..samples.clone() })
    }
}

fn behind_seeds(perm: &[usize]) -> Vec<usize> {
    std::iter::once(0).chain(perm.iter().map(|p| p + 1)).collect()
}

/// Repeats along axes of size 1 and new leading axes to the output's dimensions. Transposed: [`SumTo`].
#[derive(Debug)]
pub struct Broadcast;

/// Sums over the axes along which the input is the broadcast output. Transposed: [`Broadcast`].
#[derive(Debug)]
pub struct SumTo;

impl Linear for Broadcast {
    fn name(&self) -> &'static str {
        "Broadcast"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        broadcast(only(x), at.inputs[0], &at.out_dims())
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        vec![sum_to(dy, at.output, at.inputs[0], &at.in_dims(0))]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], output: &Var) -> Option<Samples> {
        let (input, samples) = inputs[0];
        let axis = samples.axis + output.dims.len() - input.dims.len();
        (output.dims[axis] == input.dims[samples.axis]).then(|| Samples { axis, ..samples.clone() })
    }
}

impl Linear for SumTo {
    fn name(&self) -> &'static str {
        "SumTo"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        sum_to(only(x), at.inputs[0], at.output, &at.out_dims())
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        vec![broadcast(dy, at.output, &at.in_dims(0))]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], output: &Var) -> Option<Samples> {
        let (input, samples) = inputs[0];
        let axis = samples.axis.checked_sub(input.dims.len() - output.dims.len())?;
        (output.dims[axis] == input.dims[samples.axis]).then(|| Samples { axis, ..samples.clone() })
    }
}

fn broadcast<'e>(x: Expr<'e>, from: &Var, to: &[Dim]) -> Expr<'e> {
    let missing = to.len() - 1 - from.dims.len();
    let mut dims = vec![to[0].clone()];
    dims.extend(std::iter::repeat_n(Dim::Value(1), missing));
    dims.extend(from.dims.iter().cloned());
    x.reshape(&dims).expand(to)
}

fn sum_to<'e>(x: Expr<'e>, from: &Var, to: &Var, seeded: &[Dim]) -> Expr<'e> {
    let missing = from.dims.len() - to.dims.len();
    let shared = from.dims[missing..].iter().zip(&to.dims).enumerate();
    let summed = shared.filter(|(_, (wide, narrow))| wide != narrow).map(|(i, _)| 1 + missing + i);
    let axes: Vec<usize> = (1..=missing).chain(summed).collect();
    if axes.is_empty() {
        return x;
    }
    x.reduce("ReduceSum", &axes, true).reshape(seeded)
}
