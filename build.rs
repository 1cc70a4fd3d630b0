//! Generates the types of the ONNX format from `proto/onnx.proto`, without protoc.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto/onnx.proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).open_file("proto/onnx.proto")?;
    let mut config = prost_build::Config::new();
    config.bytes(["."]);
    // An attribute has one value of many kinds: a box keeps the large ones from costing all.
    for field in ["t", "g", "sparse_tensor", "tp"] {
        config.boxed(format!(".onnx.AttributeProto.{field}"));
    }
    config.compile_fds(compiler.file_descriptor_set())?;
    // The schema itself, for the tests that fill every field of it.
    let folder = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(folder.join("onnx.descriptors"), compiler.encode_file_descriptor_set())?;
    Ok(())
}
