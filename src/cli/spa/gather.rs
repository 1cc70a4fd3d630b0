//! Weights and activities of one sample's neurons, over all layers asked for.

use ndarray::{Array1, Array2, ArrayView1, Axis, concatenate};

use crate::analyse::{MeanWeights, Windows, along, contrast, noisy, wins};
use crate::cli::probe::{Probe, Request};
use crate::cli::stats::windows;
use crate::cli::study::{Common, Study, layer_request};
use crate::cli::sweep::Sweep;
use crate::compile::LayerRequest;
use crate::compile::project::Quantity;
use crate::compile::select::{self, Choice};
use crate::engine::Array;
use crate::error::{Error, Result};
use crate::noise::Noise;

/// Inputs over which weights are averaged.
#[derive(Clone, Copy, Debug)]
pub enum Averaged {
    /// On the way from zeros to the sample.
    Path {
        /// How many.
        steps: usize,
    },
    /// Around the sample.
    Noise {
        /// How many.
        draws: usize,
        /// The standard deviation.
        sd: f64,
        /// The seed; each sample has its own that follows from it.
        seed: u64,
    },
}

/// The neurons of all layers at one sample.
pub struct Gathered {
    /// v, `[M]`
    pub activity: Array1<f64>,
    /// ŵ or its mean, `[M, d]`
    pub weights: Array2<f64>,
    /// Whether each neuron wins a window of the max pooling that follows; true where none does.
    pub wins: Vec<bool>,
    /// The flat numbers within the layers.
    pub numbers: Vec<i64>,
}

/// One layer.
struct Source {
    sweep: Sweep,
    pooling: Option<(Probe, String, Windows)>,
}

/// Gathers sample by sample.
pub struct Gatherer {
    sources: Vec<Source>,
}

impl Gatherer {
    /// A gatherer of the neurons `choice` of every layer.
    ///
    /// # Errors
    /// When a layer is unknown or cannot be projected.
    pub fn new(study: &Study, common: &Common, layers: &[String], choice: &Choice) -> Result<Self> {
        let source = |text: &String| {
            let request = layer_request(&study.prepared.graph, text);
            let sweep = Sweep::new(study, common, request, Some(choice))?;
            let pooling = pooling(study, common, &sweep.layer)?;
            Ok(Source { sweep, pooling })
        };
        let sources = layers.iter().map(source).collect::<Result<Vec<_>>>()?;
        Ok(Self { sources })
    }

    /// The number of neurons of a sample.
    pub fn neurons(&self) -> usize {
        self.sources.iter().map(|source| source.sweep.neurons).sum()
    }

    /// The extents of a sample of the input.
    pub fn input(&self) -> &[usize] {
        self.sources.first().map_or(&[], |source| &source.sweep.input)
    }

    /// The neurons at one sample.
    ///
    /// # Errors
    /// When a run fails.
    pub fn gather(
        &mut self,
        study: &Study,
        sample: usize,
        averaged: Option<Averaged>,
    ) -> Result<Gathered> {
        let data = study.samples(sample, 1)?;
        let (mut activity, mut weights, mut won) = (Vec::new(), Vec::new(), Vec::new());
        let mut numbers = Vec::new();
        for source in &mut self.sources {
            let first = numbers.len();
            source.sweep.each(study, &data, |piece| {
                activity.extend(piece.rows.activity());
                weights.push(piece.rows.weights());
                numbers.extend(piece.numbers);
                Ok(())
            })?;
            let here = &numbers[first..];
            match &mut source.pooling {
                None => won.extend(here.iter().map(|_| true)),
                Some((probe, alias, windows)) => {
                    let outputs = probe.run(&data, None).map_err(|e| study.at(e))?;
                    let outputs = outputs.first().ok_or_else(|| Error::internal("an empty run"))?;
                    let entering = outputs.activity(alias, 0)?;
                    let all = wins(&windows.winners(&entering), entering.len());
                    let win = |n: &i64| usize::try_from(*n).ok().and_then(|n| all.get(n));
                    won.extend(here.iter().map(|n| win(n) == Some(&true)));
                }
            }
        }
        let weights = match averaged {
            Some(averaged) => vec![self.mean(study, sample, averaged, numbers.len())?],
            None => weights,
        };
        let views: Vec<_> = weights.iter().map(|rows| rows.view()).collect();
        let weights = concatenate(Axis(0), &views).map_err(|e| Error::internal(e.to_string()))?;
        Ok(Gathered { activity: activity.into(), weights, wins: won, numbers })
    }

