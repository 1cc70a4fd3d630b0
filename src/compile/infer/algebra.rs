//! Products and reductions.

use rten_shape_inference::{ReductionOp, ops};

use super::cx::Cx;
use super::dim::{self, num, number, unify};
use super::layout::{like, show};
use super::window::unknown;
use crate::error::{Error, Result};
use crate::graph::{Dim, Facts};

/// `MatMul` of the inputs `left` and `right`; vectors lose the axis they are multiplied over.
pub fn matmul(cx: &mut Cx, left: usize, right: usize) -> Result<Vec<Facts>> {
    let (Some(a), Some(b)) = (cx.dims(left)?, cx.dims(right)?) else { return unknown() };
    product(cx, a, b)
}

/// The matrix product of stacks of matrices shaped `a` and `b`.
fn product(cx: &mut Cx, mut a: Vec<Dim>, mut b: Vec<Dim>) -> Result<Vec<Facts>> {
    let vectors = (a.len() == 1, b.len() == 1);
    if vectors.0 {
        a.insert(0, num(1));
    }
    if vectors.1 {
        b.push(num(1));
    }
    let ([stack_a @ .., m, k], [stack_b @ .., l, n]) = (&a[..], &b[..]) else {
        return Err(Error::unreadable("a scalar has no matrix product"));
    };
    if unify(k, l).is_none() {
        return Err(Error::unreadable(format!("the summed dimensions differ, {k} and {l}")));
    }
    let mut dims = cx.broadcast(stack_a.to_vec(), stack_b.to_vec())?;
    if !vectors.0 {
        dims.push(m.clone());
    }
    if !vectors.1 {
        dims.push(n.clone());
    }
    Ok(vec![Facts::from_shape(dims)])
}

/// `com.microsoft.FusedMatMul`: `MatMul` with the first axis of either side moved behind the others of
/// the stack, and its last two swapped.
pub fn fused_matmul(cx: &mut Cx) -> Result<Vec<Facts>> {
    let (Some(a), Some(b)) = (cx.dims(0)?, cx.dims(1)?) else { return unknown() };
    let moved = |mut dims: Vec<Dim>, first: bool, swap: bool| {
        let rank = dims.len();
        if first && rank > 2 {
            dims[..rank - 1].rotate_left(1);
        }
        if swap && rank > 1 {
            dims.swap(rank - 2, rank - 1);
        }
        dims
    };
    let a = moved(a, cx.flag("transBatchA", false)?, cx.flag("transA", false)?);
    let b = moved(b, cx.flag("transBatchB", false)?, cx.flag("transB", false)?);
    product(cx, a, b)
}

/// `Gemm`.
pub fn gemm(cx: &mut Cx) -> Result<Vec<Facts>> {
    let mut sides = [None, None];
    for (i, name) in [(0, "transA"), (1, "transB")] {
        let flip = cx.flag(name, false)?;
        sides[i] = match cx.dims(i)?.as_deref() {
            None => None,
            Some([a, b]) if flip => Some((b.clone(), a.clone())),
            Some([a, b]) => Some((a.clone(), b.clone())),
            Some(dims) => {
                return Err(Error::unreadable(format!(
                    "input {i} has rank {}, 2 is needed",
                    dims.len()
                )));
            }
        };
    }
    if let [Some((_, k)), Some((l, _))] = &sides
        && unify(k, l).is_none()
    {
        return Err(Error::unreadable(format!("the summed dimensions differ, {k} and {l}")));
    }
    let [a, b] = sides;
    let m = a.map_or_else(|| cx.fresh(), |(m, _)| m);
    let n = b.map_or_else(|| cx.fresh(), |(_, n)| n);
    let dims = vec![m, n];
    if cx.has(2)
        && let Some(c) = cx.dims(2)?
    {
        let whole = cx.broadcast(dims.clone(), c)?;
        let grown = whole.len() > 2
            || whole.iter().zip(&dims).any(|(w, d)| number(d).is_some() && unify(w, d).is_none());
        if grown {
            return Err(Error::unreadable(format!("C does not broadcast to {}", show(&dims))));
        }
    }
    Ok(vec![Facts::from_shape(dims)])
}

