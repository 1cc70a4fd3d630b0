//! Gram matrices, accumulated in double precision without storing V.

use faer::linalg::matmul::triangular::{
    BlockStructure::{Rectangular, TriangularLower},
    matmul,
};
use faer::{Accum, Mat, MatMut, MatRef, get_global_parallelism};
use ndarray::{Array2, ArrayView1, ArrayView2, Axis, Slice};

use super::spectrum::{Spectrum, values, vectors};
use crate::error::{Error, Result};

/// `VᵀV`, M × M, for layers of at most as many neurons as input components: a block holds all
/// neurons at some components.
#[derive(Clone, Debug)]
pub struct Inner {
    sum: Sum,
    neurons: usize,
    components: usize,
}

impl Inner {
    /// The sum over no component yet, for `neurons` neurons.
    pub fn new(neurons: usize) -> Self {
        Self { sum: Sum::new(neurons), neurons, components: 0 }
    }

    /// The same among `neurons` in all, of which the others have no ν̂.
    pub fn among(self, neurons: usize) -> Self {
        Self { neurons, ..self }
    }

    /// Takes in ν̂ of all neurons at further components, `[M, b]`; neurons without any are skipped.
    ///
    /// # Errors
    /// When the block has another number of neurons.
    pub fn add(&mut self, block: ArrayView2<'_, f64>) -> Result<()> {
        fits("neurons", block.nrows(), self.sum.side())?;
        self.components += block.ncols();
        let rows = block.rows().into_iter().enumerate();
        let seen: Vec<usize> = rows.filter(|(_, row)| !is_zero(*row)).map(|(i, _)| i).collect();
        let mut part = Mat::zeros(block.ncols(), seen.len());
        for (column, &row) in seen.iter().enumerate() {
            let to = part.col_as_slice_mut(column);
            to.iter_mut().zip(block.row(row)).for_each(|(to, &v)| *to = v);
        }
        self.sum.add(part.transpose(), &seen);
        Ok(())
    }

    /// The singular values.
    ///
    /// # Errors
    /// When a value was not finite, or the eigenvalues do not converge.
    pub fn spectrum(&self) -> Result<Spectrum> {
        values(&self.sum.0, self.neurons, self.most())
    }

    /// The singular values and the rows of H, `[R, M]`.
    ///
    /// # Errors
    /// As [`Inner::spectrum`].
    pub fn mixtures(&self) -> Result<(Spectrum, Array2<f64>)> {
        vectors(&self.sum.0, self.most())
    }

    fn most(&self) -> usize {
        self.components.min(self.neurons)
    }
}

/// `VVᵀ`, d × d, for layers of more neurons than input components: a block holds some neurons at
/// all components.
#[derive(Clone, Debug)]
pub struct Outer {
    sum: Sum,
    neurons: usize,
}

/// Patterns with their singular values, before the mixing coefficients are known.
#[derive(Clone, Debug)]
pub struct Axes {
    /// The singular values.
    pub spectrum: Spectrum,
    /// The patterns u_j as rows, `[R, d]`, with the signs that the eigenvalue solver gave them.
    pub patterns: Array2<f64>,
}

/// Rows that are multiplied together where they touch few components.
const TOGETHER: usize = 64;

impl Outer {
    /// The sum over no neuron yet, for `components` input components.
    pub fn new(components: usize) -> Self {
        Self { sum: Sum::new(components), neurons: 0 }
    }

    /// Takes in ν̂ of further neurons, `[b, d]`.
    ///
    /// Neurons of a convolution see a small part of the input each. Rows with the same first
    /// component other than 0 see much the same part, and are multiplied on that part alone.
    ///
    /// # Errors
    /// When the block has another number of components.
    pub fn add(&mut self, block: ArrayView2<'_, f64>) -> Result<()> {
        let components = self.sum.side();
        fits("input components", block.ncols(), components)?;
        self.neurons += block.nrows();
        let block = block.as_standard_layout();
        let all: Vec<&[f64]> = block.rows().into_iter().filter_map(|row| row.to_slice()).collect();
        let begins = |row: &[f64]| row.iter().position(|&v| v != 0.0);
        let mut rows: Vec<(usize, &[f64])> =
            all.into_iter().filter_map(|row| Some((begins(row)?, row))).collect();
        rows.sort_by_key(|&(first, _)| first);
        let rows: Vec<&[f64]> = rows.into_iter().map(|(_, row)| row).collect();
        let mut wide = Vec::new();
        for near in rows.chunks(TOGETHER) {
            let touched = touched(near);
            match touched.len() > components / 2 {
                true => wide.extend(near),
                false => self.add_part(near, &touched),
            }
        }
        self.add_part(&wide, &touched(&wide));
        Ok(())
    }

    fn add_part(&mut self, rows: &[&[f64]], touched: &[usize]) {
        let mut part = Mat::zeros(touched.len(), rows.len());
        for (column, row) in rows.iter().enumerate() {
            let to = part.col_as_slice_mut(column);
            to.iter_mut().zip(touched).for_each(|(to, &place)| *to = row[place]);
        }
        self.sum.add(part.as_ref(), touched);
    }

    /// The singular values.
    ///
    /// # Errors
    /// When a value was not finite, or the eigenvalues do not converge.
    pub fn spectrum(&self) -> Result<Spectrum> {
        values(&self.sum.0, self.sum.side(), self.most())
    }

