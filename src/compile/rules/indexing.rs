//! Operators that join, cut and pick elements.

use super::Inputs::{All, First, Only};
use super::{Entry, Rule, Tangent};
use crate::error::{Error, Result};
use crate::graph::{Dim, fixed};

pub(super) const RULES: &[Entry] = &[
    Entry::exact("Concat", All, concat),
    Entry::exact("Split", First, split),
    Entry::exact("Slice", First, slice),
    Entry::exact("Pad", First, pad),
    Entry::exact("Gather", First, gather),
    Entry::exact("Where", Only(&[1, 2]), where_),
];

fn concat(cx: &Rule) -> Result<()> {
    let y_dims = cx.y_dims(0)?;
    let Some(axis) = cx.node.int("axis")? else {
        return Err(Error::unreadable("attribute 'axis' is missing"));
    };
    let axis = cx.axis(axis, y_dims.len())?;
    let parts: Vec<Tangent> = (0..cx.node.inputs.len())
        .map(|i| match cx.tangent(i) {
            Some(dx) => Ok(dx),
            None => cx.no_change(i),
        })
        .collect::<Result<_>>()?;
    if (0..parts.len()).all(|i| cx.tangent(i).is_some()) {
        cx.homogeneous();
    }
    if let Some(whole) = Tangent::concat(&parts, axis, y_dims) {
        cx.emit(0, whole);
    }
    Ok(())
}

fn split(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let dx = cx.dx(0)?;
    let axis = cx.axis(cx.node.int("axis")?.unwrap_or(0), dx.rank())?;
    let mut start = Dim::Value(0);
    for index in 0..cx.node.outputs.len() {
        if cx.node.output(index).is_none() {
            return cx.refuse(format!("output {index} of Split is left out"));
        }
        let size = cx.y_dims(index)?[axis].clone();
        let next = (start.clone() + size.clone()).simplify();
        cx.emit(index, dx.window(axis, std::mem::replace(&mut start, next), size));
    }
    Ok(())
}

fn slice(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let mut dx = cx.dx(0)?;
    let (rank, y_dims) = (dx.rank(), cx.y_dims(0)?);
    let Some(starts) = cx.symbolic(1)? else {
        return cx.refuse("where the slice starts is only known at run time");
    };
    let axes = match cx.node.input(3) {
        None => (0..starts.len() as i64).collect(),
        Some(_) => match cx.known(3)? {
            Some(axes) => axes,
            None => return cx.refuse("the axes of the slice are only known at run time"),
        },
    };
    let steps = match cx.node.input(4) {
        None => vec![1; starts.len()],
        Some(_) => match cx.known(4)? {
            Some(steps) => steps,
            None => return cx.refuse("the steps of the slice are only known at run time"),
        },
    };
    if axes.len() != starts.len() || steps.len() != starts.len() || steps.contains(&0) {
        return Err(Error::unreadable("starts, axes and steps do not fit each other"));
    }
    for ((start, axis), step) in starts.iter().zip(axes).zip(steps) {
        let axis = cx.axis(axis, rank)?;
        dx = slice_axis(cx, dx, axis, start, step, &y_dims[axis])?;
    }
    cx.emit(0, dx);
    Ok(())
}

