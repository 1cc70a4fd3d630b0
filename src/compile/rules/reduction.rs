//! Reductions over axes, and Softmax.
//!
//! `ReduceSum, ReduceMean`: linear. `ReduceMax`: the change of the first winner.
//! `Softmax: dy = y ⊙ dx − y · Σ(y ⊙ dx)`. `LogSoftmax: dy = dx − Σ(exp(y) ⊙ dx)`.

use super::Inputs::First;
use super::{Entry, Rule, Tangent};
use crate::compile::build::Expr;
use crate::error::Result;
use crate::graph::{Dim, fixed};

pub(super) const RULES: &[Entry] = &[
    Entry::exact("ReduceSum", First, reduce_sum),
    Entry::exact("ReduceMean", First, reduce_mean),
    Entry::exact("ReduceMax", First, reduce_max).kink("the first winner in row-major order"),
    Entry::smooth("Softmax", First, softmax),
    Entry::smooth("LogSoftmax", First, log_softmax),
];

/// The axes of a reduction, and whether they stay. No axes mean all, or none if so said.
pub(super) fn axes_of(cx: &Rule) -> Result<(Vec<usize>, bool)> {
    let rank = cx.raw(0)?.rank();
    let keep = cx.node.int("keepdims")?.unwrap_or(1) != 0;
    let given = match cx.node.input(1) {
        None => Vec::new(),
        Some(_) => match cx.known(1)? {
            Some(axes) => axes,
            None => return cx.refuse("the axes are only known at run time"),
        },
    };
    if given.is_empty() && cx.node.int("noop_with_empty_axes")?.unwrap_or(0) != 0 {
        return Ok((Vec::new(), true));
    }
    let axes: Vec<usize> = match given.is_empty() {
        true => (0..rank).collect(),
        false => given.iter().map(|&a| cx.axis(a, rank)).collect::<Result<_>>()?,
    };
    Ok((axes, keep))
}

fn reduce_sum(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let (axes, keep) = axes_of(cx)?;
    cx.emit(0, cx.dx(0)?.sum(&axes, keep));
    Ok(())
}

fn reduce_mean(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let (axes, keep) = axes_of(cx)?;
    cx.emit(0, average(cx, cx.dx(0)?, &axes, keep));
    Ok(())
}

fn reduce_max(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let (axes, keep) = axes_of(cx)?;
    let dx = cx.dx(0)?;
    if axes.is_empty() {
        cx.emit(0, dx);
        return Ok(());
    }
    cx.emit(0, dx.scale(first_winners(cx.x(0)?, &axes)).sum(&axes, keep));
    Ok(())
}

/// The mean over `axes`.
pub(super) fn average<'r, 'e>(
    cx: &Rule<'e>,
    dx: Tangent<'r, 'e>,
    axes: &[usize],
    keep: bool,
) -> Tangent<'r, 'e> {
    let dims = dx.dims();
    let reduced: Vec<Dim> = axes.iter().map(|&a| dims[a].clone()).collect();
    let count = cx.e.product(&reduced);
    let share = match fixed(&count) {
        Some(count) => cx.e.float(dx.dtype(), 1.0 / count as f64),
        None => cx.e.extent(&count).cast(dx.dtype()).unary("Reciprocal"),
    };
    dx.sum(axes, keep).scale(share)
}

/// 1 at the first largest element over `axes` in row-major order, else 0.
pub(super) fn first_winners<'e>(x: Expr<'e>, axes: &[usize]) -> Expr<'e> {
    let (e, dims) = (x.e, x.dims());
    let others = (0..dims.len()).filter(|a| !axes.contains(a));
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    let perm: Vec<usize> = others.clone().chain(sorted.iter().copied()).collect();
    let moved: Vec<Dim> = perm.iter().map(|&p| dims[p].clone()).collect();
    let count = e.product(&sorted.iter().map(|&a| dims[a].clone()).collect::<Vec<_>>());
    let mut flat: Vec<Dim> = others.map(|a| dims[a].clone()).collect();
    flat.push(count.clone());
    let last = flat.len() as i64 - 1;
    let rows = x.transpose(&perm).reshape(&flat);
    let attributes = [("axis", last.into()), ("keepdims", 1.into())];
    let winner = e.op("ArgMax", &[rows], &attributes);
    let mask = winner.binary("Equal", e.range(&count)).indicator(x.dtype());
    let mut inverse = vec![0; perm.len()];
    for (i, &p) in perm.iter().enumerate() {
        inverse[p] = i;
    }
    mask.assume(&flat).reshape(&moved).transpose(&inverse)
}

