//! Convolutions: linear in the input for a fixed kernel, and in the kernel for a fixed input; the
//! constant part is the bias `B`.
//!
//! By the kernel: `dy[m, p] = Σ_{c,k} dW[m, c, k]·x_c(place of k in window p)`, with the input laid out
//! as columns, one for each window.

use super::Inputs::All;
use super::normalisation::channels;
use super::window::{explicit, geometry, list};
use super::{Entry, Rule, Shape, Tangent};
use crate::compile::build::Expr;
use crate::compile::linear::{Einsum, Geometry};
use crate::error::Result;
use crate::graph::{Dim, fixed};

pub(super) const RULES: &[Entry] = &[
    Entry::exact("Conv", All, conv).shaped(Shape::Product),
    Entry::exact("ConvTranspose", All, conv_transpose).shaped(Shape::Product),
];

pub(super) fn kernel_of(cx: &Rule) -> Result<Vec<i64>> {
    let dims = cx.raw(1)?.dims();
    let sizes: Option<Vec<_>> = dims.iter().skip(2).map(fixed).collect();
    match sizes {
        Some(sizes) if !sizes.is_empty() => Ok(sizes),
        _ => cx.refuse("the kernel's size is only known at run time"),
    }
}

fn conv(cx: &Rule) -> Result<()> {
    let (x_dims, y_dims) = (cx.raw(0)?.dims(), cx.y_dims(0)?);
    let windows = geometry(cx, kernel_of(cx)?, &x_dims, &y_dims)?.geometry;
    let group = cx.node.int("group")?.unwrap_or(1);
    let by_kernel = match cx.tangent(1) {
        Some(dw) => {
            let readings = (0..windows.rank()).map(|axis| Reading {
                window: windows.strides[axis],
                element: windows.dilations[axis],
                start: -windows.begin[axis],
                divisor: 1,
            });
            Some(by_kernel(cx, dw, group, "gmck", &readings.collect::<Vec<_>>())?)
        }
        None => None,
    };
    let kernel = cx.raw(1)?.id;
    let by_input = cx.tangent(0).map(|dx| dx.conv(kernel, group, windows, y_dims.clone()));
    with_bias(cx, by_input, by_kernel, &y_dims)
}

fn conv_transpose(cx: &Rule) -> Result<()> {
    let y_dims = cx.y_dims(0)?;
    let windows = transposed_geometry(cx, &y_dims)?;
    let group = cx.node.int("group")?.unwrap_or(1);
    let by_kernel = match cx.tangent(1) {
        Some(dw) => {
            let readings = (0..windows.rank()).map(|axis| Reading {
                window: 1,
                element: -windows.dilations[axis],
                start: windows.begin[axis],
                divisor: windows.strides[axis],
            });
            Some(by_kernel(cx, dw, group, "gcmk", &readings.collect::<Vec<_>>())?)
        }
        None => None,
    };
    let kernel = cx.raw(1)?.id;
    let by_input =
        cx.tangent(0).map(|dx| dx.conv_transpose(kernel, group, windows, y_dims.clone()));
    with_bias(cx, by_input, by_kernel, &y_dims)
}

/// Where element `k` of window `p` reads along an axis: at `(p·window + k·element + start)/divisor`
/// where that is whole and in the input.
struct Reading {
    window: i64,
    element: i64,
    start: i64,
    divisor: i64,
}

/// The change by the kernel, whose axes are `labels` when its first is split into groups and its
/// spatial ones are joined.
fn by_kernel<'r, 'e>(
    cx: &'r Rule<'e>,
    dw: Tangent<'r, 'e>,
    group: i64,
    labels: &str,
    readings: &[Reading],
) -> Result<Tangent<'r, 'e>> {
    let (e, x, y_dims, w_dims) = (cx.e, cx.ranked(0, 3)?, cx.y_dims(0)?, dw.dims());
    let (x_dims, group) = (x.dims(), Dim::Value(i32::try_from(group).unwrap_or(0)));
    let ([n, c, ..], [first, second, kernel @ ..]) = (&x_dims[..], &w_dims[..]) else {
        return cx.refuse("a kernel without channels");
    };
    let split = |dim: &Dim| (dim.clone() / group.clone()).simplify();
    let (taps, points) = (e.product(kernel), e.product(&y_dims[2..]));
    let columns = columns(x, kernel, &y_dims[2..], readings);
    let columns =
        columns.reshape(&[n.clone(), group.clone(), split(c), taps.clone(), points.clone()]);
    let dw = dw.reshape(&[group.clone(), split(first), second.clone(), taps]);
    let letters = |text: &str| text.chars().collect::<Vec<char>>();
    let map = Einsum {
        seeds: 's',
        input: letters(labels),
        fixed: vec![(columns.id, letters("ngckp"))],
        output: letters("ngmp"),
    };
    let sums = cx.step(map, dw, &[n.clone(), group.clone(), split(&y_dims[1]), points]);
    Ok(sums.reshape(&y_dims))
}

