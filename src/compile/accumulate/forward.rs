//! Columns of the Jacobian from the input to the layers: a tangent an input component, or a colour.

use super::rows::Rows;
use super::{Accumulated, Task, colours};
use crate::compile::blocks::Block;
use crate::compile::build::{Emit, Expr};
use crate::compile::linear::{Samples, Var};
use crate::compile::linearise::Linearised;
use crate::compile::plan::Colours;
use crate::graph::{Dim, NodeId};

pub(super) fn accumulate<'e>(task: &Task<'e, '_>) -> Vec<Accumulated<'e>> {
    let constants = constants(task);
    (0..task.targets.len())
        .map(|layer| {
            task.e.scope(&task.targets[layer].layer.alias);
            let chosen = &task.targets[layer].chosen;
            let var = task.targets[layer].var;
            let flat = |tangent| {
                let first = task.samples_first(tangent, task.samples_of(var));
                chosen.pick(first)
            };
            let tangent = task.tangents.get(var.0).copied().flatten().filter(|_| task.weights);
            let weights = tangent.map(|tangent| match task.colours {
                None => spread(task, flat(tangent)),
                Some(of) => colours::rows(task, layer, of, flat(tangent)),
            });
            let per_term = |i: usize, node: NodeId| {
                let rows = constants.per_layer[layer].as_ref()?.group(i)?;
                Some((node, only_row(flat(rows))))
            };
            let terms: Vec<_> = match task.bias_terms {
                true => {
                    let nodes = constants.nodes.iter().enumerate();
                    nodes.filter_map(|(i, &node)| per_term(i, node)).collect()
                }
                false => Vec::new(),
            };
            let bias = task.bias.then(|| match &constants.per_layer[layer] {
                Some(rows) => flat(rows.value).reduce("ReduceSum", &[2], false),
                None => task.no_bias(layer),
            });
            Accumulated { weights, bias, terms }
        })
        .collect()
}

/// `[N, K, 1]` as `[N, K]`.
fn only_row(x: Expr<'_>) -> Expr<'_> {
    let dims = x.dims();
    x.reshape(&dims[..2])
}

/// `[N, K, d]` as `[N, K, x…]`, an axis of size 1 in place of the samples.
fn spread<'e>(task: &Task<'e, '_>, rows: Expr<'e>) -> Expr<'e> {
    let mut dims = rows.dims()[..2].to_vec();
    dims.extend(input_dims(task));
    rows.reshape(&dims)
}

/// The dimensions of one sample of the input, an axis of size 1 in place of the samples.
fn input_dims(task: &Task<'_, '_>) -> Vec<Dim> {
    let input = task.network.input;
    one_sample(task.network.program.var(input), task.samples_of(input))
}

/// The dimensions of one sample of a variable, an axis of size 1 in place of the samples.
fn one_sample(var: &Var, samples: Option<&Samples>) -> Vec<Dim> {
    let mut dims = var.dims.clone();
    if let Some(samples) = samples {
        dims[samples.axis] = Dim::Value(1);
    }
    dims
}

/// The tangent of every variable: a seed for each component of the input, or for each of its colours; of
/// those in `block` only, if there is one. `samples` says where the samples of each variable lie.
pub fn tangents<'e>(
    e: &'e Emit,
    network: &Linearised,
    samples: Option<&[Option<Samples>]>,
    colours: Option<&Colours>,
    block: Option<&Block>,
) -> Vec<Option<Expr<'e>>> {
    let program = &network.program;
    let input = program.var(network.input);
    let one = one_sample(input, samples.and_then(|places| places[network.input.0].as_ref()));
    let all = colours.map_or_else(|| e.product(&one), |c| Dim::Value(c.count() as i32));
    let numbers = e.range(&all);
    let numbers = block.map_or(numbers, |block| block.element(e, "seeds", numbers));
    let count = numbers.dims()[0].clone();
    let hot = match colours {
        Some(colours) => {
            let own = colours::of_components(e, colours);
            let mut column = vec![Dim::Value(1); own.dims().len() + 1];
            column[0] = count.clone();
            numbers.reshape(&column).binary("Equal", own)
        }
        None => {
            let (column, row) = ([count.clone(), Dim::Value(1)], [Dim::Value(1), all.clone()]);
            numbers.reshape(&column).binary("Equal", e.range(&all).reshape(&row))
        }
    };
    let mut dims = vec![count.clone()];
    dims.extend(one);
    let seed = hot.indicator(input.dtype).reshape(&dims).expand(&input.seeded(&count));
    let mut tangents: Vec<Option<Expr>> = vec![None; program.var_count()];
    tangents[network.input.0] = Some(seed);
    program.push(e, program.steps(), &count, &mut tangents);
    tangents
}

struct Constants<'e> {
    nodes: Vec<NodeId>,
    per_layer: Vec<Option<Rows<'e>>>,
}

/// The constant parts carried to each layer: a row for all of them, or one for each.
fn constants<'e>(task: &Task<'e, '_>) -> Constants<'e> {
    let (e, network) = (task.e, task.network);
    let program = &network.program;
    let terms = if task.bias || task.bias_terms { network.terms(e) } else { Vec::new() };
    let nodes = terms.iter().map(|term| term.node).collect();
    let one = Dim::Value(1);
    let mut carried: Vec<Vec<Rows>> = vec![Vec::new(); program.var_count()];
    for (i, term) in terms.iter().enumerate() {
        let var = program.var(term.output);
        let group = if task.bias_terms { i } else { 0 };
        let value = term.value.expand(&var.dims).reshape(&var.seeded(&one));
        carried[term.output.0].push(Rows::of(group, one.clone(), value));
    }
    for step in program.steps() {
        e.scope(&e.graph(|graph| graph.label(step.node).to_owned()));
        let x: Vec<_> = step.inputs.iter().map(|v| Rows::sum(carried[v.0].clone())).collect();
        for (output, y) in step.outputs.iter().zip(carry(task, step, &x)) {
            carried[output.0].extend(y);
        }
    }
    let per_layer =
        task.targets.iter().map(|target| Rows::sum(carried[target.var.0].clone())).collect();
    Constants { nodes, per_layer }
}

/// The rows behind a step, by output; its inputs may carry different groups.
fn carry<'e>(
    task: &Task<'e, '_>,
    step: &crate::compile::linear::Step,
    x: &[Option<Rows<'e>>],
) -> Vec<Option<Rows<'e>>> {
    let program = &task.network.program;
    let Some(first) = x.iter().flatten().next() else { return Vec::new() };
    let forward = |rows: &Rows<'e>, values: &[Option<Expr<'e>>]| -> Vec<Option<Rows<'e>>> {
        let at = program.lower(task.e, step, rows.count());
        let y = step.map.forward(&at, values);
        y.into_iter().map(|y| y.map(|y| rows.with(y))).collect()
    };
    if x.iter().flatten().all(|rows| rows.groups == first.groups) {
        let values: Vec<_> = x.iter().map(|rows| rows.as_ref().map(|r| r.value)).collect();
        return forward(first, &values);
    }
    // A linear map of several inputs is the sum of its maps of each alone.
    let mut parts: Vec<Vec<Rows>> = vec![Vec::new(); step.outputs.len()];
    for (i, rows) in x.iter().enumerate().filter_map(|(i, rows)| Some((i, rows.as_ref()?))) {
        let mut values = vec![None; x.len()];
        values[i] = Some(rows.value);
        for (part, y) in parts.iter_mut().zip(forward(rows, &values)) {
            part.extend(y);
        }
    }
    parts.into_iter().map(Rows::sum).collect()
}