fn softmax_axis(cx: &Rule) -> Result<usize> {
    cx.axis(cx.node.int("axis")?.unwrap_or(-1), cx.raw(0)?.rank())
}

fn softmax(cx: &Rule) -> Result<()> {
    let (dx, y, axis) = (cx.dx(0)?, cx.y(0)?, softmax_axis(cx)?);
    let weighted = dx.scale(y);
    let total = weighted.sum(&[axis], true).broadcast(&dx.dims());
    cx.emit(0, weighted + total.scale(-y));
    Ok(())
}

fn log_softmax(cx: &Rule) -> Result<()> {
    let (dx, y, axis) = (cx.dx(0)?, cx.y(0)?, softmax_axis(cx)?);
    let total = dx.scale(-y.unary("Exp")).sum(&[axis], true);
    cx.emit(0, dx + total.broadcast(&dx.dims()));
    Ok(())
}

#[cfg(test)]
mod tests {

    use crate::compile::rules::testing::case;

    const REDUCTIONS: [&str; 3] = ["ReduceSum", "ReduceMean", "ReduceMax"];

    #[test]
    fn every_choice_of_axes() {
        let lists: [&[i64]; 9] =
            [&[0], &[1], &[2], &[-1], &[-3], &[0, 2], &[2, 0], &[-2, -1], &[0, 1, 2]];
        for op in REDUCTIONS {
            for axes in lists {
                for keep in [0, 1] {
                    let case = case(op).input("x", &[2, 3, 2]).ints_input("axes", axes);
                    case.int("keepdims", keep).check();
                }
            }
        }
    }

    #[test]
    fn no_axes() {
        for op in REDUCTIONS {
            for (keep, noop) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let plain = || case(op).input("x", &[2, 3]).int("keepdims", keep);
                plain().int("noop_with_empty_axes", noop).check();
                plain().ints_input("axes", &[]).int("noop_with_empty_axes", noop).check();
            }
            case(op).input("x", &[2, 3]).check();
        }
    }

    #[test]
    fn axes_of_older_operator_sets() {
        for (op, opset) in [("ReduceSum", 11), ("ReduceMean", 13), ("ReduceMax", 13)] {
            case(op).input("x", &[2, 3, 2]).ints("axes", &[-1, 0]).opset(opset).check();
            case(op).input("x", &[2, 3]).int("keepdims", 0).opset(opset).check();
        }
    }

    #[test]
    fn sizes_known_at_run_time() {
        for op in REDUCTIONS {
            for (axes, keep) in
                [(&[0][..], 0), (&[1], 1), (&[-1], 0), (&[0, 2], 0), (&[0, 1, 2], 1)]
            {
                let case = case(op).input("x", &[2, 3, 2]).dynamic(&["n", "t", ""]);
                case.ints_input("axes", axes).int("keepdims", keep).check();
            }
        }
        for op in ["Softmax", "LogSoftmax"] {
            case(op).input("x", &[2, 3]).dynamic(&["n", "t"]).check();
        }
    }

    #[test]
    fn the_first_of_equal_elements_wins() {
        let max = || case("ReduceMax").input("x", &[2, 2]).values(&[1.0, 3.0, 3.0, 3.0]);
        max().jacobian(&[&[0.0, 1.0, 0.0, 0.0]]);
        max().ints_input("axes", &[1, 0]).jacobian(&[&[0.0, 1.0, 0.0, 0.0]]);
        max().ints_input("axes", &[0]).jacobian(&[&[0.0, 0.0, 1.0, 0.0], &[0.0, 1.0, 0.0, 0.0]]);
        max().ints_input("axes", &[1]).jacobian(&[&[0.0, 1.0, 0.0, 0.0], &[0.0, 0.0, 1.0, 0.0]]);
    }

    #[test]
    fn softmax_over_each_axis() {
        for op in ["Softmax", "LogSoftmax"] {
            for axis in -3..3 {
                case(op).input("x", &[2, 3, 2]).int("axis", axis).check();
            }
            case(op).input("x", &[4]).check();
            case(op).input("x", &[2, 3]).check();
            for axis in 0..3 {
                case(op).input("x", &[2, 2, 3]).int("axis", axis).opset(11).check();
            }
        }
    }

    #[test]
    fn snapshots() {
        for op in REDUCTIONS {
            let reduce = || case(op).input("x", &[2, 3, 2]);
            reduce().ints_input("axes", &[1]).int("keepdims", 0).snapshot("inner");
            reduce().snapshot("all");
        }
        for op in ["Softmax", "LogSoftmax"] {
            case(op).input("x", &[2, 3]).snapshot("plain");
        }
    }
}
