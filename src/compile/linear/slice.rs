//! Steps that cut, embed, thin out and reverse along one axis.

use super::scale::only;
use super::{Linear, Local, Lower, Patch, Place, Samples, Span, Var, Windows};
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

    fn local(&self) -> Option<&dyn Local> {
        Some(self)
    }
}

impl Local for Window {
    fn reach(&self, _: &[&Var], _: &Var, windows: &[Span]) -> Option<Vec<Vec<Span>>> {
        shifted(windows, self.axis, fixed(&self.start)?)
    }

    fn keeps_channels(&self) -> bool {
        self.axis > 1
    }

    fn pull<'e>(
        &self,
        at: &Lower<'e, '_>,
        place: &Place<'e>,
        _: &Windows,
        dy: Patch<'e>,
    ) -> Vec<Patch<'e>> {
        if self.axis > 1 {
            return vec![dy];
        }
        let all = place.all_channels(dy, at.output).value;
        let mut to = all.dims();
        to[2] = at.inputs[0].dims[1].clone();
        vec![Patch { value: embed(all, self.axis, &self.start, &to), channel: None }]
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

    fn local(&self) -> Option<&dyn Local> {
        Some(self)
    }
}

impl Local for Pad {
    fn reach(&self, _: &[&Var], _: &Var, windows: &[Span]) -> Option<Vec<Vec<Span>>> {
        shifted(windows, self.axis, -fixed(&self.start)?)
    }

    fn keeps_channels(&self) -> bool {
        self.axis > 1
    }

    fn pull<'e>(
        &self,
        at: &Lower<'e, '_>,
        place: &Place<'e>,
        windows: &Windows,
        dy: Patch<'e>,
    ) -> Vec<Patch<'e>> {
        if self.axis > 1 {
            return vec![place.masked(dy, &windows.inputs[0], at.inputs[0])];
        }
        let all = place.all_channels(dy, at.output).value;
        let mut to = all.dims();
        to[2] = at.inputs[0].dims[1].clone();
        vec![Patch { value: cut(all, self.axis, &self.start, &to), channel: None }]
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
        vec![apart(dy, self.axis, self.step, &at.in_dims(0))]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], _: &Var) -> Option<Samples> {
        unless_on(self.axis, inputs[0].1)
    }

    fn local(&self) -> Option<&dyn Local> {
        Some(self)
    }
}

impl Local for Stride {
    fn reach(&self, _: &[&Var], _: &Var, windows: &[Span]) -> Option<Vec<Vec<Span>>> {
        let mut windows = windows.to_vec();
        let window = windows.get_mut(self.axis.checked_sub(2)?)?;
        *window = window.apart(self.step)?;
        Some(vec![windows])
    }

    fn pull<'e>(
        &self,
        _: &Lower<'e, '_>,
        _: &Place<'e>,
        windows: &Windows,
        dy: Patch<'e>,
    ) -> Vec<Patch<'e>> {
        let mut to = dy.value.dims();
        let length = windows.inputs[0][self.axis - 2].length;
        to[self.axis + 1] = Dim::Value(length as i32);
        vec![Patch { value: apart(dy.value, self.axis, self.step, &to), ..dy }]
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

/// `dy` with `step − 1` zeros between its elements along an axis, cut to the dimensions `to`.
fn apart<'e>(dy: Expr<'e>, axis: usize, step: i64, to: &[Dim]) -> Expr<'e> {
    let mut between = dy.dims();
    between.insert(axis + 2, Dim::Value(1));
    let mut dilated = between.clone();
    dilated[axis + 2] = Dim::Value(step as i32);
    let apart = embed(dy.reshape(&between), axis + 1, &Dim::Value(0), &dilated);
    let mut long = to.to_vec();
    long[axis + 1] = (dy.dims()[axis + 1].clone() * dilated[axis + 2].clone()).simplify();
    cut(apart.reshape(&long), axis, &Dim::Value(0), to)
}

/// The windows moved along an axis that is no sample's; where it is the channels', they stay.
fn shifted(windows: &[Span], axis: usize, by: i64) -> Option<Vec<Vec<Span>>> {
    let mut windows = windows.to_vec();
    match axis {
        0 => return None,
        1 => {}
        _ => {
            let window = windows.get_mut(axis - 2)?;
            window.start = window.start.checked_add(by)?;
        }
    }
    Some(vec![windows])
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
