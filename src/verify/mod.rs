//! The promises of the method, measured on an augmented model.
//!
//! The model is run in the engine of choice, and every comparison is made in doubles. An error is
//! relative to the magnitudes that went into the comparison, so that cancellation is judged fairly;
//! what is not a number is infinitely wrong.

mod feed;
mod lines;
mod near;
mod patterns;
mod promises;
mod region;
mod report;
mod steps;
mod subject;

pub use feed::{EXTENT, Feeder, Inputs, Runner, Samples};
pub use report::{Outcome, Promise, Report, Row};
pub use subject::Subject;

use std::collections::HashMap;

use crate::engine::{Array, Setup};
use crate::error::{Error, Result};
use crate::graph::Model;
use crate::noise::Noise;
use feed::{Outputs, samples};
use promises::Rows;
use report::Tally;
use subject::{Layer, Neurons, is_added};

/// How many neurons are asked of a layer whose neurons are given at run time.
const GIVEN: usize = 4;

/// How many samples are run at once, where the model takes any number.
const TOGETHER: usize = 2;

/// What [`verify`] is given beside the model.
#[derive(Clone, Debug, Default)]
pub struct Settings<'a> {
    /// Samples of the projected input; standard normal numbers if none.
    pub data: Option<&'a dyn Samples>,
    /// The most samples used.
    pub samples: usize,
    /// The extents of symbolic axes; [`EXTENT`] for those not named.
    pub sizes: &'a [(String, usize)],
    /// The model that the augmented one was made from.
    pub source: Option<&'a Model>,
    /// The engine that runs the models.
    pub engine: Setup,
}

/// Measures every promise of an augmented model.
///
/// # Errors
/// When the model is not augmented, the data does not fit it, or the engine refuses it.
pub fn verify(model: &Model, settings: &Settings<'_>) -> Result<Report> {
    let subject = Subject::read(model)?;
    let cut = subject.cut()?;
    let runner = |model: &Model| Runner::new(model, &settings.engine);
    let mut check = Check {
        augmented: runner(model)?,
        base: runner(&cut)?,
        source: settings.source.map(runner).transpose()?,
        tallies: subject.layers.iter().map(|_| Tally::default()).collect(),
        kept: vec![steps::Kept::default(); subject.layers.len()],
        whole: Tally::default(),
        given: HashMap::new(),
        subject,
        settings,
    };
    let samples = check.run()?;
    Ok(Report { rows: check.rows(), samples })
}

struct Check<'a> {
    subject: Subject<'a>,
    settings: &'a Settings<'a>,
    augmented: Runner,
    base: Runner,
    source: Option<Runner>,
    tallies: Vec<Tally>,
    kept: Vec<steps::Kept>,
    whole: Tally,
    /// The neurons given to layers that take them at run time.
    given: HashMap<String, Vec<usize>>,
}