/// What the elements of a kernel read: `x` `[N, C, s…]` as `[N, C, k…, o…]`, zero beyond its border.
fn columns<'e>(x: Expr<'e>, kernel: &[Dim], out: &[Dim], readings: &[Reading]) -> Expr<'e> {
    let (e, rank) = (x.e, readings.len());
    let sizes = x.dims()[2..].to_vec();
    let mut pads = vec![0; 2 * (rank + 2)];
    pads[rank + 4..].fill(1);
    let mut columns = e.op("Pad", &[x, e.ints(&pads)], &[]);
    for (axis, reading) in readings.iter().enumerate().rev() {
        let size = e.extent(&sizes[axis]);
        let element = e.range(&kernel[axis]).reshape(&[kernel[axis].clone(), Dim::Value(1)]);
        let window = e.range(&out[axis]);
        let place = window * e.int(reading.window) + element * e.int(reading.element);
        let place = place + e.int(reading.start);
        let mut outside = place.binary("Less", e.int(0));
        let mut at = place;
        if reading.divisor != 1 {
            at = place / e.int(reading.divisor);
            let whole = (at * e.int(reading.divisor)).binary("Equal", place);
            outside = outside.binary("Or", whole.unary("Not"));
        }
        outside = outside.binary("Or", at.binary("Less", size).unary("Not"));
        columns = columns.gather(size.where_(outside, at), axis + 2);
    }
    let elements = (0..rank).map(|axis| 2 + 2 * axis);
    let windows = (0..rank).map(|axis| 3 + 2 * axis);
    columns.transpose(&[0, 1].into_iter().chain(elements).chain(windows).collect::<Vec<_>>())
}

/// The windows of a ConvTranspose over its output, with `output_shape` and `auto_pad` turned into
/// explicit padding: begin + end = (i − 1)·stride + output_padding + reach − o.
fn transposed_geometry(cx: &Rule, y_dims: &[Dim]) -> Result<Geometry> {
    let x_dims = cx.raw(0)?.dims();
    let kernel = kernel_of(cx)?;
    let rank = kernel.len();
    let extra = list(cx, "output_padding", 0, rank)?;
    let mut windows = explicit(cx, kernel)?;
    let auto_pad = cx.node.text("auto_pad")?.unwrap_or("NOTSET");
    let given = cx.node.ints("output_shape")?.is_some();
    if auto_pad == "VALID" && !given {
        (windows.begin, windows.end) = (vec![0; rank], vec![0; rank]);
    } else if given || auto_pad != "NOTSET" {
        for axis in 0..rank {
            let (Some(i), Some(o)) = (fixed(&x_dims[axis + 2]), fixed(&y_dims[axis + 2])) else {
                return cx.refuse(
                    "padding by output_shape or auto_pad over a size only known at run time",
                );
            };
            let total = (i - 1) * windows.strides[axis] + extra[axis] + windows.reach(axis) - o;
            // Runtimes agree on what lies past the windows only where the size is given.
            if total < 0 && !(given && -total < windows.strides[axis]) {
                return cx.refuse(format!("an output {} longer than the windows reach", -total));
            }
            let total = total.max(0);
            let half = total / 2;
            (windows.begin[axis], windows.end[axis]) =
                if auto_pad == "SAME_UPPER" { (half, total - half) } else { (total - half, half) };
        }
    }
    Ok(windows)
}

/// Emits the change by the input, the kernel and the bias; a bias that does not change is the constant
/// part where the rest is linear.
fn with_bias<'r, 'e>(
    cx: &'r Rule<'e>,
    by_input: Option<Tangent<'r, 'e>>,
    by_kernel: Option<Tangent<'r, 'e>>,
    y_dims: &[Dim],
) -> Result<()> {
    let spatial = y_dims.len() - 2;
    let by_bias = cx.tangent(2).map(|db| {
        let mut dims = vec![Dim::Value(1)];
        dims.extend(db.dims());
        dims.extend(std::iter::repeat_n(Dim::Value(1), spatial));
        db.reshape(&dims).broadcast(y_dims)
    });
    if by_input.is_some() != by_kernel.is_some() {
        match (by_bias, cx.node.input(2)) {
            (None, Some(_)) => cx.constant_part(0, channels(cx.x(2)?, spatial)),
            _ => cx.homogeneous(),
        }
    }
    let parts: Vec<Tangent> = [by_input, by_kernel, by_bias].into_iter().flatten().collect();
    if let Some(total) = Tangent::sum_of(&parts) {
        cx.emit(0, total);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
