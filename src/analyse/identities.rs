//! By how much the identities of the method miss, for one neuron.

use ndarray::ArrayView1;

/// A neuron's projection onto an input.
#[derive(Clone, Copy, Debug)]
pub struct Projected<'a> {
    /// x
    pub x: ArrayView1<'a, f64>,
    /// v
    pub activity: f64,
    /// ŵ
    pub weights: ArrayView1<'a, f64>,
    /// b̂
    pub bias: f64,
    /// ĉ
    pub centre: ArrayView1<'a, f64>,
    /// ν̂
    pub icd: ArrayView1<'a, f64>,
}

/// What is left of each identity, which is rounding where all is well.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Misses {
    /// v − (x·ŵ + b̂) (theorem 1), b̂ carried through the network on its own.
    pub projection: f64,
    /// v − Σν̂ (equation 10)
    pub decomposition: f64,
    /// v − (x − ĉ)·ŵ (equation 7)
    pub centre: f64,
    /// Σ|xᵢŵᵢ| + |b̂|, of which rounding takes its share.
    pub size: f64,
}

impl Projected<'_> {
    /// Measures the identities. For ŵ = 0 there is no hyperplane: ν̂ and (x − ĉ)·ŵ are then 0 by
    /// definition, and nothing is missed.
    pub fn misses(&self) -> Misses {
        let Self { x, activity: v, weights: w, bias, centre, icd } = *self;
        let none = w.iter().all(|&w| w == 0.0);
        let from_centre: f64 = x.iter().zip(centre).zip(w).map(|((x, c), w)| (x - c) * w).sum();
        let magnitudes: f64 = x.iter().zip(w).map(|(x, w)| (x * w).abs()).sum();
        let wanted = if none { 0.0 } else { v };
        Misses {
            projection: v - (x.dot(&w) + bias),
            decomposition: wanted - icd.sum(),
            centre: wanted - from_centre,
            size: magnitudes + bias.abs(),
        }
    }

    /// ‖ŵ‖, by way of its largest magnitude, so that tiny weights do not vanish when squared.
    pub fn norm(&self) -> f64 {
        let peak = self.weights.iter().fold(0f64, |peak, w| peak.max(w.abs()));
        if peak == 0.0 {
            return 0.0;
        }
        peak * self.weights.iter().map(|w| (w / peak).powi(2)).sum::<f64>().sqrt()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn an_exact_projection_misses_nothing_and_a_wrong_one_shows() {
        let (x, w) = (array![1.0, 2.0], array![3.0, -4.0]);
        // v = 3 − 8 + 10 = 5, ĉ = x − (5/25)·ŵ, ν̂ = 5·ŵ²/25
        let (centre, icd) = (array![0.4, 2.8], array![1.8, 3.2]);
        let right = Projected {
            x: x.view(),
            activity: 5.0,
            weights: w.view(),
            bias: 10.0,
            centre: centre.view(),
            icd: icd.view(),
        };
        let misses = right.misses();
        assert!(misses.projection == 0.0 && misses.size == 21.0 && right.norm() == 5.0);
        assert!(misses.decomposition.abs() < 1e-15 && misses.centre.abs() < 1e-14);
        let wrong = Projected { bias: 9.0, activity: 5.0, icd: x.view(), ..right }.misses();
        assert_eq!((wrong.projection, wrong.decomposition), (1.0, 2.0));
        assert_eq!(Projected { centre: x.view(), ..right }.misses().centre, 5.0);
    }

    #[test]
    fn a_neuron_without_weights_is_all_bias() {
        let (x, w) = (array![1.0], array![0.0]);
        let v = |bias| Projected {
            x: x.view(),
            activity: 2.0,
            weights: w.view(),
            bias,
            centre: x.view(),
            icd: w.view(),
        };
        let misses = v(2.0).misses();
        assert_eq!([misses.projection, misses.decomposition, misses.centre], [0.0; 3]);
        assert_eq!((v(1.5).misses().projection, v(0.0).norm()), (0.5, 0.0));
    }

    #[test]
    fn the_norm_of_tiny_weights_does_not_vanish() {
        let w = array![3e-200, 4e-200];
        let tiny = Projected {
            x: w.view(),
            activity: 0.0,
            weights: w.view(),
            bias: 0.0,
            centre: w.view(),
            icd: w.view(),
        };
        assert!((tiny.norm() / 5e-200 - 1.0).abs() < 1e-14);
    }
}
