//! Rotary embedding: pairs of elements turned by an angle that depends on the place.
//!
//! With the halves, or the even and odd elements, `(a, b)` of the part of a head that turns:
//! `(cos·a − sin·b, sin·a + cos·b)`. Linear in the input, and linear in the table of cos and sin.

use super::Inputs::Only;
use super::{Entry, Rule, Shape};
use crate::compile::build::Expr;
use crate::error::{Error, Result};
use crate::graph::{Dim, fixed};

pub(super) const RULES: &[Entry] =
    &[Entry::exact("RotaryEmbedding", Only(&[0, 1, 2]), standard).shaped(Shape::Multilinear)];

/// The angle of each pair: cosines and sines, each `[batch, steps, pairs]`, or with batch 1.
#[derive(Clone, Copy)]
pub(super) struct Angles<'e> {
    pub cos: Expr<'e>,
    pub sin: Expr<'e>,
}

/// Where the pairs lie.
#[derive(Clone, Copy)]
pub(super) struct Pairs {
    /// Whether the elements of a pair are neighbours.
    pub interleaved: bool,
    /// The number of elements of a head that turn; all if none.
    pub turning: Option<i64>,
    /// The axis of the steps in the input, 1 or 2 of 4.
    pub steps: usize,
}

/// `x`, of rank 4 with the elements of a head last, turned.
///
/// # Errors
/// When the sizes contradict each other.
pub(super) fn turn<'e>(x: Expr<'e>, angles: Angles<'e>, pairs: Pairs) -> Result<Expr<'e>> {
    let dims = x.dims();
    let size = &dims[3];
    let turning = match pairs.turning {
        Some(turning) => i32::try_from(turning).ok().map(Dim::Value),
        None => Some(size.clone()),
    };
    let count = angles.cos.dims().last().cloned();
    let (Some(turning), Some(count)) = (turning, count) else {
        return Err(Error::unreadable("the sizes of the rotation are no dimensions"));
    };
    let half = (turning.clone() / Dim::Value(2)).simplify();
    let clash = |a: &Dim, b: &Dim| fixed(a).zip(fixed(b)).is_some_and(|(a, b)| a != b);
    let larger = fixed(&turning).zip(fixed(size)).is_some_and(|(turning, size)| turning > size);
    let odd = fixed(&turning).is_some_and(|n| n % 2 != 0);
    if larger || odd || clash(&half, &count) || angles.cos.dims() != angles.sin.dims() {
        let what = format!("a head of {size} elements is not turned by {count} angles");
        return Err(Error::unreadable(what));
    }
    let one = Dim::Value(1);
    // The axis of the two elements of a pair.
    let axis = if pairs.interleaved { 4 } else { 3 };
    let mut split = dims[..3].to_vec();
    split.push(half.clone());
    split.insert(axis, Dim::Value(2));
    // Angles are there for each sample and step, or for all samples.
    let mut spread = split.clone();
    spread[3 - pairs.steps] = one.clone();
    spread[axis] = one.clone();
    if angles.cos.dims().first().and_then(fixed) == Some(1) {
        spread[0] = one.clone();
    }
    let axes = [3 - pairs.steps as i64, axis as i64];
    let angle = |table: Expr<'e>| table.unsqueeze(&axes).assume(&spread);
    let (cos, sin) = (angle(angles.cos), angle(angles.sin));
    let moving = x.slice(3, &Dim::Value(0), &turning).reshape(&split);
    let a = moving.slice(axis, &Dim::Value(0), &one);
    let b = moving.slice(axis, &one, &Dim::Value(2));
    let mut turned = dims[..3].to_vec();
    turned.push(turning.clone());
    let moved = Expr::concat(&[cos * a - sin * b, sin * a + cos * b], axis).reshape(&turned);
    if turning == *size {
        return Ok(moved);
    }
    Ok(Expr::concat(&[moved, x.slice(3, &turning, size)], 3).assume(&dims))
}

/// The input as `[batch, steps, heads, size]` where its heads are joined, with the axis of the steps.
///
/// # Errors
/// When the last axis does not divide into the heads.
pub(super) fn by_head<'e>(x: Expr<'e>, heads: Dim) -> Result<(Expr<'e>, usize)> {
    match &x.dims()[..] {
        [_, _, _, _] => Ok((x, 2)),
        [batch, steps, hidden] => {
            let count = fixed(&heads).zip(fixed(hidden));
            if count.is_some_and(|(heads, hidden)| heads < 1 || hidden % heads != 0) {
                let what = format!("{hidden} elements do not divide into {heads} heads");
                return Err(Error::unreadable(what));
            }
            let size = (hidden.clone() / heads.clone()).simplify();
            Ok((x.reshape(&[batch.clone(), steps.clone(), heads, size]), 1))
        }
        dims => {
            Err(Error::unreadable(format!("the input has rank {}, 3 or 4 is needed", dims.len())))
        }
    }
}

