//! Mean and spread over a data set.

/// A mean and a variance that are kept up value by value (Welford's recurrence).
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    n: usize,
    mean: f64,
    squares: f64,
}

/// What is reported of a series of values.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Summary {
    /// How many values there were.
    pub n: usize,
    /// Their mean; 0 of no values.
    pub mean: f64,
    /// Their standard deviation, with n − 1 degrees of freedom; 0 of fewer than two values.
    pub sd: f64,
}

impl Moments {
    /// Takes in one value.
    pub fn add(&mut self, value: f64) {
        self.n += 1;
        let step = value - self.mean;
        self.mean += step / self.n as f64;
        self.squares += step * (value - self.mean);
    }

    /// The mean and the standard deviation so far.
    pub fn summary(&self) -> Summary {
        let freedom = self.n.saturating_sub(1).max(1);
        Summary { n: self.n, mean: self.mean, sd: (self.squares / freedom as f64).sqrt() }
    }
}

impl Extend<f64> for Moments {
    fn extend<I: IntoIterator<Item = f64>>(&mut self, values: I) {
        values.into_iter().for_each(|value| self.add(value));
    }
}

impl FromIterator<f64> for Moments {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut moments = Self::default();
        moments.extend(values);
        moments
    }
}

impl Summary {
    /// The standard error of the mean; 0 of no values.
    pub fn standard_error(&self) -> f64 {
        self.sd / (self.n.max(1) as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_spread_are_those_of_the_definition() {
        let summary = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0].into_iter().collect::<Moments>();
        let summary = summary.summary();
        assert_eq!((summary.n, summary.mean), (8, 5.0));
        assert!((summary.sd - (32.0f64 / 7.0).sqrt()).abs() < 1e-15);
        assert!((summary.standard_error() - summary.sd / 8f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn few_values_have_no_spread() {
        let of = |values: &[f64]| values.iter().copied().collect::<Moments>().summary();
        assert_eq!(of(&[]), Summary { n: 0, mean: 0.0, sd: 0.0 });
        assert_eq!(of(&[3.0]), Summary { n: 1, mean: 3.0, sd: 0.0 });
    }

    #[test]
    fn a_small_spread_about_a_large_mean_is_kept() {
        let summary = (0..1000).map(|i| 1e9 + f64::from(i % 2)).collect::<Moments>().summary();
        assert!((summary.sd - 0.500_25).abs() < 1e-4, "{}", summary.sd);
    }
}
