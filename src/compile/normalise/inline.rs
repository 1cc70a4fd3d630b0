//! Model-local functions, replaced by their bodies.

use std::collections::{BTreeSet, HashMap};

use super::steps::Names;
use super::{constants, known_opset, node_ids, raise, weight};
use crate::error::{Error, Result};
use crate::graph::{
    Attr, Attribute, Function, Graph, Model, Node, NodeId, STANDARD, Value, ValueId,
    is_standard_domain,
};

/// The deepest nesting of calls that is followed.
const DEEPEST: usize = 200;

/// The most bytes that inlining may add, so that a small file cannot fill the memory: some ten
/// thousand nodes.
const MOST: usize = 1 << 26;

/// The functions of a model, by the operator they define.
pub(super) struct Functions {
    list: Vec<Function>,
    index: HashMap<(String, String, String), usize>,
}

impl Functions {
    /// The functions, found by domain, name and overload.
    pub(super) fn new(list: Vec<Function>) -> Self {
        let key = |f: &Function| key(&f.domain, &f.name, &f.overload);
        let index = list.iter().enumerate().map(|(i, f)| (key(f), i)).collect();
        Self { list, index }
    }

    /// The number of the function that the node calls.
    pub(super) fn called_by(&self, node: &Node) -> Option<usize> {
        if self.list.is_empty() {
            return None;
        }
        self.index.get(&key(&node.domain, &node.op, &node.overload)).copied()
    }

    /// Whether the graph or a subgraph uses an operator of the standard.
    pub(super) fn uses_standard(&self, graph: &Graph) -> bool {
        self.uses(graph, &is_standard_domain)
    }

    /// Whether the graph or a subgraph has a node of such a domain that calls no function.
    fn uses(&self, graph: &Graph, domain: &dyn Fn(&str) -> bool) -> bool {
        graph.nodes().any(|(_, node)| {
            (domain(&node.domain) && self.called_by(node).is_none())
                || node.subgraphs().any(|body| self.uses(body, domain))
        })
    }

    /// The newest operator set among the functions that `graph` calls; `own` is that of functions
    /// which name none.
    ///
    /// # Errors
    /// When one of them is written for an unknown operator set.
    pub(super) fn newest_opset(&self, graph: &Graph, own: i64) -> Result<i64> {
        let mut reached = BTreeSet::new();
        self.calls(graph, &mut reached);
        let mut open: Vec<usize> = reached.iter().copied().collect();
        let mut newest = own;
        while let Some(function) = open.pop().and_then(|i| self.list.get(i)) {
            newest = newest.max(opset(function, own)?);
            let before = reached.clone();
            self.calls(&function.body, &mut reached);
            open.extend(reached.difference(&before));
        }
        Ok(newest)
    }

    fn calls(&self, graph: &Graph, found: &mut BTreeSet<usize>) {
        for (_, node) in graph.nodes() {
            found.extend(self.called_by(node));
            node.subgraphs().for_each(|body| self.calls(body, found));
        }
    }

    /// Replaces every call in the model's graph by the function's body, raised to `target`; `own`
    /// is the operator set of functions which name none.
    pub(super) fn inline(
        &self,
        model: &mut Model,
        opsets: (i64, i64),
        names: &mut Names,
    ) -> Result<()> {
        self.inline_at_most(model, opsets, names, MOST)
    }

    /// As [`Self::inline`], adding no more than about `room` bytes.
    pub(super) fn inline_at_most(
        &self,
        model: &mut Model,
        (own, target): (i64, i64),
        names: &mut Names,
        room: usize,
    ) -> Result<()> {
        if self.list.is_empty() {
            return Ok(());
        }
        let ids = node_ids(&model.graph);
        let opsets = std::mem::take(&mut model.opsets).into_iter().collect();
        let mut inliner =
            Inliner { functions: self, own, target, names, active: vec![], room, opsets };
        inliner.expand(&mut model.graph, ids)?;
        model.opsets = inliner.opsets.into_iter().collect();
        // Domains that only functions lived in are empty now.
        let emptied = |domain: &str| self.list.iter().any(|f| f.domain == domain);
        let graph = &model.graph;
        model.opsets.retain(|domain, _| {
            domain == STANDARD || !emptied(domain) || self.uses(graph, &|d| d == domain)
        });
        Ok(())
    }
}

fn key(domain: &str, name: &str, overload: &str) -> (String, String, String) {
    let domain = if is_standard_domain(domain) { STANDARD } else { domain };
    (domain.to_owned(), name.to_owned(), overload.to_owned())
}

