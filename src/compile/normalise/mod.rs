//! Any operator set from 7 up, rewritten to the working one.
//!
//! After this stage a model has no functions, its constants and the integers that follow from them
//! are initializers, tensors are read around the sequences and optionals that hold them, and every
//! operator of the standard is spelt as in [`WORKING_OPSET`], or as in the model's own operator set
//! where that is newer. What the model computes stays the same.

mod attributes;
mod constants;
mod folding;
mod inline;
mod known;
mod legacy;
mod newer;
mod norms;
mod resize;
mod sequences;
mod softmax;
mod steps;
mod weight;

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::graph::{Graph, Model, NodeId, STANDARD};
use inline::Functions;
use steps::Names;

/// The operator set that models are raised to; newer models stay at their own.
pub const WORKING_OPSET: i64 = 18;

/// The oldest operator set that can be read: the first with today's broadcasting.
pub const OLDEST_OPSET: i64 = 7;

/// The newest operator set whose changes the table of upgrades knows.
pub const NEWEST_OPSET: i64 = 28;

/// The file format version that [`WORKING_OPSET`] came with.
const WORKING_IR: i64 = 8;

/// The first file format version in which an initializer need not be a graph input.
const IR_WITH_FREE_INITIALIZERS: i64 = 4;

/// Raises `model` to the working operator set, inlines its functions and makes its constants
/// initializers.
///
/// # Errors
/// When the operator set is unknown, a function is recursive or called wrongly, or an old operator
/// has no equal in the working operator set.
pub fn normalise(model: &mut Model) -> Result<()> {
    join_standard_domains(model);
    if model.ir_version < IR_WITH_FREE_INITIALIZERS {
        drop_initialized_inputs(&mut model.graph);
    }
    let functions = Functions::new(std::mem::take(&mut model.functions));
    let from = own_opset(model, &functions)?;
    let target = functions.newest_opset(&model.graph, from)?.max(from).max(WORKING_OPSET);

    let mut names = Names::of(&model.graph);
    let every = node_ids(&model.graph);
    raise(&mut model.graph, &every, (from, target), &functions, &mut names)?;
    functions.inline(model, (from, target), &mut names)?;
    folding::fold(&mut model.graph)?;
    sequences::resolve(&mut model.graph, &mut names)?;

    model.opsets.insert(STANDARD.to_owned(), target);
    model.ir_version = model.ir_version.max(WORKING_IR);
    Ok(())
}

/// Rewrites `ids` and the nodes of their subgraphs from one operator set to another; calls of
/// functions stay.
fn raise(
    graph: &mut Graph,
    ids: &[NodeId],
    (from, to): (i64, i64),
    functions: &Functions,
    names: &mut Names,
) -> Result<()> {
    let gone = constants::fold(graph, ids)?;
    for &id in ids.iter().filter(|id| !gone.contains(id)) {
        for body in graph.node_mut(id).subgraphs_mut() {
            let inner = node_ids(body);
            raise(body, &inner, (from, to), functions, names)?;
        }
        if graph.node(id).is_standard() && functions.called_by(graph.node(id)).is_none() {
            steps::raise_node(graph, id, (from, to), names)?;
        }
    }
    Ok(())
}

fn node_ids(graph: &Graph) -> Vec<NodeId> {
    graph.nodes().map(|(id, _)| id).collect()
}

/// `ai.onnx` is another spelling of the standard's domain.
fn join_standard_domains(model: &mut Model) {
    let functions = model.functions.iter_mut().map(|f| &mut f.opsets);
    for opsets in std::iter::once(&mut model.opsets).chain(functions) {
        if let Some(version) = opsets.remove("ai.onnx") {
            opsets.entry(STANDARD.to_owned()).or_insert(version);
        }
    }
}

/// Old files list every initializer among the inputs, as a form only: nobody may feed them.
fn drop_initialized_inputs(graph: &mut Graph) {
    let fixed: HashSet<_> =
        graph.values().filter(|(_, value)| value.tensor.is_some()).map(|(id, _)| id).collect();
    graph.inputs.retain(|id| !fixed.contains(id));
}

/// The operator set the main graph is written for.
fn own_opset(model: &Model, functions: &Functions) -> Result<i64> {
    match model.opsets.get(STANDARD) {
        Some(&version) => known_opset(version),
        None if functions.uses_standard(&model.graph) => known_opset(model.opset()),
        None => Ok(WORKING_OPSET),
    }
}

/// The version itself, where the table of upgrades covers it.
fn known_opset(version: i64) -> Result<i64> {
    if (OLDEST_OPSET..=NEWEST_OPSET).contains(&version) {
        return Ok(version);
    }
    let help = if version < OLDEST_OPSET {
        "convert the model with onnx.version_converter first"
    } else {
        "use a newer slpc, or export the model for an older operator set"
    };
    Err(Error::request(format!(
        "the model is written for operator set {version}; \
         slpc reads {OLDEST_OPSET} to {NEWEST_OPSET}"
    ))
    .help(help))
}

#[cfg(test)]
mod tests;
