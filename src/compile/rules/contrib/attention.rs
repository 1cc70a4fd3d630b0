//! Attention as optimisers of ONNX Runtime fuse it.
//!
//! `Attention` projects its input to queries, keys and values by one matrix; `MultiHeadAttention` takes
//! them projected. A padded key is not left out: `mask_filter_value` is added to its scores. A key that
//! comes later is left out where attention is `unidirectional`. `RotaryEmbedding` is that of the standard
//! with positions in front of the tables.

use super::{DOMAIN, Entry, Rule, plus};
use crate::compile::build::Expr;
use crate::compile::rules::Inputs::Only;
use crate::compile::rules::Shape;
use crate::compile::rules::attention::{
    Attended, Heads, Scores, Window, attend, behind, join_heads, split_heads, visible,
};
use crate::compile::rules::rotary;
use crate::error::{Error, Result};
use crate::graph::{Dim, fixed};

pub(in crate::compile::rules) const RULES: &[Entry] = &[
    Entry::smooth("Attention", Only(&[0, 1, 2, 4, 5]), attention).of(DOMAIN),
    Entry::smooth("MultiHeadAttention", Only(&[0, 1, 2, 3, 5, 6, 7]), multi_head).of(DOMAIN),
    Entry::exact("RotaryEmbedding", Only(&[0, 2, 3]), rotary).shaped(Shape::Multilinear).of(DOMAIN),
];

/// Refuses a node with any of these inputs or attributes.
fn refuse_any(cx: &Rule, inputs: &[(usize, &str)], flags: &[&str]) -> Result<()> {
    for &(index, name) in inputs {
        if cx.node.input(index).is_some() {
            return cx.refuse(format!("input {index}, '{name}'"));
        }
    }
    for &name in flags {
        if cx.node.int(name)?.unwrap_or(0) != 0 {
            return cx.refuse(format!("attribute '{name}'"));
        }
    }
    Ok(())
}

fn heads_of(cx: &Rule) -> Result<i64> {
    let heads = cx.node.int("num_heads")?;
    heads.ok_or_else(|| Error::unreadable("attribute 'num_heads' is missing"))
}

/// Attention over `all`, of which `past` keys were there before, under the mask at input `mask` and the
/// bias at input `bias`.
fn attended<'e>(
    cx: &Rule<'e>,
    all: &Heads<'e>,
    past: Option<Expr<'e>>,
    [mask, bias]: [usize; 2],
) -> Result<Attended<'e>> {
    let (queries, keys) = (all.q.dims()[2].clone(), all.k.dims()[2].clone());
    let padding = match cx.node.input(mask) {
        Some(_) => Some(padding(cx, cx.raw(mask)?, &all.q.dims()[0], &keys, all.q)?),
        None => None,
    };
    let given = cx.node.input(bias).map(|_| cx.ranked(bias, 4)).transpose()?;
    let bias = given.into_iter().chain(padding).reduce(|a, b| a + b);
    let right = (cx.node.int("unidirectional")?.unwrap_or(0) != 0).then_some(0);
    let offset = match past {
        Some(past) => cx.e.extent(&past.dims()[2]),
        None => cx.e.ints(&[0]),
    };
    let allowed = visible(cx.e, &queries, &keys, offset, Window { left: None, right });
    let scale = cx.node.float("scale")?.map(f64::from).filter(|&scale| scale != 0.0);
    attend(all, Scores { scale, cap: None, bias, allowed })
}

/// What is added to the scores of padded keys. The mask says of every key, or of every query and key,
/// whether it counts; or where the keys that count end, and where they begin.
fn padding<'e>(
    cx: &Rule<'e>,
    mask: Expr<'e>,
    batch: &Dim,
    keys: &Dim,
    like: Expr<'e>,
) -> Result<Expr<'e>> {
    let filter = cx.node.float("mask_filter_value")?.map_or(-10000.0, f64::from);
    let dims = mask.dims();
    let counts = match dims.len() {
        2 => mask.binary("Greater", zero(cx, mask)).unsqueeze(&[1, 2]),
        3 => mask.binary("Greater", zero(cx, mask)).unsqueeze(&[1]),
        1 => {
            let twice = (Dim::Value(2) * batch.clone()).simplify();
            let places = cx.e.range(keys).cast(mask.dtype());
            let column = |start: &Dim, end: &Dim| {
                let shape = [batch.clone(), Dim::Value(1), Dim::Value(1), Dim::Value(1)];
                mask.slice(0, start, end).reshape(&shape)
            };
            if dims[0] == *batch {
                places.binary("Less", column(&Dim::Value(0), batch))
            } else if dims[0] == twice {
                let before_end = places.binary("Less", column(&Dim::Value(0), batch));
                before_end.binary("And", places.binary("GreaterOrEqual", column(batch, &twice)))
            } else {
                return cx.refuse(format!("a mask of {} elements for {batch} samples", dims[0]));
            }
        }
        rank => return cx.refuse(format!("a mask of rank {rank}")),
    };
    Ok(like.number(0.0).where_(counts, like.number(filter)))
}

