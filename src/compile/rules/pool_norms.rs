//! The p-norm of windows, and of all of space: `y = (Σ|x|ᵖ)^(1/p)`, so
//! `dy = y^(1−p) Σ sign(x)|x|^(p−1) dx`, 0 where the norm is 0. Both powers are taken of quotients by
//! the largest magnitude, so that they stay finite.

use super::Inputs::First;
use super::pooling::{refuse_same_with_gaps, window_sums};
use super::window::geometry;
use super::{Entry, Rule};
use crate::compile::build::Expr;
use crate::error::{Error, Result};
use crate::graph::DataType;

pub(super) const RULES: &[Entry] = &[
    Entry::smooth("LpPool", First, pool).kink("0 where the norm is 0"),
    Entry::smooth("GlobalLpPool", First, global).kink("0 where the norm is 0"),
];

fn pool(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    refuse_same_with_gaps(cx)?;
    let x = cx.ranked(0, 3)?;
    let (dx, y_dims) = (cx.dx(0)?, cx.y_dims(0)?);
    let kernel = cx.node.ints("kernel_shape")?.unwrap_or_default().to_vec();
    let windows = geometry(cx, kernel, &dx.dims(), &y_dims)?;
    let (inner, outer) = factors(cx, x)?;
    let sums = window_sums(cx, dx.scale(inner), windows.geometry, &y_dims);
    cx.emit(0, outer.map_or(sums, |outer| sums.scale(outer)));
    Ok(())
}

fn global(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let x = cx.ranked(0, 2)?;
    let axes: Vec<_> = (2..x.rank()).collect();
    let (inner, outer) = factors(cx, x)?;
    let sums = cx.dx(0)?.scale(inner).sum(&axes, true);
    cx.emit(0, outer.map_or(sums, |outer| sums.scale(outer)));
    Ok(())
}

/// What scales the changes of the elements, and their sums.
fn factors<'e>(cx: &Rule<'e>, x: Expr<'e>) -> Result<(Expr<'e>, Option<Expr<'e>>)> {
    let p = cx.node.int("p")?.unwrap_or(2);
    if p < 1 {
        return Err(Error::unreadable(format!("attribute 'p' is {p}")));
    }
    let (y, sign) = (cx.y(0)?, x.unary("Sign"));
    if p == 1 {
        return Ok((sign, None));
    }
    if p == 2 {
        return Ok((x, Some(inverse(y))));
    }
    let axes: Vec<_> = (2..x.rank()).collect();
    let largest = x.unary("Abs").reduce("ReduceMax", &axes, true);
    let none = largest.binary("Equal", largest.number(0.0));
    let largest = largest.number(1.0).where_(none, largest);
    let exponent = x.number((p - 1) as f64);
    let power = |x: Expr<'e>| (x / largest).binary("Pow", exponent);
    Ok((sign * power(x.unary("Abs")), Some(inverse(power(y)))))
}

/// `1/x` of what is not negative, 0 where that is not finite.
fn inverse(x: Expr<'_>) -> Expr<'_> {
    let least =
        if x.dtype() == DataType::F64 { f64::MIN_POSITIVE } else { f32::MIN_POSITIVE.into() };
    let zero = x.binary("Less", x.number(least));
    x.number(0.0).where_(zero, x.unary("Reciprocal"))
}

#[cfg(test)]
mod tests {
    use crate::compile::rules::testing::{Case, PADDINGS, Padding, case};

    fn pool(dims: &[i64], kernel: &[i64]) -> Case {
        case("LpPool").input("x", dims).ints("kernel_shape", kernel).reference()
    }

    fn all(dims: &[i64]) -> Case {
        case("GlobalLpPool").input("x", dims).f32().ort()
    }

    #[test]
    fn every_window_along_one_axis() {
        for (stride, kernel) in [(1, 2), (2, 3), (3, 2), (2, 1)] {
            for padding in PADDINGS.into_iter().filter(|p| kernel > 1 || *p == Padding::Of(0, 0)) {
                for p in [1, 2, 3] {
                    let pool = pool(&[1, 2, 7], &[kernel]).ints("strides", &[stride]);
                    pool.padding(1, padding).int("p", p).check();
                }
            }
        }
    }

    #[test]
    fn every_exponent() {
        pool(&[1, 1, 5], &[2]).check();
        for p in [1, 2, 3, 4, 7] {
            pool(&[2, 1, 3, 4], &[2, 2]).int("p", p).check();
            all(&[2, 2, 3, 2]).int("p", p).check();
        }
        pool(&[1, 1, 5], &[2]).int("p", 0).refused("attribute 'p' is 0");
    }

    #[test]
    fn windows_with_gaps_and_rests() {
        for p in [1, 2, 3] {
            let gaps = pool(&[1, 2, 7], &[2]).ints("dilations", &[2]).int("p", p);
            gaps.ints("pads", &[1, 0]).check();
            let rest = pool(&[1, 1, 6, 5], &[2, 3]).ints("strides", &[3, 2]).int("p", p);
            rest.int("ceil_mode", 1).opset(22).f32().ort().check();
        }
        let same = pool(&[1, 1, 5], &[2]).ints("dilations", &[2]).text("auto_pad", "SAME_UPPER");
        same.refused("runtimes disagree");
    }

    #[test]
    fn all_of_space() {
        for dims in [&[1, 2, 3][..], &[2, 3, 2, 3], &[1, 2, 2, 3, 2], &[1, 1, 1, 1]] {
            all(dims).check();
        }
    }

    #[test]
    fn sizes_known_at_run_time() {
        for p in [1, 2, 3] {
            let pool = case("LpPool").input("x", &[1, 1, 4, 5]).dynamic(&["n", "", "h", "w"]);
            pool.ints("kernel_shape", &[2, 2]).int("p", p).reference().check();
            all(&[2, 2, 3, 2]).dynamic(&["n", "", "h", "w"]).int("p", p).check();
        }
    }

    #[test]
    fn no_weight_where_the_norm_is_zero() {
        for p in [1, 2, 3, 4] {
            let zeros: &[&[f64]] = &[&[0.0, 0.0, 0.0]];
            all(&[1, 1, 3]).values(&[0.0; 3]).int("p", p).jacobian(zeros);
            pool(&[1, 1, 3], &[3]).values(&[0.0; 3]).int("p", p).jacobian(zeros);
        }
        let far = pool(&[1, 1, 4], &[2]).int("p", 3).ints("strides", &[2]);
        far.values(&[1e-200, 0.0, 1.0, 0.0])
            .jacobian(&[&[0.0, 0.0, 0.0, 0.0], &[0.0, 0.0, 1.0, 0.0]]);
    }

    #[test]
    fn snapshots() {
        pool(&[1, 1, 4], &[2]).snapshot("plain");
        pool(&[1, 1, 4], &[2]).int("p", 3).snapshot("cubic");
        all(&[1, 2, 3]).int("p", 1).snapshot("sum");
        all(&[1, 2, 3]).snapshot("plain");
    }
}
