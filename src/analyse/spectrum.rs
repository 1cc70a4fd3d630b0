//! Singular values from the eigenvalues of a Gram matrix.

use faer::{Mat, Side};
use ndarray::Array2;

use super::eigenvalues::{eigenvalues, stuck};
use crate::error::{Error, Result};

/// The singular values of V that can be told from 0, largest first.
///
/// They are square roots of eigenvalues of a Gram matrix of side n = min(d, M), whose rounding
/// errors are of the order of ε s₁² (ε the unit of double precision). A value that is not above
/// [`Spectrum::floor`] `= s₁ √(n ε)` is noise and counts as 0; one of size s has a relative error
/// of about ε (s₁/s)², so that 1e-5 is kept down to s₁ · 1e-5.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    /// The singular values above the floor; their number is the rank.
    pub values: Vec<f64>,
    /// What counts as 0.
    pub floor: f64,
    /// The most values there could be: min(d, M).
    pub most: usize,
}

impl Spectrum {
    /// The spectrum of a matrix with the eigenvalues `squares` of its Gram matrix, largest first;
    /// at most `most` of them can differ from 0.
    fn of_squares(squares: &[f64], most: usize) -> Self {
        let largest = squares.first().map_or(0.0, |&square| square.max(0.0));
        let floor = largest * squares.len() as f64 * f64::EPSILON;
        let above = squares.iter().take(most).take_while(|&&square| square > floor);
        Self { values: above.map(|square| square.sqrt()).collect(), floor: floor.sqrt(), most }
    }

    /// How many singular values differ from 0.
    pub fn rank(&self) -> usize {
        self.values.len()
    }

    /// The share of Σs that the k largest values have, for k = 1, 2, …, rank.
    pub fn shares(&self) -> Vec<f64> {
        let total: f64 = self.values.iter().sum();
        let mut sum = 0.0;
        let share = |s: &f64| {
            sum += s;
            (sum / total).min(1.0)
        };
        self.values.iter().map(share).collect()
    }

    /// s_j / s_1
    pub fn falls(&self) -> Vec<f64> {
        let largest = self.values.first().copied().unwrap_or(1.0);
        self.values.iter().map(|s| s / largest).collect()
    }
}

/// The spectrum belonging to a Gram matrix, of which the lower triangle is given, of a V with
/// min(d, M) = `most`. Rows and columns of zeros may be missing; with them it has `side`.
pub fn values(gram: &Mat<f64>, side: usize, most: usize) -> Result<Spectrum> {
    let mut squares = eigenvalues(Seen::of(gram)?.part)?;
    squares.reverse();
    squares.resize(side, 0.0);
    Ok(Spectrum::of_squares(&squares, most))
}

/// The spectrum belonging to a Gram matrix, and for each singular value the unit eigenvector, as
/// rows.
pub fn vectors(gram: &Mat<f64>, most: usize) -> Result<(Spectrum, Array2<f64>)> {
    let gram = Seen::of(gram)?;
    let n = gram.part.nrows();
    if n == 0 {
        let none = vec![0.0; gram.side];
        return Ok((Spectrum::of_squares(&none, most), Array2::zeros((0, gram.side))));
    }
    let eigen = gram.part.self_adjoint_eigen(Side::Lower).map_err(|_| stuck())?;
    let mut squares: Vec<f64> = eigen.S().column_vector().iter().rev().copied().collect();
    squares.resize(gram.side, 0.0);
    let spectrum = Spectrum::of_squares(&squares, most);
    let mut rows = Array2::zeros((spectrum.rank(), gram.side));
    for (j, mut row) in rows.rows_mut().into_iter().enumerate() {
        for (&value, &place) in eigen.U().col(n - 1 - j).iter().zip(&gram.places) {
            row[place] = value;
        }
    }
    Ok((spectrum, rows))
}

/// A Gram matrix without the rows and columns of zeros, which have the eigenvalue 0.
struct Seen {
    part: Mat<f64>,
    places: Vec<usize>,
    side: usize,
}

impl Seen {
    fn of(gram: &Mat<f64>) -> Result<Self> {
        let side = gram.nrows();
        let finite = |j: usize| gram.col_as_slice(j)[j..].iter().all(|value| value.is_finite());
        if !(0..side).all(finite) {
            let what = "an activity or a weight of the layer is not a finite number";
            return Err(Error::request(what));
        }
        let places: Vec<usize> = (0..side).filter(|&j| gram[(j, j)] > 0.0).collect();
        let part = match places.len() == side {
            true => gram.clone(),
            false => Mat::from_fn(places.len(), places.len(), |i, j| gram[(places[i], places[j])]),
        };
        Ok(Self { part, places, side })
    }
}

#[cfg(test)]
mod tests {
    use faer::mat;

    use super::*;

    #[test]
    fn eigenvalues_come_with_their_vectors_largest_first() {
        let gram = mat![[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 0.0]];
        let (spectrum, rows) = vectors(&gram, 3).unwrap();
        assert_eq!(spectrum.rank(), 2);
        assert!((spectrum.values[0] - 3f64.sqrt()).abs() < 1e-14);
        assert!((spectrum.values[1] - 1.0).abs() < 1e-14);
        assert!((rows[[0, 0]] - rows[[0, 1]]).abs() < 1e-14);
        assert_eq!(values(&gram, 3, 3).unwrap().rank(), 2);
    }

    #[test]
    fn a_matrix_of_zeros_has_rank_zero() {
        for n in [0, 1, 4] {
            let gram = Mat::zeros(n, n);
            let (spectrum, rows) = vectors(&gram, n).unwrap();
            assert_eq!((spectrum.rank(), spectrum.floor, rows.nrows()), (0, 0.0, 0));
            assert_eq!(values(&gram, n, n).unwrap(), spectrum);
        }
    }

    #[test]
    fn no_more_values_than_the_smaller_side() {
        let gram = mat![[1.0, 0.0], [0.0, 1.0]];
        assert_eq!(values(&gram, 2, 1).unwrap().rank(), 1);
    }

    #[test]
    fn shares_rise_to_one_and_values_fall_from_it() {
        let spectrum = Spectrum { values: vec![3.0, 1.0], floor: 0.0, most: 2 };
        assert_eq!((spectrum.shares(), spectrum.falls()), (vec![0.75, 1.0], vec![1.0, 1.0 / 3.0]));
        let none = Spectrum { values: vec![], floor: 0.0, most: 2 };
        assert_eq!((none.shares(), none.falls()), (vec![], vec![]));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert!(values(&mat![[f64::NAN]], 1, 1).is_err());
        assert!(vectors(&mat![[f64::INFINITY]], 1).is_err());
    }
}
