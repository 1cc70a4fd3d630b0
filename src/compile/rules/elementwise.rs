//! Further element-wise functions of one value.
//!
//! `Mish: y = x·t` with `t = tanh(softplus(x))`, slope `t + x·sigmoid(x)·(1 − t²)`. `Swish: y = x·s`
//! with `s = sigmoid(αx)`, slope `s·(1 + αx·(1 − s))`; `SwiGLU: y = Swish(a)·b`. `Shrink`: slope 1 outside of `[−λ, λ]`, 0
//! inside. `Mod: y = a − n·b` with an integer `n`, so `dy = da − n·db`. `CastLike`: the change in
//! the other type. `BitCast` to the same type changes nothing. `Hardmax` is constant almost everywhere.

use super::Inputs::{All, First};
use super::{Entry, Rule, Shape, Tangent};
use crate::compile::build::Expr;
use crate::error::Result;

pub(super) const RULES: &[Entry] = &[
    Entry::smooth("Mish", First, mish),
    Entry::smooth("Swish", First, swish),
    Entry::smooth("SwiGLU", All, swi_glu).shaped(Shape::Unless(&[0])),
    Entry::exact("Shrink", First, shrink).kink("0 at both bounds"),
    Entry::exact("Mod", All, modulo).kink("the integer quotient held fixed"),
    Entry::exact("CastLike", All, cast_like),
    Entry::exact("BitCast", First, bit_cast),
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
    slope(cx, swish_slope(cx)?.1)
}

/// The sigmoid of the scaled input 0, and the slope of Swish there.
fn swish_slope<'e>(cx: &Rule<'e>) -> Result<(Expr<'e>, Expr<'e>)> {
    let x = cx.x(0)?;
    let scaled = match cx.node.float("alpha")? {
        Some(alpha) if alpha != 1.0 => x * f64::from(alpha),
        _ => x,
    };
    let s = scaled.unary("Sigmoid");
    Ok((s, s * (scaled * (s.number(1.0) - s) + 1.0)))
}

fn swi_glu(cx: &Rule) -> Result<()> {
    let (sigmoid, slope) = swish_slope(cx)?;
    let mut parts = Vec::new();
    if let Some(da) = cx.tangent(0) {
        parts.push(da.scale(slope * cx.x(1)?));
    }
    if let Some(db) = cx.tangent(1) {
        parts.push(db.scale(cx.x(0)? * sigmoid));
    }
    if cx.tangent(0).is_none() {
        cx.homogeneous();
    }
    if let Some(total) = Tangent::sum_of(&parts) {
        cx.emit(0, total);
    }
    Ok(())
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
        parts.push(db.broadcast(&dims).scale(((y - a) / b + 0.5).unary("Floor")));
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

fn bit_cast(cx: &Rule) -> Result<()> {
    let input = cx.raw(0)?.id;
    let same = |output| cx.e.expr(output).dtype() == cx.e.expr(input).dtype();
    if !cx.node.output(0).is_some_and(same) {
        return cx.refuse("the bits of a number as another number");
    }
    cx.homogeneous();
    cx.emit(0, cx.dx(0)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::compile::rules::testing::{Case, case};
    use crate::graph::{DataType, Tensor};

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
    fn remainders_with_zero_quotients_and_infinite_divisors() {
        let b = |a: f64, b: f64| {
            let it = case("Mod").int("fmod", 1).constant("a", Tensor::float(DataType::F64, a));
            it.input("b", &[1]).values(&[b])
        };
        b(1.5, f64::INFINITY).jacobian(&[&[0.0]]);
        b(1.5, 2.0).jacobian(&[&[0.0]]);
        b(-7.3, 0.7).jacobian(&[&[10.0]]);
        let a = case("Mod").int("fmod", 1).input("a", &[2]).values(&[0.0, 3.0]);
        a.constant("b", Tensor::float(DataType::F64, 1.5)).jacobian(&[&[1.0, 0.0], &[0.0, 1.0]]);
    }

    #[test]
    fn floored_remainders_of_the_newest_operator_set() {
        for b in [0.7, -0.7] {
            let of = || case("Mod").opset(28).reference();
            of().input("a", &[2, 3]).input("b", &[]).values(&[b]).check();
            of().int("fmod", 1).input("a", &[2, 3]).input("b", &[1]).values(&[b]).check();
        }
    }

    #[test]
    fn gated_linear_units() {
        let of = || case("SwiGLU").opset(28).reference();
        for alpha in [None, Some(0.0), Some(1.7), Some(-0.5)] {
            let with = |it: Case| alpha.into_iter().fold(it, |it, alpha| it.float("alpha", alpha));
            with(of().input("a", &[2, 3]).param("b", &[2, 3])).check();
            with(of().param("a", &[2, 3]).input("b", &[2, 3])).check();
            with(of().input("a", &[2, 3]).input("b", &[2, 3])).check();
        }
        let sized = of().input("a", &[2, 3]).dynamic(&["n", ""]);
        sized.input("b", &[2, 3]).dynamic(&["n", ""]).check();
    }

    #[test]
    fn bits_as_the_same_type() {
        let of = || case("BitCast").opset(26).input("x", &[3]);
        of().int("to", DataType::F64 as i64).reference().check();
        of().f32().int("to", DataType::F32 as i64).reference().snapshot("same");
        let graph = "g (float16[3] x) => (bfloat16[3] y) { y = BitCast <to = 16> (x) }";
        let text = format!("<ir_version: 10, opset_import: [\"\" : 26]> {graph}");
        let model = crate::onnx::text::parse(&text).expect("a model");
        let options = crate::compile::Options::default();
        let error = crate::compile::transform(model, &options).expect_err("no slope");
        assert!(error.to_string().contains("the bits of a number"), "{error}");
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
        let gate = case("SwiGLU").opset(28).reference().input("a", &[3]);
        gate.input("b", &[3]).snapshot("plain");
        case("Mod").int("fmod", 1).input("a", &[3]).input("b", &[3]).positive().snapshot("plain");
    }
}
