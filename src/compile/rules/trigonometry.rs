//! Trigonometric and hyperbolic functions: `dy = σ'(x) ⊙ dx`.

use super::Inputs::First;
use super::{Entry, Rule};
use crate::compile::build::Expr;
use crate::error::Result;

pub(super) const RULES: &[Entry] = &[
    Entry::smooth("Sin", First, |cx| slope(cx, |x| x.unary("Cos"))),
    Entry::smooth("Cos", First, |cx| slope(cx, |x| -x.unary("Sin"))),
    Entry::smooth("Tan", First, |cx| from_output(cx, |y| (y * y + 1.0).finite())),
    Entry::smooth("Asin", First, |cx| slope(cx, |x| root(one(x) - x * x))).kink("0 at -1 and 1"),
    Entry::smooth("Acos", First, |cx| slope(cx, |x| -root(one(x) - x * x))).kink("0 at -1 and 1"),
    Entry::smooth("Atan", First, |cx| slope(cx, |x| (x * x + 1.0).unary("Reciprocal"))),
    Entry::smooth("Sinh", First, |cx| slope(cx, |x| x.unary("Cosh").finite())),
    Entry::smooth("Cosh", First, |cx| slope(cx, |x| x.unary("Sinh").finite())),
    Entry::smooth("Asinh", First, |cx| slope(cx, |x| root(x * x + 1.0))),
    Entry::smooth("Acosh", First, |cx| slope(cx, |x| root(x * x - 1.0))).kink("0 at 1"),
    Entry::smooth("Atanh", First, |cx| {
        slope(cx, |x| (one(x) - x * x).unary("Reciprocal").finite())
    })
    .kink("0 at -1 and 1"),
];

fn slope(cx: &Rule, slope: impl for<'e> Fn(Expr<'e>) -> Expr<'e>) -> Result<()> {
    cx.emit(0, cx.dx(0)?.scale(slope(cx.x(0)?)));
    Ok(())
}

fn from_output(cx: &Rule, slope: impl for<'e> Fn(Expr<'e>) -> Expr<'e>) -> Result<()> {
    cx.emit(0, cx.dx(0)?.scale(slope(cx.y(0)?)));
    Ok(())
}

fn one(x: Expr<'_>) -> Expr<'_> {
    x.number(1.0)
}

/// `1/√x`; 0 at 0, where it is infinite.
fn root(x: Expr<'_>) -> Expr<'_> {
    let zero = x.number(0.0);
    zero.where_(x.binary("Equal", zero), x.unary("Sqrt").unary("Reciprocal"))
}

#[cfg(test)]
mod tests {
    use crate::compile::rules::testing::case;

    const RANGES: [(&str, f64, f64); 11] = [
        ("Sin", -2.0, 2.0),
        ("Cos", -2.0, 2.0),
        ("Tan", -1.2, 1.2),
        ("Atan", -2.0, 2.0),
        ("Sinh", -2.0, 2.0),
        ("Cosh", -2.0, 2.0),
        ("Asinh", -2.0, 2.0),
        ("Asin", -0.8, 0.8),
        ("Acos", -0.8, 0.8),
        ("Atanh", -0.8, 0.8),
        ("Acosh", 1.3, 3.0),
    ];

    #[test]
    fn slopes_everywhere() {
        for (op, low, high) in RANGES {
            case(op).f32().input("x", &[2, 3]).within(low, high).check();
            case(op).input("x", &[3]).within(low, high).snapshot("plain");
        }
    }
}
