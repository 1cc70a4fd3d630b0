//! The linear region around an input: how far its nearest border is, and how much the input leans
//! on what is switched off.

use ndarray::{Array1, ArrayView1, ArrayView2};

use super::pooling::Windows;

/// A border of the linear region.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Crossing {
    /// The Euclidean distance in the input to the hyperplane where the state changes.
    pub distance: f64,
    /// The neuron that would switch, or the element that would win instead.
    pub neuron: usize,
}

/// The nearest borders of the linear region, among those looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Borders {
    /// The nearest of all. Where equal candidates move apart, as those of a pooling window over a
    /// blank background do, the input lies on it, and its distance is 0.
    pub nearest: Option<Crossing>,
    /// The nearest of those on which the input does not lie.
    pub beyond: Option<Crossing>,
}

impl Borders {
    fn see(&mut self, crossing: Crossing) {
        let nearer =
            |old: &Option<Crossing>| old.is_none_or(|old| crossing.distance < old.distance);
        if nearer(&self.nearest) {
            self.nearest = Some(crossing);
        }
        if crossing.distance > 0.0 && nearer(&self.beyond) {
            self.beyond = Some(crossing);
        }
    }
}

/// The least `|v| / ‖ŵ‖` over neurons with weights `[M, d]` and activities `[M]`; neurons without
/// weights never switch.
pub fn crossings<T: Copy + Into<f64>>(
    weights: ArrayView2<'_, T>,
    activity: ArrayView1<'_, T>,
) -> Borders {
    let mut borders = Borders::default();
    for (neuron, (row, &v)) in weights.rows().into_iter().zip(activity).enumerate() {
        let v: f64 = v.into();
        let norm = length(row.iter().map(|&w| w.into()));
        if norm > 0.0 {
            borders.see(Crossing { distance: v.abs() / norm, neuron });
        }
    }
    borders
}

/// The least `margin / ‖Δŵ‖` over the pairs of winner and loser in each window of a max pooling.
///
/// `weights` `[M, d]` are those of the neurons whose values enter the pooling, and `values` `[M]`
/// what enters; `passed` says of each whether its activation let it through, as its weights count
/// as 0 otherwise. Pairs of which neither is let through stay equal and never switch.
pub fn overtakings<T: Copy + Into<f64>>(
    weights: ArrayView2<'_, T>,
    values: &[f64],
    passed: &[bool],
    windows: &Windows,
) -> Borders {
    let slope = |neuron: usize, i: usize| -> f64 {
        if passed[neuron] { weights[[neuron, i]].into() } else { 0.0 }
    };
    let mut borders = Borders::default();
    for (window, winner) in windows.winners(values).into_iter().enumerate() {
        let Some(winner) = winner else { continue };
        for loser in windows.members(window).into_iter().filter(|&m| m != winner) {
            if !passed[winner] && !passed[loser] {
                continue;
            }
            let norm = length((0..weights.ncols()).map(|i| slope(winner, i) - slope(loser, i)));
            if norm > 0.0 {
                let distance = (values[winner] - values[loser]) / norm;
                borders.see(Crossing { distance, neuron: loser });
            }
        }
    }
    borders
}

/// The Euclidean length, without underflow: the entries are scaled by the largest.
fn length(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let peak = values.clone().fold(0f64, |peak, w| peak.max(w.abs()));
    if peak == 0.0 || !peak.is_finite() {
        return peak;
    }
    peak * values.map(|w| (w / peak).powi(2)).sum::<f64>().sqrt()
}

/// The inactive state sensitivity: the mean of `v ŵ / ‖ŵ‖²` over inactive hidden neurons, a map of
/// the input.
#[derive(Clone, Debug)]
pub struct Sensitivity {
    sum: Array1<f64>,
    neurons: usize,
}

impl Sensitivity {
    /// The mean over no neuron yet, for `components` input components.
    pub fn new(components: usize) -> Self {
        Self { sum: Array1::zeros(components), neurons: 0 }
    }

