//! Cases of operators with subgraphs.

use super::{Case, Slot};
use crate::onnx::text;

impl Case {
    /// What is added from here on is read by the subgraphs around them.
    pub fn around(mut self) -> Self {
        self.around = Some(self.slots.len());
        self
    }

    /// Subgraphs in the text syntax, `name = graph, …`; they may read every input by its name.
    pub fn bodies(mut self, text: &str) -> Self {
        let name = |slot: &Slot| match slot {
            Slot::Skipped => None,
            Slot::Constant(name, _) | Slot::Computed(name, _) => Some(format!("float {name}")),
            Slot::Param(floats) | Slot::Input(floats, _) => Some(format!("float {}", floats.name)),
        };
        let names: Vec<_> = self.slots.iter().filter_map(name).collect();
        let graph = format!("g ({}) => () {{ y = {} <{text}> () }}", names.join(", "), self.op);
        let graph = text::parse_graph(&graph).unwrap_or_else(|e| panic!("{e}: {graph}"));
        let nodes = graph.nodes().flat_map(|(_, node)| node.attributes.clone());
        self.attributes.extend(nodes.map(|attribute| (attribute.name, attribute.value)));
        self
    }
}
