//! One graph from its message: values first, then the nodes that join them.

use std::collections::HashSet;

use super::external::Folder;
use super::proto::{GraphProto, NodeProto, ValueInfoProto};
use super::{attribute, declare, pack, take_text, tensor};
use crate::error::{Error, Result};
use crate::graph::{DataType, Graph, Node, Value, ValueId};

/// The graph that `proto` describes, and the names it takes from the graph around it.
///
/// Nodes may stand in any order. Names without a definition are values of the graph around where
/// there is one (`nested`).
///
/// # Errors
/// When a name is defined twice or never, or a part is malformed.
pub fn load(
    mut proto: GraphProto,
    nested: bool,
    folder: &mut Folder,
) -> Result<(Graph, Vec<String>)> {
    let graph = Graph::new(take_text(&mut proto.name));
    let mut scope = Scope { graph, nested, folder, free: Vec::new() };
    scope.initializers(&mut proto)?;
    scope.inputs(&mut proto)?;
    scope.results(&mut proto)?;
    for node in std::mem::take(&mut proto.node) {
        scope.node(node)?;
    }
    let Scope { mut graph, free, .. } = scope;
    graph.carry = pack(&proto);
    Ok((graph, free))
}

struct Scope<'a> {
    graph: Graph,
    nested: bool,
    folder: &'a mut Folder,
    free: Vec<String>,
}

