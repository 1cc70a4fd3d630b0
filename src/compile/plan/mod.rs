//! Decisions: direction and memory, from what the linear program and the layers are.

mod ahead;
mod colours;
mod cost;
mod estimate;
mod windows;

use std::fmt;

use super::linear::Samples;
use super::linearise::Linearised;
use super::select::{Layer, Neurons, neuron_count};
use crate::error::{Error, Result};
use crate::graph::Dim;
use ahead::Ahead;
use estimate::{Estimate, Ways};

pub use colours::{Colours, colours};
pub use cost::{Assumed, Cost};
pub use windows::{Sight, sight};

/// In which direction Jacobians are accumulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the layers to the input, a seed a neuron.
    Reverse,
    /// From the input to the layers, a seed an input component.
    Forward,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reverse => "reverse",
            Self::Forward => "forward",
        })
    }
}

/// What was decided, and why.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The direction of each layer.
    pub directions: Vec<Direction>,
    /// Seeds in reverse direction, where known.
    pub reverse_seeds: Option<i64>,
    /// Seeds in forward direction, where known: to the layers that take it, or to all if none does.
    pub forward_seeds: Option<i64>,
    /// Which input components share a seed in forward direction; none where each has its own.
    pub colours: Option<Colours>,
    /// Seconds of a nominal core if all layers took the reverse or the forward direction, and as planned.
    pub seconds: (f64, f64, f64),
    /// The most bytes that one run holds for the projection, unknown sizes taken as assumed.
    pub memory: u64,
    /// What the neurons of each layer see.
    pub sights: Vec<Sight>,
    /// How many neurons of each layer are projected at a time, where not all are.
    pub blocks: Vec<Option<i64>>,
    /// How many seeds are carried forward at a time, where not all are.
    pub sweep: Option<i64>,
    /// What each step costs for a seed of the direction taken; in reverse the sum over the layers, each
    /// with its neurons.
    pub costs: Vec<Cost>,
}

/// What is made of the rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Outputs of a row's size.
    pub rows: usize,
    /// Whether all rows of a layer are needed together in the end, so that blocks are taken only for want
    /// of memory.
    pub whole: bool,
}

/// Limits and overrides.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// The direction asked for.
    pub direction: Option<Direction>,
    /// The most bytes a run may hold; unlimited if none.
    pub memory: Option<u64>,
    /// How many neurons are projected at a time, and seeds carried forward; decided from the memory if none.
    pub block: Option<i64>,
    /// Whether in forward direction each input component has a seed of its own, whoever sees it.
    pub dense: bool,
    /// The sizes that symbolic dimensions are taken to have.
    pub assumed: Assumed,
}

impl Plan {
    /// The direction that all layers take; none where they differ.
    pub fn direction(&self) -> Option<Direction> {
        let first = self.directions.first().copied()?;
        self.directions.iter().all(|&way| way == first).then_some(first)
    }

    /// The name of that direction, `mixed` where there is none.
    pub fn direction_name(&self) -> String {
        self.direction().map_or_else(|| "mixed".to_owned(), |way| way.to_string())
    }

    /// The layers whose rows are accumulated forward.
    pub fn forward(&self) -> impl Iterator<Item = usize> {
        let ways = self.directions.iter().enumerate();
        ways.filter(|(_, way)| **way == Direction::Forward).map(|(layer, _)| layer)
    }
}

/// Decides how the rows of `layers` are accumulated for an input sample of dimensions `input`.
///
/// The directions that take less time by the cost model win, as long as their memory is allowed. Neurons
/// are taken in blocks where all at once would hold more than is allowed or than a cache is good for, and
/// so are seeds that are carried forward.
///
/// # Errors
/// When one neuron at a time would hold more than the limit.
pub fn plan(
    network: &Linearised,
    samples: Option<&[Option<Samples>]>,
    input: &[Dim],
    layers: &[Layer],
    wanted: Wanted,
    limits: &Limits,
) -> Result<Plan> {
    let program = &network.program;
    let sights: Vec<Sight> =
        network.layers.iter().map(|&layer| sight(program, layer, samples)).collect();
    let estimate = Estimate::new(network, &sights, input, layers, wanted, limits);
    let allowed = limits.memory.map_or(f64::INFINITY, |limit| limit as f64);
    let all = |direction| vec![direction; layers.len()];
    let directions = limits.direction.map_or_else(|| estimate.directions(allowed), all);
    let of = |i: &usize| directions[*i] == Direction::Forward;
    let ahead = estimate.ahead((0..layers.len()).filter(of));
    let sweep = estimate.sweep(&ahead, allowed, limits.block);
    let ways = Ways { directions: &directions, ahead: &ahead, sweep };
    let blocks = estimate.blocks(ways, layers, allowed, wanted, limits.block);
    let memory = estimate.memory(ways, &blocks);
    if memory > allowed {
        return Err(too_much(&estimate, memory, allowed, layers.len()));
    }
    let whole = estimate.ahead(0..layers.len());
    let seeds = if directions.contains(&Direction::Forward) { &ahead } else { &whole };
    Ok(Plan {
        reverse_seeds: estimate.reverse_seeds(),
        forward_seeds: seeds.seeds,
        colours: seeds.colours.clone(),
        seconds: (
            estimate.seconds(&all(Direction::Reverse)),
            estimate.seconds(&all(Direction::Forward)),
            estimate.seconds(&directions),
        ),
        memory: memory as u64,
        costs: estimate.costs(ways),
        directions,
        sights,
        blocks,
        sweep,
    })
}

/// The refusal of a run that would hold `memory` bytes, with the least that would do.
fn too_much(estimate: &Estimate, memory: f64, allowed: f64, layers: usize) -> Error {
    let one = |direction, ahead: &Ahead| {
        let ways = Ways { directions: &vec![direction; layers], ahead, sweep: Some(1) };
        estimate.memory(ways, &vec![Some(1); layers])
    };
    let least = one(Direction::Reverse, &Ahead::default());
    let least = least.min(one(Direction::Forward, &estimate.ahead(0..layers)));
    let text = format!(
        "one run would hold about {} for {} neurons, more than --memory {}",
        bytes(memory as u64),
        size(estimate.reverse_seeds()),
        bytes(allowed as u64)
    );
    let help = format!(
        "these neurons need {} at least; choose fewer (--neurons top:K, a list, or runtime), or raise \
         --memory",
        bytes(least as u64)
    );
    Error::request(text).help(help)
}

/// The number of neurons chosen of a layer, where it is known; 1 where they are given at run time.
pub fn chosen_count(layer: &Layer) -> Option<i64> {
    match &layer.neurons {
        Neurons::All => neuron_count(&layer.dims),
        Neurons::Top(k) => Some(*k as i64),
        Neurons::List(list) => Some(list.len() as i64),
        Neurons::Runtime => Some(1),
    }
}

fn size(count: Option<i64>) -> u64 {
    count.map_or(1, |n| n.max(1) as u64)
}

/// A number of bytes for people.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}
