//! The pipeline from a model to its augmented model, a stage a call.

pub mod infer;
pub mod normalise;
