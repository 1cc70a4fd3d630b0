//! Element-wise steps.

use super::{Linear, Local, Lower, Patch, Place, Samples, Var, Windows};
use crate::compile::build::Expr;
use crate::graph::ValueId;

/// `y = c ⊙ x` with `c` of dimensions that broadcast to those of `x`. Its own transpose.
#[derive(Debug)]
pub struct Scale(pub ValueId);

impl Linear for Scale {
    fn name(&self) -> &'static str {
        "Scale"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        let x = only(x);
        x * at.coefficient(self.0)
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        vec![dy * at.coefficient(self.0)]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], _: &Var) -> Option<Samples> {
        Some(inputs[0].1.clone())
    }

    fn local(&self) -> Option<&dyn Local> {
        Some(self)
    }
}

impl Local for Scale {
    fn pull<'e>(
        &self,
        at: &Lower<'e, '_>,
        place: &Place<'e>,
        windows: &Windows,
        dy: Patch<'e>,
    ) -> Vec<Patch<'e>> {
        let c = place.patch(at.coefficient(self.0), at.output, windows.output, dy.channel);
        vec![Patch { value: dy.value * c, ..dy }]
    }
}

/// `y = x` in another float type.
#[derive(Debug)]
pub struct Cast;

impl Linear for Cast {
    fn name(&self) -> &'static str {
        "Cast"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        only(x).cast(at.output.dtype)
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        vec![dy.cast(at.inputs[0].dtype)]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], _: &Var) -> Option<Samples> {
        Some(inputs[0].1.clone())
    }

    fn local(&self) -> Option<&dyn Local> {
        Some(self)
    }
}

impl Local for Cast {
    fn pull<'e>(
        &self,
        at: &Lower<'e, '_>,
        _: &Place<'e>,
        _: &Windows,
        dy: Patch<'e>,
    ) -> Vec<Patch<'e>> {
        vec![Patch { value: dy.value.cast(at.inputs[0].dtype), ..dy }]
    }
}

/// The tangent of the only input of a step.
pub(super) fn only<'e>(x: &[Option<Expr<'e>>]) -> Expr<'e> {
    x.iter().flatten().next().copied().expect("a step is only written where an input has a tangent")
}
