//! `slpc explain`: a model and pictures to a report that people read.

mod files;
mod gather;
mod layers;
mod page;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::engine::{EngineArgs, Printing};
use super::labels::Labels;
use super::preprocess::Preprocess;
use super::samples::Samples;
use super::size::Size;
use super::study::{Common, progress, tell};
use crate::analyse::{Rule, check_gamma};
use crate::compile::plan::bytes;
use crate::compile::select::Batch;
use crate::error::{Error, Result};
use crate::render::report::{Report, page as html, panels};
use files::{Written, check_places, write};
use gather::Gatherer;
use layers::Layers;
use page::Pages;

/// Explain what a model computed from pictures: one HTML file that needs nothing else, and PNG files.
///
/// For each picture: the prediction; ν̂, ŵ and x⊙ŵ of the winning output neuron; the three singular
/// patterns of largest singular value of the output layer (figure 3 of the paper) and of largest share
/// in several neurons (figure 4); those of the active and inactive neurons of hidden layers (figure 7);
/// the singular values with R_γ; the bias by operator; and by how much the identities miss.
#[derive(Args, Debug)]
pub struct Explain {
    /// The model
    model: PathBuf,
    /// The pictures: .png, .jpg, .npy, .npz, or folders of pictures
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// The file to write
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
    /// The folder for PNG files; those of the same names are replaced [default: the report's name
    /// without its ending]
    #[arg(long, value_name = "DIR")]
    png: Option<PathBuf>,
    /// From pixels to the input, such as caffe,crop=224; slpc run --help lists the settings
    #[arg(long, value_name = "LIST")]
    preprocess: Option<Preprocess>,
    /// A text file whose line i (from 0) is the name of class i
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// A hidden layer whose active and inactive neurons are analysed, as for slpc transform, as often
    /// as wanted; or none [default: the convolution of fewest neurons and the last fully connected
    /// layer that an activation follows]
    #[arg(long, value_name = "WHAT")]
    layer: Vec<String>,
    /// How many output neurons are explained by their narrow patterns
    #[arg(long, value_name = "N", default_value = "4")]
    top: NonZeroUsize,
    /// The most neurons that are analysed together: of more, in the output layer those of largest
    /// activity and in a part of a hidden layer those of largest |v| [default: as many as have 2²⁵
    /// input components in all and fit into the memory]
    #[arg(long, value_name = "N")]
    most: Option<NonZeroUsize>,
    /// What makes a neuron active: v > 0 and, where a max pooling follows, winning a window (state);
    /// or v > 0 (sign)
    #[arg(long, value_name = "state|sign", default_value = "state")]
    rule: Rule,
    /// γ, the share of the singular values that R_γ patterns carry
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    gamma: f64,
    /// Also the exact radius of the linear region around each picture: it takes the slopes of every
    /// ReLU and pooling window by every input, which fits for small pictures only
    #[arg(long)]
    radius: bool,
    /// Full colour at this percentile of |a| rather than at the largest
    #[arg(long, value_name = "0..100")]
    clip: Option<f64>,
    /// The float input to project onto [default: the only one]
    #[arg(long, value_name = "NAME")]
    input: Option<String>,
    /// Which axis of the input counts samples: auto, none, or its number
    #[arg(long, value_name = "AXIS", default_value = "auto")]
    batch: Batch,
    /// The most one run may hold, such as 512M or 8G [default: a quarter of the memory]
    #[arg(long, value_name = "SIZE")]
    memory: Option<Size>,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    printing: Printing,
}

/// Input components that the decompositions analysed together may have in all.
const COMPONENTS: usize = 1 << 25;
/// The least that is analysed of a layer, whatever the input's size.
const LEAST: usize = 16;
/// The bytes that a neuron analysed holds for each input component: its weights, those of its part, its
/// decomposition and the patterns, in double precision.
const HELD: u64 = 4 * 8;