    /// The mean weights of all layers' neurons around a sample.
    fn mean(
        &mut self,
        study: &Study,
        sample: usize,
        averaged: Averaged,
        neurons: usize,
    ) -> Result<Array2<f64>> {
        let x = Array1::from_iter(study.sample(sample)?);
        let zeros = Array1::zeros(x.len());
        let inputs = match averaged {
            Averaged::Path { steps } => along(zeros.view(), x.view(), steps),
            Averaged::Noise { draws, sd, seed } => {
                noisy(x.view(), sd, draws, &mut Noise::new(seed.wrapping_add(sample as u64)))
            }
        };
        let mut mean = MeanWeights::new(neurons, x.len());
        for input in inputs.rows() {
            let data = self.shaped(input)?;
            let mut rows = Vec::new();
            for source in &mut self.sources {
                if source.sweep.has_own_neurons() {
                    return Err(Error::request("the neurons top:K differ from input to input")
                        .help("average over named neurons, or all"));
                }
                source.sweep.each(study, &data, |piece| {
                    rows.push(piece.rows.weights());
                    Ok(())
                })?;
            }
            let views: Vec<_> = rows.iter().map(|rows| rows.view()).collect();
            let rows = concatenate(Axis(0), &views).map_err(|e| Error::internal(e.to_string()))?;
            mean.add(rows.view())?;
        }
        Ok(mean.mean())
    }

    /// A flat input as the only sample.
    fn shaped(&self, input: ArrayView1<'_, f64>) -> Result<Array> {
        let mut shape = vec![1];
        shape.extend(self.input());
        let shaped = input.to_owned().into_shape_with_order(shape);
        shaped.map(Array::F64).map_err(|e| Error::internal(e.to_string()))
    }
}

/// What tells the winners of the max pooling behind a layer.
fn pooling(
    study: &Study,
    common: &Common,
    layer: &str,
) -> Result<Option<(Probe, String, Windows)>> {
    let graph = &study.prepared.graph;
    let Some(value) = graph.find(layer) else { return Ok(None) };
    let Some(pooled) = select::pooled(graph, value).map_err(|e| study.at(e))? else {
        return Ok(None);
    };
    let name = graph.value(pooled.input).name.clone();
    let request = Request {
        input: common.input.as_deref(),
        batch: common.batch,
        layers: vec![LayerRequest { alias: None, what: name.clone() }],
        neurons: Choice::All,
        emit: &[Quantity::Activity],
        direction: None,
    };
    Ok(Some((Probe::new(study, &request)?, name, windows(&pooled))))
}

impl Gathered {
    /// The differences of pairs of neurons, as neurons of their own; they are numbered by the first.
    ///
    /// # Errors
    /// When a neuron was not gathered.
    pub fn contrasts(&self, pairs: &[[usize; 2]]) -> Result<Self> {
        let place = |number: usize| {
            let found = self.numbers.iter().position(|&n| usize::try_from(n) == Ok(number));
            found.ok_or_else(|| Error::internal(format!("neuron {number} was not run")))
        };
        let (mut rows, mut activity, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        for &[a, b] in pairs {
            let places = [place(a)?, place(b)?];
            let (row, v) = contrast(self.weights.view(), self.activity.view(), places);
            rows.push(row);
            activity.extend(v);
            numbers.push(self.numbers[places[0]]);
        }
        let views: Vec<_> = rows.iter().map(|row| row.view()).collect();
        let weights = concatenate(Axis(0), &views).map_err(|e| Error::internal(e.to_string()))?;
        let wins = vec![true; numbers.len()];
        Ok(Self { activity: activity.into(), weights, wins, numbers })
    }
}
