//! The input component decomposition of many neurons (equation 10), block by block.
//!
//! `ν̂ = v · q` with `q = ŵ² / ‖ŵ‖²`: no subtraction, and `Σν̂ = v` since q is a probability
//! vector. ŵ is scaled by its largest magnitude before it is squared, so that the squares of tiny
//! weights do not vanish. Where ŵ is 0, so is ν̂: v is then all bias and stays unattributed.

use std::ops::Range;

use ndarray::{Array2, ArrayView1, ArrayView2, s};

use crate::error::{Error, Result};

/// The decompositions of a layer's neurons, as much of them at a time as is asked for.
pub trait Decomposition {
    /// The number of neurons M and of input components d.
    fn shape(&self) -> (usize, usize);

    /// ν̂ of some neurons at some input components, a row a neuron.
    fn block(&self, neurons: Range<usize>, components: Range<usize>) -> Array2<f64>;
}

impl<T: Copy + Into<f64>> Decomposition for ArrayView2<'_, T> {
    fn shape(&self) -> (usize, usize) {
        self.dim()
    }

    fn block(&self, neurons: Range<usize>, components: Range<usize>) -> Array2<f64> {
        self.slice(s![neurons, components]).mapv(Into::into)
    }
}

/// Decompositions that are computed from the weights `[M, d]` and activities `[M]` when they are
/// asked for.
pub struct Icds<'a, T> {
    weights: ArrayView2<'a, T>,
    /// 1 / max |ŵ| of each neuron, 0 where ŵ is 0.
    scale: Vec<f64>,
    /// v / ‖ŵ · scale‖² of each neuron.
    factor: Vec<f64>,
}

impl<'a, T: Copy + Into<f64>> Icds<'a, T> {
    /// The decompositions of neurons with `weights` `[M, d]` and `activity` `[M]`.
    ///
    /// # Errors
    /// When the sizes differ, or a weight or an activity is not a finite number.
    pub fn new(weights: ArrayView2<'a, T>, activity: ArrayView1<'_, T>) -> Result<Self> {
        if weights.nrows() != activity.len() {
            return Err(Error::internal(format!(
                "weights of {} neurons and activities of {}",
                weights.nrows(),
                activity.len()
            )));
        }
        let mut icds = Self { weights, scale: Vec::new(), factor: Vec::new() };
        for (neuron, (row, &v)) in weights.rows().into_iter().zip(activity).enumerate() {
            let peak = peak(row);
            let v: f64 = v.into();
            if !peak.is_finite() || !v.is_finite() {
                return Err(Error::request(format!(
                    "the activity or a weight of neuron {neuron} is not a finite number"
                )));
            }
            let scale = if peak > 0.0 { peak.recip().min(f64::MAX) } else { 0.0 };
            let norm = squares(row, scale);
            icds.scale.push(scale);
            icds.factor.push(if norm > 0.0 { v / norm } else { 0.0 });
        }
        Ok(icds)
    }
}

/// Numbers that are looked at side by side, so that they need not wait for each other.
const LANES: usize = 8;

/// The largest magnitude; not finite where one of them is not.
fn peak<T: Copy + Into<f64>>(row: ArrayView1<'_, T>) -> f64 {
    let (mut peaks, mut odd) = ([0f64; LANES], [0f64; LANES]);
    lanes(row, |lane, w| {
        peaks[lane] = if w.abs() > peaks[lane] { w.abs() } else { peaks[lane] };
        // Stays 0 but for what is infinite or no number.
        odd[lane] += w * 0.0;
    });
    peaks.into_iter().fold(0.0, f64::max) + odd.iter().sum::<f64>()
}

/// `‖ŵ · scale‖²`
fn squares<T: Copy + Into<f64>>(row: ArrayView1<'_, T>, scale: f64) -> f64 {
    let mut sums = [0f64; LANES];
    lanes(row, |lane, w| sums[lane] += (w * scale) * (w * scale));
    sums.iter().sum()
}

fn lanes<T: Copy + Into<f64>>(row: ArrayView1<'_, T>, mut see: impl FnMut(usize, f64)) {
    let Some(row) = row.to_slice() else {
        return row.iter().for_each(|&w| see(0, w.into()));
    };
    let (whole, rest) = row.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, &w) in chunk.iter().enumerate() {
            see(lane, w.into());
        }
    }
    rest.iter().for_each(|&w| see(0, w.into()));
}

