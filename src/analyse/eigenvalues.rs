//! Eigenvalues of symmetric matrices.
//!
//! Reduced to tridiagonal form column by column, a matrix is read whole for each of its columns,
//! which is slow once it is larger than the caches. A large one is therefore reduced in two stages:
//! by panels of columns to a band, with products of matrices, and from the band, which is small, to
//! tridiagonal form (Bischof, Lang, Sun: *A framework for symmetric band reduction*, 2000).

use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::linalg::evd::tridiagonal_self_adjoint_evd;
use faer::linalg::matmul::triangular::{
    BlockStructure::{self, Rectangular, StrictTriangularUpper, TriangularLower},
    matmul,
};
use faer::linalg::temp_mat_scratch;
use faer::{Accum, ColMut, ColRef, Mat, MatMut, MatRef, Par, Scale, Side, get_global_parallelism};

use super::reflection::{Reflection, axpy, dot};
use crate::error::{Error, Result};

/// The side from which on two stages are faster.
const LARGE: usize = 1536;
/// The number of subdiagonals of the band between the stages.
const BAND: usize = 32;

/// The eigenvalues of the symmetric matrix whose lower triangle is given, rising.
///
/// # Errors
/// When they do not converge.
pub fn eigenvalues(matrix: Mat<f64>) -> Result<Vec<f64>> {
    if matrix.nrows() < LARGE {
        return matrix.self_adjoint_eigenvalues(Side::Lower).map_err(|_| stuck());
    }
    in_two_stages(matrix, BAND)
}

/// What is said when eigenvalues do not converge.
pub fn stuck() -> Error {
    Error::request("the eigenvalues of the Gram matrix do not converge")
}

fn in_two_stages(mut matrix: Mat<f64>, width: usize) -> Result<Vec<f64>> {
    let peak = matrix.norm_max();
    if peak == 0.0 {
        return Ok(vec![0.0; matrix.nrows()]);
    }
    // Squares of entries are summed below; so large ones do not overflow.
    matrix *= Scale(peak.recip());
    to_band(&mut matrix, width);
    let (diagonal, beside) = Band::of(&matrix, width).tridiagonal();
    drop(matrix);
    let n = diagonal.len();
    let mut values = vec![0.0; n];
    let column = || temp_mat_scratch::<f64>(n, 1);
    let mut memory = MemBuffer::new(StackReq::all_of(&[column(), column()]));
    tridiagonal_self_adjoint_evd(
        ColRef::from_slice(&diagonal).as_diagonal(),
        ColRef::from_slice(&beside).as_diagonal(),
        ColMut::from_slice_mut(&mut values).as_diagonal_mut(),
        None,
        Par::Seq,
        MemStack::new(&mut memory),
        Default::default(),
    )
    .map_err(|_| stuck())?;
    values.iter_mut().for_each(|value| *value *= peak);
    Ok(values)
}

/// Reduces the lower triangle to one with `width` subdiagonals and the same eigenvalues.
fn to_band(a: &mut Mat<f64>, width: usize) {
    let n = a.nrows();
    let mut first = 0;
    while first + width + 1 < n {
        let start = first + width;
        let rest = n - start;
        let mut panel = a.submatrix(start, first, rest, width).to_owned();
        let tau = triangularise(&mut panel);
        let mut basis = panel.subcols(0, tau.len()).to_owned();
        for j in 0..width {
            let kept = (j + 1).min(rest);
            let column = &mut a.col_as_slice_mut(first + j)[start..];
            column[..kept].copy_from_slice(&panel.col_as_slice(j)[..kept]);
            column[kept..].fill(0.0);
            if j < tau.len() {
                let column = basis.col_as_slice_mut(j);
                column[..j].fill(0.0);
                column[j] = 1.0;
            }
        }
        turn(a.as_mut().submatrix_mut(start, start, rest, rest), basis.as_ref(), &tau);
        first = start;
    }
}

