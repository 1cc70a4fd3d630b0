//! Neurons that a run is given, in as many blocks as memory asks for.

use std::num::NonZeroUsize;

use crate::compile::project::Quantity;
use crate::compile::select::{Choice, Neurons};
use crate::engine::Array;
use crate::error::{Error, Result};
use crate::graph::{Dim, Model, Value, fixed};
use crate::verify::Inputs;

/// Bytes that a run may take.
const AT_A_TIME: usize = 512 << 20;
/// The most samples of a run: more make no run faster.
const MOST: usize = 64;
/// How many values of the largest's size a run may hold at once.
const HELD: usize = 8;
/// Neurons that are better run together than samples, since the forward pass is theirs together.
const TOGETHER: usize = 32;

/// What the layers are given that take neurons at run time.
pub struct Given {
    /// The inputs that take them, `slp/ALIAS/neurons`.
    names: Vec<String>,
    /// The flat numbers of the neurons.
    list: Vec<i64>,
}

impl Given {
    /// The neurons `choice` for the layers of `model` that take them at run time.
    ///
    /// # Errors
    /// When no layer does, or some does and none are chosen, or they are no list of flat numbers.
    pub fn read(model: &Model, choice: Option<&Choice>) -> Result<Self> {
        let graph = &model.graph;
        let names = graph.inputs.iter().map(|&id| graph.value(id).name.clone());
        let names: Vec<String> = names.filter(|name| name.starts_with("slp/")).collect();
        let list = match choice {
            None if names.is_empty() => Vec::new(),
            Some(_) if names.is_empty() => {
                return Err(Error::request("no layer of this model takes neurons at run time")
                    .help("transform with --neurons runtime, or leave out --neurons"));
            }
            Some(choice) => match choice.resolve(&[Dim::pos_var("neurons")])? {
                Neurons::List(list) => list,
                _ => {
                    return Err(Error::request("a run takes flat numbers of neurons")
                        .help("write them as --neurons 3,17,40..49"));
                }
            },
            None => {
                return Err(Error::request("the model takes neurons at run time")
                    .value(&names[0])
                    .help("name them with --neurons 3,17,40..49"));
            }
        };
        Ok(Self { names, list })
    }

    /// The number of neurons; 1 where none are given.
    pub fn count(&self) -> usize {
        self.list.len().max(1)
    }

    /// The inputs of each block of neurons, for so many samples at a time; one block without any where no
    /// layer takes them.
    ///
    /// # Errors
    /// When blocks are asked for, and an output is made of all neurons together.
    pub fn blocks(
        &self,
        model: &Model,
        samples: usize,
        asked: Option<NonZeroUsize>,
    ) -> Result<Vec<Inputs>> {
        let graph = &model.graph;
        let outputs = graph.outputs.iter().map(|&id| graph.value(id).name.as_str());
        let whole = outputs.filter_map(|name| self.quantity(name)).find(|q| q.is_singular());
        let size = match (asked, whole) {
            (Some(_), Some(quantity)) => {
                let what = format!("{} are of all neurons together", quantity.name());
                return Err(Error::request(what).help("leave out --block"));
            }
            (Some(asked), None) => asked.get(),
            (None, Some(_)) => self.count(),
            (None, None) => AT_A_TIME / bytes(model).saturating_mul(samples).max(1),
        };
        let block = |list: &[i64]| {
            let array = Array::from(ndarray::Array1::from(list.to_vec()));
            self.names.iter().map(|name| (name.clone(), array.clone())).collect()
        };
        Ok(match self.list.as_slice() {
            [] => vec![block(&[])],
            list => list.chunks(size.max(1)).map(block).collect(),
        })
    }

    /// The outputs of every job, given those of each block: what has a row for each neuron along `axis`
    /// is joined, and the rest is that of the first block.
    ///
    /// # Errors
    /// The first error of a block.
    pub fn joined(
        &self,
        mut blocks: impl Iterator<Item = Result<Vec<Inputs>>>,
        axis: usize,
    ) -> Result<Vec<Inputs>> {
        let first = blocks.next().transpose()?.unwrap_or_default();
        let mut jobs: Vec<Vec<(String, Vec<Array>)>> = first
            .into_iter()
            .map(|job| job.into_iter().map(|(name, array)| (name, vec![array])).collect())
            .collect();
        for block in blocks {
            for (job, outputs) in jobs.iter_mut().zip(block?) {
                for ((name, parts), (_, part)) in job.iter_mut().zip(outputs) {
                    if self.quantity(name).is_some_and(|q| q.is_of_neurons()) {
                        parts.push(part);
                    }
                }
            }
        }
        let join = |(name, mut parts): (String, Vec<Array>)| match parts.len() {
            1 => Ok((name, parts.remove(0))),
            _ => Array::joined(&parts, axis).map(|whole| (name, whole)),
        };
        jobs.into_iter().map(|job| job.into_iter().map(join).collect()).collect()
    }

    /// The quantity that an output of a layer with given neurons is.
    fn quantity(&self, output: &str) -> Option<Quantity> {
        let (layer, quantity) = output.rsplit_once('/')?;
        let given = self.names.iter().any(|name| name.strip_suffix("/neurons") == Some(layer));
        quantity.parse().ok().filter(|_| given)
    }
}

/// As many samples as take a moderate memory with so many neurons given.
pub fn samples_at_a_time(model: &Model, neurons: usize) -> usize {
    let bytes = bytes(model).saturating_mul(neurons.min(TOGETHER));
    (AT_A_TIME / bytes.max(1)).clamp(1, MOST)
}

/// What a sample takes with one neuron given: its outputs, and some values of the largest's size on the
/// way. Extents that are not known count as 1.
fn bytes(model: &Model) -> usize {
    let graph = &model.graph;
    let outputs = graph.outputs.iter().map(|&id| size(graph.value(id)));
    let computed = graph.values().filter(|(_, value)| value.tensor.is_none());
    let largest = computed.map(|(_, value)| size(value)).max().unwrap_or(0);
    outputs.fold(1, usize::saturating_add).saturating_add(largest.saturating_mul(HELD))
}

fn size(value: &Value) -> usize {
    let dims = value.dims().unwrap_or_default();
    let known = dims.iter().filter_map(fixed).map(|n| usize::try_from(n).unwrap_or(1).max(1));
    let count = known.fold(1, usize::saturating_mul);
    count.saturating_mul(value.dtype.map_or(4, |t| t.bits() / 8))
}
