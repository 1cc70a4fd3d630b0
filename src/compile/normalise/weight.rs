//! How much memory a copy of a function's body takes, before it is made.

use crate::graph::{Attr, Data, Function, Graph, Node};

/// Bytes of a node or a value beside its name and attributes.
const EACH: usize = 256;

/// About the bytes that the body of `function` takes where `call` is replaced by it.
///
/// Names are prefixed by the call's label, and attributes of the call stand wherever the body
/// refers to them.
pub(super) fn of_call(function: &Function, call: &Node, label: &str) -> usize {
    let given = call.attributes.iter().chain(&function.defaults);
    let widest = given.map(|attribute| of_attribute(&attribute.value, 0)).max().unwrap_or_default();
    of_graph(&function.body, widest).saturating_add(
        (function.body.node_count() + function.body.values().count()).saturating_mul(label.len()),
    )
}

/// The bytes of a graph in which a reference to an attribute takes `reference`.
fn of_graph(graph: &Graph, reference: usize) -> usize {
    let values = graph.values().map(|(_, value)| EACH + value.name.len());
    let nodes = graph.nodes().map(|(_, node)| {
        let attributes = node.attributes.iter().map(|a| of_attribute(&a.value, reference));
        attributes.fold(EACH + node.name.len(), usize::saturating_add)
    });
    values.chain(nodes).fold(0, usize::saturating_add)
}

/// The bytes of an attribute; elements of tensors are shared.
fn of_attribute(value: &Attr, reference: usize) -> usize {
    EACH + match value {
        Attr::Floats(list) => size_of_val(list.as_slice()),
        Attr::Ints(list) => size_of_val(list.as_slice()),
        Attr::Strings(list) => size_of_val(list.as_slice()),
        Attr::Tensor(tensor) => match &tensor.data {
            Data::Strings(list) => size_of_val(list.as_slice()),
            _ => size_of_val(tensor.dims.as_slice()),
        },
        Attr::Tensors(list) => list.len() * EACH,
        Attr::Graph(graph) => of_graph(graph, reference),
        Attr::Graphs(list) => {
            list.iter().map(|graph| of_graph(graph, reference)).fold(0, usize::saturating_add)
        }
        Attr::Reference { .. } => reference,
        Attr::Float(_) | Attr::Int(_) | Attr::String(_) | Attr::Opaque { .. } => 0,
    }
}
