//! Which nodes compute the same.

use std::hash::{BuildHasher, Hash, Hasher};
use std::mem::discriminant;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::{Attr, Graph, Node, NodeId};

/// Nodes of a graph, found by what they compute.
#[derive(Default)]
pub struct Alike {
    table: HashTable<(u64, NodeId)>,
    state: RandomState,
}

impl Alike {
    /// The node added before that is the same as `node`, which need not be in `graph`.
    pub fn find(&self, graph: &Graph, node: &Node) -> Option<NodeId> {
        let same = |&(_, id): &(u64, NodeId)| graph.get(id).is_some_and(|other| node.same(other));
        self.table.find(self.hash(node), same).map(|&(_, id)| id)
    }

    /// Adds a node of `graph`.
    pub fn add(&mut self, graph: &Graph, id: NodeId) {
        let hash = self.hash(graph.node(id));
        self.table.insert_unique(hash, (hash, id), |(hash, _)| *hash);
    }

    fn hash(&self, node: &Node) -> u64 {
        let mut state = self.state.build_hasher();
        (&node.domain, &node.op, &node.inputs).hash(&mut state);
        for attribute in &node.attributes {
            attribute.name.hash(&mut state);
            attribute.value.digest(&mut state);
        }
        state.finish()
    }
}

impl Node {
    /// Whether both are the same operator of the same inputs and attributes, with as many outputs. Nodes
    /// with subgraphs are never.
    pub fn same(&self, other: &Self) -> bool {
        let attributes = || self.attributes.iter().zip(&other.attributes);
        (&self.domain, &self.op, &self.inputs) == (&other.domain, &other.op, &other.inputs)
            && self.outputs.len() == other.outputs.len()
            && self.attributes.len() == other.attributes.len()
            && attributes().all(|(a, b)| a.name == b.name && a.value.same(&b.value))
    }
}

impl Attr {
    /// Whether both are the same to the bit.
    fn same(&self, other: &Self) -> bool {
        let bits = |list: &[f32]| -> Vec<u32> { list.iter().map(|x| x.to_bits()).collect() };
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Tensor(a), Self::Tensor(b)) => a == b,
            (Self::Floats(a), Self::Floats(b)) => bits(a) == bits(b),
            (Self::Ints(a), Self::Ints(b)) => a == b,
            (Self::Strings(a), Self::Strings(b)) => a == b,
            (Self::Tensors(a), Self::Tensors(b)) => a == b,
            _ => false,
        }
    }

    /// Hashes what mostly tells attributes apart.
    fn digest(&self, state: &mut impl Hasher) {
        discriminant(self).hash(state);
        match self {
            Self::Float(x) => x.to_bits().hash(state),
            Self::Int(n) => n.hash(state),
            Self::String(text) => text.hash(state),
            Self::Tensor(tensor) => (tensor.dtype, &tensor.dims, tensor.bytes()).hash(state),
            Self::Ints(list) => list.hash(state),
            _ => {}
        }
    }
}