/// Reflects the columns of a panel into an upper triangle; below it stay the reflections' vectors,
/// without their leading 1. Gives τ of each.
fn triangularise(panel: &mut Mat<f64>) -> Vec<f64> {
    let (rows, columns) = panel.shape();
    let mut tau = Vec::new();
    for j in 0..columns.min(rows) {
        let reflection = Reflection::of(&panel.col_as_slice(j)[j..]);
        let column = &mut panel.col_as_slice_mut(j)[j..];
        column.copy_from_slice(&reflection.vector);
        column[0] = reflection.image;
        for other in j + 1..columns {
            reflection.apply(&mut panel.col_as_slice_mut(other)[j..]);
        }
        tau.push(reflection.tau);
    }
    tau
}

/// `QᵀAQ` in the place of A, of which the lower triangle is held: `Q = I − V T Vᵀ` is the product of
/// the reflections with the vectors V. With `Y = V T`, `X = A Y` and `W = X − V (YᵀX) / 2` it is
/// `A − V Wᵀ − W Vᵀ`.
fn turn(mut a: MatMut<'_, f64>, basis: MatRef<'_, f64>, tau: &[f64]) {
    let (rows, count) = basis.shape();
    let y = basis * factor((basis.transpose() * basis).as_ref(), tau);
    let mut x = Mat::zeros(rows, count);
    let (lower, upper) = (a.as_ref(), a.as_ref().transpose());
    add(x.as_mut(), Rectangular, (lower, TriangularLower), y.as_ref(), 1.0);
    add(x.as_mut(), Rectangular, (upper, StrictTriangularUpper), y.as_ref(), 1.0);
    let w = &x - basis * (y.transpose() * &x * Scale(0.5));
    let side_by_side =
        |left: MatRef<'_, f64>, right: MatRef<'_, f64>| {
            Mat::from_fn(rows, 2 * count, |i, j| {
                if j < count { left[(i, j)] } else { right[(i, j - count)] }
            })
        };
    let (vw, wv) = (side_by_side(basis, w.as_ref()), side_by_side(w.as_ref(), basis));
    add(a.as_mut(), TriangularLower, (vw.as_ref(), Rectangular), wv.transpose(), -1.0);
}

/// The upper triangle T with `H₁ H₂ … = I − V T Vᵀ`, from `VᵀV` and the τ of the reflections.
fn factor(squares: MatRef<'_, f64>, tau: &[f64]) -> Mat<f64> {
    let mut t = Mat::zeros(tau.len(), tau.len());
    for (j, &tau) in tau.iter().enumerate() {
        for i in 0..j {
            let sum: f64 = (i..j).map(|l| t[(i, l)] * squares[(l, j)]).sum();
            t[(i, j)] = -tau * sum;
        }
        t[(j, j)] = tau;
    }
    t
}

