//! Neurons or seeds a block at a time: what depends on a block becomes the body of a Scan.
//!
//! The rows of a block are emitted like those of a whole layer, from a graph input that stands for the
//! block's neurons. Afterwards everything that depends on that input moves into the body, and the Scan
//! stacks what were the outputs. What does not depend on the block, the forward pass and the masks, stays
//! outside and is computed once. Tangents in blocks of seeds are read further on: until they are stacked,
//! values that nothing makes stand for them. Invariant: no node of the model itself is moved.

use std::collections::{BTreeSet, HashMap};

use super::build::{Emit, Expr};
use super::simplify::remove_unused_constants;
use crate::error::{Error, Result};
use crate::graph::{Attr, Dim, Facts, Graph, Node, NodeId, Reach, Value, ValueId, fixed};

/// The largest constant, in bytes, that a body gets a copy of; larger ones are read from around.
const SMALL: usize = 512;

/// A layer whose neurons are projected in blocks, or seeds that are carried forward in blocks.
#[derive(Clone, Debug)]
pub struct Block {
    /// The beginning of the names of its outputs, and of the inputs that stand for a block.
    pub prefix: String,
    /// The number of neurons, or of seeds.
    pub count: i64,
    /// The number in a block.
    pub size: i64,
    /// The axis of the neurons in the outputs, or of the seeds.
    pub axis: usize,
}

/// The beginning of the names of what belongs to the seeds, which no alias makes.
const SEEDS: &str = "slp//";

impl Block {
    /// So many of `count` seeds at a time.
    pub fn of_seeds(count: i64, size: i64) -> Self {
        Self { prefix: SEEDS.to_owned(), count, size, axis: 0 }
    }

    /// Stands for the stacked rows `[count, …]` of which a block is `part`, `[size, …]`.
    pub fn stacked<'e>(&self, e: &'e Emit, what: &str, part: Expr<'e>) -> Expr<'e> {
        let name = format!("{}{what}", self.prefix);
        let mut dims = part.dims();
        dims[self.axis] = Dim::Value(self.count as i32);
        let value = Value::typed(stand_in(&name), part.dtype(), dims);
        e.output(&name, part);
        match e.graph_mut(|graph| graph.add_value(value)) {
            Ok(id) => e.expr(id),
            Err(error) => {
                e.fail(error);
                part
            }
        }
    }

    /// The number of blocks.
    pub fn blocks(&self) -> i64 {
        (self.count + self.size - 1) / self.size
    }

    /// The name of what stands for a block's part of `what`.
    pub fn part(&self, what: &str) -> String {
        format!("{}block/{what}", self.prefix)
    }

    /// The name under which all of `what` is kept, blocks along axis 0.
    pub fn all(&self, what: &str) -> String {
        format!("{}blocks/{what}", self.prefix)
    }

    /// The input that stands for the part of `all`, `[K, …]`, that belongs to a block, `[size, …]`. What
    /// the last block lacks is the last neuron again.
    pub fn element<'e>(&self, e: &'e Emit, what: &str, all: Expr<'e>) -> Expr<'e> {
        let (blocks, size) = (Dim::Value(self.blocks() as i32), Dim::Value(self.size as i32));
        let mut dims = all.dims();
        let padded = self.blocks() * self.size;
        let all = if padded == self.count {
            all
        } else {
            let rows: Vec<i64> = (0..padded).map(|i| i.min(self.count - 1)).collect();
            all.gather(e.ints(&rows), 0)
        };
        dims[0] = size.clone();
        let element = e.input(Value::typed(self.part(what), all.dtype(), dims.clone()));
        dims.insert(0, blocks);
        e.output(&self.all(what), all.reshape(&dims));
        element
    }
}

/// Moves what depends on each of `blocks` into a Scan over its blocks; seeds come before layers.
///
/// # Errors
/// When the operators of the result can't be typed.
pub fn outline(graph: Graph, opset: i64, blocks: &[Block]) -> Result<Graph> {
    let e = Emit::new(graph, opset);
    for block in blocks {
        outline_block(&e, block)?;
    }
    let mut graph = e.finish()?;
    remove_unused_constants(&mut graph);
    Ok(graph)
}