impl Scope<'_> {
    fn initializers(&mut self, proto: &mut GraphProto) -> Result<()> {
        for mut initializer in std::mem::take(&mut proto.initializer) {
            let name = initializer.name.take().unwrap_or_default();
            named(&name, "an initializer")?;
            let tensor =
                tensor::load(initializer, self.folder).map_err(|error| error.value(&name))?;
            self.graph.add_value(declare::initializer(&name, tensor))?;
        }
        for sparse in &proto.sparse_initializer {
            let values = sparse.values.as_ref();
            let name = values.and_then(|v| v.name.as_deref()).unwrap_or_default();
            named(name, "a sparse initializer")?;
            let code = values.and_then(|v| v.data_type).unwrap_or_default();
            self.graph.add_value(match DataType::from_onnx(code) {
                Some(dtype) => declare::of_tensor(name, dtype, &sparse.dims),
                None => Value::new(name),
            })?;
        }
        Ok(())
    }

    fn inputs(&mut self, proto: &mut GraphProto) -> Result<()> {
        let mut seen = HashSet::new();
        for declaration in std::mem::take(&mut proto.input) {
            let input = declare::read(declaration)?;
            named(&input.name, "an input")?;
            if !seen.insert(input.name.clone()) {
                return Err(Error::unreadable("two inputs have this name").value(input.name));
            }
            let id = match self.graph.find(&input.name) {
                None => self.graph.add_value(input)?,
                // An input with an initializer as its default, as every initializer was in IR 3.
                Some(id) => {
                    let value = self.graph.value_mut(id);
                    value.carry = input.carry;
                    if input.dtype.is_some() {
                        (value.dtype, value.facts) = (input.dtype, input.facts);
                    }
                    id
                }
            };
            self.graph.inputs.push(id);
        }
        Ok(())
    }

    /// Adds what the nodes produce, with its declarations; those of other values stay in `proto`.
    fn results(&mut self, proto: &mut GraphProto) -> Result<()> {
        let mut results = HashSet::new();
        for name in proto.node.iter().flat_map(|node| &node.output).filter(|n| !n.is_empty()) {
            if self.graph.find(name).is_some() || !results.insert(name.clone()) {
                return Err(Error::unreadable("this value is defined twice").value(name));
            }
        }
        let outputs: HashSet<_> = proto.output.iter().filter_map(|o| o.name.clone()).collect();
        let mut elsewhere = Vec::new();
        for declaration in std::mem::take(&mut proto.value_info) {
            let name = declaration.name.as_deref().unwrap_or_default();
            let fresh = self.graph.find(name).is_none();
            if !fresh || !results.contains(name) || outputs.contains(name) {
                elsewhere.push(declaration);
                continue;
            }
            let mut value = declare::read(declaration.clone())?;
            if !declare::says_something(&value) {
                value.carry = pack(&declaration);
            }
            self.graph.add_value(value)?;
        }
        proto.value_info = elsewhere;
        let mut once = HashSet::new();
        let again = proto.output.iter().filter(|output| !once.insert(output.name.clone()));
        let repeated: HashSet<_> = again.filter_map(|output| output.name.clone()).collect();
        for declaration in std::mem::take(&mut proto.output) {
            self.output(declaration, &results, &repeated, &mut proto.output)?;
        }
        for name in proto.node.iter().flat_map(|node| &node.output).filter(|n| !n.is_empty()) {
            if self.graph.find(name).is_none() {
                self.graph.add_value(Value::new(name))?;
            }
        }
        Ok(())
    }

    fn output(
        &mut self,
        declaration: ValueInfoProto,
        results: &HashSet<String>,
        repeated: &HashSet<String>,
        elsewhere: &mut Vec<ValueInfoProto>,
    ) -> Result<()> {
        let name = declaration.name.clone().unwrap_or_default();
        named(&name, "an output")?;
        let fresh = results.contains(&name) && self.graph.find(&name).is_none();
        let id = if fresh {
            self.graph.add_value(declare::read(declaration)?)?
        } else {
            let id = self.resolve(&name)?;
            // A second declaration of one value: it is kept where it differs from the first, or
            // where there are more, whose order matters.
            if repeated.contains(&name) || declare::write(self.graph.value(id))? != declaration {
                elsewhere.push(declaration);
            }
            id
        };
        self.graph.outputs.push(id);
        Ok(())
    }

    fn node(&mut self, mut proto: NodeProto) -> Result<()> {
        let op = take_text(&mut proto.op_type);
        let first = proto.output.iter().find(|name| !name.is_empty());
        let name = proto.name.as_ref().filter(|name| !name.is_empty()).or(first).cloned();
        let place = |error: Error| error.node(name.unwrap_or_default(), &op);
        match self.parts(proto, &op) {
            Ok(node) => self.graph.add_node(node).map(drop),
            Err(error) => Err(place(error)),
        }
    }

    fn parts(&mut self, mut proto: NodeProto, op: &str) -> Result<Node> {
        if op.is_empty() {
            return Err(Error::unreadable("this node has no operator"));
        }
        let mut free = Vec::new();
        let attributes = std::mem::take(&mut proto.attribute)
            .into_iter()
            .map(|attribute| attribute::load(attribute, self.folder, &mut free))
            .collect::<Result<_>>()?;
        let mut captures = Vec::new();
        for name in free {
            let id = self.resolve(&name)?;
            if !captures.contains(&id) {
                captures.push(id);
            }
        }
        Ok(Node {
            name: take_text(&mut proto.name),
            op: op.to_owned(),
            domain: take_text(&mut proto.domain),
            overload: take_text(&mut proto.overload),
            inputs: self.places(std::mem::take(&mut proto.input))?,
            outputs: self.places(std::mem::take(&mut proto.output))?,
            captures,
            attributes,
            carry: pack(&proto),
        })
    }

    fn places(&mut self, names: Vec<String>) -> Result<Vec<Option<ValueId>>> {
        let place = |name: String| match name.as_str() {
            "" => Ok(None),
            name => self.resolve(name).map(Some),
        };
        names.into_iter().map(place).collect()
    }

    /// The value of that name, in this graph or the one around.
    fn resolve(&mut self, name: &str) -> Result<ValueId> {
        if let Some(id) = self.graph.find(name) {
            return Ok(id);
        }
        if !self.nested {
            return Err(
                Error::unreadable("no input, initializer or node defines this value").value(name)
            );
        }
        self.free.push(name.to_owned());
        self.graph.add_value(Value::new(name))
    }
}

fn named(name: &str, what: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::unreadable(format!("{what} has no name")));
    }
    Ok(())
}
