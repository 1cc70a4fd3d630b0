//! The state of a network: which ReLUs are active and which input won each pooling window; and the
//! distance to the nearest input at which one of these switches changes.
//!
//! A [`Switch`] is an operator with a position for each of its elements. Within the region where no
//! position changes the network is affine, so each position ends at a hyperplane, and the least
//! distance to one of these is the exact radius of the region. The slopes come from one sweep from the
//! input forward, a seed an input component or a colour: it costs as much memory as that many copies of
//! the widest value. Of the slopes only norms are taken, so those that share a seed stay as they are.

mod find;
mod levels;
mod winners;

use super::accumulate::{Task, tangents};
use super::build::{Emit, Expr};
use super::linear::{Samples, VarId};
use super::plan::{self, Limits, bytes};
use crate::error::{Error, Result};
use crate::graph::{DataType, Dim, NodeId, fixed};
pub use find::find;
use levels::Levels;
use winners::Winners;

/// One operator that switches.
pub struct Switch<'e> {
    /// Its node.
    pub node: NodeId,
    /// The number of elements in one sample.
    pub count: Dim,
    /// The variable whose dimensions the elements have.
    like: VarId,
    samples: Option<Samples>,
    kind: Kind<'e>,
}

/// What decides on the position.
enum Kind<'e> {
    /// Between which levels a value lies.
    Levels(Levels<'e>),
    /// Which of several values is the largest or the least.
    Winners(Winners<'e>),
}

/// How much is held at once beside a change itself, while its norm is taken.
const COPIES: u64 = 3;

impl<'e> Switch<'e> {
    /// How many positions there are, where it is known.
    fn positions(&self) -> Option<usize> {
        match &self.kind {
            Kind::Levels(levels) => Some(levels.count() + 1),
            Kind::Winners(winners) => winners.candidates(),
        }
    }

    /// The position of each element `[N, S]`, int64.
    fn position(&self, e: &'e Emit) -> Expr<'e> {
        e.scope_of(self.node);
        let position = match &self.kind {
            Kind::Levels(levels) => levels.position(),
            Kind::Winners(winners) => winners.position(),
        };
        self.by_sample(position)
    }

    /// The distance of the input from where each element changes its position, `[N, S]`; infinite
    /// where it never does. With `beyond`, from the nearest such place on which the input does not lie.
    fn distance(&self, e: &'e Emit, tangents: &[Option<Expr<'e>>], beyond: bool) -> Expr<'e> {
        e.scope_of(self.node);
        let distance = match &self.kind {
            Kind::Levels(levels) => levels.distance(tangents, beyond),
            Kind::Winners(winners) => winners.distance(tangents, beyond),
        };
        self.by_sample(distance)
    }

    /// `[.., outer·N·inner, ..]` as `[N, S]`.
    fn by_sample(&self, x: Expr<'e>) -> Expr<'e> {
        let dims = x.dims();
        let Some(samples) = &self.samples else {
            return x.reshape(&[Dim::Value(1), x.e.product(&dims)]);
        };
        let Some(count) = samples.count(&dims[samples.axis]) else { return x };
        let (before, after) = (&dims[..samples.axis], &dims[samples.axis + 1..]);
        let split = [samples.outer.clone(), count.clone(), samples.inner.clone()];
        let split: Vec<Dim> = before.iter().chain(&split).chain(after).cloned().collect();
        let place = samples.axis + 1;
        let mut perm = vec![place];
        perm.extend((0..split.len()).filter(|&axis| axis != place));
        let rest: Vec<Dim> = perm[1..].iter().map(|&axis| split[axis].clone()).collect();
        x.reshape(&split).transpose(&perm).reshape(&[count, x.e.product(&rest)])
    }
}

/// The positions of all switches `[N, S]`, one after another: uint8, or int32 where one has more than
/// 256 positions. A ReLU's is 1 where it is active, a pooling window's the winner's place in it.
///
/// # Errors
/// When there is no switch.
pub fn state<'e>(e: &'e Emit, switches: &[Switch<'e>]) -> Result<Expr<'e>> {
    if switches.is_empty() {
        return Err(Error::request("nothing switches between the input and this layer").help(
            "leave out this layer, or state: the layer is affine or smooth in the input, and the \
             state of a later one holds every switch before it",
        ));
    }
    let few = switches.iter().all(|s| s.positions().is_some_and(|count| count <= 256));
    let dtype = if few { DataType::U8 } else { DataType::I32 };
    let positions: Vec<_> = switches.iter().map(|s| s.position(e).cast(dtype)).collect();
    Ok(Expr::concat(&positions, 1))
}

/// The nearest borders of the linear region.
#[derive(Clone, Copy)]
pub struct Region<'e> {
    /// The distance of the nearest one, the radius `[N]`.
    pub radius: Expr<'e>,
    /// The place of its switch in the state `[N]`, int64; −1 where the radius is infinite.
    pub nearest: Expr<'e>,
    /// The distance of the nearest one on which the input does not lie `[N]`.
    pub beyond: Expr<'e>,
}

/// How far the linear region reaches; infinitely where nothing switches.
///
/// The radius is the least `|v| / ‖ŵ‖` over ReLUs and `margin / ‖Δŵ‖` over the winner and the losers of a
/// window, those that move alike aside. Where two candidates are tied and move apart, as over a blank
/// background, the input lies on the border and the radius is 0. An activity is known to its rounding
/// only, so in float32 a radius below about 1e-6 of ‖x‖ is no more than that.
pub fn radius<'e>(
    e: &'e Emit,
    switches: &[Switch<'e>],
    tangents: &[Option<Expr<'e>>],
    (samples, dtype): (&Dim, DataType),
) -> Region<'e> {
    let lead = std::slice::from_ref(samples);
    if switches.is_empty() {
        let radius = Expr::filled(e, dtype, f64::INFINITY, lead);
        return Region { radius, nearest: e.int(-1).expand(lead), beyond: radius };
    }
    // The least of infinities is the largest finite number in tract.
    let most = if dtype == DataType::F64 { f64::MAX } else { f64::from(f32::MAX) };
    let least = |beyond| {
        let distances: Vec<_> = switches.iter().map(|s| s.distance(e, tangents, beyond)).collect();
        let all = Expr::concat(&distances, 1);
        let least = all.reduce("ReduceMin", &[1], false).assume(lead);
        let bounded = least.binary("Less", least.number(most));
        (all, bounded, least.where_(bounded, least.number(f64::INFINITY)))
    };
    let (all, bounded, radius) = least(false);
    let nearest = e.op("ArgMin", &[all], &[("axis", 1.into()), ("keepdims", 0.into())]);
    let nearest = nearest.assume(lead).where_(bounded, e.int(-1));
    Region { radius, nearest, beyond: least(true).2 }
}

/// The tangents of every variable for the switches of every layer: a seed an input component, or a colour
/// where each element of a switch sees a small part of the input. What competes in an element is seen by
/// it, so their tangents differ in a colour as they do in the component that both see of it, if any.
///
/// # Errors
/// When they would take more than the limit.
pub fn sweep<'e>(
    task: &Task<'e, '_>,
    switches: &[Vec<Switch<'e>>],
    sample: &[Dim],
    limits: &Limits,
) -> Result<Vec<Option<Expr<'e>>>> {
    let program = &task.network.program;
    let values = (0..program.var_count()).map(|i| elements(&program.var(VarId(i)).dims));
    let candidates = switches.iter().flatten().map(|switch| {
        let each = match &switch.kind {
            Kind::Levels(_) => 1,
            Kind::Winners(winners) => winners.candidates().unwrap_or(1) as u64,
        };
        elements(&program.var(switch.like).dims).saturating_mul(each)
    });
    let widest = values.chain(candidates).max().unwrap_or(0);
    // The last switches see most, and all of the input first.
    let last = switches.iter().flatten().rev();
    let sights = last.map(|s| plan::sight(program, s.like, task.samples));
    let colours = plan::colours(program, task.network.input, sights).filter(|_| !limits.dense);
    let seeds = colours.as_ref().map_or_else(|| elements(sample), |c| c.count() as u64);
    let needed = seeds.saturating_mul(widest).saturating_mul(4 * COPIES);
    match limits.memory {
        Some(limit) if needed > limit => Err(Error::request(format!(
            "the radius takes the slopes of every switch by {seeds} inputs, about {} at once, more \
             than --memory {}",
            bytes(needed),
            bytes(limit)
        ))
        .help("ask for the radius of an earlier layer, or raise --memory")),
        _ => Ok(tangents(task.e, task.network, task.samples, colours.as_ref(), None)),
    }
}

