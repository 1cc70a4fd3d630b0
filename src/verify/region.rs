//! What the radius promises: no step that is shorter changes the state.

use super::feed::{Inputs, Outputs, samples};
use super::report::Promise;
use super::steps::{self, Along};
use super::subject::Layer;
use super::{Check, outputs};
use crate::error::Result;
use crate::noise::Noise;

/// The directions that are stepped into.
const DIRECTIONS: [Along; 6] =
    [Along::All, Along::Few, Along::All, Along::Few, Along::All, Along::Itself];
/// The length of a step, of the radius.
const WITHIN: f64 = 0.9;
/// The least radius, of the input's own length, at which a step is more than rounding.
const LEAST: f64 = 1e-4;

impl Check<'_> {
    /// Steps that stay within the radius of each sample.
    pub(super) fn regions(&mut self, inputs: &Inputs, before: &Outputs) -> Result<()> {
        let mut noise = Noise::new(4);
        for index in 0..self.subject.layers.len() {
            // Half precision rounds steps away.
            let coarse = self.subject.layers.get(index).is_some_and(|l| self.dtype(l).bits() < 32);
            let Some((radius, state)) = self.region(index, before).filter(|_| !coarse) else {
                continue;
            };
            for along in DIRECTIONS {
                let name = self.name();
                let x = steps::projected(inputs, &name)?;
                let way = steps::direction(x, along, &mut noise);
                let (change, tried) =
                    self.within(x.shape(), &samples(x, self.subject.batch), &way, &radius);
                let moved = steps::stepped(inputs, &name, &change, 1.0)?;
                let after = outputs(self.augmented.run(&moved)?);
                let Some((_, other)) = self.region(index, &after) else { continue };
                let pairs = state.iter().zip(&other).zip(tried);
                for ((old, new), _) in pairs.filter(|(_, tried)| *tried) {
                    let switched = old.iter().zip(new).filter(|(a, b)| a != b).count();
                    self.tallies[index].see(Promise::Region, switched as f64, 1.0);
                }
            }
        }
        Ok(())
    }

    /// Radius and state by sample, where both were emitted.
    fn region(&self, index: usize, run: &Outputs) -> Option<(Vec<f64>, Vec<Vec<f64>>)> {
        let layer: &Layer = self.subject.layers.get(index)?;
        let first = self.subject.batch.map(|_| 0);
        let radius = run.get(&layer.name("radius"))?.to_f64().iter().copied().collect();
        Some((radius, samples(run.get(&layer.name("state"))?, first)))
    }

    /// The way, each sample's part as long as [`WITHIN`] its radius, or as the sample where that is
    /// infinite; and for which samples there is such a step.
    fn within(
        &self,
        shape: &[usize],
        x: &[Vec<f64>],
        way: &[f64],
        radius: &[f64],
    ) -> (Vec<f64>, Vec<bool>) {
        let axis = self.subject.batch.filter(|&axis| axis < shape.len());
        let inner = axis.map_or(1, |axis| shape[axis + 1..].iter().product::<usize>().max(1));
        let count = axis.map_or(1, |axis| shape[axis].max(1));
        let own = |place: usize| if axis.is_some() { place / inner % count } else { 0 };
        let mut squares = vec![0.0; count];
        way.iter().enumerate().for_each(|(place, w)| squares[own(place)] += w * w);
        let length = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
        let factor: Vec<f64> = (0..count)
            .map(|sample| {
                let size = x.get(sample).map_or(0.0, |x| length(x));
                let radius = radius.get(sample).copied().unwrap_or(0.0);
                let step = if radius == f64::INFINITY { size } else { WITHIN * radius };
                let fits = step >= LEAST * size && squares[sample] > 0.0;
                if fits { step / squares[sample].sqrt() } else { 0.0 }
            })
            .collect();
        let change = way.iter().enumerate().map(|(place, w)| w * factor[own(place)]).collect();
        (change, factor.iter().map(|&factor| factor > 0.0).collect())
    }
}
