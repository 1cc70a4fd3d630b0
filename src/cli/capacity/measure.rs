//! The representational power of the layers of one model, sample by sample.

use indicatif::ProgressBar;

use super::Capacity;
use crate::analyse::{Chosen, Decomposition, Moments, Power, Stream, Summary, Windows};
use crate::cli::probe::{Probe, Request};
use crate::cli::stats::windows;
use crate::cli::study::{Study, layer_request, progress};
use crate::cli::sweep::{Piece, Sweep};
use crate::compile::LayerRequest;
use crate::compile::plan::bytes;
use crate::compile::project::Quantity;
use crate::compile::select::{self, Choice};
use crate::error::{Error, Result};
use crate::graph::{Graph, ValueId};

/// One layer over the data set.
pub struct Line {
    /// Its name.
    pub layer: String,
    /// The number of its neurons that were looked at.
    pub neurons: usize,
    /// The number of input components.
    pub components: usize,
    /// R_γ
    pub patterns: Summary,
    /// R_γ / min(d, M)
    pub proportion: Summary,
    /// How many singular values differ from 0.
    pub rank: Summary,
    /// exp of the entropy of the normalised singular values.
    pub entropy_rank: Summary,
}

/// Measures the layers asked for, all of them by default.
///
/// # Errors
/// When a layer is unknown, cannot be projected, or does not fit into the memory.
pub fn layers(asked: &Capacity, study: &Study) -> Result<Vec<Line>> {
    let graph = &study.prepared.graph;
    let requests: Vec<LayerRequest> = if asked.layer.is_empty() {
        let input = select::input(graph, asked.common.input.as_deref())?;
        let path = select::path(graph, &graph.topological()?, input);
        let name = |value| graph.value(value).name.clone();
        let all = select::layers(graph, &path).into_iter();
        all.map(|layer| LayerRequest { alias: None, what: name(layer.value) }).collect()
    } else {
        asked.layer.iter().map(|text| layer_request(graph, text)).collect()
    };
    let bar = progress(asked.common.printing, requests.len() * study.count());
    let mut lines: Vec<Line> = Vec::new();
    let mut requests = requests.into_iter().peekable();
    while let Some(request) = requests.next() {
        let sweep = Sweep::new(study, &asked.common, request, asked.neurons.as_ref())?.by_place();
        let pooled = match asked.neurons {
            None => Pooling::behind(asked, study, &sweep)?,
            Some(_) => None,
        };
        let pooled = pooled
            .filter(|pooled| pooled.windows.input.iter().product::<usize>() == sweep.neurons)
            .filter(|pooled| requests.next_if(|next| next.what == pooled.output).is_some());
        lines.extend(measure(asked, study, sweep, pooled, &bar)?);
    }
    bar.finish_and_clear();
    Ok(lines)
}

/// The max pooling that a layer enters, as it is or through its Relu.
///
/// What leaves it is projected like the winners of its windows, or not at all where they are
/// inactive, so that it needs no runs of its own.
struct Pooling {
    output: String,
    entering: String,
    rectified: bool,
    windows: Windows,
    probe: Probe,
}

impl Pooling {
    fn behind(asked: &Capacity, study: &Study, sweep: &Sweep) -> Result<Option<Self>> {
        let graph = &study.prepared.graph;
        let find = |layer| select::pooled(graph, layer).map_err(|e| study.at(e));
        let Some(layer) = graph.find(&sweep.layer) else { return Ok(None) };
        let Some(pooled) = find(layer)? else { return Ok(None) };
        let rectified = pooled.input != layer;
        if rectified && !is_relu(graph, layer, pooled.input) {
            return Ok(None);
        }
        let name = |value| graph.value(value).name.clone();
        let entering = name(pooled.input);
        let request = Request {
            input: asked.common.input.as_deref(),
            batch: asked.common.batch,
            layers: vec![LayerRequest { alias: None, what: entering.clone() }],
            neurons: Choice::All,
            emit: &[Quantity::Activity],
            direction: None,
        };
        let (probe, windows) = (Probe::new(study, &request)?, windows(&pooled));
        Ok(Some(Self { output: name(pooled.output), entering, rectified, windows, probe }))
    }