fn elements(dims: &[Dim]) -> u64 {
    let size = |d: &Dim| fixed(d).map_or(1, |n| n.max(1) as u64);
    dims.iter().fold(1u64, |n, d| n.saturating_mul(size(d)))
}

/// The norms over the seeds of changes `[D, ..]`, scaled by the largest magnitude first, since |ŵ| near
/// 1e-22 squares to zero in float32.
fn norms(change: Expr<'_>) -> Expr<'_> {
    let (e, dims) = (change.e, change.dims());
    let largest = change.unary("Abs").reduce("ReduceMax", &[0], true);
    let none = largest.binary("Equal", largest.number(0.0));
    let scale = change.number(1.0).where_(none, largest);
    let unit = change / scale;
    let ones = Expr::filled(e, change.dtype(), 1.0, &[Dim::Value(1), dims[0].clone()]);
    let flat = (unit * unit).reshape(&[dims[0].clone(), e.product(&dims[1..])]);
    let norm = ones.binary("MatMul", flat).unary("Sqrt").reshape(&dims[1..]);
    norm * largest.reshape(&dims[1..])
}

/// `margin / norm`, infinite where the norm is 0.
fn away<'e>(margin: Expr<'e>, norm: Expr<'e>) -> Expr<'e> {
    let moves = norm.binary("Greater", norm.number(0.0));
    let distance = margin / norm.where_(moves, norm.number(1.0));
    distance.where_(moves, margin.number(f64::INFINITY))
}

/// Margins with those of 0 taken as infinite.
fn positive(margin: Expr<'_>) -> Expr<'_> {
    let apart = margin.binary("Greater", margin.number(0.0));
    margin.where_(apart, margin.number(f64::INFINITY))
}

#[cfg(test)]
mod tests;
