//! A model to text.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::literal::{
    attribute_kind, attribute_value, commas, elements, name, quote, tensor_type, value_type, word,
};
use super::wire::{self, Held};
use crate::graph::{Attr, Attribute, Function, Graph, Model, Node, NodeId, Value, ValueId};

/// The most elements of a constant that are listed unless everything is.
const SHORT: usize = 16;

/// The model as text, a node a line, in an order in which each value stands before its uses.
///
/// Constants of more than 16 elements are left out: `float[64, 3] w = {…}`, which [`parse`]
/// refuses. So are texts that are no UTF-8.
///
/// [`parse`]: super::parse
pub fn print(model: &Model) -> String {
    Printer { most: SHORT, ..Printer::default() }.model(model)
}

/// The model as text with every element of every constant and every type that is known, which
/// reads back as the same model.
pub fn print_full(model: &Model) -> String {
    Printer { most: usize::MAX, types: true, ..Printer::default() }.model(model)
}

/// The graph as text, constants as [`print()`] writes them.
pub fn print_graph(graph: &Graph) -> String {
    Printer { most: SHORT, ..Printer::default() }.whole_graph(graph)
}

/// As [`print_graph`], with the types of the outputs behind each node: `y = Relu (x)  # float[N]`.
pub fn print_graph_with_shapes(graph: &Graph) -> String {
    Printer { most: SHORT, comments: true, ..Printer::default() }.whole_graph(graph)
}

#[derive(Default)]
struct Printer {
    most: usize,
    /// Whether the types of inner values are declared.
    types: bool,
    /// Whether the types of inner values stand in comments.
    comments: bool,
    depth: usize,
    out: String,
}

impl Printer {
    fn model(mut self, model: &Model) -> String {
        let mut header = vec![format!("ir_version: {}", model.ir_version), opsets(&model.opsets)];
        for (tag, held) in wire::fields(&model.carry) {
            let key = match tag {
                2 => "producer_name",
                3 => "producer_version",
                4 => "domain",
                5 => "model_version",
                6 => "doc_string",
                _ => continue,
            };
            header.push(match held {
                Held::Number(number) => format!("{key}: {number}"),
                Held::Bytes(text) => format!("{key}: {}", quote(&String::from_utf8_lossy(text))),
            });
        }
        if !model.metadata.is_empty() {
            let entries = model
                .metadata
                .iter()
                .map(|(key, value)| format!("{}: {}", quote(key), quote(value)));
            header.push(format!("metadata_props: [{}]", commas(entries)));
        }
        self.out = format!("<{}>\n", commas(header));
        self.graph(&model.graph);
        self.out.push('\n');
        for function in &model.functions {
            self.function(function);
        }
        self.out
    }

    fn whole_graph(mut self, graph: &Graph) -> String {
        self.graph(graph);
        self.out.push('\n');
        self.out
    }

    fn function(&mut self, function: &Function) {
        let mut header = vec![format!("domain: {}", quote(&function.domain))];
        if !function.overload.is_empty() {
            header.push(format!("overload: {}", quote(&function.overload)));
        }
        header.push(opsets(&function.opsets));
        if let Some(doc) = wire::find(&function.carry, 8) {
            header.push(format!("doc_string: {}", quote(&String::from_utf8_lossy(doc.bytes()))));
        }
        let _ = write!(self.out, "<{}>\n{}", commas(header), name(&function.name));
        if !function.attributes.is_empty() || !function.defaults.is_empty() {
            self.out.push_str(" <");
            let mut separator = "";
            for attribute in &function.attributes {
                let _ = write!(self.out, "{separator}{}", word(attribute));
                separator = ", ";
            }
            for attribute in &function.defaults {
                self.out.push_str(separator);
                self.attribute(attribute);
                separator = ", ";
            }
            self.out.push('>');
        }
        self.behind_name(&function.body);
        self.out.push('\n');
    }

    fn graph(&mut self, graph: &Graph) {
        self.out.push_str(&name(&graph.name));
        self.behind_name(graph);
    }

