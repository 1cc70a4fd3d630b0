//! Decisions: direction and memory, from what the linear program and the layers are.

mod windows;

use std::fmt;

use super::linear::{Program, Samples};
use super::linearise::Linearised;
use super::select::{Layer, Neurons, neuron_count};
use crate::error::{Error, Result};
use crate::graph::{Dim, fixed};

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
    /// The direction.
    pub direction: Direction,
    /// Seeds in reverse direction, where known.
    pub reverse_seeds: Option<i64>,
    /// Seeds in forward direction, where known.
    pub forward_seeds: Option<i64>,
    /// The most bytes that one run holds for the projection, unknown sizes taken as 1.
    pub memory: u64,
    /// What the neurons of each layer see.
    pub sights: Vec<Sight>,
}

/// Limits and overrides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// The direction asked for.
    pub direction: Option<Direction>,
    /// The most bytes a run may hold; unlimited if none.
    pub memory: Option<u64>,
}

/// Decides how the rows of `layers` are accumulated for an input sample of dimensions `input`.
///
/// The direction with fewer seeds wins. Memory is estimated from the two largest neighbouring
/// variables of the program times the seeds, and the outputs.
///
/// # Errors
/// When a run would hold more than the limit.
pub fn plan(
    network: &Linearised,
    samples: Option<&[Option<Samples>]>,
    input: &[Dim],
    layers: &[Layer],
    limits: Limits,
) -> Result<Plan> {
    let program = &network.program;
    let sights = network.layers.iter().map(|&layer| sight(program, layer, samples)).collect();
    let forward_seeds = neuron_count(input);
    let counts: Option<Vec<i64>> = layers.iter().map(chosen_count).collect();
    let reverse_seeds = counts.map(|counts| counts.iter().fold(0i64, |a, b| a.saturating_add(*b)));
    let direction = limits.direction.unwrap_or(match (reverse_seeds, forward_seeds) {
        (Some(reverse), Some(forward)) if forward < reverse => Direction::Forward,
        _ => Direction::Reverse,
    });
    let rows = size(reverse_seeds);
    let seeds = match direction {
        Direction::Reverse => rows,
        Direction::Forward => size(forward_seeds),
    };
    let outputs = rows.saturating_mul(elements(input)).saturating_mul(3 * 4);
    let memory =
        seeds.saturating_mul(widest_step(program)).saturating_mul(4).saturating_add(outputs);
    let plan = Plan { direction, reverse_seeds, forward_seeds, memory, sights };
    match limits.memory {
        Some(limit) if memory > limit => Err(Error::request(format!(
            "one run would hold about {} for {rows} neurons, more than --memory {}",
            bytes(memory),
            bytes(limit)
        ))
        .help("choose fewer neurons (--neurons top:K, a list, or runtime), or raise --memory")),
        _ => Ok(plan),
    }
}

fn chosen_count(layer: &Layer) -> Option<i64> {
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

fn elements(dims: &[Dim]) -> u64 {
    dims.iter().fold(1u64, |n, d| n.saturating_mul(size(fixed(d))))
}

/// The most elements that a step reads and writes together, a coefficient aside.
fn widest_step(program: &Program) -> u64 {
    let of = |step: &super::linear::Step| {
        let vars = step.inputs.iter().chain(&step.outputs);
        vars.map(|&v| elements(&program.var(v).dims)).fold(0, u64::saturating_add)
    };
    program.steps().iter().map(of).max().unwrap_or(0)
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