/// Zero of an integer type.
fn zero<'e>(cx: &Rule<'e>, like: Expr<'e>) -> Expr<'e> {
    cx.e.int(0).cast(like.dtype())
}

fn emit_each(cx: &Rule, outputs: &[Expr]) -> Result<()> {
    for (index, &y) in outputs.iter().enumerate() {
        if cx.node.output(index).is_some()
            && let Some(dy) = cx.maybe_through(y)?
        {
            cx.emit(index, dy);
        }
    }
    Ok(())
}

fn attention(cx: &Rule) -> Result<()> {
    refuse_any(cx, &[(6, "past_sequence_length")], &["do_rotary", "past_present_share_buffer"])?;
    let (x, w, heads) = (cx.ranked(0, 3)?, cx.ranked(1, 2)?, heads_of(cx)?);
    let projected = plus(cx, x.binary("MatMul", w), 2)?;
    let whole = w.dims()[1].clone();
    let third = (whole.clone() / Dim::Value(3)).simplify();
    let sizes = match cx.node.ints("qkv_hidden_sizes")? {
        None | Some([]) => [third.clone(), third],
        Some(&[queries, keys, values]) => {
            let dim = |n: i64| i32::try_from(n).ok().filter(|&n| n > 0).map(Dim::Value);
            let total = [queries, keys, values].iter().try_fold(0i64, |sum, &n| sum.checked_add(n));
            let fits = total.is_some() && fixed(&whole).is_none_or(|whole| Some(whole) == total);
            match (dim(queries), dim(keys)) {
                (Some(queries), Some(keys)) if fits => [queries, keys],
                _ => return Err(Error::unreadable("attribute 'qkv_hidden_sizes' does not fit")),
            }
        }
        Some(list) => {
            return Err(Error::unreadable(format!("attribute 'qkv_hidden_sizes' is {list:?}")));
        }
    };
    let cut = [sizes[0].clone(), (sizes[0].clone() + sizes[1].clone()).simplify()];
    let part = |from: &Dim, to: &Dim| split_heads(projected.slice(2, from, to), heads);
    let (q, k, v) =
        (part(&Dim::Value(0), &cut[0])?, part(&cut[0], &cut[1])?, part(&cut[1], &whole)?);
    let past = |index: i32| -> Result<Option<Expr>> {
        let Some(_) = cx.node.input(4) else { return Ok(None) };
        let past = cx.ranked(4, 5)?;
        let one = past.slice(0, &Dim::Value(index), &Dim::Value(index + 1));
        Ok(Some(one.reshape(&past.dims()[1..])))
    };
    let (past_key, past_value) = (past(0)?, past(1)?);
    let all = Heads { q, k: behind(past_key, k), v: behind(past_value, v) };
    let it = attended(cx, &all, past_key, [3, 5])?;
    let mut outputs = vec![join_heads(it.y)];
    if cx.node.output(1).is_some() {
        outputs.push(Expr::concat(&[all.k.unsqueeze(&[0]), all.v.unsqueeze(&[0])], 0));
    }
    emit_each(cx, &outputs)
}

fn multi_head(cx: &Rule) -> Result<()> {
    refuse_any(cx, &[(8, "past_sequence_length"), (9, "cache_indirection")], &[])?;
    if cx.node.input(1).is_none() || cx.node.input(2).is_none() || cx.raw(0)?.rank() != 3 {
        return cx.refuse("queries, keys and values packed into one input");
    }
    let heads = heads_of(cx)?;
    let inputs = [cx.x(0)?, cx.x(1)?, cx.x(2)?];
    let mut start = Dim::Value(0);
    let mut split = Vec::new();
    for (index, x) in inputs.into_iter().enumerate() {
        split.push(match x.rank() {
            4 if index > 0 => x,
            3 => {
                let end = (start.clone() + x.dims()[2].clone()).simplify();
                let sum = match cx.node.input(3) {
                    Some(_) => (x + cx.ranked(3, 1)?.slice(0, &start, &end)).assume(&x.dims()),
                    None => x,
                };
                start = end;
                split_heads(sum, heads)?
            }
            rank => return cx.refuse(format!("input {index} of rank {rank}")),
        });
    }
    let past = |index: usize| cx.node.input(index).map(|_| cx.ranked(index, 4)).transpose();
    let (past_key, past_value) = (past(6)?, past(7)?);
    let (k, v) = (behind(past_key, split[1]), behind(past_value, split[2]));
    let all = Heads { q: split[0], k, v };
    let it = attended(cx, &all, past_key, [4, 5])?;
    emit_each(cx, &[join_heads(it.y), all.k, all.v, it.raw])
}

