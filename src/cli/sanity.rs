//! `slpc sanity`: do explanations depend on what a model has learnt (figure 8)?

mod maps;
mod report;

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::study::{Common, Study, progress, tell, write_csv};
use super::terminal::table;
use crate::analyse::Method;
use crate::analyse::correlation::{Tally, rank_correlation};
use crate::compile::randomise::{Holder, holders, randomise};
use crate::error::{Error, Result};
use crate::graph::Model;
use crate::render::chart;
use maps::{Explainer, Ranks};

/// Correlate the explanations of models with each other: Spearman's ρ of the maps that each method
/// gives for the same neuron and sample, the first model against every other.
///
/// The neuron is each model's own winner of a sample, as an explanation of its prediction; with
/// --neuron first, the first model's winner in all. ν̂ has the sign of v: where a neuron that wins in
/// one model is negative in another, their ν̂ are opposed. Channels are summed with their signs. u₁ to u₃ are the patterns of the whole layer, also compared by |ρ| since their sign is a
/// convention; μ₁ to μ₃ those of largest share in the neuron. IG starts from zeros. x is the input
/// itself. Constant maps are left out and counted.
#[derive(Args, Debug)]
pub struct Sanity {
    /// The models, all of the same input and layer; the first is compared with every other
    #[arg(required = true, value_name = "[LABEL=]MODEL")]
    models: Vec<String>,
    /// Compare the only model with itself after its parameters were shuffled, node by node
    #[arg(long, value_name = "ORDER")]
    randomise: Option<Order>,
    /// The seed of the shuffling; every node has its own that follows from it
    #[arg(long, value_name = "N", default_value_t = 0, requires = "randomise")]
    seed: u64,
    /// The layer whose neurons are explained, as for slpc transform [default: logits]
    #[arg(long, value_name = "WHAT", default_value = "logits")]
    layer: String,
    /// The neuron that is explained: each model's own winner, the first model's, or a flat number
    #[arg(long, value_name = "own|first|N", default_value = "own")]
    neuron: Neuron,
    /// The steps of integrated gradients
    #[arg(long, value_name = "N", default_value_t = 32)]
    steps: usize,
    /// Write the table as comma-separated values
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write a chart of the correlations: .svg or .png
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// The order in which parameters are shuffled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Order {
    /// From the output to the input, each step keeping those before it
    TopDown,
    /// From the input to the output, each step keeping those before it
    BottomUp,
    /// One node at a time, the others as they were
    Independent,
}

/// The neuron that is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Neuron {
    Own,
    First,
    Number(usize),
}

impl FromStr for Neuron {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "own" => Ok(Self::Own),
            "first" => Ok(Self::First),
            _ => text.parse().map(Self::Number).map_err(|_| {
                Error::request(format!("'{text}' is no neuron"))
                    .help("write own, first, or a flat number")
            }),
        }
    }
}

impl Neuron {
    /// The neuron to explain where that does not depend on the model.
    fn named(self, winner_of_first: Option<usize>) -> Option<usize> {
        match self {
            Self::Own => None,
            Self::First => winner_of_first,
            Self::Number(number) => Some(number),
        }
    }
}

/// The correlations of one model with the first.
pub struct Comparison {
    /// What the other model is called.
    pub label: String,
    /// By method: ρ, and |ρ|.
    pub tallies: Vec<(Method, Tally, Tally)>,
}

impl Sanity {
    /// Compares, and prints and writes what was found.
    ///
    /// # Errors
    /// When a file cannot be read or written, the models do not fit together, or a run fails.
    pub fn run(&self) -> Result<()> {
        if self.steps == 0 {
            return Err(Error::request("--steps is at least 1"));
        }
        chart::check(self.chart.as_deref())?;
        let (first, rest) = match self.models.split_first() {
            Some((first, rest)) if rest.is_empty() != self.randomise.is_none() => (first, rest),
            _ if self.randomise.is_some() => {
                return Err(Error::request("--randomise compares one model with itself")
                    .help("name one model, or leave out --randomise"));
            }
            _ => {
                return Err(Error::request("there is nothing to compare the model with")
                    .help("name a second model, or --randomise top-down"));
            }
        };
        let (label, study) = self.common.labelled_study(first)?;
        let compared = match self.randomise {
            Some(order) => self.cascade(&study, order)?,
            None => self.others(&study, rest)?,
        };
        if let Some(path) = &self.csv {
            write_csv(path, &report::rows(&compared, true))?;
        }
        if let Some(path) = &self.chart {
            report::chart(&label, study.count(), &compared, self.randomise.is_some())
                .write(path)?;
        }
        let json = report::as_json(&label, study.count(), &compared);
        tell(self.common.printing, &json, &table(&report::rows(&compared, false)))
    }

