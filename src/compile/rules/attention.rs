//! Scaled dot-product attention.
//!
//! With queries `Q`, keys `K` and values `V` by head, `S = scale·Q·Kᵀ`, soft-capped to
//! `cap·tanh(S/cap)`, plus a mask; `P = softmax(S)` along the keys and `Y = P·V`. Heads of queries share
//! heads of keys in groups of neighbours. A key that the mask disallows has weight 0, and a query
//! without any allowed key gives 0. Everything is an expression of products, sums and Softmax, so every
//! input may change; a disallowed score does not.

use super::Inputs::{All, Only};
use super::{Entry, Rule};
use crate::compile::build::{Emit, Expr};
use crate::error::{Error, Result};
use crate::graph::{DataType, Dim, fixed};

pub(super) const RULES: &[Entry] = &[
    Entry::smooth("Attention", Only(&[0, 1, 2, 3, 4, 5]), attention),
    Entry::smooth("FlexAttention", All, flex_attention).of("ai.onnx.preview"),
];

/// Queries, keys and values, each `[batch, heads, steps, size]`.
#[derive(Clone, Copy)]
pub(super) struct Heads<'e> {
    pub q: Expr<'e>,
    pub k: Expr<'e>,
    pub v: Expr<'e>,
}

/// What happens to the scores.
#[derive(Clone, Copy, Default)]
pub(super) struct Scores<'e> {
    /// The factor; one over the root of the size of a head if none.
    pub scale: Option<f64>,
    /// The bound of soft-capping.
    pub cap: Option<f64>,
    /// What is added; finite, and broadcasts to the scores.
    pub bias: Option<Expr<'e>>,
    /// Which keys a query may look at; broadcasts to the scores.
    pub allowed: Option<Expr<'e>>,
}

/// What attention computes on the way: scores as they are, capped and masked, weights, and the result.
pub(super) struct Attended<'e> {
    pub raw: Expr<'e>,
    pub capped: Expr<'e>,
    pub masked: Expr<'e>,
    pub weights: Expr<'e>,
    pub y: Expr<'e>,
}

/// Checks that the sizes of queries, keys and values fit each other.
///
/// # Errors
/// When they contradict each other.
fn check(heads: &Heads) -> Result<()> {
    let (q, k, v) = (heads.q.dims(), heads.k.dims(), heads.v.dims());
    let same = |a: &Dim, b: &Dim| fixed(a).zip(fixed(b)).is_none_or(|(a, b)| a == b);
    let fits = same(&q[0], &k[0])
        && same(&q[0], &v[0])
        && same(&k[1], &v[1])
        && same(&k[2], &v[2])
        && same(&q[3], &k[3]);
    let grouped = match (fixed(&q[1]), fixed(&k[1])) {
        (Some(queries), Some(keys)) => keys > 0 && queries % keys == 0,
        _ => q[1] == k[1],
    };
    if fits && grouped {
        return Ok(());
    }
    Err(Error::unreadable(format!("queries {q:?}, keys {k:?} and values {v:?} do not fit")))
}

/// Attention over heads.
///
/// # Errors
/// When sizes contradict each other.
pub(super) fn attend<'e>(heads: &Heads<'e>, scores: Scores<'e>) -> Result<Attended<'e>> {
    check(heads)?;
    let Heads { q, k, v } = *heads;
    let (queries, keys) = (q.dims(), k.dims());
    let over =
        |size: &Dim| vec![queries[0].clone(), queries[1].clone(), queries[2].clone(), size.clone()];
    // The queries that share a head of keys are one matrix.
    let group = match (fixed(&queries[1]), fixed(&keys[1])) {
        (Some(queries), Some(keys)) => Dim::Value((queries / keys) as i32),
        _ => Dim::Value(1),
    };
    let rows = (group * queries[2].clone()).simplify();
    let grouped = |x: Expr<'e>, size: &Dim| {
        x.reshape(&[queries[0].clone(), keys[1].clone(), rows.clone(), size.clone()])
    };
    let q = q * scale(&scores, q);
    let turned = [queries[0].clone(), keys[1].clone(), keys[3].clone(), keys[2].clone()];
    let k = k.transpose(&[0, 1, 3, 2]).assume(&turned);
    let raw = grouped(q, &queries[3]).binary("MatMul", k).reshape(&over(&keys[2]));
    let capped = match scores.cap {
        Some(cap) => (raw / cap).unary("Tanh") * cap,
        None => raw,
    };
    let biased = scores.bias.map_or(capped, |bias| (capped + bias).assume(&raw.dims()));
    let (masked, weights) = match scores.allowed {
        None => (biased, softmax(biased)),
        Some(allowed) => masked_softmax(biased, allowed),
    };
    let size = v.dims()[3].clone();
    let v = v.assume(&[queries[0].clone(), keys[1].clone(), keys[2].clone(), size.clone()]);
    let y = grouped(weights, &keys[2]).binary("MatMul", v).reshape(&over(&size));
    Ok(Attended { raw, capped, masked, weights, y })
}