fn outline_block(e: &Emit, block: &Block) -> Result<()> {
    let ends = e.graph(|graph| Ends::of(graph, block));
    let mut body = e.graph(|graph| body(graph, &ends))?;
    let sequences: Vec<_> = ends.elements.iter().map(|(_, all)| Some(*all)).collect();
    let kept = e.graph_mut(|graph| {
        graph.reserve(body.values().map(|(_, value)| value.name.clone()));
        remove(graph, &ends)
    });
    for (name, rows) in e.graph_mut(|graph| take_equal(graph, block)) {
        let rows = e.expr(rows);
        let mut dims = rows.dims();
        dims[block.axis] = Dim::Value(block.count as i32);
        let one = rows.slice(block.axis, &Dim::Value(0), &Dim::Value(1));
        e.output(&name, one.expand(&dims));
    }
    let single = |dims: &[Dim]| block.axis == 1 && fixed(&dims[0]) == Some(1);
    let axes: Vec<i64> =
        kept.iter().map(|value| if single(&value.dims) { 0 } else { block.axis as i64 }).collect();
    let handed: Vec<Vec<Dim>> =
        axes.iter().enumerate().map(|(i, &axis)| hand_out(&mut body, i, axis == 0)).collect();
    let attributes = vec![
        ("body", Attr::Graph(Box::new(body))),
        ("num_scan_inputs", Attr::Int(sequences.len() as i64)),
        ("scan_output_axes", axes.clone().into()),
    ];
    e.scope(block.prefix.trim_start_matches("slp/").trim_end_matches('/'));
    let stacked = e.control("Scan", sequences, attributes, kept.len());
    for (((stack, part), mut dims), axis) in stacked.into_iter().zip(kept).zip(handed).zip(axes) {
        dims.insert(axis as usize, Dim::Value(block.blocks() as i32));
        let mut whole = part.dims;
        whole[block.axis] = Dim::Value((block.blocks() * block.size) as i32);
        let rows = stack.assume(&dims).reshape(&whole);
        let count = Dim::Value(block.count as i32);
        let rows = rows.slice(block.axis, &Dim::Value(0), &count);
        match e.graph(|graph| graph.find(&stand_in(&part.name))) {
            Some(old) => e.graph_mut(|graph| {
                graph.replace_uses(old, rows.id);
                graph.remove_value(old);
            }),
            None => e.output(&part.name, rows),
        }
    }
    e.check()
}

/// The name of the value that stands for stacked rows.
fn stand_in(name: &str) -> String {
    format!("{name}:stacked")
}

/// What a block begins and ends with.
#[derive(Default)]
struct Ends {
    /// What stands for a block's part, and the value that holds the parts of all blocks.
    elements: Vec<(ValueId, ValueId)>,
    /// What stands for a part that nothing reads.
    idle: Vec<ValueId>,
    /// The copies that are the layer's outputs.
    outputs: Vec<ValueId>,
    /// What is copied out to keep it for the Scan.
    copies: Vec<ValueId>,
}

/// An output that is to be stacked.
struct Part {
    name: String,
    dims: Vec<Dim>,
}

impl Ends {
    fn of(graph: &Graph, block: &Block) -> Self {
        let part = block.part("");
        let mut ends = Self::default();
        for &id in &graph.inputs {
            let Some(what) = graph.value(id).name.strip_prefix(&part) else { continue };
            let copy = graph.find(&block.all(what));
            if let Some((copy, source)) = copy.and_then(|copy| Some((copy, copied(graph, copy)?))) {
                match graph.is_used(id) {
                    true => ends.elements.push((id, source)),
                    false => ends.idle.push(id),
                }
                ends.copies.push(copy);
            }
        }
        let reach = graph.descendants(ends.elements.iter().map(|(element, _)| *element));
        ends.outputs = graph.outputs.iter().filter(|id| reach.has_value(**id)).copied().collect();
        ends
    }
}

/// What an output is a copy of.
fn copied(graph: &Graph, output: ValueId) -> Option<ValueId> {
    graph.node(graph.producer(output)?).input(0)
}

