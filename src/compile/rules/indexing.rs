//! Operators that join, cut and pick elements: `dy` is made of elements of `dx`, and of zeros where
//! `y` holds a constant.

use super::Inputs::{All, First, Only};
use super::arithmetic::affine;
use super::enumeration::counts_places;
use super::{Entry, Rule, Tangent};
use crate::compile::build::Expr;
use crate::error::{Error, Result};
use crate::graph::{Dim, fixed};

pub(super) const RULES: &[Entry] = &[
    Entry::exact("Concat", All, concat),
    Entry::exact("Split", First, split),
    Entry::exact("Slice", First, slice),
    Entry::exact("Gather", First, gather),
    Entry::exact("Where", Only(&[1, 2]), where_),
];

fn concat(cx: &Rule) -> Result<()> {
    let y_dims = cx.y_dims(0)?;
    let Some(axis) = cx.node.int("axis")? else {
        return Err(Error::unreadable("attribute 'axis' is missing"));
    };
    let axis = cx.axis(axis, y_dims.len())?;
    let (mut parts, mut constants) = (Vec::new(), Vec::new());
    let count = cx.node.inputs.len();
    let Some(dtype) = (0..count).find_map(|index| cx.tangent(index)).map(Tangent::dtype) else {
        return Err(Error::internal("nothing that is joined changes"));
    };
    for index in 0..count {
        match cx.tangent(index) {
            Some(dx) => {
                constants.push(Expr::zeros(cx.e, dx.dtype(), &dx.dims()));
                parts.push(dx);
            }
            None => {
                constants.push(cx.x(index)?.cast(dtype));
                parts.push(cx.no_change(index)?);
            }
        }
    }
    if (0..parts.len()).all(|index| cx.tangent(index).is_some()) {
        cx.homogeneous();
    } else {
        cx.constant_part(0, Expr::concat(&constants, axis));
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
        let size = match cx.node.output(index) {
            Some(_) => cx.y_dims(index)?[axis].clone(),
            None => left_out(cx, index, &dx.dims()[axis])?,
        };
        let next = (start.clone() + size.clone()).simplify();
        if cx.node.output(index).is_some() {
            cx.emit(index, dx.window(axis, start, size));
        }
        start = next;
    }
    Ok(())
}

/// The size of an output of Split that the node leaves out: input 1 says it, or all but the last
/// have the same.
fn left_out(cx: &Rule, index: usize, whole: &Dim) -> Result<Dim> {
    if cx.node.input(1).is_none() {
        let count = cx.node.outputs.len() as i32;
        return Ok(whole.div_ceil(&Dim::Value(count)).simplify());
    }
    match cx.symbolic(1)?.and_then(|sizes| sizes.get(index).cloned()) {
        Some(size) => Ok(size),
        None => {
            cx.refuse(format!("the size of output {index}, left out, is only known at run time"))
        }
    }
}

fn slice(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let mut dx = cx.dx(0)?;
    let (rank, y_dims) = (dx.rank(), cx.y_dims(0)?);
    let Some(starts) = starts(cx)? else {
        return cx.refuse("where the slice starts is only known at run time");
    };
    let axes = axes(cx, 3, starts.len(), rank)?;
    let steps = match cx.node.input(4) {
        None => vec![1; starts.len()],
        Some(_) => match cx.known(4)? {
            Some(steps) => steps,
            None => return cx.refuse("the steps of the slice are only known at run time"),
        },
    };
    if steps.len() != starts.len() || steps.contains(&0) {
        return Err(Error::unreadable(format!("{} starts with the steps {steps:?}", starts.len())));
    }
    for ((start, axis), step) in starts.iter().zip(axes).zip(steps) {
        dx = slice_axis(cx, dx, axis, start, step, &y_dims[axis])?;
    }
    cx.emit(0, dx);
    Ok(())
}

