//! The rewrites: each names a value that a node's output always equals.

use crate::compile::infer::of_tensor;
use crate::graph::{Attr, Graph, Node, NodeId, Tensor, Value, ValueId, fixed};

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
    [reshaped(graph, x), Some(x)].into_iter().flatten().find(|&v| same_dims(graph, v, output))
}

/// What a value is a reshape of.
pub(super) fn reshaped(graph: &Graph, value: ValueId) -> Option<ValueId> {
    let source = graph.node(graph.producer(value)?);
    source.input(0).filter(|_| source.is("Reshape"))
}

/// Reshape(Reshape(x, s), t) = Reshape(x, t), where t says every size itself.
pub fn merge_reshapes(graph: &mut Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    if !node.is("Reshape") {
        return false;
    }
    let source = node.input(0).and_then(|x| reshaped(graph, x));
    let (Some(source), Some(shape)) = (source, node.input(1)) else { return false };
    let asked = graph.value(shape).tensor.as_ref().and_then(|t| t.to_ints().ok());
    if asked.is_some_and(|sizes| sizes.contains(&0)) {
        // Zero copies a size from the input, which becomes another.
        let Some(sizes) = node.output(0).and_then(|y| spelled(graph, y)) else { return false };
        let name = format!("{}:shape", node.name);
        let Some(shape) = constant(graph, &name, &sizes) else { return false };
        graph.set_input(id, 1, Some(shape));
    }
    graph.set_input(id, 0, Some(source));
    true
}

/// A constant of integers.
pub(super) fn constant(graph: &mut Graph, name: &str, integers: &[i64]) -> Option<ValueId> {
    let tensor = Tensor::ints(integers);
    let value = Value {
        dtype: Some(tensor.dtype),
        facts: of_tensor(&tensor).into(),
        tensor: Some(tensor.into()),
        ..Value::new(graph.free_name(name))
    };
    graph.add_value(value).ok()
}

/// The sizes of a value with -1 for the only unknown one; none where a size is 0.
pub(super) fn spelled(graph: &Graph, value: ValueId) -> Option<Vec<i64>> {
    let dims = graph.value(value).dims()?;
    let sizes: Vec<i64> = dims.iter().map(|d| fixed(d).unwrap_or(-1)).collect();
    let unknown = sizes.iter().filter(|&&n| n == -1).count();
    (unknown <= 1 && !sizes.contains(&0)).then_some(sizes)
}

pub(super) fn same_dims(graph: &Graph, a: ValueId, b: ValueId) -> bool {
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

/// Expand(x) ∘ y = x ∘ y for an element-wise operator of two inputs, where y alone has the shape of
/// the result.
pub fn absorb_expand(graph: &mut Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    if !node.is_standard() || !matches!(node.op.as_str(), "Add" | "Sub" | "Mul" | "Div") {
        return false;
    }
    let (Some(a), Some(b), Some(output)) = (node.input(0), node.input(1), node.output(0)) else {
        return false;
    };
    let expanded = |graph: &Graph, value: ValueId| {
        let source = graph.node(graph.producer(value)?);
        source.input(0).filter(|_| source.is("Expand"))
    };
    for (index, value, other) in [(0, a, b), (1, b, a)] {
        if let Some(x) = expanded(graph, value).filter(|_| same_dims(graph, other, output)) {
            graph.set_input(id, index, Some(x));
            return true;
        }
    }
    false
}
