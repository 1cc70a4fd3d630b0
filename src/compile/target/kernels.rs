//! OpenVINO packs the weights of an operator once for all who use them. Where they are square, as many
//! channels in as out, what it packed for Conv fits ConvTranspose too, and that for a product one with the
//! transposed matrix, so that either silently computes with the other's. A copy of their own keeps them
//! apart: max(w, w) = w is one, made when the model is loaded, and holds no bytes in the file.

use std::collections::{HashMap, HashSet};

use super::emitted;
use crate::graph::{Attr, Graph, Node, NodeId, Value, ValueId};

/// Gives emitted operators copies of square weights that others use the other way.
pub(super) fn separate(graph: &mut Graph, own: &HashSet<NodeId>) {
    let mut copies: HashMap<ValueId, ValueId> = HashMap::new();
    for id in emitted(graph, own) {
        let Some((index, weights)) = shared(graph, id) else { continue };
        let copy = match copies.get(&weights) {
            Some(&copy) => Some(copy),
            None => copied(graph, weights),
        };
        if let Some(copy) = copy {
            copies.insert(weights, copy);
            graph.set_input(id, index, Some(copy));
        }
    }
}

/// The input of a node that holds square weights which another node uses the other way.
fn shared(graph: &Graph, id: NodeId) -> Option<(usize, ValueId)> {
    let node = graph.node(id);
    if let Some(kernel) = kernel(node) {
        let apart = is_square(graph, kernel) && other_way(graph, id, kernel);
        return apart.then_some((1, kernel));
    }
    let matrix = node.input(0).filter(|_| turns_matrix(node))?;
    let apart = is_square_matrix(graph, matrix) && graph.consumers(matrix).len() > 1;
    apart.then_some((0, matrix))
}

/// Whether the node exchanges the last two axes, and nothing else.
fn turns_matrix(node: &Node) -> bool {
    let Some(Attr::Ints(perm)) = node.attr("perm").filter(|_| node.is("Transpose")) else {
        return false;
    };
    let rank = perm.len() as i64;
    let wanted = (0..rank - 2).chain([rank - 1, rank - 2]);
    rank >= 2 && perm.iter().copied().eq(wanted)
}

/// Whether the value is a constant of as many rows as columns.
fn is_square_matrix(graph: &Graph, matrix: ValueId) -> bool {
    let tensor = graph.value(matrix).tensor.as_ref();
    tensor.is_some_and(|tensor| match tensor.dims[..] {
        [.., rows, columns] => rows == columns && rows > 1,
        _ => false,
    })
}

fn kernel(node: &Node) -> Option<ValueId> {
    let convolves = node.is("Conv") || node.is("ConvTranspose");
    node.input(1).filter(|_| convolves)
}

/// Whether the value is a constant of as many channels along axis 0 as along axis 1.
fn is_square(graph: &Graph, kernel: ValueId) -> bool {
    let tensor = graph.value(kernel).tensor.as_ref();
    tensor.is_some_and(|tensor| tensor.dims.len() > 2 && tensor.dims[0] == tensor.dims[1])
}

/// Whether a convolution of the other kind has the same kernel.
fn other_way(graph: &Graph, id: NodeId, value: ValueId) -> bool {
    let other = if graph.node(id).is("Conv") { "ConvTranspose" } else { "Conv" };
    let users = graph.consumers(value);
    users.iter().any(|&user| graph.node(user).is(other) && kernel(graph.node(user)) == Some(value))
}

/// max(w, w), a value of its own.
fn copied(graph: &mut Graph, kernel: ValueId) -> Option<ValueId> {
    let source = graph.value(kernel);
    let name = graph.free_name(&format!("slp/{}/copy", source.name.trim_start_matches("slp/")));
    let (dtype, facts) = (source.dtype, source.facts.clone());
    let copy = graph.add_value(Value { dtype, facts, ..Value::new(&name) }).ok()?;
    let max = Node::new("Max", vec![Some(kernel); 2], vec![Some(copy)]);
    graph.add_node(Node { name, ..max }).ok()?;
    Some(copy)
}
