//! Elementwise operators: broadcast shapes, and contents where they are followed.

use super::cx::Cx;
use super::dim::{num, number, range};
use crate::error::{Error, Result};
use crate::graph::{DataType, Dim, Facts};

/// Shape like input 0, contents unknown.
pub fn like_first(cx: &mut Cx) -> Result<Vec<Facts>> {
    Ok(vec![shape_of(cx.require(0)?)])
}

/// The shape of a value without its contents.
pub fn shape_of(facts: &Facts) -> Facts {
    match facts.shape() {
        Some(dims) => Facts::from_shape(dims.collect()),
        None => Facts::unknown("the input's shape is unknown"),
    }
}

/// The shape that all inputs broadcast to; contents by [`element`] where all are followed.
pub fn broadcast(cx: &mut Cx) -> Result<Vec<Facts>> {
    let count = cx.node.inputs.len();
    let mut out: Option<Vec<Dim>> = None;
    for index in 0..count {
        let Some(dims) = cx.dims(index)? else {
            return Ok(vec![Facts::unknown("an input's shape is unknown")]);
        };
        out = Some(match out {
            None => dims,
            Some(sofar) => cx.broadcast(sofar, dims)?,
        });
    }
    let dims = out.ok_or_else(|| Error::unreadable("input 0 is missing"))?;
    Ok(vec![contents(cx, count, &dims).unwrap_or_else(|| Facts::from_shape(dims))])
}

fn contents(cx: &mut Cx, count: usize, dims: &[Dim]) -> Option<Facts> {
    let inputs = (0..count).map(|i| cx.facts(i)?.values()).collect::<Option<Vec<_>>>()?;
    let len = match dims {
        [] => 1,
        [len] => usize::try_from(number(len)?).ok()?,
        _ => return None,
    };
    let to = match cx.node.op.as_str() {
        "Cast" => i32::try_from(cx.node.int("to").ok()??).ok().and_then(DataType::from_onnx),
        "CastLike" => cx.dtype(1),
        _ => Some(DataType::I64),
    };
    let to = to.filter(|to| matches!(to, DataType::I64 | DataType::I32 | DataType::Bool))?;
    let mut elements = Vec::with_capacity(len);
    for i in 0..len {
        let operands = inputs
            .iter()
            .map(|list| if list.len() == 1 { list.first() } else { list.get(i) })
            .collect::<Option<Vec<_>>>()?;
        let known = element(&cx.node.op, &operands, to);
        elements.push(known.unwrap_or_else(|| cx.symbols.generate()));
    }
    match dims {
        [] => elements.pop().map(Facts::from_scalar),
        _ => Some(Facts::from_vec(elements)),
    }
}

/// One element of an elementwise operator on integers or Booleans, where it can be told.
fn element(op: &str, x: &[&Dim], to: DataType) -> Option<Dim> {
    let truth = |b: bool| num(i64::from(b));
    let fold = |f: fn(Dim, Dim) -> Dim| x.iter().map(|&d| d.clone()).reduce(f);
    Some(match (op, x) {
        ("Add", [a, b]) => (*a).clone() + (*b).clone(),
        ("Sub", [a, b]) => (*a).clone() - (*b).clone(),
        ("Mul", [a, b]) => (*a).clone() * (*b).clone(),
        ("Div", [a, b]) => (*a).clone() / (*b).clone(),
        ("Neg", [a]) => -(*a).clone(),
        ("Max", _) => fold(|a, b| a.max(&b))?,
        ("Min", _) => fold(|a, b| a.min(&b))?,
        ("Abs", [a]) => match (number(a), range(a)) {
            (Some(n), _) => num(n.checked_abs()?),
            (None, (0.., _)) => (*a).clone(),
            _ => return None,
        },
        ("Sign", [a]) => num(number(a)?.signum()),
        ("Mod", [a, b]) => {
            let (a, b) = (number(a)?, number(b)?);
            let rest = a.checked_rem(b)?;
            // The remainder takes the divisor's sign; with `fmod` only equal signs are followed.
            match rest != 0 && (rest < 0) != (b < 0) {
                true => return None,
                false => num(rest),
            }
        }
        ("Not", [a]) => truth(number(a)? == 0),
        ("And", [a, b]) => truth(number(a)? != 0 && number(b)? != 0),
        ("Or", [a, b]) => truth(number(a)? != 0 || number(b)? != 0),
        ("Xor", [a, b]) => truth((number(a)? != 0) != (number(b)? != 0)),
        ("Equal", [a, b]) => match (a == b, range(a), range(b)) {
            (true, _, _) => truth(true),
            (_, (a0, a1), (b0, b1)) if a1 < b0 || b1 < a0 => truth(false),
            _ => return None,
        },
        ("Less", [a, b]) | ("Greater", [b, a]) => less(a, b).map(truth)?,
        ("GreaterOrEqual", [a, b]) | ("LessOrEqual", [b, a]) => less(a, b).map(|b| truth(!b))?,
        ("Where", [condition, a, b]) => match number(condition) {
            Some(0) => (*b).clone(),
            Some(_) => (*a).clone(),
            None if a == b => (*a).clone(),
            None => return None,
        },
        ("Cast" | "CastLike", [a]) => cast(a, to)?,
        ("Identity", [a]) => (*a).clone(),
        _ => return None,
    })
}

/// Whether `a` is less than `b`, where their intervals tell.
fn less(a: &Dim, b: &Dim) -> Option<bool> {
    match (range(a), range(b)) {
        ((_, a1), (b0, _)) if a1 < b0 => Some(true),
        ((a0, _), (_, b1)) if a0 >= b1 => Some(false),
        _ if a == b => Some(false),
        _ => None,
    }
}

/// An element cast to `to`, where it stays what it is or becomes a truth value.
fn cast(a: &Dim, to: DataType) -> Option<Dim> {
    match (to, number(a), range(a)) {
        (DataType::Bool, Some(n), _) => Some(num(i64::from(n != 0))),
        (DataType::Bool, None, (1.., _)) => Some(num(1)),
        (DataType::Bool, ..) => None,
        (DataType::I32, Some(n), _) if i32::try_from(n).is_err() => None,
        _ => Some(a.clone()),
    }
}

/// Shape like input 0 and contents by [`element`].
pub fn unary(cx: &mut Cx) -> Result<Vec<Facts>> {
    let facts = cx.require(0)?;
    let Some(dims) = cx.dims(0)? else { return like_first(cx) };
    let followed = facts.values().is_some();
    let known = if followed { contents(cx, 1, &dims) } else { None };
    Ok(vec![known.unwrap_or_else(|| shape_of(facts))])
}