fn scale<'e>(scores: &Scores<'e>, q: Expr<'e>) -> Expr<'e> {
    let size = &q.dims()[3];
    match (scores.scale, fixed(size)) {
        (Some(scale), _) => q.number(scale),
        (None, Some(size)) => q.number((size as f64).sqrt().recip()),
        (None, None) => q.e.extent(size).cast(q.dtype()).unary("Sqrt").unary("Reciprocal"),
    }
}

fn softmax(scores: Expr) -> Expr {
    scores.e.op("Softmax", &[scores], &[("axis", (-1).into())])
}

/// The scores with −∞ where they are not allowed, and their softmax, 0 along rows where none is.
fn masked_softmax<'e>(scores: Expr<'e>, allowed: Expr<'e>) -> (Expr<'e>, Expr<'e>) {
    let (zero, never) = (scores.number(0.0), scores.number(f64::NEG_INFINITY));
    let some = allowed.cast(scores.dtype()).reduce("ReduceMax", &[allowed.rank() - 1], true);
    let some = some.binary("Greater", zero);
    let where_allowed = |x: Expr<'e>, other| x.where_(allowed, other).assume(&scores.dims());
    let weights = softmax(where_allowed(scores, never.where_(some, zero)));
    (where_allowed(scores, never), where_allowed(weights, zero))
}

/// `[batch, steps, heads·size]` as `[batch, heads, steps, size]`.
///
/// # Errors
/// When the last axis does not divide into the heads.
pub(super) fn split_heads<'e>(x: Expr<'e>, heads: i64) -> Result<Expr<'e>> {
    let [batch, steps, hidden] = &x.dims()[..] else {
        return Err(Error::unreadable(format!("heads are split from rank 3, not {}", x.rank())));
    };
    let count = i32::try_from(heads).ok().filter(|&heads| heads > 0);
    let count = count.filter(|&n| fixed(hidden).is_none_or(|h| h % i64::from(n) == 0));
    let Some(count) = count.map(Dim::Value) else {
        return Err(Error::unreadable(format!(
            "{hidden} elements do not divide into {heads} heads"
        )));
    };
    let size = (hidden.clone() / count.clone()).simplify();
    let split = x.reshape(&[batch.clone(), steps.clone(), count, size]);
    Ok(split.transpose(&[0, 2, 1, 3]))
}

/// `[batch, heads, steps, size]` as `[batch, steps, heads·size]`.
pub(super) fn join_heads(x: Expr) -> Expr {
    let dims = x.dims();
    let hidden = (dims[1].clone() * dims[3].clone()).simplify();
    x.transpose(&[0, 2, 1, 3]).reshape(&[dims[0].clone(), dims[2].clone(), hidden])
}

/// Where the keys of a row begin and end, relative to the place of its query.
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// How many keys before the query's place are seen.
    pub left: Option<i64>,
    /// How many keys behind it are seen.
    pub right: Option<i64>,
}

/// Which of `keys` keys each of `queries` queries sees; query `i` has the place `offset + i`.
pub(super) fn visible<'e>(
    e: &'e Emit,
    queries: &Dim,
    keys: &Dim,
    offset: Expr<'e>,
    window: Window,
) -> Option<Expr<'e>> {
    let places = e.range(queries).unsqueeze(&[1]) + offset;
    let keys = e.range(keys);
    let right = window.right.map(|right| keys.binary("LessOrEqual", places + e.int(right)));
    let left = window.left.map(|left| keys.binary("GreaterOrEqual", places - e.int(left)));
    right.into_iter().chain(left).reduce(|a, b| a.binary("And", b))
}

/// Concatenation along the steps of what was there before and what is new.
pub(super) fn behind<'e>(past: Option<Expr<'e>>, new: Expr<'e>) -> Expr<'e> {
    past.map_or(new, |past| Expr::concat(&[past, new], 2))
}

