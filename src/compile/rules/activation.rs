//! Element-wise functions of one value: `dy = σ'(x) ⊙ dx`.
//!
//! A slope is written from `x` or from `y = σ(x)`, whichever is cheaper or keeps more digits. At a
//! kink the slope is that of the inactive side, so 0 for Relu at 0; a slope beyond the range of its
//! type is 0 too, since 0·∞ would be no number beside it.

use std::f64::consts::{FRAC_2_SQRT_PI, PI, SQRT_2};

use super::Inputs::{All, First, Only};
use super::{Entry, Rule, Shape, Tangent};
use crate::compile::build::Expr;
use crate::error::Result;

pub(super) const RULES: &[Entry] = &[
    Entry::exact("Relu", First, relu).kink("0 at 0"),
    Entry::exact("LeakyRelu", First, leaky_relu).kink("alpha at 0"),
    Entry::exact("PRelu", Only(&[0, 1]), prelu).shaped(Shape::Product).kink("slope at 0"),
    Entry::exact("ThresholdedRelu", First, thresholded_relu).kink("0 at alpha"),
    Entry::exact("Clip", All, clip).kink("0 at both bounds; the upper, then the lower bound's"),
    Entry::exact("HardSigmoid", First, hard_sigmoid).kink("0 at both bounds"),
    Entry::smooth("HardSwish", First, hard_swish).kink("0 at -3, 1 at 3"),
    Entry::smooth("Sigmoid", First, sigmoid),
    Entry::smooth("Tanh", First, tanh),
    Entry::smooth("Softplus", First, softplus),
    Entry::smooth("Softsign", First, softsign),
    Entry::smooth("Elu", First, elu).kink("alpha at 0"),
    Entry::smooth("Selu", First, selu).kink("alpha gamma at 0"),
    Entry::smooth("Celu", First, celu),
    Entry::smooth("Exp", First, exp),
    Entry::smooth("Log", First, log).kink("0 at 0"),
    Entry::smooth("Sqrt", First, sqrt).kink("0 at 0"),
    Entry::smooth("Reciprocal", First, reciprocal).kink("0 at 0"),
    Entry::smooth("Erf", First, erf),
    Entry::smooth("Gelu", First, gelu),
    Entry::zero("Sign"),
    Entry::zero("Floor"),
    Entry::zero("Ceil"),
    Entry::zero("Round"),
];

fn slope<'e>(cx: &Rule<'e>, slope: Expr<'e>) -> Result<()> {
    cx.emit(0, cx.dx(0)?.scale(slope));
    Ok(())
}

/// 1 where `x > bound`, else 0.
fn above<'e>(x: Expr<'e>, bound: f64) -> Expr<'e> {
    x.binary("Greater", x.number(bound)).indicator(x.dtype())
}

/// `high` where `x > 0`, else `low`.
fn sides<'e>(x: Expr<'e>, high: Expr<'e>, low: Expr<'e>) -> Expr<'e> {
    high.where_(x.binary("Greater", x.number(0.0)), low)
}

fn float(cx: &Rule, name: &str, default: f64) -> Result<f64> {
    Ok(cx.node.float(name)?.map_or(default, f64::from))
}

/// Relu: its output is positive or 0, so the mask is the output's sign.
fn relu(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    slope(cx, cx.y(0)?.unary("Sign"))
}

fn leaky_relu(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let (x, alpha) = (cx.x(0)?, float(cx, "alpha", 0.01)?);
    slope(cx, sides(x, x.number(1.0), x.number(alpha)))
}

fn prelu(cx: &Rule) -> Result<()> {
    let (x, below) = (cx.x(0)?, cx.x(1)?);
    cx.check_spread(1, &below.dims(), &x.dims())?;
    if cx.tangent(1).is_none() {
        cx.homogeneous();
        return slope(cx, sides(x, x.number(1.0), below));
    }
    cx.emit(0, cx.through(sides(x, x, x * below))?);
    Ok(())
}

fn thresholded_relu(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    slope(cx, above(cx.x(0)?, float(cx, "alpha", 1.0)?))
}

/// Clip: `min(max(x, low), high)`. The upper bound wins where `max(x, low)` reaches it, then the lower
/// one where `x` does not exceed it; what wins does not change is the constant part.
fn clip<'e>(cx: &Rule<'e>) -> Result<()> {
    let (x, dims) = (cx.x(0)?, cx.y_dims(0)?);
    let bound = |index| cx.node.input(index).map(|_| cx.x(index)).transpose();
    let (low, high) = (bound(1)?, bound(2)?);
    let inside = [(low, "Greater"), (high, "Less")]
        .into_iter()
        .filter_map(|(bound, compare)| bound.map(|bound| x.binary(compare, bound)))
        .reduce(|a, b| a.binary("And", b));
    let Some(inside) = inside else {
        cx.homogeneous();
        cx.emit(0, cx.dx(0)?);
        return Ok(());
    };
    let mut wins = vec![(0, inside)];
    if cx.tangent(1).is_some() || cx.tangent(2).is_some() {
        let raised = low.map_or(x, |low| x.binary("Max", low));
        let above = high.map(|high| raised.binary("GreaterOrEqual", high));
        let outside = inside.unary("Not");
        let below = above.map_or(outside, |above| outside.binary("And", above.unary("Not")));
        wins.push((1, below));
        wins.extend(above.map(|above| (2, above)));
    }
    wins.retain(|&(index, _)| cx.tangent(index).is_some());
    let y = cx.y(0)?;
    if let Some(changes) = wins.iter().map(|&(_, wins)| wins).reduce(|a, b| a.binary("Or", b)) {
        cx.constant_part(0, y.number(0.0).where_(changes, y));
    }
    let part = |(index, wins): (usize, Expr<'e>)| {
        let change = cx.dx(index)?;
        let wide = if index == 0 { change } else { change.reshape(&[]).broadcast(&dims) };
        Ok(wide.scale(wins.indicator(x.dtype())))
    };
    let parts = wins.into_iter().map(part).collect::<Result<Vec<_>>>()?;
    if let Some(total) = Tangent::sum_of(&parts) {
        cx.emit(0, total);
    }
    Ok(())
}

