//! The rooms of the program that read, change and write models, and what every target asks of them.
#![allow(dead_code, reason = "the other rooms use the rest")]

#[path = "../../src/compile/mod.rs"]
pub mod compile;
#[path = "../../src/error.rs"]
pub mod error;
#[path = "../../src/files.rs"]
pub mod files;
#[path = "../../src/graph/mod.rs"]
pub mod graph;
#[path = "../../src/noise.rs"]
pub mod noise;
#[path = "../../src/onnx/mod.rs"]
pub mod onnx;

use compile::{Options, transform};
use error::{Error, Kind};
use graph::Model;

/// An error is an answer, unless it says that the program itself is wrong.
pub fn honest<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) if error.kind == Kind::Internal => panic!("{error}"),
        Err(_) => None,
    }
}

/// Writes the model, reads it, and expects the same bytes again; gives the bytes.
pub fn written_and_read(model: &Model) -> Option<Vec<u8>> {
    let bytes = honest(onnx::to_bytes(model))?;
    let again = onnx::load_bytes(bytes.clone().into(), None).expect("what was written is read");
    let again = onnx::to_bytes(&again).expect("what was read is written");
    assert!(again == bytes, "the model is written otherwise when it was read");
    Some(bytes)
}

/// Transforms the model in a way that two bytes choose, and expects a model that is read again.
pub fn transformed(model: Model, choice: [u8; 2]) {
    let neurons = ["0", "all", "top:1", "runtime", "0,1"][usize::from(choice[0]) % 5];
    let emit = [
        "activity,weights,bias,centre,icd",
        "activity,weights,bias,bias-terms",
        "weights,state,radius",
        "patterns,singular-values,mixing,power",
    ][usize::from(choice[0] >> 4) % 4];
    let mut options = Options {
        neurons: Some(neurons.parse().expect("a choice")),
        emit: emit.split(',').map(|quantity| quantity.parse().expect("a quantity")).collect(),
        ..Options::default()
    };
    options.limits.direction = match choice[1] % 3 {
        0 => None,
        1 => Some(compile::plan::Direction::Forward),
        _ => Some(compile::plan::Direction::Reverse),
    };
    if choice[1] >= 128 {
        let what = format!("#{}", 1 + choice[1] / 4 % 4);
        options.layers = vec![compile::LayerRequest { alias: None, what }];
    }
    if let Some((augmented, _)) = honest(transform(model, &options)) {
        written_and_read(&augmented);
    }
}
