//! The store: values, nodes, tensors, attributes and symbolic shapes.
//!
//! A graph is bipartite: an edge leads from a value to each node that uses it and from a node to
//! each value it produces. Invariants: every value has at most one producer, ids stay valid until
//! the thing is removed, names of values are unique, and iteration follows insertion order.

mod model;
mod names;
mod node;
mod same;
mod tensor;
mod view;

use std::cmp;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use petgraph::Direction;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::{Dfs, IntoNodeReferences, NodeIndexable, Reversed, Visitable};
pub use rten_shape_inference::{SymExpr as Dim, SymTensor as Facts};

use crate::error::{Error, Result};
pub use model::{Function, Model, STANDARD};
use names::Names;
pub use node::{Attr, Attribute, Node, is_standard_domain};
pub use same::Alike;
pub use tensor::{Data, DataType, External, Tensor};
pub use view::{View, count};

/// A map whose hash is fast on short keys, and another in every run.
pub type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// A set as [`Map`] is a map.
pub type Set<K> = HashSet<K, foldhash::fast::RandomState>;

/// The identity of a value within its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(NodeIndex);

/// The identity of a node within its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(NodeIndex);

/// One tensor of the graph.
#[derive(Clone, Debug)]
pub struct Value {
    /// The name, unique in the graph.
    pub name: String,
    /// The element type, where it is known and the value is a tensor.
    pub dtype: Option<DataType>,
    /// The symbolic shape, and the contents of small integer values that shapes are made of.
    pub facts: Arc<Facts>,
    /// The contents of an initializer.
    pub tensor: Option<Box<Tensor>>,
    /// The encoded declaration (`value_info`) with what this program has no use for: docs,
    /// metadata, denotations and the types of sequences, maps and optionals.
    pub carry: Box<[u8]>,
}

impl Value {
    /// A tensor of unknown type and shape.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            dtype: None,
            facts: Facts::unknown("not inferred").into(),
            tensor: None,
            carry: Box::default(),
        }
    }

    /// A tensor of known type and shape.
    pub fn typed(name: impl Into<String>, dtype: DataType, dims: Vec<Dim>) -> Self {
        Self { dtype: Some(dtype), facts: Facts::from_shape(dims).into(), ..Self::new(name) }
    }

    /// The dimensions, where the rank is known.
    pub fn dims(&self) -> Option<Vec<Dim>> {
        self.facts.shape().map(Iterator::collect)
    }

    /// The dimensions, where all are known numbers.
    pub fn fixed_dims(&self) -> Option<Vec<i64>> {
        self.dims()?.iter().map(fixed).collect()
    }
}

/// The number a dimension is known to be.
pub fn fixed(dim: &Dim) -> Option<i64> {
    match dim {
        Dim::Value(n) => Some(i64::from(*n)),
        _ => None,
    }
}

#[derive(Clone, Debug)]
enum Vertex {
    Value(Value),
    Node(Box<Node>),
}

type Net = StableDiGraph<Vertex, ()>;

/// The name of a value in `net`.
fn name_in(net: &Net, id: ValueId) -> &str {
    match net.node_weight(id.0) {
        Some(Vertex::Value(value)) => &value.name,
        _ => "",
    }
}

