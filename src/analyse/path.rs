//! Projections of more than one neuron or more than one input: class contrast, and the inputs whose
//! weights integrated and smoothed projections average.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use crate::error::{Error, Result};
use crate::noise::Noise;

/// The contrast of two neurons a − b, a neuron of its own: one row of weights, and its activity.
pub fn contrast(
    weights: ArrayView2<'_, f64>,
    activity: ArrayView1<'_, f64>,
    [a, b]: [usize; 2],
) -> (Array2<f64>, Array1<f64>) {
    let row = &weights.row(a) - &weights.row(b);
    (row.insert_axis(Axis(0)), Array1::from_elem(1, activity[a] - activity[b]))
}

/// The mean of the weights `[M, d]` at several inputs.
#[derive(Clone, Debug)]
pub struct MeanWeights {
    sum: Array2<f64>,
    count: usize,
}

impl MeanWeights {
    /// The mean over no input yet.
    pub fn new(neurons: usize, components: usize) -> Self {
        Self { sum: Array2::zeros((neurons, components)), count: 0 }
    }

    /// Takes in the weights at one more input.
    ///
    /// # Errors
    /// When they have another shape.
    pub fn add(&mut self, weights: ArrayView2<'_, f64>) -> Result<()> {
        if weights.dim() != self.sum.dim() {
            let (wanted, found) = (self.sum.dim(), weights.dim());
            return Err(Error::internal(format!("weights {found:?} where {wanted:?} are added")));
        }
        self.sum += &weights;
        self.count += 1;
        Ok(())
    }

    /// The mean; zeros over no input.
    pub fn mean(self) -> Array2<f64> {
        self.sum / self.count.max(1) as f64
    }
}

/// The inputs on the straight path from `baseline` to `x` at the middles of `steps` equal parts,
/// `[steps, d]`. The mean of ŵ over them, times `x − baseline`, is the integrated gradient.
pub fn along(baseline: ArrayView1<'_, f64>, x: ArrayView1<'_, f64>, steps: usize) -> Array2<f64> {
    let way = &x - &baseline;
    let mut inputs = Array2::zeros((steps, x.len()));
    for (step, mut input) in inputs.axis_iter_mut(Axis(0)).enumerate() {
        input.assign(&baseline);
        input.scaled_add((step as f64 + 0.5) / steps as f64, &way);
    }
    inputs
}

/// `draws` inputs around `x` with independent normal noise of standard deviation `sd`, `[draws, d]`.
/// The mean of ŵ over them is the smoothed projection.
pub fn noisy(x: ArrayView1<'_, f64>, sd: f64, draws: usize, noise: &mut Noise) -> Array2<f64> {
    Array2::from_shape_fn((draws, x.len()), |(_, i)| x[i] + sd * noise.normal())
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn a_path_goes_through_the_middles_of_its_parts() {
        let inputs = along(array![0.0, 2.0].view(), array![1.0, 2.0].view(), 2);
        assert_eq!(inputs, array![[0.25, 2.0], [0.75, 2.0]]);
        assert_eq!(along(array![0.0].view(), array![1.0].view(), 0).nrows(), 0);
    }

    #[test]
    fn the_middles_integrate_a_quadratic_exactly_in_the_limit() {
        let inputs = along(array![0.0].view(), array![3.0].view(), 100);
        let slopes = inputs.mapv(|x| 2.0 * x);
        let integral = slopes.mean().unwrap() * 3.0;
        assert!((integral - 9.0).abs() < 1e-12);
    }

    #[test]
    fn noise_is_the_same_for_the_same_seed() {
        let x = array![1.0, 2.0];
        let draw = |seed, sd| noisy(x.view(), sd, 3, &mut Noise::new(seed));
        assert_eq!(draw(1, 0.5), draw(1, 0.5));
        assert_ne!(draw(1, 0.5), draw(2, 0.5));
        assert_eq!(draw(1, 0.0), array![[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]);
    }

    #[test]
    fn a_contrast_is_a_difference() {
        let weights = array![[1.0, 2.0], [0.0, 0.0], [3.0, 1.0]];
        let found = contrast(weights.view(), array![1.0, 2.0, 5.0].view(), [0, 2]);
        assert_eq!(found, (array![[-2.0, 1.0]], array![-4.0]));
    }

    #[test]
    fn weights_are_averaged() {
        let mut mean = MeanWeights::new(1, 2);
        mean.add(array![[1.0, 2.0]].view()).unwrap();
        mean.add(array![[3.0, -2.0]].view()).unwrap();
        assert!(mean.add(array![[1.0]].view()).is_err());
        assert_eq!(mean.mean(), array![[2.0, 0.0]]);
        assert_eq!(MeanWeights::new(1, 1).mean(), array![[0.0]]);
    }
}
