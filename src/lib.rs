//! Switched linear projections of neural networks, as ONNX graphs.
#![warn(missing_docs)]
// `onnx/map.rs` alone is let off, which `forbid` would not allow.
#![deny(unsafe_code)]

pub mod analyse;
pub mod cli;
pub mod compile;
pub mod engine;
pub mod error;
pub mod files;
pub mod graph;
pub mod noise;
pub mod onnx;
pub mod render;
pub mod verify;