/// One axis of a slice: the window it lies in, every `|step|`-th element of that, and the reverse
/// where the step is negative.
fn slice_axis<'r, 'e>(
    cx: &Rule<'e>,
    dx: Tangent<'r, 'e>,
    axis: usize,
    start: &Dim,
    step: i64,
    count: &Dim,
) -> Result<Tangent<'r, 'e>> {
    let size = &dx.dims()[axis];
    if fixed(count) == Some(0) {
        return Ok(dx.window(axis, Dim::Value(0), Dim::Value(0)));
    }
    let first = match (start, fixed(size)) {
        (Dim::Value(s), Some(size)) => {
            let s = i64::from(*s);
            let last = if step < 0 { size - 1 } else { size };
            Dim::Value((if s < 0 { s + size } else { s }).clamp(0, last.max(0)) as i32)
        }
        (Dim::Value(s), None) if *s < 0 && step > 0 => (size.clone() + start.clone()).simplify(),
        (Dim::Value(_), None) if step > 0 => start.clone(),
        (start, _) if start.is_positive() && step > 0 => start.clone(),
        _ => {
            return cx.refuse(format!(
                "where the slice of an axis of size {size} starts is only known at run time"
            ));
        }
    };
    let Some(stride) = i32::try_from(step.unsigned_abs()).ok() else {
        // A step longer than any axis takes the first element alone.
        return Ok(dx.window(axis, first, Dim::Value(1)));
    };
    let before = (count.clone() - Dim::Value(1)) * Dim::Value(stride);
    let span = (before.clone() + Dim::Value(1)).simplify();
    let low = if step < 0 { (first - before).simplify() } else { first };
    let picked = dx.window(axis, low, span).stride(axis, i64::from(stride), count.clone());
    Ok(if step < 0 { picked.reverse(axis) } else { picked })
}

fn pad(cx: &Rule) -> Result<()> {
    let mode = cx.node.text("mode")?.unwrap_or("constant");
    if mode != "constant" {
        return cx.refuse(format!("Pad in mode '{mode}'"));
    }
    if cx.node.input(2).is_none() {
        cx.homogeneous();
    }
    let mut dx = cx.dx(0)?;
    let (rank, y_dims) = (dx.rank(), cx.y_dims(0)?);
    let Some(pads) = cx.known(1)? else {
        return cx.refuse("the widths of the padding are only known at run time");
    };
    let axes = match cx.node.input(3) {
        None => (0..rank as i64).collect(),
        Some(_) => match cx.known(3)? {
            Some(axes) => axes,
            None => return cx.refuse("the axes of the padding are only known at run time"),
        },
    };
    if pads.len() != 2 * axes.len() {
        return Err(Error::unreadable(format!("{} pads for {} axes", pads.len(), axes.len())));
    }
    for (i, &axis) in axes.iter().enumerate() {
        let axis = cx.axis(axis, rank)?;
        let Ok(before) = i32::try_from(pads[i]) else {
            return Err(Error::unreadable(format!("a padding of {}", pads[i])));
        };
        let after = pads[axes.len() + i].clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
        let size = dx.dims()[axis].clone();
        // Negative widths cut; what is left is then padded.
        let cut = Dim::Value((-before).max(0) + (-after).max(0));
        dx = dx.window(axis, Dim::Value((-before).max(0)), (size - cut).simplify());
        dx = dx.pad(axis, Dim::Value(before.max(0)), y_dims[axis].clone());
    }
    cx.emit(0, dx);
    Ok(())
}

fn gather(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let dx = cx.dx(0)?;
    let axis = cx.axis(cx.node.int("axis")?.unwrap_or(0), dx.rank())?;
    cx.emit(0, dx.gather(axis, cx.raw(1)?.id, cx.y_dims(0)?));
    Ok(())
}

fn where_(cx: &Rule) -> Result<()> {
    let (condition, y_dims) = (cx.raw(0)?, cx.y_dims(0)?);
    let mut parts = Vec::new();
    for (index, holds) in [(1, condition), (2, condition.unary("Not"))] {
        match cx.tangent(index) {
            Some(dx) => {
                let dtype = dx.dtype();
                parts.push(dx.broadcast(&y_dims).scale(holds.indicator(dtype)));
            }
            None => {
                let fixed = cx.x(index)?;
                cx.constant_part(0, fixed.where_(holds, fixed.number(0.0)));
            }
        }
    }
    if parts.len() == 2 {
        cx.homogeneous();
    }
    if let Some(total) = Tangent::sum_of(&parts) {
        cx.emit(0, total);
    }
    Ok(())
}
