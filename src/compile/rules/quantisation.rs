//! Quantised values: integers, or floats of few bits, that stand for floats.
//!
//! `QuantizeLinear: q = clip(round(x/s) + z, low, high)`, `DequantizeLinear: y = (q − z)·s`. Rounding is
//! taken as the identity, so `dq = dx/s` where `x/s + z` lies strictly between the bounds, 0 where it
//! saturates, and `dy = s·dq`: straight through, with slope 1 for the pair. What rounding does to the
//! value is in the constant part. Between the two, operators that only move or pick elements take
//! changes of integers; integer arithmetic has no rule.

use super::Inputs::First;
use super::{Entry, Rule, find};
use crate::compile::build::Expr;
use crate::error::{Error, Result};
use crate::graph::{DataType, Dim, Graph, Node, ValueId};

const POLICY: &str = "rounding is the identity; 0 where it saturates";

pub(super) const RULES: &[Entry] = &[
    Entry::smooth("QuantizeLinear", First, quantize).kink(POLICY),
    Entry::smooth("QuantizeLinear", First, quantize).kink(POLICY).of("com.microsoft"),
    Entry::exact("DequantizeLinear", First, dequantize),
    Entry::exact("DequantizeLinear", First, dequantize).of("com.microsoft"),
];

/// Operators of the standard whose rules hold for elements of every type.
const MOVES: &[&str] = &[
    "Concat",
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "MaxPool",
    "Pad",
    "Reshape",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// How a change passes through a node.
#[derive(Debug)]
pub enum Passage {
    /// Not at all: nothing that it reads changes, or its derivative is zero everywhere.
    Ends,
    /// These of its outputs change.
    Changes(Vec<ValueId>),
    /// It computes with integers that stand for floats, and there is no rule for that.
    Refused,
}

/// How the change of the values that `changes` tells passes through a node of `graph`. Integers among
/// them stand for floats.
pub fn passage(graph: &Graph, node: &Node, changes: impl Fn(ValueId) -> bool) -> Passage {
    let dtype = |value: ValueId| graph.value(value).dtype;
    let is_float = |value: ValueId| dtype(value).is_none_or(|t| t.is_float());
    let read = node.inputs.iter().flatten().chain(&node.captures).copied();
    let changing: Vec<ValueId> = read.filter(|&value| changes(value)).collect();
    if changing.is_empty() || find(node).is_some_and(|entry| entry.rule.is_none()) {
        return Passage::Ends;
    }
    let outputs = node.outputs.iter().flatten().copied();
    let integer = changing.iter().find(|&&value| !is_float(value)).map(|&value| dtype(value));
    let passed: Vec<ValueId> = match integer {
        Some(dtype_of) if moves(node) => outputs.filter(|&y| dtype(y) == dtype_of).collect(),
        Some(_) if reads(node) && outputs.clone().all(is_float) => outputs.collect(),
        Some(_) => return Passage::Refused,
        None if quantises(node) => outputs.collect(),
        None => outputs.filter(|&y| is_float(y)).collect(),
    };
    if passed.is_empty() { Passage::Ends } else { Passage::Changes(passed) }
}

/// Whether the node may give integers that stand for floats.
pub fn gives_integers(node: &Node) -> bool {
    quantises(node) || moves(node)
}

fn quantises(node: &Node) -> bool {
    node.op == "QuantizeLinear" && find(node).is_some()
}

fn moves(node: &Node) -> bool {
    node.is_standard() && MOVES.contains(&node.op.as_str())
}

/// Whether the node makes floats of integers.
fn reads(node: &Node) -> bool {
    (node.op == "DequantizeLinear" && find(node).is_some()) || node.is("Cast")
}

/// Whether the node computes with integers in place of floats.
pub fn is_integer_arithmetic(node: &Node) -> bool {
    node.op.contains("QLinear")
        || node.op.contains("Integer")
        || node.op.starts_with("DynamicQuant")
}

/// The smallest and largest number of a quantised type.
fn bounds(dtype: DataType) -> Option<[f64; 2]> {
    use DataType as T;
    Some(match dtype {
        T::U2 => [0.0, 3.0],
        T::I2 => [-2.0, 1.0],
        T::U4 => [0.0, 15.0],
        T::I4 => [-8.0, 7.0],
        T::U8 => [0.0, 255.0],
        T::I8 => [-128.0, 127.0],
        T::U16 => [0.0, 65535.0],
        T::I16 => [-32768.0, 32767.0],
        T::F4E2M1 => [-6.0, 6.0],
        T::F8E4M3FN => [-448.0, 448.0],
        T::F8E4M3FNUZ => [-240.0, 240.0],
        T::F8E5M2 | T::F8E5M2FNUZ => [-57344.0, 57344.0],
        _ => return None,
    })
}

/// Input `index`, scales or zero points, in float type `dtype` and under dimensions that broadcast to
/// `dims`: one number, one an element of an axis, or one a block along it.
fn spread<'e>(cx: &Rule<'e>, index: usize, dims: &[Dim], dtype: DataType) -> Result<Expr<'e>> {
    let it = cx.raw(index)?.cast(dtype);
    let own = it.dims();
    if cx.e.product(&own) == Dim::Value(1) {
        return Ok(it.reshape(&[]));
    }
    let axis = cx.axis(cx.node.int("axis")?.unwrap_or(1), dims.len())?;
    let block = cx.node.int("block_size")?.unwrap_or(0);
    if block == 0 {
        let [count] = &own[..] else {
            return Err(Error::unreadable(format!("input {index} has rank {}, not 1", own.len())));
        };
        let mut under = vec![Dim::Value(1); dims.len()];
        under[axis] = count.clone();
        cx.check_spread(index, &under, dims)?;
        return Ok(it.reshape(&under));
    }
    let Some(block) = i32::try_from(block).ok().filter(|&b| b > 0 && own.len() == dims.len())
    else {
        return Err(Error::unreadable(format!(
            "blocks of {block} elements, input {index} is {own:?}"
        )));
    };
    let mut wide = own.clone();
    wide.insert(axis + 1, Dim::Value(block));
    let mut joined = own.clone();
    joined[axis] = (own[axis].clone() * Dim::Value(block)).simplify();
    let repeated = it.unsqueeze(&[axis as i64 + 1]).expand(&wide).reshape(&joined);
    Ok(repeated.slice(axis, &Dim::Value(0), &dims[axis]).assume(dims))
}

fn quantize(cx: &Rule) -> Result<()> {
    let (x, dx) = (cx.x(0)?, cx.dx(0)?);
    let dims = x.dims();
    let dtype = cx.y(0)?.dtype();
    let Some([low, high]) = bounds(dtype) else {
        return cx.refuse(format!("values quantised to {}", dtype.name()));
    };
    let scale = spread(cx, 1, &dims, x.dtype())?;
    let mut place = x / scale;
    if cx.node.input(2).is_some() {
        place = place + spread(cx, 2, &dims, x.dtype())?;
    }
    let above = place.binary("Greater", place.number(low));
    let inside = above.binary("And", place.binary("Less", place.number(high)));
    let slope = scale.unary("Reciprocal").where_(inside, x.number(0.0)).assume(&dims);
    cx.emit(0, dx.scale(slope));
    Ok(())
}

fn dequantize(cx: &Rule) -> Result<()> {
    let dtype = cx.y(0)?.dtype();
    let dx = cx.dx(0)?.cast(dtype);
    if cx.node.input(2).is_none() {
        cx.homogeneous();
    }
    cx.emit(0, dx.scale(spread(cx, 1, &dx.dims(), dtype)?));
    Ok(())
}

#[cfg(test)]
mod tests;