/// RotaryEmbedding: positions are given for each step, or that of the first.
fn rotary(cx: &Rule) -> Result<()> {
    refuse_any(cx, &[], &["is_packed_batching"])?;
    if cx.node.float("scale")?.is_some_and(|scale| scale != 1.0) {
        return cx.refuse("attribute 'scale'");
    }
    let (x, tables) = (cx.ranked(0, 3)?, [cx.ranked(2, 2)?, cx.ranked(3, 2)?]);
    let dims = x.dims();
    let heads = match cx.node.int("num_heads")?.unwrap_or(0) {
        0 => (dims[dims.len() - 1].clone() / (tables[0].dims()[1].clone() * Dim::Value(2)))
            .simplify(),
        heads => i32::try_from(heads).map_or(Dim::Value(0), Dim::Value),
    };
    let (split, steps) = rotary::by_head(x, heads)?;
    let places = cx.raw(1)?;
    let places = match places.rank() {
        1 => (cx.e.range(&split.dims()[steps]) + places).unsqueeze(&[0]),
        2 => places,
        rank => return Err(Error::unreadable(format!("positions of rank {rank}"))),
    };
    let [cos, sin] = tables.map(|table| table.gather(places, 0));
    let turned = rotary::turn(split, rotary::Angles { cos, sin }, rotary::pairs(cx, steps)?)?;
    rotary::emit(cx, x, turned)
}

#[cfg(test)]
mod tests {
    use crate::compile::rules::testing::{Case, case};

    fn fused() -> Case {
        case("com.microsoft.Attention").f32().ort().int("num_heads", 2)
    }

    /// The case with one of the masks of two samples of three keys.
    fn masked(it: Case, mask: usize) -> Case {
        match mask {
            0 => it.skip(),
            1 => it.ints32("m", &[2, 3], &[1, 0, 1, 1, 1, 0]),
            2 => {
                let cells = [1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1];
                it.ints32("m", &[2, 3, 3], &cells)
            }
            3 => it.ints32("m", &[2], &[2, 3]),
            _ => it.ints32("m", &[4], &[2, 3, 1, 0]),
        }
    }

    #[test]
    fn fused_projections_under_every_mask() {
        for mask in 0..5 {
            for causal in [0, 1] {
                let it = fused().int("unidirectional", causal).float("mask_filter_value", -1.0);
                let it = it.input("x", &[2, 3, 3]).param("w", &[3, 12]).within(-0.7, 0.7);
                masked(it.param("b", &[12]), mask).check();
            }
        }
        let all = fused().input("x", &[1, 2, 3]).within(-1.0, 1.0).input("w", &[3, 12]);
        all.within(-0.7, 0.7).input("b", &[12]).within(-1.0, 1.0).check();
        let uneven = fused().ints("qkv_hidden_sizes", &[4, 4, 6]).float("scale", 0.3);
        uneven
            .input("x", &[1, 2, 3])
            .param("w", &[3, 14])
            .within(-0.7, 0.7)
            .param("b", &[14])
            .check();
    }

    #[test]
    fn fused_projections_behind_a_past() {
        let it = || {
            let it = fused().int("unidirectional", 1).outputs(2).input("x", &[1, 2, 3]);
            it.within(-1.0, 1.0).param("w", &[3, 12]).within(-0.7, 0.7).param("b", &[12]).skip()
        };
        it().param("p", &[2, 1, 2, 3, 2]).check();
        it().input("p", &[2, 1, 2, 3, 2]).within(-1.0, 1.0).check();
        let biased = fused().input("x", &[1, 2, 3]).param("w", &[3, 12]).within(-0.7, 0.7);
        biased.param("b", &[12]).skip().skip().input("r", &[1, 2, 2, 2]).check();
    }

