//! `slpc transform`: a model to its augmented model.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::engine::EngineArgs;
use super::size::Size;
use super::summary;
use super::terminal::{Output, failure, is_standard, note, say};
use super::verify;
use crate::compile::plan::{Assumed, Direction, Limits};
use crate::compile::project::{Quantity, Singular};
use crate::compile::select::{Batch, Choice};
use crate::compile::{LayerRequest, Options, Target, transform};
use crate::error::{Error, Result};
use crate::graph::Model;
use crate::onnx::{self, Weights};
use crate::verify::{Settings, verify as measure};

/// Write the augmented model, which also computes the switched linear projection.
#[derive(Args, Debug)]
pub struct Transform {
    /// The model
    model: PathBuf,
    /// The file to write [default: MODEL.slp.onnx]; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The float input to project onto [default: the only one]
    #[arg(long, value_name = "NAME")]
    input: Option<String>,
    /// A layer, as often as wanted: a value, a node (its first output), logits, #3 (as slpc inspect
    /// numbers them), or all [default: logits]
    #[arg(long, value_name = "[ALIAS=]WHAT")]
    layer: Vec<String>,
    /// Which neurons: all, top:K (the K of largest activity), a list such as 3,17,40..49 or
    /// [12,3,4] or [12,:,:], or runtime (the graph gets an input) [default: all, up to 1024]
    #[arg(long, value_name = "WHICH")]
    neurons: Option<Choice>,
    /// The quantities: activity, weights, bias, centre, icd, bias-terms, patterns, singular-values,
    /// mixing, power, radius, state
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "activity,weights,bias,centre,icd"
    )]
    emit: Vec<Quantity>,
    /// How many singular patterns are emitted for each layer
    #[arg(long, value_name = "R", default_value = "3")]
    patterns: usize,
    /// The share of the singular values that the representational power accounts for
    #[arg(long, value_name = "SHARE", default_value = "0.9")]
    gamma: f64,
    /// Which axis of the input counts samples: auto, none, or its number
    #[arg(long, value_name = "AXIS", default_value = "auto")]
    batch: Batch,
    /// From the neurons to the input (reverse) or the other way
    #[arg(long, default_value = "auto")]
    direction: Way,
    /// How many neurons are projected at a time, and seeds carried forward: a number, or auto, which
    /// decides from the memory
    #[arg(long, value_name = "N", default_value = "auto")]
    block: BlockSize,
    /// The size that the plan takes a symbolic dimension to have, as often as wanted [default: 1]
    #[arg(long, value_name = "SYMBOL=SIZE", value_parser = assumption)]
    assume: Vec<(String, i64)>,
    /// The most one run may hold, such as 512M or 8G [default: a quarter of the memory]
    #[arg(long, value_name = "SIZE")]
    memory: Option<Size>,
    /// Where the weights go
    #[arg(long, default_value = "keep")]
    weights: Place,
    /// The runtime the file is for; any is for every one of them but for Loop and Scan in OpenVINO
    #[arg(long, default_value = "any")]
    target: Runtime,
    /// Check the result as slpc verify does, in the engine that the next options name
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    engine: EngineArgs,
    /// Print the plan: direction, seeds, and the linear steps of each operator
    #[arg(long)]
    explain: bool,
    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    /// Whichever takes less time
    Auto,
    /// From the input to the neurons, a seed an input component, or for those of which no neuron sees two
    Forward,
    /// From the neurons to the input, a seed a neuron
    Reverse,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Place {
    /// Inside the file or beside it, as the model had them; beside it above 2 GiB
    Keep,
    /// In a data file beside the output
    External,
    /// Where they are: the output names byte ranges of the original file
    Reference,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Runtime {
    Any,
    Onnxruntime,
    Tract,
    Openvino,
    Web,
}

impl Runtime {
    fn target(self) -> Target {
        match self {
            Self::Any => Target::Any,
            Self::Onnxruntime => Target::OnnxRuntime,
            Self::Tract => Target::Tract,
            Self::Openvino => Target::OpenVino,
            Self::Web => Target::Web,
        }
    }
}

/// `auto`, or a number of neurons.
#[derive(Clone, Copy, Debug)]
struct BlockSize(Option<i64>);

impl std::str::FromStr for BlockSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "auto" {
            return Ok(Self(None));
        }
        let size = text.parse().ok().filter(|&n: &i32| n > 0).map(i64::from);
        size.map(|n| Self(Some(n))).ok_or_else(|| {
            Error::request(format!("'{text}' is no number of neurons"))
                .help("--block takes auto or a number from 1")
        })
    }
}

