//! Further element-wise functions of one value.
//!
//! `Mish: y = x·t` with `t = tanh(softplus(x))`, slope `t + x·sigmoid(x)·(1 − t²)`. `Swish: y = x·s`
//! with `s = sigmoid(αx)`, slope `s·(1 + αx·(1 − s))`. `Shrink`: slope 1 outside of `[−λ, λ]`, 0
//! inside. `Mod: y = a − n·b` with an integer `n`, so `dy = da − n·db`. `CastLike`: the change in
//! the other type. `Hardmax` is constant almost everywhere.

use super::Inputs::{All, First};
use super::{Entry, Rule, Tangent};
use crate::compile::build::Expr;
use crate::error::Result;

pub(super) const RULES: &[Entry] = &[
    Entry::smooth("Mish", First, mish),
    Entry::smooth("Swish", First, swish),
    Entry::exact("Shrink", First, shrink).kink("0 at both bounds"),
    Entry::exact("Mod", All, modulo).kink("the integer quotient held fixed"),
    Entry::exact("CastLike", All, cast_like),
    Entry::zero("Hardmax"),
];

fn slope<'e>(cx: &Rule<'e>, slope: Expr<'e>) -> Result<()> {
    cx.emit(0, cx.dx(0)?.scale(slope));
    Ok(())
}

fn mish(cx: &Rule) -> Result<()> {
    let x = cx.x(0)?;
    let t = x.unary("Softplus").unary("Tanh");
    slope(cx, t + x * x.unary("Sigmoid") * (t.number(1.0) - t * t))
}

fn swish(cx: &Rule) -> Result<()> {
    let x = cx.x(0)?;
    let scaled = match cx.node.float("alpha")? {
        Some(alpha) if alpha != 1.0 => x * f64::from(alpha),
        _ => x,
    };
    let s = scaled.unary("Sigmoid");
    slope(cx, s * (scaled * (s.number(1.0) - s) + 1.0))
}

fn shrink(cx: &Rule) -> Result<()> {
    let (x, bound) = (cx.x(0)?, cx.node.float("lambd")?.map_or(0.5, f64::from));
    let above = x.binary("Greater", x.number(bound));
    let below = x.binary("Less", x.number(-bound));
    slope(cx, above.binary("Or", below).indicator(x.dtype()))
}

fn modulo(cx: &Rule) -> Result<()> {
    let (a, b, y, dims) = (cx.x(0)?, cx.x(1)?, cx.y(0)?, cx.y_dims(0)?);
    let mut parts = Vec::new();
    if let Some(da) = cx.tangent(0) {
        parts.push(da.broadcast(&dims));
    }
    if let Some(db) = cx.tangent(1) {
        parts.push(db.broadcast(&dims).scale((y - a) / b));
    }
    if parts.len() == 2 {
        cx.homogeneous();
    }
    if let Some(total) = Tangent::sum_of(&parts) {
        cx.emit(0, total);
    }
    Ok(())
}

fn cast_like(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    if let Some(dx) = cx.tangent(0) {
        cx.emit(0, dx.cast(cx.y(0)?.dtype()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::compile::rules::testing::case;

    #[test]
    fn mish_and_swish() {
        for (low, high) in [(-2.0, 2.0), (-4.0, -2.0), (2.0, 9.0)] {
            case("Mish").f32().input("x", &[2, 3]).within(low, high).check();
            case("Swish").f32().opset(24).input("x", &[2, 3]).within(low, high).check();
        }
        let flat = case("Swish").f32().opset(24).float("alpha", 0.0);
        flat.input("x", &[1]).values(&[1.5]).jacobian(&[&[0.5]]);
    }

    #[test]
    fn shrinking() {
        for (bound, bias) in [(0.5, 0.0), (0.0, 0.0), (1.0, 0.25), (0.5, -1.0)] {
            let it = case("Shrink").f32().input("x", &[9]);
            it.float("lambd", bound).float("bias", bias).check();
        }
        let it = case("Shrink").f32().input("x", &[3]).values(&[-0.5, 0.5, 0.625]);
        it.jacobian(&[&[0.0; 3], &[0.0; 3], &[0.0, 0.0, 1.0]]);
    }

    #[test]
    fn remainders() {
        for fmod in [0, 1] {
            let it = || case("Mod").int("fmod", fmod).input("a", &[2, 3]);
            it().param("b", &[3]).within(0.55, 0.95).check();
            it().param("b", &[1]).within(-0.8, -0.7).check();
            it().input("b", &[3]).within(0.52, 0.93).check();
        }
        case("Mod").int("fmod", 1).param("a", &[2, 3]).input("b", &[3]).positive().check();
    }

    #[test]
    fn casts_like_another_value() {
        case("CastLike").input("x", &[3]).param("like", &[1]).check();
    }

    #[test]
    fn snapshots() {
        case("Mish").f32().input("x", &[3]).snapshot("plain");
        case("Swish").f32().opset(24).input("x", &[3]).snapshot("plain");
        case("Shrink").f32().input("x", &[3]).snapshot("plain");
        case("CastLike").input("x", &[3]).param("like", &[1]).snapshot("plain");
        case("Mod").int("fmod", 1).input("a", &[3]).input("b", &[3]).positive().snapshot("plain");
    }
}