impl Check<'_> {
    fn run(&mut self) -> Result<usize> {
        let (subject, settings) = (&self.subject, self.settings);
        let feeder =
            Feeder::new(&subject.model.graph, subject.input, subject.batch, settings.sizes);
        let made: Array;
        let data: &dyn Samples = match settings.data {
            Some(data) => data,
            None => {
                made = feeder.noise(settings.samples, &mut Noise::new(0))?.into();
                &made
            }
        };
        let (free, size) = (feeder.is_free()?, feeder.size(settings.samples.clamp(1, TOGETHER))?);
        let count = data.count().min(settings.samples);
        // An empty array is read too, which is refused there.
        for (index, start) in (0..count.max(1)).step_by(size).enumerate() {
            let part = data.read(start, size.min(count - start))?;
            let run = feeder.batches(&part, size)?.pop();
            let (inputs, real) = run.ok_or_else(|| Error::internal("samples without a run"))?;
            let inputs = self.with_neurons(inputs)?;
            let added = self.one_run(&inputs)?;
            if index == 0 {
                self.steps(&inputs, &added)?;
                self.slopes(&inputs, &added)?;
                self.regions(&inputs, &added)?;
            }
            if free && real > 1 {
                self.batch(&inputs, &added, real)?;
            }
        }
        Ok(count)
    }

    fn name(&self) -> String {
        self.subject.model.graph.value(self.subject.input).name.clone()
    }

    /// `inputs` with neurons for the layers that take them.
    fn with_neurons(&mut self, mut inputs: Inputs) -> Result<Inputs> {
        for layer in &self.subject.layers {
            if !matches!(layer.neurons, Neurons::Runtime) {
                continue;
            }
            if !self.given.contains_key(&layer.alias) {
                let own = outputs(self.base.run(&inputs)?);
                let size = match own.get(&layer.value) {
                    Some(array) => samples(array, self.subject.batch).first().map_or(0, Vec::len),
                    None => 0,
                };
                let count = GIVEN.min(size);
                let spread = (0..count).map(|i| i * size.saturating_sub(1) / count.max(2));
                self.given.insert(layer.alias.clone(), spread.collect());
            }
            let given = self.given.get(&layer.alias).map_or(&[][..], Vec::as_slice);
            let array: ndarray::Array1<i64> = given.iter().map(|&n| n as i64).collect();
            inputs.push((layer.name("neurons"), array.into()));
        }
        Ok(inputs)
    }

    fn given(&self, layer: &Layer) -> Vec<usize> {
        self.given.get(&layer.alias).cloned().unwrap_or_default()
    }

    /// The identities of one run; gives what the augmented model gave.
    fn one_run(&mut self, inputs: &Inputs) -> Result<Outputs> {
        let added = outputs(self.augmented.run(inputs)?);
        let own = outputs(self.base.run(inputs)?);
        let given = |graph: &crate::graph::Graph| {
            let names = graph.outputs.iter().map(|&id| graph.value(id).name.clone());
            names.filter(|name| !is_added(name)).collect::<Vec<_>>()
        };
        for name in given(&self.subject.model.graph) {
            compare(&added, &own, &name, Promise::Outputs, &mut self.whole);
        }
        if let (Some(source), Some(model)) = (&mut self.source, self.settings.source) {
            let theirs = outputs(source.run(inputs)?);
            for name in given(&model.graph) {
                compare(&added, &theirs, &name, Promise::Source, &mut self.whole);
            }
        }
        let name = self.name();
        let x = steps::projected(inputs, &name)?;
        for (layer, tally) in self.subject.layers.iter().zip(&mut self.tallies) {
            let rows = Rows::new(&added, layer, x, self.subject.batch);
            rows.measure(tally);
            patterns::measure(&rows, tally);
            let values = own.get(&layer.value).unwrap_or(x);
            let given = self.given.get(&layer.alias).cloned().unwrap_or_default();
            rows.compare_own(&samples(values, self.subject.batch), &rows.neurons(&given), tally);
        }
        Ok(added)
    }

    /// Every sample of a batch again on its own.
    fn batch(&mut self, inputs: &Inputs, added: &Outputs, count: usize) -> Result<()> {
        let name = self.name();
        let x = steps::projected(inputs, &name)?;
        let feeder = Feeder::new(
            &self.subject.model.graph,
            self.subject.input,
            self.subject.batch,
            self.settings.sizes,
        );
        let graph = &self.subject.model.graph;
        let names: Vec<String> =
            graph.outputs.iter().map(|&id| graph.value(id).name.clone()).collect();
        let names: Vec<String> = names.into_iter().filter(|name| is_added(name)).collect();
        let axis = ndarray::Axis(self.subject.batch.unwrap_or(0));
        for place in 0..count {
            let sample =
                x.to_f64().index_axis(axis, place).insert_axis(ndarray::Axis(0)).to_owned();
            let runs = feeder.batches(&sample.into(), 1)?;
            for (inputs, _) in runs {
                let inputs = self.with_neurons(inputs)?;
                let alone = outputs(self.augmented.run(&inputs)?);
                for (layer, tally) in self.subject.layers.iter().zip(&mut self.tallies) {
                    let prefix = layer.name("");
                    let own: Vec<String> =
                        names.iter().filter(|name| name.starts_with(&prefix)).cloned().collect();
                    steps::compare_batch(&own, added, &alone, place, tally);
                }
            }
        }
        Ok(())
    }
}

fn outputs(list: Vec<(String, Array)>) -> Outputs {
    list.into_iter().collect()
}

/// Compares one output of two runs.
fn compare(a: &Outputs, b: &Outputs, name: &str, promise: Promise, tally: &mut Tally) {
    let (Some(a), Some(b)) = (a.get(name), b.get(name)) else {
        return tally.see(promise, f64::NAN, 1.0);
    };
    if a.shape() != b.shape() {
        return tally.see(promise, f64::NAN, 1.0);
    }
    let (a, b) = (a.to_f64(), b.to_f64());
    let largest = b.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    // Outputs that are no numbers on both sides are the model's own.
    let apart = |a: f64, b: f64| if a == b || (a.is_nan() && b.is_nan()) { 0.0 } else { a - b };
    tally.see(promise, 0.0, 1.0);
    a.iter().zip(&b).for_each(|(&a, &b)| tally.see(promise, apart(a, b), largest));
}

#[cfg(test)]
mod tests;