    /// The singular values and the patterns.
    ///
    /// # Errors
    /// As [`Outer::spectrum`].
    pub fn axes(&self) -> Result<Axes> {
        let (spectrum, patterns) = vectors(&self.sum.0, self.most())?;
        Ok(Axes { spectrum, patterns })
    }

    fn most(&self) -> usize {
        self.neurons.min(self.sum.side())
    }
}

/// A symmetric sum, of which the lower triangle is held.
#[derive(Clone, Debug)]
struct Sum(Mat<f64>);

impl Sum {
    fn new(side: usize) -> Self {
        Self(Mat::zeros(side, side))
    }

    fn side(&self) -> usize {
        self.0.nrows()
    }

    /// Adds `part partᵀ` at the rows and columns `places`, which rise.
    fn add(&mut self, part: MatRef<'_, f64>, places: &[usize]) {
        let count = places.len();
        let par = get_global_parallelism();
        let multiply = |to: MatMut<'_, f64>, how| {
            let (left, right) = (part, part.transpose());
            matmul(to, TriangularLower, how, left, Rectangular, right, Rectangular, 1.0, par);
        };
        if count == self.side() {
            return multiply(self.0.as_mut(), Accum::Add);
        }
        let mut product = Mat::zeros(count, count);
        multiply(product.as_mut(), Accum::Replace);
        for (j, &column) in places.iter().enumerate() {
            let sums = self.0.col_as_slice_mut(column);
            for (&row, value) in places[j..].iter().zip(&product.col_as_slice(j)[j..]) {
                sums[row] += value;
            }
        }
    }
}

impl Axes {
    /// The mixing coefficients `α_{m,j} = ν̂_m · u_j` of a block of neurons `[b, d]`: `[b, R]`. This
    /// is the second pass over the neurons.
    ///
    /// # Errors
    /// When the block has another number of components.
    pub fn mixing(&self, block: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        fits("input components", block.ncols(), self.patterns.ncols())?;
        Ok(block.dot(&self.patterns.t()))
    }

    /// Keeps the `most` patterns of largest singular value; the singular values all stay.
    pub fn keep(&mut self, most: usize) {
        let most = most.min(self.patterns.nrows());
        self.patterns = self.patterns.slice_axis(Axis(0), Slice::from(..most)).to_owned();
    }
}

/// The components at which one of `rows` differs from 0, rising.
fn touched(rows: &[&[f64]]) -> Vec<usize> {
    let mut seen = vec![false; rows.first().map_or(0, |row| row.len())];
    for row in rows {
        seen.iter_mut().zip(*row).for_each(|(seen, &value)| *seen |= value != 0.0);
    }
    (0..seen.len()).filter(|&component| seen[component]).collect()
}

fn is_zero(row: ArrayView1<'_, f64>) -> bool {
    row.iter().all(|&value| value == 0.0)
}

fn fits(what: &str, found: usize, wanted: usize) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(Error::internal(format!("a block of {found} {what} where there are {wanted}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;

    fn matrix(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
        let mut noise = Noise::new(seed);
        Array2::from_shape_fn((rows, columns), |_| noise.normal())
    }

    #[test]
    fn blocks_add_up_to_the_whole() {
        let v = matrix(7, 5, 1);
        let (mut inner, mut outer) = (Inner::new(7), Outer::new(5));
        for block in v.axis_chunks_iter(Axis(1), 2) {
            inner.add(block).unwrap();
        }
        for block in v.axis_chunks_iter(Axis(0), 3) {
            outer.add(block).unwrap();
        }
        assert!(misses(&inner.sum, &v.dot(&v.t())) < 1e-13);
        assert!(misses(&outer.sum, &v.t().dot(&v)) < 1e-13);
    }

    #[test]
    fn rows_that_touch_few_components_give_the_same_sum() {
        let mut v = matrix(200, 40, 2);
        for ((row, column), value) in v.indexed_iter_mut() {
            if column / 5 != row % 8 || row == 17 {
                *value = 0.0;
            }
        }
        let mut outer = Outer::new(40);
        outer.add(v.view()).unwrap();
        assert!(misses(&outer.sum, &v.t().dot(&v)) < 1e-13);
        let mut inner = Inner::new(200);
        for block in v.axis_chunks_iter(Axis(1), 7) {
            inner.add(block).unwrap();
        }
        assert!(misses(&inner.sum, &v.dot(&v.t())) < 1e-13);
    }

    /// The largest error of the lower triangle.
    fn misses(sum: &Sum, expected: &Array2<f64>) -> f64 {
        let error = |((i, j), value): ((usize, usize), &f64)| match i >= j {
            true => (sum.0[(i, j)] - value).abs(),
            false => 0.0,
        };
        expected.indexed_iter().map(error).fold(0.0, f64::max)
    }

    #[test]
    fn both_gram_matrices_give_the_same_singular_values() {
        let v = matrix(6, 4, 3);
        let (mut inner, mut outer) = (Inner::new(6), Outer::new(4));
        inner.add(v.view()).unwrap();
        outer.add(v.view()).unwrap();
        let (a, b) = (inner.spectrum().unwrap(), outer.spectrum().unwrap());
        assert_eq!((a.rank(), b.rank(), a.most), (4, 4, 4));
        assert!(a.values.iter().zip(&b.values).all(|(a, b)| (a - b).abs() < 1e-13));
    }

    #[test]
    fn blocks_of_another_size_are_refused() {
        assert!(Inner::new(3).add(matrix(2, 2, 0).view()).is_err());
        assert!(Outer::new(3).add(matrix(2, 2, 0).view()).is_err());
    }
}
