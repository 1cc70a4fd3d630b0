//! Generates the types of the ONNX format from `proto/onnx.proto`, without protoc, and says which
//! commit a release is built from. Needs no network and no tool; git only to name the commit.

use std::error::Error;
use std::path::PathBuf;

#[path = "build/commit.rs"]
mod commit;

fn main() -> Result<(), Box<dyn Error>> {
    name_the_build()?;
    generate_the_types()
}

/// Sets `SLPC_BUILD`. A debug build names no commit, since it would be compiled anew after each.
fn name_the_build() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build/commit.rs");
    if std::env::var("PROFILE")? == "debug" {
        println!("cargo::rustc-env=SLPC_BUILD=debug build");
        return Ok(());
    }
    let folder = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    for path in commit::watched(&folder) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    for path in ["src", "build.rs", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let commit = commit::of(&folder).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=SLPC_BUILD=commit {commit}");
    Ok(())
}

fn generate_the_types() -> Result<(), Box<dyn Error>> {
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