/// `Einsum`.
pub fn einsum(cx: &mut Cx) -> Result<Vec<Facts>> {
    const MOST_INPUTS: usize = 64;
    let equation = cx
        .node
        .text("equation")?
        .ok_or_else(|| Error::unreadable("attribute 'equation' is missing"))?;
    let count = cx.node.inputs.len();
    let mut ranks =
        (0..count).map(|i| cx.dims(i)).collect::<Result<Vec<_>>>()?.into_iter().flatten();
    let deep = |dims: Vec<Dim>| dims.len() > rten_shape_inference::einsum_parser::MAX_DIMS;
    if count > MOST_INPUTS || ranks.any(deep) {
        return unknown();
    }
    let indices: Vec<_> = (0..count).collect();
    let facts = cx.apply(ops::Einsum { equation }, &indices)?;
    check_labels(cx, equation)?;
    Ok(facts)
}

/// Whether every label stands for one size, of inputs without an ellipsis.
fn check_labels(cx: &Cx, equation: &str) -> Result<()> {
    let left = equation.split("->").next().unwrap_or_default();
    let mut sizes = std::collections::BTreeMap::new();
    for (i, term) in left.split(',').enumerate() {
        let labels: Vec<char> = term.chars().filter(|c| !c.is_whitespace()).collect();
        let Some(dims) = cx.dims(i)?.filter(|dims| dims.len() == labels.len()) else { continue };
        for (label, n) in labels.into_iter().zip(dims.iter().map(number)) {
            let Some(n) = n.filter(|&n| n != 1 && label != '.') else { continue };
            if let Some(other) = sizes.insert(label, n).filter(|&other| other != n) {
                return Err(Error::unreadable(format!("'{label}' has sizes {other} and {n}")));
            }
        }
    }
    Ok(())
}

/// The `Reduce` operators: axes from input 1 (before operator set 18 an attribute), none meaning
/// all or, on request, nothing.
pub fn reduce(cx: &mut Cx) -> Result<Vec<Facts>> {
    let keep_dims = cx.flag("keepdims", true)?;
    let axes = match (cx.has(1), cx.ints(1)) {
        (true, None) if cx.vector_len(1) != Some(0) => {
            return cx.apply(ReductionOp { axes: None, keep_dims }, &[0, 1]);
        }
        (true, axes) => axes.unwrap_or_default(),
        (false, _) => cx.node.ints("axes")?.unwrap_or_default().to_vec(),
    };
    if axes.is_empty() && cx.flag("noop_with_empty_axes", false)? {
        return Ok(vec![like(cx, 0)?]);
    }
    let narrow = narrow(&axes)?;
    let axes = (!narrow.is_empty()).then_some(&narrow[..]);
    let shape = cx.apply(ReductionOp { axes, keep_dims }, &[0])?;
    Ok(match reduced(cx, keep_dims) {
        Some(known) => vec![known],
        None => shape,
    })
}

fn narrow(axes: &[i64]) -> Result<Vec<i32>> {
    axes.iter()
        .map(|&axis| {
            i32::try_from(axis).map_err(|_| Error::unreadable(format!("there is no axis {axis}")))
        })
        .collect()
}

/// The contents of a vector reduced to one element.
fn reduced(cx: &Cx, keep_dims: bool) -> Option<Facts> {
    let values = cx.facts(0)?.as_vector()?;
    let fold = |start: i64, f: fn(Dim, Dim) -> Dim| {
        values.iter().try_fold(num(start), |a, b| dim::tidy(&f(a, b.clone())))
    };
    let value = match cx.node.op.as_str() {
        "ReduceProd" => dim::product(values),
        "ReduceSum" => fold(0, |a, b| a + b),
        "ReduceMax" if !values.is_empty() => fold(i64::MIN, |a, b| a.max(&b)),
        "ReduceMin" if !values.is_empty() => fold(i64::MAX, |a, b| a.min(&b)),
        _ => None,
    }?;
    Some(if keep_dims { Facts::from_vec(vec![value]) } else { Facts::from_scalar(value) })
}

/// `ArgMax` and `ArgMin`.
pub fn arg_reduce(cx: &mut Cx) -> Result<Vec<Facts>> {
    let axes = narrow(&[cx.int("axis", 0)?])?;
    let keep_dims = cx.flag("keepdims", true)?;
    cx.apply(ReductionOp { axes: Some(&axes), keep_dims }, &[0])
}