    /// How often each neuron wins at a sample, where it is let through.
    fn winners(&mut self, study: &Study, sample: usize) -> Result<Vec<usize>> {
        let outputs = self.probe.run(&study.samples(sample, 1)?, None).map_err(|e| study.at(e))?;
        let outputs = outputs.first().ok_or_else(|| Error::internal("an empty run"))?;
        let values = outputs.activity(&self.entering, 0)?;
        let mut wins = vec![0; values.len()];
        for winner in self.windows.winners(&values).into_iter().flatten() {
            if values[winner] > 0.0 || !self.rectified {
                wins[winner] += 1;
            }
        }
        Ok(wins)
    }
}

fn is_relu(graph: &Graph, from: ValueId, to: ValueId) -> bool {
    let nodes = graph.consumers(from).into_iter().map(|id| graph.node(id));
    nodes.filter(|node| node.output(0) == Some(to)).any(|n| n.is_standard() && n.op == "Relu")
}

/// A layer while its samples are run.
struct Measured {
    layer: String,
    neurons: usize,
    components: usize,
    stream: Stream,
    moments: [Moments; 4],
}

impl Measured {
    fn new(study: &Study, layer: &str, neurons: usize, components: usize) -> Result<Self> {
        let need = Stream::bytes(neurons, components);
        if need > study.memory {
            return Err(study.at(Error::request(format!(
                "the Gram matrix of {neurons} neurons over {components} components needs {}, more \
                 than --memory {}",
                bytes(need),
                bytes(study.memory)
            ))
            .value(layer)
            .help(format!(
                "--neurons takes up to {} in this memory, and --memory {need} all of them",
                Stream::most_neurons(study.memory)
            ))));
        }
        let (layer, stream) = (layer.to_owned(), Stream::new(neurons, components));
        Ok(Self { layer, neurons, components, stream, moments: Default::default() })
    }

    /// Takes in neurons of a sample, and the sample where they are the last ones.
    fn add(&mut self, neurons: &dyn Decomposition, last: bool, gamma: f64) -> Result<()> {
        self.stream.add(neurons)?;
        if last {
            let power = Power::of(&self.stream.spectrum()?, gamma)?;
            let (patterns, rank) = (power.patterns as f64, power.rank as f64);
            let values = [patterns, power.proportion, rank, power.entropy_rank];
            self.moments.iter_mut().zip(values).for_each(|(moments, value)| moments.add(value));
            self.stream = Stream::new(self.neurons, self.components);
        }
        Ok(())
    }

    fn line(self) -> Line {
        let Self { layer, neurons, components, moments, .. } = self;
        let [patterns, proportion, rank, entropy_rank] = moments.map(|m| m.summary());
        Line { layer, neurons, components, patterns, proportion, rank, entropy_rank }
    }
}

/// Measures a layer, and the pooling behind it.
fn measure(
    asked: &Capacity,
    study: &Study,
    mut sweep: Sweep,
    mut pooling: Option<Pooling>,
    bar: &ProgressBar,
) -> Result<Vec<Line>> {
    let components = sweep.components();
    let mut own = Measured::new(study, &sweep.layer, sweep.neurons, components)?;
    let mut pooled = match &pooling {
        Some(it) => Some(Measured::new(study, &it.output, it.windows.count(), components)?),
        None => None,
    };
    let mut wins: Option<(usize, Vec<usize>)> = None;
    sweep.each_sample(study, |Piece { sample, numbers, rows, last }| {
        let at = |layer: &str, e: Error| study.at(e.value(layer));
        let icds = rows.icds().map_err(|e| at(&own.layer, e))?;
        own.add(&*icds, last, asked.gamma).map_err(|e| at(&own.layer, e))?;
        if let Some((pooling, pooled)) = pooling.as_mut().zip(pooled.as_mut()) {
            if wins.as_ref().is_none_or(|(of, _)| *of != sample) {
                wins = Some((sample, pooling.winners(study, sample)?));
            }
            let wins = wins.as_ref().map_or(&[][..], |(_, wins)| wins);
            let often = |number: i64| wins.get(number as usize).copied().unwrap_or(0);
            let places = numbers.iter().enumerate();
            let neurons = places.flat_map(|(place, &n)| (0..often(n)).map(move |_| place));
            let won = Chosen { all: &*icds, neurons: neurons.collect() };
            pooled.add(&won, last, asked.gamma).map_err(|e| at(&pooled.layer, e))?;
            bar.inc(last.into());
        }
        bar.inc(last.into());
        Ok(())
    })?;
    Ok([Some(own), pooled].into_iter().flatten().map(Measured::line).collect())
}
