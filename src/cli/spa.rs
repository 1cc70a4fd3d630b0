//! `slpc spa`: singular pattern analysis of chosen neurons, sample by sample.

mod findings;
mod gather;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::results::Results;
use super::study::{Common, Study, progress, tell, write_csv};
use super::terminal::table;
use crate::analyse::{self, Parts, Rule, Stream, check_gamma};
use crate::compile::plan::bytes;
use crate::compile::select::Choice;
use crate::error::{Error, Result};
use findings::Findings;
use gather::{Averaged, Gathered, Gatherer};

/// Find the singular patterns of the input component decompositions of chosen neurons (V = U Σ H),
/// and write them as arrays.
///
/// For each sample: patterns u [n, R, x…], singular-values s [n, min(d, M)] (0 beyond the rank),
/// mixing α [n, R, M], power R_γ [n], and activity [n, M] and neurons [n, M] of all layers, one after
/// another. With --part their names begin with active/ or inactive/, and active [n, M] tells who is.
/// A pattern's entries sum to at least 0; where the sum is within rounding of 0, the first of its
/// entries of largest magnitude is positive.
#[derive(Args, Debug)]
pub struct Spa {
    /// The model
    model: PathBuf,
    /// The file to write
    #[arg(short, long, value_name = "OUT.npz")]
    output: PathBuf,
    /// A layer, as for slpc transform; the neurons of several are analysed together [default: logits]
    #[arg(long, value_name = "WHAT")]
    layer: Vec<String>,
    /// Which neurons of every layer: all, top:K, or a list such as 3,17,40..49 or [12,:,:]
    #[arg(long, value_name = "WHICH")]
    neurons: Option<Choice>,
    /// Analyse all neurons together, or those that are active and those that are not
    #[arg(long, default_value = "all")]
    part: Part,
    /// What makes a neuron active: v > 0 and, where a max pooling follows, winning a window (state);
    /// or v > 0 (sign)
    #[arg(long, value_name = "state|sign", default_value = "state")]
    rule: Rule,
    /// The patterns that are written
    #[arg(long, value_name = "R", default_value_t = 10)]
    patterns: usize,
    /// γ, the share of the singular values that R_γ patterns carry
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    gamma: f64,
    /// Class contrast: take the differences A − B of two neurons of the layer instead of neurons, as
    /// often as wanted; their weights and icd are written too
    #[arg(long, value_name = "A,B", value_parser = pair, conflicts_with_all = ["neurons", "part"])]
    contrast: Vec<[usize; 2]>,
    /// Integrated projection: take the mean of ŵ at N inputs on the way from zeros to the sample
    /// instead of ŵ; the weights and icd are written too
    #[arg(long, value_name = "N", conflicts_with = "smoothed")]
    integrated: Option<usize>,
    /// Smoothed projection: take the mean of ŵ at N inputs with normal noise added to the sample
    /// instead of ŵ; the weights and icd are written too
    #[arg(long, value_name = "N")]
    smoothed: Option<usize>,
    /// The standard deviation of the noise
    #[arg(long, value_name = "SD", default_value_t = 0.1)]
    noise: f64,
    /// The seed of the noise
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Write the table as comma-separated values
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Which neurons are analysed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// All of them
    All,
    /// The active ones
    Active,
    /// The inactive ones
    Inactive,
    /// The active ones, and apart from them the inactive ones
    Both,
}

/// `A,B`: two neurons by their flat numbers.
fn pair(text: &str) -> Result<[usize; 2]> {
    let numbers = text.split_once(',').map(|(a, b)| [a, b].map(|n| n.trim().parse::<usize>()));
    match numbers {
        Some([Ok(a), Ok(b)]) if a != b => Ok([a, b]),
        _ => Err(Error::request(format!("'{text}' is no pair of neurons")).help("write it as 3,5")),
    }
}

