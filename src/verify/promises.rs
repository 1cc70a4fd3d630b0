//! The identities of one layer, measured on what one run gave.

use super::feed::{Outputs, floats, samples};
use super::report::{Promise, Tally};
use super::subject::{Layer, Neurons};
use crate::engine::Array;
use crate::graph::DataType;

/// What a run gave for one layer. A row is a neuron of a sample.
pub struct Rows<'a> {
    outputs: &'a Outputs,
    /// The layer.
    pub layer: &'a Layer,
    /// The samples of the input, flattened.
    pub x: Vec<Vec<f64>>,
    /// The number of rows of each sample.
    pub per_sample: usize,
    activity: Option<Vec<f64>>,
    bias: Option<Vec<f64>>,
}

/// Σ aᵢbᵢ and Σ |aᵢbᵢ|.
pub fn dot(a: &[f64], b: &[f64]) -> (f64, f64) {
    a.iter().zip(b).fold((0.0, 0.0), |(sum, size), (a, b)| (sum + a * b, size + (a * b).abs()))
}

impl<'a> Rows<'a> {
    /// The rows of `layer`, given the projected input and the axis of its samples.
    pub fn new(outputs: &'a Outputs, layer: &'a Layer, x: &Array, batch: Option<usize>) -> Self {
        let x = samples(x, batch);
        let all = |q: &str| outputs.get(&layer.name(q)).map(|a| floats(a, 0, a.len()));
        let mut rows =
            Self { outputs, layer, per_sample: 0, activity: all("activity"), bias: all("bias"), x };
        rows.per_sample = rows.count() / rows.x.len().max(1);
        rows
    }

    /// The number of rows.
    pub fn count(&self) -> usize {
        let scalars = self.activity.as_ref().or(self.bias.as_ref()).map(Vec::len);
        let size = self.x.first().map_or(1, Vec::len).max(1);
        let maps = ["weights", "centre", "icd"].into_iter().find_map(|q| self.get(q));
        scalars.or(maps.map(|a| a.len() / size)).unwrap_or(0)
    }

    /// The output of that quantity.
    pub fn get(&self, quantity: &str) -> Option<&'a Array> {
        self.outputs.get(&self.layer.name(quantity))
    }

    /// The input of row `r`.
    pub fn input(&self, r: usize) -> &[f64] {
        self.x.get(r / self.per_sample.max(1)).map_or(&[], Vec::as_slice)
    }

    /// The map `quantity` of row `r`.
    pub fn map(&self, quantity: &str, r: usize) -> Option<Vec<f64>> {
        let size = self.x.first().map_or(0, Vec::len);
        self.get(quantity).map(|array| floats(array, r * size, size))
    }

    /// The activity of row `r`.
    pub fn activity(&self, r: usize) -> Option<f64> {
        self.activity.as_ref()?.get(r).copied()
    }

    /// The bias of row `r`.
    pub fn bias(&self, r: usize) -> Option<f64> {
        self.bias.as_ref()?.get(r).copied()
    }

    /// The flat numbers of the neurons of each sample; `given` are those of the input `neurons`.
    pub fn neurons(&self, given: &[usize]) -> Vec<Vec<usize>> {
        let same = |list: Vec<usize>| vec![list; self.x.len()];
        match &self.layer.neurons {
            Neurons::All => same((0..self.per_sample).collect()),
            Neurons::List(list) => same(list.clone()),
            Neurons::Runtime => same(given.to_vec()),
            Neurons::Top => match self.get("neurons") {
                None => Vec::new(),
                Some(array) => floats(array, 0, array.len())
                    .chunks(self.per_sample.max(1))
                    .map(|row| row.iter().map(|&n| n as usize).collect())
                    .collect(),
            },
        }
    }

    /// Measures what concerns one run alone.
    pub fn measure(&self, tally: &mut Tally) {
        for r in 0..self.count() {
            tally.rows += 1;
            let weights = self.map("weights", r);
            if weights.as_ref().is_some_and(|w| self.is_zero(w)) {
                tally.unattributed += 1;
            }
            self.measure_row(r, weights.as_deref(), tally);
        }
    }

    /// Whether weights count as zero: they are, or are below the smallest normal number.
    fn is_zero(&self, weights: &[f64]) -> bool {
        let least = match self.get("weights").map(Array::dtype) {
            Some(DataType::F32) => f32::MIN_POSITIVE.into(),
            Some(DataType::F64) => f64::MIN_POSITIVE,
            _ => 0.0,
        };
        weights.iter().all(|w| *w == 0.0 || w.abs() < least)
    }

    fn measure_row(&self, r: usize, weights: Option<&[f64]>, tally: &mut Tally) {
        let x = self.input(r);
        if let (Some(v), Some(w), Some(b)) = (self.activity(r), weights, self.bias(r)) {
            let (sum, size) = dot(x, w);
            tally.see(Promise::Projection, v - (sum + b), v.abs() + size + b.abs());
        }
        if let (Some(v), Some(w), Some(c)) = (self.activity(r), weights, self.map("centre", r)) {
            centre(x, if self.is_zero(w) { None } else { Some((v, w)) }, &c, tally);
        }
        if let (Some(v), Some(icd)) = (self.activity(r), self.map("icd", r)) {
            match weights.is_some_and(|w| self.is_zero(w)) {
                true => icd.iter().for_each(|&nu| tally.see(Promise::Decomposition, nu, 0.0)),
                false => tally.see(Promise::Decomposition, icd.iter().sum::<f64>() - v, v),
            }
        }
        if let (Some(terms), Some(b)) = (self.get("bias-terms"), self.bias(r)) {
            let count = terms.shape().last().copied().unwrap_or(0);
            let terms = floats(terms, r * count, count);
            let size: f64 = terms.iter().map(|t| t.abs()).sum();
            tally.see(Promise::BiasTerms, terms.iter().sum::<f64>() - b, size + b.abs());
        }
    }

    /// Compares the activity with the layer's own values, by sample.
    pub fn compare_own(&self, own: &[Vec<f64>], neurons: &[Vec<usize>], tally: &mut Tally) {
        for (sample, (own, chosen)) in own.iter().zip(neurons).enumerate() {
            let largest = own.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            for (place, &neuron) in chosen.iter().enumerate() {
                let Some(v) = self.activity(sample * self.per_sample + place) else { continue };
                let value = own.get(neuron).copied().unwrap_or(f64::NAN);
                tally.see(Promise::Activity, v - value, largest);
            }
            if matches!(self.layer.neurons, Neurons::Top) {
                self.compare_order(sample, own, chosen, largest, tally);
            }
        }
    }

    /// The chosen neurons are the largest of all, in falling order.
    fn compare_order(
        &self,
        sample: usize,
        own: &[f64],
        chosen: &[usize],
        largest: f64,
        tally: &mut Tally,
    ) {
        let mut sorted = own.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        for place in 0..chosen.len() {
            let Some(v) = self.activity(sample * self.per_sample + place) else { continue };
            let best = sorted.get(place).copied().unwrap_or(f64::NAN);
            tally.see(Promise::Activity, v - best, largest);
        }
    }
}

