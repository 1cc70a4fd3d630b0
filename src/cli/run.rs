//! `slpc run`: an augmented model on data, the results to a file.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::engine::{EngineArgs, Printing};
use super::given::{Given, samples_at_a_time};
use super::interrupt;
use super::results::{Results, Written};
use super::samples::Samples;
use super::terminal::{progress, say, table};
use crate::compile::select::Choice;
use crate::engine::Array;
use crate::error::{Error, Result};
use crate::graph::{Model, fixed};
use crate::onnx;
use crate::verify::{Feeder, Inputs, Subject};

/// Run an augmented model on data.
#[derive(Args, Debug)]
pub struct Run {
    /// The augmented model
    augmented: PathBuf,
    #[command(flatten)]
    data: Samples,
    /// The most samples used [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,
    /// The file to write: .npz, .npy for one array, or a new folder with a .npy file for each
    #[arg(short, long, value_name = "OUT.npz")]
    output: PathBuf,
    /// An output of the model to write, as often as wanted [default: all]
    #[arg(long, value_name = "NAME")]
    array: Vec<String>,
    /// The flat numbers of the neurons of every layer that takes them at run time, such as 3,17
    #[arg(long, value_name = "LIST")]
    neurons: Option<Choice>,
    /// How many of these neurons are computed at a time [default: what fits in a moderate memory]
    #[arg(long, value_name = "N", requires = "neurons")]
    block: Option<NonZeroUsize>,
    /// How many samples are computed at a time [default: what fits in a moderate memory]
    #[arg(long, value_name = "N")]
    batch_size: Option<NonZeroUsize>,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    printing: Printing,
}

impl Run {
    /// Runs the model batch by batch and writes its outputs.
    ///
    /// # Errors
    /// When a file cannot be read, run or written, or after Ctrl-C.
    pub fn run(&self) -> Result<()> {
        let model = onnx::load(&self.augmented)?;
        let subject = Subject::read(&model).map_err(|error| error.file(&self.augmented))?;
        self.check_arrays(&model)?;
        let given = Given::read(&model, self.neurons.as_ref())?;
        let size = self.batch_size(&model, &subject, given.count())?;
        let set = self.data.required(&model, subject.input, subject.batch)?;
        let set = set.limited(self.limit.map(NonZeroUsize::get)).checked()?;
        interrupt::watch();
        let mut results = Results::new(&self.output)?;
        let mut session = self.engine.open(&self.augmented)?;
        let feeder = Feeder::new(&model.graph, subject.input, subject.batch, &[]);
        let bar = progress(set.len(), self.printing.quiet);
        // A batch is shared among the threads of an engine that computes its parts side by side.
        let free = feeder.is_free()?;
        let blocks = given.blocks(&model, size, self.block)?;
        let axis = usize::from(subject.batch.is_some());
        let (read, part) = match free {
            true => (size, size.div_ceil(session.lanes())),
            false => (size.saturating_mul(session.lanes()), size),
        };
        for batch in set.batches(read) {
            interrupt::check()?;
            let parts = feeder.batches(&batch?.values, part)?;
            let (jobs, counts): (Vec<Inputs>, Vec<_>) = parts.into_iter().unzip();
            let run = |block: &Inputs| {
                interrupt::check()?;
                let with = |inputs: &Inputs| inputs.iter().chain(block).cloned().collect();
                let jobs: Vec<Inputs> = jobs.iter().map(with).collect();
                session.run_all(&jobs).map_err(|e| e.file(&self.augmented))
            };
            let runs = given.joined(blocks.iter().map(run), axis)?;
            for (outputs, real) in runs.into_iter().zip(counts) {
                let taken = if free { real } else { part };
                results.add(&self.rows(outputs, subject.batch.map(|_| taken), real)?)?;
                bar.inc(real as u64);
            }
        }
        bar.finish_and_clear();
        let written = results.finish()?;
        self.tell(&written, set.len(), size)
    }

    /// The arrays asked for, of `real` samples along the first axis; `taken` were run, with those
    /// that fill up a batch of fixed size, or a single one without an axis of its own.
    fn rows(
        &self,
        outputs: Vec<(String, Array)>,
        taken: Option<usize>,
        real: usize,
    ) -> Result<Vec<(String, Array)>> {
        let wanted = |name: &String| self.array.is_empty() || self.array.contains(name);
        let Some(taken) = taken else {
            let outputs = outputs.into_iter().filter(|(name, _)| wanted(name));
            return Ok(outputs.map(|(name, array)| (name, array.lifted())).collect());
        };
        let has_samples = |array: &Array| array.shape().first() == Some(&taken);
        let odd = outputs.iter().find(|(name, array)| wanted(name) && !has_samples(array));
        if let Some((name, array)) = odd {
            let others = outputs.iter().filter(|(_, array)| has_samples(array));
            let others: Vec<_> = others.map(|(name, _)| format!("--array {name}")).collect();
            return Err(Error::request(format!(
                "the output has shape {:?}, without the {taken} samples along its first axis",
                array.shape()
            ))
            .value(name)
            .help(match others.is_empty() {
                true => "no output has the samples there; transform with --batch none".to_owned(),
                false => format!("write the others: {}", others.join(" ")),
            }));
        }
        let outputs = outputs.into_iter().filter(|(name, _)| wanted(name));
        Ok(outputs.map(|(name, array)| (name, array.head(real))).collect())
    }

    fn check_arrays(&self, model: &Model) -> Result<()> {
        let graph = &model.graph;
        let names: Vec<_> = graph.outputs.iter().map(|&id| &graph.value(id).name).collect();
        match self.array.iter().find(|name| !names.contains(name)) {
            None => Ok(()),
            Some(name) => {
                let names: Vec<_> = names.into_iter().map(String::as_str).collect();
                Err(Error::request("the model has no such output")
                    .value(name)
                    .help(format!("choose of: {}", names.join(", "))))
            }
        }
    }

    /// How many samples a run takes: what the model declares, what is asked for, or what fits.
    fn batch_size(&self, model: &Model, subject: &Subject<'_>, neurons: usize) -> Result<usize> {
        let dims = model.graph.value(subject.input).dims().unwrap_or_default();
        let declared = match subject.batch {
            None => Some(1),
            Some(axis) => dims.get(axis).and_then(fixed).and_then(|n| usize::try_from(n).ok()),
        };
        match (declared, self.batch_size.map(NonZeroUsize::get)) {
            (Some(n), Some(asked)) if n != asked => {
                Err(Error::request(format!("the model takes {n} samples at a time, not {asked}"))
                    .help("leave out --batch-size"))
            }
            (Some(n), _) => Ok(n.max(1)),
            (None, asked) => Ok(asked.unwrap_or_else(|| samples_at_a_time(model, neurons))),
        }
    }

    fn tell(&self, written: &[Written], samples: usize, batch: usize) -> Result<()> {
        if self.printing.quiet {
            return Ok(());
        }
        if self.printing.json {
            let array =
                |a: &Written| json!({ "name": a.name, "type": a.dtype.name(), "shape": a.shape });
            let value = json!({
                "output": self.output.display().to_string(),
                "samples": samples,
                "batch": batch,
                "arrays": written.iter().map(array).collect::<Vec<_>>(),
            });
            return say(&format!("{value}\n"));
        }
        let row =
            |a: &Written| vec![a.name.clone(), a.dtype.name().into(), format!("{:?}", a.shape)];
        say(&table(&written.iter().map(row).collect::<Vec<_>>()))
    }
}