/// The operator set a function is written for, `own` where it does not say.
fn opset(function: &Function, own: i64) -> Result<i64> {
    match function.opsets.get(STANDARD) {
        Some(&version) => {
            known_opset(version).map_err(|error| error.node(&function.name, "function"))
        }
        None => Ok(own),
    }
}

struct Inliner<'a> {
    functions: &'a Functions,
    own: i64,
    target: i64,
    names: &'a mut Names,
    /// The functions whose bodies are being expanded, outermost first.
    active: Vec<usize>,
    /// About how many bytes may still be added.
    room: usize,
    opsets: HashMap<String, i64>,
}

impl Inliner<'_> {
    fn expand(&mut self, graph: &mut Graph, ids: Vec<NodeId>) -> Result<()> {
        for id in ids {
            for body in graph.node_mut(id).subgraphs_mut() {
                let inner = node_ids(body);
                self.expand(body, inner)?;
            }
            if let Some(number) = self.functions.called_by(graph.node(id)) {
                self.expand_call(graph, id, number)?;
            }
        }
        Ok(())
    }

    fn expand_call(&mut self, graph: &mut Graph, id: NodeId, number: usize) -> Result<()> {
        let Some(function) = self.functions.list.get(number) else { return Ok(()) };
        if self.active.contains(&number) {
            return Err(Error::unreadable(format!("function '{}' calls itself", function.name))
                .node(graph.label(id), graph.node(id).operator()));
        }
        let weight = weight::of_call(function, graph.node(id), graph.label(id));
        let room = self.room.checked_sub(weight);
        let Some(room) = room.filter(|_| self.active.len() < DEEPEST) else {
            return Err(Error::unsupported("the functions are nested too deep or grow too large")
                .node(graph.label(id), graph.node(id).operator()));
        };
        self.room = room;
        self.import(function)?;
        let fresh = splice(graph, id, function, self.names)?;
        let nested = |&id: &NodeId| {
            let node = graph.node(id);
            self.functions.called_by(node).is_some() || node.subgraphs().next().is_some()
        };
        let nested = fresh.iter().copied().filter(nested).collect();
        let from = opset(function, self.own)?;
        raise(graph, &fresh, (from, self.target), self.functions, self.names)?;
        self.active.push(number);
        self.expand(graph, nested)?;
        self.active.pop();
        Ok(())
    }

    /// Takes over the operator sets of foreign domains that the body uses.
    fn import(&mut self, function: &Function) -> Result<()> {
        for (domain, &version) in function.opsets.iter().filter(|(d, _)| *d != STANDARD) {
            let foreign = |d: &str| d == domain;
            if !self.functions.uses(&function.body, &foreign) {
                continue;
            }
            let ours = *self.opsets.entry(domain.clone()).or_insert(version);
            if ours != version {
                return Err(Error::unsupported(format!(
                    "the function is written for version {version} of '{domain}', the model for \
                     {ours}"
                ))
                .node(&function.name, "function"));
            }
        }
        Ok(())
    }
}

/// Replaces the call `id` by the nodes of the function's body; gives the new nodes.
fn splice(
    graph: &mut Graph,
    id: NodeId,
    function: &Function,
    names: &mut Names,
) -> Result<Vec<NodeId>> {
    let (label, operator) = (graph.label(id).to_owned(), graph.node(id).operator());
    let call = graph.node(id).clone();
    graph.remove_node(id);
    let mut copy = Copy { call: &call, function, label: &label, names };
    copy.body(graph).map_err(|error| error.node(&label, operator))
}

/// Copies the body of a function to where it is called.
struct Copy<'a> {
    call: &'a Node,
    function: &'a Function,
    label: &'a str,
    names: &'a mut Names,
}

/// What the values of one graph are in another; `None` for inputs that the call leaves out.
type Images = HashMap<ValueId, Option<ValueId>>;

