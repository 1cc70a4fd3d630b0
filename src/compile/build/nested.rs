//! Operators with subgraphs.

use std::collections::HashMap;

use rten_shape_inference::SymbolGen;

use super::{Emit, Expr, note_extents};
use crate::error::Error;
use crate::graph::{Attr, Dim, Facts, Graph, Node, Value, ValueId, fixed};

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

    /// A value of the graph `outer` around, as an expression within this subgraph.
    pub fn capture(&self, outer: &Emit, value: ValueId) -> Expr<'_> {
        let value = outer.graph(|graph| {
            let value = graph.value(value);
            Value { tensor: None, carry: Box::default(), ..value.clone() }
        });
        self.captured(value)
    }

    /// Emits a Scan: `round` takes the states, an element of each sequence along its axis 0, and the
    /// values of `captured`, to the next states, of the same types and dimensions. Gives the last
    /// states.
    pub fn rounds<'e>(
        &'e self,
        name: &str,
        states: &[Expr<'e>],
        sequences: &[Expr<'e>],
        captured: &[Expr<'e>],
        round: impl for<'b> FnOnce(&[Expr<'b>], &[Expr<'b>], &[Expr<'b>]) -> Vec<Expr<'b>>,
    ) -> Vec<Expr<'e>> {
        let b = self.nested(Graph::new("round"), name);
        let own: Vec<_> = states.iter().map(|x| b.element("state", *x, None)).collect();
        let elements: Vec<_> = sequences.iter().map(|x| b.element("x", *x, Some(0))).collect();
        let outer: Vec<_> = captured.iter().map(|x| b.capture(self, x.id)).collect();
        for (state, next) in own.iter().zip(round(&own, &elements, &outer)) {
            b.result("state", next.assume(&state.dims()));
        }
        let body = match b.finish() {
            Ok(mut graph) => {
                graph.prune();
                self.without_symbols(&mut graph);
                graph
            }
            Err(error) => {
                self.fail(error);
                Graph::default()
            }
        };
        let attributes = vec![
            ("body", Attr::Graph(Box::new(body))),
            ("num_scan_inputs", Attr::Int(sequences.len() as i64)),
        ];
        let inputs = states.iter().chain(sequences).map(|x| Some(x.id)).collect();
        let last = self.control("Scan", inputs, attributes, states.len());
        last.iter().zip(states).map(|(last, first)| last.assume(&first.dims())).collect()
    }

    /// Declares the inputs and outputs of a subgraph without symbolic dimensions, to which tract gives
    /// no number there.
    fn without_symbols(&self, graph: &mut Graph) {
        for id in graph.inputs.clone().into_iter().chain(graph.outputs.clone()) {
            let dims = graph.value(id).dims().unwrap_or_default().into_iter();
            let dims = dims.map(|dim| if fixed(&dim).is_some() { dim } else { self.unknown() });
            graph.value_mut(id).facts = Facts::from_shape(dims.collect()).into();
        }
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
        let mut node = Node::new(op, inputs, vec![None; outputs]);
        for (name, value) in attributes {
            node.set(name, value);
        }
        node.captures = builder.capture(&node);
        let ids = builder.add(node);
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
