//! Reshapes that insert an axis of size 1, moved behind what follows them, where another undoes them.

use super::rewrites::{constant, reshaped, same_dims, spelled};
use crate::graph::{Attr, Facts, Graph, Node, NodeId, Value, ValueId, fixed};

/// Moves the Reshape of a node's input behind the node. Says whether there was one.
pub fn sink(graph: &mut Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    match node.op.as_str() {
        "Add" | "Sub" | "Mul" | "Div" if node.is_standard() => below_element_wise(graph, id),
        "Split" if node.is_standard() => below_split(graph, id).is_some(),
        _ => false,
    }
}

/// f(Reshape(x), y) = Reshape(f(x, y)) for an element-wise operator of two inputs, where the Reshape only
/// inserts an axis of size 1, and y has none there, or has it first, or by a Reshape of its own.
fn below_element_wise(graph: &mut Graph, id: NodeId) -> bool {
    let Some((inputs, source, reshape)) = above_reshape(graph, id) else { return false };
    let reshape = graph.node(reshape).clone();
    let name = graph.free_name(&format!("{}.flat", graph.node(id).name));
    let flat = Value {
        dtype: graph.value(source).dtype,
        facts: graph.value(source).facts.clone(),
        ..Value::new(name.clone())
    };
    let op = graph.node(id).op.clone();
    let Ok(flat) = graph.add_value(flat) else { return false };
    let node = Node { name, ..Node::new(&op, inputs.map(Some).to_vec(), vec![Some(flat)]) };
    if graph.add_node(node).is_err() {
        return false;
    }
    let node = graph.node_mut(id);
    node.op = reshape.op;
    node.attributes = reshape.attributes;
    graph.set_input(id, 0, Some(flat));
    graph.set_input(id, 1, reshape.inputs[1]);
    true
}

/// The inputs that a node of [`below_element_wise`] has without its Reshape, the one that was reshaped, and
/// the node that did it.
fn above_reshape(graph: &Graph, id: NodeId) -> Option<([ValueId; 2], ValueId, NodeId)> {
    let node = graph.node(id);
    let (a, b, output) = (node.input(0)?, node.input(1)?, node.output(0)?);
    [(0, a, b), (1, b, a)].into_iter().find_map(|(index, value, other)| {
        let (source, axis) = without_axis(graph, value)?;
        let alone = same_dims(graph, value, output) && graph.consumers(value).len() == 1;
        let dims = graph.value(other).dims()?;
        let rank = graph.value(value).dims()?.len();
        let other = match (axis + dims.len()).checked_sub(rank) {
            None => other,
            Some(0) if axis > 0 && fixed(&dims[0]) == Some(1) => other,
            Some(_) => {
                let (x, own) = without_axis(graph, other)?;
                (own == axis && dims.len() == rank).then_some(x)?
            }
        };
        let inputs = if index == 0 { [source, other] } else { [other, source] };
        alone.then_some((inputs, source, graph.producer(value)?))
    })
}

/// What a value is a reshape of, and the axis of size 1 that this inserts.
fn without_axis(graph: &Graph, value: ValueId) -> Option<(ValueId, usize)> {
    let source = reshaped(graph, value)?;
    let (from, to) = (graph.value(source).dims()?, graph.value(value).dims()?);
    let without = |axis: &usize| {
        let rest = to[..*axis].iter().chain(&to[axis + 1..]);
        fixed(&to[*axis]) == Some(1) && to.len() == from.len() + 1 && rest.eq(from.iter())
    };
    (0..to.len()).rev().find(without).map(|axis| (source, axis))
}

/// Split(Reshape(x)) = Reshape of each part of Split(x) along the same axis.
fn below_split(graph: &mut Graph, id: NodeId) -> Option<()> {
    let node = graph.node(id).clone();
    let value = node.input(0)?;
    let (source, inserted) = without_axis(graph, value)?;
    let rank = graph.value(value).dims()?.len() as i64;
    let axis = usize::try_from(node.int("axis").ok()??.rem_euclid(rank)).ok()?;
    let alone = graph.consumers(value).len() == 1 && axis != inserted;
    let outputs: Vec<ValueId> =
        node.outputs.iter().copied().collect::<Option<_>>().filter(|_| alone)?;
    let shapes: Vec<Vec<i64>> =
        outputs.iter().map(|&y| spelled(graph, y)).collect::<Option<_>>()?;
    graph.remove_node(id);
    let mut flat = Node { outputs: Vec::new(), ..node.clone() };
    flat.inputs[0] = Some(source);
    flat.name = graph.free_name(&format!("{}.flat", node.name));
    flat.set("axis", Attr::Int(axis as i64 - i64::from(axis > inserted)));
    for (i, (&output, shape)) in outputs.iter().zip(&shapes).enumerate() {
        let mut dims = graph.value(output).dims()?;
        dims.remove(inserted);
        let part = Value {
            dtype: graph.value(output).dtype,
            facts: Facts::from_shape(dims).into(),
            ..Value::new(graph.free_name(&format!("{}.flat:{i}", node.name)))
        };
        let part = graph.add_value(part).ok()?;
        flat.outputs.push(Some(part));
        let name = graph.value(output).name.clone();
        let shape = constant(graph, &format!("{name}:shape"), shape)?;
        let reshape = Node::new("Reshape", vec![Some(part), Some(shape)], vec![Some(output)]);
        graph.add_node(Node { name, ..reshape }).ok()?;
    }
    graph.add_node(flat).ok().map(drop)
}
