//! OpenVINO refuses a Scan whose body reads values around it, and lets a ScatterElements in the body of a
//! Loop write into zeros that were made outside, so that a round finds what the one before it added.
//!
//! Scan over sequences = Loop over their elements: round i takes element i, counted from the end where the
//! Scan goes backwards, and results that the Loop stacks along axis 0 are turned to where they belong.

use std::collections::HashSet;

use super::emitted;
use crate::compile::infer::of_tensor;
use crate::graph::{Attr, DataType, Dim, Facts, Graph, Node, NodeId, Tensor, Value, ValueId};

/// Makes every emitted Scan a Loop, those in subgraphs too.
pub(super) fn instead_of_scans(graph: &mut Graph, own: &HashSet<NodeId>) {
    for id in emitted(graph, own) {
        for inner in graph.node_mut(id).subgraphs_mut() {
            instead_of_scans(inner, &HashSet::new());
        }
        if graph.node(id).is("Scan") {
            // What is no Scan of ours stays as it is.
            let _ = Scan::read(graph, id).and_then(|scan| scan.replace(graph, id));
        }
    }
}

/// A Scan, taken apart.
struct Scan {
    name: String,
    body: Graph,
    states: Vec<ValueId>,
    sequences: Vec<(ValueId, Track)>,
    results: Vec<(ValueId, Track)>,
    last: Vec<Option<ValueId>>,
    captures: Vec<ValueId>,
}

/// Along which axis, and whether from its end.
#[derive(Clone, Copy)]
struct Track {
    axis: usize,
    backward: bool,
}

impl Scan {
    fn read(graph: &Graph, id: NodeId) -> Option<Self> {
        let node = graph.node(id);
        let Some(Attr::Graph(body)) = node.attr("body") else { return None };
        let sequences = usize::try_from(node.int("num_scan_inputs").ok()??).ok()?;
        let inputs: Vec<ValueId> = node.inputs.iter().copied().collect::<Option<_>>()?;
        let states = inputs.len().checked_sub(sequences)?;
        let track = |what: &str, index: usize| {
            let list = |name: &str| node.ints(&format!("scan_{what}_{name}")).ok().flatten();
            let at = |name| list(name).and_then(|list| list.get(index).copied()).unwrap_or(0);
            Some(Track { axis: usize::try_from(at("axes")).ok()?, backward: at("directions") == 1 })
        };
        let followed = inputs[states..].iter().enumerate();
        let results = node.outputs.get(states..)?.iter().enumerate();
        Some(Self {
            name: node.name.clone(),
            body: (**body).clone(),
            sequences: followed
                .map(|(i, &x)| Some((x, track("input", i)?)))
                .collect::<Option<_>>()?,
            results: results
                .map(|(i, y)| Some(((*y)?, track("output", i)?)))
                .collect::<Option<_>>()?,
            last: node.outputs[..states].to_vec(),
            states: inputs[..states].to_vec(),
            captures: node.captures.clone(),
        })
    }

    /// Puts the Loop in the place of the Scan.
    fn replace(mut self, graph: &mut Graph, id: NodeId) -> Option<()> {
        let mut outer = Writer { graph, name: &self.name };
        let &(first, track) = self.sequences.first()?;
        let rank = outer.graph.value(first).dims()?.len() as i64;
        let shape = outer.add("Shape", &[first], (DataType::I64, vec![Dim::Value(rank as i32)]))?;
        let axis = outer.constant(Tensor::int(track.axis as i64))?;
        let count = outer.add("Gather", &[shape, axis], (DataType::I64, vec![]))?;
        let one = outer.constant(Tensor::int(1))?;
        let end = outer.add("Sub", &[count, one], (DataType::I64, vec![]))?;
        let mut around: Vec<ValueId> = self.captures.clone();
        around.extend(self.sequences.iter().map(|(x, _)| *x).chain([end]));
        around.extend(zeros(outer.graph, &mut self.body, &self.captures));
        let body = self.round(outer.graph, end)?;
        let mut outputs = self.last.clone();
        let mut turned = Vec::new();
        for &(result, track) in &self.results {
            let dtype = outer.graph.value(result).dtype?;
            let mut dims = outer.graph.value(result).dims()?;
            let count = (track.axis < dims.len()).then(|| dims.remove(track.axis))?;
            dims.insert(0, count);
            let stacked = outer.value("stacked", dtype, dims)?;
            outputs.push(Some(stacked));
            turned.push((stacked, result, track));
        }
        let inputs = [Some(count), None].into_iter().chain(self.states.iter().copied().map(Some));
        around.sort();
        around.dedup();
        let node = Node {
            captures: around,
            name: self.name.clone(),
            ..Node::new("Loop", inputs.collect(), outputs)
        };
        outer.graph.remove_node(id);
        outer.graph.add_node(node.with("body", Attr::Graph(Box::new(body)))).ok()?;
        turned.into_iter().try_for_each(|(from, to, track)| outer.turn(from, to, track))
    }

