//! `slpc stats`: the switched states of a network over a data set.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::probe::{Outputs, Probe, Request};
use super::study::{Common, Study, progress, tell, write_csv};
use super::terminal::table;
use crate::analyse::{Census, Moments, State, Summary, Windows, wins};
use crate::compile::LayerRequest;
use crate::compile::plan::bytes;
use crate::compile::project::Quantity;
use crate::compile::select::{self, Choice};
use crate::error::{Error, Result};
use crate::files::write_whole;

mod radius;

/// The most samples whose states are kept and compared pair by pair where no file of distances is
/// asked for: pairs grow with the square.
const COMPARED: usize = 2000;

/// Count what is switched off, over a data set: inactive shares, dead neurons, states.
///
/// A neuron is inactive where v ≤ 0; "idle" also counts those that win no window of the max
/// pooling that follows. Layers are those that a non-linearity follows. Where Relu and max pooling
/// are all that bends, two inputs share a linear region if and only if their state hashes are equal.
#[derive(Args, Debug)]
pub struct Stats {
    /// The model
    model: PathBuf,
    /// Also the exact radius of the linear region around each sample (of piecewise linear models):
    /// all hidden rows of the Jacobian are computed, so mind the time
    #[arg(long)]
    radius: bool,
    /// Write the table of layers as comma-separated values
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the Hamming distance of every pair of samples as comma-separated values; without it
    /// only the first 2000 samples are compared
    #[arg(long, value_name = "FILE")]
    distances: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// A layer that is counted.
struct Counted {
    name: String,
    /// Which of the poolings it enters, if it enters one.
    pooling: Option<usize>,
    census: Census,
}

/// A max pooling.
struct Pooling {
    /// The name of the value that enters it.
    input: String,
    windows: Windows,
}

/// Everything that is found.
struct Found {
    layers: Vec<Counted>,
    poolings: Vec<Pooling>,
    inactive: Summary,
    idle: Summary,
    /// Of every sample.
    hashes: Vec<String>,
    /// Of the samples that are compared.
    states: Vec<State>,
    /// The Hamming distance in neurons over all pairs of them, and the least.
    distance: (Summary, Option<usize>),
    radii: Option<Vec<radius::Radius>>,
}

impl Stats {
    /// Counts, and prints and writes what was found.
    ///
    /// # Errors
    /// When a file cannot be read or written, or the request cannot be met.
    pub fn run(&self) -> Result<()> {
        let study = self.common.study(&self.model)?;
        let found = self.count(&study)?;
        if let Some(path) = &self.csv {
            write_csv(path, &rows(&found, true))?;
        }
        if let Some(path) = &self.distances {
            write_pairs(path, &found.states)?;
        }
        let text = format!("{}\n{}", table(&rows(&found, false)), summary(&found));
        tell(self.common.printing, &as_json(&found), &text)
    }

    fn count(&self, study: &Study) -> Result<Found> {
        let (mut layers, poolings) = self.layers(study).map_err(|e| study.at(e))?;
        let mut requests: Vec<LayerRequest> = Vec::new();
        for value in layers.iter().map(|l| &l.name).chain(poolings.iter().map(|p| &p.input)) {
            if requests.iter().all(|request| request.what != *value) {
                requests.push(LayerRequest { alias: None, what: value.clone() });
            }
        }
        if requests.is_empty() {
            return Err(study.at(Error::request("nothing in this model is switched")));
        }
        let mut probe = Probe::new(
            study,
            &Request {
                input: self.common.input.as_deref(),
                batch: self.common.batch,
                layers: requests,
                neurons: Choice::All,
                emit: &[Quantity::Activity],
                direction: None,
            },
        )?;
        let bar = progress(self.common.printing, study.count());
        let (mut inactive, mut idle) = (Moments::default(), Moments::default());
        let (mut states, mut hashes) = (Vec::new(), Vec::new());
        let compared = if self.distances.is_some() { usize::MAX } else { COMPARED };
        let at_once = if probe.is_free()? { 16 } else { 1 };
        for start in (0..study.count()).step_by(at_once) {
            let data = study.samples(start, at_once.min(study.count() - start))?;
            for outputs in probe.run(&data, None).map_err(|e| study.at(e))? {
                for sample in 0..outputs.samples {
                    let (state, off, out) = observe(&mut layers, &poolings, &outputs, sample)?;
                    hashes.push(state.hash());
                    if states.is_empty() {
                        check_memory(study, &state, compared.min(study.count()))?;
                    }
                    if states.len() < compared {
                        states.push(state);
                    }
                    inactive.add(off);
                    idle.add(out);
                    bar.inc(1);
                }
            }
        }
        bar.finish_and_clear();
        let radii = match self.radius {
            true => Some(radius::radii(study, &self.common, &layers, &poolings)?),
            false => None,
        };
        let (inactive, idle) = (inactive.summary(), idle.summary());
        let distance = distances(&states);
        Ok(Found { layers, poolings, inactive, idle, hashes, states, distance, radii })
    }

