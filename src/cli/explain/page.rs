//! What was found out, in words and figures.

mod figures;
mod numbers;

use std::time::Duration;

use ndarray::Array1;
use serde_json::{Value, json};

use super::Explain;
use super::gather::{Analysed, Finding};
use super::layers::Layers;
use crate::analyse::Rule;
use crate::cli::data::shown;
use crate::cli::labels::Labels;
use crate::cli::preprocess::{Layout, Preprocess};
use crate::cli::study::Study;
use crate::error::Result;
use crate::render::report::{Frame, Subject};

/// The classes whose scores are listed.
const CLASSES: usize = 5;
/// The digits of numbers in the text.
const DIGITS: usize = 4;

/// Writes the parts of a report.
pub struct Pages<'a> {
    labels: Option<Labels>,
    frame: Frame,
    preprocess: Option<&'a Preprocess>,
    layers: &'a Layers,
    model: String,
    gamma: f64,
    rule: Rule,
    clip: Option<f64>,
}

/// What is printed of a picture.
pub struct Told {
    /// A line or more.
    pub text: String,
    /// The same for programs.
    pub json: Value,
}

impl<'a> Pages<'a> {
    /// Pages for a model and its input.
    ///
    /// # Errors
    /// When the input is no picture.
    pub fn new(
        options: &'a Explain,
        study: &Study,
        layers: &'a Layers,
        labels: Option<Labels>,
    ) -> Result<Self> {
        let preprocess = options.preprocess.as_ref();
        let last = preprocess.is_some_and(|p| p.layout == Layout::Nhwc);
        let frame = Frame::new(&layers.input, last).map_err(|e| study.at(e))?;
        shown(study.sample(0)?.view(), preprocess).map_err(|e| study.at(e))?;
        let (model, gamma, rule) = (study.name.clone(), options.gamma, options.rule);
        Ok(Self { labels, frame, preprocess, layers, model, gamma, rule, clip: options.clip })
    }

    /// The heading of the report.
    pub fn title(&self) -> String {
        format!("What {} computed", self.model)
    }

    /// The line below the heading.
    pub fn subtitle(&self, layers: &Layers, pictures: usize) -> String {
        let kind = match layers.exact {
            true => "exact: the network is piecewise linear",
            false => "tangents: the network has curved operators (corollary 1.1)",
        };
        let many = if pictures == 1 { "1 picture" } else { &format!("{pictures} pictures") };
        format!("Switched linear projections of {many}, {kind}.")
    }

    /// The section of a report about one picture.
    ///
    /// # Errors
    /// When a map holds a value that is not finite.
    pub fn subject(&self, study: &Study, sample: usize, finding: &Finding) -> Result<Subject> {
        let x = Array1::from_iter(study.sample(sample)?);
        let (link, operator) = &self.layers.link;
        let chances = link.probabilities(&finding.scores);
        let score = |class: usize| (self.short(class), chances.get(class).copied().unwrap_or(0.0));
        let scale = match operator.as_deref() {
            Some(name @ ("Softmax" | "Sigmoid")) => {
                format!("Probabilities: the {name} with which the model ends.")
            }
            _ => "Softmax of the model's scores; the model itself ends with the scores.".to_owned(),
        };
        let mut sections = Vec::new();
        if let Some(winner) = finding.top.first() {
            sections.push(self.winner(winner, &x)?);
        }
        sections.push(self.broad(&finding.output)?);
        sections.push(self.narrow(finding)?);
        for (layer, hidden) in self.layers.hidden.iter().zip(&finding.hidden) {
            sections.push(self.parts(layer, hidden)?);
        }
        sections.push(self.spectra(finding));
        if let Some(winner) = finding.top.first() {
            sections.push(self.bias(winner, &finding.operators));
        }
        sections.extend(finding.border.as_ref().map(numbers::region));
        sections.push(self.checks(&finding.top));
        Ok(Subject {
            name: study.data.name(sample),
            picture: shown(study.sample(sample)?.view(), self.preprocess)?,
            headline: finding.best(1).first().map(|&c| self.short(c)).unwrap_or_default(),
            scale,
            scores: finding.best(CLASSES).into_iter().map(score).collect(),
            sections,
        })
    }

