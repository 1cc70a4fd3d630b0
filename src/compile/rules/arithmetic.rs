//! Sums, products and comparisons of values, with broadcasting.
//!
//! `Add, Sub, Sum, Mean`: linear. `Mul: d(ab) = b da + a db`. `Div: d(a/b) = da/b − (a/b²) db`.
//! `Abs: sign(x) dx`, 0 at 0. `Max, Min`: the change of the first operand that wins.
//! `Pow: p·x^(p−1) dx` for a fixed exponent `p`; 0 where `p` is 0.

use super::Inputs::{All, First, Only};
use super::{Entry, Rule, Shape, Tangent};
use crate::compile::build::Expr;
use crate::error::Result;

pub(super) const RULES: &[Entry] = &[
    Entry::exact("Add", All, add),
    Entry::exact("Sub", All, sub),
    Entry::exact("Sum", All, sum),
    Entry::exact("Mean", All, mean),
    Entry::exact("Neg", First, neg),
    Entry::exact("Mul", All, mul).shaped(Shape::Product),
    Entry::exact("Div", All, div).shaped(Shape::Quotient),
    Entry::smooth("Pow", Only(&[0]), pow),
    Entry::exact("Abs", First, abs).kink("0 at 0"),
    Entry::exact("Max", All, max).kink("the first of equals"),
    Entry::exact("Min", All, min).kink("the first of equals"),
];

/// The change of operand `index`, broadcast to the output.
fn operand<'r, 'e>(cx: &'r Rule<'e>, index: usize) -> Result<Option<Tangent<'r, 'e>>> {
    let dims = cx.y_dims(0)?;
    Ok(cx.tangent(index).map(|dx| dx.broadcast(&dims)))
}

fn add(cx: &Rule) -> Result<()> {
    combine(cx, |cx, i| Ok(operand(cx, i)?.into_iter().collect()))?;
    signed_constant(cx, 1.0)
}

fn sub(cx: &Rule) -> Result<()> {
    let signs = [1.0, -1.0];
    combine(cx, |cx, i| {
        Ok(operand(cx, i)?.map(|dx| dx.times(signs[i.min(1)])).into_iter().collect())
    })?;
    signed_constant(cx, -1.0)
}

fn sum(cx: &Rule) -> Result<()> {
    combine(cx, |cx, i| Ok(operand(cx, i)?.into_iter().collect()))
}

fn mean(cx: &Rule) -> Result<()> {
    let share = 1.0 / cx.node.inputs.len() as f64;
    combine(cx, |cx, i| Ok(operand(cx, i)?.map(|dx| dx.times(share)).into_iter().collect()))
}

fn neg(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    cx.emit(0, -cx.dx(0)?);
    Ok(())
}

/// Emits the sum of what `part` gives for each input.
fn combine<'r, 'e>(
    cx: &'r Rule<'e>,
    part: impl Fn(&'r Rule<'e>, usize) -> Result<Vec<Tangent<'r, 'e>>>,
) -> Result<()> {
    let mut parts = Vec::new();
    for index in 0..cx.node.inputs.len() {
        parts.extend(part(cx, index)?);
    }
    if let Some(total) = Tangent::sum_of(&parts) {
        cx.emit(0, total);
    }
    Ok(())
}

/// The constant part of a sum of two: the operand that does not change, the second with a sign.
fn signed_constant(cx: &Rule, second: f64) -> Result<()> {
    match (cx.tangent(0), cx.tangent(1)) {
        (Some(_), Some(_)) => cx.homogeneous(),
        (Some(_), None) if second < 0.0 => cx.constant_part(0, -cx.x(1)?),
        (Some(_), None) => cx.constant_part(0, cx.x(1)?),
        (None, _) => cx.constant_part(0, cx.x(0)?),
    }
    Ok(())
}

fn mul(cx: &Rule) -> Result<()> {
    let both = cx.tangent(0).is_some() && cx.tangent(1).is_some();
    if !both {
        cx.homogeneous();
    }
    combine(cx, |cx, i| {
        let other = cx.x(1 - i.min(1))?;
        Ok(operand(cx, i)?.map(|dx| dx.scale(other)).into_iter().collect())
    })
}

fn div(cx: &Rule) -> Result<()> {
    let divisor = cx.x(1)?;
    if cx.tangent(1).is_none() {
        cx.homogeneous();
    }
    combine(cx, |cx, i| {
        let slope = if i == 0 { divisor.unary("Reciprocal") } else { -(cx.y(0)? / divisor) };
        Ok(operand(cx, i)?.map(|dx| dx.scale(slope)).into_iter().collect())
    })
}

fn pow(cx: &Rule) -> Result<()> {
    let (x, p) = (cx.x(0)?, cx.x(1)?.cast(cx.x(0)?.dtype()));
    let fixed = p.as_floats().filter(|p| p.len() == 1).map(|p| p[0]);
    let slope = match fixed {
        Some(0.0) => x * 0.0,
        Some(1.0) => return identity(cx),
        Some(2.0) => x * 2.0,
        // A zero exponent has a zero derivative even where x^(p−1) is infinite.
        _ => {
            let zero = p.binary("Equal", p.number(0.0));
            let slope = p * x.binary("Pow", p - 1.0);
            slope.number(0.0).where_(zero, slope)
        }
    };
    if let Some(dx) = operand(cx, 0)? {
        cx.emit(0, dx.scale(slope));
    }
    Ok(())
}

fn identity(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    if let Some(dx) = operand(cx, 0)? {
        cx.emit(0, dx);
    }
    Ok(())
}

fn abs(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    cx.emit(0, cx.dx(0)?.scale(cx.x(0)?.unary("Sign")));
    Ok(())
}

fn max(cx: &Rule) -> Result<()> {
    extremum(cx, |a, best| a.binary("GreaterOrEqual", best))
}

fn min(cx: &Rule) -> Result<()> {
    extremum(cx, |a, best| a.binary("LessOrEqual", best))
}

/// The change of the first operand that `wins` against the result. Each mask is 1 where its operand
/// reaches the result and none before it does.
fn extremum<'e>(cx: &Rule<'e>, wins: impl Fn(Expr<'e>, Expr<'e>) -> Expr<'e>) -> Result<()> {
    let y = cx.y(0)?;
    let mut parts = Vec::new();
    let mut constant: Option<Expr> = None;
    let mut earlier: Option<Expr> = None;
    for index in 0..cx.node.inputs.len() {
        let x = cx.x(index)?;
        let reaches = wins(x, y);
        let first = match earlier {
            None => reaches,
            Some(earlier) => reaches.binary("And", earlier.unary("Not")),
        };
        earlier = Some(match earlier {
            None => reaches,
            Some(earlier) => earlier.binary("Or", reaches),
        });
        match operand(cx, index)? {
            Some(dx) => parts.push(dx.scale(first.indicator(dx.dtype()))),
            None => {
                let kept = x.where_(first, x.number(0.0));
                constant = Some(constant.map_or(kept, |c| c + kept));
            }
        }
    }
    match constant {
        None => cx.homogeneous(),
        Some(constant) => cx.constant_part(0, constant),
    }
    if let Some(total) = Tangent::sum_of(&parts) {
        cx.emit(0, total);
    }
    Ok(())
}
