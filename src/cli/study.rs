//! What the commands over data sets have in common: a model, its samples, and how results are told.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use ndarray::{ArrayD, Axis, Slice};

use super::data::Dataset;
use super::engine::{EngineArgs, Printing};
use super::interrupt;
use super::preprocess::Layout;
use super::samples::Samples;
use super::size::Size;
use super::terminal::{self, say};
use crate::compile::select::{self, Batch};
use crate::compile::{LayerRequest, prepare};
use crate::engine::{Array, Setup};
use crate::error::{Error, Result};
use crate::files::write_whole;
use crate::graph::{Graph, Model, ValueId, fixed};
use crate::onnx;

/// The options of the commands over data sets.
#[derive(Args, Debug)]
pub struct Common {
    #[command(flatten)]
    pub data: Samples,
    /// The most samples used [default: all]
    #[arg(long, value_name = "N")]
    pub limit: Option<NonZeroUsize>,
    /// The float input to project onto [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub input: Option<String>,
    /// Which axis of the input counts samples: auto, none, or its number
    #[arg(long, value_name = "AXIS", default_value = "auto")]
    pub batch: Batch,
    /// The most one run may hold, such as 512M or 8G [default: a quarter of the memory]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<Size>,
    #[command(flatten)]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub printing: Printing,
}

/// A model and the samples it is studied on.
pub struct Study {
    /// The model as it was loaded.
    pub model: Model,
    /// The same in the working operator set, with the type of every value.
    pub prepared: Model,
    /// What the model is called: the stem of its file's name.
    pub name: String,
    /// The samples.
    pub data: Dataset,
    /// The samples read last: the number of the first, how many were asked for, and themselves.
    last: RefCell<Option<(usize, usize, Array)>>,
    /// The engine it runs in.
    pub setup: Setup,
    /// The most bytes one run may hold.
    pub memory: u64,
    file: PathBuf,
}

impl Common {
    /// Loads a model and the samples for it.
    ///
    /// # Errors
    /// When a file cannot be read, no samples are named, or one of them is not finite.
    pub fn study(&self, file: &Path) -> Result<Study> {
        self.study_on(file, &self.data)
    }

    /// `[LABEL=]MODEL[@DATA]`: a model, what it is called, and samples of its own where it names some.
    ///
    /// # Errors
    /// As [`Common::study`].
    pub fn labelled_study(&self, text: &str) -> Result<(String, Study)> {
        let is_file = |text: &str| Path::new(text).is_file();
        let (label, rest) = match text.split_once('=').filter(|_| !is_file(text)) {
            Some((label, rest)) => (Some(label.to_owned()), rest),
            None => (None, text),
        };
        let (file, own) = match rest.rsplit_once('@').filter(|_| !is_file(rest)) {
            Some((file, data)) => (file, Some(vec![PathBuf::from(data)])),
            None => (rest, None),
        };
        let (shared, preprocess) = (&self.data.data, self.data.preprocess.clone());
        let samples = Samples { data: own.unwrap_or_else(|| shared.clone()), preprocess };
        let study = self.study_on(Path::new(file), &samples)?;
        Ok((label.unwrap_or_else(|| study.name.clone()), study))
    }

    /// The axis of a sample's extents that counts its channels; one behind the last where it has none.
    pub fn channel_axis(&self, input: &[usize]) -> usize {
        if input.len() != 3 {
            return input.len();
        }
        match self.data.preprocess.as_ref().map(|p| p.layout) {
            Some(Layout::Nhwc) => input.len().saturating_sub(1),
            _ => 0,
        }
    }

    fn study_on(&self, file: &Path, samples: &Samples) -> Result<Study> {
        interrupt::watch();
        let load = || {
            let model = onnx::load(file)?;
            let prepared = prepare(model.clone())?;
            let graph = &prepared.graph;
            let input = select::input(graph, self.input.as_deref())?;
            let batch = sample_axis(graph, input, self.batch);
            let set = samples.required(&prepared, input, batch)?;
            let set = set.limited(self.limit.map(NonZeroUsize::get)).checked()?;
            Ok((model, set, prepared))
        };
        let (model, data, prepared) = load().map_err(|error: Error| error.file(file))?;
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let memory = self.memory.unwrap_or_else(Size::quarter_of_memory).0;
        let (setup, file) = (self.engine.setup()?, file.to_owned());
        let last = RefCell::new(None);
        Ok(Study { model, prepared, name: stem, data, last, setup, memory, file })
    }
}

