//! Rows of the Jacobian from the layers back to the input: a cotangent a neuron.

use super::local::Local;
use super::rows::Rows;
use super::{Accumulated, Task};
use crate::compile::build::Expr;
use crate::compile::linear::{Samples, Step, VarId};
use crate::compile::linearise::Term;
use crate::graph::{Dim, NodeId, fixed};

pub(super) fn accumulate<'e>(task: &Task<'e, '_>) -> Vec<Accumulated<'e>> {
    let (e, network) = (task.e, task.network);
    let terms = if task.bias || task.bias_terms { network.terms(e) } else { Vec::new() };
    let swept = sweep(task);
    let biases: Vec<_> = terms.iter().filter_map(|term| term_rows(task, term, &swept)).collect();
    let total = Rows::sum(biases.iter().map(|(_, rows)| rows.clone()).collect());
    let input = swept.cotangents[network.input.0].as_ref();
    (0..task.targets.len())
        .map(|layer| {
            e.scope(&task.targets[layer].layer.alias);
            let rows = input.and_then(|rows| rows.group(layer)).filter(|_| task.weights);
            let place = task.samples_of(network.input);
            let weights = rows.map(|rows| task.samples_first(rows, place));
            let of_layer = |rows: &Rows<'e>| Some(rows.group(layer)?.transpose(&[1, 0]));
            let bias = task
                .bias
                .then(|| total.as_ref().and_then(of_layer).unwrap_or_else(|| task.no_bias(layer)));
            let terms = biases
                .iter()
                .filter(|_| task.bias_terms)
                .filter_map(|(node, rows)| Some((*node, of_layer(rows)?)))
                .collect();
            Accumulated { weights, bias, terms }
        })
        .collect()
}

/// The cotangents of the variables.
struct Swept<'e> {
    /// Those of whole variables.
    cotangents: Vec<Option<Rows<'e>>>,
    /// Those within windows, by layer.
    local: Vec<Local<'e>>,
}

fn sweep<'e>(task: &Task<'e, '_>) -> Swept<'e> {
    let (e, network) = (task.e, task.network);
    let program = &network.program;
    let mut parts: Vec<Vec<Rows>> = vec![Vec::new(); program.var_count()];
    let mut local: Vec<Local> = Vec::new();
    for (layer, target) in task.targets.iter().enumerate() {
        e.scope(&task.targets[layer].layer.alias);
        if let Some(seeded) = Local::seeded(task, layer) {
            local.push(seeded);
            continue;
        }
        let (var, chosen) = (target.var, &target.chosen);
        let seed = chosen.cotangent(e, program.var(var), task.samples_of(var));
        parts[var.0].push(Rows::of(layer, chosen.count.clone(), seed));
    }
    let mut cotangents: Vec<Option<Rows>> = vec![None; program.var_count()];
    for step in program.steps().iter().rev() {
        e.scope_of(step.node);
        for layer in &mut local {
            step.outputs.iter().for_each(|&output| layer.settle(task, output));
            for (var, rows) in layer.back(task, step) {
                parts[var.0].push(rows);
            }
        }
        for output in &step.outputs {
            cotangents[output.0] = Rows::sum(std::mem::take(&mut parts[output.0]));
        }
        let dy: Vec<_> = step.outputs.iter().map(|v| cotangents[v.0].as_ref()).collect();
        for (input, rows) in back(task, step, &dy) {
            parts[input.0].push(rows);
        }
    }
    let input = network.input;
    for layer in &mut local {
        layer.settle(task, input);
        let windows = task.targets[layer.layer()].sight.windows(input);
        let patch = layer.of(input).zip(windows);
        parts[input.0].extend(patch.map(|(patch, w)| layer.whole(task, input, patch, w)));
    }
    cotangents[input.0] = Rows::sum(std::mem::take(&mut parts[input.0]));
    Swept { cotangents, local }
}

