//! How a case is told.

use super::{Case, Slot};
use crate::graph::Attr;

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.op)?;
        for (name, value) in &self.attributes {
            match value {
                Attr::Graph(graph) => {
                    write!(f, " {name}={}", crate::onnx::text::print_graph(graph))?;
                }
                value => write!(f, " {name}={value:?}")?,
            }
        }
        for slot in &self.slots {
            match slot {
                Slot::Skipped => write!(f, " _")?,
                Slot::Constant(name, tensor) | Slot::Computed(name, tensor) => {
                    write!(f, " {name}=[{}]", tensor.preview(16))?;
                }
                Slot::Param(floats) => write!(f, " {}{:?}", floats.name, floats.dims)?,
                Slot::Input(floats, dims) => write!(f, " *{}{dims:?}", floats.name)?,
            }
        }
        Ok(())
    }
}