/// (x − ĉ)·ŵ = v; where ŵ = 0 the centre is x itself.
fn centre(x: &[f64], row: Option<(f64, &[f64])>, c: &[f64], tally: &mut Tally) {
    let Some((v, w)) = row else {
        x.iter().zip(c).for_each(|(x, c)| tally.see(Promise::Centre, x - c, 0.0));
        return;
    };
    let (xw, x_size) = dot(x, w);
    let (cw, c_size) = dot(c, w);
    tally.see(Promise::Centre, xw - cw - v, v.abs() + x_size + c_size);
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, array};

    use super::*;
    use crate::verify::report::Outcome;

    fn layer() -> Layer {
        let (alias, value) = ("l".to_owned(), "l".to_owned());
        Layer { alias, value, exact: true, neurons: Neurons::All, gamma: Some(0.9) }
    }

    /// x = (1, 2); two neurons of ŵ = (3, −1) with b̂ = 4 and of ŵ = 0 with b̂ = 7.
    fn outputs() -> Outputs {
        let q = |v: f64| v * 5.0;
        let list: [(&str, ArrayD<f64>); 6] = [
            ("activity", array![[5.0, 7.0]].into_dyn()),
            ("weights", array![[[3.0, -1.0], [0.0, 0.0]]].into_dyn()),
            ("bias", array![[4.0, 7.0]].into_dyn()),
            ("centre", array![[[1.0 - 1.5, 2.0 + 0.5], [1.0, 2.0]]].into_dyn()),
            ("icd", array![[[q(0.9), q(0.1)], [0.0, 0.0]]].into_dyn()),
            ("bias-terms", array![[[1.0, 3.0], [9.0, -2.0]]].into_dyn()),
        ];
        list.into_iter().map(|(name, a)| (format!("slp/l/{name}"), a.into())).collect()
    }

    fn worst(outputs: &Outputs, promise: Promise) -> f64 {
        let layer = layer();
        let mut tally = Tally::default();
        let x = array![[1.0, 2.0]].into_dyn().into();
        Rows::new(outputs, &layer, &x, Some(0)).measure(&mut tally);
        assert_eq!((tally.rows, tally.unattributed), (2, 1));
        match tally.outcome(promise, DataType::F64) {
            Some(Outcome::Measured { worst, .. }) => worst,
            other => panic!("{other:?}"),
        }
    }

    const ALL: [Promise; 4] =
        [Promise::Projection, Promise::Centre, Promise::Decomposition, Promise::BiasTerms];

    #[test]
    fn what_is_right_has_no_error() {
        for promise in ALL {
            assert!(worst(&outputs(), promise) < 1e-15, "{promise:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_seen() {
        let cases = [
            (Promise::Projection, "bias"),
            (Promise::Centre, "centre"),
            (Promise::Decomposition, "icd"),
            (Promise::BiasTerms, "bias-terms"),
        ];
        for (promise, quantity) in cases {
            for wrong in [1.001, f64::NAN] {
                let mut outputs = outputs();
                let array = outputs.get_mut(&format!("slp/l/{quantity}")).unwrap();
                *array = array.to_f64().mapv(|v| v * wrong).into();
                assert!(worst(&outputs, promise) > 1e-5, "{promise:?} {wrong}");
            }
        }
    }

    #[test]
    fn a_row_without_weights_must_have_its_input_as_centre() {
        let mut outputs = outputs();
        let mut centre = outputs["slp/l/centre"].to_f64();
        centre[[0, 1, 0]] += 1e-12;
        outputs.insert("slp/l/centre".into(), centre.into());
        assert_eq!(worst(&outputs, Promise::Centre), f64::INFINITY);
    }

    #[test]
    fn the_activity_is_compared_with_the_layer() {
        let (outputs, layer) = (outputs(), layer());
        let x = array![[1.0, 2.0]].into_dyn().into();
        let rows = Rows::new(&outputs, &layer, &x, Some(0));
        for (own, error) in [([5.0, 7.0], 0.0), ([5.0, 8.0], 0.125)] {
            let mut tally = Tally::default();
            rows.compare_own(&[own.to_vec()], &rows.neurons(&[]), &mut tally);
            let bound = Promise::Activity.bound(DataType::F64);
            let outcome = tally.outcome(Promise::Activity, DataType::F64);
            assert_eq!(outcome, Some(Outcome::Measured { worst: error, bound }));
        }
    }
}
