//! Where the samples of a batch lie: the proof that one seed can serve every sample.

use super::{Program, VarId};
use crate::compile::build::Emit;
use crate::error::{Error, Result};
use crate::graph::{Dim, NodeId};

/// The axis along which samples lie; each sample has `inner` consecutive entries of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Samples {
    /// The axis.
    pub axis: usize,
    /// Entries of the axis that belong to one sample.
    pub inner: Dim,
}

impl Samples {
    /// Where the samples lie after a reshape, `None` where they can't be shown to stay together.
    ///
    /// Elements of one sample stay consecutive if nothing but axes of size 1 stands before the
    /// sample axis, or as much as before.
    pub fn reshaped(&self, from: &[Dim], to: &[Dim]) -> Option<Self> {
        let before = elements(&from[..self.axis])?;
        let total = size(&from[self.axis..]);
        let count = quotient(&from[self.axis], &self.inner)?;
        for axis in 0..=to.len() {
            if elements(&to[..axis]) != Some(before) {
                continue;
            }
            let Some(dim) = to.get(axis) else { continue };
            if let Some(inner) = quotient(dim, &count)
                && size(&to[axis..]) == total
                && (*dim != Dim::Value(1) || total == Dim::Value(1))
            {
                return Some(Self { axis, inner });
            }
        }
        None
    }
}

fn elements(dims: &[Dim]) -> Option<i64> {
    dims.iter().map(crate::graph::fixed).try_fold(1i64, |n, d| n.checked_mul(d?))
}

fn size(dims: &[Dim]) -> Dim {
    dims.iter().cloned().fold(Dim::Value(1), |a, b| a * b).simplify()
}

/// `a / b` where the division is known to leave nothing.
fn quotient(a: &Dim, b: &Dim) -> Option<Dim> {
    match (a, b) {
        (Dim::Value(_), Dim::Value(0)) => None,
        (Dim::Value(x), Dim::Value(y)) => (x % y == 0).then(|| Dim::Value(x / y)),
        _ if a == b => Some(Dim::Value(1)),
        (_, Dim::Value(1)) => Some(a.clone()),
        _ => {
            let q = (a.clone() / b.clone()).simplify();
            ((q.clone() * b.clone()).simplify() == a.clone().simplify()).then_some(q)
        }
    }
}

/// Where the samples lie in every variable, given that `input` has them along `axis`; nowhere in a
/// variable that mixes them and that no layer depends on.
///
/// # Errors
/// When a step on the way to one of `layers` mixes samples or can't be shown not to; the error names
/// its node.
pub fn place_samples(
    e: &Emit,
    program: &Program,
    input: VarId,
    axis: usize,
    layers: &[VarId],
) -> Result<Vec<Option<Samples>>> {
    let mut places: Vec<Option<Samples>> = vec![None; program.var_count()];
    places[input.0] = Some(Samples { axis, inner: Dim::Value(1) });
    let mut changes = vec![false; program.var_count()];
    changes[input.0] = true;
    let mut mixed: Vec<Option<NodeId>> = vec![None; program.var_count()];
    for step in program.steps() {
        // An input that no change reaches is zero and mixes nothing.
        let changing: Vec<VarId> = step.inputs.iter().copied().filter(|v| changes[v.0]).collect();
        let inputs: Option<Vec<_>> = changing
            .iter()
            .map(|&v| places[v.0].as_ref().map(|place| (program.var(v), place)))
            .collect();
        let inputs = inputs.filter(|inputs| !inputs.is_empty());
        let place = inputs.and_then(|i| step.map.samples(&i, program.var(step.output)));
        if place.is_none() {
            let earlier = changing.iter().find_map(|v| mixed[v.0]);
            mixed[step.output.0] = Some(earlier.unwrap_or(step.node));
        }
        changes[step.output.0] = !changing.is_empty();
        places[step.output.0] = place;
    }
    for &layer in layers {
        check_layer(e, layer, axis, &places, &mixed)?;
    }
    Ok(places)
}

fn check_layer(
    e: &Emit,
    layer: VarId,
    axis: usize,
    places: &[Option<Samples>],
    mixed: &[Option<NodeId>],
) -> Result<()> {
    let help = "use --batch none to take the whole input as one sample";
    match &places[layer.0] {
        Some(place) if place.inner == Dim::Value(1) && place.axis == axis => Ok(()),
        Some(place) => Err(Error::request(format!(
            "samples lie along axis {axis} of the input, but along axis {} of the layer, {} entries each",
            place.axis, place.inner
        ))
        .help(help)),
        None => {
            let error = Error::request("samples of the batch may be mixed here").help(help);
            Err(match mixed[layer.0] {
                Some(node) => e.graph(|graph| graph.at(node, error)),
                None => error,
            })
        }
    }
}
