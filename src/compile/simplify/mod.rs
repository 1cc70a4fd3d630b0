//! Small directional rewrites of emitted nodes, to a fixpoint.
//!
//! Only values and nodes that this program emitted are touched; what the model brought stays. No
//! rewrite changes a value by more than rounding; each has its identity as a comment.

mod reshapes;
mod rewrites;

use std::collections::HashSet;

use crate::graph::{Alike, Graph, NodeId, ValueId};

/// Simplifies what was emitted: everything but the nodes in `kept`.
pub fn simplify(graph: &mut Graph, kept: &HashSet<NodeId>) {
    loop {
        let mut changed = false;
        let emitted: Vec<NodeId> =
            graph.nodes().map(|(id, _)| id).filter(|id| !kept.contains(id)).collect();
        for id in emitted {
            match rewrites::rewrite(graph, id) {
                Some(value) => changed |= replace(graph, id, value),
                None => {
                    changed |= rewrites::merge_reshapes(graph, id);
                    changed |= rewrites::absorb_expand(graph, id);
                    changed |= reshapes::sink(graph, id);
                }
            }
        }
        changed |= merge_equal(graph, kept);
        if !changed {
            break;
        }
    }
    remove_dead(graph, kept);
}

/// Makes every user of the node's output use `value` instead. An output of the graph keeps its
/// producer.
fn replace(graph: &mut Graph, id: NodeId, value: ValueId) -> bool {
    let Some(output) = graph.node(id).output(0) else { return false };
    graph.replace_uses(output, value)
}

/// Identity(x) under an output's name is x under that name, where nothing else reads the emitted x.
pub fn name_outputs(graph: &mut Graph, kept: &HashSet<NodeId>) {
    for output in graph.outputs.clone() {
        let Some((copy, source, maker)) = only_copied(graph, kept, output) else { continue };
        let place = graph.node(maker).outputs.iter().position(|y| *y == Some(source));
        let Some(place) = place else { continue };
        graph.remove_node(copy);
        graph.set_output(maker, place, output);
        // A node named after a value that is gone would share its name with one emitted later.
        let name = graph.value(output).name.clone();
        if graph.node(maker).name == graph.value(source).name {
            graph.node_mut(maker).name = name;
        }
        graph.remove_value(source);
    }
}

/// The Identity that gives an output, what it alone reads, and the emitted node that computes that.
fn only_copied(
    graph: &Graph,
    kept: &HashSet<NodeId>,
    output: ValueId,
) -> Option<(NodeId, ValueId, NodeId)> {
    let copy = graph.producer(output).filter(|id| !kept.contains(id))?;
    let source = graph.node(copy).input(0).filter(|_| graph.node(copy).is("Identity"))?;
    let maker = graph.producer(source).filter(|id| !kept.contains(id))?;
    let alone = graph.consumers(source).len() == 1 && !graph.outputs.contains(&source);
    alone.then_some((copy, source, maker))
}

/// Two nodes of the same operator, inputs and attributes have the same outputs.
fn merge_equal(graph: &mut Graph, kept: &HashSet<NodeId>) -> bool {
    let mut seen = Alike::default();
    let mut changed = false;
    let Ok(order) = graph.topological() else { return false };
    for id in order.into_iter().filter(|id| !kept.contains(id)) {
        let node = graph.node(id);
        let Some(first) = seen.find(graph, node) else {
            seen.add(graph, id);
            continue;
        };
        let pairs = node.outputs.iter().zip(&graph.node(first).outputs);
        let pairs: Vec<_> = pairs.filter_map(|(a, b)| a.zip(*b)).collect();
        for (output, same) in pairs {
            changed |= graph.replace_uses(output, same);
        }
    }
    changed
}

/// Removes emitted nodes and constants that no output depends on.
pub fn remove_dead(graph: &mut Graph, kept: &HashSet<NodeId>) {
    let live = graph.ancestors(graph.outputs.iter().copied());
    let dead: Vec<NodeId> = graph
        .nodes()
        .map(|(id, _)| id)
        .filter(|&id| !live.has_node(id) && !kept.contains(&id))
        .collect();
    graph.remove_nodes(&dead);
    remove_unused_constants(graph);
}

/// Removes emitted constants that nothing uses.
pub fn remove_unused_constants(graph: &mut Graph) {
    let unused: Vec<ValueId> = graph
        .values()
        .filter(|(id, value)| {
            value.name.starts_with("slp/")
                && value.tensor.is_some()
                && !graph.is_used(*id)
                && !graph.outputs.contains(id)
                && !graph.inputs.contains(id)
        })
        .map(|(id, _)| id)
        .collect();
    for id in unused {
        graph.remove_value(id);
    }
}

#[cfg(test)]
mod tests;
