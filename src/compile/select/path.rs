//! The values that change with the input, and the operators between it and the layers.

use std::collections::HashSet;

use crate::compile::rules::{self, Passage};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, ValueId};

/// What changes with the projected input.
pub struct Path {
    /// The nodes through which a change passes, in topological order.
    pub nodes: Vec<NodeId>,
    changing: HashSet<ValueId>,
    /// Nodes that compute with integers in place of floats.
    refused: HashSet<NodeId>,
}

impl Path {
    /// Whether the value changes with the input.
    pub fn changes(&self, value: ValueId) -> bool {
        self.changing.contains(&value)
    }

    /// The nodes on the way to `layers` that no rule covers.
    pub fn uncovered(&self, graph: &Graph, layers: &[ValueId]) -> Vec<NodeId> {
        let wanted = graph.ancestors(layers.iter().copied());
        let unknown = |&&id: &&NodeId| {
            let known = rules::find(graph.node(id)).is_some() && !self.refused.contains(&id);
            wanted.has_node(id) && !known
        };
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
            .map(|&id| {
                let why = rules::why_without(graph.node(id)).map(|why| format!(" ({why})"));
                let (operator, label) = (graph.node(id).operator(), graph.label(id));
                format!("{operator} at '{label}'{}", why.unwrap_or_default())
            })
            .collect();
        let integers = uncovered.iter().any(|&id| rules::is_integer_arithmetic(graph.node(id)));
        let help = match graph.node(first).inputs.iter().flatten().find(|&&v| self.changes(v)) {
            _ if integers => "export the quantised model as QDQ, with QuantizeLinear and \
                DequantizeLinear around operators of floats"
                .to_owned(),
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
/// zero everywhere: at values that are no floats, unless they stand for floats, and at operators such
/// as Floor.
pub fn path(graph: &Graph, order: &[NodeId], input: ValueId) -> Path {
    path_from(graph, order, HashSet::from([input]))
}

/// [`path`] from several values.
pub fn path_from(graph: &Graph, order: &[NodeId], starts: HashSet<ValueId>) -> Path {
    let mut all = starts;
    let mut refused = HashSet::new();
    let mut nodes = Vec::new();
    let is_float = |value: ValueId| graph.value(value).dtype.is_none_or(|t| t.is_float());
    for &id in order {
        let node = graph.node(id);
        let passed = match rules::passage(graph, node, |value| all.contains(&value)) {
            Passage::Ends => continue,
            Passage::Changes(passed) => passed,
            Passage::Refused => {
                refused.insert(id);
                node.outputs.iter().flatten().copied().collect()
            }
        };
        nodes.push(id);
        all.extend(passed);
    }
    let changing = all.into_iter().filter(|&value| is_float(value)).collect();
    Path { nodes, changing, refused }
}