    fn heads() -> Case {
        case("com.microsoft.MultiHeadAttention").f32().ort().int("num_heads", 2)
    }

    #[test]
    fn many_heads_under_every_mask() {
        let qkv = |it: Case| {
            let it = it.input("q", &[2, 2, 4]).within(-1.0, 1.0).input("k", &[2, 3, 4]);
            it.within(-1.0, 1.0).input("v", &[2, 3, 6]).within(-1.0, 1.0)
        };
        for mask in [0, 1] {
            let it = qkv(heads().float("mask_filter_value", -1.0)).param("b", &[14]);
            masked(it, mask).check();
        }
        qkv(heads()).input("b", &[14]).within(-1.0, 1.0).skip().input("r", &[1, 2, 2, 3]).check();
        qkv(heads()).skip().skip().input("r", &[2, 1, 2, 3]).check();
        let it = heads().int("unidirectional", 1).input("q", &[2, 3, 4]).within(-1.0, 1.0);
        let it = it.input("k", &[2, 3, 4]).within(-1.0, 1.0).input("v", &[2, 3, 6]);
        it.within(-1.0, 1.0).check();
    }

    #[test]
    fn many_heads_behind_a_past() {
        // Without the outputs ONNX Runtime has nowhere to put the past.
        let it = heads().outputs(3).input("q", &[1, 2, 4]).within(-1.0, 1.0);
        let it = it.input("k", &[1, 2, 4]).within(-1.0, 1.0).input("v", &[1, 2, 4]);
        let it = it.within(-1.0, 1.0).skip().skip().skip().input("pk", &[1, 2, 3, 2]);
        it.within(-1.0, 1.0).input("pv", &[1, 2, 3, 2]).within(-1.0, 1.0).check_together();
        let apart = heads().input("q", &[1, 2, 4]).within(-1.0, 1.0).input("k", &[1, 2, 3, 2]);
        apart.within(-1.0, 1.0).input("v", &[1, 2, 3, 2]).within(-1.0, 1.0).check();
    }

    #[test]
    fn sizes_known_at_run_time() {
        let it = fused().input("x", &[2, 3, 3]).dynamic(&["n", "t", ""]).param("w", &[3, 12]);
        it.within(-0.7, 0.7).param("b", &[12]).check();
        let it = heads().input("q", &[2, 2, 4]).dynamic(&["n", "t", ""]).param("k", &[2, 3, 4]);
        it.param("v", &[2, 3, 4]).check();
    }

    #[test]
    fn what_is_not_there_is_refused() {
        fused().int("do_rotary", 1).input("x", &[1, 2, 3]).param("w", &[3, 12]).refused("rotary");
    }

    #[test]
    fn turned_by_position() {
        let it = || case("com.microsoft.RotaryEmbedding").f32().ort();
        for interleaved in [0, 1] {
            let it = || it().int("interleaved", interleaved);
            let tables = |it: Case| it.param("cos", &[5, 2]).param("sin", &[5, 2]);
            let apart = || it().input("x", &[2, 2, 3, 4]);
            tables(apart().ints_shaped("at", &[2, 3], &[0, 4, 1, 2, 2, 3])).check();
            tables(apart().ints_input("at", &[1])).check();
            let joined = it().int("num_heads", 2).input("x", &[2, 3, 8]);
            tables(joined.ints_input("at", &[2])).check();
            tables(it().input("x", &[2, 3, 8]).ints_input("at", &[0])).check();
        }
        let it = it().input("x", &[1, 1, 2, 4]).ints_input("at", &[1]);
        it.input("cos", &[4, 2]).input("sin", &[4, 2]).check();
    }

    #[test]
    fn snapshots() {
        let it = fused().input("x", &[1, 2, 2]).param("w", &[2, 12]).param("b", &[12]);
        it.int("unidirectional", 1).snapshot("causal");
        let it = heads().input("q", &[1, 2, 4]).within(-0.5, 0.5).param("k", &[1, 2, 4]);
        let it = it.values(&[0.5, -0.3, 0.2, 0.9, -0.6, 0.1, 0.8, -0.4]);
        let it = it.param("v", &[1, 2, 4]);
        it.values(&[0.7, -0.2, 0.4, -0.9, -0.5, 0.6, -0.8, 0.3]).snapshot("query");
        let it = case("com.microsoft.RotaryEmbedding").f32().ort().input("x", &[1, 1, 2, 4]);
        let it = it.ints_input("at", &[0]).param("cos", &[3, 2]).param("sin", &[3, 2]);
        it.snapshot("plain");
    }
}
