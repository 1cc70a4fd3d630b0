//! Steps that move or repeat elements by their axes.

use super::scale::only;
use super::{Linear, Local, Lower, Patch, Place, Samples, Span, Var, Windows};
use crate::compile::build::Expr;
use crate::error::Error;
use crate::graph::{Dim, fixed};

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

    fn local(&self) -> Option<&dyn Local> {
        Some(self)
    }
}

/// Spatial axes of size 1 come and go.
impl Local for Reshape {
    fn reach(&self, inputs: &[&Var], output: &Var, windows: &[Span]) -> Option<Vec<Vec<Span>>> {
        let (from, to) = (&inputs[0].dims, &output.dims);
        let points = windows.iter().all(Span::is_first);
        let single = |dims: &[Dim]| dims.iter().skip(2).all(|d| fixed(d) == Some(1));
        let same = from.len() >= 2 && to.len() >= 2 && from[..2] == to[..2];
        (same && points && single(from) && single(to))
            .then(|| vec![vec![Span::all(1); from.len() - 2]])
    }

    fn pull<'e>(
        &self,
        at: &Lower<'e, '_>,
        _: &Place<'e>,
        _: &Windows,
        dy: Patch<'e>,
    ) -> Vec<Patch<'e>> {
        let mut dims = dy.value.dims();
        dims.resize(at.inputs[0].dims.len() + 1, Dim::Value(1));
        vec![Patch { value: dy.value.reshape(&dims), ..dy }]
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

    fn local(&self) -> Option<&dyn Local> {
        Some(self)
    }
}

/// A sum over space reaches all of it.
impl Local for SumTo {
    fn reach(&self, inputs: &[&Var], output: &Var, windows: &[Span]) -> Option<Vec<Vec<Span>>> {
        let (from, to) = (&inputs[0].dims, &output.dims);
        let same = from.len() == to.len() && from.len() >= 2 && from[..2] == to[..2];
        let axis = |(window, (wide, narrow)): (&Span, (&Dim, &Dim))| match wide == narrow {
            true => Some(*window),
            false => fixed(wide).map(Span::all).filter(|_| window.is_first()),
        };
        let pairs = windows.iter().zip(from.iter().zip(to).skip(2));
        same.then(|| pairs.map(axis).collect::<Option<Vec<_>>>()).flatten().map(|spans| vec![spans])
    }

    fn pull<'e>(
        &self,
        _: &Lower<'e, '_>,
        _: &Place<'e>,
        windows: &Windows,
        dy: Patch<'e>,
    ) -> Vec<Patch<'e>> {
        let mut dims = dy.value.dims();
        for (dim, window) in dims[3..].iter_mut().zip(&windows.inputs[0]) {
            *dim = Dim::Value(window.length as i32);
        }
        vec![Patch { value: dy.value.expand(&dims), ..dy }]
    }
}

fn broadcast<'e>(x: Expr<'e>, from: &Var, to: &[Dim]) -> Expr<'e> {
    let Some(missing) = to.len().checked_sub(1 + from.dims.len()) else { return unfit(x) };
    let mut dims = vec![to[0].clone()];
    dims.extend(std::iter::repeat_n(Dim::Value(1), missing));
    dims.extend(from.dims.iter().cloned());
    x.reshape(&dims).expand(to)
}

/// Says that a value has more axes than what it broadcasts to.
fn unfit(x: Expr<'_>) -> Expr<'_> {
    x.e.fail(Error::unsupported("a value has more axes than what it broadcasts to"));
    x
}

fn sum_to<'e>(x: Expr<'e>, from: &Var, to: &Var, seeded: &[Dim]) -> Expr<'e> {
    let Some(missing) = from.dims.len().checked_sub(to.dims.len()) else { return unfit(x) };
    let shared = from.dims[missing..].iter().zip(&to.dims).enumerate();
    let summed = shared.filter(|(_, (wide, narrow))| wide != narrow).map(|(i, _)| 1 + missing + i);
    let axes: Vec<usize> = (1..=missing).chain(summed).collect();
    if axes.is_empty() {
        return x;
    }
    x.reduce("ReduceSum", &axes, true).reshape(seeded)
}
