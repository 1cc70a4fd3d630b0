//! Representational power (definition 4).

use super::spectrum::Spectrum;
use crate::error::{Error, Result};

/// How many patterns carry a layer's decompositions.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Power {
    /// R_γ: the smallest k whose k largest singular values sum to at least γ − 1e-9 of all.
    pub patterns: usize,
    /// R_γ / min(d, M).
    pub proportion: f64,
    /// How many singular values differ from 0 ([`Spectrum::floor`]).
    pub rank: usize,
    /// exp of the entropy of the normalised singular values: a rank without a threshold.
    pub entropy_rank: f64,
}

/// What rounding may take from γ.
const SLACK: f64 = 1e-9;

impl Power {
    /// The power of a spectrum; everything is 0 where all of V is.
    ///
    /// # Errors
    /// As [`check_gamma`].
    pub fn of(spectrum: &Spectrum, gamma: f64) -> Result<Self> {
        check_gamma(gamma)?;
        let total: f64 = spectrum.values.iter().sum();
        if total <= 0.0 {
            return Ok(Self { patterns: 0, proportion: 0.0, rank: 0, entropy_rank: 0.0 });
        }
        let mut sum = 0.0;
        let enough = |s: &f64| {
            sum += s / total;
            sum >= gamma - SLACK
        };
        let last = spectrum.values.iter().position(enough);
        let patterns = last.map_or(spectrum.rank(), |last| last + 1);
        let entropy = |s: &f64| -(s / total) * (s / total).ln();
        Ok(Self {
            patterns,
            proportion: patterns as f64 / spectrum.most.max(1) as f64,
            rank: spectrum.rank(),
            entropy_rank: spectrum.values.iter().map(entropy).sum::<f64>().exp(),
        })
    }
}

/// Refuses a γ that is no share.
///
/// # Errors
/// When γ does not lie in (0, 1].
pub fn check_gamma(gamma: f64) -> Result<()> {
    if gamma > 0.0 && gamma <= 1.0 {
        return Ok(());
    }
    Err(Error::request(format!("{gamma} is no share of the singular values"))
        .help("γ is more than 0 and at most 1; the paper takes 0.9"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spectrum(values: &[f64], most: usize) -> Spectrum {
        Spectrum { values: values.to_vec(), floor: 0.0, most }
    }

    fn patterns(values: &[f64], gamma: f64) -> usize {
        Power::of(&spectrum(values, 10), gamma).unwrap().patterns
    }

    #[test]
    fn the_largest_values_are_counted_until_they_suffice() {
        assert_eq!(patterns(&[5.0, 3.0, 2.0], 0.5), 1);
        assert_eq!(patterns(&[5.0, 3.0, 2.0], 0.8), 2);
        assert_eq!(patterns(&[5.0, 3.0, 2.0], 0.800_001), 3);
        assert_eq!(patterns(&[5.0, 3.0, 2.0], 1.0), 3);
        assert_eq!(patterns(&[0.1; 10], 0.9), 9);
    }

    #[test]
    fn inverse_squares_need_57_patterns_for_99_hundredths() {
        let values: Vec<f64> = (1..=1000).map(|k| f64::from(k).powi(-2)).collect();
        assert_eq!(patterns(&values, 0.99), 57);
    }

    #[test]
    fn the_proportion_is_of_the_smaller_side() {
        let power = Power::of(&spectrum(&[1.0, 1.0], 8), 1.0).unwrap();
        assert_eq!((power.patterns, power.proportion, power.rank), (2, 0.25, 2));
        assert!((power.entropy_rank - 2.0).abs() < 1e-14);
    }

    #[test]
    fn nothing_has_no_power() {
        let power = Power::of(&spectrum(&[], 8), 0.9).unwrap();
        assert_eq!(power, Power { patterns: 0, proportion: 0.0, rank: 0, entropy_rank: 0.0 });
    }

    #[test]
    fn a_share_lies_between_0_and_1() {
        for gamma in [0.0, -1.0, 1.1, f64::NAN, f64::INFINITY] {
            assert!(check_gamma(gamma).is_err(), "{gamma}");
        }
    }
}
