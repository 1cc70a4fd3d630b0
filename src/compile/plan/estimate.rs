//! Time and memory of the roads that the plan chooses from.

use super::ahead::Ahead;
use super::cost::{self, Cost};
use super::{Colours, Direction, Limits, Sight, Wanted, chosen_count, colours, size};
use crate::compile::linear::VarId;
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
    /// Input components, where known.
    components: Option<i64>,
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
    /// The cost of each step ahead for one seed.
    ahead: Vec<Cost>,
    /// The same of all steps before each, and of all.
    before: Vec<Cost>,
    /// By layer, how many steps lead to it, its colours if it were alone, and the bytes of its tangent for
    /// one seed.
    ends: Vec<(usize, Option<Colours>, f64)>,
}

impl Estimate {
    /// Estimates the layers for an input sample of dimensions `input`.
    pub fn new(
        network: &Linearised,
        sights: &[Sight],
        input: &[Dim],
        layers: &[Layer],
        wanted: Wanted,
        limits: &Limits,
    ) -> Self {
        let (program, assumed) = (&network.program, &limits.assumed);
        let ahead = cost::whole(program, assumed);
        let mut before = vec![Cost::default()];
        for cost in &ahead {
            before.push([before[before.len() - 1], *cost].into_iter().sum());
        }
        let mut made = vec![0; program.var_count()];
        for (i, step) in program.steps().iter().enumerate() {
            step.outputs.iter().for_each(|v| made[v.0] = i + 1);
        }
        let end = |(layer, sight): (&VarId, &Sight)| {
            let colours = colours(program, network.input, [sight]);
            let tangent = assumed.elements(&program.var(*layer).dims) * 4.0;
            (made[layer.0], colours.filter(|_| !limits.dense), tangent)
        };
        let pairs = || network.layers.iter().zip(sights);
        let seen = |(&layer, sight)| cost::seen(program, (network.input, layer), sight, assumed);
        Self {
            components: neuron_count(input),
            counts: layers.iter().map(chosen_count).collect(),
            row: assumed.elements(input) * 4.0,
            outputs: wanted.rows as f64,
            stacked: if wanted.whole { STACKED } else { 0.0 },
            back: pairs().map(seen).collect(),
            ends: pairs().map(end).collect(),
            ahead,
            before,
        }
    }

    /// Seeds in reverse direction, where known.
    pub fn reverse_seeds(&self) -> Option<i64> {
        self.counts.iter().try_fold(0i64, |sum, count| Some(sum.saturating_add((*count)?)))
    }

    /// A sweep forward to some of the layers.
    pub fn ahead(&self, layers: impl IntoIterator<Item = usize>) -> Ahead {
        layers.into_iter().fold(Ahead::default(), |ahead, layer| self.further(&ahead, layer))
    }

    /// A sweep that reaches one more layer.
    fn further(&self, ahead: &Ahead, layer: usize) -> Ahead {
        let (steps, colours, tangent) = &self.ends[layer];
        let joint = match (&ahead.colours, colours) {
            (Some(a), Some(b)) => a.join(b),
            (None, Some(b)) if ahead.seeds.is_none() => Some(b.clone()),
            _ => None,
        };
        let own = self.before[*steps];
        let longer = own.products + own.bytes > ahead.sweep.products + ahead.sweep.bytes;
        Ahead {
            seeds: joint.as_ref().map_or(self.components, |joint| Some(joint.count())),
            colours: joint,
            sweep: if longer { own } else { ahead.sweep },
            tangents: ahead.tangents + tangent,
        }
    }

    /// Seconds of a nominal core for some layers in reverse.
    fn reverse_seconds(&self, layer: usize) -> f64 {
        total(&self.back[layer]).times(size(self.counts[layer]) as f64).seconds()
    }

    /// Seconds of a nominal core with each layer in its direction.
    pub fn seconds(&self, directions: &[Direction]) -> f64 {
        let (forward, reverse): (Vec<usize>, Vec<usize>) =
            (0..directions.len()).partition(|&layer| directions[layer] == Direction::Forward);
        let neurons: f64 = forward.iter().map(|&layer| size(self.counts[layer]) as f64).sum();
        let back: f64 = reverse.into_iter().map(|layer| self.reverse_seconds(layer)).sum();
        self.ahead(forward).seconds(neurons) + back
    }

    /// The directions that take the least time and are allowed to take their memory: forward as far as some
    /// layer, and in reverse from those behind it.
    pub fn directions(&self, allowed: f64) -> Vec<Direction> {
        let layers = self.counts.len();
        let mut best = vec![Direction::Reverse; layers];
        let mut order: Vec<usize> =
            (0..layers).filter(|&layer| self.counts[layer].is_some()).collect();
        order.sort_by_key(|&layer| self.ends[layer].0);
        let mut back: f64 = (0..layers).map(|layer| self.reverse_seconds(layer)).sum();
        let (mut least, mut neurons) = (back, 0.0);
        let (mut ahead, mut directions) = (Ahead::default(), best.clone());
        for layer in order {
            ahead = self.further(&ahead, layer);
            directions[layer] = Direction::Forward;
            neurons += size(self.counts[layer]) as f64;
            back -= self.reverse_seconds(layer);
            let seconds = ahead.seconds(neurons) + back;
            let ways = Ways { directions: &directions, ahead: &ahead, sweep: Some(1) };
            if ahead.seeds.is_some()
                && seconds < least
                && self.memory(ways, &vec![Some(1); layers]) <= allowed
            {
                (least, best) = (seconds, directions.clone());
            }
        }
        best
    }

