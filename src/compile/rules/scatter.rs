//! Updates written into data by index, with every reduction.
//!
//! Each element of the data and of the updates is scaled, and the updates are added where they go:
//! `dy = a ⊙ dx + scatter(b ⊙ du)`. For `none`, `a` and `b` are 1 where an element is found in the
//! output; for `add` they are 1; for `mul` they are the product of the others that meet at a place,
//! right where some are 0; for `max` and `min` they are 1 at the winner, the data before the updates
//! and those in row-major order. `TensorScatter` writes whole slices from an index on.

use super::Inputs::{All, Only};
use super::elements::{Tuples, axis_or, same_rank};
use super::{Entry, Rule, Shape, Tangent};
use crate::compile::build::Expr;
use crate::compile::linear as step;
use crate::error::{Error, Result};
use crate::graph::{DataType, Dim, Node};

pub(super) const RULES: &[Entry] = &[
    Entry::exact("ScatterElements", All, scatter_elements)
        .form(BY_PRODUCT, shape)
        .kink("the first of equals, the data before the updates"),
    Entry::exact("ScatterND", All, scatter_nd)
        .form(BY_PRODUCT, shape)
        .kink("the first of equals, the data before the updates"),
    Entry::exact("TensorScatter", Only(&[0, 1]), tensor_scatter),
];

const BY_PRODUCT: &str = "with reduction mul, tangent if input 2 changes";

fn shape(node: &Node) -> Shape {
    match node.text("reduction") {
        Ok(Some("mul")) => Shape::Unless(&[2]),
        _ => Shape::Piecewise,
    }
}

fn scatter_elements(cx: &Rule) -> Result<()> {
    let (dims, indices) = (cx.raw(0)?.dims(), cx.raw(1)?.cast(DataType::I64));
    same_rank(dims.len(), indices.rank())?;
    let axis = axis_or(cx, 0, dims.len())?;
    Scatter { source: 2, axis, indices, updates: indices.dims(), data: dims }.emit(cx)
}

fn scatter_nd(cx: &Rule) -> Result<()> {
    let tuples = Tuples::read(cx, &cx.raw(0)?.dims(), 0)?;
    let (indices, updates) = tuples.for_each_element();
    Scatter { source: 2, axis: 1, indices, updates, data: tuples.folded.to_vec() }.emit(cx)
}

/// TensorScatter: slice `s` of the update of sample `b` goes to slice `write_indices[b] + s` of the
/// cache, from its start on again in circular mode.
fn tensor_scatter(cx: &Rule) -> Result<()> {
    let (data, updates) = (cx.raw(0)?.dims(), cx.raw(1)?.dims());
    same_rank(data.len(), updates.len())?;
    let axis = axis_or(cx, -2, data.len())?;
    if axis == 0 {
        return Err(Error::unreadable("axis 0 holds the samples"));
    }
    let along = |axis: usize| -> Vec<Dim> {
        let one = |at: usize| if at == axis { updates[at].clone() } else { Dim::Value(1) };
        (0..updates.len()).map(one).collect()
    };
    let mut indices = cx.e.range(&updates[axis]).reshape(&along(axis));
    if cx.node.input(2).is_some() {
        cx.check_spread(2, &along(0), &updates)?;
        indices = indices + cx.raw(2)?.reshape(&along(0));
    }
    match cx.node.text("mode")?.unwrap_or("linear") {
        "linear" => {}
        "circular" => indices = indices.binary("Mod", cx.e.extent(&data[axis])),
        other => return Err(Error::unreadable(format!("attribute 'mode' is '{other}'"))),
    }
    let indices = indices.expand(&updates);
    Scatter { source: 1, axis, indices, updates, data }.emit(cx)
}

fn scaled<'r, 'e>(change: Tangent<'r, 'e>, by: Option<Expr<'e>>) -> Tangent<'r, 'e> {
    by.map_or(change, |by| change.scale(by.indicator(change.dtype())))
}

/// What the elements of the data, and those of the updates, are scaled by.
type Scales<'e> = (Option<Expr<'e>>, Option<Expr<'e>>);

/// Elements of the updates, input `source`, that go to places of the data, both under the
/// dimensions given here.
struct Scatter<'e> {
    source: usize,
    axis: usize,
    indices: Expr<'e>,
    data: Vec<Dim>,
    updates: Vec<Dim>,
}

