//! The neurons of one layer, all of them at every sample, in as many runs as memory asks for.

use super::probe::{Probe, Request, Rows};
use super::study::{Common, Study, cut, extents};
use crate::compile::plan::{Direction, Plan, bytes};
use crate::compile::project::Quantity;
use crate::compile::select::{self, Choice, Neurons};
use crate::compile::{LayerRequest, Options, transform};
use crate::engine::Array;
use crate::error::{Error, Result};

/// The most neurons of a run in reverse direction: more are no faster and only hold more.
const TOGETHER: usize = 256;
/// The most samples of one run, and the bytes beyond which more at once are no faster.
const SAMPLES: u64 = 32;
const AT_A_TIME: u64 = 512 << 20;

/// The projections of one layer, by sample and block of neurons.
pub struct Sweep {
    probe: Probe,
    alias: String,
    way: Way,
    /// The flat numbers of the neurons; empty where each sample has its own.
    numbers: Vec<i64>,
    /// How many neurons a channel has.
    plane: i64,
    /// The name of the layer's value.
    pub layer: String,
    /// The extents of one sample of the input.
    pub input: Vec<usize>,
    /// How many neurons there are in all.
    pub neurons: usize,
}

enum Way {
    /// All neurons at once, for so many samples.
    Whole(usize),
    /// So many of the neurons at once, a sample at a time.
    Blocks(usize),
}

/// Some neurons of one sample.
pub struct Piece<'a> {
    /// The sample, counted from 0.
    pub sample: usize,
    /// The flat numbers of the neurons.
    pub numbers: Vec<i64>,
    /// Their projections.
    pub rows: Rows<'a>,
    /// Whether they are the last ones of the sample.
    pub last: bool,
}

impl Sweep {
    /// Finds the layer and decides how its `neurons` (all, if none are named) are run.
    ///
    /// # Errors
    /// When the request cannot be met, or not even one neuron fits into the memory.
    pub fn new(
        study: &Study,
        common: &Common,
        layer: LayerRequest,
        neurons: Option<&Choice>,
    ) -> Result<Self> {
        let find = || {
            let graph = &study.prepared.graph;
            let input = select::input(graph, common.input.as_deref())?;
            let path = select::path(graph, &graph.topological()?, input);
            let value = select::find(graph, &path, &layer.what)?;
            let axis = select::batch_axis(graph, input, &[value], common.batch)?;
            let shape = extents(graph, value, axis)?;
            Ok((graph.value(value).name.clone(), shape, extents(graph, input, axis)?))
        };
        let (name, shape, input) = find().map_err(|e| study.at(e))?;
        let all = neurons.unwrap_or(&Choice::All);
        let chosen = resolve(all, &shape).map_err(|e| study.at(e.value(&name)))?;
        let count = match &chosen {
            Chosen::Numbers(list) => list.len(),
            Chosen::Top(count) => *count,
        };
        let components: usize = input.iter().product();
        let request = |choice: Choice, direction| Request {
            input: common.input.as_deref(),
            batch: common.batch,
            layers: vec![layer.clone()],
            neurons: choice,
            emit: &[Quantity::Activity, Quantity::Weights],
            direction,
        };
        let either = count > components && matches!(chosen, Chosen::Numbers(_));
        let mut whole = request(all.clone(), Some(Direction::Reverse).filter(|_| !either));
        let plan = plan_of(study, &whole)?;
        let (need, forward) = (plan.memory, plan.direction() == Some(Direction::Forward));
        let fits = need <= study.memory;
        whole.direction = plan.direction();
        let (numbers, parted) = match chosen {
            Chosen::Numbers(list) => (list, !fits || (!forward && count > TOGETHER)),
            Chosen::Top(_) if fits => (Vec::new(), false),
            Chosen::Top(_) => return Err(study.at(too_large(&name, need, study.memory))),
        };
        let (probe, way) = if parted {
            let one = request(Choice::Runtime, Some(Direction::Reverse));
            let need = plan_of(study, &one)?.memory;
            let size = usize::try_from(study.memory / need.max(1)).unwrap_or(TOGETHER);
            if size == 0 {
                return Err(study.at(too_large(&name, need, study.memory)));
            }
            (Probe::new(study, &one)?, Way::Blocks(size.min(TOGETHER)))
        } else {
            let probe = Probe::new(study, &whole)?;
            let room = study.memory.min(AT_A_TIME);
            let samples = (room / need.max(1)).clamp(1, SAMPLES) as usize;
            let samples = if probe.is_free()? { samples } else { 1 };
            (probe, Way::Whole(samples))
        };
        let alias = probe.summary.layers.first().map(|l| l.alias.clone()).unwrap_or_default();
        let plane = shape.iter().skip(1).product::<usize>() as i64;
        Ok(Self { probe, alias, way, numbers, plane, layer: name, input, neurons: count })
    }