    fn others(&self, study: &Study, names: &[String]) -> Result<Vec<Comparison>> {
        let others = names.iter().map(|text| self.common.labelled_study(text));
        let others = others.collect::<Result<Vec<_>>>()?;
        let models = others.iter().map(|(label, other)| Ok((label.clone(), other.model.clone())));
        self.compare(study, others.len(), models)
    }

    /// The model against itself, with one more node shuffled at each step.
    fn cascade(&self, study: &Study, order: Order) -> Result<Vec<Comparison>> {
        let nodes: Vec<Holder> = holders(&study.model.graph).map_err(|e| study.at(e))?;
        if nodes.is_empty() {
            return Err(study.at(Error::request("the model holds no parameters to shuffle")));
        }
        let count = nodes.len();
        let steps = (0..count).map(|step| {
            let (place, changed): (usize, Vec<usize>) = match order {
                Order::TopDown => (count - 1 - step, (count - 1 - step..count).collect()),
                Order::BottomUp => (step, (0..=step).collect()),
                Order::Independent => (step, vec![step]),
            };
            let model = randomise(&study.model, &nodes, &changed, self.seed);
            Ok((nodes[place].name.clone(), model.map_err(|e| study.at(e))?))
        });
        self.compare(study, count, steps)
    }

    fn compare(
        &self,
        study: &Study,
        count: usize,
        models: impl Iterator<Item = Result<(String, Model)>>,
    ) -> Result<Vec<Comparison>> {
        let printing = self.common.printing;
        let bar = progress(printing, study.count() * (count + 1));
        let mut first = Explainer::new(study, &self.common, &study.model, &self.layer, self.steps)?;
        first.check_memory(study)?;
        let count = first.shape().1;
        if let Neuron::Number(number) = self.neuron
            && number >= count
        {
            return Err(study.at(Error::request(format!(
                "there is no neuron {number} in a layer of {count}, numbered from 0"
            ))));
        }
        let (mut neurons, mut wanted): (Vec<usize>, Vec<Ranks>) = (Vec::new(), Vec::new());
        for sample in 0..study.count() {
            let (neuron, ranks) = first.explain(study, sample, self.neuron.named(None))?;
            neurons.push(neuron);
            wanted.push(ranks);
            bar.inc(1);
        }
        let shape = first.shape();
        drop(first);
        let mut compared = Vec::new();
        for model in models {
            let (label, model) = model?;
            let mut other = Explainer::new(study, &self.common, &model, &self.layer, self.steps)
                .map_err(|e| e.file(&label))?;
            if other.shape() != shape {
                return Err(Error::request(format!(
                    "{label} has {:?} input components and neurons, and the first model {shape:?}",
                    other.shape()
                ))
                .help("compare models of the same architecture"));
            }
            let mut tallies: Vec<_> = Method::all()
                .into_iter()
                .map(|method| (method, Tally::default(), Tally::default()))
                .collect();
            for (sample, (&neuron, wanted)) in neurons.iter().zip(&wanted).enumerate() {
                let (_, found) = other.explain(study, sample, self.neuron.named(Some(neuron)))?;
                for ((_, signed, unsigned), (a, b)) in
                    tallies.iter_mut().zip(wanted.iter().zip(&found))
                {
                    let pair = a.as_ref().zip(b.as_ref());
                    let rho = pair.and_then(|(a, b)| rank_correlation(a, b));
                    signed.add(rho);
                    unsigned.add(rho.map(f64::abs));
                }
                bar.inc(1);
            }
            compared.push(Comparison { label, tallies });
        }
        bar.finish_and_clear();
        Ok(compared)
    }
}