    /// The name of an output neuron.
    fn label(&self, class: usize) -> String {
        match &self.labels {
            Some(labels) => labels.name(class),
            None => format!("neuron {class}"),
        }
    }

    /// The same without synonyms and numbers.
    fn short(&self, class: usize) -> String {
        let label = self.label(class);
        let first = label.split(',').next().unwrap_or(&label).trim();
        // Lists of ImageNet's classes often begin their lines with the synset: n01443537 goldfish.
        let is_synset = |word: &str| {
            word.strip_prefix('n')
                .is_some_and(|n| n.len() == 8 && n.bytes().all(|b| b.is_ascii_digit()))
        };
        match first.split_once(' ') {
            Some((word, name)) if is_synset(word) => name.trim().to_owned(),
            _ => first.to_owned(),
        }
    }

    /// What is printed of a picture.
    pub fn told(&self, study: &Study, sample: usize, finding: &Finding, time: Duration) -> Told {
        let name = study.data.name(sample);
        let class = finding.best(1).first().copied().unwrap_or(0);
        let chance = self.layers.link.0.probabilities(&finding.scores).get(class).copied();
        let chance = chance.unwrap_or(0.0);
        let seconds = time.as_secs_f64();
        let mut text = format!(
            "{name}: {} ({chance:.4}), {} of {} patterns make up γ = {}, {seconds:.1} s\n",
            self.short(class),
            finding.output.power.patterns,
            finding.output.power.rank,
            self.gamma
        );
        let mut parts = Vec::new();
        for (layer, hidden) in self.layers.hidden.iter().zip(&finding.hidden) {
            let (active, inactive) = (&hidden.active, &hidden.inactive);
            text += &format!(
                "  {}: {} active neurons ({} analysed), {} inactive ({} analysed)\n",
                layer.name,
                active.of,
                active.numbers.len(),
                inactive.of,
                inactive.numbers.len()
            );
            let part = |of: &Analysed| json!({ "neurons": of.of, "analysed": of.numbers.len(), "power": of.power });
            parts.push(json!({
                "layer": layer.name, "active": part(active), "inactive": part(inactive),
            }));
        }
        let misses = finding.top.first().map(|winner| winner.misses);
        let json = json!({
            "picture": name, "winner": class, "label": self.label(class), "probability": chance,
            "analysed": finding.output.numbers.len(), "power": finding.output.power,
            "radius": finding.border.as_ref().map(|border| border.radius),
            "beyond": finding.border.as_ref().map(|border| border.beyond),
            "hidden": parts, "misses": misses, "seconds": seconds,
        });
        Told { text, json }
    }

    /// What was run, and how.
    pub fn facts(
        &self,
        options: &Explain,
        study: &Study,
        (layers, most): (&Layers, usize),
        time: Duration,
    ) -> Vec<(String, String)> {
        let file = options.model.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let setup = &study.setup;
        let threads = setup.threads.map(|n| match n.get() {
            1 => ", 1 thread".to_owned(),
            n => format!(", {n} threads"),
        });
        let threads = threads.unwrap_or_default();
        let pairs = [
            ("model", file),
            ("SHA-256", study.model.hash.clone()),
            ("input", format!("{} {:?}", layers.input_name, layers.input)),
            ("pixels", self.preprocess.map_or("as given".to_owned(), ToString::to_string)),
            ("output layer", format!("{} {:?}", layers.output.name, layers.output.shape)),
            ("engine", format!("{}, {}{threads}", setup.backend, setup.provider)),
            ("most neurons analysed together", most.to_string()),
            ("γ", options.gamma.to_string()),
            (
                "full colour",
                options.clip.map_or("at the largest |a| of each map".to_owned(), |clip| {
                    format!("at the {clip}th percentile of |a| of each map")
                }),
            ),
            ("program", format!("slpc {}", env!("CARGO_PKG_VERSION"))),
            ("time", format!("{:.1} s", time.as_secs_f64())),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}
