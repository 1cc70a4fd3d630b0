//! The maps of the input that methods of explanation give for one neuron, to be compared (figure 8).

use std::fmt;

use ndarray::{Array1, Array2, ArrayView1, Axis};

use super::icd::icd;
use super::spa::Spa;
use crate::error::Result;

/// How many patterns are compared.
const PATTERNS: usize = 3;

/// A method of explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// ν̂
    Icd,
    /// u_j: the pattern of the jth largest singular value of the layer, counted from 1.
    Pattern(usize),
    /// μ_i: the pattern of the ith largest share in the neuron, with the sign of the share.
    Narrow(usize),
    /// ŵ
    Weights,
    /// x ⊙ ŵ
    InputWeights,
    /// (x − x₀) ⊙ the mean of ŵ along the way from the baseline x₀.
    Integrated,
    /// |ŵ|
    Magnitude,
    /// x, which does not depend on the model: what a method that ignores the model scores.
    Input,
}

impl Method {
    /// All of them, as figure 8 orders them.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::Icd];
        all.extend((1..=PATTERNS).map(Self::Pattern));
        all.extend((1..=PATTERNS).map(Self::Narrow));
        all.extend([Self::Weights, Self::InputWeights, Self::Integrated]);
        all.extend([Self::Magnitude, Self::Input]);
        all
    }

    /// Whether the sign of its maps is a convention, so that |ρ| is what counts.
    pub fn is_unsigned(self) -> bool {
        matches!(self, Self::Pattern(_))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |n: usize| char::from_u32(0x2080 + n as u32).unwrap_or('?');
        match self {
            Self::Icd => f.write_str("ν̂"),
            Self::Pattern(j) => write!(f, "u{}", digit(*j)),
            Self::Narrow(i) => write!(f, "μ{}", digit(*i)),
            Self::Weights => f.write_str("ŵ"),
            Self::InputWeights => f.write_str("x⊙ŵ"),
            Self::Integrated => f.write_str("IG"),
            Self::Magnitude => f.write_str("|ŵ|"),
            Self::Input => f.write_str("x"),
        }
    }
}

/// A neuron of a layer at one input, with what its maps are made of.
pub struct Explained {
    x: Array1<f64>,
    weights: Array1<f64>,
    icd: Array1<f64>,
    integrated: Array1<f64>,
    spa: Spa,
    neuron: usize,
}

impl Explained {
    /// The neuron at place `neuron` of a layer with `weights` `[M, d]` and `activity` `[M]` at the
    /// input `x`; `along` holds its weights at inputs on the way from `baseline` to x, `[steps, d]`.
    ///
    /// # Errors
    /// When a value is not finite.
    pub fn new(
        x: Array1<f64>,
        (weights, activity): (&Array2<f64>, ArrayView1<'_, f64>),
        neuron: usize,
        (along, baseline): (&Array2<f64>, ArrayView1<'_, f64>),
    ) -> Result<Self> {
        let v = icd(weights.view(), activity)?;
        let spa = Spa::of(&v.view(), usize::MAX)?;
        let mean = along.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(x.len()));
        let row = |rows: &Array2<f64>| {
            rows.outer_iter().nth(neuron).map_or_else(|| Array1::zeros(x.len()), |r| r.to_owned())
        };
        Ok(Self {
            weights: row(weights),
            icd: row(&v),
            integrated: (&x - &baseline) * mean,
            spa,
            neuron,
            x,
        })
    }

    /// The map of a method; `None` where the layer has fewer patterns.
    pub fn map(&self, method: Method) -> Option<Array1<f64>> {
        match method {
            Method::Icd => Some(self.icd.clone()),
            Method::Pattern(j) => {
                self.spa.patterns.outer_iter().nth(j.checked_sub(1)?).map(|u| u.to_owned())
            }
            Method::Narrow(i) => self.spa.mu(self.neuron, i.checked_sub(1)?),
            Method::Weights => Some(self.weights.clone()),
            Method::InputWeights => Some(&self.x * &self.weights),
            Method::Integrated => Some(self.integrated.clone()),
            Method::Magnitude => Some(self.weights.mapv(f64::abs)),
            Method::Input => Some(self.x.clone()),
        }
    }
}

/// The place of the largest value, the first of equals; none of nothing.
pub fn winner(values: impl IntoIterator<Item = f64>) -> Option<usize> {
    let best = |best: Option<(usize, f64)>, (place, value): (usize, f64)| match best {
        Some((_, largest)) if value <= largest => best,
        _ => Some((place, value)),
    };
    values.into_iter().enumerate().fold(None, best).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn explained() -> Explained {
        let weights = array![[1.0, -2.0], [0.0, 3.0]];
        let along = array![[1.0, 1.0], [3.0, -1.0]];
        let x = array![2.0, 1.0];
        let baseline = array![1.0, 1.0];
        Explained::new(x, (&weights, array![5.0, 1.0].view()), 0, (&along, baseline.view()))
            .unwrap()
    }

    #[test]
    fn every_method_gives_its_map() {
        let explained = explained();
        let cases = [
            (Method::Icd, array![1.0, 4.0]),
            (Method::Weights, array![1.0, -2.0]),
            (Method::InputWeights, array![2.0, -2.0]),
            (Method::Integrated, array![2.0, 0.0]),
            (Method::Magnitude, array![1.0, 2.0]),
            (Method::Input, array![2.0, 1.0]),
        ];
        for (method, expected) in cases {
            assert_eq!(explained.map(method).unwrap(), expected, "{method}");
        }
        assert!(explained.map(Method::Pattern(1)).unwrap().iter().all(|&u| u > 0.0));
        assert!(explained.map(Method::Narrow(2)).is_some());
        assert_eq!(explained.map(Method::Pattern(3)), None);
        assert_eq!(explained.map(Method::Pattern(0)), None);
    }

    #[test]
    fn methods_have_short_names() {
        let names: Vec<String> = Method::all().iter().map(Method::to_string).collect();
        assert_eq!(names.join(" "), "ν̂ u₁ u₂ u₃ μ₁ μ₂ μ₃ ŵ x⊙ŵ IG |ŵ| x");
    }

    #[test]
    fn the_first_of_the_largest_wins() {
        assert_eq!(winner([1.0, 3.0, 3.0]), Some(1));
        assert_eq!(winner([]), None);
    }
}