    /// The body as a Loop takes it: with the round's number and a condition, its elements gathered.
    fn round(&self, outer: &Graph, end: ValueId) -> Option<Graph> {
        let mut body = self.body.clone();
        let mut inner = Writer { graph: &mut body, name: &self.name };
        let number = inner.value("round", DataType::I64, vec![])?;
        let go = inner.value("go", DataType::Bool, vec![])?;
        let elements = inner.graph.inputs.split_off(self.states.len());
        let states = std::mem::take(&mut inner.graph.inputs);
        inner.graph.inputs = [number, go].into_iter().chain(states).collect();
        let backward = self.sequences.iter().any(|(_, track)| track.backward);
        let from_end = match backward {
            true => {
                let end = inner.captured(outer, end)?;
                inner.add("Sub", &[end, number], (DataType::I64, vec![]))?
            }
            false => number,
        };
        for (element, (sequence, track)) in elements.into_iter().zip(&self.sequences) {
            let sequence = inner.captured(outer, *sequence)?;
            let index = if track.backward { from_end } else { number };
            let inputs = vec![Some(sequence), Some(index)];
            let node = Node::new("Gather", inputs, vec![Some(element)]);
            inner.node(node.with("axis", track.axis as i64))?;
        }
        let on = inner.add("Identity", &[go], (DataType::Bool, vec![]))?;
        inner.graph.outputs.insert(0, on);
        Some(body)
    }
}

/// Copies into the body what makes the zeros that it reads; gives what else it reads for that.
fn zeros(outer: &Graph, body: &mut Graph, captures: &[ValueId]) -> Vec<ValueId> {
    let mut read = Vec::new();
    for &capture in captures {
        let maker = outer.producer(capture).map(|id| outer.node(id).clone());
        let Some(maker) = maker.filter(|node| node.is("ConstantOfShape")) else { continue };
        let inside = body.find(&outer.value(capture).name);
        let (Some(inside), Some(shape)) = (inside, maker.input(0)) else { continue };
        let name = maker.name.clone();
        let mut writer = Writer { graph: body, name: &name };
        let Some(shape_inside) = writer.captured(outer, shape) else { continue };
        let made = writer.graph.free_name(&format!("{}:round", outer.value(capture).name));
        let value = Value { name: made, ..writer.graph.value(inside).clone() };
        let Ok(made) = writer.graph.add_value(value) else { continue };
        writer.graph.replace_uses(inside, made);
        let node = Node { inputs: vec![Some(shape_inside)], outputs: vec![Some(made)], ..maker };
        if writer.node(node).is_some() {
            read.push(shape);
        }
    }
    read
}

/// Adds nodes to a graph, named after the Scan.
struct Writer<'g> {
    graph: &'g mut Graph,
    name: &'g str,
}

impl Writer<'_> {
    fn value(&mut self, what: &str, dtype: DataType, dims: Vec<Dim>) -> Option<ValueId> {
        let name = self.graph.free_name(&format!("{}/{what}", self.name));
        self.graph.add_value(Value::typed(name, dtype, dims)).ok()
    }

    fn constant(&mut self, tensor: Tensor) -> Option<ValueId> {
        let (dtype, facts) = (Some(tensor.dtype), of_tensor(&tensor).into());
        let name = self.graph.free_name(&format!("{}/constant", self.name));
        self.graph
            .add_value(Value { dtype, facts, tensor: Some(tensor.into()), ..Value::new(name) })
            .ok()
    }

    /// Adds a node, named after its output and its operator.
    fn node(&mut self, node: Node) -> Option<NodeId> {
        let name = format!("{}/{}", self.graph.value(node.output(0)?).name, node.op);
        self.graph.add_node(Node { name, ..node }).ok()
    }

    fn add(
        &mut self,
        op: &str,
        inputs: &[ValueId],
        (dtype, dims): (DataType, Vec<Dim>),
    ) -> Option<ValueId> {
        let output = self.value(op, dtype, dims)?;
        let inputs = inputs.iter().copied().map(Some).collect();
        self.node(Node::new(op, inputs, vec![Some(output)]))?;
        Some(output)
    }

    /// The value of the graph around, by its name.
    fn captured(&mut self, outer: &Graph, id: ValueId) -> Option<ValueId> {
        let source = outer.value(id);
        if let Some(known) = self.graph.find(&source.name) {
            return Some(known);
        }
        let copy =
            Value { tensor: None, facts: Facts::unknown("captured").into(), ..source.clone() };
        self.graph.add_value(Value { carry: Box::default(), ..copy }).ok()
    }

    /// `to` from what was stacked along axis 0.
    fn turn(&mut self, from: ValueId, to: ValueId, track: Track) -> Option<()> {
        let rank = self.graph.value(to).dims()?.len();
        let mut from = from;
        if track.backward {
            let typed = (self.graph.value(from).dtype?, self.graph.value(from).dims()?);
            let bounds = [-1, i64::MIN, 0, -1].map(|value| self.constant(Tensor::ints(&[value])));
            let [start, end, axis, step] = bounds;
            from = self.add("Slice", &[from, start?, end?, axis?, step?], typed)?;
        }
        let perm: Vec<i64> = match track.axis {
            0 => (0..rank as i64).collect(),
            k => (1..=k as i64).chain([0]).chain(k as i64 + 1..rank as i64).collect(),
        };
        let node = Node::new("Transpose", vec![Some(from)], vec![Some(to)]);
        self.node(node.with("perm", perm)).map(drop)
    }
}
