//! What was measured, against what was promised.

use std::collections::BTreeMap;

use crate::graph::DataType;

/// A promise of an augmented model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// The model's outputs are what they are without what was added.
    Outputs,
    /// The model's outputs are those of the model it was made from.
    Source,
    /// The activity is the layer's own value.
    Activity,
    /// v = x·ŵ + b̂, b̂ accumulated along the network.
    Projection,
    /// (x − ĉ)·ŵ = v.
    Centre,
    /// Σν̂ = v.
    Decomposition,
    /// The parts of the bias sum to it.
    BiasTerms,
    /// The patterns are orthonormal, and α are the coordinates of ν̂ in them.
    Patterns,
    /// s are the largest singular values of V.
    Singular,
    /// R_γ patterns hold γ of the singular values, and no fewer do.
    Power,
    /// v(x + δ) = (x + δ)·ŵ + b̂ where the step δ changes no state.
    Step,
    /// δ·ŵ is the slope of v, by central differences.
    Slope,
    /// No step shorter than the radius changes the state.
    Region,
    /// A batch gives what its samples give one by one.
    Batch,
}

impl Promise {
    /// The promise in mathematical terms.
    pub fn statement(self) -> &'static str {
        match self {
            Self::Outputs => "outputs unchanged",
            Self::Source => "outputs as in the source model",
            Self::Activity => "v is the layer's own value",
            Self::Projection => "v = x·ŵ + b̂",
            Self::Centre => "(x − ĉ)·ŵ = v",
            Self::Decomposition => "Σν̂ = v",
            Self::BiasTerms => "Σ bias terms = b̂",
            Self::Patterns => "u·u' = 0 or 1, ν̂·u = α",
            Self::Singular => "s = singular values of V",
            Self::Power => "R patterns hold γ of Σs",
            Self::Step => "v(x+δ) = (x+δ)·ŵ + b̂, same state",
            Self::Slope => "δ·ŵ = slope of v",
            Self::Region => "|δ| < radius: same state",
            Self::Batch => "a batch equals its samples",
        }
    }

    /// The largest error that counts as rounding in a model of element type `dtype`.
    pub fn bound(self, dtype: DataType) -> f64 {
        // The rounding of the type, and how many of them may add up: sums are made in single
        // precision at least, so that half precision shows in single roundings only.
        let (unit, many) = match dtype {
            DataType::F16 => (9.8e-4, 8.0),
            DataType::BF16 => (7.8e-3, 8.0),
            DataType::F64 => (2.2e-16, 64.0),
            _ => (1.2e-7, 64.0),
        };
        match self {
            // A norm is summed over all components of the input.
            Self::Decomposition if many > 8.0 => 8.0 * many * unit,
            // Sums over the whole of V.
            Self::Patterns | Self::Singular | Self::Power => 8.0 * many * unit,
            Self::Batch => 16.0 * many * unit,
            // A difference that spans kinks of the network is no derivative.
            Self::Slope => 0.1,
            _ => many * unit,
        }
    }
}

/// How a promise was kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The worst error, relative to the magnitudes that went into the comparison, and its bound.
    Measured {
        /// The worst error; infinite where something was not a number.
        worst: f64,
        /// The largest error that counts as rounding.
        bound: f64,
    },
    /// A quantity that it is about was not emitted.
    NotEmitted,
    /// It does not apply here, as the note says.
    NotMeasured,
}

/// One line of a [`Report`].
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The layer's alias; empty where the promise is about the whole model.
    pub layer: String,
    /// The promise.
    pub promise: Promise,
    /// How it was kept.
    pub outcome: Outcome,
    /// What else there is to say.
    pub note: String,
}

impl Row {
    /// Whether the promise was not broken.
    pub fn is_ok(&self) -> bool {
        match self.outcome {
            Outcome::Measured { worst, bound } => worst <= bound,
            _ => true,
        }
    }
}

/// The promises, measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// A row for each promise and layer.
    pub rows: Vec<Row>,
    /// The number of input samples used.
    pub samples: usize,
}

impl Report {
    /// Whether no promise was broken.
    pub fn is_ok(&self) -> bool {
        self.rows.iter().all(Row::is_ok)
    }
}

/// The worst errors so far, by promise.
#[derive(Debug, Default)]
pub struct Tally {
    worst: BTreeMap<Promise, f64>,
    /// Rows seen.
    pub rows: usize,
    /// Rows whose weights are all zero: the activity is all bias.
    pub unattributed: usize,
}

impl Tally {
    /// Takes note of a `difference` that is to be judged by `scale`. What is not a number counts as
    /// infinitely wrong.
    pub fn see(&mut self, promise: Promise, difference: f64, scale: f64) {
        let error = if difference == 0.0 { 0.0 } else { difference.abs() / scale.abs() };
        let error = if error.is_nan() { f64::INFINITY } else { error };
        let worst = self.worst.entry(promise).or_insert(0.0);
        *worst = worst.max(error);
    }

    /// The outcome of a promise, `None` where nothing was seen of it.
    pub fn outcome(&self, promise: Promise, dtype: DataType) -> Option<Outcome> {
        let bound = promise.bound(dtype);
        self.worst.get(&promise).map(|&worst| Outcome::Measured { worst, bound })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_fails() {
        for (difference, scale) in
            [(f64::NAN, 1.0), (1.0, f64::NAN), (1.0, 0.0), (f64::INFINITY, 1.0)]
        {
            let mut tally = Tally::default();
            tally.see(Promise::Centre, difference, scale);
            tally.see(Promise::Centre, 0.0, 1.0);
            let outcome = tally.outcome(Promise::Centre, DataType::F32).unwrap();
            let row = Row {
                layer: String::new(),
                promise: Promise::Centre,
                outcome,
                note: String::new(),
            };
            assert!(!row.is_ok(), "{difference} {scale}");
        }
    }

    #[test]
    fn the_worst_is_kept() {
        let mut tally = Tally::default();
        for difference in [0.0, -4e-6, 1e-6] {
            tally.see(Promise::Step, difference, 2.0);
        }
        let Some(Outcome::Measured { worst, .. }) = tally.outcome(Promise::Step, DataType::F32)
        else {
            panic!("nothing measured")
        };
        assert_eq!(worst, 2e-6);
        assert_eq!(tally.outcome(Promise::Batch, DataType::F32), None);
    }
}
