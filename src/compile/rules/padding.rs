//! Operators that put elements around a tensor, or cut them off, along each axis.
//!
//! With a constant around, `dy` is `dx` among zeros, and the sum over the border goes to the
//! constant. Where the border repeats elements of the tensor, each position of the output shows one
//! position of the input: a Gather. Negative widths cut; what is left is then padded. Widths that
//! are only known when the model runs are a Gather too, times 0 on the border.

use super::Inputs::{First, Only};
use super::indexing::axes;
use super::{Entry, Rule, Tangent};
use crate::compile::build::Expr;
use crate::error::{Error, Result};
use crate::graph::{DataType, Dim, fixed};

pub(super) const RULES: &[Entry] =
    &[Entry::exact("Pad", Only(&[0, 2]), pad), Entry::exact("CenterCropPad", First, center)];

/// What stands around a tensor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Border {
    Constant,
    Edge,
    Reflect,
    Wrap,
}

/// Pad. An infinite constant is left out of the constant part: a neuron that it reached would be
/// infinite itself, and where it loses a comparison 0 · ∞ must not become NaN.
fn pad(cx: &Rule) -> Result<()> {
    let border = match cx.node.text("mode")?.unwrap_or("constant") {
        "constant" => Border::Constant,
        "edge" => Border::Edge,
        "reflect" => Border::Reflect,
        "wrap" => Border::Wrap,
        other => return Err(Error::unreadable(format!("attribute 'mode' is '{other}'"))),
    };
    let constant = cx.node.input(2).filter(|_| border == Border::Constant).map(|id| cx.e.expr(id));
    let vanishes = |value: Expr| {
        value.as_floats().is_some_and(|v| v.iter().all(|&v| v == 0.0 || v.is_infinite()))
    };
    let of_data = cx.tangent(0).map(|dx| padded(cx, dx, border)).transpose()?;
    let of_constant = cx.tangent(2).filter(|_| constant.is_some());
    if of_data.is_some() && (of_constant.is_some() || constant.is_none_or(vanishes)) {
        cx.homogeneous();
    }
    let of_constant = of_constant.map(|value| around(cx, value)).transpose()?;
    let parts: Vec<_> = of_data.into_iter().chain(of_constant).collect();
    if let Some(change) = Tangent::sum_of(&parts) {
        cx.emit(0, change);
    }
    Ok(())
}

/// The change of the constant everywhere on the border.
fn around<'r, 'e>(cx: &'r Rule<'e>, value: Tangent<'r, 'e>) -> Result<Tangent<'r, 'e>> {
    let zeros = Expr::zeros(cx.e, value.dtype(), &cx.raw(0)?.dims());
    let one = cx.e.float(value.dtype(), 1.0);
    let mut inputs = vec![Some(zeros.id), Some(cx.raw(1)?.id), Some(one.id)];
    inputs.extend(cx.node.input(3).map(Some));
    let y_dims = cx.y_dims(0)?;
    let border = cx.e.node("Pad", &inputs, &[], 1)[0].assume(&y_dims);
    Ok(value.reshape(&[]).broadcast(&y_dims).scale(border))
}

fn padded<'r, 'e>(
    cx: &'r Rule<'e>,
    mut dx: Tangent<'r, 'e>,
    border: Border,
) -> Result<Tangent<'r, 'e>> {
    let (rank, y_dims) = (dx.rank(), cx.y_dims(0)?);
    let widths = cx.symbolic(1)?;
    let given = match &widths {
        Some(widths) => Some(widths.len()),
        None => cx.raw(1)?.dims().first().and_then(fixed).and_then(|n| usize::try_from(n).ok()),
    };
    let count = if cx.node.input(3).is_some() { given.unwrap_or(0) / 2 } else { rank };
    if given != Some(2 * count) {
        return Err(Error::unreadable(format!("{given:?} pads for {count} axes")));
    }
    for (i, axis) in axes(cx, 3, count, rank)?.into_iter().enumerate() {
        let width = |i: usize| match widths.as_ref().and_then(|widths| fixed(&widths[i])) {
            Some(known) => Ok(Width::Known(known)),
            None => {
                Ok(Width::Computed(cx.raw(1)?.cast(DataType::I64).gather(cx.e.int(i as i64), 0)))
            }
        };
        let line = Line { axis, border, before: width(i)?, after: width(i + count)? };
        dx = line.apply(cx, dx, &y_dims[axis])?;
    }
    Ok(dx)
}

/// A width, negative where elements are cut off.
#[derive(Clone, Copy)]
enum Width<'e> {
    Known(i64),
    Computed(Expr<'e>),
}

impl<'e> Width<'e> {
    fn expr(self, cx: &Rule<'e>) -> Expr<'e> {
        match self {
            Self::Known(n) => cx.e.int(n),
            Self::Computed(n) => n,
        }
    }
}

/// What is done along one axis.
struct Line<'e> {
    axis: usize,
    border: Border,
    before: Width<'e>,
    after: Width<'e>,
}

