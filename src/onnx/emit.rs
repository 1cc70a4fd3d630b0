//! A model to its file.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use prost::Message;

use super::map::Through;
use super::proto::{
    FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    ValueInfoProto,
};
use super::weights::{Placer, Plan, Weights};
use super::{attribute, declare, put_text, tensor, unpack};
use crate::error::{Error, Kind, Result};
use crate::files::write_whole;
use crate::graph::{Function, Graph, Model, Node, STANDARD, Value, ValueId, is_standard_domain};

/// The most bytes a protobuf message may have.
const LIMIT: usize = i32::MAX as usize;

/// What [`emit`] has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the model file.
    pub bytes: u64,
    /// The data file beside it and its bytes, where one was needed.
    pub data: Option<(PathBuf, u64)>,
}

/// Writes the model to the file `path`, and a data file beside it where `weights` asks for one.
///
/// Weights are streamed from where they are mapped. The files appear whole or not at all.
///
/// # Errors
/// When a file cannot be written, the graph has a cycle, or the weights cannot be referenced.
pub fn emit(model: &Model, path: &Path, weights: Weights) -> Result<Written> {
    write_files(model, path, weights).map_err(|error| match error.kind {
        Kind::Io => error.file(path),
        _ => error,
    })
}

/// The bytes of the model in one piece, external data included.
///
/// # Errors
/// When the graph has a cycle, the model names no operator set, or the bytes would be more than a file
/// may have.
pub fn to_bytes(model: &Model) -> Result<Vec<u8>> {
    Ok(whole(model)?.encode_to_vec())
}

/// Streams the model in one piece, external data included, and tells how many bytes it has.
///
/// # Errors
/// When the writer fails, the graph has a cycle, or there are more bytes than a file may have.
pub fn write_to(model: &Model, writer: &mut dyn Write) -> Result<u64> {
    stream(&whole(model)?, writer)
        .map_err(|error| Error::new(Kind::Io, format!("the model cannot be written: {error}")))
}

fn whole(model: &Model) -> Result<ModelProto> {
    let proto = message(model, &mut Emitter { placer: None })?;
    if proto.encoded_len() > LIMIT {
        return Err(Error::request("the model has more than 2 GiB, the most one file may have")
            .help("write it to a file, with its weights beside it"));
    }
    Ok(proto)
}

fn stream(proto: &ModelProto, writer: &mut dyn Write) -> io::Result<u64> {
    let mut through = Through::new(writer);
    // The buffer never runs out, which is the only way encoding can fail.
    proto.encode(&mut through).map_err(io::Error::other)?;
    through.finish()
}

fn write_files(model: &Model, path: &Path, weights: Weights) -> Result<Written> {
    if path.exists() && !path.is_file() {
        return Err(Error::new(Kind::Io, "this is no regular file").file(path));
    }
    let mut weights = weights;
    let (mut proto, mut plan) = placed(model, path, weights, "")?;
    if proto.encoded_len() > LIMIT && weights == Weights::Keep {
        weights = Weights::External;
        (proto, plan) = placed(model, path, weights, "")?;
    }
    let mut data = None;
    if let Some(parts) = plan {
        let name = parts.name(path).map_err(|error| Error::io(path, &error))?;
        (proto, plan) = placed(model, path, weights, &name)?;
        data = plan.map(|plan| (plan, folder(path).join(name)));
    }
    if proto.encoded_len() > LIMIT {
        return Err(Error::request("the graph itself has more than 2 GiB").file(path));
    }
    // The data first, and the model only when it is there for good.
    let mut written = Written { bytes: 0, data: None };
    if let Some((plan, path)) = data {
        let bytes = write_whole(&path, |file| plan.write(file))?;
        written.data = Some((path, bytes));
    }
    written.bytes = write_whole(path, |file| stream(&proto, file))?;
    Ok(written)
}

/// The message, and the data file it wants to be called `data`.
fn placed(
    model: &Model,
    path: &Path,
    weights: Weights,
    data: &str,
) -> Result<(ModelProto, Option<Plan>)> {
    let mut emitter = Emitter { placer: Some(Placer::new(model, path, weights, data)?) };
    let proto = message(model, &mut emitter)?;
    Ok((proto, emitter.placer.and_then(Placer::into_plan)))
}

/// The folder that `path` is in.
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What turns a graph into its message.
pub struct Emitter<'a> {
    /// Decides where elements go; without one they all go inside.
    pub placer: Option<Placer<'a>>,
}

fn message(model: &Model, emitter: &mut Emitter) -> Result<ModelProto> {
    if model.opsets.is_empty() {
        return Err(Error::request(
            "the model names no operator set, and no file may be without one",
        )
        .help("begin its text with <opset_import: [\"\" : 18]>"));
    }
    let mut proto: ModelProto = unpack(&model.carry)?;
    if model.ir_version != 0 {
        proto.ir_version = Some(model.ir_version);
    }
    proto.opset_import = opsets(&model.opsets, std::mem::take(&mut proto.opset_import));
    proto.graph = Some(graph(&model.graph, emitter)?);
    proto.functions =
        model.functions.iter().map(|f| function(f, emitter)).collect::<Result<_>>()?;
    proto.metadata_props = model.metadata.iter().map(|(key, value)| entry(key, value)).collect();
    Ok(proto)
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

fn function(function: &Function, emitter: &mut Emitter) -> Result<FunctionProto> {
    let mut proto: FunctionProto = unpack(&function.carry)?;
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
    let mut proto: GraphProto = unpack(&graph.carry)?;
    put_text(&mut proto.name, &graph.name);
    for id in graph.topological()? {
        let node = node(graph, graph.node(id), emitter).map_err(|error| graph.at(id, error))?;
        proto.node.push(node);
    }
    for (_, value) in graph.values() {
        if let Some(tensor) = &value.tensor {
            let tensor = tensor::emit(tensor, Some(&value.name), emitter.placer.as_mut());
            proto.initializer.push(tensor.map_err(|error| error.value(&value.name))?);
        }
    }
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
    let results = graph.values().filter(|&(id, value)| is_inner_result(graph, id, value));
    let mut inner = results.map(|(_, value)| declare::write(value)).collect::<Result<Vec<_>>>()?;
    inner.append(&mut proto.value_info);
    proto.value_info = inner;
    Ok(proto)
}

/// Whether a node produces the value, it is no output, and there is something to declare.
fn is_inner_result(graph: &Graph, id: ValueId, value: &Value) -> bool {
    declare::says_something(value) && graph.producer(id).is_some() && !graph.outputs.contains(&id)
}

fn node(graph: &Graph, node: &Node, emitter: &mut Emitter) -> Result<NodeProto> {
    let mut proto: NodeProto = unpack(&node.carry)?;
    let names = |ids: &[Option<ValueId>]| {
        ids.iter().map(|id| id.map_or(String::new(), |id| graph.value(id).name.clone())).collect()
    };
    put_text(&mut proto.name, &node.name);
    put_text(&mut proto.op_type, &node.op);
    put_text(&mut proto.domain, &node.domain);
    put_text(&mut proto.overload, &node.overload);
    proto.input = names(&node.inputs);
    proto.output = names(&node.outputs);
    proto.attribute =
        node.attributes.iter().map(|a| attribute::emit(a, emitter)).collect::<Result<_>>()?;
    Ok(proto)
}