/// `N=8`.
fn assumption(text: &str) -> Result<(String, i64)> {
    let pair = text.split_once('=').and_then(|(symbol, size)| {
        let size = size.trim().parse().ok().filter(|&n: &i32| n > 0)?;
        Some((symbol.trim().to_owned(), i64::from(size))).filter(|(symbol, _)| !symbol.is_empty())
    });
    pair.ok_or_else(|| {
        Error::request(format!("'{text}' is no size of a dimension"))
            .help("--assume takes SYMBOL=SIZE, such as N=8")
    })
}

impl Transform {
    /// Refuses a model that is augmented already, unless every layer is one of the values that were
    /// added: their rows are second derivatives.
    fn refuse_again(&self, model: &Model) -> Result<()> {
        let augmented = model.metadata.iter().any(|(key, _)| key == "slpc.version");
        let added = |what: &str| what.starts_with("slp/");
        let second = !self.layer.is_empty()
            && self.layer.iter().all(|layer| added(layer.rsplit('=').next().unwrap_or(layer)));
        if !augmented || second {
            return Ok(());
        }
        Err(Error::request("this model is augmented already").file(&self.model).help(
            "transform the model it was made from, with every --layer wanted; or, for second \
             derivatives, name values that were added: --layer h=slp/y/weights",
        ))
    }

    /// Loads, transforms, writes, and prints what was done.
    ///
    /// # Errors
    /// When the model cannot be read, the request cannot be met, or the output cannot be written.
    pub fn run(&self) -> Result<()> {
        let output = self.output.clone().unwrap_or_else(|| self.model.with_extension("slp.onnx"));
        if !is_standard(&output) {
            refuse_overwrite(&self.model, &output)?;
        }
        let model = onnx::load(&self.model)?;
        self.refuse_again(&model)?;
        let before = model_bytes(&model);
        let options = self.options(&model);
        let source = self.verify.then(|| model.clone());
        let (model, summary) =
            transform(model, &options).map_err(|error| error.file(&self.model))?;
        let after = self.write(&model, &output)?;
        let report = summary::Report {
            model: &self.model,
            output: &output,
            summary: &summary,
            bytes: (before, after),
        };
        let text = match (self.json, self.explain) {
            (true, _) => report.json(self.explain),
            (false, explain) => report.text(explain),
        };
        self.tell(&text, &output)?;
        if !summary.lacking.is_empty() && !self.quiet {
            note(&format!(
                "warning: the model itself has operators that this target lacks: {}",
                summary.lacking.join(", ")
            ));
        }
        match &source {
            Some(source) => self.check(&model, source, &output),
            None => Ok(()),
        }
    }

    /// Prints `text`, on standard error where the model takes standard output.
    fn tell(&self, text: &str, output: &Path) -> Result<()> {
        match (self.quiet, is_standard(output)) {
            (true, _) => {}
            (false, true) => note(text),
            (false, false) => say(text)?,
        }
        Ok(())
    }

    /// Measures the promises of what was written.
    fn check(&self, model: &Model, source: &Model, output: &Path) -> Result<()> {
        let written;
        let model = match is_standard(output) {
            true => model,
            false => {
                written = onnx::load(output)?;
                &written
            }
        };
        let samples = verify::DEFAULT_SAMPLES;
        let engine = self.engine.setup()?;
        let settings = Settings { samples, source: Some(source), engine, ..Settings::default() };
        let report = measure(model, &settings).map_err(|error| error.file(output))?;
        let text = match self.json {
            true => verify::as_json(&report),
            false => format!("\n{}", verify::as_table(&report)),
        };
        self.tell(&text, output)?;
        verify::judge(&report).map_err(|error| error.file(output))
    }

