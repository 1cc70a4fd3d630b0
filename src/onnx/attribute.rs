//! Attributes of nodes, subgraphs included.

use bytes::Bytes;

use super::external::Folder;
use super::message::{self, Emitter};
use super::proto::attribute_proto::AttributeType as Kind;
use super::proto::{AttributeProto, GraphProto, TensorProto};
use super::{pack, put_text, scope, take_text, tensor, unpack};
use crate::error::{Error, Result};
use crate::graph::{Attr, Attribute, Data, DataType, Graph, Tensor};

/// The attribute that `proto` describes; names its subgraphs take from around go to `free`.
///
/// # Errors
/// When a tensor or subgraph in it is malformed.
pub fn load(
    mut proto: AttributeProto,
    folder: &mut Folder,
    free: &mut Vec<String>,
) -> Result<Attribute> {
    let name = take_text(&mut proto.name);
    let value = value(&mut proto, folder, free)
        .map_err(|error| Error { what: format!("attribute '{name}': {}", error.what), ..error })?;
    Ok(Attribute { name, value, carry: pack(&proto) })
}

fn value(proto: &mut AttributeProto, folder: &mut Folder, free: &mut Vec<String>) -> Result<Attr> {
    let code = proto.r#type.take().unwrap_or_default();
    let reference = take_text(&mut proto.ref_attr_name);
    if !reference.is_empty() {
        return Ok(Attr::Reference { name: reference, kind: code });
    }
    let kind = match Kind::try_from(code) {
        Ok(Kind::Undefined) => implied(proto),
        Ok(kind) => kind,
        Err(_) => return Ok(opaque(proto, code)),
    };
    let mut graph = |graph: GraphProto| -> Result<Graph> {
        let (graph, names) = scope::load(graph, true, folder)?;
        free.extend(names);
        Ok(graph)
    };
    Ok(match kind {
        Kind::Float => Attr::Float(proto.f.take().unwrap_or_default()),
        Kind::Int => Attr::Int(proto.i.take().unwrap_or_default()),
        Kind::String => Attr::String(proto.s.take().unwrap_or_default()),
        Kind::Floats => Attr::Floats(std::mem::take(&mut proto.floats)),
        Kind::Ints => Attr::Ints(std::mem::take(&mut proto.ints)),
        Kind::Strings => Attr::Strings(std::mem::take(&mut proto.strings)),
        Kind::Graph if proto.g.is_some() => {
            Attr::Graph(Box::new(graph(*proto.g.take().unwrap_or_default())?))
        }
        Kind::Graphs => {
            let graphs = std::mem::take(&mut proto.graphs).into_iter();
            Attr::Graphs(graphs.map(graph).collect::<Result<_>>()?)
        }
        Kind::Tensor if proto.t.as_deref().is_some_and(known) => {
            Attr::Tensor(tensor::load(*proto.t.take().unwrap_or_default(), folder)?)
        }
        Kind::Tensors if proto.tensors.iter().all(known) => {
            let tensors = std::mem::take(&mut proto.tensors).into_iter();
            Attr::Tensors(tensors.map(|t| tensor::load(t, folder)).collect::<Result<_>>()?)
        }
        other => opaque(proto, other as i32),
    })
}

/// Whether the tensor has an element type that this program knows.
fn known(tensor: &TensorProto) -> bool {
    DataType::from_onnx(tensor.data_type.unwrap_or_default()).is_some()
}

/// The kind of an attribute that names none: that of the field it sets.
fn implied(proto: &AttributeProto) -> Kind {
    let fields = [
        (proto.f.is_some(), Kind::Float),
        (proto.i.is_some(), Kind::Int),
        (proto.s.is_some(), Kind::String),
        (proto.t.is_some(), Kind::Tensor),
        (proto.g.is_some(), Kind::Graph),
        (!proto.floats.is_empty(), Kind::Floats),
        (!proto.ints.is_empty(), Kind::Ints),
        (!proto.strings.is_empty(), Kind::Strings),
        (!proto.tensors.is_empty(), Kind::Tensors),
        (!proto.graphs.is_empty(), Kind::Graphs),
        (proto.sparse_tensor.is_some(), Kind::SparseTensor),
        (!proto.sparse_tensors.is_empty(), Kind::SparseTensors),
        (proto.tp.is_some(), Kind::TypeProto),
        (!proto.type_protos.is_empty(), Kind::TypeProtos),
    ];
    fields.iter().find(|(set, _)| *set).map_or(Kind::Undefined, |&(_, kind)| kind)
}

/// Everything but the name, encoded.
fn opaque(proto: &mut AttributeProto, kind: i32) -> Attr {
    Attr::Opaque { kind, fields: pack(&std::mem::take(proto)) }
}

/// The message for `attribute`.
///
/// # Errors
/// When a subgraph of it has a cycle.
pub fn emit(attribute: &Attribute, emitter: &mut Emitter) -> Result<AttributeProto> {
    let mut proto: AttributeProto = match &attribute.value {
        Attr::Opaque { fields, .. } => unpack(fields.clone())?,
        _ => unpack(attribute.carry.clone())?,
    };
    put_text(&mut proto.name, &attribute.name);
    let kind = match &attribute.value {
        Attr::Float(v) => put(&mut proto.f, *v, Kind::Float),
        Attr::Int(v) => put(&mut proto.i, *v, Kind::Int),
        Attr::String(v) => put(&mut proto.s, v.clone(), Kind::String),
        Attr::Tensor(v) => {
            let tensor = inner_tensor(v, emitter)?;
            put(&mut proto.t, Box::new(tensor), Kind::Tensor)
        }
        Attr::Graph(v) => put(&mut proto.g, Box::new(message::graph(v, emitter)?), Kind::Graph),
        Attr::Floats(v) => fill(&mut proto.floats, v, Kind::Floats),
        Attr::Ints(v) => fill(&mut proto.ints, v, Kind::Ints),
        Attr::Strings(v) => fill::<Bytes>(&mut proto.strings, v, Kind::Strings),
        Attr::Tensors(v) => {
            let tensors = v.iter().map(|t| inner_tensor(t, emitter)).collect::<Result<Vec<_>>>()?;
            fill(&mut proto.tensors, &tensors, Kind::Tensors)
        }
        Attr::Graphs(v) => {
            let graphs =
                v.iter().map(|g| message::graph(g, emitter)).collect::<Result<Vec<_>>>()?;
            fill(&mut proto.graphs, &graphs, Kind::Graphs)
        }
        Attr::Reference { name, kind } => put(&mut proto.ref_attr_name, name.clone(), *kind),
        Attr::Opaque { kind, .. } => *kind,
    };
    proto.r#type = Some(kind);
    Ok(proto)
}

/// A tensor of an attribute: outside only where it was, since few runtimes look for it there.
fn inner_tensor(tensor: &Tensor, emitter: &mut Emitter) -> Result<TensorProto> {
    let outside = matches!(tensor.data, Data::External(_));
    tensor::emit(tensor, None, if outside { emitter.placer.as_mut() } else { None })
}

fn put<T>(field: &mut Option<T>, value: T, kind: impl Into<i32>) -> i32 {
    *field = Some(value);
    kind.into()
}

fn fill<T: Clone>(field: &mut Vec<T>, values: &[T], kind: Kind) -> i32 {
    field.extend_from_slice(values);
    kind as i32
}
