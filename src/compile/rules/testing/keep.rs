//! The models of snapshots as files, for other runtimes.

use super::{Case, Changing};
use crate::onnx;

#[path = "../../../../tests/common/corpus.rs"]
mod corpus;

impl Case {
    /// Keeps the model, every changing tensor an input of its own.
    pub(super) fn keep(&self, name: &str) {
        let given = |index: usize| {
            let floats = self.floats(index);
            let dims = floats.dims.iter().map(|&n| n as usize).collect();
            (floats.name.clone(), dims, self.values_of(index))
        };
        let model = || onnx::to_bytes(&self.model(Changing::Each)).expect("it is encoded");
        let feed = || self.inputs().into_iter().map(given).collect();
        corpus::keep(&format!("{}-{name}", self.op), model, feed);
    }
}
