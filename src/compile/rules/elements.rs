//! Operators that move, repeat, drop and sum elements by place.
//!
//! `GatherElements, GatherND, TopK, Compress`: the change of each element taken. `Trilu`: 0 outside of
//! the triangle. `Tile`: each copy changes alike. `CumSum`: the running sums of the change. `Range:
//! dy_i = dstart + i·ddelta`, and the limit changes no element.

use super::Inputs::{All, First};
use super::{Entry, Rule, Tangent};
use crate::compile::build::Expr;
use crate::compile::linear as step;
use crate::error::{Error, Result};
use crate::graph::{DataType, Dim, fixed};

pub(super) const RULES: &[Entry] = &[
    Entry::exact("GatherElements", First, gather_elements),
    Entry::exact("GatherND", First, gather_nd),
    Entry::exact("TopK", First, top_k).kink("the first of equals"),
    Entry::exact("Compress", First, compress),
    Entry::exact("Trilu", First, trilu),
    Entry::exact("Tile", First, tile),
    Entry::exact("CumSum", First, cum_sum),
    Entry::exact("Range", All, range).kink("the number of elements held fixed"),
];

/// Attribute `axis`, counted from the front.
pub(super) fn axis_or(cx: &Rule, default: i64, rank: usize) -> Result<usize> {
    cx.axis(cx.node.int("axis")?.unwrap_or(default), rank)
}

fn gather_elements(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let (dx, indices) = (cx.dx(0)?, cx.raw(1)?.cast(DataType::I64));
    same_rank(dx.rank(), indices.rank())?;
    let axis = axis_or(cx, 0, dx.rank())?;
    cx.emit(0, cx.step(step::GatherElements { axis, indices: indices.id }, dx, &cx.y_dims(0)?));
    Ok(())
}

/// Checks that indices have the rank of the data they point into.
pub(super) fn same_rank(data: usize, indices: usize) -> Result<()> {
    if data == indices {
        return Ok(());
    }
    Err(Error::unreadable(format!("indices of rank {indices} into data of rank {data}")))
}

/// TopK: the change of the elements that its own Indices name, an output added where the model left
/// it out.
fn top_k(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let (dx, y_dims) = (cx.dx(0)?, cx.y_dims(0)?);
    let axis = axis_or(cx, -1, dx.rank())?;
    let indices = match cx.node.output(1) {
        Some(indices) => indices,
        None => cx.add_output(1, "Indices", DataType::I64, y_dims.clone())?,
    };
    cx.emit(0, cx.step(step::GatherElements { axis, indices }, dx, &y_dims));
    Ok(())
}

/// Compress: the elements where the condition holds; along no axis, those of the flat input.
fn compress(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let (mut dx, condition, y_dims) = (cx.dx(0)?, cx.raw(1)?, cx.y_dims(0)?);
    let axis = match cx.node.int("axis")? {
        Some(axis) => cx.axis(axis, dx.rank())?,
        None => {
            dx = dx.reshape(&[cx.e.product(&dx.dims())]);
            0
        }
    };
    let indices = match condition.as_ints() {
        Some(holds) => {
            let holding = (0..).zip(holds).filter(|&(_, holds)| holds != 0);
            cx.e.ints(&holding.map(|(place, _)| place).collect::<Vec<_>>())
        }
        None => {
            let places = condition.unary("NonZero");
            let count = &y_dims[axis..=axis];
            places.assume(&[Dim::Value(1), count[0].clone()]).reshape(count)
        }
    };
    cx.emit(0, dx.gather(axis, indices.id, y_dims));
    Ok(())
}

fn trilu(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let dx = cx.dx(0)?;
    let dims = dx.dims();
    let Some(matrix) = dims.len().checked_sub(2).map(|from| &dims[from..]) else {
        return Err(Error::unreadable(format!("an input of rank {}, no matrix", dims.len())));
    };
    let ones = Expr::filled(cx.e, dx.dtype(), 1.0, matrix);
    let mut inputs = vec![Some(ones.id)];
    inputs.extend(cx.node.input(1).map(Some));
    let upper = cx.node.int("upper")?.unwrap_or(1);
    let mask = cx.e.node("Trilu", &inputs, &[("upper", upper.into())], 1)[0];
    cx.emit(0, dx.scale(mask));
    Ok(())
}

/// Tile: every repeated axis is split into the copies and what is copied.
fn tile(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let dx = cx.dx(0)?;
    let dims = dx.dims();
    let Some(repeats) = cx.symbolic(1)? else { return tile_by_index(cx, dx) };
    if repeats.len() != dims.len() || repeats.iter().filter_map(fixed).any(|n| n < 0) {
        let (given, rank) = (repeats.len(), dims.len());
        let what = format!("{given} repeats for rank {rank}, or one of them is negative");
        return Err(Error::unreadable(what));
    }
    let (mut split, mut copied) = (Vec::new(), Vec::new());
    for (dim, times) in dims.into_iter().zip(repeats) {
        if fixed(&times) != Some(1) {
            split.push(Dim::Value(1));
            copied.push(times);
        }
        split.push(dim.clone());
        copied.push(dim);
    }
    cx.emit(0, dx.reshape(&split).broadcast(&copied).reshape(&cx.y_dims(0)?));
    Ok(())
}

