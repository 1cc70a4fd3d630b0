//! Runs files; the only place that sees an execution engine.
//!
//! [`Session::open`] takes a model's file and a [`Setup`], which names the engine; the session says
//! what the model declares of its inputs and outputs, and runs on named arrays of any shapes that
//! fit. [`tract`] is built in, ONNX Runtime is loaded from where the user has it.

mod array;
mod defects;
mod guard;
mod library;
mod onnxruntime;
mod passes;
mod port;
mod session;
pub mod tract;

pub use array::Array;
pub use port::{Extent, Port};
pub use session::{Arrays, Backend, Provider, Session, Setup};

use crate::error::{Error, Kind};

/// A failure of whatever engine is at work.
fn failure(what: impl Into<String>) -> Error {
    Error::new(Kind::Engine, what)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
