//! Nodes and their attributes.

use bytes::Bytes;

use super::{Graph, Tensor, ValueId};
use crate::error::{Error, Result};

/// One application of an operator.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// The node's name; may be empty.
    pub name: String,
    /// The operator.
    pub op: String,
    /// The operator's domain; empty for the ONNX standard.
    pub domain: String,
    /// The overload of a model-local function; mostly empty.
    pub overload: String,
    /// The inputs by position; `None` where an optional one is left out.
    pub inputs: Vec<Option<ValueId>>,
    /// The outputs by position; `None` where an optional one is left out.
    pub outputs: Vec<Option<ValueId>>,
    /// Outer values that the node's subgraphs use by name.
    pub captures: Vec<ValueId>,
    /// The attributes in the order of the file.
    pub attributes: Vec<Attribute>,
    /// Encoded fields that this program has no use for and hands on.
    pub carry: Box<[u8]>,
}

/// A named attribute of a node.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// The name.
    pub name: String,
    /// The value.
    pub value: Attr,
    /// Encoded fields that this program has no use for and hands on.
    pub carry: Bytes,
}

/// The value of an attribute.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Attr {
    Float(f32),
    Int(i64),
    String(Bytes),
    Tensor(Tensor),
    Graph(Box<Graph>),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Strings(Vec<Bytes>),
    Tensors(Vec<Tensor>),
    Graphs(Vec<Graph>),
    /// Inside a function body: the attribute of that name of the calling node.
    Reference {
        name: String,
        kind: i32,
    },
    /// A kind that this program hands on encoded: sparse tensors and types.
    Opaque {
        kind: i32,
        fields: Bytes,
    },
}

impl From<i64> for Attr {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f32> for Attr {
    fn from(value: f32) -> Self {
        Self::Float(value)
    }
}

impl From<Vec<i64>> for Attr {
    fn from(value: Vec<i64>) -> Self {
        Self::Ints(value)
    }
}

impl From<&str> for Attr {
    fn from(value: &str) -> Self {
        Self::String(Bytes::copy_from_slice(value.as_bytes()))
    }
}

impl From<Tensor> for Attr {
    fn from(value: Tensor) -> Self {
        Self::Tensor(value)
    }
}

impl Node {
    /// A node of the ONNX standard without attributes.
    pub fn new(op: &str, inputs: Vec<Option<ValueId>>, outputs: Vec<Option<ValueId>>) -> Self {
        Self { op: op.to_owned(), inputs, outputs, ..Self::default() }
    }

    /// The node with an attribute added.
    pub fn with(mut self, name: &str, value: impl Into<Attr>) -> Self {
        self.set(name, value);
        self
    }

    /// Whether the operator is of the ONNX standard.
    pub fn is_standard(&self) -> bool {
        is_standard_domain(&self.domain)
    }

    /// Whether this is the standard operator `op`.
    pub fn is(&self, op: &str) -> bool {
        self.op == op && self.is_standard()
    }

    /// The operator as people name it: `domain.op` outside the standard.
    pub fn operator(&self) -> String {
        if self.is_standard() { self.op.clone() } else { format!("{}.{}", self.domain, self.op) }
    }

    /// The input at `index`, `None` where it is left out or past the end.
    pub fn input(&self, index: usize) -> Option<ValueId> {
        self.inputs.get(index).copied().flatten()
    }

    /// The output at `index`, `None` where it is left out or past the end.
    pub fn output(&self, index: usize) -> Option<ValueId> {
        self.outputs.get(index).copied().flatten()
    }

    /// The attribute called `name`.
    pub fn attr(&self, name: &str) -> Option<&Attr> {
        self.attributes.iter().find(|a| a.name == name).map(|a| &a.value)
    }

    /// Sets or adds an attribute.
    pub fn set(&mut self, name: &str, value: impl Into<Attr>) {
        let value = value.into();
        match self.attributes.iter_mut().find(|a| a.name == name) {
            Some(attribute) => attribute.value = value,
            None => self.attributes.push(Attribute {
                name: name.to_owned(),
                value,
                carry: Bytes::new(),
            }),
        }
    }

    /// Removes an attribute and gives its value.
    pub fn take(&mut self, name: &str) -> Option<Attr> {
        let index = self.attributes.iter().position(|a| a.name == name)?;
        Some(self.attributes.remove(index).value)
    }

    /// An integer attribute.
    ///
    /// # Errors
    /// When the attribute has another kind.
    pub fn int(&self, name: &str) -> Result<Option<i64>> {
        match self.attr(name) {
            None => Ok(None),
            Some(Attr::Int(value)) => Ok(Some(*value)),
            Some(_) => Err(Error::unreadable(format!("attribute '{name}' is no integer"))),
        }
    }

    /// A list of integers.
    ///
    /// # Errors
    /// When the attribute has another kind.
    pub fn ints(&self, name: &str) -> Result<Option<&[i64]>> {
        match self.attr(name) {
            None => Ok(None),
            Some(Attr::Ints(values)) => Ok(Some(values)),
            Some(_) => Err(Error::unreadable(format!("attribute '{name}' is no list of integers"))),
        }
    }

    /// A float attribute.
    ///
    /// # Errors
    /// When the attribute has another kind.
    pub fn float(&self, name: &str) -> Result<Option<f32>> {
        match self.attr(name) {
            None => Ok(None),
            Some(Attr::Float(value)) => Ok(Some(*value)),
            Some(_) => Err(Error::unreadable(format!("attribute '{name}' is no float"))),
        }
    }

    /// A text attribute.
    ///
    /// # Errors
    /// When the attribute has another kind or is not UTF-8.
    pub fn text(&self, name: &str) -> Result<Option<&str>> {
        match self.attr(name) {
            None => Ok(None),
            Some(Attr::String(bytes)) => std::str::from_utf8(bytes)
                .map(Some)
                .map_err(|_| Error::unreadable(format!("attribute '{name}' is no UTF-8"))),
            Some(_) => Err(Error::unreadable(format!("attribute '{name}' is no text"))),
        }
    }

    /// The subgraphs among the attributes.
    pub fn subgraphs(&self) -> impl Iterator<Item = &Graph> {
        self.attributes.iter().flat_map(|a| match &a.value {
            Attr::Graph(graph) => std::slice::from_ref(&**graph),
            Attr::Graphs(graphs) => graphs,
            _ => &[],
        })
    }

    /// The subgraphs among the attributes, to be changed.
    pub fn subgraphs_mut(&mut self) -> impl Iterator<Item = &mut Graph> {
        self.attributes.iter_mut().flat_map(|a| match &mut a.value {
            Attr::Graph(graph) => std::slice::from_mut(&mut **graph),
            Attr::Graphs(graphs) => graphs,
            _ => &mut [],
        })
    }
}

/// Whether `domain` is the ONNX standard's own.
pub fn is_standard_domain(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}
