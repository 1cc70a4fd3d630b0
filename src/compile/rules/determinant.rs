//! `Det: dy = Σ_ij C_ij·dX_ij` with the cofactors `C_ij = (−1)^(i+j)·det X without row i and column j`,
//! which are right for singular matrices too. Refused: matrices of a size known only at run time,
//! and large ones, since there are as many cofactors as entries.

use super::Inputs::First;
use super::{Entry, Rule};
use crate::compile::build::Expr;
use crate::error::{Error, Result};
use crate::graph::{Tensor, fixed};

pub(super) const RULES: &[Entry] = &[Entry::smooth("Det", First, det)];

/// The largest matrices whose cofactors are computed.
const MOST_ROWS: i64 = 64;

fn det(cx: &Rule) -> Result<()> {
    let (dx, x) = (cx.dx(0)?, cx.ranked(0, 2)?);
    let dims = x.dims();
    let (batch, matrix) = dims.split_at(dims.len() - 2);
    let (Some(n), Some(columns)) = (fixed(&matrix[0]), fixed(&matrix[1])) else {
        return cx.refuse("the determinant of a matrix whose size is only known at run time");
    };
    if n != columns {
        return Err(Error::unreadable(format!("a matrix of {n} rows and {columns} columns")));
    }
    if n > MOST_ROWS {
        return cx
            .refuse(format!("the determinant of a matrix of {n} rows, more than {MOST_ROWS}"));
    }
    if n == 1 {
        cx.homogeneous();
    }
    let weighted = if n > 1 { dx.scale(cofactors(x, batch.len(), n)) } else { dx };
    cx.emit(0, weighted.sum(&[batch.len(), batch.len() + 1], false));
    Ok(())
}

/// The cofactors of the `n` by `n` matrices of `x`, behind `rank` axes.
fn cofactors(x: Expr<'_>, rank: usize, n: i64) -> Expr<'_> {
    let e = x.e;
    let others = (0..n).flat_map(|i| (0..n).filter(move |&j| j != i)).collect::<Vec<_>>();
    let others = e.constant(Tensor { dims: vec![n, n - 1], ..Tensor::ints(&others) });
    let minors = x.gather(others, rank).gather(others, rank + 2);
    let order = (0..rank).chain([0, 2, 1, 3].map(|axis| rank + axis));
    let minors = minors.transpose(&order.collect::<Vec<_>>());
    let minors = if n > 2 { minors.unary("Det") } else { minors };
    let minors = minors.reshape(&x.dims());
    let signs: Vec<f64> =
        (0..n * n).map(|place| if (place / n + place % n) % 2 == 0 { 1.0 } else { -1.0 }).collect();
    minors * e.floats(x.dtype(), vec![n, n], &signs)
}

#[cfg(test)]
mod tests {
    use crate::compile::rules::testing::case;

    #[test]
    fn every_size_and_batch() {
        for n in 1..=5 {
            case("Det").reference().input("x", &[n, n]).check();
            case("Det").reference().input("x", &[2, n, n]).check();
        }
        case("Det").reference().input("x", &[2, 1, 3, 3]).check();
        case("Det").reference().input("x", &[2, 3, 3]).dynamic(&["n"]).check();
        case("Det").ort().f32().input("x", &[2, 3, 3]).check();
    }

    #[test]
    fn singular_matrices() {
        let it = case("Det").reference().input("x", &[3, 3]);
        it.values(&[1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 0.0, 1.0, 1.0]).check();
        case("Det").reference().input("x", &[3, 3]).values(&[0.0; 9]).check();
        let it = case("Det").reference().input("x", &[2, 2]);
        it.values(&[0.0; 4]).jacobian(&[&[0.0; 4]]);
    }

    #[test]
    fn other_matrices_are_refused() {
        case("Det").input("x", &[2, 3]).refused("2 rows and 3 columns");
        case("Det").input("x", &[3]).refused("");
        case("Det").input("x", &[65, 65]).refused("more than 64");
        case("Det").input("x", &[3, 3]).dynamic(&["n", "n"]).refused("run time");
    }

    #[test]
    fn snapshots() {
        case("Det").reference().input("x", &[2, 3, 3]).snapshot("batch");
    }
}
