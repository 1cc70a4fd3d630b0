//! Gram matrices, accumulated in double precision without storing V.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, Axis, Slice};

use super::spectrum::{Spectrum, values, vectors};
use crate::error::{Error, Result};

/// `VᵀV`, M × M, for layers of at most as many neurons as input components: a block holds all
/// neurons at some components.
#[derive(Clone, Debug)]
pub struct Inner {
    sum: Array2<f64>,
    components: usize,
}

impl Inner {
    /// The sum over no component yet, for `neurons` neurons.
    pub fn new(neurons: usize) -> Self {
        Self { sum: Array2::zeros((neurons, neurons)), components: 0 }
    }

    /// Takes in ν̂ of all neurons at further components, `[M, b]`.
    ///
    /// # Errors
    /// When the block has another number of neurons.
    pub fn add(&mut self, block: ArrayView2<'_, f64>) -> Result<()> {
        fits("neurons", block.nrows(), self.sum.nrows())?;
        general_mat_mul(1.0, &block, &block.t(), 1.0, &mut self.sum);
        self.components += block.ncols();
        Ok(())
    }

    /// The singular values.
    ///
    /// # Errors
    /// When a value was not finite, or the eigenvalues do not converge.
    pub fn spectrum(&self) -> Result<Spectrum> {
        values(self.sum.view(), self.most())
    }

    /// The singular values and the rows of H, `[R, M]`.
    ///
    /// # Errors
    /// As [`Inner::spectrum`].
    pub fn mixtures(&self) -> Result<(Spectrum, Array2<f64>)> {
        vectors(self.sum.view(), self.most())
    }

    fn most(&self) -> usize {
        self.components.min(self.sum.nrows())
    }
}

/// `VVᵀ`, d × d, for layers of more neurons than input components: a block holds some neurons at
/// all components.
#[derive(Clone, Debug)]
pub struct Outer {
    sum: Array2<f64>,
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
        Self { sum: Array2::zeros((components, components)), neurons: 0 }
    }

    /// Takes in ν̂ of further neurons, `[b, d]`.
    ///
    /// Neurons of a convolution see a small part of the input each. Rows with the same first
    /// component other than 0 see much the same part, and are multiplied on that part alone.
    ///
    /// # Errors
    /// When the block has another number of components.
    pub fn add(&mut self, block: ArrayView2<'_, f64>) -> Result<()> {
        let components = self.sum.nrows();
        fits("input components", block.ncols(), components)?;
        self.neurons += block.nrows();
        let mut rows: Vec<(usize, usize)> = block
            .rows()
            .into_iter()
            .enumerate()
            .filter_map(|(row, values)| Some((values.iter().position(|&v| v != 0.0)?, row)))
            .collect();
        rows.sort_unstable();
        let mut wide = Vec::new();
        for near in rows.chunks(TOGETHER) {
            let near: Vec<usize> = near.iter().map(|&(_, row)| row).collect();
            let touched = touched(block, &near);
            if touched.len() > components / 2 {
                wide.extend(near);
            } else {
                self.add_part(block, &near, &touched);
            }
        }
        if !wide.is_empty() {
            let rows = block.select(Axis(0), &wide);
            general_mat_mul(1.0, &rows.t(), &rows, 1.0, &mut self.sum);
        }
        Ok(())
    }

    fn add_part(&mut self, block: ArrayView2<'_, f64>, rows: &[usize], touched: &[usize]) {
        let part = Array2::from_shape_fn((rows.len(), touched.len()), |(i, j)| {
            block[[rows[i], touched[j]]]
        });
        let product = part.t().dot(&part);
        for (values, &i) in product.rows().into_iter().zip(touched) {
            let mut row = self.sum.row_mut(i);
            for (value, &j) in values.iter().zip(touched) {
                row[j] += value;
            }
        }
    }

    /// The singular values.
    ///
    /// # Errors
    /// When a value was not finite, or the eigenvalues do not converge.
    pub fn spectrum(&self) -> Result<Spectrum> {
        values(self.sum.view(), self.most())
    }

    /// The singular values and the patterns.
    ///
    /// # Errors
    /// As [`Outer::spectrum`].
    pub fn axes(&self) -> Result<Axes> {
        let (spectrum, patterns) = vectors(self.sum.view(), self.most())?;
        Ok(Axes { spectrum, patterns })
    }

    fn most(&self) -> usize {
        self.neurons.min(self.sum.nrows())
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
fn touched(block: ArrayView2<'_, f64>, rows: &[usize]) -> Vec<usize> {
    let mut seen = vec![false; block.ncols()];
    for &row in rows {
        for (seen, &value) in seen.iter_mut().zip(block.row(row)) {
            *seen |= value != 0.0;
        }
    }
    (0..seen.len()).filter(|&component| seen[component]).collect()
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
        let near = |a: &Array2<f64>, b: &Array2<f64>| (a - b).iter().all(|e| e.abs() < 1e-13);
        assert!(near(&inner.sum, &v.dot(&v.t())));
        assert!(near(&outer.sum, &v.t().dot(&v)));
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
        assert!((&outer.sum - &v.t().dot(&v)).iter().all(|e| e.abs() < 1e-13));
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
