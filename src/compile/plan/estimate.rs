//! Time and memory of the roads that the plan chooses from.

use super::cost::{self, Assumed, Cost};
use super::{Colours, Direction, Sight, Wanted, chosen_count, size};
use crate::compile::linearise::Linearised;
use crate::compile::select::{Layer, Neurons, neuron_count};
use crate::graph::Dim;

/// The bytes that a block of neurons holds where nothing limits it: about what a cache shared by the
/// cores holds, beyond which a larger block gains nothing.
const WORKING_SET: f64 = 16e6;
/// Whole layers are projected at once up to this many bytes.
const AT_ONCE: f64 = 48e6;
/// Both, where a cache does not hold two neurons, so that blocks only limit the memory.
const BEYOND_CACHE: f64 = 256e6;
/// How many times as much as weights a block moves of its rows, where memory allows: weights are read
/// again for each block.
const OVER_WEIGHTS: f64 = 8.0;
/// Tensors of a row's size that its projections need besides the outputs.
const ROWS: f64 = 4.0;

/// The same that a singular pattern analysis needs of all rows of a layer that comes in blocks: the
/// rows, their copy when they become one, the scaled rows and their transpose.
const STACKED: f64 = 4.0;

/// What the layers cost in either direction.
pub struct Estimate {
    /// Seeds in forward direction, where known.
    pub forward_seeds: Option<i64>,
    /// Which input components share them.
    colours: Option<Colours>,
    /// The bytes of the layers' tangents, for one seed.
    tangents: f64,
    /// The number of neurons of each layer, where known.
    counts: Vec<Option<i64>>,
    /// The bytes of one row.
    row: f64,
    /// Outputs of a row's size.
    outputs: f64,
    /// What else of a row's size is held when the rows of all blocks are there.
    stacked: f64,
    /// The cost of each step back for one neuron, by layer.
    back: Vec<Vec<Cost>>,
    /// The cost of each step ahead for one component of the input.
    ahead: Vec<Cost>,
}

impl Estimate {
    /// Estimates the layers for an input sample of dimensions `input`.
    pub fn new(
        network: &Linearised,
        (sights, colours): (&[Sight], Option<&Colours>),
        input: &[Dim],
        layers: &[Layer],
        wanted: Wanted,
        assumed: &Assumed,
    ) -> Self {
        let program = &network.program;
        let pairs = network.layers.iter().zip(sights);
        Self {
            forward_seeds: colours.map_or_else(|| neuron_count(input), |c| Some(c.count())),
            colours: colours.cloned(),
            tangents: network
                .layers
                .iter()
                .map(|&l| assumed.elements(&program.var(l).dims))
                .sum::<f64>()
                * 4.0,
            counts: layers.iter().map(chosen_count).collect(),
            row: assumed.elements(input) * 4.0,
            outputs: wanted.rows as f64,
            stacked: if wanted.whole { STACKED } else { 0.0 },
            back: pairs
                .map(|(&l, sight)| cost::seen(program, (network.input, l), sight, assumed))
                .collect(),
            ahead: cost::whole(program, assumed),
        }
    }

    /// Seeds in reverse direction, where known.
    pub fn reverse_seeds(&self) -> Option<i64> {
        self.counts.iter().try_fold(0i64, |sum, count| Some(sum.saturating_add((*count)?)))
    }

    /// Seconds of a nominal core in reverse and in forward direction.
    pub fn seconds(&self) -> (f64, f64) {
        let back = self.back.iter().zip(&self.counts);
        let back = back.map(|(costs, &n)| total(costs).times(size(n) as f64).seconds()).sum();
        let ahead = total(&self.ahead).times(size(self.forward_seeds) as f64).seconds();
        let neurons: f64 = self.counts.iter().map(|&n| size(n) as f64).sum();
        (back, ahead + self.picked().times(neurons).seconds())
    }

    /// What it costs to make one row of the tangents.
    fn picked(&self) -> Cost {
        let laid_out = 2.0 * size(self.forward_seeds) as f64 * 4.0;
        let (products, repeated) = self.colours.as_ref().map_or((0.0, 0.0), Colours::repeated);
        Cost { products, bytes: laid_out + repeated * 4.0, ..Cost::default() }
    }

    /// The direction that takes less time and is allowed to take its memory.
    pub fn direction(&self, allowed: f64) -> Direction {
        let (back, ahead) = self.seconds();
        let known = self.forward_seeds.is_some() && self.reverse_seeds().is_some();
        let one = vec![Some(1); self.counts.len()];
        let fits = self.memory(Direction::Forward, Some(1), &one) <= allowed;
        if known && ahead < back && fits { Direction::Forward } else { Direction::Reverse }
    }

    /// How many neurons of each layer are projected at a time; none for all of them.
    pub fn blocks(
        &self,
        (direction, sweep): (Direction, Option<i64>),
        layers: &[Layer],
        allowed: f64,
        wanted: Wanted,
        asked: Option<i64>,
    ) -> Vec<Option<i64>> {
        let needs = self.needs(direction);
        let at_once: f64 =
            needs.iter().zip(&self.counts).map(|(need, &n)| need * size(n) as f64).sum();
        let left = allowed - self.outputs() - self.swept(direction, sweep);
        let stacked: f64 = self.counts.iter().map(|&n| self.stacked_of(n)).sum();
        let left_in_blocks = left - self.outputs() - stacked;
        let light = self.is_light(direction);
        let block = |(layer, (&need, costs)): (&Layer, (&f64, &Vec<Cost>))| {
            let count = chosen_count(layer).filter(|_| layer.neurons != Neurons::Runtime)?;
            let cached = 2.0 * need <= WORKING_SET;
            let few = if cached { AT_ONCE } else { BEYOND_CACHE };
            let most = match asked {
                Some(asked) => asked,
                None if at_once <= left && (at_once <= few || light || wanted.whole) => {
                    return None;
                }
                None => {
                    let set = self.working_set(direction, need, costs);
                    ((set.min(left_in_blocks) / need) as i64).max(1)
                }
            };
            (most < count).then(|| even(count, most))
        };
        layers.iter().zip(needs.iter().zip(&self.back)).map(block).collect()
    }

