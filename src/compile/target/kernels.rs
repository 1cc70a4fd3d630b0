//! OpenVINO packs the weights of an operator once for all who use them. Where they are square, as many
//! channels in as out, what it packed for Conv fits ConvTranspose too, and what it packed for a product fits the
//! product with the transposed matrix, so that either silently computes with the other's. A copy of their own keeps them
//! apart: max(w, w) = w is one, made when the model is loaded, and holds no bytes in the file.

use std::collections::{HashMap, HashSet};

use super::emitted;
use crate::graph::{Attr, Graph, Node, NodeId, Value, ValueId};

/// Gives emitted operators copies of square weights that others use the other way.
pub(super) fn separate(graph: &mut Graph, own: &HashSet<NodeId>) {
    let mut copies: HashMap<ValueId, ValueId> = HashMap::new();
    for id in emitted(graph, own) {
        for index in 0..graph.node(id).inputs.len().min(2) {
            let Some(weights) = shared(graph, own, id, index) else { continue };
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
}

/// The square weights at an input of an emitted node, where the model uses them the other way, or where
/// it does not use them and another node takes them as they are.
fn shared(graph: &Graph, own: &HashSet<NodeId>, id: NodeId, index: usize) -> Option<ValueId> {
    let weights = graph.node(id).input(index)?;
    let turned = turns(graph, id, weights)?;
    let users = graph.consumers(weights);
    let ways = |own_ones: bool| {
        let wanted = move |user: &&NodeId| own.contains(user) == own_ones;
        users.iter().filter(wanted).filter_map(|&user| turns(graph, user, weights))
    };
    let apart = match ways(true).next() {
        Some(_) => ways(true).all(|other| other != turned),
        None => turned && ways(false).any(|other| !other),
    };
    apart.then_some(weights)
}

/// Whether the node takes square weights transposed; none where it packs none.
fn turns(graph: &Graph, id: NodeId, weights: ValueId) -> Option<bool> {
    let node = graph.node(id);
    let tensor = graph.value(weights).tensor.as_ref()?;
    let (first, second) = (node.input(0) == Some(weights), node.input(1) == Some(weights));
    let flag = |name: &str| node.int(name).ok().flatten() == Some(1);
    let (turned, sizes) = match node.op.as_str() {
        _ if !node.is_standard() => return None,
        "Conv" | "ConvTranspose" if second => (node.is("ConvTranspose"), tensor.dims.get(..2)?),
        "MatMul" if first || second => (false, last_two(&tensor.dims)?),
        "Gemm" if second => (flag("transB"), last_two(&tensor.dims)?),
        "Gemm" if first => (flag("transA"), last_two(&tensor.dims)?),
        "Transpose" if exchanges_last_two(node) => (true, last_two(&tensor.dims)?),
        _ => return None,
    };
    (sizes[0] == sizes[1] && sizes[0] > 1).then_some(turned)
}

fn last_two(dims: &[i64]) -> Option<&[i64]> {
    dims.get(dims.len().checked_sub(2)?..)
}

/// Whether a Transpose exchanges the last two axes, and nothing else.
fn exchanges_last_two(node: &Node) -> bool {
    let Some(Attr::Ints(perm)) = node.attr("perm") else { return false };
    let rank = perm.len() as i64;
    let wanted = (0..rank - 2).chain([rank - 1, rank - 2]);
    rank >= 2 && perm.iter().copied().eq(wanted)
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