    fn behind_name(&mut self, graph: &Graph) {
        let most = self.most;
        let list = |ids: &[ValueId], data| {
            commas(ids.iter().map(|&id| declaration(graph.value(id), data, most)))
        };
        let (inputs, outputs) = (list(&graph.inputs, true), list(&graph.outputs, false));
        let _ = write!(self.out, " ({inputs}) => ({outputs}) ");
        let lines: Vec<_> = graph
            .values()
            .filter(|(id, _)| !graph.inputs.contains(id))
            .filter(|(id, value)| {
                value.tensor.is_some()
                    || (self.types && !graph.outputs.contains(id) && !value_type(value).is_empty())
            })
            .map(|(_, value)| declaration(value, true, most))
            .collect();
        self.depth += 1;
        let indent = self.indent();
        if !lines.is_empty() {
            let lines = lines.join(&format!(",\n{indent}"));
            let _ = write!(self.out, "<\n{indent}{lines}\n{}> ", &indent[3..]);
        }
        self.out.push_str("{\n");
        let order = graph.topological();
        for id in order.unwrap_or_else(|_| graph.nodes().map(|(id, _)| id).collect()) {
            self.out.push_str(&indent);
            self.node(graph, id);
            self.out.push('\n');
        }
        self.depth -= 1;
        let _ = write!(self.out, "{}}}", self.indent());
    }

    fn indent(&self) -> String {
        " ".repeat(3 * self.depth)
    }

    fn node(&mut self, graph: &Graph, id: NodeId) {
        let node = graph.node(id);
        let names = |ids: &[Option<ValueId>]| {
            commas(ids.iter().map(|id| id.map_or("\"\"".into(), |id| name(&graph.value(id).name))))
        };
        if !node.name.is_empty() {
            let _ = write!(self.out, "[{}] ", name(&node.name));
        }
        let _ = write!(self.out, "{} = {}", names(&node.outputs), operator(node));
        let inputs = format!(" ({})", names(&node.inputs));
        if node.subgraphs().next().is_some() {
            self.out.push_str(&inputs);
            self.attributes(&node.attributes);
        } else {
            self.attributes(&node.attributes);
            self.out.push_str(&inputs);
        }
        if self.comments {
            let types =
                node.outputs.iter().flatten().map(|&id| match value_type(graph.value(id)) {
                    typ if typ.is_empty() => "?".to_owned(),
                    typ => typ,
                });
            let _ = write!(self.out, "  # {}", commas(types));
        }
    }

    fn attributes(&mut self, attributes: &[Attribute]) {
        for (index, attribute) in attributes.iter().enumerate() {
            self.out.push_str(if index == 0 { " <" } else { ", " });
            self.attribute(attribute);
        }
        if !attributes.is_empty() {
            self.out.push('>');
        }
    }

    fn attribute(&mut self, attribute: &Attribute) {
        self.out.push_str(&word(&attribute.name));
        if let Some(kind) = attribute_kind(&attribute.value) {
            let _ = write!(self.out, ": {kind}");
        }
        self.out.push_str(" = ");
        match &attribute.value {
            Attr::Graph(graph) => self.graph(graph),
            Attr::Graphs(graphs) => {
                self.out.push('[');
                for (index, graph) in graphs.iter().enumerate() {
                    self.out.push_str(if index == 0 { "" } else { ", " });
                    self.graph(graph);
                }
                self.out.push(']');
            }
            value => self.out.push_str(&attribute_value(value, self.most)),
        }
    }
}

fn opsets(opsets: &BTreeMap<String, i64>) -> String {
    let entries = opsets.iter().map(|(domain, version)| format!("{} : {version}", quote(domain)));
    format!("opset_import: [{}]", commas(entries))
}

/// Type and name, and the elements of a constant where `data` asks for them.
fn declaration(value: &Value, data: bool, most: usize) -> String {
    match &value.tensor {
        Some(tensor) if data => {
            format!("{} {} = {}", tensor_type(tensor), name(&value.name), elements(tensor, most))
        }
        _ => match value_type(value) {
            typ if typ.is_empty() => name(&value.name),
            typ => format!("{typ} {}", name(&value.name)),
        },
    }
}

fn operator(node: &Node) -> String {
    let domain: String = match node.domain.as_str() {
        "" => String::new(),
        domain => domain.split('.').map(|part| word(part) + ".").collect(),
    };
    let overload = match node.overload.as_str() {
        "" => String::new(),
        overload => format!(":{}", word(overload)),
    };
    format!("{domain}{}{overload}", word(&node.op))
}
