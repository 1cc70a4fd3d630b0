//! `slpc run`: an augmented model on data, the results to a file.

use std::io::{IsTerminal, stderr};
use std::path::PathBuf;

use clap::Args;
use ndarray::{Axis, Slice, concatenate};

use super::data::write_npz;
use super::engine::EngineArgs;
use super::samples::{Samples, read_samples};
use super::terminal::note;
use crate::compile::select::{Choice, Neurons};
use crate::engine::Array;
use crate::error::{Error, Result};
use crate::graph::{Dim, Model, fixed};
use crate::onnx;
use crate::verify::{Feeder, Inputs, Subject};

/// Run an augmented model on data.
#[derive(Args, Debug)]
pub struct Run {
    /// The augmented model
    augmented: PathBuf,
    #[command(flatten)]
    data: Samples,
    /// The file to write
    #[arg(short, long, value_name = "OUT.npz")]
    output: PathBuf,
    /// The flat numbers of the neurons of every layer that takes them at run time, such as 3,17
    #[arg(long, value_name = "LIST")]
    neurons: Option<Choice>,
    #[command(flatten)]
    engine: EngineArgs,
    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

/// Bytes of results that are computed at a time.
const AT_A_TIME: usize = 256 << 20;

impl Run {
    /// Runs the model batch by batch and writes all outputs.
    ///
    /// # Errors
    /// When a file cannot be read, run or written.
    pub fn run(&self) -> Result<()> {
        let model = onnx::load(&self.augmented)?;
        let subject = Subject::read(&model).map_err(|error| error.file(&self.augmented))?;
        let data = read_samples(&self.data, &model, subject.input, subject.batch)?;
        let data = data.ok_or_else(|| {
            Error::request("there is no data").help("name a file or folder with --data")
        })?;
        let feeder = Feeder::new(&model.graph, subject.input, subject.batch, &[]);
        let batches = feeder.batches(&data, samples_at_a_time(&model))?;
        let total: usize = batches.iter().map(|(_, real)| real).sum();
        let neurons = self.neuron_inputs(&model)?;
        let mut session = self.engine.open(&self.augmented)?;
        let mut results: Vec<(String, Vec<Array>)> = Vec::new();
        let mut done = 0;
        for (mut inputs, real) in batches {
            inputs.extend(neurons.iter().cloned());
            let outputs = session.run(&inputs).map_err(|e| e.file(&self.augmented))?;
            for (index, (name, array)) in outputs.into_iter().enumerate() {
                if results.len() == index {
                    results.push((name, Vec::new()));
                }
                results[index].1.push(match subject.batch {
                    Some(_) => head(&array, real),
                    None => single(array),
                });
            }
            done += real;
            self.progress(done, total);
        }
        let joined = results.into_iter().map(|(name, parts)| Ok((name, join(&parts)?)));
        write_npz(&self.output, &joined.collect::<Result<Vec<_>>>()?)
    }

    /// Neurons for the layers that take them at run time.
    fn neuron_inputs(&self, model: &Model) -> Result<Inputs> {
        let graph = &model.graph;
        let names = graph.inputs.iter().map(|&id| graph.value(id).name.clone());
        let wanted: Vec<String> = names.filter(|name| name.starts_with("slp/")).collect();
        let unknown = [Dim::pos_var("neurons")];
        let list = match &self.neurons {
            _ if wanted.is_empty() && self.neurons.is_none() => return Ok(Vec::new()),
            _ if wanted.is_empty() => {
                return Err(Error::request("no layer of this model takes neurons at run time")
                    .help("transform with --neurons runtime, or leave out --neurons"));
            }
            Some(choice) => match choice.resolve(&unknown)? {
                Neurons::List(list) => list,
                _ => {
                    return Err(Error::request("a run takes flat numbers of neurons")
                        .help("write them as --neurons 3,17,40..49"));
                }
            },
            None => {
                return Err(Error::request("the model takes neurons at run time")
                    .value(&wanted[0])
                    .help("name them with --neurons 3,17,40..49"));
            }
        };
        let array = Array::from(ndarray::Array1::from(list));
        Ok(wanted.into_iter().map(|name| (name, array.clone())).collect())
    }

    /// A bar on a terminal, and nothing in a file.
    fn progress(&self, done: usize, total: usize) {
        if self.quiet || !stderr().is_terminal() {
            return;
        }
        let filled = done * 40 / total.max(1);
        let bar = format!("{}{}", "#".repeat(filled), ".".repeat(40 - filled.min(40)));
        note(&format!("\r[{bar}] {done} of {total} samples"));
        if done == total {
            note("\n");
        }
    }
}

/// As many samples as give results of a moderate size; unknown extents count as 1.
fn samples_at_a_time(model: &Model) -> usize {
    let size = |id: &crate::graph::ValueId| {
        let value = model.graph.value(*id);
        let dims = value.dims().unwrap_or_default();
        let count = dims
            .iter()
            .filter_map(fixed)
            .fold(1usize, |n, d| n.saturating_mul(usize::try_from(d).unwrap_or(1).max(1)));
        count.saturating_mul(value.dtype.map_or(4, |t| t.bits() / 8))
    };
    let bytes = model.graph.outputs.iter().map(size).fold(1, usize::saturating_add);
    (AT_A_TIME / bytes).clamp(1, 64)
}

macro_rules! by_type {
    ($($variant:ident)*) => {
        /// The first `count` samples of an array.
        fn head(array: &Array, count: usize) -> Array {
            match array {
                $(Array::$variant(a) if a.shape().first().is_some_and(|&all| all > count) => {
                    Array::$variant(a.slice_axis(Axis(0), Slice::from(..count)).to_owned())
                })*
                short => short.clone(),
            }
        }

        /// An array as the only sample.
        fn single(array: Array) -> Array {
            match array {
                $(Array::$variant(a) => Array::$variant(a.insert_axis(Axis(0))),)*
            }
        }

        /// The parts one after another along the first axis.
        fn join(parts: &[Array]) -> Result<Array> {
            let apart = || {
                Error::request("the outputs of different batches do not fit together")
                    .help("give one sample at a time")
            };
            match parts.first() {
                $(Some(Array::$variant(_)) => {
                    let views = parts.iter().filter_map(|part| match part {
                        Array::$variant(a) => Some(a.view()),
                        _ => None,
                    });
                    let joined = concatenate(Axis(0), &views.collect::<Vec<_>>());
                    joined.map(Array::$variant).map_err(|_| apart())
                })*
                None => Err(apart()),
            }
        }
    };
}

by_type! { F32 F64 F16 BF16 I64 I32 I16 I8 U64 U32 U16 U8 Bool }