    /// The layers that a non-linearity follows, and all max poolings.
    fn layers(&self, study: &Study) -> Result<(Vec<Counted>, Vec<Pooling>)> {
        let graph = &study.prepared.graph;
        let input = select::input(graph, self.common.input.as_deref())?;
        let path = select::path(graph, &graph.topological()?, input);
        let logits = select::logits(graph, &path).ok().map(|(value, _)| value);
        let pooled = select::poolings(graph, &path)?;
        let mut counted = Vec::new();
        for layer in select::layers(graph, &path) {
            if layer.activation.is_none() || Some(layer.value) == logits {
                continue;
            }
            let name = graph.value(layer.value).name.clone();
            let next = select::pooled(graph, layer.value)?;
            let pooling = next.and_then(|next| pooled.iter().position(|p| *p == next));
            counted.push(Counted { name, pooling, census: Census::default() });
        }
        let pooling = |p: &select::Pooled| Pooling {
            input: graph.value(p.input).name.clone(),
            windows: windows(p),
        };
        Ok((counted, pooled.iter().map(pooling).collect()))
    }
}

/// The windows of a pooling; its extents are positive.
pub fn windows(pooled: &select::Pooled) -> Windows {
    let sizes = |list: &[i64]| list.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
    Windows {
        kernel: sizes(&pooled.kernel),
        strides: sizes(&pooled.strides),
        dilations: sizes(&pooled.dilations),
        begin: sizes(&pooled.begin),
        input: sizes(&pooled.entering),
        output: sizes(&pooled.leaving),
    }
}

/// Takes one sample into every census; gives its state and the shares of all neurons that are
/// inactive and idle.
fn observe(
    layers: &mut [Counted],
    poolings: &[Pooling],
    outputs: &Outputs,
    sample: usize,
) -> Result<(State, f64, f64)> {
    let mut state = State::default();
    let mut winners = Vec::new();
    for pooling in poolings {
        let entering = outputs.activity(&pooling.input, sample)?;
        let won = pooling.windows.winners(&entering);
        state.push_winners(&won);
        winners.push(wins(&won, entering.len()));
    }
    let (mut values, mut winning) = (Vec::new(), Vec::new());
    for layer in layers {
        let v = outputs.activity(&layer.name, sample)?;
        let won = layer.pooling.and_then(|index| winners.get(index));
        state.push_layer(&v);
        layer.census.add(&v, won.map(Vec::as_slice));
        winning.extend(won.cloned().unwrap_or_else(|| vec![true; v.len()]));
        values.extend(v);
    }
    let mut all = Census::default();
    all.add(&values, Some(&winning));
    Ok((state, all.inactive().mean, all.idle().mean))
}

/// Refuses more states than fit into the memory, all as large as `state`.
fn check_memory(study: &Study, state: &State, count: usize) -> Result<()> {
    let need = (state.bytes() as u64).saturating_mul(count as u64);
    if need <= study.memory {
        return Ok(());
    }
    Err(study.at(Error::request(format!(
        "the states of {count} samples take {}, more than --memory {}",
        bytes(need),
        bytes(study.memory)
    ))
    .help(format!(
        "--limit {} would fit, or --memory {need}",
        study.memory / state.bytes().max(1) as u64
    ))))
}

/// The Hamming distances of all pairs: first and second sample, neurons, windows.
fn pairs(states: &[State]) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    states.iter().enumerate().flat_map(move |(a, first)| {
        states.iter().enumerate().skip(a + 1).map(move |(b, second)| {
            let (neurons, windows) = first.distance(second);
            (a, b, neurons, windows)
        })
    })
}