fn standard(cx: &Rule) -> Result<()> {
    let x = cx.ranked(0, 3)?;
    let heads = cx.node.int("num_heads")?.unwrap_or(0);
    let heads = i32::try_from(heads).map_or(Dim::Value(0), Dim::Value);
    let (split, steps) = by_head(x, heads)?;
    let table = |index: usize| -> Result<Expr> {
        let table = match cx.node.input(3) {
            Some(_) => cx.ranked(index, 2)?.gather(cx.raw(3)?, 0),
            None => cx.x(index)?,
        };
        match table.rank() {
            3 => Ok(table),
            rank => Err(Error::unreadable(format!("a table of angles has rank {rank}"))),
        }
    };
    let angles = Angles { cos: table(1)?, sin: table(2)? };
    emit(cx, x, turn(split, angles, pairs(cx, steps)?)?)
}

/// What the attributes say of the pairs.
pub(super) fn pairs(cx: &Rule, steps: usize) -> Result<Pairs> {
    let interleaved = cx.node.int("interleaved")?.unwrap_or(0) != 0;
    let turning = cx.node.int("rotary_embedding_dim")?.filter(|&size| size != 0);
    if turning.is_some_and(|size| size < 0) {
        return Err(Error::unreadable("attribute 'rotary_embedding_dim' is negative"));
    }
    Ok(Pairs { interleaved, turning, steps })
}

/// Emits what was turned in the dimensions of the input.
pub(super) fn emit<'e>(cx: &Rule<'e>, x: Expr<'e>, turned: Expr<'e>) -> Result<()> {
    if (1..cx.node.inputs.len()).all(|i| cx.tangent(i).is_none()) {
        cx.homogeneous();
    }
    cx.emit(0, cx.through(turned.reshape(&x.dims()))?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::compile::rules::testing::{Case, case};

    fn rotary() -> Case {
        case("RotaryEmbedding").opset(23).reference()
    }

    #[test]
    fn heads_that_turn_whole_and_in_part() {
        for interleaved in [0, 1] {
            for (turning, angles) in [(0, 2), (4, 2), (2, 1)] {
                let it = || {
                    rotary().int("interleaved", interleaved).int("rotary_embedding_dim", turning)
                };
                let tables =
                    |case: Case| case.param("cos", &[2, 3, angles]).param("sin", &[2, 3, angles]);
                tables(it().input("x", &[2, 2, 3, 4])).check();
                tables(it().int("num_heads", 2).input("x", &[2, 3, 8])).check();
                let by_place = it().input("x", &[2, 2, 3, 4]).param("cos", &[5, angles]);
                by_place
                    .param("sin", &[5, angles])
                    .ints_shaped("at", &[2, 3], &[0, 4, 1, 2, 2, 3])
                    .check();
            }
        }
    }

    #[test]
    fn every_input_may_change() {
        let it = rotary().input("x", &[1, 2, 3, 2]).input("cos", &[1, 3, 1]);
        it.input("sin", &[1, 3, 1]).check();
        let it = rotary().int("num_heads", 2).input("x", &[1, 3, 4]).input("cos", &[4, 1]);
        it.input("sin", &[4, 1]).ints_shaped("at", &[1, 3], &[3, 1, 1]).check();
    }

    #[test]
    fn sizes_known_at_run_time() {
        let it =
            rotary().input("x", &[2, 2, 3, 4]).dynamic(&["n", "", "t", ""]).param("cos", &[5, 2]);
        it.param("sin", &[5, 2]).ints_shaped("at", &[2, 3], &[0, 4, 1, 2, 2, 3]).check();
        let it = rotary().int("num_heads", 2).input("x", &[2, 3, 8]).dynamic(&["n", "t", ""]);
        it.param("cos", &[2, 3, 2]).param("sin", &[2, 3, 2]).check();
    }

    #[test]
    fn contradictions_are_refused() {
        let it = || rotary().input("x", &[1, 1, 2, 4]);
        it().param("cos", &[1, 2, 3]).param("sin", &[1, 2, 3]).refused("angles");
        let it = rotary().input("x", &[1, 2, 4]).int("num_heads", 3);
        it.param("cos", &[1, 2, 1]).param("sin", &[1, 2, 1]).refused("heads");
    }

    #[test]
    fn snapshots() {
        let it = rotary().input("x", &[1, 1, 2, 4]).param("cos", &[1, 2, 2]);
        it.param("sin", &[1, 2, 2]).snapshot("halves");
        let it =
            rotary().int("interleaved", 1).int("rotary_embedding_dim", 2).input("x", &[1, 1, 2, 4]);
        it.param("cos", &[1, 2, 1]).param("sin", &[1, 2, 1]).snapshot("part");
    }
}