/// Where a slice starts; numbers beyond any size are cut to what a dimension holds.
fn starts(cx: &Rule) -> Result<Option<Vec<Dim>>> {
    const FAR: i64 = i32::MAX as i64;
    let dim = |&n: &i64| Dim::Value(n.clamp(-FAR, FAR) as i32);
    match cx.known(1)? {
        Some(numbers) => Ok(Some(numbers.iter().map(dim).collect())),
        None => cx.symbolic(1),
    }
}

/// The axes that input `index` lists, each once; the first `count` where it is left out.
pub(super) fn axes(cx: &Rule, index: usize, count: usize, rank: usize) -> Result<Vec<usize>> {
    let listed = match cx.node.input(index) {
        None => (0..count as i64).collect(),
        Some(_) => match cx.known(index)? {
            Some(axes) => axes,
            None => return cx.refuse("its axes are only known at run time"),
        },
    };
    let axes = listed.iter().map(|&axis| cx.axis(axis, rank)).collect::<Result<Vec<_>>>()?;
    let twice = axes.iter().enumerate().any(|(i, axis)| axes[..i].contains(axis));
    if twice || axes.len() != count {
        return Err(Error::unreadable(format!("the axes {listed:?}, where {count} are needed")));
    }
    Ok(axes)
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
    let Some(first) = first_index(start, size, step > 0) else {
        return cx.refuse(format!("whether {start} counts from the end is only known at run time"));
    };
    let Some(stride) = i32::try_from(step.unsigned_abs()).ok() else {
        // A step longer than any axis takes the first element alone.
        return Ok(dx.window(axis, first, Dim::Value(1)));
    };
    let before = ((count.clone() - Dim::Value(1)) * Dim::Value(stride)).simplify();
    // The sum of a symbolic size less one and one need not become that size again.
    let span = match stride {
        1 => count.clone(),
        _ => (before.clone() + Dim::Value(1)).max(&Dim::Value(0)).simplify(),
    };
    let low = if step < 0 { (first - before).simplify() } else { first };
    let picked = dx.window(axis, low, span).stride(axis, i64::from(stride), count.clone());
    Ok(if step < 0 { picked.reverse(axis) } else { picked })
}

/// The first index of a slice that is not empty: `start` counted from the front and held inside of
/// the axis; none where its sign is unknown.
fn first_index(start: &Dim, size: &Dim, ascending: bool) -> Option<Dim> {
    let last = if ascending { size.clone() } else { size.clone() - Dim::Value(1) };
    let first = match start {
        Dim::Value(s @ ..0) => (size.clone() + Dim::Value(*s)).max(&Dim::Value(0)),
        // A slice upwards that starts past the end is empty.
        start if start.is_positive() && ascending => start.clone(),
        start if start.is_positive() => start.min(&last),
        _ => return None,
    };
    let first = first.simplify();
    Some(match (&first, last.simplify()) {
        (Dim::Value(first), Dim::Value(last)) => Dim::Value((*first).clamp(0, last.max(0))),
        _ => first,
    })
}

fn gather(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let dx = cx.dx(0)?;
    let axis = cx.axis(cx.node.int("axis")?.unwrap_or(0), dx.rank())?;
    let (indices, dims) = (cx.raw(1)?.id, cx.y_dims(0)?);
    let in_order = cx.e.graph(|graph| counts_places(graph, indices, &dx.dims()[axis]));
    let change = if in_order { dx.reshape(&dims) } else { dx.gather(axis, indices, dims) };
    cx.emit(0, change);
    Ok(())
}

fn where_(cx: &Rule) -> Result<()> {
    let (condition, y_dims) = (cx.raw(0)?, cx.y_dims(0)?);
    let (mut parts, mut constants) = (Vec::new(), Vec::new());
    for (index, holds) in [(1, condition), (2, condition.unary("Not"))] {
        match cx.tangent(index) {
            Some(dx) => parts.push(dx.broadcast(&y_dims).scale(holds.indicator(dx.dtype()))),
            None => {
                let fixed = cx.x(index)?;
                constants.push(fixed.where_(holds, fixed.number(0.0)));
            }
        }
    }
    affine(cx, &parts, constants);
    Ok(())
}

#[cfg(test)]
mod tests;