impl Explain {
    /// Explains every picture, and writes the report when all is known.
    ///
    /// # Errors
    /// When a file cannot be read or written, the request cannot be met, or a run fails.
    pub fn run(&self) -> Result<()> {
        let begun = Instant::now();
        self.check()?;
        let folder = self.png.clone().unwrap_or_else(|| self.output.with_extension(""));
        check_places(&self.output, &folder)?;
        let common = self.common();
        let study = common.study(&self.model)?;
        let layers = Layers::find(&study, &common, &self.layer).map_err(|error| study.at(error))?;
        let labels = self.labels.as_deref();
        let labels = labels.map(|file| Labels::read(file, layers.output.neurons())).transpose()?;
        let pages = Pages::new(self, &study, &layers, labels)?;
        let request = self.request(&layers, study.memory).map_err(|error| study.at(error))?;
        let mut gatherer = Gatherer::new(&study, &common, &layers, request)?;
        let bar = progress(self.printing, study.count());
        let mut findings = Vec::new();
        let mut subjects = Vec::new();
        for sample in 0..study.count() {
            let started = Instant::now();
            let finding = gatherer.explain(&study, &common, sample)?;
            subjects.push(pages.subject(&study, sample, &finding)?);
            findings.push(pages.told(&study, sample, &finding, started.elapsed()));
            bar.inc(1);
        }
        bar.finish_and_clear();
        let report = Report {
            title: pages.title(),
            subtitle: pages.subtitle(&layers, study.count()),
            subjects,
            facts: pages.facts(self, &study, (&layers, request.most), begun.elapsed()),
            clip: self.clip,
        };
        let written = write(&self.output, &html(&report)?, &folder, &panels(&report)?)?;
        self.tell(&findings, &written, begun.elapsed().as_secs_f64())
    }

    fn check(&self) -> Result<()> {
        check_gamma(self.gamma)?;
        match self.clip {
            Some(clip) if !(0.0..=100.0).contains(&clip) => {
                Err(Error::request(format!("{clip} is no percentile"))
                    .help("--clip takes a number from 0 to 100"))
            }
            _ => Ok(()),
        }
    }

    /// The same as options of the commands over data sets.
    fn common(&self) -> Common {
        Common {
            data: Samples { data: self.images.clone(), preprocess: self.preprocess.clone() },
            limit: None,
            input: self.input.clone(),
            batch: self.batch,
            memory: self.memory,
            engine: self.engine.clone(),
            printing: self.printing,
        }
    }

    /// What is gathered: as many neurons together as fit into the memory.
    fn request(&self, layers: &Layers, memory: u64) -> Result<gather::Request> {
        let components = layers.components().max(1);
        let each = HELD.saturating_mul(components as u64);
        let fit = usize::try_from(memory / each).unwrap_or(usize::MAX);
        let most = match self.most {
            Some(asked) => asked.get(),
            None => (COMPONENTS / components).max(LEAST).min(fit.max(1)),
        };
        let taken = most.min(layers.largest());
        if taken > fit {
            let need = each.saturating_mul(taken as u64);
            return Err(Error::request(format!(
                "{taken} neurons analysed together, over {components} input components, need about {}, \
                 more than --memory {}",
                bytes(need),
                bytes(memory)
            ))
            .help(match fit {
                0 => format!("--memory {need} would do"),
                fit => format!("--memory {need} would do, or --most {fit}"),
            }));
        }
        let (top, radius) = (self.top.get(), self.radius);
        Ok(gather::Request { top, most, rule: self.rule, gamma: self.gamma, radius })
    }

    fn tell(&self, findings: &[page::Told], written: &Written, seconds: f64) -> Result<()> {
        let value = json!({
            "report": written.report.display().to_string(),
            "bytes": written.bytes,
            "png": { "folder": written.folder.display().to_string(), "files": written.files },
            "pictures": findings.iter().map(|told| &told.json).collect::<Vec<_>>(),
            "seconds": seconds,
        });
        let lines: String = findings.iter().map(|told| told.text.as_str()).collect();
        let text = format!(
            "{lines}{} ({:.1} MB) and {} pictures in {}/ written in {seconds:.1} s\n",
            written.report.display(),
            written.bytes as f64 / 1e6,
            written.files.len(),
            written.folder.display()
        );
        tell(self.printing, &value, &text)
    }
}
