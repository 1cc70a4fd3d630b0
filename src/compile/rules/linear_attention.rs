//! Operators that carry a state from step to step, in place of attention.
//!
//! `LinearAttention`, with a state `S` of keys by values: `S ← exp(g)·S + k ⊗ (β·(v − Sᵀk))`, without the
//! decay `exp(g)` or the correction `β·(v − Sᵀk)` where the update rule has none, and `o = scale·Sᵀq`.
//! Unrolled over the steps; without decay and correction `o = scale·(q·S₀ + (q·Kᵀ)·V)` with the scores of
//! later keys left out. `CausalConvWithState`: a convolution of each channel behind its past, with Swish.

use super::Inputs::All;
use super::attention::{Window, join_heads, split_heads, visible};
use super::{Entry, Rule};
use crate::compile::build::Expr;
use crate::error::{Error, Result};
use crate::graph::{Dim, fixed};

pub(super) const RULES: &[Entry] = &[
    Entry::smooth("LinearAttention", All, linear_attention),
    Entry::smooth("CausalConvWithState", All, causal_conv),
];

/// The most steps that are written one after another.
const MOST_STEPS: i64 = 512;

/// The inputs of LinearAttention by head: `[batch, heads, steps, size]`, and the state
/// `[batch, heads, keys, values]`.
struct Inputs<'e> {
    q: Expr<'e>,
    k: Expr<'e>,
    v: Expr<'e>,
    state: Expr<'e>,
    decay: Option<Expr<'e>>,
    beta: Option<Expr<'e>>,
    /// Queries that share a head of keys.
    group: Dim,
}

fn linear_attention(cx: &Rule) -> Result<()> {
    let rule = cx.node.text("update_rule")?.unwrap_or("gated_delta");
    let (decays, corrects) = match rule {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        other => return cx.refuse(format!("the update rule {other:?}")),
    };
    let inputs = inputs(cx, decays, corrects)?;
    let scale = cx.node.float("scale")?.map(f64::from).filter(|&scale| scale != 0.0);
    let scale = match (scale, fixed(&inputs.q.dims()[3])) {
        (Some(scale), _) => inputs.q.number(scale),
        (None, Some(size)) => inputs.q.number((size as f64).sqrt().recip()),
        (None, None) => return cx.refuse("a size of heads that is only known at run time"),
    };
    let (read, state) = if decays || corrects { unrolled(cx, &inputs)? } else { summed(&inputs) };
    emit_each(cx, [join_heads(read * scale), state])
}

/// Emits the outputs that are there and change.
fn emit_each(cx: &Rule, outputs: [Expr; 2]) -> Result<()> {
    for (index, y) in outputs.into_iter().enumerate() {
        if cx.node.output(index).is_none() {
            continue;
        }
        let y = y.cast(cx.y(index)?.dtype());
        if let Some(dy) = cx.maybe_through(y)? {
            cx.emit(index, dy);
        }
    }
    Ok(())
}

fn inputs<'e>(cx: &Rule<'e>, decays: bool, corrects: bool) -> Result<Inputs<'e>> {
    let heads = |name: &str| cx.node.int(name).map(|heads| heads.unwrap_or(0));
    let (queries, heads) = (heads("q_num_heads")?, heads("kv_num_heads")?);
    if heads < 1 || queries < 1 || queries % heads != 0 {
        return Err(Error::unreadable(format!("{queries} heads of queries, {heads} of keys")));
    }
    let (q, k, v) = (cx.ranked(0, 3)?, cx.ranked(1, 3)?, cx.ranked(2, 3)?);
    let (q, k, v) = (split_heads(q, queries)?, split_heads(k, heads)?, split_heads(v, heads)?);
    let gate = |index: usize, used: bool| -> Result<Option<Expr<'e>>> {
        if !used {
            return Ok(None);
        }
        let x = cx.ranked(index, 3)?;
        match fixed(&x.dims()[2]) {
            Some(1) => Ok(Some(x.unsqueeze(&[1]))),
            _ => split_heads(x, heads).map(Some),
        }
    };
    let all = [q.dims(), k.dims(), v.dims()];
    let clash = |a: &Dim, b: &Dim| fixed(a).zip(fixed(b)).is_some_and(|(a, b)| a != b);
    let differ =
        |axis: usize| clash(&all[0][axis], &all[1][axis]) || clash(&all[1][axis], &all[2][axis]);
    if differ(0) || differ(2) || clash(&all[0][3], &all[1][3]) {
        return Err(Error::unreadable(format!(
            "query, key and value by head, {all:?}, do not fit"
        )));
    }
    // What one of them says of the number of samples and of steps holds for all.
    let known = |axis: usize| {
        let mut sizes = all.iter().map(|dims| &dims[axis]);
        sizes.find(|size| fixed(size).is_some()).unwrap_or(&all[0][axis]).clone()
    };
    let (batch, steps) = (known(0), known(2));
    let alike = |x: Expr<'e>| {
        let mut dims = x.dims();
        (dims[0], dims[2]) = (batch.clone(), steps.clone());
        x.assume(&dims)
    };
    let (q, k, v) = (alike(q), alike(k), alike(v));
    let (dk, dv) = (k.dims(), v.dims());
    let state = [q.dims()[0].clone(), dk[1].clone(), dk[3].clone(), dv[3].clone()];
    let state = match cx.node.input(3) {
        Some(_) => cx.ranked(3, 4)?.cast(q.dtype()).assume(&state),
        None => Expr::zeros(cx.e, q.dtype(), &state),
    };
    let group = i32::try_from(queries / heads).map_or(Dim::Value(0), Dim::Value);
    Ok(Inputs {
        q,
        k,
        v,
        state,
        decay: gate(4, decays)?.map(alike),
        beta: gate(5, corrects)?.map(alike),
        group,
    })
}

