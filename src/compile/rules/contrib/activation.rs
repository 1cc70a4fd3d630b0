//! Gelu and its relatives, with a bias fused in.
//!
//! With `z = x + b`: `Gelu: x·Φ(x)`, `BiasGelu: z·Φ(z)`, `FastGelu`: the same through Tanh,
//! `QuickGelu: x·sigmoid(αx)`, `BiasSplitGelu: l·r·Φ(r)` where `l` and `r` are the halves of `z`.

use std::f64::consts::SQRT_2;

use super::{DOMAIN, Entry, Rule, plus};
use crate::compile::rules::Inputs::{All, First};
use crate::compile::rules::activation::gelu_slope;
use crate::error::{Error, Result};
use crate::graph::{Dim, fixed};

pub(in crate::compile::rules) const RULES: &[Entry] = &[
    Entry::smooth("Gelu", First, gelu).of(DOMAIN),
    Entry::smooth("BiasGelu", All, bias_gelu).of(DOMAIN),
    Entry::smooth("FastGelu", All, fast_gelu).of(DOMAIN),
    Entry::smooth("QuickGelu", First, quick_gelu).of(DOMAIN),
    Entry::smooth("BiasSplitGelu", All, bias_split_gelu).of(DOMAIN),
];

fn gelu(cx: &Rule) -> Result<()> {
    cx.emit(0, cx.dx(0)?.scale(gelu_slope(cx.x(0)?, false)));
    Ok(())
}

fn bias_gelu(cx: &Rule) -> Result<()> {
    biased(cx, false)
}

fn fast_gelu(cx: &Rule) -> Result<()> {
    biased(cx, true)
}

fn biased(cx: &Rule, approximate: bool) -> Result<()> {
    let z = plus(cx, cx.x(0)?, 1)?;
    cx.emit(0, cx.through(z)?.scale(gelu_slope(z, approximate)));
    Ok(())
}

fn quick_gelu(cx: &Rule) -> Result<()> {
    let x = cx.x(0)?;
    let scaled = x * f64::from(cx.node.float("alpha")?.unwrap_or(1.702));
    let s = scaled.unary("Sigmoid");
    cx.emit(0, cx.dx(0)?.scale(s * (scaled * (s.number(1.0) - s) + 1.0)));
    Ok(())
}

fn bias_split_gelu(cx: &Rule) -> Result<()> {
    let z = plus(cx, cx.ranked(0, 1)?, 1)?;
    let axis = z.rank() - 1;
    let whole = &z.dims()[axis];
    if fixed(whole).is_some_and(|n| n % 2 != 0) {
        return Err(Error::unreadable(format!("an axis of {whole} elements has no two halves")));
    }
    let half = (whole.clone() / Dim::Value(2)).simplify();
    let (left, right) = (z.slice(axis, &Dim::Value(0), &half), z.slice(axis, &half, whole));
    let gelu = right * ((right / SQRT_2).unary("Erf") + 1.0) * 0.5;
    cx.emit(0, cx.through(left * gelu)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::compile::rules::testing::case;

    #[test]
    fn gelu_and_its_relatives() {
        for (low, high) in [(-2.0, 2.0), (-2.5, 1.0), (2.0, 12.0)] {
            let of = |op: &str| case(op).f32().ort().input("x", &[2, 3]).within(low, high);
            of("com.microsoft.Gelu").check();
            of("com.microsoft.FastGelu").check();
            of("com.microsoft.FastGelu").param("b", &[3]).check();
            of("com.microsoft.FastGelu").input("b", &[3]).check();
            of("com.microsoft.BiasGelu").param("b", &[3]).check();
            of("com.microsoft.BiasGelu").input("b", &[3]).check();
            of("com.microsoft.QuickGelu").check();
        }
        for alpha in [1.702, 0.5, -1.0, 0.0] {
            let it = case("com.microsoft.QuickGelu").f32().ort().float("alpha", alpha);
            it.input("x", &[2, 3]).check();
        }
        let it = || case("com.microsoft.BiasGelu").f32().ort().input("x", &[2, 3]);
        it().dynamic(&["n", ""]).param("b", &[3]).check();
        it().dynamic(&["n", "m"]).param("b", &[3]).check();
    }

    #[test]
    fn halves_that_gate() {
        let it = || case("com.microsoft.BiasSplitGelu").input("x", &[1, 2, 4]);
        let same = || {
            let gate = case("com.microsoft.BiasSplitGelu");
            gate.param("x", &[1, 2, 4]).input("b", &[4])
        };
        it().param("b", &[4]).show("input");
        same().show("bias");
        case("com.microsoft.BiasSplitGelu").input("x", &[2, 3]).param("b", &[3]).refused("halves");
    }

    #[test]
    fn snapshots() {
        let of = |op: &str| case(op).f32().ort().input("x", &[2, 3]);
        of("com.microsoft.Gelu").snapshot("plain");
        of("com.microsoft.FastGelu").input("b", &[3]).snapshot("bias");
        of("com.microsoft.BiasGelu").input("b", &[3]).snapshot("plain");
        of("com.microsoft.QuickGelu").snapshot("plain");
    }
}
