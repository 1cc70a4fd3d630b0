//! ONNX Runtime has an operator that puts the values of pooling windows where their winners are.

use std::collections::HashSet;

use super::emitted;
use crate::graph::{Attr, DataType, Graph, Node, NodeId, ValueId};

/// Reshape(ScatterElements(0, Reshape(i), Reshape(s))) = MaxUnpool(s, i), where i are the winners of
/// windows that have no element in common, so that nothing is added to anything.
pub(super) fn unpool(graph: &mut Graph, own: &HashSet<NodeId>) {
    for id in emitted(graph, own) {
        if let Some(node) = unpooling(graph, id, own) {
            graph.remove_node(id);
            // The name of what it replaces is free, and its inputs are in the graph.
            let _ = graph.add_node(node);
        }
    }
}

/// What computes the same as a Reshape of what was scattered.
fn unpooling(graph: &Graph, id: NodeId, own: &HashSet<NodeId>) -> Option<Node> {
    let reshape = graph.node(id);
    let made = |value: Option<ValueId>, op: &str| {
        let maker = graph.producer(value?)?;
        (graph.node(maker).is(op) && !own.contains(&maker)).then(|| graph.node(maker))
    };
    let scattered = reshape.input(0).filter(|_| reshape.is("Reshape"));
    let scatter = made(scattered, "ScatterElements")?;
    let zeros = made(scatter.input(0), "ConstantOfShape")?;
    let zero = match zeros.attr("value") {
        None => true,
        Some(Attr::Tensor(number)) => number.to_floats().is_ok_and(|list| list == [0.0]),
        Some(_) => false,
    };
    let indices = made(scatter.input(1), "Reshape")?.input(0)?;
    let values = made(scatter.input(2), "Reshape")?.input(0)?;
    let pool =
        graph.producer(indices).map(|id| graph.node(id)).filter(|node| node.is("MaxPool"))?;
    let output = reshape.output(0)?;
    let list = |name: &str| pool.ints(name).ok().flatten().map(<[i64]>::to_vec);
    let (kernel, strides) = (list("kernel_shape")?, list("strides")?);
    let dilated = list("dilations").is_some_and(|list| list.iter().any(|&d| d != 1));
    let apart = kernel.iter().zip(&strides).all(|(k, s)| k <= s) && !dilated;
    let sizes = |value: ValueId| graph.value(value).fixed_dims();
    let (from, to, of) = (sizes(values)?, sizes(output)?, sizes(pool.input(0)?)?);
    // The runtime refuses a result smaller than what the windows reach over without padding.
    let reach = |(((n, size), k), s): (((&i64, &i64), &i64), &i64)| (n - 1) * s + k <= *size;
    let pairs = from.iter().zip(&to).skip(2).zip(&kernel).zip(&strides);
    let fits = from.len() == kernel.len() + 2 && pairs.into_iter().all(reach);
    let same = to == of && sizes(indices)? == from;
    let shape = reshape.input(1)?;
    let asked = graph.value(shape).tensor.as_ref()?.to_ints().ok()?;
    let float = graph.value(values).dtype == Some(DataType::F32);
    if !(zero && apart && fits && same && float && asked == to) {
        return None;
    }
    let inputs = vec![Some(values), Some(indices), Some(shape)];
    let node = Node::new("MaxUnpool", inputs, vec![Some(output)]);
    let node = node.with("kernel_shape", kernel).with("strides", strides);
    Some(Node { name: reshape.name.clone(), ..node })
}
