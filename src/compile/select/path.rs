//! The values that change with the input, and the operators between it and the layers.

use std::collections::HashSet;

use crate::compile::rules;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, ValueId};

/// What changes with the projected input.
pub struct Path {
    /// The nodes through which a change passes, in topological order.
    pub nodes: Vec<NodeId>,
    changing: HashSet<ValueId>,
}

impl Path {
    /// Whether the value changes with the input.
    pub fn changes(&self, value: ValueId) -> bool {
        self.changing.contains(&value)
    }

    /// The nodes on the way to `layers` that no rule covers.
    pub fn uncovered(&self, graph: &Graph, layers: &[ValueId]) -> Vec<NodeId> {
        let wanted = graph.ancestors(layers.iter().copied());
        let unknown = |&&id: &&NodeId| wanted.has_node(id) && rules::find(graph.node(id)).is_none();
        self.nodes.iter().filter(unknown).copied().collect()
    }

    /// Refuses, all at once, the operators on the way to `layers` that no rule covers.
    ///
    /// # Errors
    /// When there are any; the error names each with its node.
    pub fn check_rules(&self, graph: &Graph, layers: &[ValueId]) -> Result<()> {
        let uncovered = self.uncovered(graph, layers);
        let Some(&first) = uncovered.first() else { return Ok(()) };
        let list: Vec<_> = uncovered
            .iter()
            .map(|&id| format!("{} at '{}'", graph.node(id).operator(), graph.label(id)))
            .collect();
        let help = match graph.node(first).inputs.iter().flatten().find(|&&v| self.changes(v)) {
            Some(&before) => {
                format!("choose a layer before them, such as '{}'", graph.value(before).name)
            }
            None => "choose a layer before them".to_owned(),
        };
        let are = if list.len() == 1 { "1 operator" } else { &format!("{} operators", list.len()) };
        Err(Error::unsupported(format!(
            "there is no rule for {are} between the input and the layers: {}",
            list.join(", ")
        ))
        .help(help))
    }
}

/// Follows the change of `input` through nodes in topological `order`. It ends where a derivative is
/// zero everywhere: at values that are no floats, and at operators such as Floor.
pub fn path(graph: &Graph, order: &[NodeId], input: ValueId) -> Path {
    path_from(graph, order, HashSet::from([input]))
}

/// [`path`] from several values.
pub fn path_from(graph: &Graph, order: &[NodeId], starts: HashSet<ValueId>) -> Path {
    let mut changing = starts;
    let mut nodes = Vec::new();
    for &id in order {
        let node = graph.node(id);
        let inputs = node.inputs.iter().flatten().chain(&node.captures);
        if !inputs.copied().any(|v| changing.contains(&v)) {
            continue;
        }
        if rules::find(node).is_some_and(|entry| entry.rule.is_none()) {
            continue;
        }
        let floats: Vec<ValueId> = node
            .outputs
            .iter()
            .flatten()
            .copied()
            .filter(|&y| graph.value(y).dtype.is_none_or(|t| t.is_float()))
            .collect();
        if !floats.is_empty() {
            nodes.push(id);
            changing.extend(floats);
        }
    }
    Path { nodes, changing }
}