fn attention(cx: &Rule) -> Result<()> {
    let rank = cx.ranked(0, 3)?.rank();
    let heads = |index: usize, name: &str| -> Result<Expr> {
        let x = cx.x(index)?;
        match (x.rank(), rank) {
            (4, 4) => Ok(x),
            (3, 3) => match cx.node.int(name)? {
                Some(heads) => split_heads(x, heads),
                None => Err(Error::unreadable(format!("attribute '{name}' is missing"))),
            },
            _ => Err(Error::unreadable(format!("input {index} has rank {}", x.rank()))),
        }
    };
    let past = |index: usize| cx.node.input(index).map(|_| cx.ranked(index, 4)).transpose();
    let (q, k, v) =
        (heads(0, "q_num_heads")?, heads(1, "kv_num_heads")?, heads(2, "kv_num_heads")?);
    let (past_key, past_value) = (past(4)?, past(5)?);
    let all = Heads { q, k: behind(past_key, k), v: behind(past_value, v) };
    let cap = cx.node.float("softcap")?.map(f64::from).filter(|&cap| cap > 0.0);
    let scale = cx.node.float("scale")?.map(f64::from);
    let (bias, allowed) = masks(cx, &all, past_key)?;
    let it = attend(&all, Scores { scale, cap, bias, allowed })?;
    let scores = match cx.node.int("qk_matmul_output_mode")?.unwrap_or(0) {
        0 => it.raw,
        1 => it.capped,
        2 => it.masked,
        3 => it.weights,
        mode => {
            return Err(Error::unreadable(format!("attribute 'qk_matmul_output_mode' is {mode}")));
        }
    };
    let y = if rank == 3 { join_heads(it.y) } else { it.y };
    for (index, y) in [y, all.k, all.v, scores].into_iter().enumerate() {
        if cx.node.output(index).is_some()
            && let Some(dy) = cx.maybe_through(y)?
        {
            cx.emit(index, dy);
        }
    }
    Ok(())
}

/// What is added to the scores, and which of them count.
fn masks<'e>(
    cx: &Rule<'e>,
    all: &Heads<'e>,
    past: Option<Expr<'e>>,
) -> Result<(Option<Expr<'e>>, Option<Expr<'e>>)> {
    let (queries, keys) = (all.q.dims()[2].clone(), all.k.dims()[2].clone());
    let (mut bias, mut allowed) = (None, Vec::new());
    if cx.node.input(3).is_some() {
        let mask = long_enough(cx, cx.ranked(3, 1)?, &keys, &mut allowed);
        if mask.dtype() == DataType::Bool {
            allowed.push(mask);
        } else {
            let counts = mask.binary("Greater", mask.number(f64::NEG_INFINITY));
            bias = Some(mask.where_(counts, mask.number(0.0)));
            allowed.push(counts);
        }
    }
    let valid = match cx.node.input(6) {
        Some(_) => {
            Some(cx.raw(6)?.reshape(&[all.q.dims()[0].clone(), 1.into(), 1.into(), 1.into()]))
        }
        None => None,
    };
    let offset = match (past, valid) {
        (Some(past), _) => cx.e.extent(&past.dims()[2]),
        (None, Some(valid)) => valid - cx.e.extent(&queries),
        (None, None) => cx.e.ints(&[0]),
    };
    let bound = |name| cx.node.int(name).map(|size| size.filter(|&size| size >= 0));
    let (left, mut right) = (bound("left_window_size")?, bound("right_window_size")?);
    if cx.node.int("is_causal")?.unwrap_or(0) != 0 {
        right = Some(0);
    }
    allowed.extend(visible(cx.e, &queries, &keys, offset, Window { left, right }));
    allowed.extend(valid.map(|valid| cx.e.range(&keys).binary("Less", valid)));
    Ok((bias, allowed.into_iter().reduce(|a, b| a.binary("And", b))))
}

/// The mask with its last axis as long as there are keys; what is added is not allowed. Before operator
/// set 24 an axis of size 1 is broadcast instead.
fn long_enough<'e>(
    cx: &Rule<'e>,
    mask: Expr<'e>,
    keys: &Dim,
    allowed: &mut Vec<Expr<'e>>,
) -> Expr<'e> {
    let axis = mask.rank() - 1;
    let own = mask.dims()[axis].clone();
    if own == *keys || (cx.e.opset() < 24 && fixed(&own) == Some(1)) {
        return mask;
    }
    allowed.push(cx.e.range(keys).binary("Less", cx.e.extent(&own)));
    let mut dims = mask.dims();
    dims[axis] = (keys.clone() - own).simplify();
    let kind = if mask.dtype().is_float() { mask.dtype() } else { DataType::F32 };
    let rest = Expr::zeros(cx.e, kind, &dims).cast(mask.dtype());
    dims[axis] = keys.clone();
    Expr::concat(&[mask, rest], axis).assume(&dims)
}

fn flex_attention(cx: &Rule) -> Result<()> {
    for modifier in ["score_mod", "prob_mod"] {
        if cx.node.attr(modifier).is_some() {
            return cx.refuse(format!("attribute '{modifier}', a graph inside of the attention"));
        }
    }
    let all = Heads { q: cx.ranked(0, 4)?, k: cx.ranked(1, 4)?, v: cx.ranked(2, 4)? };
    let scale = cx.node.float("scale")?.map(f64::from);
    cx.emit(0, cx.through(attend(&all, Scores { scale, ..Scores::default() })?.y)?);
    Ok(())
}

#[cfg(test)]
mod tests;
