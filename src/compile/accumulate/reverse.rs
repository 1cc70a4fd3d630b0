//! Rows of the Jacobian from the layers back to the input: a cotangent a neuron.

use super::rows::Rows;
use super::{Accumulated, Task};
use crate::compile::build::Expr;
use crate::compile::linear::{Samples, add_all};
use crate::compile::linearise::Term;
use crate::graph::{Dim, NodeId, fixed};

pub(super) fn accumulate<'e>(task: &Task<'e, '_>) -> Vec<Accumulated<'e>> {
    let (e, network) = (task.e, task.network);
    let terms = if task.bias || task.bias_terms { network.terms(e) } else { Vec::new() };
    let cotangents = sweep(task);
    let biases: Vec<_> =
        terms.iter().filter_map(|term| term_rows(task, term, &cotangents)).collect();
    let input = cotangents[network.input.0].as_ref();
    (0..task.layers.len())
        .map(|layer| {
            e.scope(&task.layers[layer].alias);
            let rows = input.and_then(|rows| rows.group(layer)).filter(|_| task.weights);
            let place = task.samples_of(network.input);
            let weights = rows.map(|rows| task.samples_first(rows, place));
            let terms: Vec<_> = biases
                .iter()
                .filter_map(|(node, rows)| Some((*node, rows.group(layer)?.transpose(&[1, 0]))))
                .collect();
            let values: Vec<_> = terms.iter().map(|(_, term)| *term).collect();
            let bias = task.bias.then(|| total(task, layer, &values));
            Accumulated { weights, bias, terms }
        })
        .collect()
}

/// The cotangent of every variable that has one.
fn sweep<'e>(task: &Task<'e, '_>) -> Vec<Option<Rows<'e>>> {
    let (e, network) = (task.e, task.network);
    let program = &network.program;
    let mut parts: Vec<Vec<Rows>> = vec![Vec::new(); program.var_count()];
    for (layer, chosen) in task.chosen.iter().enumerate() {
        e.scope(&task.layers[layer].alias);
        let var = network.layers[layer];
        let seed = chosen.cotangent(e, program.var(var), task.samples_of(var));
        parts[var.0].push(Rows::of(layer, chosen.count.clone(), seed));
    }
    let mut cotangents: Vec<Option<Rows>> = vec![None; program.var_count()];
    for step in program.steps().iter().rev() {
        e.scope(&e.graph(|graph| graph.label(step.node).to_owned()));
        let Some(rows) = Rows::sum(std::mem::take(&mut parts[step.output.0])) else { continue };
        let at = program.lower(e, step, rows.count());
        for (&input, dx) in step.inputs.iter().zip(step.map.transposed(&at, rows.value)) {
            parts[input.0].push(rows.with(dx));
        }
        cotangents[step.output.0] = Some(rows);
    }
    let input = network.input.0;
    cotangents[input] = Rows::sum(std::mem::take(&mut parts[input]));
    cotangents
}

/// The share of one operator's constant part in the bias: `[K, N]` for the seeds that reach it.
fn term_rows<'e>(
    task: &Task<'e, '_>,
    term: &Term<'e>,
    cotangents: &[Option<Rows<'e>>],
) -> Option<(NodeId, Rows<'e>)> {
    let rows = cotangents[term.output.0].as_ref()?;
    task.e.scope(&task.e.graph(|graph| graph.label(term.node).to_owned()));
    let place = task.samples_of(term.output);
    Some((term.node, rows.with(contract(task, rows.value, term, place))))
}

/// `Σ cotangent ⊙ constant` over everything but seeds and samples, as `[K, N]`.
fn contract<'e>(
    task: &Task<'e, '_>,
    cotangent: Expr<'e>,
    term: &Term<'e>,
    samples: Option<&Samples>,
) -> Expr<'e> {
    let var = task.network.program.var(term.output);
    let rank = var.dims.len();
    let constant = term.value.dims();
    // Where the constant is the same along an axis, the sum comes first.
    let same = |&axis: &usize| {
        let own = (axis + constant.len()).checked_sub(rank).map(|i| &constant[i]);
        own.is_none_or(|d| fixed(d) == Some(1)) && samples.is_none_or(|s| s.axis != axis)
    };
    let (first, second): (Vec<usize>, Vec<usize>) =
        (0..rank).filter(|&axis| samples.is_none_or(|s| s.axis != axis)).partition(|a| same(a));
    let sum = |x: Expr<'e>, axes: &[usize]| {
        let axes: Vec<_> = axes.iter().map(|a| a + 1).collect();
        if axes.is_empty() { x } else { x.reduce("ReduceSum", &axes, true) }
    };
    let product = sum(sum(cotangent, &first) * term.value, &second);
    let seeds = cotangent.dims()[0].clone();
    match samples {
        None => product.reshape(&[seeds, Dim::Value(1)]),
        Some(samples) => {
            let along = var.dims[samples.axis].clone();
            if fixed(&samples.inner) == Some(1) {
                return product.reshape(&[seeds, along]);
            }
            let count = (along / samples.inner.clone()).simplify();
            let split = product.reshape(&[seeds.clone(), count.clone(), samples.inner.clone()]);
            split.reduce("ReduceSum", &[2], false).reshape(&[seeds, count])
        }
    }
}

/// The sum of the terms, `[N, K]`.
fn total<'e>(task: &Task<'e, '_>, layer: usize, terms: &[Expr<'e>]) -> Expr<'e> {
    let chosen = &task.chosen[layer];
    match terms {
        [] => {
            let dtype = task.network.program.var(task.network.layers[layer]).dtype;
            Expr::zeros(task.e, dtype, &[chosen.samples.clone(), chosen.count.clone()])
        }
        _ => add_all(terms),
    }
}