impl Spa {
    /// Analyses every sample, writes the arrays and prints a table.
    ///
    /// # Errors
    /// When a file cannot be read or written, the request cannot be met, or a run fails.
    pub fn run(&self) -> Result<()> {
        self.check()?;
        let study = self.common.study(&self.model)?;
        let mut gatherer = Gatherer::new(&study, &self.common, &self.layers(), &self.choice()?)?;
        check_memory(&study, &gatherer)?;
        let mut findings = Findings::new(gatherer.input().to_vec(), self.patterns, self.gamma);
        let mut results = Results::new(&self.output)?;
        let bar = progress(self.common.printing, study.count());
        for sample in 0..study.count() {
            let mut gathered = gatherer.gather(&study, sample, self.averaged())?;
            if !self.contrast.is_empty() {
                gathered = gathered.contrasts(&self.contrast)?;
            }
            self.analyse(&gathered, &mut findings).map_err(|e| study.at(e))?;
            results.add(findings.arrays())?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        results.finish()?;
        if let Some(path) = &self.csv {
            write_csv(path, &findings.rows(true))?;
        }
        tell(self.common.printing, &findings.as_json(), &table(&findings.rows(false)))
    }

    fn check(&self) -> Result<()> {
        check_gamma(self.gamma)?;
        if self.integrated == Some(0) || self.smoothed == Some(0) {
            return Err(Error::request("a mean is taken over at least 1 input"));
        }
        if !self.noise.is_finite() || self.noise < 0.0 {
            return Err(Error::request(format!("{} is no standard deviation", self.noise)));
        }
        if !self.contrast.is_empty() && self.layer.len() > 1 {
            return Err(Error::request("a contrast is of two neurons of one layer"));
        }
        Ok(())
    }

    fn layers(&self) -> Vec<String> {
        match self.layer.is_empty() {
            true => vec!["logits".to_owned()],
            false => self.layer.clone(),
        }
    }

    /// The neurons that are run: those of the contrasts where there are some.
    fn choice(&self) -> Result<Choice> {
        if self.contrast.is_empty() {
            return Ok(self.neurons.clone().unwrap_or(Choice::All));
        }
        let mut numbers: Vec<usize> = self.contrast.iter().flatten().copied().collect();
        numbers.sort_unstable();
        numbers.dedup();
        let list: Vec<String> = numbers.iter().map(usize::to_string).collect();
        list.join(",").parse()
    }

    fn averaged(&self) -> Option<Averaged> {
        let integrated = self.integrated.map(|steps| Averaged::Path { steps });
        let (sd, seed) = (self.noise, self.seed);
        integrated.or(self.smoothed.map(|draws| Averaged::Noise { draws, sd, seed }))
    }

    fn analyse(&self, gathered: &Gathered, findings: &mut Findings) -> Result<()> {
        let v = analyse::icd(gathered.weights.view(), gathered.activity.view())?;
        let parts = Parts::of(&gathered.activity.to_vec(), Some(&gathered.wins), self.rule);
        let kept = !self.contrast.is_empty() || self.averaged().is_some();
        findings.begin(gathered, kept.then_some(&v))?;
        if self.part == Part::All {
            let all: Vec<usize> = (0..gathered.numbers.len()).collect();
            return findings.add("", &v, &all);
        }
        findings.mark_active(&parts, gathered.numbers.len());
        if matches!(self.part, Part::Active | Part::Both) {
            findings.add("active/", &v, &parts.active)?;
        }
        if matches!(self.part, Part::Inactive | Part::Both) {
            findings.add("inactive/", &v, &parts.inactive)?;
        }
        Ok(())
    }
}

/// Refuses neurons whose weights, decompositions and Gram matrix do not fit into the memory.
fn check_memory(study: &Study, gatherer: &Gatherer) -> Result<()> {
    let components: usize = gatherer.input().iter().product();
    let neurons = gatherer.neurons();
    let row = (components as u64).saturating_mul(8 * 3);
    let need =
        row.saturating_mul(neurons as u64).saturating_add(Stream::bytes(neurons, components));
    if need <= study.memory {
        return Ok(());
    }
    Err(study.at(Error::request(format!(
        "{neurons} neurons over {components} input components need about {}, more than --memory {}",
        bytes(need),
        bytes(study.memory)
    ))
    .help(format!(
        "about {} neurons would fit (--neurons), or --memory {need}",
        study.memory / row.saturating_mul(2).max(1)
    ))))
}