/// The subgraph from the elements to the outputs.
fn body(graph: &Graph, ends: &Ends) -> Result<Graph> {
    let reach = graph.descendants(ends.elements.iter().map(|(element, _)| *element));
    let wanted = graph.ancestors(ends.outputs.iter().copied());
    let mut body = Graph::new("block");
    let mut ids: HashMap<ValueId, ValueId> = HashMap::new();
    for &(element, _) in &ends.elements {
        let value = graph.value(element).clone();
        // A symbol of the graph around may be a number by the time the body is read.
        let open = value.fixed_dims().is_none();
        let facts = if open { Facts::unknown("an element").into() } else { value.facts.clone() };
        let id = body.add_value(Value { facts, ..value })?;
        body.inputs.push(id);
        ids.insert(element, id);
    }
    let kernels = kernels(graph, &reach);
    let inside =
        |id: &NodeId| wanted.has_node(*id) && (reach.has_node(*id) || kernels.contains(id));
    for node in graph.topological()?.into_iter().filter(inside) {
        copy_node(graph, &mut body, (node, reach.has_node(node)), &mut ids)?;
    }
    for output in &ends.outputs {
        match ids.get(output) {
            Some(&id) => body.outputs.push(id),
            None => {
                let name = &graph.value(*output).name;
                return Err(Error::internal("an output does not depend on its block").value(name));
            }
        }
    }
    Ok(body)
}

/// The nodes outside that make kernels of the convolutions inside from constants, in the same order in
/// every run. Runtimes lay a kernel out beforehand only where it is made beside the convolution.
fn kernels(graph: &Graph, reach: &Reach) -> BTreeSet<NodeId> {
    let convolutions = graph.nodes().filter(|(id, node)| reach.has_node(*id) && node.is("Conv"));
    let made = convolutions.filter_map(|(_, node)| graph.producer(node.input(1)?));
    let mut found = BTreeSet::new();
    for id in made {
        from_constants(graph, id, &mut found);
    }
    found
}

/// Whether a node depends on constants alone; it and those before it are added to `found`.
fn from_constants(graph: &Graph, id: NodeId, found: &mut BTreeSet<NodeId>) -> bool {
    let node = graph.node(id);
    let constant = |value: &ValueId, found: &mut BTreeSet<NodeId>| {
        graph.value(*value).tensor.is_some()
            || graph.producer(*value).is_some_and(|id| from_constants(graph, id, found))
    };
    let emitted = |value: &ValueId| graph.value(*value).name.starts_with("slp/");
    let all = node.captures.is_empty()
        && node.outputs.iter().flatten().all(emitted)
        && node.inputs.iter().flatten().count() > 0
        && node.inputs.iter().flatten().all(|value| constant(value, found));
    if all {
        found.insert(id);
    }
    all
}

/// Makes an output of the body what computes it, and gives the dimensions of that: what its Identity
/// copies and, of blocks stacked along axis 0, what its Reshape was made from, since
/// stack(Reshape(x)) = Reshape(stack(x)). Runtimes copy where a Reshape gives an output.
fn hand_out(body: &mut Graph, index: usize, reshaped: bool) -> Vec<Dim> {
    loop {
        let output = body.outputs[index];
        let only = |graph: &Graph, value: ValueId, readers: usize| {
            let outputs = graph.outputs.iter().filter(|id| **id == value).count();
            graph.consumers(value).len() == readers && outputs == 1 - readers
        };
        let maker = body.producer(output).filter(|_| only(body, output, 0));
        let source = maker.and_then(|id| {
            let node = body.node(id);
            let moves = node.is("Identity") || (reshaped && node.is("Reshape"));
            let source = node.input(0).filter(|_| moves)?;
            let typed = body.producer(source).is_some() && body.value(source).dims().is_some();
            (typed && only(body, source, 1)).then_some((id, source))
        });
        let Some((maker, source)) = source else {
            return body.value(output).dims().unwrap_or_default();
        };
        let read: Vec<ValueId> = body.node(maker).inputs.iter().flatten().copied().collect();
        body.outputs[index] = source;
        body.remove_node(maker);
        body.remove_value(output);
        for value in read {
            let given = body.inputs.contains(&value) || body.producer(value).is_some();
            if !given && !body.is_used(value) {
                body.remove_value(value);
            }
        }
    }
}

