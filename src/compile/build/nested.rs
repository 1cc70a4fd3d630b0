//! Operators with subgraphs.

use std::collections::HashMap;

use rten_shape_inference::SymbolGen;

use super::{Emit, Expr, note_extents};
use crate::error::Error;
use crate::graph::{Attr, Dim, Graph, Node, Value, ValueId};

impl Emit {
    /// A builder of a subgraph of this one. Its names and symbols are those of no other graph.
    pub fn nested(&self, graph: Graph, name: &str) -> Self {
        let (prefix, opset) = {
            let mut builder = self.0.borrow_mut();
            let wish = builder.scoped(name);
            (builder.name_for(&wish), builder.opset)
        };
        let nested = Self::new(graph, opset);
        {
            let mut builder = nested.0.borrow_mut();
            builder.symbols = SymbolGen::with_prefix(prefix.clone().into());
            builder.prefix = prefix;
        }
        nested
    }

    /// Takes dimensions from a value that was added to the graph directly.
    pub fn know(&self, id: ValueId) {
        let mut builder = self.0.borrow_mut();
        let builder = &mut *builder;
        note_extents(&mut builder.extents, id, &builder.graph.value(id).facts);
    }

    /// A dimension of which nothing is known.
    pub fn unknown(&self) -> Dim {
        self.0.borrow_mut().symbols.gen_positive()
    }

    /// A value of the graph around, in a subgraph.
    pub fn captured(&self, value: Value) -> Expr<'_> {
        let mut builder = self.0.borrow_mut();
        let builder = &mut *builder;
        let id = match builder.graph.find(&value.name) {
            Some(id) => id,
            None => builder.graph.add_value(value).expect("the name is free"),
        };
        note_extents(&mut builder.extents, id, &builder.graph.value(id).facts);
        Expr { e: self, id }
    }

    /// Adds an input of a subgraph: `value` of the graph around, or an element of it along `axis`.
    pub fn element(&self, name: &str, value: Expr<'_>, axis: Option<usize>) -> Expr<'_> {
        let mut dims = value.dims();
        if let Some(axis) = axis.filter(|&axis| axis < dims.len()) {
            dims.remove(axis);
        }
        let name = {
            let mut builder = self.0.borrow_mut();
            let wish = format!("{}/{name}", builder.prefix);
            builder.name_for(&wish)
        };
        self.input(Value::typed(name, value.dtype(), dims))
    }

    /// Adds an output of a subgraph.
    pub fn result(&self, name: &str, value: Expr<'_>) {
        let name = {
            let mut builder = self.0.borrow_mut();
            let wish = format!("{}/{name}", builder.prefix);
            builder.name_for(&wish)
        };
        self.output(&name, value);
    }

    /// Emits a node with subgraphs.
    pub fn control(
        &self,
        op: &str,
        inputs: Vec<Option<ValueId>>,
        attributes: Vec<(&str, Attr)>,
        outputs: usize,
    ) -> Vec<Expr<'_>> {
        let mut builder = self.0.borrow_mut();
        let mut node = Node { op: op.to_owned(), inputs, ..Node::default() };
        for (name, value) in attributes {
            node.set(name, value);
        }
        node.captures = builder.capture(&node);
        let ids = builder.add(node, outputs);
        drop(builder);
        ids.into_iter().map(|id| Expr { e: self, id }).collect()
    }
}

impl super::Builder {
    /// What the subgraphs of a node read of this graph, or of those around it.
    fn capture(&mut self, node: &Node) -> Vec<ValueId> {
        let mut wanted: HashMap<String, Value> = HashMap::new();
        let mut order = Vec::new();
        for body in node.subgraphs() {
            for id in body.free_values() {
                let value = body.value(id);
                if wanted.insert(value.name.clone(), value.clone()).is_none() {
                    order.push(value.name.clone());
                }
            }
        }
        let mut captures = Vec::new();
        for name in order {
            let Some(value) = wanted.remove(&name) else { continue };
            match self.graph.find(&name).map_or_else(|| self.graph.add_value(value), Ok) {
                Ok(id) => captures.push(id),
                Err(error) => drop(self.error.get_or_insert(Error::internal(error.what))),
            }
        }
        captures
    }
}
