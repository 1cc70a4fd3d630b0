//! A model as the bytes of its message, a part at a time, since the message of a large graph would hold
//! all of it once more.
//!
//! A message stands behind its length, so every part is made twice: to be measured, and to be written.

use bytes::BufMut;
use prost::{EncodeError, Message, length_delimiter_len};

use super::message::{
    Emitter, entry, frame, function, initializer, initializers, node, opsets, results,
};
use super::proto::{GraphProto, ModelProto};
use super::{declare, unpack};
use crate::error::{Error, Result};
use crate::graph::{Graph, Model};

/// How long the message of a model is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Bytes of the whole message.
    pub model: usize,
    /// Bytes of the graph in it.
    graph: usize,
}

/// Measures the message of `model`.
///
/// # Errors
/// When the model names no operator set, the graph has a cycle, or a tensor cannot be placed.
pub fn measure(model: &Model, emitter: &mut Emitter) -> Result<Size> {
    if model.opsets.is_empty() {
        let what = "the model names no operator set, and no file may be without one";
        return Err(Error::request(what).help("begin its text with <opset_import: [\"\" : 18]>"));
    }
    let mut graph = Count(0);
    put_graph(&model.graph, emitter, &mut graph)?;
    let mut all = Count(1 + length_delimiter_len(graph.0) + graph.0);
    all.message(&head(model)?)?;
    all.message(&tail(model, emitter)?)?;
    Ok(Size { model: all.0, graph: graph.0 })
}

/// Writes the message of `model`, which has been measured.
///
/// # Errors
/// When the graph has a cycle, a tensor cannot be placed, or `buffer` is full.
pub fn write(
    model: &Model,
    emitter: &mut Emitter,
    size: Size,
    buffer: &mut impl BufMut,
) -> Result<()> {
    let mut put = Put(buffer);
    put.message(&head(model)?)?;
    put.key(GRAPH);
    prost::encode_length_delimiter(size.graph, put.0).map_err(|error| full(&error))?;
    put_graph(&model.graph, emitter, &mut put)?;
    put.message(&tail(model, emitter)?)
}

/// The number of the graph's field in the message of a model.
const GRAPH: u8 = 7;

/// The fields of a model in front of its graph.
fn head(model: &Model) -> Result<ModelProto> {
    let mut proto: ModelProto = unpack(model.carry.clone())?;
    if model.ir_version != 0 {
        proto.ir_version = Some(model.ir_version);
    }
    Ok(ModelProto {
        ir_version: proto.ir_version,
        producer_name: proto.producer_name,
        producer_version: proto.producer_version,
        domain: proto.domain,
        model_version: proto.model_version,
        doc_string: proto.doc_string,
        ..ModelProto::default()
    })
}

/// The fields of a model behind its graph.
fn tail(model: &Model, emitter: &mut Emitter) -> Result<ModelProto> {
    let proto: ModelProto = unpack(model.carry.clone())?;
    let functions = model.functions.iter().map(|f| function(f, emitter));
    Ok(ModelProto {
        opset_import: opsets(&model.opsets, proto.opset_import),
        metadata_props: model.metadata.iter().map(|(key, value)| entry(key, value)).collect(),
        training_info: proto.training_info,
        functions: functions.collect::<Result<_>>()?,
        configuration: proto.configuration,
        ..ModelProto::default()
    })
}

/// Puts the fields of a graph in the order of their numbers.
fn put_graph(graph: &Graph, emitter: &mut Emitter, to: &mut impl Sink) -> Result<()> {
    let mut frame = frame(graph)?;
    for id in graph.topological()? {
        to.field(1, &node(graph, id, emitter)?)?;
    }
    let name = frame.name.take();
    to.message(&GraphProto { name, ..GraphProto::default() })?;
    for value in initializers(graph) {
        to.field(5, &initializer(value, emitter)?)?;
    }
    let behind = GraphProto {
        quantization_annotation: std::mem::take(&mut frame.quantization_annotation),
        sparse_initializer: std::mem::take(&mut frame.sparse_initializer),
        metadata_props: std::mem::take(&mut frame.metadata_props),
        ..GraphProto::default()
    };
    let elsewhere = std::mem::take(&mut frame.value_info);
    to.message(&frame)?;
    for value in results(graph) {
        to.field(13, &declare::write(value)?)?;
    }
    for declaration in &elsewhere {
        to.field(13, declaration)?;
    }
    to.message(&behind)
}

/// What fields are put into.
trait Sink {
    /// Puts a message as field `number`, which is at most 15.
    fn field(&mut self, number: u8, message: &impl Message) -> Result<()>;

    /// Puts the fields of a message.
    fn message(&mut self, message: &impl Message) -> Result<()>;
}

/// Counts bytes.
struct Count(usize);

impl Sink for Count {
    fn field(&mut self, _: u8, message: &impl Message) -> Result<()> {
        let length = message.encoded_len();
        self.0 += 1 + length_delimiter_len(length) + length;
        Ok(())
    }

    fn message(&mut self, message: &impl Message) -> Result<()> {
        self.0 += message.encoded_len();
        Ok(())
    }
}

/// Writes bytes.
struct Put<'b, B>(&'b mut B);

impl<B: BufMut> Put<'_, B> {
    /// The key of field `number`, which holds something with its length in front.
    fn key(&mut self, number: u8) {
        const WITH_LENGTH: u8 = 2;
        self.0.put_u8(number << 3 | WITH_LENGTH);
    }
}

impl<B: BufMut> Sink for Put<'_, B> {
    fn field(&mut self, number: u8, message: &impl Message) -> Result<()> {
        self.key(number);
        message.encode_length_delimited(self.0).map_err(|error| full(&error))
    }

    fn message(&mut self, message: &impl Message) -> Result<()> {
        message.encode(self.0).map_err(|error| full(&error))
    }
}

fn full(error: &EncodeError) -> Error {
    Error::internal(format!("the message cannot be encoded: {error}"))
}
