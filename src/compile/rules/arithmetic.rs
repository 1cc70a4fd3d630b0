//! Sums, products and comparisons of values, with broadcasting.
//!
//! `Add, Sub, Sum, Mean`: linear. `Mul: d(ab) = b da + a db`. `Div: d(a/b) = da/b − (a/b²) db`.
//! `Abs: sign(x) dx`, 0 at 0. `Max, Min`: the change of the first operand that wins.
//! `Pow: p·x^(p−1) dx + y·ln(x) dp`; the first is 0 where `p` is 0, and at 0 where it is infinite, the
//! second where `x` is not positive.
//!
//! What `y − L(x)` leaves is known: `−y` of a product of two that change, `(1 − p)·y` of a power with a
//! fixed exponent, where no slope is beyond the range of its type.

use super::Inputs::{All, First};
use super::{Entry, Rule, Shape, Tangent};
use crate::compile::build::Expr;
use crate::error::Result;

pub(super) const RULES: &[Entry] = &[
    Entry::exact("Add", All, add),
    Entry::exact("Sub", All, sub),
    Entry::exact("Sum", All, add),
    Entry::exact("Mean", All, mean),
    Entry::exact("Neg", First, neg),
    Entry::exact("Mul", All, mul).shaped(Shape::Product),
    Entry::exact("Div", All, div).shaped(Shape::Quotient),
    Entry::smooth("Pow", All, pow)
        .kink("0 at 0 for exponents below 1; 0 by the exponent unless the base is positive"),
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
    weighted(cx, |_| 1.0)
}

fn sub(cx: &Rule) -> Result<()> {
    weighted(cx, |index| if index == 0 { 1.0 } else { -1.0 })
}

fn mean(cx: &Rule) -> Result<()> {
    let share = 1.0 / cx.node.inputs.len() as f64;
    weighted(cx, |_| share)
}

fn neg(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    cx.emit(0, -cx.dx(0)?);
    Ok(())
}

/// `Σ c_i x_i`: the operands that do not change are the constant part.
fn weighted(cx: &Rule, factor: impl Fn(usize) -> f64) -> Result<()> {
    let (mut parts, mut constants) = (Vec::new(), Vec::new());
    for index in 0..cx.node.inputs.len() {
        let c = factor(index);
        match operand(cx, index)? {
            Some(dx) => parts.push(dx.times(c)),
            None if c == 1.0 => constants.push(cx.x(index)?),
            None if c == -1.0 => constants.push(-cx.x(index)?),
            None => constants.push(cx.x(index)? * c),
        }
    }
    affine(cx, &parts, constants);
    Ok(())
}

/// Emits the sum of changes, all of the output's dimensions, and the sum of constants that broadcast
/// to them as the constant part.
pub(super) fn affine<'r, 'e>(
    cx: &'r Rule<'e>,
    parts: &[Tangent<'r, 'e>],
    constants: Vec<Expr<'e>>,
) {
    match constants.into_iter().reduce(|a, b| a + b) {
        None => cx.homogeneous(),
        Some(constant) => cx.constant_part(0, constant),
    }
    emit_sum(cx, parts);
}

fn emit_sum<'r, 'e>(cx: &'r Rule<'e>, parts: &[Tangent<'r, 'e>]) {
    if let Some(total) = Tangent::sum_of(parts) {
        cx.emit(0, total);
    }
}

fn mul(cx: &Rule) -> Result<()> {
    let mut parts = Vec::new();
    for (index, other) in [(0, 1), (1, 0)] {
        if let Some(dx) = operand(cx, index)? {
            parts.push(dx.scale(cx.x(other)?));
        }
    }
    let constant = if parts.len() == 2 { vec![-cx.y(0)?] } else { Vec::new() };
    affine(cx, &parts, constant);
    Ok(())
}

fn div(cx: &Rule) -> Result<()> {
    let (b, y) = (cx.x(1)?, cx.y(0)?);
    let share = b.unary("Reciprocal");
    let (of_dividend, of_divisor) = (operand(cx, 0)?, operand(cx, 1)?);
    let parts: Vec<_> = match of_divisor {
        None => {
            cx.homogeneous();
            of_dividend.map(|da| da.scale(share)).into_iter().collect()
        }
        Some(db) => {
            let dividend = of_dividend.map(|da| da.scale(share.finite()));
            dividend.into_iter().chain([db.scale(-(y / b).finite())]).collect()
        }
    };
    emit_sum(cx, &parts);
    Ok(())
}

