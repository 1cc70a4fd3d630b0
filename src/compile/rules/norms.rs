//! Reductions that bend: `dy = Σ g ⊙ dx` over the reduced axes.
//!
//! `ReduceL1: g = sign(x)`. `ReduceL2: g = x/y`, 0 where y is 0. `ReduceSumSquare: g = 2x`.
//! `ReduceLogSum: g = 1/Σx`. `ReduceLogSumExp: g = exp(x − y)`. `ReduceMin: g` is 1 at the first
//! winner. `ReduceProd: g` is the product of the others, right where elements are 0 too.

use super::Inputs::First;
use super::reduction::{axes_of, first_winners};
use super::{Entry, Rule};
use crate::compile::build::Expr;
use crate::error::Result;
use crate::graph::Dim;

pub(super) const RULES: &[Entry] = &[
    Entry::exact("ReduceMin", First, |cx| reduce(cx, |r| Ok(first_winners(-r.x, &r.axes))))
        .kink("the first winner in row-major order"),
    Entry::exact("ReduceL1", First, |cx| reduce(cx, |r| Ok(r.x.unary("Sign")))).kink("0 at 0"),
    Entry::smooth("ReduceL2", First, |cx| reduce(cx, l2)).kink("0 where the norm is 0"),
    Entry::smooth("ReduceSumSquare", First, |cx| reduce(cx, |r| Ok(r.x * 2.0))),
    Entry::smooth("ReduceLogSum", First, |cx| reduce(cx, log_sum)),
    Entry::smooth("ReduceLogSumExp", First, |cx| {
        reduce(cx, |r| Ok((r.x - r.kept_output()).unary("Exp")))
    }),
    Entry::smooth("ReduceProd", First, |cx| reduce(cx, others)),
];

/// What a gradient is made of.
struct Reduction<'e> {
    x: Expr<'e>,
    y: Expr<'e>,
    axes: Vec<usize>,
}

impl<'e> Reduction<'e> {
    /// The dimensions of the output with the reduced axes kept.
    fn kept_dims(&self) -> Vec<Dim> {
        let mut dims = self.x.dims();
        for &axis in &self.axes {
            dims[axis] = Dim::Value(1);
        }
        dims
    }

    fn kept_output(&self) -> Expr<'e> {
        self.y.reshape(&self.kept_dims())
    }
}

fn reduce(cx: &Rule, gradient: impl for<'e> Fn(&Reduction<'e>) -> Result<Expr<'e>>) -> Result<()> {
    let (axes, keep) = axes_of(cx)?;
    let dx = cx.dx(0)?;
    if axes.is_empty() && dx.rank() > 0 {
        return cx.refuse("a reduction over no axes");
    }
    let reduction = Reduction { x: cx.x(0)?, y: cx.y(0)?, axes };
    let weighted = dx.scale(gradient(&reduction)?);
    cx.emit(0, weighted.sum(&reduction.axes, keep));
    Ok(())
}

fn l2<'e>(r: &Reduction<'e>) -> Result<Expr<'e>> {
    let norm = r.kept_output();
    let none = norm.binary("Equal", norm.number(0.0));
    Ok(r.x / norm.number(1.0).where_(none, norm))
}

fn log_sum<'e>(r: &Reduction<'e>) -> Result<Expr<'e>> {
    let sum = r.x.reduce("ReduceSum", &r.axes, true);
    Ok(sum.unary("Reciprocal").finite().expand(&r.x.dims()))
}

/// The product of the other elements: with `z` elements that are 0, it is the product of the rest
/// divided by the element where `z` is 0, the product of the rest at the zero where `z` is 1, else 0.
fn others<'e>(r: &Reduction<'e>) -> Result<Expr<'e>> {
    let (zero, one) = (r.x.number(0.0), r.x.number(1.0));
    let is_zero = r.x.binary("Equal", zero);
    let filled = one.where_(is_zero, r.x);
    let rest = filled.reduce("ReduceProd", &r.axes, true);
    let zeros = is_zero.indicator(r.x.dtype()).reduce("ReduceSum", &r.axes, true);
    let at_zero = rest.where_(zeros.binary("Equal", one), zero);
    let elsewhere = (rest / filled).where_(zeros.binary("Equal", zero), zero);
    Ok(at_zero.where_(is_zero, elsewhere))
}

#[cfg(test)]
mod tests {
    use crate::compile::rules::testing::case;

    const OPERATORS: [&str; 7] = [
        "ReduceMin",
        "ReduceL1",
        "ReduceL2",
        "ReduceSumSquare",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceProd",
    ];

    #[test]
    fn every_choice_of_axes() {
        for op in OPERATORS {
            for axes in [&[0][..], &[1], &[-1], &[0, 2], &[2, 1, 0]] {
                for keep in [0, 1] {
                    let input = case(op).f32().input("x", &[2, 3, 2]);
                    let input = if op == "ReduceLogSum" { input.positive() } else { input };
                    input.ints_input("axes", axes).int("keepdims", keep).check();
                }
            }
            let all = case(op).f32().input("x", &[2, 3]);
            if op == "ReduceLogSum" { all.positive() } else { all }.check();
        }
    }

    #[test]
    fn products_with_zeros() {
        for values in [[0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [1.5, 2.0, -3.0]] {
            case("ReduceProd").f32().input("x", &[3]).values(&values).check();
        }
    }

    #[test]
    fn snapshots() {
        for op in OPERATORS {
            case(op).input("x", &[2, 3]).positive().ints_input("axes", &[1]).snapshot("plain");
        }
    }
}