/// Queries that share a head of keys as the rows of one matrix.
fn grouped<'e>(it: &Inputs, q: Expr<'e>) -> Expr<'e> {
    let (q_dims, k) = (q.dims(), it.k.dims());
    let rows = (it.group.clone() * q_dims[2].clone()).simplify();
    q.reshape(&[q_dims[0].clone(), k[1].clone(), rows, q_dims[3].clone()])
}

/// Output and last state as sums over the steps, where the state only grows.
fn summed<'e>(it: &Inputs<'e>) -> (Expr<'e>, Expr<'e>) {
    let (queries, values) = (it.q.dims(), it.v.dims());
    let keys = &it.k.dims()[2];
    let q = grouped(it, it.q);
    let k = it.k.transpose(&[0, 1, 3, 2]);
    let over = |last: &Dim| [&queries[..3], std::slice::from_ref(last)].concat();
    let scores = q.binary("MatMul", k).reshape(&over(keys));
    let window = Window { left: None, right: Some(0) };
    let seen = visible(q.e, keys, keys, q.e.ints(&[0]), window);
    let scores = seen.map_or(scores, |seen| scores.where_(seen, scores.number(0.0)));
    let new = grouped(it, scores).binary("MatMul", it.v);
    let y = (new + q.binary("MatMul", it.state)).reshape(&over(&values[3]));
    (y, it.state + k.binary("MatMul", it.v))
}

/// Output and last state, step by step.
fn unrolled<'e>(cx: &Rule<'e>, it: &Inputs<'e>) -> Result<(Expr<'e>, Expr<'e>)> {
    let Some(steps) = fixed(&it.k.dims()[2]) else {
        return cx.refuse("a number of steps that is only known at run time");
    };
    if !(1..=MOST_STEPS).contains(&steps) {
        return cx.refuse(format!("{steps} steps, more than {MOST_STEPS} or none"));
    }
    let mut state = it.state;
    let mut read = Vec::new();
    let values = it.v.dims();
    for t in 0..steps as i32 {
        let at = |x: Expr<'e>| x.slice(2, &Dim::Value(t), &Dim::Value(t + 1));
        let k = at(it.k);
        let column = k.transpose(&[0, 1, 3, 2]);
        if let Some(decay) = it.decay {
            state = state * at(decay).unary("Exp").transpose(&[0, 1, 3, 2]);
        }
        let mut v = at(it.v);
        if let Some(beta) = it.beta {
            v = (v - k.binary("MatMul", state)) * at(beta);
        }
        state = state + column.binary("MatMul", v);
        let q = at(it.q);
        let y = grouped(it, q).binary("MatMul", state);
        read.push(y.reshape(&[&q.dims()[..3], &values[3..]].concat()));
    }
    Ok((Expr::concat(&read, 2), state))
}

fn causal_conv(cx: &Rule) -> Result<()> {
    let (x, w) = (cx.ranked(0, 3)?, cx.ranked(1, 3)?);
    let (dims, kernel) = (x.dims(), w.dims());
    let one = Dim::Value(1);
    let before = (kernel[2].clone() - one).simplify();
    let past = match cx.node.input(3) {
        Some(_) => cx.ranked(3, 3)?,
        None => Expr::zeros(cx.e, x.dtype(), &[dims[0].clone(), dims[1].clone(), before.clone()]),
    };
    let padded = Expr::concat(&[past, x], 2);
    let Some(channels) = fixed(&dims[1]) else {
        return cx.refuse("a number of channels that is only known at run time");
    };
    let mut inputs = vec![padded, w];
    if cx.node.input(2).is_some() {
        inputs.push(cx.x(2)?);
    }
    let conv = cx.e.op("Conv", &inputs, &[("group", channels.into())]).assume(&dims);
    let y = match cx.node.text("activation")?.unwrap_or("none") {
        "none" => conv,
        "silu" | "swish" => conv * conv.unary("Sigmoid"),
        other => return cx.refuse(format!("the activation {other:?}")),
    };
    let whole = padded.dims()[2].clone();
    let state = padded.slice(2, &(whole.clone() - before).simplify(), &whole);
    emit_each(cx, [y, state])
}

