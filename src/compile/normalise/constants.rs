//! Constant nodes as initializers.

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::graph::{Attr, Data, DataType, Dim, Facts, Graph, Node, NodeId, Tensor, Value};

/// Makes the outputs of the Constant nodes among `ids` initializers; gives the removed nodes.
///
/// A Constant stays where its output is an output of the graph, which some runtimes want computed
/// by a node, and where its value is a sparse tensor.
pub(super) fn fold(graph: &mut Graph, ids: &[NodeId]) -> Result<HashSet<NodeId>> {
    let mut gone = HashSet::new();
    for &id in ids {
        let node = graph.node(id);
        let Some(output) = node.output(0).filter(|output| !graph.outputs.contains(output)) else {
            continue;
        };
        if !node.is("Constant") {
            continue;
        }
        let Some(tensor) = content(node).map_err(|error| graph.at(id, error))? else {
            continue;
        };
        graph.remove_node(id);
        let value = graph.value_mut(output);
        *value = initializer(std::mem::take(&mut value.name), tensor);
        gone.insert(id);
    }
    Ok(gone)
}

/// A value with contents.
pub(super) fn initializer(name: String, tensor: Tensor) -> Value {
    let dims: Option<Vec<_>> =
        tensor.dims.iter().map(|&d| i32::try_from(d).ok().map(Dim::Value)).collect();
    Value {
        dtype: Some(tensor.dtype),
        facts: dims.map_or_else(|| Facts::unknown("past 32 bits"), Facts::from_shape).into(),
        tensor: Some(tensor.into()),
        ..Value::new(name)
    }
}

/// The tensor a Constant node holds, `None` where it is sparse.
fn content(node: &Node) -> Result<Option<Tensor>> {
    let Some(attribute) = node.attributes.iter().find(|a| a.name.starts_with("value")) else {
        return match node.attr("sparse_value") {
            Some(_) => Ok(None),
            None => Err(Error::unreadable("the constant has no value")),
        };
    };
    let floats = |dims, list: &[f32]| {
        let list: Vec<f64> = list.iter().map(|&v| v.into()).collect();
        Tensor::floats(DataType::F32, dims, &list)
    };
    let strings = |dims, list| Tensor {
        data: Data::Strings(list),
        ..Tensor::new(DataType::String, dims, vec![])
    };
    let tensor = match (attribute.name.as_str(), &attribute.value) {
        ("value", Attr::Tensor(tensor)) => tensor.clone(),
        ("value_float", Attr::Float(value)) => floats(vec![], &[*value]),
        ("value_floats", Attr::Floats(list)) => floats(vec![list.len() as i64], list),
        ("value_int", Attr::Int(value)) => Tensor::int(*value),
        ("value_ints", Attr::Ints(list)) => Tensor::ints(list),
        ("value_string", Attr::String(text)) => strings(vec![], vec![text.clone()]),
        ("value_strings", Attr::Strings(list)) => strings(vec![list.len() as i64], list.clone()),
        (name, _) => {
            return Err(Error::unreadable(format!("attribute '{name}' has a wrong type")));
        }
    };
    Ok(Some(tensor))
}