    /// Whether little but the rows themselves is held, so that blocks only copy them once more.
    fn is_light(&self, direction: Direction) -> bool {
        match direction {
            Direction::Forward => self.colours.is_none(),
            Direction::Reverse => self.back.iter().all(|costs| total(costs).held <= self.row),
        }
    }

    /// The bytes that a block holds where memory does not limit it.
    fn working_set(&self, direction: Direction, need: f64, costs: &[Cost]) -> f64 {
        let set = if 2.0 * need <= WORKING_SET { WORKING_SET } else { BEYOND_CACHE };
        if direction == Direction::Forward {
            return set;
        }
        let cost = total(costs);
        let over_weights = OVER_WEIGHTS * cost.weights / cost.bytes.max(1.0) * need;
        set.max(over_weights.min(BEYOND_CACHE))
    }

    /// How many seeds are carried forward at a time; none for all of them.
    pub fn sweep(&self, direction: Direction, allowed: f64, asked: Option<i64>) -> Option<i64> {
        let count = self.forward_seeds.filter(|_| direction == Direction::Forward)?;
        let need = total(&self.ahead).held;
        let at_once = need * count as f64;
        let left = allowed - self.outputs() - self.kept();
        let most = match asked {
            Some(asked) => asked,
            None if at_once <= AT_ONCE.min(left) => return None,
            None => ((WORKING_SET.min(left) / need) as i64).max(1),
        };
        (most < count).then(|| even(count, most))
    }

    /// The most bytes that a run holds, with so many seeds at a time and neurons of each layer.
    pub fn memory(&self, direction: Direction, sweep: Option<i64>, blocks: &[Option<i64>]) -> f64 {
        let (mut together, mut largest, mut copies) = (0.0, 0.0f64, 0.0);
        let needs = self.needs(direction);
        for ((block, &count), need) in blocks.iter().zip(&self.counts).zip(needs) {
            match block {
                None => together += need * size(count) as f64,
                // The blocks are stacked first, and then made one.
                Some(block) => {
                    largest = largest.max(*block as f64 * need);
                    copies += self.outputs_of(count) + self.stacked_of(count);
                }
            }
        }
        self.swept(direction, sweep) + self.outputs() + copies + largest.max(together)
    }

    /// What each step costs in a direction, for all its seeds.
    pub fn costs(&self, direction: Direction) -> Vec<Cost> {
        let ahead = |cost: &Cost| cost.times(size(self.forward_seeds) as f64);
        if direction == Direction::Forward {
            return self.ahead.iter().map(ahead).collect();
        }
        let of_step = |step: usize| {
            let layers = self.back.iter().zip(&self.counts);
            layers.map(|(costs, &n)| costs[step].times(size(n) as f64)).sum()
        };
        (0..self.ahead.len()).map(of_step).collect()
    }

    /// The bytes that one neuron of each layer holds while it is projected.
    fn needs(&self, direction: Direction) -> Vec<f64> {
        let seeds = size(self.forward_seeds) as f64 * 4.0;
        let own = |costs: &Vec<Cost>| match direction {
            Direction::Forward => seeds,
            Direction::Reverse => total(costs).held,
        };
        self.back.iter().map(|costs| own(costs) + ROWS * self.row).collect()
    }

    /// The bytes of tangents while they are carried forward, so many seeds at a time, and of those kept.
    fn swept(&self, direction: Direction, sweep: Option<i64>) -> f64 {
        match direction {
            Direction::Forward => {
                let seeds = size(sweep.or(self.forward_seeds)) as f64;
                total(&self.ahead).held * seeds + self.kept()
            }
            Direction::Reverse => 0.0,
        }
    }

    /// The bytes of the layers' tangents, twice, since they are laid out by neuron.
    fn kept(&self) -> f64 {
        2.0 * self.tangents * size(self.forward_seeds) as f64
    }

    /// The bytes of the outputs if no layer comes in blocks.
    fn outputs(&self) -> f64 {
        self.counts.iter().map(|&n| self.outputs_of(n)).sum()
    }

    fn outputs_of(&self, count: Option<i64>) -> f64 {
        size(count) as f64 * self.row * self.outputs
    }

    /// The bytes of what is made of the rows of all blocks beside the outputs.
    fn stacked_of(&self, count: Option<i64>) -> f64 {
        size(count) as f64 * self.row * self.stacked
    }
}

fn total(costs: &[Cost]) -> Cost {
    costs.iter().copied().sum()
}

/// The largest block up to `most` that divides the count, or about so where none above the half does.
fn even(count: i64, most: i64) -> i64 {
    let divides = (most / 2 + 1..=most).rev().find(|block| count % block == 0);
    divides.unwrap_or_else(|| {
        let blocks = (count + most - 1) / most;
        (count + blocks - 1) / blocks
    })
}
