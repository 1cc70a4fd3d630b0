//! From one node to its linear steps, wherever it stands: in the model, in a composite, in a body.

use std::cell::RefCell;

use super::{Linearised, Passage, Rule, find, passage};
use crate::compile::build::Emit;
use crate::compile::linear::{Program, VarId};
use crate::error::{Error, Result};
use crate::graph::{NodeId, ValueId};

/// Adds the steps of node `id`, told as those of `owner`, given the change of every value that has
/// one. None where nothing that the node reads changes, or its derivative is zero everywhere.
///
/// # Errors
/// When there is no rule, or the rule refuses; no node is named.
pub fn linearise_node(
    e: &Emit,
    program: &RefCell<Program>,
    (id, owner): (NodeId, NodeId),
    change: impl Fn(ValueId) -> Option<VarId>,
) -> Result<Option<Linearised>> {
    let (inputs, captures, entry) = e.graph(|graph| {
        let node = graph.node(id);
        (node.inputs.clone(), node.captures.clone(), find(node))
    });
    let tangents: Vec<_> = inputs.iter().map(|input| input.and_then(&change)).collect();
    let captures: Vec<_> =
        captures.into_iter().filter_map(|value| Some((value, change(value)?))).collect();
    if captures.is_empty() && tangents.iter().all(Option::is_none) {
        return Ok(None);
    }
    let changes = |value| change(value).is_some();
    let passage = e.graph(|graph| passage(graph, graph.node(id), changes));
    if matches!(passage, Passage::Ends) {
        return Ok(None);
    }
    let operator = || e.graph(|graph| graph.node(id).operator());
    let Some(entry) = entry.filter(|_| !matches!(passage, Passage::Refused)) else {
        let inner = if id == owner { String::new() } else { format!(": {}", operator()) };
        return Err(Error::unsupported(format!("there is no rule for this operator{inner}")));
    };
    let uncovered = |(index, var): (usize, &Option<VarId>)| {
        (var.is_some() && !entry.inputs.contains(index)).then_some(index)
    };
    if let Some(index) = tangents.iter().enumerate().find_map(uncovered) {
        let whose = if id == owner { "its".to_owned() } else { format!("{}'s", operator()) };
        return Err(Error::unsupported(format!(
            "{whose} input {index} depends on the projected input, and there is no rule for that"
        )));
    }
    if !captures.is_empty() && !entry.bodies {
        return Err(Error::unsupported(
            "its subgraph uses values that depend on the projected input, and there is no rule for that",
        ));
    }
    Rule::apply(e, program, (id, owner), entry, tangents, captures).map(Some)
}
