//! Spearman's rank correlation between maps of the input (figure 8).

use super::summary::{Moments, Summary};

/// The ranks of finite values, from 1; equal values share the mean of their ranks.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    // 0 and −0 are equal, and total_cmp puts them side by side.
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = start as f64 + (tied.len() + 1) as f64 / 2.0;
        tied.iter().for_each(|&place| ranks[place] = rank);
        start += tied.len();
    }
    ranks
}

/// Spearman's ρ of two maps of the same length; `None` where one is constant.
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    rank_correlation(&ranks(a), &ranks(b))
}

/// Spearman's ρ of two maps by their [`ranks`].
pub fn rank_correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.len() != b.len() {
        return None;
    }
    let mean = (a.len() + 1) as f64 / 2.0;
    let (mut product, mut first, mut second) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean, b - mean);
        (product, first, second) = (product + a * b, first + a * a, second + b * b);
    }
    let scale = (first * second).sqrt();
    (scale > 0.0).then(|| (product / scale).clamp(-1.0, 1.0))
}

/// A map of the extents `shape` summed over one axis, signs kept.
pub fn channel_sums(map: &[f64], shape: &[usize], axis: usize) -> Vec<f64> {
    let channels = shape.get(axis).copied().unwrap_or(1).max(1);
    let inner: usize = shape.iter().skip(axis + 1).product::<usize>().max(1);
    let mut sums = vec![0.0; map.len() / channels];
    for (place, value) in map.iter().enumerate() {
        let sum = place / (channels * inner) * inner + place % inner;
        if let Some(sum) = sums.get_mut(sum) {
            *sum += value;
        }
    }
    sums
}

/// Correlations over a data set; pairs with a constant map are counted and left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    moments: Moments,
    skipped: usize,
}

impl Tally {
    /// Takes in one correlation, `None` where a map is constant.
    pub fn add(&mut self, correlation: Option<f64>) {
        match correlation {
            Some(value) => self.moments.add(value),
            None => self.skipped += 1,
        }
    }

    /// Mean and deviation of those that are defined.
    pub fn summary(&self) -> Summary {
        self.moments.summary()
    }

    /// How many pairs were left out.
    pub fn skipped(&self) -> usize {
        self.skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_their_mean_rank() {
        assert_eq!(ranks(&[10.0, 20.0, 20.0, 5.0]), [2.0, 3.5, 3.5, 1.0]);
        assert_eq!(ranks(&[0.0, -0.0, -0.0]), [2.0; 3]);
        assert!(ranks(&[]).is_empty());
    }

    #[test]
    fn correlations_are_those_of_textbooks() {
        let cases: [(&[f64], &[f64], f64); 4] = [
            (&[1.0, 2.0, 3.0], &[10.0, 200.0, 3000.0], 1.0),
            (&[1.0, 2.0, 3.0], &[3.0, 2.0, -9.0], -1.0),
            (&[1.0, 2.0, 3.0, 4.0, 5.0], &[2.0, 1.0, 4.0, 3.0, 5.0], 0.8),
            // scipy.stats.spearmanr
            (&[1.0, 1.0, 2.0, 3.0], &[1.0, 3.0, 2.0, 2.0], 0.0),
        ];
        for (a, b, expected) in cases {
            let found = spearman(a, b).unwrap();
            assert!((found - expected).abs() < 1e-12, "{a:?} {b:?}: {found}");
        }
    }

    #[test]
    fn a_constant_map_has_no_correlation() {
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[1.0], &[2.0]), None);
        assert_eq!(spearman(&[], &[]), None);
        assert_eq!(spearman(&[1.0, 2.0], &[1.0]), None);
    }

    #[test]
    fn channels_are_summed_with_their_signs() {
        let map = [1.0, 2.0, -3.0, 4.0];
        assert_eq!(channel_sums(&map, &[2, 1, 2], 0), [-2.0, 6.0]);
        assert_eq!(channel_sums(&map, &[1, 2, 2], 2), [3.0, 1.0]);
        assert_eq!(channel_sums(&map, &[1, 2, 2], 0), map);
        assert_eq!(channel_sums(&map, &[4], 3), map);
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let mut tally = Tally::default();
        [Some(0.5), None, Some(1.0)].into_iter().for_each(|rho| tally.add(rho));
        assert_eq!((tally.summary().n, tally.summary().mean, tally.skipped()), (2, 0.75, 1));
    }
}