#[cfg(test)]
mod tests {
    use crate::compile::rules::testing::{Case, case};

    fn linear(rule: &str, queries: i64, heads: i64) -> Case {
        let it = case("LinearAttention").opset(27).f32().reference();
        it.text("update_rule", rule).int("q_num_heads", queries).int("kv_num_heads", heads)
    }

    /// Queries, keys and values of heads of 2 and 3 elements.
    fn qkv(it: Case, queries: i64, heads: i64) -> Case {
        let it = it.input("q", &[2, 3, 2 * queries]).input("k", &[2, 3, 2 * heads]);
        it.input("v", &[2, 3, 3 * heads])
    }

    #[test]
    fn every_update_rule() {
        for (queries, heads) in [(1, 1), (4, 2)] {
            for rule in ["linear", "gated", "delta", "gated_delta"] {
                for past in [false, true] {
                    let it = qkv(linear(rule, queries, heads), queries, heads).within(-1.0, 1.0);
                    let it = if past { it.input("s", &[2, heads, 2, 3]) } else { it.skip() };
                    let gated = rule.starts_with("gated");
                    let it = if gated {
                        it.input("g", &[2, 3, heads]).within(-1.0, 0.0)
                    } else {
                        it.skip()
                    };
                    let delta = rule.ends_with("delta");
                    if delta { it.input("b", &[2, 3, heads]).within(0.1, 0.9) } else { it }.check();
                }
            }
        }
    }

    #[test]
    fn the_last_state() {
        for rule in ["linear", "gated", "delta", "gated_delta"] {
            let it = linear(rule, 2, 1).outputs(2).param("q", &[1, 2, 4]).input("k", &[1, 2, 2]);
            let it = it.within(-1.0, 1.0).input("v", &[1, 2, 2]).input("s", &[1, 1, 2, 2]);
            let gated = rule.starts_with("gated");
            let it = if gated { it.input("g", &[1, 2, 1]).within(-1.0, 0.0) } else { it.skip() };
            let delta = rule.ends_with("delta");
            if delta { it.input("b", &[1, 2, 1]).within(0.1, 0.9) } else { it }.check();
        }
    }

    #[test]
    fn gates_by_key_and_for_all_heads() {
        let it = qkv(linear("gated", 2, 2), 2, 2).skip();
        it.input("g", &[2, 3, 4]).within(-1.0, 0.0).check();
        let it = qkv(linear("delta", 2, 2), 2, 2).skip().skip();
        it.input("b", &[2, 3, 1]).within(0.1, 0.9).float("scale", 0.3).check();
    }

    #[test]
    fn steps_known_at_run_time() {
        let it = linear("linear", 2, 1).input("q", &[2, 3, 4]).dynamic(&["n", "t", ""]);
        it.param("k", &[2, 3, 2]).param("v", &[2, 3, 3]).check();
        let it = linear("gated", 1, 1).input("q", &[1, 3, 2]).dynamic(&["", "t", ""]);
        it.param("k", &[1, 3, 2]).param("v", &[1, 3, 2]).skip().param("g", &[1, 3, 1]).check();
        qkv(linear("other", 1, 1), 1, 1).refused("other");
    }

    #[test]
    fn convolutions_behind_their_past() {
        for kernel in [1, 2, 4] {
            for activation in ["none", "silu"] {
                let it = || {
                    let it = case("CausalConvWithState").opset(27).f32().reference().outputs(2);
                    it.text("activation", activation).input("x", &[2, 2, 3])
                };
                it().param("w", &[2, 1, kernel]).check();
                let biased = it().param("w", &[2, 1, kernel]).param("b", &[2]);
                if kernel > 1 { biased.input("s", &[2, 2, kernel - 1]) } else { biased }.check();
            }
        }
        let it = case("CausalConvWithState").opset(27).f32().reference().outputs(2);
        let it = it.input("x", &[2, 2, 3]).dynamic(&["n", "", "t"]).param("w", &[2, 1, 3]);
        it.param("b", &[2]).check();
    }

    #[test]
    fn snapshots() {
        let it = linear("linear", 1, 1).input("q", &[1, 2, 2]).param("k", &[1, 2, 2]);
        it.param("v", &[1, 2, 2]).outputs(1).snapshot("linear");
        let it = linear("gated", 1, 1).param("q", &[1, 1, 2]).param("k", &[1, 1, 2]);
        it.input("v", &[1, 1, 2]).skip().param("g", &[1, 1, 1]).snapshot("gated");
        let it = case("CausalConvWithState").opset(27).f32().reference().outputs(2);
        it.input("x", &[1, 2, 3]).param("w", &[2, 1, 2]).param("b", &[2]).snapshot("plain");
    }
}
