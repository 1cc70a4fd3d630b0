//! The ONNX text syntax, as `onnx.parser` reads and `onnx.printer` writes it.
//!
//! A few things are read beyond that: quoted names wherever a name can stand, lists of tensors and
//! graphs, float literals in float16 and bfloat16 tensors (whole numbers there are bit patterns),
//! and nodes in any order. Numbers in tensors of types below a byte are the bytes they are packed
//! in.

mod attribute;
mod lex;
mod literal;
mod parse;
mod print;

mod tensor;
mod wire;

pub use parse::{parse, parse_graph};
pub use print::{print, print_full, print_graph, print_graph_with_shapes};

#[cfg(test)]
mod tests;
