//! Files and text to graphs and back; the only place that sees protobuf types.

pub mod text;
