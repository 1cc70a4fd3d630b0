//! From the scores of classes to what is told of them.

/// How scores become probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// exp sᵢ / Σ exp sⱼ
    #[default]
    Softmax,
    /// 1 / (1 + exp −sᵢ), each class for itself.
    Sigmoid,
}

impl Link {
    /// The probabilities of `scores`, without overflow for any finite ones.
    pub fn probabilities(self, scores: &[f64]) -> Vec<f64> {
        match self {
            Self::Softmax => {
                let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let powers: Vec<f64> = scores.iter().map(|s| (s - top).exp()).collect();
                let sum: f64 = powers.iter().sum();
                powers.into_iter().map(|power| power / sum).collect()
            }
            Self::Sigmoid => scores.iter().map(|s| 1.0 / (1.0 + (-s).exp())).collect(),
        }
    }
}

/// The places of the `most` largest values in falling order, the first of equals first.
pub fn largest(values: &[f64], most: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    order.truncate(most);
    order
}

/// Of `chosen` places the `most` whose values have the largest magnitude, rising; all where there
/// are no more.
pub fn strongest(values: &[f64], chosen: &[usize], most: usize) -> Vec<usize> {
    let magnitude = |&place: &usize| values.get(place).map_or(0.0, |v| v.abs());
    let mut places = chosen.to_vec();
    places.sort_by(|a, b| magnitude(b).total_cmp(&magnitude(a)));
    places.truncate(most);
    places.sort_unstable();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_finite_and_add_up() {
        let p = Link::Softmax.probabilities(&[1000.0, 1000.0 - 3f64.ln(), -1e300]);
        assert!((p[0] - 0.75).abs() < 1e-12 && (p[1] - 0.25).abs() < 1e-12 && p[2] == 0.0);
        assert_eq!(Link::Sigmoid.probabilities(&[0.0, 1e6, -1e6]), [0.5, 1.0, 0.0]);
        assert!(Link::Softmax.probabilities(&[]).is_empty());
    }

    #[test]
    fn the_largest_come_first_and_the_first_of_equals_before_the_others() {
        assert_eq!(largest(&[1.0, 3.0, -2.0, 3.0], 3), [1, 3, 0]);
        assert_eq!(largest(&[1.0], 5), [0]);
    }

    #[test]
    fn the_strongest_are_told_in_their_own_order() {
        let values = [1.0, -5.0, 3.0, 0.0, 4.0];
        assert_eq!(strongest(&values, &[0, 1, 2, 3], 2), [1, 2]);
        assert_eq!(strongest(&values, &[4, 3], 9), [3, 4]);
    }
}