impl<'e> Line<'e> {
    fn apply<'r>(
        &self,
        cx: &'r Rule<'e>,
        dx: Tangent<'r, 'e>,
        to: &Dim,
    ) -> Result<Tangent<'r, 'e>> {
        let mut dims = dx.dims();
        let (axis, size) = (self.axis, dims[self.axis].clone());
        dims[axis] = to.clone();
        if let (Width::Known(before), Width::Known(after)) = (self.before, self.after) {
            // Negative widths cut; what is left is then padded.
            let cut = [before, after].map(|n| width(n.saturating_neg()));
            let left = (size.clone() - cut[0].clone() - cut[1].clone()).simplify();
            let least = i64::from(self.border != Border::Constant && (before > 0 || after > 0));
            if fixed(&left).is_some_and(|n| n < least) {
                let what = format!("pads of {before} and {after} around {size} elements");
                return Err(Error::unreadable(what));
            }
            let [start, _] = cut;
            if self.border == Border::Constant || (before <= 0 && after <= 0) {
                return Ok(dx.window(axis, start, left).pad(axis, width(before), to.clone()));
            }
            if let (Some(size), Some(count)) = (fixed(&left), fixed(to)) {
                let first = fixed(&start).unwrap_or(0);
                let shown = (0..count).map(|o| first + self.border.shows(o - before.max(0), size));
                let indices = cx.e.ints(&shown.collect::<Vec<_>>());
                return Ok(dx.gather(axis, indices.id, dims));
            }
        }
        let (indices, inside) = self.computed(cx, &size, to);
        let shown = dx.gather(axis, indices.id, dims.clone());
        Ok(match inside {
            None => shown,
            Some(inside) => {
                let mut aligned = vec![Dim::Value(1); dims.len() - axis];
                aligned[0] = to.clone();
                shown.scale(inside.indicator(dx.dtype()).reshape(&aligned))
            }
        })
    }

    /// The position of the input that each position of the output shows, and with a constant
    /// around, where there is one at all.
    fn computed(&self, cx: &Rule<'e>, from: &Dim, to: &Dim) -> (Expr<'e>, Option<Expr<'e>>) {
        let e = cx.e;
        let (zero, one) = (e.int(0), e.int(1));
        let [before, after] = [self.before, self.after].map(|width| width.expr(cx));
        let start = (zero - before).binary("Max", zero);
        let size = e.extent(from).reshape(&[]) + after.binary("Min", zero) - start;
        let place = e.range(to) - before.binary("Max", zero);
        let last = size - one;
        let held = || place.binary("Max", zero).binary("Min", last);
        let shown = match self.border {
            Border::Constant | Border::Edge => held(),
            Border::Wrap => place.binary("Mod", size),
            Border::Reflect => {
                let period = (last + last).binary("Max", one);
                last - (last - place.binary("Mod", period)).unary("Abs")
            }
        };
        let inside = (self.border == Border::Constant).then(|| {
            let behind = place.binary("GreaterOrEqual", zero);
            behind.binary("And", place.binary("Less", size))
        });
        (shown + start, inside)
    }
}

impl Border {
    /// The element among `size` that is shown at a place counted from the first.
    fn shows(self, place: i64, size: i64) -> i64 {
        match self {
            Self::Constant | Self::Edge => place.clamp(0, size - 1),
            Self::Wrap => place.rem_euclid(size),
            Self::Reflect => {
                let last = size - 1;
                last - (last - place.rem_euclid((2 * last).max(1))).abs()
            }
        }
    }
}

/// A width as a dimension, 0 for a negative one.
fn width(n: i64) -> Dim {
    Dim::Value(n.clamp(0, i64::from(i32::MAX)) as i32)
}

/// CenterCropPad: the middle of what is too long, zeros around what is too short; of an odd number
/// the smaller half stands before.
fn center<'e>(cx: &Rule<'e>) -> Result<()> {
    cx.homogeneous();
    let (mut dx, y_dims) = (cx.dx(0)?, cx.y_dims(0)?);
    let axes = match cx.node.ints("axes")? {
        None => (0..dx.rank()).collect(),
        Some(list) => {
            list.iter().map(|&axis| cx.axis(axis, dx.rank())).collect::<Result<Vec<_>>>()?
        }
    };
    for axis in axes {
        let (from, to) = (dx.dims()[axis].clone(), y_dims[axis].clone());
        if from == to {
            continue;
        }
        let (before, after) = match (fixed(&from), fixed(&to)) {
            (Some(from), Some(to)) => {
                let before = (to - from) / 2;
                (Width::Known(before), Width::Known(to - from - before))
            }
            _ => {
                let [from, to] = [&from, &to].map(|dim| cx.e.extent(dim).reshape(&[]));
                let (zero, two) = (cx.e.int(0), cx.e.int(2));
                let half = |missing: Expr<'e>| missing.binary("Max", zero).binary("Div", two);
                let before = half(to - from) - half(from - to);
                (Width::Computed(before), Width::Computed(to - from - before))
            }
        };
        let line = Line { axis, border: Border::Constant, before, after };
        dx = line.apply(cx, dx, &to)?;
    }
    cx.emit(0, dx);
    Ok(())
}

#[cfg(test)]
mod tests;