impl Study {
    /// `error` with the model's file as its place.
    pub fn at(&self, error: Error) -> Error {
        error.file(&self.file)
    }

    /// The number of samples.
    pub fn count(&self) -> usize {
        self.data.len()
    }

    /// Some samples, along the first axis.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn samples(&self, start: usize, count: usize) -> Result<Array> {
        let mut last = self.last.borrow_mut();
        match &*last {
            Some((first, asked, samples)) if (*first, *asked) == (start, count) => {
                Ok(samples.clone())
            }
            _ => {
                let samples = self.data.window(start, count)?.values;
                *last = Some((start, count, samples.clone()));
                Ok(samples)
            }
        }
    }

    /// One sample, in doubles.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn sample(&self, number: usize) -> Result<ArrayD<f64>> {
        Ok(self.samples(number, 1)?.to_f64().index_axis_move(Axis(0), 0))
    }
}

/// `count` samples from `start`, along the first axis.
pub fn cut(data: &Array, start: usize, count: usize) -> Array {
    let slice = Slice::from(start..start + count);
    match data {
        Array::F64(a) => a.slice_axis(Axis(0), slice).to_owned().into(),
        Array::F32(a) => a.slice_axis(Axis(0), slice).to_owned().into(),
        other => other.to_f64().slice_axis(Axis(0), slice).to_owned().into(),
    }
}

/// Where the samples of the input lie, as far as that can be told without a layer.
fn sample_axis(graph: &Graph, input: ValueId, batch: Batch) -> Option<usize> {
    match batch {
        Batch::Axis(axis) => Some(axis),
        Batch::None => None,
        Batch::Auto => graph.value(input).dims().filter(|dims| !dims.is_empty()).map(|_| 0),
    }
}

/// `[ALIAS=]WHAT`, an alias only where the model has no value of the whole name.
pub fn layer_request(graph: &Graph, text: &str) -> LayerRequest {
    match text.split_once('=').filter(|_| graph.find(text).is_none()) {
        Some((alias, what)) => LayerRequest { alias: Some(alias.into()), what: what.into() },
        None => LayerRequest { alias: None, what: text.into() },
    }
}

/// The extents of a layer's sample or of the input's, all of which must be known.
///
/// # Errors
/// When one is only known at run time.
pub fn extents(graph: &Graph, value: ValueId, axis: Option<usize>) -> Result<Vec<usize>> {
    let it = graph.value(value);
    let mut dims = it.dims().unwrap_or_default();
    if let Some(axis) = axis.filter(|&axis| axis < dims.len()) {
        dims.remove(axis);
    }
    let known = dims.iter().map(|dim| fixed(dim).and_then(|n| usize::try_from(n).ok())).collect();
    Option::<Vec<usize>>::filter(known, |_| it.dims().is_some()).ok_or_else(|| {
        Error::request("the extents of this value are only known at run time")
            .value(&it.name)
            .help("fix the size of the model's input")
    })
}

/// A bar of steps, which are samples by layer or by model.
pub fn progress(printing: Printing, steps: usize) -> ProgressBar {
    let bar = terminal::progress(steps, printing.quiet);
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len}, {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Prints the JSON or the text, as asked for.
///
/// # Errors
/// When standard output cannot be written.
pub fn tell(printing: Printing, json: &serde_json::Value, text: &str) -> Result<()> {
    match (printing.json, printing.quiet) {
        (true, _) => say(&format!("{json}\n")),
        (false, false) => say(text),
        (false, true) => Ok(()),
    }
}

/// Writes rows of cells as comma-separated values; cells with commas or quotes are quoted.
///
/// # Errors
/// When the file cannot be written.
pub fn write_csv(path: &Path, rows: &[Vec<String>]) -> Result<()> {
    let quoted = |cell: &String| match cell.contains([',', '"', '\n']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.clone(),
    };
    let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n";
    let text: String = rows.iter().map(line).collect();
    write_whole(path, |file| std::io::Write::write_all(file, text.as_bytes()))
}
