//! Steps of several inputs.

use super::{Linear, Local, Lower, Patch, Place, Samples, Span, Var, Windows};
use crate::compile::build::Expr;
use crate::graph::Dim;

/// `y = Σ x_i`, all of the same dimensions. Transposed: `y` to each.
#[derive(Debug)]
pub struct Sum;

impl Linear for Sum {
    fn name(&self) -> &'static str {
        "Sum"
    }

    fn forward<'e>(&self, _: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        let present: Vec<_> = x.iter().flatten().copied().collect();
        add_all(&present)
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        vec![dy; at.inputs.len()]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], _: &Var) -> Option<Samples> {
        agreed(inputs)
    }

    fn local(&self) -> Option<&dyn Local> {
        Some(self)
    }
}

impl Local for Sum {
    fn pull<'e>(
        &self,
        at: &Lower<'e, '_>,
        _: &Place<'e>,
        _: &Windows,
        dy: Patch<'e>,
    ) -> Vec<Patch<'e>> {
        vec![dy; at.inputs.len()]
    }
}

/// Inputs one after another along an axis. Transposed: a window for each.
#[derive(Debug)]
pub struct Concat {
    /// The axis, without the seeds.
    pub axis: usize,
}

impl Linear for Concat {
    fn name(&self) -> &'static str {
        "Concat"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        let part = |(i, x): (usize, &Option<Expr<'e>>)| {
            x.unwrap_or_else(|| Expr::zeros(at.e, at.output.dtype, &at.in_dims(i)))
        };
        let parts: Vec<_> = x.iter().enumerate().map(part).collect();
        Expr::concat(&parts, self.axis + 1)
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        let sizes: Vec<Dim> = at.inputs.iter().map(|i| i.dims[self.axis].clone()).collect();
        let lengths = at.e.shape(&sizes).id;
        let axis = [("axis", (self.axis as i64 + 1).into())];
        let parts = at.e.node("Split", &[Some(dy.id), Some(lengths)], &axis, sizes.len());
        parts.into_iter().enumerate().map(|(i, part)| part.assume(&at.in_dims(i))).collect()
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], _: &Var) -> Option<Samples> {
        agreed(inputs).filter(|samples| samples.axis != self.axis)
    }

    fn local(&self) -> Option<&dyn Local> {
        Some(self)
    }
}

impl Local for Concat {
    fn reach(&self, inputs: &[&Var], _: &Var, windows: &[Span]) -> Option<Vec<Vec<Span>>> {
        (self.axis == 1).then(|| vec![windows.to_vec(); inputs.len()])
    }

    fn keeps_channels(&self) -> bool {
        false
    }

    fn pull<'e>(
        &self,
        at: &Lower<'e, '_>,
        place: &Place<'e>,
        _: &Windows,
        dy: Patch<'e>,
    ) -> Vec<Patch<'e>> {
        let all = place.all_channels(dy, at.output).value;
        let mut start = Dim::Value(0);
        let part = |input: &&Var| {
            let end = (start.clone() + input.dims[1].clone()).simplify();
            let part = all.slice(2, &start, &end);
            start = end;
            Patch { value: part, channel: None }
        };
        at.inputs.iter().map(part).collect()
    }
}

/// The sum of one or more values of the same dimensions.
pub fn add_all<'e>(parts: &[Expr<'e>]) -> Expr<'e> {
    match parts {
        [one] => *one,
        [a, b] => *a + *b,
        _ => parts[0].e.op("Sum", parts, &[]),
    }
}

fn agreed(inputs: &[(&Var, &Samples)]) -> Option<Samples> {
    let (_, first) = inputs[0];
    inputs.iter().all(|(_, s)| *s == first).then(|| first.clone())
}
