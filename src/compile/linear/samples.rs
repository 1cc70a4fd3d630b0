//! Where the samples of a batch lie: the proof that one seed can serve every sample.

use super::{Program, VarId};
use crate::compile::build::Emit;
use crate::compile::infer::tidy;
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
        let total = size(&from[self.axis..])?;
        let count = quotient(&from[self.axis], &self.inner)?;
        for axis in 0..=to.len() {
            if elements(&to[..axis]) != Some(before) {
                continue;
            }
            let Some(dim) = to.get(axis) else { continue };
            if let Some(inner) = quotient(dim, &count)
                && size(&to[axis..]).as_ref() == Some(&total)
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

/// The product, where it is no larger than a dimension can be.
fn size(dims: &[Dim]) -> Option<Dim> {
    tidy(&dims.iter().cloned().fold(Dim::Value(1), |a, b| a * b))
}

/// `a / b` where the division is known to leave nothing.
fn quotient(a: &Dim, b: &Dim) -> Option<Dim> {
    match (a, b) {
        (Dim::Value(_), Dim::Value(0)) => None,
        (Dim::Value(x), Dim::Value(y)) => (x % y == 0).then(|| Dim::Value(x / y)),
        _ if a == b => Some(Dim::Value(1)),
        (_, Dim::Value(1)) => Some(a.clone()),
        _ => {
            let q = tidy(&(a.clone() / b.clone()))?;
            (tidy(&(q.clone() * b.clone()))? == tidy(a)?).then_some(q)
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
    let start = Samples { axis, inner: Dim::Value(1) };
    let Spread { places, mixed, .. } = spread(program, &[(input, Some(start))]);
    for &layer in layers {
        check_layer(e, layer, axis, &places, &mixed)?;
    }
    Ok(places)
}

/// Where samples lie in the variables of a program.
pub struct Spread {
    /// The place in each variable, where there is one.
    pub places: Vec<Option<Samples>>,
    /// Whether the variable changes at all.
    pub changes: Vec<bool>,
    /// The node that mixed the samples of a variable.
    mixed: Vec<Option<NodeId>>,
}

/// Follows the samples of the variables that `starts` names, none where they are mixed already.
pub fn spread(program: &Program, starts: &[(VarId, Option<Samples>)]) -> Spread {
    let mut places: Vec<Option<Samples>> = vec![None; program.var_count()];
    let mut changes = vec![false; program.var_count()];
    for (var, place) in starts {
        places[var.0].clone_from(place);
        changes[var.0] = true;
    }
    let mut mixed: Vec<Option<NodeId>> = vec![None; program.var_count()];
    for step in program.steps() {
        // An input that no change reaches is zero and mixes nothing.
        let changing: Vec<VarId> = step.inputs.iter().copied().filter(|v| changes[v.0]).collect();
        if changing.is_empty() {
            continue;
        }
        let known = changing.iter().all(|v| places[v.0].is_some());
        let place = |v: &VarId| places[v.0].as_ref().map(|place| (program.var(*v), place));
        let inputs: Vec<_> = step.inputs.iter().map(place).collect();
        let outputs: Vec<_> = step.outputs.iter().map(|&v| program.var(v)).collect();
        let found = if known { step.map.samples(&inputs, &outputs) } else { Vec::new() };
        let earlier = changing.iter().find_map(|v| mixed[v.0]);
        let found = found.into_iter().chain(std::iter::repeat(None));
        for (output, place) in step.outputs.iter().zip(found) {
            if place.is_none() {
                mixed[output.0] = Some(earlier.unwrap_or(step.node));
            }
            changes[output.0] = true;
            places[output.0] = place;
        }
    }
    Spread { places, changes, mixed }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Dimensions such as `N,2*T,3`.
    fn dims(text: &str) -> Vec<Dim> {
        let factor = |text: &str| match text.parse() {
            Ok(n) => Dim::Value(n),
            Err(_) => Dim::pos_var(text),
        };
        let product = |text: &str| text.split('*').map(factor).reduce(|a, b| a * b);
        text.split(',').filter_map(product).map(|dim| dim.simplify()).collect()
    }

    /// The axis and the entries a sample after a reshape from samples at `axis`, `inner` entries each.
    fn reshaped(from: &str, (axis, inner): (usize, &str), to: &str) -> Option<(usize, Dim)> {
        let samples = Samples { axis, inner: dims(inner).remove(0) };
        samples.reshaped(&dims(from), &dims(to)).map(|samples| (samples.axis, samples.inner))
    }

    #[track_caller]
    fn check(from: &str, at: (usize, &str), to: &str, wanted: (usize, &str)) {
        let wanted = Some((wanted.0, dims(wanted.1).remove(0)));
        assert_eq!(reshaped(from, at, to), wanted, "{from} to {to}");
    }

    #[test]
    fn samples_stay_apart() {
        check("3,4,5", (0, "1"), "3,20", (0, "1"));
        check("3,4,5", (0, "1"), "12,5", (0, "4"));
        check("3,4,5", (0, "1"), "60", (0, "20"));
        check("12,5", (0, "4"), "3,4,5", (0, "1"));
        check("12,5", (0, "4"), "6,10", (0, "2"));
        check("3,4", (0, "1"), "1,3,4", (1, "1"));
        check("1,3,4", (1, "1"), "3,4", (0, "1"));
        check("2,3,4", (1, "1"), "2,12", (1, "4"));
        check("2,3,4", (1, "1"), "1,2,3,2,2", (2, "1"));
        check("N,4,5", (0, "1"), "N,20", (0, "1"));
        check("N,4,5", (0, "1"), "4*N,5", (0, "4"));
        check("4*N,5", (0, "4"), "N,4,5", (0, "1"));
        check("N,T,5", (0, "1"), "N*T,5", (0, "T"));
        check("N*T,5", (0, "T"), "N,T,5", (0, "1"));
        check("N,C,H,W", (0, "1"), "N,C*H*W", (0, "1"));
        check("1,N,4", (1, "1"), "N,4", (0, "1"));
    }

    #[test]
    fn samples_that_may_be_torn_apart_are_refused() {
        for (from, at, to) in [
            ("4,6", (0, "1"), "2,12"),
            ("4,6", (0, "1"), "3,8"),
            ("2,3,4", (1, "1"), "6,4"),
            ("2,3,4", (1, "1"), "3,2,4"),
            ("2,3,4", (2, "1"), "24"),
            ("N,4", (0, "1"), "M,4"),
            ("N,T,5", (0, "1"), "T,N,5"),
            ("H,N,4", (1, "1"), "H*N,4"),
            ("N,6", (0, "1"), "2,3*N"),
            ("0,6", (0, "1"), "0,2,3"),
        ] {
            assert_eq!(reshaped(from, at, to), None, "{from} to {to}");
        }
    }

    #[test]
    fn sizes_beyond_32_bits_are_no_panic() {
        let big = "65536,65536,65536";
        assert!(
            reshaped(&format!("N,{big}"), (0, "1"), &format!("N,{big}")).is_none_or(|s| s.0 == 0)
        );
        assert!(reshaped(&format!("2,{big}"), (0, "1"), "N,7").is_none());
    }
}