    /// Takes in the inactive ones (v ≤ 0) of the neurons with weights `[M, d]` and activities `[M]`;
    /// those without weights count with 0.
    pub fn add<T: Copy + Into<f64>>(
        &mut self,
        weights: ArrayView2<'_, T>,
        activity: ArrayView1<'_, T>,
    ) {
        for (row, &v) in weights.rows().into_iter().zip(activity) {
            let v: f64 = v.into();
            if v > 0.0 {
                continue;
            }
            self.neurons += 1;
            let norm = length(row.iter().map(|&w| w.into()));
            if norm > 0.0 {
                for (sum, &w) in self.sum.iter_mut().zip(row) {
                    *sum += v / norm * (w.into() / norm);
                }
            }
        }
    }

    /// The map; zeros where no neuron was inactive.
    pub fn map(&self) -> Array1<f64> {
        &self.sum / self.neurons.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn the_nearest_border_is_the_least_activity_by_length() {
        let weights = array![[3.0, 4.0], [0.0, 0.0], [0.0, 1.0]];
        let borders = crossings(weights.view(), array![-1.0, 0.0, 0.5].view());
        let nearest = Some(Crossing { distance: 0.2, neuron: 0 });
        assert_eq!(borders, Borders { nearest, beyond: nearest });
        assert_eq!(crossings(array![[0.0]].view(), array![1.0].view()), Borders::default());
    }

    #[test]
    fn a_border_under_the_input_is_not_beyond_it() {
        let weights = array![[1.0, 0.0], [0.0, 2.0]];
        let borders = crossings(weights.view(), array![0.0, 3.0].view());
        assert_eq!(borders.nearest, Some(Crossing { distance: 0.0, neuron: 0 }));
        assert_eq!(borders.beyond, Some(Crossing { distance: 1.5, neuron: 1 }));
    }

    fn line(kernel: usize, input: usize) -> Windows {
        Windows {
            kernel: vec![kernel],
            strides: vec![kernel],
            dilations: vec![1],
            begin: vec![0],
            input: vec![input],
            output: vec![input / kernel],
        }
    }

    #[test]
    fn a_pooling_switches_where_the_loser_overtakes() {
        let weights = array![[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]];
        let (values, passed) = ([3.0, 1.0, 0.0], [true, true, false]);
        let borders = overtakings(weights.view(), &values, &passed, &line(3, 3));
        let nearest = borders.nearest.unwrap();
        assert!((nearest.distance - 2.0 / 2f64.sqrt()).abs() < 1e-15);
        assert_eq!((nearest.neuron, borders.beyond), (1, borders.nearest));
        let none = overtakings(weights.view(), &[0.0; 3], &[false; 3], &line(3, 3));
        assert_eq!(none, Borders::default());
    }

    #[test]
    fn equal_candidates_that_move_apart_are_a_border_under_the_input() {
        let weights = array![[1.0, 0.0], [0.0, 1.0], [0.0, 4.0], [0.0, 2.0]];
        let (values, passed) = ([1.0, 1.0, 3.0, 1.0], [true; 4]);
        let borders = overtakings(weights.view(), &values, &passed, &line(2, 4));
        assert_eq!(borders.nearest, Some(Crossing { distance: 0.0, neuron: 1 }));
        assert_eq!(borders.beyond, Some(Crossing { distance: 1.0, neuron: 3 }));
    }

    #[test]
    fn sensitivity_is_the_mean_over_what_is_inactive() {
        let mut sensitivity = Sensitivity::new(2);
        let weights = array![[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]];
        sensitivity.add(weights.view(), array![5.0, -2.0, -1.0].view());
        assert_eq!(sensitivity.map(), array![0.0, -0.5]);
        assert_eq!(Sensitivity::new(1).map(), array![0.0]);
    }
}
