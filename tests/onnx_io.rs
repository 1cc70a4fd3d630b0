//! Files in, files out: nothing is lost, nothing panics, nothing half-written stays.

use std::path::{Path, PathBuf};

use onnx_protobuf::{Message, ModelProto, TensorProto};
use slpc::onnx::{Weights, emit, load};

/// The folder of real models, or none, said aloud.
fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("SLPC_TESTDATA");
    if folder.is_none() {
        eprintln!("SKIPPED: SLPC_TESTDATA names no folder of test data");
    }
    folder.map(PathBuf::from)
}

/// Every real model.
fn models() -> Vec<PathBuf> {
    let Some(folder) = data() else { return Vec::new() };
    let files = std::fs::read_dir(folder.join("models")).expect("the folder of models");
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "onnx"));
    files.sort();
    assert!(files.len() > 10, "real models are missing");
    files
}

/// The file as the independent reader sees it, typed elements made raw.
fn read(path: &Path) -> ModelProto {
    let mut model = ModelProto::parse_from_bytes(&std::fs::read(path).unwrap()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    graph.initializer.iter_mut().for_each(raw);
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        if let Some(tensor) = attribute.t.as_mut() {
            raw(tensor);
        }
    }
    model
}

fn raw(tensor: &mut TensorProto) {
    if tensor.raw_data.is_empty() {
        tensor.raw_data = match tensor.data_type {
            1 => tensor.float_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            7 => tensor.int64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            6 => tensor.int32_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            10 => tensor.int32_data.iter().flat_map(|&v| (v as u16).to_le_bytes()).collect(),
            9 => tensor.int32_data.iter().map(|&v| v as u8).collect(),
            other => panic!("typed data of type {other} in a test model"),
        };
        tensor.float_data.clear();
        tensor.int64_data.clear();
        tensor.int32_data.clear();
    }
}

#[test]
fn real_models_come_out_as_they_went_in() {
    let folder = tempfile::tempdir().unwrap();
    for path in models() {
        let copy = folder.path().join("copy.onnx");
        emit(&load(&path).unwrap(), &copy, Weights::Keep).unwrap();
        assert!(read(&path) == read(&copy), "{} has changed", path.display());
    }
}