    fn options(&self, model: &Model) -> Options {
        let mut emit = Vec::new();
        for &quantity in &self.emit {
            if !emit.contains(&quantity) {
                emit.push(quantity);
            }
        }
        Options {
            input: self.input.clone(),
            layers: self.layer.iter().map(|text| request(model, text)).collect(),
            neurons: self.neurons.clone(),
            emit,
            singular: Singular { patterns: self.patterns, gamma: self.gamma },
            batch: self.batch,
            limits: Limits {
                direction: match self.direction {
                    Way::Auto => None,
                    Way::Forward => Some(Direction::Forward),
                    Way::Reverse => Some(Direction::Reverse),
                },
                memory: Some(self.memory.unwrap_or_else(Size::quarter_of_memory).0),
                block: self.block.0,
                dense: false,
                assumed: Assumed(self.assume.iter().cloned().collect()),
            },
            target: self.target.target(),
        }
    }

    /// Writes the model and tells how many bytes it has.
    fn write(&self, model: &Model, output: &Path) -> Result<u64> {
        if !is_standard(output) {
            let weights = match self.weights {
                Place::Keep => Weights::Keep,
                Place::External => Weights::External,
                Place::Reference => Weights::Reference,
            };
            let written = onnx::emit(model, output, weights)?;
            return Ok(written.bytes + written.data.map_or(0, |(_, bytes)| bytes));
        }
        if !matches!(self.weights, Place::Keep) {
            return Err(Error::request("standard output holds the weights inside")
                .help("leave out --weights, or write to a file with --output FILE"));
        }
        let mut writer = BufWriter::new(Output::new());
        let bytes = onnx::write_to(model, &mut writer)?;
        writer.flush().map_err(|error| failure(&error))?;
        Ok(bytes)
    }
}

/// `[ALIAS=]WHAT`, where WHAT may be a name that holds an equals sign itself.
fn request(model: &Model, text: &str) -> LayerRequest {
    let graph = &model.graph;
    let is_name =
        |name: &str| graph.find(name).is_some() || graph.nodes().any(|(_, node)| node.name == name);
    match text.split_once('=') {
        Some((alias, what)) if !alias.is_empty() && !is_name(text) => {
            LayerRequest { alias: Some(alias.to_owned()), what: what.to_owned() }
        }
        _ => LayerRequest { alias: None, what: text.to_owned() },
    }
}

/// The weights are windows of the model's file, which must stay as it is while they are copied.
fn refuse_overwrite(model: &Path, output: &Path) -> Result<()> {
    let real = |path: &Path| path.canonicalize().ok();
    match (real(model), real(output)) {
        (Some(model), Some(other)) if model == other => {
            Err(Error::request("the output is the model itself")
                .file(output)
                .help("write to another file"))
        }
        _ => Ok(()),
    }
}

/// The bytes of the model's file and of its external data.
fn model_bytes(model: &Model) -> u64 {
    let tensors = model.graph.values().filter_map(|(_, value)| value.tensor.as_ref());
    let outside = tensors.map(|tensor| match &tensor.data {
        crate::graph::Data::External(external) => external.bytes.len(),
        _ => 0,
    });
    (model.bytes.len() + outside.sum::<usize>()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::text::parse;

    #[test]
    fn an_alias_ends_at_the_first_equals_sign_unless_all_is_a_name() {
        let model = parse(
            "<ir_version: 8, opset_import: [\"\" : 18]> g (float[N] x) => (float[N] y) \
             { [\"node=1\"] \"a=b\" = Relu (x) y = Relu (\"a=b\") }",
        )
        .unwrap();
        let cases = [
            ("y", None, "y"),
            ("out=y", Some("out"), "y"),
            ("a=b", None, "a=b"),
            ("node=1", None, "node=1"),
            ("c=a=b", Some("c"), "a=b"),
            ("=y", None, "=y"),
        ];
        for (text, alias, what) in cases {
            let made = request(&model, text);
            assert_eq!((made.alias.as_deref(), made.what.as_str()), (alias, what), "{text}");
        }
    }
}
