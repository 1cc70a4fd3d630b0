//! Switched linear projections of neural networks, as ONNX graphs.
#![warn(missing_docs)]

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
