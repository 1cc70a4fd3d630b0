//! A whole file: a graph with what stands around it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;

use super::Graph;

/// The key of the ONNX standard among [`Model::opsets`].
pub const STANDARD: &str = "";

/// A model as a file holds it.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// The version of the file format.
    pub ir_version: i64,
    /// The operator set version of each domain; the standard under [`STANDARD`].
    pub opsets: BTreeMap<String, i64>,
    /// The graph.
    pub graph: Graph,
    /// The model-local functions.
    pub functions: Vec<Function>,
    /// `metadata_props` in the order of the file.
    pub metadata: Vec<(String, String)>,
    /// Encoded fields that this program has no use for and hands on.
    pub carry: Bytes,
    /// The file the model was read from.
    pub source: Option<PathBuf>,
    /// The bytes the model was read from, mapped; the weights are windows of them.
    pub bytes: Bytes,
    /// The hexadecimal SHA-256 of those bytes.
    pub hash: String,
}

/// A model-local function.
#[derive(Clone, Debug)]
pub struct Function {
    /// The domain.
    pub domain: String,
    /// The operator it defines.
    pub name: String,
    /// The overload.
    pub overload: String,
    /// The operator set versions that its body is written for.
    pub opsets: BTreeMap<String, i64>,
    /// Attributes without a default, by name.
    pub attributes: Vec<String>,
    /// Attributes with their defaults.
    pub defaults: Vec<super::Attribute>,
    /// The body; its inputs and outputs are the function's.
    pub body: Graph,
    /// Encoded fields that this program has no use for and hands on.
    pub carry: Bytes,
}

impl Model {
    /// The operator set version of the standard, 1 where the file names none.
    pub fn opset(&self) -> i64 {
        self.opsets.get(STANDARD).copied().unwrap_or(1)
    }
}
