//! The messages of a graph and its parts.

use std::collections::BTreeMap;

use super::proto::{
    FunctionProto, GraphProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    ValueInfoProto,
};
use super::weights::Placer;
use super::{attribute, declare, put_text, tensor, unpack};
use crate::error::Result;
use crate::graph::{Function, Graph, NodeId, STANDARD, Value, ValueId, is_standard_domain};

/// What turns a graph into its message.
pub struct Emitter<'a> {
    /// Decides where elements go; without one they all go inside.
    pub placer: Option<Placer<'a>>,
}

/// An entry of a list of texts by key.
pub fn entry(key: &str, value: impl ToString) -> StringStringEntryProto {
    StringStringEntryProto { key: Some(key.to_owned()), value: Some(value.to_string()) }
}

/// The list for `versions`, in the order and spelling of `list` for the domains that are in it.
pub fn opsets(
    versions: &BTreeMap<String, i64>,
    mut list: Vec<OperatorSetIdProto>,
) -> Vec<OperatorSetIdProto> {
    let key = |entry: &OperatorSetIdProto| match entry.domain.as_deref().unwrap_or_default() {
        domain if is_standard_domain(domain) => STANDARD.to_owned(),
        domain => domain.to_owned(),
    };
    list.retain(|entry| versions.contains_key(&key(entry)));
    for (domain, &version) in versions {
        let mut known = list.iter_mut().filter(|entry| key(entry) == *domain).peekable();
        if known.peek().is_some() {
            known.for_each(|entry| entry.version = Some(version));
        } else {
            let domain = Some(domain.clone());
            list.push(OperatorSetIdProto { domain, version: Some(version) });
        }
    }
    list
}

/// The message for a model-local function.
///
/// # Errors
/// When its body has a cycle, or a tensor cannot be placed.
pub fn function(function: &Function, emitter: &mut Emitter) -> Result<FunctionProto> {
    let mut proto: FunctionProto = unpack(function.carry.clone())?;
    let body = graph(&function.body, emitter)?;
    let names = |list: Vec<ValueInfoProto>| list.into_iter().filter_map(|v| v.name).collect();
    put_text(&mut proto.name, &function.name);
    put_text(&mut proto.domain, &function.domain);
    put_text(&mut proto.overload, &function.overload);
    proto.opset_import = opsets(&function.opsets, std::mem::take(&mut proto.opset_import));
    proto.attribute = function.attributes.clone();
    proto.attribute_proto =
        function.defaults.iter().map(|a| attribute::emit(a, emitter)).collect::<Result<_>>()?;
    proto.input = names(body.input);
    proto.output = names(body.output);
    proto.node = body.node;
    proto.value_info = body.value_info;
    Ok(proto)
}

/// The message for `graph`, its nodes in topological order.
///
/// # Errors
/// When the graph has a cycle, or a tensor cannot be placed.
pub fn graph(graph: &Graph, emitter: &mut Emitter) -> Result<GraphProto> {
    let nodes = graph.topological()?.into_iter().map(|id| node(graph, id, emitter));
    let nodes = nodes.collect::<Result<_>>()?;
    let initializers = initializers(graph).map(|value| initializer(value, emitter));
    let initializer = initializers.collect::<Result<_>>()?;
    let mut proto = GraphProto { node: nodes, initializer, ..frame(graph)? };
    let mut inner = results(graph).map(declare::write).collect::<Result<Vec<_>>>()?;
    inner.append(&mut proto.value_info);
    proto.value_info = inner;
    Ok(proto)
}

/// The message for `graph` without its nodes, its initializers and the declarations of their results.
///
/// # Errors
/// When what the graph carries cannot be decoded.
pub fn frame(graph: &Graph) -> Result<GraphProto> {
    let mut proto: GraphProto = unpack(graph.carry.clone())?;
    put_text(&mut proto.name, &graph.name);
    proto.input =
        graph.inputs.iter().map(|&id| declare::write(graph.value(id))).collect::<Result<_>>()?;
    let mut elsewhere = std::mem::take(&mut proto.output);
    for &id in &graph.outputs {
        let value = graph.value(id);
        // The first declaration of a result is the value's own.
        let first = graph.producer(id).is_some()
            && !proto.output.iter().any(|d| d.name.as_deref() == Some(&value.name));
        let kept = elsewhere.iter().position(|d| d.name.as_deref() == Some(&value.name));
        proto.output.push(match kept.filter(|_| !first) {
            Some(index) => elsewhere.remove(index),
            None => declare::write(value)?,
        });
    }
    Ok(proto)
}

/// The values whose contents the graph holds.
pub fn initializers(graph: &Graph) -> impl Iterator<Item = &Value> {
    graph.values().map(|(_, value)| value).filter(|value| value.tensor.is_some())
}

/// The message for the contents of a value.
///
/// # Errors
/// When they cannot be placed.
pub fn initializer(value: &Value, emitter: &mut Emitter) -> Result<TensorProto> {
    let Some(tensor) = &value.tensor else { return Ok(TensorProto::default()) };
    tensor::emit(tensor, Some(&value.name), emitter.placer.as_mut())
        .map_err(|error| error.value(&value.name))
}

/// The values to be declared inside the graph.
pub fn results(graph: &Graph) -> impl Iterator<Item = &Value> {
    graph.values().filter(|&(id, value)| is_inner_result(graph, id, value)).map(|(_, value)| value)
}

/// Whether a node produces the value, it is no output, and there is something to declare.
fn is_inner_result(graph: &Graph, id: ValueId, value: &Value) -> bool {
    declare::says_something(value) && graph.producer(id).is_some() && !graph.outputs.contains(&id)
}

/// The message for a node.
///
/// # Errors
/// When a subgraph has a cycle, or a tensor cannot be placed.
pub fn node(graph: &Graph, id: NodeId, emitter: &mut Emitter) -> Result<NodeProto> {
    let node = graph.node(id);
    let mut proto: NodeProto = unpack(&*node.carry)?;
    let names = |ids: &[Option<ValueId>]| {
        ids.iter().map(|id| id.map_or(String::new(), |id| graph.value(id).name.clone())).collect()
    };
    put_text(&mut proto.name, &node.name);
    put_text(&mut proto.op_type, &node.op);
    put_text(&mut proto.domain, &node.domain);
    put_text(&mut proto.overload, &node.overload);
    proto.input = names(&node.inputs);
    proto.output = names(&node.outputs);
    let attributes = node.attributes.iter().map(|a| attribute::emit(a, emitter));
    proto.attribute = attributes.collect::<Result<_>>().map_err(|error| graph.at(id, error))?;
    Ok(proto)
}
