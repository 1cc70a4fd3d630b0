//! Hashes of augmented models, so that the same file and options give the same bytes in every
//! process and on every machine.

use std::fmt::Write;
use std::path::Path;

use sha2::{Digest, Sha256};
use slpc::compile::plan::Direction::{self, Forward, Reverse};
use slpc::compile::plan::Limits;
use slpc::compile::select::Batch;
use slpc::compile::{Options, transform};
use slpc::graph::Model;
use slpc::onnx::{load, text, to_bytes};

#[path = "../mutants/models.rs"]
mod models;

/// The list, a model and direction a line.
pub fn list() -> String {
    let mut text = String::from(
        "SHA-256 of augmented models, made anew by every run of the tests; a change of what is emitted\n\
         changes them: SLPC_UPDATE=1 cargo test --test docs\n\n",
    );
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/2conv_mnist.onnx");
    let small = models::TEXTS.iter().map(|(name, graph)| (*name, text::parse(graph).unwrap()));
    for (name, model) in small.chain([("2conv_mnist", load(&shipped).unwrap())]) {
        for direction in [Reverse, Forward] {
            writeln!(text, "{name} {direction}: {}", hash(&model, direction)).unwrap();
        }
    }
    text
}

/// The hash of the bytes, or why there are none.
fn hash(model: &Model, direction: Direction) -> String {
    let emit = "activity,weights,bias,centre,icd,bias-terms".split(',');
    let options = Options {
        neurons: Some("0,1".parse().unwrap()),
        emit: emit.map(|quantity| quantity.parse().unwrap()).collect(),
        limits: Limits { direction: Some(direction), ..Limits::default() },
        ..Options::default()
    };
    // Where samples of a batch are mixed, all of the input is one.
    let whole = Options { batch: Batch::None, ..options.clone() };
    let augmented =
        transform(model.clone(), &options).or_else(|_| transform(model.clone(), &whole));
    match augmented.and_then(|(augmented, _)| to_bytes(&augmented)) {
        Ok(bytes) => Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect(),
        Err(error) => error.to_string(),
    }
}