impl Copy<'_> {
    fn body(&mut self, graph: &mut Graph) -> Result<Vec<NodeId>> {
        let body = &self.function.body;
        let (takes, gives) = (body.inputs.len(), body.outputs.len());
        if self.call.inputs.len() > takes || self.call.outputs.len() > gives {
            return Err(Error::unreadable(format!(
                "the function takes {takes} inputs and gives {gives} outputs; the call has more"
            )));
        }
        let mut images: Images =
            body.inputs.iter().enumerate().map(|(i, &id)| (id, self.call.input(i))).collect();
        // An output that is an input, an initializer or an output already is copied by a node.
        let mut copies = vec![];
        for (index, &output) in body.outputs.iter().enumerate() {
            let Some(result) = self.call.output(index) else { continue };
            if body.producer(output).is_some() && !images.contains_key(&output) {
                images.insert(output, Some(result));
            } else {
                copies.push((output, result));
            }
        }
        for (id, value) in body.values() {
            if images.contains_key(&id) {
                continue;
            }
            if value.tensor.is_none() && body.producer(id).is_none() {
                return Err(undefined(&value.name));
            }
            images.insert(id, Some(self.value(graph, value)?));
        }
        let mut nodes = self.nodes(body, graph, &images)?;
        for (output, result) in copies {
            let source = images.get(&output).copied().flatten().ok_or_else(|| {
                Error::unreadable("an output is an input that the call leaves out")
            })?;
            let name = format!("{}/{}", self.label, body.value(output).name);
            let copy = Node::new("Identity", vec![Some(source)], vec![Some(result)]);
            nodes.push(graph.add_node(Node { name, ..copy })?);
        }
        Ok(nodes)
    }

    /// A value of the body; its declared shape is dropped, since functions fit many shapes.
    fn value(&mut self, graph: &mut Graph, value: &Value) -> Result<ValueId> {
        let name = self.names.fresh(&format!("{}/{}", self.label, value.name));
        graph.add_value(match &value.tensor {
            Some(tensor) => constants::initializer(name, (**tensor).clone()),
            None => Value::new(name),
        })
    }

    /// Copies every node of `from`, whose values have `images` in `to`.
    fn nodes(&mut self, from: &Graph, to: &mut Graph, images: &Images) -> Result<Vec<NodeId>> {
        let image = |id: &ValueId| images.get(id).copied().flatten();
        let all =
            |list: &[Option<ValueId>]| list.iter().map(|v| v.as_ref().and_then(image)).collect();
        let mut ids = vec![];
        for (_, node) in from.nodes() {
            let outer: HashMap<&str, Option<&str>> = node
                .captures
                .iter()
                .map(|id| (&*from.value(*id).name, image(id).map(|id| &*to.value(id).name)))
                .collect();
            let mut attributes = vec![];
            for attribute in &node.attributes {
                if let Some(value) = self.attribute(&attribute.value, &outer)? {
                    attributes.push(Attribute { value, ..attribute.clone() });
                }
            }
            let name = match node.name.as_str() {
                "" => String::new(),
                name => format!("{}/{name}", self.label),
            };
            ids.push(to.add_node(Node {
                name,
                attributes,
                inputs: all(&node.inputs),
                outputs: all(&node.outputs),
                captures: node.captures.iter().filter_map(image).collect(),
                ..node.clone()
            })?);
        }
        Ok(ids)
    }

    /// An attribute with references resolved; `None` where the call gives none and the function
    /// has no default.
    fn attribute(
        &mut self,
        value: &Attr,
        outer: &HashMap<&str, Option<&str>>,
    ) -> Result<Option<Attr>> {
        Ok(match value {
            Attr::Reference { name, .. } => self.referenced(name).cloned(),
            Attr::Graph(graph) => Some(Attr::Graph(Box::new(self.subgraph(graph, outer)?))),
            Attr::Graphs(graphs) => {
                let graphs = graphs.iter().map(|graph| self.subgraph(graph, outer));
                Some(Attr::Graphs(graphs.collect::<Result<_>>()?))
            }
            other => Some(other.clone()),
        })
    }

    fn referenced(&self, name: &str) -> Option<&Attr> {
        let default = || self.function.defaults.iter().find(|a| a.name == name).map(|a| &a.value);
        self.call.attr(name).or_else(default)
    }

    /// A subgraph of the body with new names, `outer` for those it takes from around.
    fn subgraph(&mut self, from: &Graph, outer: &HashMap<&str, Option<&str>>) -> Result<Graph> {
        let mut to = Graph::new(&from.name);
        to.carry = from.carry.clone();
        let free = from.free_values();
        let mut images = Images::new();
        for (id, value) in from.values() {
            let image = if !free.contains(&id) {
                Some(self.value(&mut to, value)?)
            } else {
                match outer.get(&*value.name) {
                    Some(Some(name)) => Some(to.add_value(Value::new(*name))?),
                    Some(None) => None,
                    None => return Err(undefined(&value.name)),
                }
            };
            images.insert(id, image);
        }
        let ports = |list: &[ValueId]| {
            list.iter()
                .map(|id| images.get(id).copied().flatten())
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| {
                    Error::unreadable("a subgraph gives an input that the call leaves out")
                })
        };
        (to.inputs, to.outputs) = (ports(&from.inputs)?, ports(&from.outputs)?);
        self.nodes(from, &mut to, &images)?;
        Ok(to)
    }
}

fn undefined(name: &str) -> Error {
    Error::unreadable("the function's body uses a value that nothing gives").value(name)
}