    /// How many neurons of each layer are projected at a time; none for all of them.
    pub fn blocks(
        &self,
        ways: Ways,
        layers: &[Layer],
        allowed: f64,
        wanted: Wanted,
        asked: Option<i64>,
    ) -> Vec<Option<i64>> {
        let needs = self.needs(ways);
        let at_once: f64 =
            needs.iter().zip(&self.counts).map(|(need, &n)| need * size(n) as f64).sum();
        let left = allowed - self.outputs() - ways.swept();
        let stacked: f64 = self.counts.iter().map(|&n| self.stacked_of(n)).sum();
        let left_in_blocks = left - self.outputs() - stacked;
        let block = |(i, layer): (usize, &Layer)| {
            let (need, way) = (needs[i], ways.directions[i]);
            let count = chosen_count(layer).filter(|_| layer.neurons != Neurons::Runtime)?;
            let cached = 2.0 * need <= WORKING_SET;
            let few = if cached { AT_ONCE } else { BEYOND_CACHE };
            let light = self.is_light(ways, way);
            let most = match asked {
                Some(asked) => asked,
                None if at_once <= left && (at_once <= few || light || wanted.whole) => {
                    return None;
                }
                None => {
                    let set = working_set(way, need, &self.back[i]);
                    ((set.min(left_in_blocks) / need) as i64).max(1)
                }
            };
            (most < count).then(|| even(count, most))
        };
        layers.iter().enumerate().map(block).collect()
    }

    /// Whether little but the rows themselves is held, so that blocks only copy them once more.
    fn is_light(&self, ways: Ways, direction: Direction) -> bool {
        match direction {
            Direction::Forward => ways.ahead.colours.is_none(),
            Direction::Reverse => self.back.iter().all(|costs| total(costs).held <= self.row),
        }
    }

    /// How many seeds are carried forward at a time; none for all of them.
    pub fn sweep(&self, ahead: &Ahead, allowed: f64, asked: Option<i64>) -> Option<i64> {
        let (count, need) = (ahead.seeds?, ahead.sweep.held);
        let left = allowed - self.outputs() - ahead.kept();
        let most = match asked {
            Some(asked) => asked,
            None if need * count as f64 <= BEYOND_CACHE.min(left) => return None,
            None => ((WORKING_SET.min(left) / need) as i64).max(1),
        };
        (most < count).then(|| even(count, most))
    }

    /// The most bytes that a run holds, with so many neurons of each layer at a time.
    pub fn memory(&self, ways: Ways, blocks: &[Option<i64>]) -> f64 {
        let (mut together, mut largest, mut copies) = (0.0, 0.0f64, 0.0);
        let needs = self.needs(ways);
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
        ways.swept() + self.outputs() + copies + largest.max(together)
    }

    /// What each step costs with each layer in its direction, for all seeds.
    pub fn costs(&self, ways: Ways) -> Vec<Cost> {
        let pairs = || ways.directions.iter().enumerate();
        let forward = pairs().filter(|(_, way)| **way == Direction::Forward);
        let swept = forward.map(|(layer, _)| self.ends[layer].0).max().unwrap_or(0);
        let seeds = size(ways.ahead.seeds) as f64;
        let of_step = |step: usize| {
            let back = pairs().filter(|(_, way)| **way == Direction::Reverse);
            let back = back
                .map(|(layer, _)| self.back[layer][step].times(size(self.counts[layer]) as f64));
            let ahead = (step < swept).then(|| self.ahead[step].times(seeds));
            back.chain(ahead).sum()
        };
        (0..self.ahead.len()).map(of_step).collect()
    }

    /// The bytes that one neuron of each layer holds while it is projected.
    fn needs(&self, ways: Ways) -> Vec<f64> {
        let own = |(costs, way): (&Vec<Cost>, &Direction)| match way {
            Direction::Forward => ways.ahead.column() + ROWS * self.row,
            Direction::Reverse => total(costs).held + ROWS * self.row,
        };
        self.back.iter().zip(ways.directions).map(own).collect()
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

/// The direction of each layer, and the sweep forward with so many seeds at a time.
#[derive(Clone, Copy)]
pub struct Ways<'p> {
    /// The direction of each layer.
    pub directions: &'p [Direction],
    /// The sweep to those whose rows are accumulated forward.
    pub ahead: &'p Ahead,
    /// How many seeds at a time; none for all of them.
    pub sweep: Option<i64>,
}

impl Ways<'_> {
    /// The bytes of the tangents that rows are made of.
    fn swept(&self) -> f64 {
        if self.directions.contains(&Direction::Forward) {
            self.ahead.memory(self.sweep)
        } else {
            0.0
        }
    }
}

/// The bytes that a block holds where memory does not limit it.
fn working_set(direction: Direction, need: f64, costs: &[Cost]) -> f64 {
    let set = if 2.0 * need <= WORKING_SET { WORKING_SET } else { BEYOND_CACHE };
    if direction == Direction::Forward {
        return set;
    }
    let cost = total(costs);
    let over_weights = OVER_WEIGHTS * cost.weights / cost.bytes.max(1.0) * need;
    set.max(over_weights.min(BEYOND_CACHE))
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