fn write_pairs(path: &Path, states: &[State]) -> Result<()> {
    write_whole(path, |file| {
        writeln!(file, "first,second,neurons,windows")?;
        pairs(states).try_for_each(|(a, b, n, w)| writeln!(file, "{a},{b},{n},{w}"))
    })
}

fn rows(found: &Found, plain: bool) -> Vec<Vec<String>> {
    let head: &[&str] = match plain {
        true => &[
            "layer",
            "neurons",
            "n",
            "inactive",
            "inactive_sd",
            "idle",
            "idle_sd",
            "dead",
            "always_on",
        ],
        false => &["layer", "neurons", "inactive", "idle", "dead", "always on"],
    };
    let share = |s: Summary| match plain {
        true => vec![s.mean.to_string(), s.sd.to_string()],
        false => vec![format!("{:.4} ± {:.4}", s.mean, s.sd)],
    };
    let mut rows = vec![head.iter().map(|&h| h.to_owned()).collect::<Vec<_>>()];
    let mut push = |name: &str, counts: [usize; 3], inactive: Summary, idle: Summary| {
        let mut row = vec![name.to_owned(), counts[0].to_string()];
        if plain {
            row.push(inactive.n.to_string());
        }
        row.extend(share(inactive));
        row.extend(share(idle));
        row.extend([counts[1].to_string(), counts[2].to_string()]);
        rows.push(row);
    };
    let mut sums = [0; 3];
    for layer in &found.layers {
        let census = &layer.census;
        let counts = [census.neurons(), census.dead(), census.always_on()];
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        push(&layer.name, counts, census.inactive(), census.idle());
    }
    push("all", sums, found.inactive, found.idle);
    rows
}

/// How many different states there are.
fn distinct(hashes: &[String]) -> usize {
    hashes.iter().collect::<std::collections::HashSet<_>>().len()
}

fn distances(states: &[State]) -> (Summary, Option<usize>) {
    let (mut moments, mut least) = (Moments::default(), None);
    for (_, _, neurons, _) in pairs(states) {
        moments.add(neurons as f64);
        least = Some(least.map_or(neurons, |least: usize| least.min(neurons)));
    }
    (moments.summary(), least)
}

fn summary(found: &Found) -> String {
    let (distance, least) = &found.distance;
    let neurons = found.states.first().map_or(0, State::neurons);
    let count = found.hashes.len();
    let mut text = format!("{count} samples in {} linear regions\n", distinct(&found.hashes));
    if let Some(least) = least {
        let of = match found.states.len() {
            all if all == count => String::new(),
            compared => format!(" of the first {compared}"),
        };
        text.push_str(&format!(
            "Hamming distance of two samples{of}: {:.1} ± {:.1} of {neurons} neurons, at least {least}\n",
            distance.mean, distance.sd
        ));
    }
    if let Some(radii) = &found.radii {
        text.push_str(&radius::summary(radii));
    }
    text
}

fn as_json(found: &Found) -> Value {
    let layer = |layer: &Counted| {
        let census = &layer.census;
        json!({
            "layer": layer.name,
            "neurons": census.neurons(),
            "pooled": layer.pooling.is_some(),
            "inactive": census.inactive(),
            "idle": census.idle(),
            "dead": census.dead(),
            "always_on": census.always_on(),
        })
    };
    let (distance, least) = &found.distance;
    let mut value = json!({
        "samples": found.hashes.len(),
        "poolings": found.poolings.iter().map(|p| p.input.as_str()).collect::<Vec<_>>(),
        "layers": found.layers.iter().map(layer).collect::<Vec<_>>(),
        "inactive": found.inactive,
        "idle": found.idle,
        "regions": distinct(&found.hashes),
        "states": found.hashes,
        "compared": found.states.len(),
        "distance": distance,
        "least_distance": least,
    });
    if let (Some(radii), Some(object)) = (&found.radii, value.as_object_mut()) {
        object.insert("radii".to_owned(), radius::as_json(radii));
    }
    value
}