/// The cotangents of a step's inputs; its outputs may have different groups of rows.
fn back<'e>(task: &Task<'e, '_>, step: &Step, dy: &[Option<&Rows<'e>>]) -> Vec<(VarId, Rows<'e>)> {
    let Some(&first) = dy.iter().flatten().next() else { return Vec::new() };
    let transposed = |rows: &Rows<'e>, values: &[Option<Expr<'e>>]| -> Vec<(VarId, Rows<'e>)> {
        let at = task.network.program.lower(task.e, step, rows.count());
        let dx = step.map.transposed(&at, values);
        let inputs = step.inputs.iter().copied();
        inputs.zip(dx).filter_map(|(v, dx)| Some((v, rows.with(dx?)))).collect()
    };
    if dy.iter().flatten().all(|rows| rows.groups == first.groups) {
        let values: Vec<_> = dy.iter().map(|rows| rows.map(|r| r.value)).collect();
        return transposed(first, &values);
    }
    // A linear map to several outputs is the sum of its maps to each alone.
    let alone = |(i, rows): (usize, &Rows<'e>)| {
        let mut values = vec![None; dy.len()];
        values[i] = Some(rows.value);
        transposed(rows, &values)
    };
    dy.iter().enumerate().filter_map(|(i, rows)| Some((i, (*rows)?))).flat_map(alone).collect()
}

/// The share of one operator's constant part in the bias: `[K, N]` for the seeds that reach it.
fn term_rows<'e>(
    task: &Task<'e, '_>,
    term: &Term<'e>,
    swept: &Swept<'e>,
) -> Option<(NodeId, Rows<'e>)> {
    task.e.scope_of(term.node);
    let place = task.samples_of(term.output);
    let whole = swept.cotangents[term.output.0].as_ref();
    let whole = whole.map(|rows| rows.with(contract(task, rows.value, term, place)));
    let local = swept.local.iter().filter_map(|layer| layer.term(task, term));
    Some((term.node, Rows::sum(local.chain(whole).collect())?))
}

/// `Σ cotangent ⊙ constant` over everything but seeds and samples, as `[K, N]`.
fn contract<'e>(
    task: &Task<'e, '_>,
    cotangent: Expr<'e>,
    term: &Term<'e>,
    samples: Option<&Samples>,
) -> Expr<'e> {
    let dims = &task.network.program.var(term.output).dims;
    let own = aligned(&term.value.dims(), dims.len());
    let along = |axis: usize| samples.is_some_and(|s| s.axis == axis);
    // Where the constant is the same along an axis, the sum comes first.
    let (same, varied): (Vec<usize>, Vec<usize>) = (0..dims.len())
        .filter(|&axis| !along(axis))
        .partition(|&axis| fixed(&own[axis]) == Some(1));
    let sums = reduced(cotangent, &same);
    let kept: Vec<usize> = (0..dims.len()).filter(|axis| !same.contains(axis)).collect();
    let constant = term.value.reshape(&kept.iter().map(|&a| own[a].clone()).collect::<Vec<_>>());
    let per_sample = samples.is_some_and(|s| fixed(&own[s.axis]) != Some(1));
    let vector = varied.len() == 1 && !per_sample && kept.last() == varied.last();
    let rows = if vector {
        sums.binary("MatMul", constant.reshape(&[own[varied[0]].clone()]))
    } else {
        let places: Vec<usize> =
            varied.iter().filter_map(|a| kept.iter().position(|k| k == a)).collect();
        reduced(sums * constant, &places)
    };
    by_sample(rows, samples, dims)
}

/// `[K, outer·N·inner]`, or `[K]` where all is one sample, as `[K, N]`.
fn by_sample<'e>(rows: Expr<'e>, samples: Option<&Samples>, dims: &[Dim]) -> Expr<'e> {
    let seeds = rows.dims()[0].clone();
    let Some(samples) = samples else { return rows.reshape(&[seeds, Dim::Value(1)]) };
    let Some(count) = samples.count(&dims[samples.axis]).filter(|_| !samples.single()) else {
        return rows;
    };
    let Samples { outer, inner, .. } = samples.clone();
    let split = rows.reshape(&[seeds.clone(), outer, count.clone(), inner]);
    reduced(split, &[0, 2]).assume(&[seeds, count])
}

/// The sum over axes behind the seeds, which vanish.
pub(super) fn reduced<'e>(x: Expr<'e>, axes: &[usize]) -> Expr<'e> {
    let axes: Vec<_> = axes.iter().map(|a| a + 1).collect();
    if axes.is_empty() { x } else { x.reduce("ReduceSum", &axes, false) }
}

/// Dimensions of a value that broadcasts to rank `rank`, with leading ones.
fn aligned(dims: &[Dim], rank: usize) -> Vec<Dim> {
    let missing = rank.saturating_sub(dims.len());
    std::iter::repeat_n(Dim::Value(1), missing).chain(dims.iter().cloned()).collect()
}