/// HardSigmoid: `clip(alpha·x + beta, 0, 1)`; outside of the slope the bound is the constant part.
fn hard_sigmoid(cx: &Rule) -> Result<()> {
    let (alpha, beta, y) = (float(cx, "alpha", 0.2)?, float(cx, "beta", 0.5)?, cx.y(0)?);
    let inside = y.binary("Greater", y.number(0.0)).binary("And", y.binary("Less", y.number(1.0)));
    cx.constant_part(0, y.number(beta).where_(inside, y));
    slope(cx, inside.indicator(y.dtype()) * alpha)
}

/// HardSwish: `x·clip(x/6 + 1/2, 0, 1)`, slope `x/3 + 1/2` between −3 and 3.
fn hard_swish(cx: &Rule) -> Result<()> {
    let x = cx.x(0)?;
    let middle = x / 3.0 + 0.5;
    let below = middle.where_(x.binary("Greater", x.number(-3.0)), x.number(0.0));
    slope(cx, below.where_(x.binary("Less", x.number(3.0)), x.number(1.0)))
}

fn sigmoid(cx: &Rule) -> Result<()> {
    let y = cx.y(0)?;
    slope(cx, y * (y.number(1.0) - y))
}

fn tanh(cx: &Rule) -> Result<()> {
    let y = cx.y(0)?;
    slope(cx, y.number(1.0) - y * y)
}

fn softplus(cx: &Rule) -> Result<()> {
    slope(cx, cx.x(0)?.unary("Sigmoid"))
}

fn softsign(cx: &Rule) -> Result<()> {
    let bottom = cx.x(0)?.unary("Abs") + 1.0;
    slope(cx, (bottom * bottom).unary("Reciprocal"))
}

/// Elu: `alpha·(exp(x) − 1)` below 0, where the slope is `y + alpha`.
fn elu(cx: &Rule) -> Result<()> {
    let (x, y) = (cx.x(0)?, cx.y(0)?);
    slope(cx, sides(x, x.number(1.0), y + float(cx, "alpha", 1.0)?))
}

/// Selu: gamma times Elu, so the slope below 0 is `y + alpha·gamma`.
fn selu(cx: &Rule) -> Result<()> {
    let (x, y) = (cx.x(0)?, cx.y(0)?);
    let alpha = float(cx, "alpha", f64::from(1.673_263_2_f32))?;
    let gamma = float(cx, "gamma", f64::from(1.050_701_f32))?;
    slope(cx, sides(x, x.number(gamma), y + alpha * gamma))
}

/// Celu: `alpha·(exp(x/alpha) − 1)` below 0, where the slope is `y/alpha + 1`.
fn celu(cx: &Rule) -> Result<()> {
    let (x, y) = (cx.x(0)?, cx.y(0)?);
    slope(cx, sides(x, x.number(1.0), y / float(cx, "alpha", 1.0)? + 1.0))
}

fn exp(cx: &Rule) -> Result<()> {
    slope(cx, cx.y(0)?.finite())
}

fn log(cx: &Rule) -> Result<()> {
    slope(cx, cx.x(0)?.unary("Reciprocal").finite())
}

/// Sqrt: `1/(2y)`; 0 at 0, where it is infinite, so that a norm has no NaN at 0.
fn sqrt(cx: &Rule) -> Result<()> {
    let y = cx.y(0)?;
    let zero = y.number(0.0);
    slope(cx, zero.where_(y.binary("Equal", zero), y.number(0.5) / y))
}

fn reciprocal(cx: &Rule) -> Result<()> {
    let y = cx.y(0)?;
    slope(cx, -(y * y).finite())
}

fn erf(cx: &Rule) -> Result<()> {
    let x = cx.x(0)?;
    slope(cx, (-(x * x)).unary("Exp") * FRAC_2_SQRT_PI)
}

fn gelu(cx: &Rule) -> Result<()> {
    let approximate = cx.node.text("approximate")?.unwrap_or("none") == "tanh";
    slope(cx, gelu_slope(cx.x(0)?, approximate))
}

/// The slope of Gelu, `x·Φ(x)`: `Φ(x) + x·φ(x)`, or that of its approximation through Tanh.
///
/// Beyond ±9 the slope is within 1e-16 of 0 or 1, while `x²` may overflow and `1 − tanh²` has only its
/// rounding error left.
pub(super) fn gelu_slope<'e>(x: Expr<'e>, approximate: bool) -> Expr<'e> {
    let x = x.binary("Max", x.number(-9.0)).binary("Min", x.number(9.0));
    let square = x * x;
    if approximate {
        let c = (2.0 / PI).sqrt();
        let t = (x * (square * 0.044715 + 1.0) * c).unary("Tanh");
        let inner = (square * (3.0 * 0.044715) + 1.0) * c;
        let curved = x * (t.number(1.0) - t * t) * inner;
        return (t + 1.0 + curved) * 0.5;
    }
    let normal = ((x / SQRT_2).unary("Erf") + 1.0) * 0.5;
    let density = (square * -0.5).unary("Exp") / (2.0 * PI).sqrt();
    normal + x * density
}

#[cfg(test)]
mod tests;