/// Some of the neurons of a decomposition, by number.
pub struct Chosen<'a> {
    /// All neurons.
    pub all: &'a dyn Decomposition,
    /// Those that are chosen, each as often as it is named.
    pub neurons: Vec<usize>,
}

impl Decomposition for Chosen<'_> {
    fn shape(&self) -> (usize, usize) {
        (self.neurons.len(), self.all.shape().1)
    }

    fn block(&self, neurons: Range<usize>, components: Range<usize>) -> Array2<f64> {
        let mut block = Array2::zeros((neurons.len(), components.len()));
        for (mut row, &neuron) in block.rows_mut().into_iter().zip(&self.neurons[neurons]) {
            row.assign(&self.all.block(neuron..neuron + 1, components.clone()).row(0));
        }
        block
    }
}

impl<T: Copy + Into<f64>> Decomposition for Icds<'_, T> {
    fn shape(&self) -> (usize, usize) {
        self.weights.dim()
    }

    fn block(&self, neurons: Range<usize>, components: Range<usize>) -> Array2<f64> {
        let first = neurons.start;
        let mut block = self.weights.slice(s![neurons, components]).mapv(Into::into);
        for (row, mut values) in block.rows_mut().into_iter().enumerate() {
            let (scale, factor) = (self.scale[first + row], self.factor[first + row]);
            values.mapv_inplace(|w| factor * (w * scale).powi(2));
        }
        block
    }
}

/// ν̂ of all neurons, `[M, d]`.
///
/// # Errors
/// As [`Icds::new`].
pub fn icd<T: Copy + Into<f64>>(
    weights: ArrayView2<'_, T>,
    activity: ArrayView1<'_, T>,
) -> Result<Array2<f64>> {
    let (neurons, components) = weights.dim();
    Ok(Icds::new(weights, activity)?.block(0..neurons, 0..components))
}

#[cfg(test)]
mod tests {
    use ndarray::{Axis, array};

    use super::*;

    #[test]
    fn the_parts_of_a_neuron_add_up_to_its_activity() {
        let weights = array![[1.0, -2.0, 2.0], [1e-22, 0.0, 3e-22], [1e-200, 1e-200, 0.0]];
        let activity = array![9.0, -1.0, 2.0];
        let v = icd(weights.view(), activity.view()).unwrap();
        assert_eq!(v.row(0), array![1.0, 4.0, 4.0]);
        for (sum, expected) in v.sum_axis(Axis(1)).iter().zip(&activity) {
            assert!((sum - expected).abs() < 1e-15);
        }
        assert!((v[[1, 2]] + 0.9).abs() < 1e-15 && v[[2, 0]] == 1.0);
    }

    #[test]
    fn a_neuron_without_weights_has_no_parts() {
        let v = icd(array![[0f32, 0.0]].view(), array![5f32].view()).unwrap();
        assert_eq!(v, array![[0.0, 0.0]]);
    }

    #[test]
    fn single_precision_weights_are_widened_before_they_are_squared() {
        let v = icd(array![[1e-30f32, 2e-30]].view(), array![5f32].view()).unwrap();
        assert!((v[[0, 0]] - 1.0).abs() < 1e-6 && (v[[0, 1]] - 4.0).abs() < 1e-6);
    }

    #[test]
    fn what_is_no_number_is_refused_by_neuron() {
        for (w, v) in [(f64::NAN, 1.0), (f64::INFINITY, 1.0), (1.0, f64::NAN)] {
            let weights = array![[1.0, 1.0], [w, 1.0]];
            let error = icd(weights.view(), array![1.0, v].view()).unwrap_err();
            assert!(error.to_string().contains("neuron 1"), "{error}");
        }
    }

    #[test]
    fn blocks_are_cuts_of_the_whole() {
        let weights = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
        let activity = array![1.0, -1.0];
        let icds = Icds::new(weights.view(), activity.view()).unwrap();
        let whole = icds.block(0..2, 0..3);
        assert_eq!(icds.block(1..2, 1..3), whole.slice(s![1..2, 1..3]));
        assert_eq!(weights.view().block(0..1, 2..3), array![[3.0]]);
        let chosen = Chosen { all: &icds, neurons: vec![1, 0, 1] };
        assert_eq!(chosen.block(1..3, 1..3), whole.slice(s![.., 1..3]));
        assert_eq!(chosen.shape(), (3, 3));
    }
}