/// Tile with repeats that are only known at run time: element `i` of an axis is element `i mod n`.
fn tile_by_index(cx: &Rule, mut dx: Tangent) -> Result<()> {
    for (axis, to) in cx.y_dims(0)?.into_iter().enumerate() {
        let mut dims = dx.dims();
        let size = cx.e.extent(&dims[axis]);
        let indices = cx.e.range(&to).binary("Mod", size);
        dims[axis] = to;
        dx = dx.gather(axis, indices.id, dims);
    }
    cx.emit(0, dx);
    Ok(())
}

fn cum_sum(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let dx = cx.dx(0)?;
    let Some([axis]) = cx.known(1)?.as_deref().and_then(|axes| <[i64; 1]>::try_from(axes).ok())
    else {
        return cx.refuse("the axis of the sums is only known at run time");
    };
    let flag = |name| cx.node.int(name).map(|v| v.unwrap_or(0) != 0);
    let (exclusive, reverse) = (flag("exclusive")?, flag("reverse")?);
    let axis = cx.axis(axis, dx.rank())?;
    cx.emit(0, cx.step(step::CumSum { axis, exclusive, reverse }, dx, &dx.dims()));
    Ok(())
}

fn range(cx: &Rule) -> Result<()> {
    let y_dims = cx.y_dims(0)?;
    let change = |index| Some(cx.tangent(index)?.reshape(&[]).broadcast(&y_dims));
    let mut parts: Vec<Tangent> = change(0).into_iter().collect();
    if let Some(ddelta) = change(2) {
        let numbers = cx.e.range(&cx.e.product(&y_dims)).cast(ddelta.dtype());
        parts.push(ddelta.scale(numbers));
    }
    if parts.len() == 2 {
        cx.homogeneous();
    }
    if let Some(total) = Tangent::sum_of(&parts) {
        cx.emit(0, total);
    }
    Ok(())
}

/// The index tuples of GatherND and ScatterND as numbers of the flat axes they point into.
pub(super) struct Tuples<'e> {
    /// The product of the batch axes, that of the axes pointed into, and that of the rest.
    pub(super) folded: [Dim; 3],
    /// The axes behind those pointed into.
    rest: Vec<Dim>,
    /// The numbers, by batch and place.
    numbers: Expr<'e>,
}

impl<'e> Tuples<'e> {
    /// Reads input 1 of the node as indices into `data`, whose first `batch` axes they share.
    pub(super) fn read(cx: &Rule<'e>, data: &[Dim], batch: usize) -> Result<Self> {
        let indices = cx.raw(1)?.cast(DataType::I64);
        let dims = indices.dims();
        let Some((length, places)) = dims.split_last() else {
            return Err(Error::unreadable("the indices have rank 0"));
        };
        let Some(length) = fixed(length).and_then(|n| usize::try_from(n).ok()) else {
            return cx.refuse("the length of the index tuples is only known at run time");
        };
        if length == 0 || batch > places.len() || batch.saturating_add(length) > data.len() {
            return Err(Error::unreadable(format!(
                "index tuples of length {length} behind {batch} axes do not fit data of rank {}",
                data.len()
            )));
        }
        let (e, sizes) = (cx.e, &data[batch..batch + length]);
        let strides: Vec<Dim> = (1..=length).map(|from| e.product(&sizes[from..])).collect();
        let from_front = indices + e.shape(sizes);
        let wrapped = from_front.where_(indices.binary("Less", e.int(0)), indices);
        let numbers = (wrapped * e.shape(&strides)).reduce("ReduceSum", &[places.len()], false);
        let rest = data[batch + length..].to_vec();
        let folded = [e.product(&data[..batch]), e.product(sizes), e.product(&rest)];
        let numbers = numbers.reshape(&[folded[0].clone(), e.product(&places[batch..])]);
        Ok(Self { folded, rest, numbers })
    }

    /// The numbers repeated for every element behind them, and their dimensions.
    pub(super) fn for_each_element(&self) -> (Expr<'e>, Vec<Dim>) {
        let mut dims = self.numbers.dims();
        dims.push(Dim::Value(1));
        let column = self.numbers.reshape(&dims);
        dims[2] = self.folded[2].clone();
        (column.expand(&dims), dims)
    }
}

fn gather_nd(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let (dx, y_dims) = (cx.dx(0)?, cx.y_dims(0)?);
    let batch = cx.node.int("batch_dims")?.unwrap_or(0);
    let Ok(batch) = usize::try_from(batch) else {
        return Err(Error::unreadable(format!("attribute 'batch_dims' is {batch}")));
    };
    let tuples = Tuples::read(cx, &dx.dims(), batch)?;
    let taken = if batch == 0 {
        let [_, axis, _] = tuples.folded;
        let count = tuples.numbers.dims()[1..].to_vec();
        let with_rest = |axis: &[Dim]| [axis, &tuples.rest].concat();
        let numbers = tuples.numbers.reshape(&count);
        dx.reshape(&with_rest(&[axis])).gather(0, numbers.id, with_rest(&count))
    } else {
        let (indices, dims) = tuples.for_each_element();
        let map = step::GatherElements { axis: 1, indices: indices.id };
        cx.step(map, dx.reshape(&tuples.folded), &dims)
    };
    cx.emit(0, taken.reshape(&y_dims));
    Ok(())
}

#[cfg(test)]
mod tests;
