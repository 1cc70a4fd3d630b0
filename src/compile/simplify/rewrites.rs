//! The rewrites: each names a value that a node's output always equals.

use crate::graph::{Attr, Graph, Node, NodeId, ValueId};

/// The value that output 0 of the node can be replaced by.
pub fn rewrite(graph: &Graph, id: NodeId) -> Option<ValueId> {
    let node = graph.node(id);
    if !node.is_standard() || node.outputs.len() != 1 {
        return None;
    }
    match node.op.as_str() {
        "Identity" => identity(graph, node),
        "Mul" => times_one(graph, node),
        "Reshape" => same_shape(graph, node),
        "Transpose" => transposed_back(graph, node),
        "Cast" => same_type(graph, node),
        _ => None,
    }
}

/// Identity(x) = x, unless it stands between an output and what it copies.
fn identity(graph: &Graph, node: &Node) -> Option<ValueId> {
    let output = node.output(0)?;
    node.input(0).filter(|_| !graph.outputs.contains(&output))
}

/// x · 1 = 1 · x = x, where x has the shape of the product.
fn times_one(graph: &Graph, node: &Node) -> Option<ValueId> {
    let (a, b) = (node.input(0)?, node.input(1)?);
    let is_one = |v: ValueId| {
        let tensor = graph.value(v).tensor.as_ref();
        tensor
            .filter(|t| t.len() <= 64)
            .and_then(|t| t.to_floats().ok())
            .is_some_and(|v| !v.is_empty() && v.iter().all(|&x| x == 1.0))
    };
    let whole = |v: ValueId| same_dims(graph, v, node.output(0)?).then_some(v);
    match (is_one(a), is_one(b)) {
        (_, true) => whole(a),
        (true, _) => whole(b),
        _ => None,
    }
}

/// Reshape(x) to x's own shape = x; Reshape(Reshape(x)) to x's shape = x.
fn same_shape(graph: &Graph, node: &Node) -> Option<ValueId> {
    let (x, output) = (node.input(0)?, node.output(0)?);
    let source = graph.producer(x).map(|id| graph.node(id)).filter(|n| n.is("Reshape"));
    let before = source.and_then(|n| n.input(0));
    [before, Some(x)].into_iter().flatten().find(|&v| same_dims(graph, v, output))
}

fn same_dims(graph: &Graph, a: ValueId, b: ValueId) -> bool {
    match (graph.value(a).dims(), graph.value(b).dims()) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// Transpose(Transpose(x, p), q) = x where q undoes p.
fn transposed_back(graph: &Graph, node: &Node) -> Option<ValueId> {
    let source = graph.node(graph.producer(node.input(0)?)?);
    let perm = |node: &Node| match node.attr("perm") {
        Some(Attr::Ints(perm)) => Some(perm.clone()),
        _ => None,
    };
    let (outer, inner) = (perm(node)?, perm(source).filter(|_| source.is("Transpose"))?);
    let undone = outer
        .iter()
        .enumerate()
        .all(|(i, &q)| usize::try_from(q).ok().and_then(|q| inner.get(q)) == Some(&(i as i64)));
    undone.then(|| source.input(0)).flatten()
}

/// Cast(x) to x's own type = x.
fn same_type(graph: &Graph, node: &Node) -> Option<ValueId> {
    let x = node.input(0)?;
    let to = node.int("to").ok().flatten()?;
    graph.value(x).dtype.filter(|&t| i64::from(t as i32) == to).map(|_| x)
}