fn copy_node(
    graph: &Graph,
    body: &mut Graph,
    (id, moves): (NodeId, bool),
    ids: &mut HashMap<ValueId, ValueId>,
) -> Result<()> {
    let node = graph.node(id);
    let mut read = |value: &ValueId| -> Result<ValueId> {
        if let Some(&known) = ids.get(value) {
            return Ok(known);
        }
        let source = graph.value(*value);
        let small = source.tensor.as_ref().is_some_and(|t| t.bytes().len() <= SMALL);
        let copy = if small {
            Value { name: format!("{}:block", source.name), ..source.clone() }
        } else {
            Value { tensor: None, carry: Box::default(), ..source.clone() }
        };
        let copy = body.add_value(copy)?;
        ids.insert(*value, copy);
        Ok(copy)
    };
    let inputs = node.inputs.iter().map(|v| v.as_ref().map(&mut read).transpose());
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    let captures = node.captures.iter().map(&mut read).collect::<Result<Vec<_>>>()?;
    let mut outputs = Vec::new();
    for output in &node.outputs {
        outputs.push(match output {
            None => None,
            Some(output) => {
                let mut copy = graph.value(*output).clone();
                if !moves {
                    copy.name += ":block";
                }
                let copy = body.add_value(copy)?;
                ids.insert(*output, copy);
                Some(copy)
            }
        });
    }
    body.add_node(Node { inputs, outputs, captures, ..node.clone() })?;
    Ok(())
}

/// Removes those of the nodes that nothing reads any more.
fn remove_idle(graph: &mut Graph, mut nodes: BTreeSet<NodeId>) {
    loop {
        let read =
            |value: &ValueId| !graph.consumers(*value).is_empty() || graph.outputs.contains(value);
        let idle = |id: &&NodeId| !graph.node(**id).outputs.iter().flatten().any(read);
        let Some(&id) = nodes.iter().find(idle) else { break };
        let outputs: Vec<ValueId> = graph.node(id).outputs.iter().flatten().copied().collect();
        graph.remove_node(id);
        outputs.into_iter().for_each(|output| graph.remove_value(output));
        nodes.remove(&id);
    }
}

/// Takes what has moved into the body out of the graph, with the copies that kept its sequences.
fn remove(graph: &mut Graph, ends: &Ends) -> Vec<Part> {
    let parts = ends.outputs.iter().map(|&id| {
        let value = graph.value(id);
        Part { name: value.name.clone(), dims: value.dims().unwrap_or_default() }
    });
    let parts = parts.collect();
    let reach = graph.descendants(ends.elements.iter().map(|(element, _)| *element));
    let kernels = kernels(graph, &reach);
    let gone: Vec<NodeId> = graph
        .nodes()
        .filter(|(id, node)| {
            reach.has_node(*id)
                || node.outputs.iter().flatten().any(|output| ends.copies.contains(output))
        })
        .map(|(id, _)| id)
        .collect();
    let parts_of_block: Vec<ValueId> = ends
        .elements
        .iter()
        .map(|(element, _)| *element)
        .chain(ends.idle.iter().copied())
        .collect();
    graph.inputs.retain(|id| !parts_of_block.contains(id));
    graph.outputs.retain(|id| !ends.outputs.contains(id) && !ends.copies.contains(id));
    for id in gone {
        let outputs: Vec<ValueId> = graph.node(id).outputs.iter().flatten().copied().collect();
        graph.remove_node(id);
        outputs.into_iter().for_each(|output| graph.remove_value(output));
    }
    parts_of_block.into_iter().for_each(|element| graph.remove_value(element));
    remove_idle(graph, kernels);
    parts
}

/// Takes the layer's outputs that do not depend on the block out of the graph, such as a bias that is
/// zero: their rows are all the same, as many as a block has. Gives their names and what they copied.
fn take_equal(graph: &mut Graph, block: &Block) -> Vec<(String, ValueId)> {
    let rows = |id: ValueId| {
        let value = graph.value(id);
        let extent = value.dims().and_then(|dims| dims.get(block.axis).and_then(fixed));
        let short = extent == Some(block.size) && block.size != block.count;
        let ours = value.name.starts_with(&block.prefix);
        Some((id, value.name.clone(), copied(graph, id).filter(|_| ours && short)?))
    };
    let list: Vec<_> = graph.outputs.iter().copied().filter_map(rows).collect();
    let take = |(id, name, source)| {
        graph.outputs.retain(|output| *output != id);
        if let Some(node) = graph.producer(id) {
            graph.remove_node(node);
        }
        graph.remove_value(id);
        (name, source)
    };
    list.into_iter().map(take).collect()
}