impl<'e> Scatter<'e> {
    fn emit(self, cx: &Rule<'e>) -> Result<()> {
        let (ddata, dupdates) = (cx.tangent(0), cx.tangent(self.source));
        let reduction = cx.node.text("reduction")?.unwrap_or("none");
        let (data, updates) = match reduction {
            "none" => self.last(cx),
            "add" => (None, None),
            "mul" => self.others(cx, dupdates.is_some())?,
            "max" | "min" => self.winners(cx, reduction)?,
            other => return Err(Error::unreadable(format!("attribute 'reduction' is '{other}'"))),
        };
        let mut parts = Vec::new();
        if let Some(ddata) = ddata {
            parts.push(scaled(ddata.reshape(&self.data), data));
        }
        if let Some(dupdates) = dupdates {
            let kept = scaled(dupdates.reshape(&self.updates), updates);
            let map = step::ScatterElements { axis: self.axis, indices: self.indices.id };
            parts.push(cx.step(map, kept, &self.data));
        }
        let linear = if reduction == "mul" { dupdates.is_none() } else { parts.len() == 2 };
        if linear {
            cx.homogeneous();
        }
        if let Some(total) = Tangent::sum_of(&parts) {
            cx.emit(0, total.reshape(&cx.y_dims(0)?));
        }
        Ok(())
    }

    /// `updates` written into `data`.
    fn write(&self, data: Expr<'e>, updates: Expr<'e>, reduction: &str) -> Expr<'e> {
        let axis = ("axis", (self.axis as i64).into());
        let reduction = ("reduction", reduction.into());
        data.e.op("ScatterElements", &[data, self.indices, updates], &[axis, reduction])
    }

    /// What stands in `data` where each update goes.
    fn read(&self, data: Expr<'e>) -> Expr<'e> {
        let axis = [("axis", (self.axis as i64).into())];
        data.e.op("GatherElements", &[data, self.indices], &axis)
    }

    /// The number of each update.
    fn numbers(&self, cx: &Rule<'e>) -> Expr<'e> {
        cx.e.range(&cx.e.product(&self.updates)).reshape(&self.updates)
    }

    /// The data and the updates in the type in which changes are computed.
    fn values(&self, cx: &Rule<'e>) -> Result<(Expr<'e>, Expr<'e>)> {
        Ok((cx.x(0)?.reshape(&self.data), cx.x(self.source)?.reshape(&self.updates)))
    }

    /// 1 for elements that are found in the output: the number of each update is written where the
    /// update itself goes.
    fn last(&self, cx: &Rule<'e>) -> Scales<'e> {
        let (e, numbers) = (cx.e, self.numbers(cx));
        let found = self.write(e.int(-1).expand(&self.data), numbers, "none");
        let own = self.read(found).binary("Equal", numbers);
        (Some(found.binary("Less", e.int(0))), Some(own))
    }

    /// The product of the others at the same place. With `z` zeros there, it is the product of the
    /// rest divided by the element where `z` is 0, that of the rest at the zero where `z` is 1, else 0.
    fn others(&self, cx: &Rule<'e>, all: bool) -> Result<Scales<'e>> {
        let (data, updates) = self.values(cx)?;
        let (zero, one) = (data.number(0.0), data.number(1.0));
        if !all {
            return Ok((Some(self.write(one.expand(&self.data), updates, "mul")), None));
        }
        let is_zero = |x: Expr<'e>| x.binary("Equal", zero);
        let filled = |x: Expr<'e>| one.where_(is_zero(x), x);
        let rest = self.write(filled(data), filled(updates), "mul");
        let count = |x: Expr<'e>| is_zero(x).indicator(x.dtype());
        let zeros = self.write(count(data), count(updates), "add");
        let of = |x: Expr<'e>, rest: Expr<'e>, zeros: Expr<'e>| {
            let at_zero = rest.where_(zeros.binary("Equal", one), zero);
            let elsewhere = (rest / filled(x)).where_(zeros.binary("Equal", zero), zero);
            at_zero.where_(is_zero(x), elsewhere)
        };
        let data = of(data, rest, zeros);
        Ok((Some(data), Some(of(updates, self.read(rest), self.read(zeros)))))
    }

    /// 1 for the first element that is the result at its place: −1 stands for the data, and the
    /// number of each update for the update.
    fn winners(&self, cx: &Rule<'e>, reduction: &str) -> Result<Scales<'e>> {
        let ((data, updates), numbers) = (self.values(cx)?, self.numbers(cx));
        // What is widened may not be rounded as the result is, where an engine leaves casts out.
        let best = if cx.raw(0)?.dtype() == data.dtype() {
            cx.y(0)?.reshape(&self.data)
        } else {
            self.write(data, updates, reduction)
        };
        let none = cx.e.int(i64::MAX);
        let stays = data.binary("Equal", best);
        let own = numbers.where_(updates.binary("Equal", self.read(best)), none);
        let start = cx.e.int(-1).where_(stays, none);
        let wins = self.read(self.write(start, own, "min")).binary("Equal", numbers);
        Ok((Some(stays), Some(wins)))
    }
}

#[cfg(test)]
mod tests;