/// A graph of values and nodes.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The graph's name.
    pub name: String,
    /// The inputs in order.
    pub inputs: Vec<ValueId>,
    /// The outputs in order.
    pub outputs: Vec<ValueId>,
    /// Encoded fields that this program has no use for and hands on.
    pub carry: Bytes,
    net: Net,
    names: Names,
    /// Names that no new value may have.
    reserved: HashSet<String>,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Adds a value.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn add_value(&mut self, value: Value) -> Result<ValueId> {
        if self.find(&value.name).is_some() {
            return Err(Error::unreadable("two values have this name").value(value.name));
        }
        let id = ValueId(self.net.add_node(Vertex::Value(value)));
        self.names.add(id, |id| name_in(&self.net, id));
        Ok(id)
    }

    /// Adds a node whose inputs and outputs are values of this graph.
    ///
    /// # Errors
    /// When an output has a producer already, or is named twice.
    pub fn add_node(&mut self, node: Node) -> Result<NodeId> {
        let (mut own, several) = (Set::default(), node.outputs.len() > 1);
        for &output in node.outputs.iter().flatten() {
            if self.producer(output).is_some() || (several && !own.insert(output)) {
                return Err(Error::unreadable("this value is produced twice")
                    .value(&self.value(output).name)
                    .node(&node.name, node.operator()));
            }
        }
        let sources: Vec<_> = node.inputs.iter().flatten().chain(&node.captures).copied().collect();
        let targets: Vec<_> = node.outputs.iter().flatten().copied().collect();
        let id = self.net.add_node(Vertex::Node(Box::new(node)));
        for ValueId(source) in sources {
            self.net.add_edge(source, id, ());
        }
        for ValueId(target) in targets {
            self.net.add_edge(id, target, ());
        }
        Ok(NodeId(id))
    }

    /// The value `id`.
    pub fn value(&self, id: ValueId) -> &Value {
        match &self.net[id.0] {
            Vertex::Value(value) => value,
            Vertex::Node(_) => unreachable!("a ValueId names a value"),
        }
    }

    /// The value `id`, to be changed; its name must stay.
    pub fn value_mut(&mut self, id: ValueId) -> &mut Value {
        match &mut self.net[id.0] {
            Vertex::Value(value) => value,
            Vertex::Node(_) => unreachable!("a ValueId names a value"),
        }
    }

    /// The node `id`, where it was not removed.
    pub fn get(&self, id: NodeId) -> Option<&Node> {
        match self.net.node_weight(id.0) {
            Some(Vertex::Node(node)) => Some(node),
            _ => None,
        }
    }

    /// The node `id`.
    pub fn node(&self, id: NodeId) -> &Node {
        match &self.net[id.0] {
            Vertex::Node(node) => node,
            Vertex::Value(_) => unreachable!("a NodeId names a node"),
        }
    }

    /// The node `id`, to be changed; its inputs, outputs and captures must stay.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        match &mut self.net[id.0] {
            Vertex::Node(node) => node,
            Vertex::Value(_) => unreachable!("a NodeId names a node"),
        }
    }

    /// Every value in insertion order.
    pub fn values(&self) -> impl Iterator<Item = (ValueId, &Value)> {
        self.net.node_references().filter_map(|(id, vertex)| match vertex {
            Vertex::Value(value) => Some((ValueId(id), value)),
            Vertex::Node(_) => None,
        })
    }

    /// Every node in insertion order.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.net.node_references().filter_map(|(id, vertex)| match vertex {
            Vertex::Node(node) => Some((NodeId(id), &**node)),
            Vertex::Value(_) => None,
        })
    }

    /// The number of nodes.
    pub fn node_count(&self) -> usize {
        self.nodes().count()
    }

    /// The value called `name`.
    pub fn find(&self, name: &str) -> Option<ValueId> {
        self.names.find(name, |id| name_in(&self.net, id))
    }

    /// The node that produces `value`.
    pub fn producer(&self, value: ValueId) -> Option<NodeId> {
        self.net.neighbors_directed(value.0, Direction::Incoming).next().map(NodeId)
    }

    /// Whether a node uses `value`.
    pub fn is_used(&self, value: ValueId) -> bool {
        self.net.neighbors(value.0).next().is_some()
    }

    /// The nodes that use `value`, in insertion order, each once.
    pub fn consumers(&self, value: ValueId) -> Vec<NodeId> {
        let mut nodes: Vec<_> = self.net.neighbors(value.0).map(NodeId).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// How a node is called in messages: its name, or its first output's.
    pub fn label(&self, id: NodeId) -> &str {
        let node = self.node(id);
        match node.outputs.iter().flatten().next() {
            Some(&output) if node.name.is_empty() => &self.value(output).name,
            _ => &node.name,
        }
    }

    /// `error` with this node named as its place.
    pub fn at(&self, id: NodeId, error: Error) -> Error {
        error.node(self.label(id), self.node(id).operator())
    }

    /// A name that no value has, nor any that was reserved, `wish` itself where it is free.
    pub fn free_name(&self, wish: &str) -> String {
        let free = |name: &str| self.find(name).is_none() && !self.reserved.contains(name);
        if free(wish) {
            return wish.to_owned();
        }
        (2..)
            .map(|n| format!("{wish}~{n}"))
            .find(|name| free(name))
            .expect("there are more numbers than names")
    }

    /// Keeps names from being [free](Self::free_name): a subgraph has values of these names, and no
    /// value that it can see may have one of them too.
    pub fn reserve(&mut self, names: impl IntoIterator<Item = String>) {
        self.reserved.extend(names);
    }

    /// Removes a node; its outputs stay without a producer.
    pub fn remove_node(&mut self, id: NodeId) {
        self.net.remove_node(id.0);
    }

    /// Removes nodes with their outputs, which nothing else refers to, in one pass: nodes one by one would each
    /// be looked for among all that use a value.
    pub fn remove_nodes(&mut self, nodes: &[NodeId]) {
        let outputs = nodes.iter().flat_map(|&id| self.node(id).outputs.iter().flatten().copied());
        let outputs: Vec<ValueId> = outputs.collect();
        outputs.iter().for_each(|&id| self.names.remove(id, |id| name_in(&self.net, id)));
        let gone = nodes.iter().map(|id| id.0).chain(outputs.iter().map(|id| id.0));
        let gone: Set<NodeIndex> = gone.collect();
        let kept = |id, vertex| (!gone.contains(&id)).then_some(vertex);
        self.net = std::mem::take(&mut self.net).filter_map_owned(kept, |_, edge| Some(edge));
    }

    /// Removes a value that no node, input or output of the graph refers to.
    pub fn remove_value(&mut self, id: ValueId) {
        self.names.remove(id, |id| name_in(&self.net, id));
        self.net.remove_node(id.0);
    }

    /// Removes the nodes that no output depends on, and the values that nothing refers to.
    pub fn prune(&mut self) {
        let live = self.ancestors(self.outputs.iter().copied());
        let dead: Vec<_> =
            self.nodes().map(|(id, _)| id).filter(|&id| !live.has_node(id)).collect();
        dead.into_iter().for_each(|id| self.remove_node(id));
        let kept: Set<_> = self.inputs.iter().chain(&self.outputs).copied().collect();
        let unused =
            |id: &ValueId| !kept.contains(id) && self.producer(*id).is_none() && !self.is_used(*id);
        let values: Vec<_> = self.values().map(|(id, _)| id).filter(unused).collect();
        values.into_iter().for_each(|id| self.remove_value(id));
    }

    /// Gives input `index` of a node another value, or none.
    pub fn set_input(&mut self, id: NodeId, index: usize, value: Option<ValueId>) {
        let inputs = &mut self.node_mut(id).inputs;
        if inputs.len() <= index {
            inputs.resize(index + 1, None);
        }
        let old = std::mem::replace(&mut inputs[index], value);
        if let Some(edge) = old.and_then(|old| self.net.find_edge(old.0, id.0)) {
            self.net.remove_edge(edge);
        }
        if let Some(value) = value {
            self.net.add_edge(value.0, id.0, ());
        }
    }

    /// Gives output `index` of a node, so far left out, a value without a producer.
    pub fn set_output(&mut self, id: NodeId, index: usize, value: ValueId) {
        let outputs = &mut self.node_mut(id).outputs;
        if outputs.len() <= index {
            outputs.resize(index + 1, None);
        }
        outputs[index] = Some(value);
        self.net.add_edge(id.0, value.0, ());
    }

    /// Makes every node that uses `old` use `new` instead; captures and graph outputs stay. Says
    /// whether there was any.
    pub fn replace_uses(&mut self, old: ValueId, new: ValueId) -> bool {
        let mut changed = false;
        for node in self.consumers(old) {
            for index in 0..self.node(node).inputs.len() {
                if self.node(node).inputs[index] == Some(old) {
                    self.set_input(node, index, Some(new));
                    changed = true;
                }
            }
        }
        changed
    }

    /// The nodes, each after the nodes whose outputs it uses, else in insertion order.
    ///
    /// # Errors
    /// When the graph has a cycle; the error names a node on it.
    pub fn topological(&self) -> Result<Vec<NodeId>> {
        // How many inputs of each node are still to be computed.
        let mut waits = vec![0; self.net.node_bound()];
        let mut ready = BinaryHeap::new();
        for (NodeId(id), _) in self.nodes() {
            let count = self
                .net
                .neighbors_directed(id, Direction::Incoming)
                .filter(|&value| self.producer(ValueId(value)).is_some())
                .count();
            waits[id.index()] = count;
            if count == 0 {
                ready.push(cmp::Reverse(id));
            }
        }
        let mut order = Vec::new();
        while let Some(cmp::Reverse(id)) = ready.pop() {
            order.push(NodeId(id));
            let outputs = self.net.neighbors(id);
            for user in outputs.flat_map(|value| self.net.neighbors(value)) {
                waits[user.index()] -= 1;
                if waits[user.index()] == 0 {
                    ready.push(cmp::Reverse(user));
                }
            }
        }
        match self.nodes().find(|(NodeId(id), _)| waits[id.index()] > 0) {
            None => Ok(order),
            Some((id, _)) => {
                Err(self.at(id, Error::unreadable("the graph has a cycle through this node")))
            }
        }
    }

    /// Everything `values` are computed from, themselves included.
    pub fn ancestors(&self, values: impl IntoIterator<Item = ValueId>) -> Reach {
        self.reach(values, |graph, dfs| while dfs.next(Reversed(&graph.net)).is_some() {})
    }

    /// Everything that is computed from `values`, themselves included.
    pub fn descendants(&self, values: impl IntoIterator<Item = ValueId>) -> Reach {
        self.reach(values, |graph, dfs| while dfs.next(&graph.net).is_some() {})
    }

    fn reach(
        &self,
        values: impl IntoIterator<Item = ValueId>,
        run: impl Fn(&Self, &mut Dfs<NodeIndex, <Net as Visitable>::Map>),
    ) -> Reach {
        let mut dfs = Dfs::empty(&self.net);
        dfs.stack.extend(values.into_iter().map(|v| v.0));
        run(self, &mut dfs);
        Reach(dfs.discovered)
    }

    /// Values that subgraphs take from the graph around: no producer, tensor or input of their own.
    pub fn free_values(&self) -> Vec<ValueId> {
        self.values()
            .filter(|(id, value)| {
                value.tensor.is_none() && self.producer(*id).is_none() && !self.inputs.contains(id)
            })
            .map(|(id, _)| id)
            .collect()
    }
}

/// A set of values and nodes found by following edges.
pub struct Reach(<Net as Visitable>::Map);

impl Reach {
    /// Whether the value is in the set.
    pub fn has_value(&self, id: ValueId) -> bool {
        self.0.contains(id.0.index())
    }

    /// Whether the node is in the set.
    pub fn has_node(&self, id: NodeId) -> bool {
        self.0.contains(id.0.index())
    }
}

#[cfg(test)]
mod tests;
