//! Files and text to graphs and back; the only place that sees protobuf types.
//!
//! [`load`] maps a file and decodes it without copying a weight; [`emit`] streams a model to a
//! file. What [`Model`](crate::graph::Model) and its parts have no field for travels encoded in
//! their `carry`, so that everything a file holds comes out as it went in.

mod attribute;
mod declare;
mod emit;
mod external;
mod load;
#[allow(unsafe_code, reason = "maps files, and hands chunks to the encoder")]
mod map;
mod message;
mod scope;
mod stream;
mod tensor;
pub mod text;
mod weights;

pub use emit::{Written, emit, to_bytes, write_to};
pub use load::{load, load_bytes};
pub use weights::Weights;

#[allow(clippy::all, clippy::pedantic, dead_code)]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
}

use bytes::Buf;
use prost::Message;

use crate::error::{Error, Result};

/// The encoded `message`: empty when no field of it is set.
fn pack<T: From<Vec<u8>>>(message: &impl Message) -> T {
    message.encode_to_vec().into()
}

/// The message that [`pack`] encoded.
fn unpack<M: Message + Default>(carry: impl Buf) -> Result<M> {
    M::decode(carry)
        .map_err(|error| Error::internal(format!("carried fields cannot be decoded: {error}")))
}

/// Takes a text out of its field, but leaves an explicit empty one there to be carried along.
fn take_text(field: &mut Option<String>) -> String {
    match field {
        Some(text) if !text.is_empty() => std::mem::take(field).unwrap_or_default(),
        _ => String::new(),
    }
}

/// Puts back what [`take_text`] took.
fn put_text(field: &mut Option<String>, text: &str) {
    if !text.is_empty() {
        *field = Some(text.to_owned());
    } else if field.as_ref().is_some_and(|old| !old.is_empty()) {
        *field = None;
    }
}

#[cfg(test)]
mod tests;
