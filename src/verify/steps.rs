//! What happens near an input: steps that keep the state, and slopes.

use super::feed::{Inputs, Outputs};
use super::promises::{Rows, dot};
use super::report::{Promise, Tally};
use crate::engine::Array;
use crate::error::{Error, Result};
use crate::noise::Noise;

/// The sizes of steps, relative to the root mean square of the input.
pub const STEPS: [f64; 5] = [1e-2, 1e-3, 1e-4, 1e-5, 1e-6];
/// The sizes of steps for central differences.
pub const SLOPES: [f64; 4] = [1e-1, 1e-2, 1e-3, 1e-4];

/// `inputs` with `change` added to the input `name`, rounded to its type.
pub fn stepped(inputs: &Inputs, name: &str, change: &[f64], sign: f64) -> Result<Inputs> {
    let mut inputs = inputs.clone();
    let array = projected_mut(&mut inputs, name)?;
    let mut values = array.to_f64();
    values.iter_mut().zip(change).for_each(|(v, c)| *v += sign * c);
    *array = Array::floats(array.dtype(), values)?;
    Ok(inputs)
}

fn projected_mut<'a>(inputs: &'a mut Inputs, name: &str) -> Result<&'a mut Array> {
    let found = inputs.iter_mut().find(|(n, _)| n == name).map(|(_, array)| array);
    found.ok_or_else(|| Error::internal("the projected input is missing").value(name))
}

/// The array of the input `name`.
pub fn projected<'a>(inputs: &'a Inputs, name: &str) -> Result<&'a Array> {
    let found = inputs.iter().find(|(n, _)| n == name).map(|(_, array)| array);
    found.ok_or_else(|| Error::internal("the projected input is missing").value(name))
}

/// Along which components of the input a step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// All of them.
    All,
    /// About four.
    Few,
    /// Each by a share of itself: what is zero stays zero, and ties of a blank background remain.
    Itself,
}

/// A random direction, of about the root mean square of `array` where it goes anywhere.
pub fn direction(array: &Array, along: Along, noise: &mut Noise) -> Vec<f64> {
    let values = array.to_f64();
    let count = values.len().max(1);
    let size = (values.iter().map(|v| v * v).sum::<f64>() / count as f64).sqrt();
    let size = if size > 0.0 && size.is_finite() { size } else { 1.0 };
    let few = (4.0 / count as f64).min(1.0);
    let mut change = |v: f64| match along {
        Along::All => size * noise.normal(),
        Along::Few if noise.uniform() <= few => size * noise.normal(),
        Along::Few => 0.0,
        Along::Itself => v * noise.normal(),
    };
    values.iter().map(|&v| change(v)).collect()
}

/// How many rows kept their state over how many steps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kept {
    /// Rows at steps tried.
    pub tried: usize,
    /// Those of unchanged weights.
    pub kept: usize,
}

/// Compares a step's rows with what the rows before it predict, where the weights stayed the same
/// to rounding, `tolerance`, which means that no switch on the way to the neuron has changed.
pub fn predict(
    before: &Rows<'_>,
    after: &Rows<'_>,
    same_neurons: &[bool],
    tolerance: f64,
    tally: &mut Tally,
) -> Kept {
    let mut seen = Kept::default();
    for (r, &same) in same_neurons.iter().enumerate() {
        let (Some(w), Some(new)) = (before.map("weights", r), after.map("weights", r)) else {
            continue;
        };
        let (Some(v), Some(b)) = (after.activity(r), before.bias(r)) else { continue };
        seen.tried += 1;
        let largest = w.iter().fold(0.0f64, |m, w| m.max(w.abs()));
        let unchanged = w.iter().zip(&new).all(|(a, b)| (a - b).abs() <= tolerance * largest);
        if same && unchanged {
            seen.kept += 1;
            let (sum, size) = dot(after.input(r), &w);
            tally.see(Promise::Step, v - (sum + b), v.abs() + size + b.abs());
        }
    }
    seen
}

/// The error of δ·ŵ as the slope of row `r`, where `difference` is half the change of its activity
/// between the two ends of the step from `low` to `high`: relative to what δ·ŵ is for a direction
/// that has nothing to do with ŵ. `None` where ŵ or δ is 0.
pub fn slope_error(w: &[f64], low: &[f64], high: &[f64], difference: f64) -> Option<f64> {
    let half: Vec<f64> = low.iter().zip(high).map(|(a, b)| (b - a) / 2.0).collect();
    let norm = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
    let scale = norm(w) * norm(&half) / (w.len().max(1) as f64).sqrt();
    let error = (difference - dot(&half, w).0).abs() / scale;
    (norm(w) > 0.0 && norm(&half) > 0.0).then_some(if error.is_nan() {
        f64::INFINITY
    } else {
        error
    })
}

/// By row, whether both runs chose the same neuron.
pub fn same_neurons(before: &Rows<'_>, after: &Rows<'_>, given: &[usize]) -> Vec<bool> {
    let flat = |rows: &Rows<'_>| rows.neurons(given).into_iter().flatten().collect::<Vec<_>>();
    flat(before).iter().zip(&flat(after)).map(|(a, b)| a == b).collect()
}

/// Compares the outputs of a batch with those of its sample number `place` run alone. A sample that
/// chose other neurons, which happens among equals, is compared in its activities only. Patterns,
/// states and radii are left out: among nearly equal values rounding decides on them.
pub fn compare_batch(
    names: &[String],
    batch: &Outputs,
    alone: &Outputs,
    place: usize,
    tally: &mut Tally,
) {
    let pick = |outputs: &Outputs, name: &str, place: usize, count: usize| {
        let array = outputs.get(name)?;
        let size = array.len() / count.max(1);
        Some(super::feed::floats(array, place * size, size))
    };
    let count = |outputs: &Outputs, name: &str| outputs.get(name).map(|a| a.shape()[0]);
    let same = names.iter().filter(|name| name.ends_with("/neurons")).all(|name| {
        let all = count(batch, name).unwrap_or(1);
        pick(batch, name, place, all) == pick(alone, name, 0, 1)
    });
    const UNDECIDED: [&str; 8] = [
        "/neurons",
        "/patterns",
        "/mixing",
        "/power",
        "/radius",
        "/radius-neuron",
        "/radius-beyond",
        "/state",
    ];
    for name in names.iter().filter(|name| !UNDECIDED.iter().any(|end| name.ends_with(end))) {
        if !same && !name.ends_with("/activity") {
            continue;
        }
        let all = count(batch, name).unwrap_or(1);
        let (Some(a), Some(b)) = (pick(batch, name, place, all), pick(alone, name, 0, 1)) else {
            continue;
        };
        let largest = b.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let equal_length = if a.len() == b.len() { 0.0 } else { f64::NAN };
        tally.see(Promise::Batch, equal_length, largest);
        a.iter().zip(&b).for_each(|(a, b)| tally.see(Promise::Batch, a - b, largest));
    }
}
