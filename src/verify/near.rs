//! What the augmented model promises near an input: steps that keep the state, and slopes.

use super::feed::{Inputs, Outputs, samples};
use super::promises::Rows;
use super::report::{Promise, Tally};
use super::steps::{self, Along};
use super::{Check, outputs};
use crate::error::Result;
use crate::noise::Noise;

/// The directions that are stepped into.
const DIRECTIONS: [Along; 6] =
    [Along::All, Along::Few, Along::Itself, Along::All, Along::Few, Along::Itself];

impl Check<'_> {
    /// Steps in several directions, of falling size until every row has kept its state.
    pub(super) fn steps(&mut self, inputs: &Inputs, before: &Outputs) -> Result<()> {
        let name = self.name();
        let x = steps::projected(inputs, &name)?;
        let mut noise = Noise::new(2);
        for along in DIRECTIONS {
            let way = steps::direction(x, along, &mut noise);
            for size in steps::STEPS {
                let change: Vec<f64> = way.iter().map(|v| v * size).collect();
                let moved = steps::stepped(inputs, &name, &change, 1.0)?;
                let after = outputs(self.augmented.run(&moved)?);
                let new_x = steps::projected(&moved, &name)?;
                let mut all = true;
                for (index, layer) in self.subject.layers.iter().enumerate() {
                    let given = self.given(layer);
                    let old = Rows::new(before, layer, x, self.subject.batch);
                    let new = Rows::new(&after, layer, new_x, self.subject.batch);
                    let same = steps::same_neurons(&old, &new, &given);
                    let tolerance = Promise::Projection.bound(self.dtype(layer));
                    let mut ignored = Tally::default();
                    let tally = if layer.exact { &mut self.tallies[index] } else { &mut ignored };
                    let seen = steps::predict(&old, &new, &same, tolerance, tally);
                    self.kept[index].tried += seen.tried;
                    self.kept[index].kept += seen.kept;
                    all &= seen.kept == seen.tried || !layer.exact;
                }
                if all {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Differences of the layers' own values, central and to either side. The best direction and size of
    /// step counts for each row: an input may lie near a kink, and then only one side has the slope, or on
    /// one, as the ties of a blank background do, and then only directions that keep it there have.
    pub(super) fn slopes(&mut self, inputs: &Inputs, added: &Outputs) -> Result<()> {
        let x = steps::projected(inputs, &self.name())?;
        let mut noise = Noise::new(3);
        let mut best: Vec<Vec<Option<f64>>> = vec![Vec::new(); self.subject.layers.len()];
        for along in [Along::All, Along::Itself] {
            let way = steps::direction(x, along, &mut noise);
            for size in steps::SLOPES {
                let change: Vec<f64> = way.iter().map(|v| v * size).collect();
                for (best, errors) in best.iter_mut().zip(self.slope(inputs, added, &change)?) {
                    best.resize(errors.len(), None);
                    for (best, error) in best.iter_mut().zip(errors) {
                        *best = match (*best, error) {
                            (Some(a), Some(b)) => Some(a.min(b)),
                            (a, b) => a.or(b),
                        };
                    }
                }
            }
        }
        let types: Vec<_> = self.subject.layers.iter().map(|layer| self.dtype(layer)).collect();
        for ((tally, errors), dtype) in self.tallies.iter_mut().zip(best).zip(types) {
            if dtype.bits() < 32 {
                continue;
            }
            errors.into_iter().flatten().for_each(|e| tally.see(Promise::Slope, e, 1.0));
        }
        Ok(())
    }

    /// By layer and row, the error of the weights as slopes between the inputs changed by −`change`
    /// and by `change`.
    fn slope(
        &mut self,
        inputs: &Inputs,
        added: &Outputs,
        change: &[f64],
    ) -> Result<Vec<Vec<Option<f64>>>> {
        let (name, batch) = (self.name(), self.subject.batch);
        let x = steps::projected(inputs, &name)?;
        let mut ends = Vec::new();
        for sign in [-1.0, 1.0] {
            let moved = steps::stepped(inputs, &name, change, sign)?;
            let own = outputs(self.base.run(&moved)?);
            let x = samples(steps::projected(&moved, &name)?, batch);
            ends.push((x, own));
        }
        let layers = self.subject.layers.iter().map(|layer| {
            let rows = Rows::new(added, layer, x, batch);
            let neurons = rows.neurons(&self.given(layer));
            let values = |(x, own): &(Samples, Outputs)| match own.get(&layer.value) {
                Some(array) => (x.clone(), samples(array, batch)),
                None => (x.clone(), x.clone()),
            };
            slope_errors(&rows, &neurons, &values(&ends[0]), &values(&ends[1]))
        });
        Ok(layers.collect())
    }
}

type Samples = Vec<Vec<f64>>;

/// By row, the error of the weights as slopes between two ends, each the inputs and the layer's
/// values by sample, or between one of them and the middle.
fn slope_errors(
    rows: &Rows<'_>,
    neurons: &[Vec<usize>],
    (low, low_own): &(Samples, Samples),
    (high, high_own): &(Samples, Samples),
) -> Vec<Option<f64>> {
    let mut errors = Vec::new();
    for (sample, chosen) in neurons.iter().enumerate() {
        for (place, &neuron) in chosen.iter().enumerate() {
            let row = sample * chosen.len() + place;
            let at = |own: &Samples| own.get(sample).and_then(|own| own.get(neuron)).copied();
            let low = at(low_own).map(|v| (low[sample].as_slice(), v));
            let high = at(high_own).map(|v| (high[sample].as_slice(), v));
            let middle = rows.activity(row).map(|v| (rows.input(row), v));
            let pairs = [low.zip(high), low.zip(middle), middle.zip(high)];
            let w = rows.map("weights", row);
            let error =
                |((a, low), (b, high))| steps::slope_error(w.as_ref()?, a, b, (high - low) / 2.0);
            errors.push(pairs.into_iter().flatten().filter_map(error).reduce(f64::min));
        }
    }
    errors
}
