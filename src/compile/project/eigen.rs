//! Eigenvectors of small symmetric matrices, by Jacobi's method.
//!
//! Pairs of rows and columns are rotated so that the entry between them vanishes. A matrix of even size
//! `m` has `m/2` disjoint pairs, which are rotated at once; after each round the rows and columns change
//! places as the players of a tournament, so that after `m − 1` rounds, a sweep, every pair has met and
//! each row is back at its place. The pairs are always neighbours: 0 and 1, 2 and 3, and so on.

use crate::compile::build::{Emit, Expr};
use crate::graph::{DataType, Dim};

/// Sweeps until a full matrix is diagonal to rounding; convergence is quadratic in the end.
pub(super) const FULL: usize = 7;
/// Sweeps for a matrix whose eigenvectors are known but for rounding.
pub(super) const REFINED: usize = 4;

/// The unit eigenvectors, as rows and in no order, of the symmetric matrices `[N, m, m]`; `m` is even.
/// Equal eigenvalues and zero matrices are no exception; the rows are always orthonormal to rounding.
pub(super) fn eigenvectors<'e>(matrix: Expr<'e>, m: usize, sweeps: usize) -> Expr<'e> {
    let (e, dtype, dims) = (matrix.e, matrix.dtype(), matrix.dims());
    let rounds = Dim::Value((sweeps * m.saturating_sub(1).max(1)) as i32);
    let identity = matrix_of(e, dtype, m, |i| i).expand(&dims);
    let clock = Expr::zeros(e, dtype, &[rounds]);
    let last = e.rounds("Rotation", &[matrix, identity], &[clock], &[], |states, _, _| {
        let (a, vectors) = (states[0], states[1]);
        let turn = Rotation::of(a, m);
        vec![turn.columns(turn.rows(a)), turn.rows(vectors)]
    });
    last[1]
}

/// The rotation of every pair, and the change of places after it.
struct Rotation<'b> {
    /// cos and sin of the row that moves to each place, `[N, m]`; of a pair's second row −sin.
    cos: Expr<'b>,
    sin: Expr<'b>,
    /// The row that moves to each place, and its partner.
    row: Expr<'b>,
    partner: Expr<'b>,
}

impl<'b> Rotation<'b> {
    /// The rotations that annul the entry between the partners: tan = 2c / (d ± √(d² + 4c²)), the
    /// smaller one, for the entry c and the difference d of the diagonal. Partners must agree on c to
    /// the last bit, or they are not rotated but stretched.
    fn of(a: Expr<'b>, m: usize) -> Self {
        let (e, dtype) = (a.e, a.dtype());
        let entries = |place: fn(usize) -> usize| {
            (a * matrix_of(e, dtype, m, place)).reduce("ReduceSum", &[2], false)
        };
        let partner = e.ints(&list(m, |i| i ^ 1));
        let (own, between) = (entries(|i| i), entries(|i| i ^ 1));
        let difference = own.gather(partner, 1) - own;
        let twice = between + between.gather(partner, 1);
        let size =
            difference.unary("Abs") + (difference * difference + twice * twice).unary("Sqrt");
        let (zero, one) = (a.number(0.0), a.number(1.0));
        let size = one.where_(size.binary("Equal", zero), size);
        let signs: Vec<f64> = (0..m).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let first = e.floats(dtype, vec![m as i64], &signs);
        let sign = first.where_(difference.binary("Equal", zero), difference.unary("Sign"));
        let tan = twice * sign / size;
        let cos = (tan * tan + one).unary("Sqrt").unary("Reciprocal");
        let moved = tournament(m);
        let row = e.ints(&list(m, |i| moved[i]));
        let partner = e.ints(&list(m, |i| moved[i] ^ 1));
        Self { cos: cos.gather(row, 1), sin: (tan * cos).gather(row, 1), row, partner }
    }

    fn rows(&self, x: Expr<'b>) -> Expr<'b> {
        let (cos, sin) = (self.cos.unsqueeze(&[2]), self.sin.unsqueeze(&[2]));
        x.gather(self.row, 1) * cos - x.gather(self.partner, 1) * sin
    }

    fn columns(&self, x: Expr<'b>) -> Expr<'b> {
        let (cos, sin) = (self.cos.unsqueeze(&[1]), self.sin.unsqueeze(&[1]));
        x.gather(self.row, 2) * cos - x.gather(self.partner, 2) * sin
    }
}

/// Which place moves to each place after a round: the first stays, the others go round.
fn tournament(m: usize) -> Vec<usize> {
    let half = m / 2;
    let from = |place: usize| match (place % 2, place / 2) {
        (0, 0) => 0,
        (0, 1) => 1,
        (0, i) => 2 * (i - 1),
        (_, i) if i + 1 == half => 2 * i,
        (_, i) => 2 * (i + 1) + 1,
    };
    if half < 2 { (0..m).collect() } else { (0..m).map(from).collect() }
}

fn list(m: usize, of: impl Fn(usize) -> usize) -> Vec<i64> {
    (0..m).map(|i| of(i) as i64).collect()
}

/// `[m, m]` with a 1 at column `place(i)` of each row `i`.
pub(super) fn matrix_of(
    e: &Emit,
    dtype: DataType,
    m: usize,
    place: impl Fn(usize) -> usize,
) -> Expr<'_> {
    let mut values = vec![0.0; m * m];
    (0..m).for_each(|i| values[i * m + place(i)] = 1.0);
    e.floats(dtype, vec![m as i64, m as i64], &values)
}

#[cfg(test)]
mod tests {
    use super::tournament;

    #[test]
    fn in_a_sweep_every_pair_meets_once_and_all_come_home() {
        for m in [2, 4, 6, 10, 32] {
            let mut places: Vec<usize> = (0..m).collect();
            let mut met = std::collections::BTreeSet::new();
            for _ in 0..m - 1 {
                for pair in places.chunks(2) {
                    assert!(met.insert((pair[0].min(pair[1]), pair[0].max(pair[1]))));
                }
                places = tournament(m).into_iter().map(|from| places[from]).collect();
            }
            assert_eq!(met.len(), m * (m - 1) / 2);
            assert_eq!(places, (0..m).collect::<Vec<_>>());
        }
    }
}
