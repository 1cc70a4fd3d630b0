//! A model from its file.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;

use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};

use super::external::Folder;
use super::proto::{
    FunctionProto, GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto,
    ValueInfoProto,
};
use super::{attribute, map, pack, scope, take_text};
use crate::error::{Error, Result};
use crate::graph::{Function, Model, STANDARD, is_standard_domain};

/// The model in the file `path`; its weights stay windows of the mapped file.
///
/// # Errors
/// When the file cannot be opened, is no ONNX model, or its external data is missing or outside
/// its folder.
pub fn load(path: &Path) -> Result<Model> {
    let read = || {
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut model = load_bytes(map::map(path)?, Some(folder))?;
        model.source = Some(path.to_owned());
        Ok(model)
    };
    read().map_err(|error: Error| error.file(path))
}

/// The model in `bytes`; `folder` is where its external data may be.
///
/// # Errors
/// When the bytes are no ONNX model, or its external data is missing or outside the folder.
pub fn load_bytes(bytes: Bytes, folder: Option<&Path>) -> Result<Model> {
    if bytes.is_empty() {
        return Err(Error::unreadable("the file is empty"));
    }
    let mut proto = ModelProto::decode(bytes.clone()).map_err(|error| {
        other_format(&bytes).unwrap_or_else(|| {
            Error::unreadable(format!("this is no ONNX model: {error}"))
                .help("check that the file is ONNX and was fetched whole")
        })
    })?;
    let Some(graph) = proto.graph.take() else {
        return Err(other_format(&bytes).unwrap_or_else(|| {
            Error::unreadable("there is no graph in this file")
                .help("check that the file is an ONNX model and was fetched whole")
        }));
    };
    if proto.opset_import.is_empty() {
        return Err(Error::unreadable("the model names no operator set")
            .help("export it again with an opset of 7 or later"));
    }
    let folder = &mut Folder::new(folder);
    Ok(Model {
        ir_version: proto.ir_version.take().unwrap_or_default(),
        opsets: opsets(&mut proto.opset_import),
        graph: scope::load(graph, false, folder)?.0,
        functions: std::mem::take(&mut proto.functions)
            .into_iter()
            .map(|proto| function(proto, folder))
            .collect::<Result<_>>()?,
        metadata: std::mem::take(&mut proto.metadata_props).into_iter().map(pair).collect(),
        carry: pack(&proto),
        source: None,
        hash: sha256(&bytes),
        bytes,
    })
}

/// What else the bytes are, where that is easily told.
fn other_format(bytes: &[u8]) -> Option<Error> {
    let start = &bytes[..bytes.len().min(1024)];
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default(),
    };
    // A character may be cut at the end of the window.
    let whole = text.len() + 4 > start.len();
    let printable = whole && !text.contains(|c: char| c.is_control() && !c.is_whitespace());
    let export = "export the model to ONNX first";
    let (what, help) = match start {
        [b'P', b'K', 3, 4, ..] => ("a zip archive, perhaps of PyTorch or Keras", export),
        [0x89, b'H', b'D', b'F', ..] => ("an HDF5 file, perhaps of Keras", export),
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => ("a TensorFlow Lite model", export),
        _ if text.starts_with("version https://git-lfs") => {
            ("a Git LFS pointer", "fetch the file itself with 'git lfs pull'")
        }
        _ if printable => ("text", "give the binary .onnx file"),
        _ => return None,
    };
    Some(Error::unreadable(format!("this is no ONNX model but {what}")).help(help))
}

/// The versions by domain; the list stays where its spelling or order would be lost.
fn opsets(list: &mut Vec<OperatorSetIdProto>) -> BTreeMap<String, i64> {
    let mut versions = BTreeMap::new();
    for entry in &*list {
        let domain = entry.domain.as_deref().unwrap_or_default();
        let domain = if is_standard_domain(domain) { STANDARD } else { domain };
        versions.insert(domain.to_owned(), entry.version.unwrap_or_default());
    }
    if super::message::opsets(&versions, Vec::new()) == *list {
        list.clear();
    }
    versions
}

fn pair(entry: StringStringEntryProto) -> (String, String) {
    (entry.key.unwrap_or_default(), entry.value.unwrap_or_default())
}

/// A model-local function; its body is a graph whose inputs have no types.
fn function(mut proto: FunctionProto, folder: &mut Folder) -> Result<Function> {
    let name = take_text(&mut proto.name);
    let untyped = |names: &mut Vec<String>| {
        let declare = |name| ValueInfoProto { name: Some(name), ..Default::default() };
        std::mem::take(names).into_iter().map(declare).collect()
    };
    let body = GraphProto {
        input: untyped(&mut proto.input),
        output: untyped(&mut proto.output),
        node: std::mem::take(&mut proto.node),
        value_info: std::mem::take(&mut proto.value_info),
        ..Default::default()
    };
    let read = || {
        let (body, _) = scope::load(body, false, folder)?;
        let defaults = std::mem::take(&mut proto.attribute_proto)
            .into_iter()
            .map(|attribute| attribute::load(attribute, folder, &mut Vec::new()))
            .collect::<Result<_>>()?;
        Ok((body, defaults))
    };
    let (body, defaults) = read().map_err(|error: Error| Error {
        what: format!("in function '{name}': {}", error.what),
        ..error
    })?;
    Ok(Function {
        name,
        domain: take_text(&mut proto.domain),
        overload: take_text(&mut proto.overload),
        opsets: opsets(&mut proto.opset_import),
        attributes: std::mem::take(&mut proto.attribute),
        defaults,
        body,
        carry: pack(&proto),
    })
}

/// The SHA-256 of `bytes` in hexadecimal digits.
fn sha256(bytes: &[u8]) -> String {
    let mut hash = Sha256::new();
    let Ok(()) = map::by_windows::<Infallible>(bytes, |window| {
        hash.update(window);
        Ok(())
    });
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