    /// Takes neurons in the order of their places rather than of their channels, where they come in
    /// blocks: those of a block then see the same part of the input.
    pub fn by_place(mut self) -> Self {
        if matches!(self.way, Way::Blocks(_)) && self.plane > 0 {
            let plane = self.plane;
            self.numbers.sort_by_key(|number| (number % plane, number / plane));
        }
        self
    }

    /// Whether each sample has neurons of its own.
    pub fn has_own_neurons(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The number of input components.
    pub fn components(&self) -> usize {
        self.input.iter().product()
    }

    /// Runs samples, given along the first axis, and shows their neurons, block by block.
    ///
    /// # Errors
    /// When a run fails, or `see` does.
    pub fn each(
        &mut self,
        study: &Study,
        data: &Array,
        see: impl FnMut(Piece<'_>) -> Result<()>,
    ) -> Result<()> {
        let count = data.shape().first().copied().unwrap_or(0);
        self.run(study, count, |start, count| Ok(cut(data, start, count)), see)
    }

    /// As [`Sweep::each`], with all samples of the study, which are read as they are wanted.
    ///
    /// # Errors
    /// As [`Sweep::each`], and when samples cannot be read.
    pub fn each_sample(
        &mut self,
        study: &Study,
        see: impl FnMut(Piece<'_>) -> Result<()>,
    ) -> Result<()> {
        self.run(study, study.count(), |start, count| study.samples(start, count), see)
    }

    fn run(
        &mut self,
        study: &Study,
        count: usize,
        read: impl Fn(usize, usize) -> Result<Array>,
        mut see: impl FnMut(Piece<'_>) -> Result<()>,
    ) -> Result<()> {
        let (at_once, block) = match self.way {
            Way::Whole(samples) => (samples, None),
            Way::Blocks(size) => (1, Some(size)),
        };
        for start in (0..count).step_by(at_once) {
            let samples = read(start, at_once.min(count - start))?;
            let blocks: Vec<Option<&[i64]>> = match block {
                Some(size) => self.numbers.chunks(size).map(Some).collect(),
                None => vec![None],
            };
            let last = blocks.len().saturating_sub(1);
            for (index, block) in blocks.into_iter().enumerate() {
                let outputs = self.probe.run(&samples, block).map_err(|e| study.at(e))?;
                let mut sample = start;
                for output in &outputs {
                    for place in 0..output.samples {
                        let rows = output.rows(&self.alias, place)?;
                        let numbers = match block.unwrap_or(&self.numbers) {
                            [] => output.numbers(&self.alias, place)?,
                            known => known.to_vec(),
                        };
                        see(Piece { sample, numbers, rows, last: index == last })?;
                        sample += 1;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Neurons by number, or so many of largest activity.
enum Chosen {
    Numbers(Vec<i64>),
    Top(usize),
}

fn resolve(choice: &Choice, shape: &[usize]) -> Result<Chosen> {
    let dims: Vec<_> = shape.iter().map(|&n| crate::graph::Dim::Value(n as i32)).collect();
    Ok(match choice.resolve(&dims)? {
        Neurons::All => Chosen::Numbers((0..shape.iter().product::<usize>() as i64).collect()),
        Neurons::List(list) => Chosen::Numbers(list),
        Neurons::Top(count) => Chosen::Top(count),
        Neurons::Runtime => {
            return Err(Error::request("there is nobody to name neurons at run time")
                .help("choose all, top:K, or a list such as 3,17,40..49 or [12,:,:]"));
        }
    })
}

/// How one run of one sample would go, and what it holds.
fn plan_of(study: &Study, request: &Request) -> Result<Plan> {
    let options: Options = request.options();
    let planned = transform(study.model.clone(), &options).map_err(|e| study.at(e))?;
    Ok(planned.1.plan)
}

fn too_large(layer: &str, need: u64, memory: u64) -> Error {
    Error::request(format!(
        "one run for one sample would hold about {}, more than --memory {}",
        bytes(need),
        bytes(memory)
    ))
    .value(layer)
    .help(format!("--memory {need} would do, and so would fewer neurons (--neurons)"))
}
