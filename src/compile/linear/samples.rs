//! Where the samples of a batch lie: the proof that one seed can serve every sample.

use super::{Program, VarId};
use crate::compile::build::Emit;
use crate::compile::infer::tidy;
use crate::error::{Error, Result};
use crate::graph::{Dim, NodeId};

/// The axis along which samples lie: its entries are `outer` runs over all samples, each of which has
/// `inner` consecutive entries of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Samples {
    /// The axis.
    pub axis: usize,
    /// How often the axis runs over all samples.
    pub outer: Dim,
    /// Consecutive entries of the axis that belong to one sample.
    pub inner: Dim,
}

impl Samples {
    /// An axis that has one entry for each sample.
    #[must_use]
    pub fn along(axis: usize) -> Self {
        Self { axis, outer: Dim::Value(1), inner: Dim::Value(1) }
    }

    /// Whether the axis has one entry for each sample.
    #[must_use]
    pub fn single(&self) -> bool {
        self.outer == Dim::Value(1) && self.inner == Dim::Value(1)
    }

    /// The number of samples, the axis being of size `dim`.
    #[must_use]
    pub fn count(&self, dim: &Dim) -> Option<Dim> {
        quotient(dim, &size([&self.outer, &self.inner])?)
    }

    /// Where the samples lie after a reshape, `None` where they can't be shown to stay together.
    ///
    /// In row-major order the elements are `before` runs over all samples, each of which has `after`
    /// elements of a run; an axis holds the samples if it can split these two numbers.
    pub fn reshaped(&self, from: &[Dim], to: &[Dim]) -> Option<Self> {
        let count = self.count(&from[self.axis])?;
        let before = size(from[..self.axis].iter().chain([&self.outer]))?;
        let after = size(from[self.axis + 1..].iter().chain([&self.inner]))?;
        let one = size(from)? == Dim::Value(1);
        let found = |axis: usize| {
            let outer = quotient(&before, &size(&to[..axis])?)?;
            let inner = quotient(&to[axis], &size([&outer, &count])?)?;
            let rest = size(to[axis + 1..].iter().chain([&inner]))?;
            let holds = rest == after && (one || to[axis] != Dim::Value(1));
            holds.then_some(Self { axis, outer, inner })
        };
        (0..to.len()).find_map(found)
    }
}

/// The product, where it is no larger than a dimension can be.
fn size<'d>(dims: impl IntoIterator<Item = &'d Dim>) -> Option<Dim> {
    tidy(&dims.into_iter().cloned().fold(Dim::Value(1), |a, b| a * b))
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
    let start = Samples::along(axis);
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
        Some(place) if place.single() && place.axis == axis => Ok(()),
        Some(place) => Err(Error::request(format!(
            "samples lie along axis {axis} of the input, but along axis {} of the layer, {} entries each",
            place.axis,
            place.outer.clone() * place.inner.clone()
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

    /// Axis, outer and inner entries after a reshape from samples at `axis`, between `outer` and `inner`.
    fn reshaped(from: &str, (axis, parts): (usize, &str), to: &str) -> Option<(usize, Vec<Dim>)> {
        let samples = at(axis, parts);
        samples.reshaped(&dims(from), &dims(to)).map(|s| (s.axis, vec![s.outer, s.inner]))
    }

    /// Samples at `axis`: `3` for inner entries, `2,3` for outer and inner ones.
    fn at(axis: usize, parts: &str) -> Samples {
        match dims(parts).as_slice() {
            [inner] => Samples { inner: inner.clone(), ..Samples::along(axis) },
            [outer, inner] => Samples { axis, outer: outer.clone(), inner: inner.clone() },
            _ => panic!("{parts}"),
        }
    }

    #[track_caller]
    fn check(from: &str, place: (usize, &str), to: &str, wanted: (usize, &str)) {
        let Samples { axis, outer, inner } = at(wanted.0, wanted.1);
        assert_eq!(reshaped(from, place, to), Some((axis, vec![outer, inner])), "{from} to {to}");
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
    fn samples_behind_other_axes_stay_apart() {
        check("2,3,4", (1, "1"), "6,4", (0, "2,1"));
        check("2,3,4", (2, "1"), "24", (0, "6,1"));
        check("6,4", (0, "2,1"), "2,3,4", (1, "1"));
        check("6,4", (0, "2,1"), "24", (0, "2,4"));
        check("24", (0, "2,4"), "2,3,4", (1, "1"));
        check("24", (0, "2,4"), "2,6,2", (1, "2"));
        check("12,5", (0, "4,1"), "2,6,5", (1, "2,1"));
        check("H,N,4", (1, "1"), "H*N,4", (0, "H,1"));
        check("H*N,4", (0, "H,1"), "H,N,4", (1, "1"));
        check("9,N,16", (1, "1"), "9,4*N,4", (1, "1,4"));
        check("9,N,4,4", (1, "1"), "9*N,16", (0, "9,1"));
        check("T,N,4,4", (1, "1"), "T*N,16", (0, "T,1"));
    }

    #[test]
    fn samples_that_may_be_torn_apart_are_refused() {
        for (from, at, to) in [
            ("4,6", (0, "1"), "2,12"),
            ("4,6", (0, "1"), "3,8"),
            ("2,3,4", (1, "1"), "3,2,4"),
            ("N,4", (0, "1"), "M,4"),
            ("N,T,5", (0, "1"), "T,N,5"),
            ("N,6", (0, "1"), "2,3*N"),
            ("0,6", (0, "1"), "0,2,3"),
            ("6,4", (0, "2,1"), "3,2,4"),
            ("6,4", (0, "2,1"), "3,8"),
            ("12,5", (0, "2,2"), "3,4,5"),
            ("H*N,4", (0, "H,1"), "N,H,4"),
            ("0,3,4", (1, "1"), "0,4"),
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
