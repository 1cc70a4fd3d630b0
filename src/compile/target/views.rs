//! OpenVINO takes Reshape, Transpose, Reshape for the shuffling of channels, and ends with an error where
//! a size among them is not known.

use std::collections::HashSet;

use super::emitted;
use crate::compile::infer::of_tensor;
use crate::graph::{Attr, Dim, Graph, NodeId, Tensor, Value, ValueId, fixed};

/// Reshape(Transpose(Reshape(x), p)) = Transpose(Reshape(x), p), where p exchanges leading axes only and
/// the last Reshape keeps those.
pub(super) fn reshape_first(graph: &mut Graph, own: &HashSet<NodeId>) {
    for id in emitted(graph, own) {
        if let Some(change) = exchanged(graph, id, own) {
            apply(graph, id, change);
        }
    }
}

/// What the last Reshape becomes: a Transpose of `source` as `sizes`.
struct Change {
    source: ValueId,
    sizes: Vec<i64>,
    dims: Vec<Dim>,
    perm: Vec<i64>,
}

fn exchanged(graph: &Graph, id: NodeId, own: &HashSet<NodeId>) -> Option<Change> {
    let before = |id: NodeId, op: &str| {
        let source = graph.producer(graph.node(id).input(0)?)?;
        (graph.node(source).is(op) && !own.contains(&source)).then_some(source)
    };
    let transpose = before(id, "Transpose").filter(|_| graph.node(id).is("Reshape"))?;
    let first = before(transpose, "Reshape")?;
    let dims = |value: Option<ValueId>| graph.value(value?).dims();
    let turned = dims(graph.node(transpose).output(0))?;
    let between = dims(graph.node(transpose).input(0))?;
    let last = dims(graph.node(id).output(0))?;
    let Some(Attr::Ints(perm)) = graph.node(transpose).attr("perm") else { return None };
    let kept = perm.iter().enumerate().rev().take_while(|(i, p)| **p == *i as i64).count();
    let lead = perm.len() - kept;
    if last.len() < lead || turned.len() < lead || last[..lead] != turned[..lead] {
        return None;
    }
    let dims = [between.get(..lead)?, &last[lead..]].concat();
    let perm = perm[..lead].iter().copied().chain(lead as i64..last.len() as i64).collect();
    Some(Change { source: graph.node(first).input(0)?, sizes: spelled(&dims)?, dims, perm })
}

/// The sizes with -1 for the only unknown one; none where a size is 0.
fn spelled(dims: &[Dim]) -> Option<Vec<i64>> {
    let sizes: Vec<i64> = dims.iter().map(|d| fixed(d).unwrap_or(-1)).collect();
    let unknown = sizes.iter().filter(|&&n| n == -1).count();
    (unknown <= 1 && !sizes.contains(&0)).then_some(sizes)
}

/// Puts a Reshape of the source before the node, which becomes the Transpose.
fn apply(graph: &mut Graph, id: NodeId, change: Change) -> Option<()> {
    let dtype = graph.value(change.source).dtype;
    let name = graph.node(id).name.clone();
    let tensor = Tensor::ints(&change.sizes);
    let shape = Value {
        dtype: Some(tensor.dtype),
        facts: of_tensor(&tensor).into(),
        tensor: Some(tensor.into()),
        ..Value::new(graph.free_name(&format!("{name}:shape")))
    };
    let shape = graph.add_value(shape).ok()?;
    let view = graph.free_name(&format!("{name}:view"));
    let view = graph.add_value(Value::typed(view, dtype?, change.dims)).ok()?;
    let node = graph.node(id).clone();
    let reshape = crate::graph::Node { outputs: vec![Some(view)], ..node.clone() };
    let reshape = crate::graph::Node {
        inputs: vec![Some(change.source), Some(shape)],
        name: format!("{name}:view"),
        ..reshape
    };
    graph.remove_node(id);
    graph.add_node(reshape).ok()?;
    let turned = crate::graph::Node::new("Transpose", vec![Some(view)], node.outputs.clone());
    let turned = crate::graph::Node { name, ..turned.with("perm", change.perm) };
    graph.add_node(turned).ok().map(drop)
}