fn add(
    to: MatMut<'_, f64>,
    part: BlockStructure,
    (left, structure): (MatRef<'_, f64>, BlockStructure),
    right: MatRef<'_, f64>,
    scale: f64,
) {
    let par = get_global_parallelism();
    matmul(to, part, Accum::Add, left, structure, right, Rectangular, scale, par);
}

/// A symmetric band: the columns of its lower half, each with room for as many entries again, into
/// which bulges grow.
struct Band {
    n: usize,
    width: usize,
    entries: Vec<f64>,
}

impl Band {
    fn of(matrix: &Mat<f64>, width: usize) -> Self {
        let n = matrix.nrows();
        let mut band = Self { n, width, entries: vec![0.0; n * 2 * width] };
        for j in 0..n {
            let count = (width + 1).min(n - j);
            let column = &matrix.col_as_slice(j)[j..j + count];
            band.part(j, j, count).copy_from_slice(column);
        }
        band
    }

    /// `count` entries of a column from `row` on.
    fn part(&mut self, row: usize, column: usize, count: usize) -> &mut [f64] {
        let start = column * 2 * self.width + row - column;
        &mut self.entries[start..start + count]
    }

    /// The diagonal and the entries below it, of the tridiagonal matrix with the same eigenvalues.
    ///
    /// Each column is reflected in turn. That fills the band further down, where only the first
    /// column of the fill is reflected away again: the rest lies in the way of later columns.
    fn tridiagonal(mut self) -> (Vec<f64>, Vec<f64>) {
        for column in 0..self.n.saturating_sub(2) {
            let mut row = column + 1;
            let mut reflection = self.reflect(row, column, self.width.min(self.n - row));
            while !reflection.vector.is_empty() {
                let count = reflection.vector.len();
                self.turn(row, &reflection);
                let below = row + count;
                let rows = self.width.min(self.n - below);
                self.right(below, rows, row, &reflection);
                let next = self.reflect(below, row, rows);
                for other in row + 1..row + count {
                    next.apply(self.part(below, other, rows));
                }
                (row, reflection) = (below, next);
            }
        }
        let diagonal = (0..self.n).map(|j| self.entries[j * 2 * self.width]).collect();
        let beside = (0..self.n).map(|j| self.entries[j * 2 * self.width + 1]).collect();
        (diagonal, beside)
    }

    /// Reflects `count` entries of a column into the first of them.
    fn reflect(&mut self, row: usize, column: usize, count: usize) -> Reflection {
        let entries = self.part(row, column, count);
        let reflection = Reflection::of(entries);
        entries.fill(0.0);
        if let Some(first) = entries.first_mut() {
            *first = reflection.image;
        }
        reflection
    }

    /// Applies a reflection to the block on the diagonal from `first` on, from both sides.
    fn turn(&mut self, first: usize, reflection: &Reflection) {
        let v = &reflection.vector;
        let mut w = vec![0.0; v.len()];
        for c in 0..v.len() {
            let column = &*self.part(first + c, first + c, v.len() - c);
            w[c] += column[0] * v[c] + dot(&column[1..], &v[c + 1..]);
            axpy(v[c], &column[1..], &mut w[c + 1..]);
        }
        w.iter_mut().for_each(|w| *w *= reflection.tau);
        axpy(-0.5 * reflection.tau * dot(&w, v), v, &mut w);
        for c in 0..v.len() {
            let column = self.part(first + c, first + c, v.len() - c);
            for ((entry, &vi), &wi) in column.iter_mut().zip(&v[c..]).zip(&w[c..]) {
                *entry -= vi * w[c] + wi * v[c];
            }
        }
    }

    /// Applies a reflection from the right to the block of `rows` from `row` on, whose columns
    /// begin at `first`.
    fn right(&mut self, row: usize, rows: usize, first: usize, reflection: &Reflection) {
        let mut sum = vec![0.0; rows];
        for (c, &v) in reflection.vector.iter().enumerate() {
            axpy(v, self.part(row, first + c, rows), &mut sum);
        }
        for (c, &v) in reflection.vector.iter().enumerate() {
            axpy(-reflection.tau * v, &sum, self.part(row, first + c, rows));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;

    fn compared(matrix: &Mat<f64>, width: usize) {
        let (n, scale) = (matrix.nrows(), matrix.norm_max());
        let expected = matrix.self_adjoint_eigenvalues(Side::Lower).unwrap();
        let found = in_two_stages(matrix.clone(), width).unwrap();
        assert_eq!(found.len(), n);
        for (found, expected) in found.iter().zip(&expected) {
            let near = (found - expected).abs() <= 1e-13 * n as f64 * scale;
            assert!(near, "{found} for {expected}, n = {n}, width {width}");
        }
    }

    fn square(n: usize, decay: i32) -> Mat<f64> {
        let mut noise = Noise::new(n as u64);
        let v = Mat::from_fn(n, n, |_, j| noise.normal() * (1.0 + j as f64).powi(-decay));
        &v * v.transpose()
    }

    #[test]
    fn two_stages_give_the_eigenvalues_of_one() {
        for n in [2, 3, 5, 8, 9, 16, 17, 33, 70] {
            for width in [2, 3, 8, 32] {
                compared(&square(n, 0), width);
                compared(&square(n, 2), width);
            }
        }
    }

    #[test]
    fn bands_and_empty_rows_are_matrices_too() {
        let mut matrix = square(40, 0);
        for j in 0..40usize {
            for i in 0..40usize {
                if i.abs_diff(j) > 3 || i % 7 == 0 || j % 7 == 0 {
                    matrix[(i, j)] = 0.0;
                }
            }
        }
        compared(&matrix, 4);
        compared(&Mat::zeros(10, 10), 4);
        compared(&Mat::identity(10, 10), 4);
    }

    #[test]
    fn large_and_tiny_entries_keep_their_eigenvalues() {
        for scale in [1e200, 1e-200] {
            compared(&(square(20, 1) * Scale(scale)), 4);
        }
    }
}