fn pow(cx: &Rule) -> Result<()> {
    let (x, y) = (cx.x(0)?, cx.y(0)?);
    let p = cx.x(1)?.cast(x.dtype());
    let mut parts = Vec::new();
    if let Some(dx) = operand(cx, 0)? {
        parts.push(power_slope(x, p, number(cx.raw(1)?)).map_or(dx, |slope| dx.scale(slope)));
    }
    let Some(dp) = operand(cx, 1)? else {
        match number(cx.raw(1)?) {
            Some(1.0) => cx.homogeneous(),
            Some(fixed) if fixed >= 0.0 => cx.constant_part(0, y * (1.0 - fixed)),
            _ => {}
        }
        emit_sum(cx, &parts);
        return Ok(());
    };
    let zero = y.number(0.0);
    let curved = x.binary("Greater", zero).binary("And", y.binary("Greater", zero));
    let slope = (y * x.unary("Log")).where_(curved, zero).finite();
    parts.push(dp.cast(x.dtype()).scale(slope));
    emit_sum(cx, &parts);
    Ok(())
}

/// `p·x^(p−1)`, none where it is 1; `fixed` is the only exponent where it is known.
fn power_slope<'e>(x: Expr<'e>, p: Expr<'e>, fixed: Option<f64>) -> Option<Expr<'e>> {
    Some(match fixed {
        Some(0.0) => x.number(0.0),
        Some(1.0) => return None,
        Some(2.0) => x * 2.0,
        Some(p) if p > 1.0 => (x.binary("Pow", x.number(p - 1.0)) * p).finite(),
        _ => {
            let flat = p.binary("Equal", p.number(0.0));
            let steep = p.binary("Less", p.number(1.0));
            let infinite = steep.binary("And", x.binary("Equal", x.number(0.0)));
            let slope = p * x.binary("Pow", p - 1.0);
            slope.number(0.0).where_(flat.binary("Or", infinite), slope).finite()
        }
    })
}

/// The only element of an initializer.
fn number(x: Expr) -> Option<f64> {
    let ints = || Some(x.as_ints()?.into_iter().map(|n| n as f64).collect());
    match x.as_floats().or_else(ints)?[..] {
        [one] => Some(one),
        _ => None,
    }
}

fn abs(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    cx.emit(0, cx.dx(0)?.scale(cx.x(0)?.unary("Sign")));
    Ok(())
}

fn max(cx: &Rule) -> Result<()> {
    extremum(cx, "Max", "GreaterOrEqual")
}

fn min(cx: &Rule) -> Result<()> {
    extremum(cx, "Min", "LessOrEqual")
}

/// The change of the first operand that wins: of the first that `reaches` the `best` of those behind
/// it, the last one doing so always. Whatever an engine rounds, one of them wins; the result itself may
/// be rounded where the operands are not.
fn extremum(cx: &Rule, best: &str, reaches: &str) -> Result<()> {
    let operands = (0..cx.node.inputs.len()).map(|index| cx.x(index));
    let operands = operands.collect::<Result<Vec<_>>>()?;
    let mut behind = operands.clone();
    for index in (1..behind.len()).rev() {
        behind[index - 1] = behind[index - 1].binary(best, behind[index]);
    }
    let (mut parts, mut constants) = (Vec::new(), Vec::new());
    let mut earlier: Option<Expr> = None;
    for (index, &x) in operands.iter().enumerate() {
        let own = behind.get(index + 1).map(|&rest| x.binary(reaches, rest));
        let late = earlier.map(|earlier| earlier.unary("Not"));
        let first = match (own, late) {
            (Some(own), Some(late)) => Some(own.binary("And", late)),
            (own, late) => own.or(late),
        };
        earlier = earlier.into_iter().chain(own).reduce(|a, b| a.binary("Or", b));
        match (operand(cx, index)?, first) {
            (Some(dx), Some(first)) => parts.push(dx.scale(first.indicator(dx.dtype()))),
            (Some(dx), None) => parts.push(dx),
            (None, Some(first)) => constants.push(x.where_(first, x.number(0.0))),
            (None, None) => constants.push(x),
        }
    }
    affine(cx, &parts, constants);
    Ok(())
}

#[cfg(test)]
mod tests;
