//! Sequences and optionals whose tensors are known, taken apart.
//!
//! What reads a tensor out of a sequence reads the tensor itself; the sequence stays only where an
//! output of the graph or an operator that is not known here needs it.

use std::collections::HashMap;

use super::steps::{Names, Step};
use crate::error::{Error, Result};
use crate::graph::{Attr, DataType, Graph, Node, NodeId, Tensor, ValueId};

/// What a sequence or an optional holds.
#[derive(Clone, Debug, PartialEq)]
enum Held {
    /// These tensors.
    Tensors(Vec<ValueId>),
    /// The parts of a tensor along an axis, of this size but the last.
    Parts { whole: ValueId, axis: i64, size: i64 },
    /// The slices of a tensor along an axis, which they lose.
    Slices { whole: ValueId, axis: i64 },
    /// Maybe this value.
    Optional(ValueId),
}

/// Operators that make a sequence or an optional, and may go where nothing reads it.
const MAKERS: [&str; 7] = [
    "Optional",
    "OptionalGetElement",
    "SequenceConstruct",
    "SequenceEmpty",
    "SequenceErase",
    "SequenceInsert",
    "SplitToSequence",
];

/// Resolves every node of a graph that reads a tensor out of a known sequence or optional.
///
/// # Errors
/// When a position lies outside its sequence, or an attribute is malformed; the error names the
/// node.
pub(super) fn resolve(graph: &mut Graph, names: &mut Names) -> Result<()> {
    let ids: Vec<NodeId> = graph.nodes().map(|(id, _)| id).collect();
    for id in ids {
        for body in graph.node_mut(id).subgraphs_mut() {
            resolve(body, names)?;
        }
    }
    let concerned = |node: &Node| {
        node.is_standard()
            && (MAKERS.contains(&node.op.as_str()) || node.op.starts_with("Optional"))
    };
    if !graph.nodes().any(|(_, node)| concerned(node)) {
        return Ok(());
    }
    let mut known: HashMap<ValueId, Held> = HashMap::new();
    let mut makers = Vec::new();
    for id in graph.topological()? {
        let node = graph.node(id).clone();
        if !node.is_standard() {
            continue;
        }
        let at = |error: Error| error.node(&node.name, &node.op);
        if let (Some(held), Some(output)) =
            (made(graph, &node, &known).map_err(at)?, node.output(0))
        {
            known.insert(output, held);
            makers.push(id);
        } else if let Some(new) = read(graph, &node, &known).map_err(at)? {
            replace(&mut Step::new(graph, id, names), new).map_err(at)?;
        }
    }
    remove_unread(graph, makers);
    Ok(())
}

/// What the node's output holds, where it is a sequence or an optional that is known.
fn made(graph: &Graph, node: &Node, known: &HashMap<ValueId, Held>) -> Result<Option<Held>> {
    let of = |index: usize| node.input(index).and_then(|input| known.get(&input)).cloned();
    // A position that is given but not known is none; one that is left out is the default.
    let place = |index: usize, default: i64, length: usize| match node.input(index) {
        None => position(default, length).map(Some),
        Some(id) => integer(graph, id).map(|at| position(at, length)).transpose(),
    };
    Ok(match (node.op.as_str(), of(0)) {
        ("SequenceEmpty", _) => Some(Held::Tensors(Vec::new())),
        ("SequenceConstruct", _) => {
            Some(Held::Tensors(node.inputs.iter().flatten().copied().collect()))
        }
        ("SplitToSequence", _) => parts(graph, node)?,
        ("Identity", held) => held,
        ("Optional", _) => node.input(0).map(Held::Optional),
        ("OptionalGetElement", Some(Held::Optional(value))) => known.get(&value).cloned(),
        ("OptionalGetElement", held) => held,
        ("SequenceInsert", Some(Held::Tensors(mut list))) => {
            let (Some(tensor), end) = (node.input(1), list.len()) else { return Ok(None) };
            place(2, end as i64, end + 1)?.map(|at| {
                list.insert(at, tensor);
                Held::Tensors(list)
            })
        }
        ("SequenceErase", Some(Held::Tensors(mut list))) => place(1, -1, list.len())?.map(|at| {
            list.remove(at);
            Held::Tensors(list)
        }),
        _ => None,
    })
}

/// A position counted from the front.
fn position(at: i64, length: usize) -> Result<usize> {
    let front = if at < 0 { at + length as i64 } else { at };
    usize::try_from(front).ok().filter(|&i| i < length).ok_or_else(|| {
        Error::unreadable(format!("position {at} lies outside a sequence of length {length}"))
    })
}

/// The integer that a value is known to be.
fn integer(graph: &Graph, id: ValueId) -> Option<i64> {
    let values = graph.value(id).tensor.as_ref()?.to_ints().ok()?;
    values.first().copied().filter(|_| values.len() == 1)
}

fn parts(graph: &Graph, node: &Node) -> Result<Option<Held>> {
    let axis = node.int("axis")?.unwrap_or(0);
    let Some(whole) = node.input(0) else { return Ok(None) };
    let Some(split) = node.input(1) else {
        let keep = node.int("keepdims")?.unwrap_or(1) != 0;
        return Ok(Some(match keep {
            true => Held::Parts { whole, axis, size: 1 },
            false => Held::Slices { whole, axis },
        }));
    };
    let scalar = graph.value(split).tensor.as_ref().is_some_and(|t| t.dims.is_empty());
    let size = integer(graph, split).filter(|&size| scalar && size > 0);
    Ok(size.map(|size| Held::Parts { whole, axis, size }))
}

/// What a reader becomes.
enum New {
    /// The node, some of whose inputs may be constants, by position.
    Node(Box<Node>, Vec<(usize, Tensor)>),
    /// The tensors under a new axis, one after another.
    Stack(Vec<ValueId>, i64),
}

/// What a node becomes that reads a tensor out of a known sequence or optional.
fn read(graph: &Graph, node: &Node, known: &HashMap<ValueId, Held>) -> Result<Option<New>> {
    let held = node.input(0).and_then(|input| known.get(&input));
    let one = |op: &str, x: ValueId| Node::new(op, vec![Some(x)], vec![]);
    let same = |x: ValueId| New::Node(Box::new(one("Identity", x)), vec![]);
    let constant =
        |tensor| New::Node(Box::new(Node::new("Identity", vec![], vec![])), vec![(0, tensor)]);
    let boolean = |value: bool| Tensor::new(DataType::Bool, vec![], vec![u8::from(value)]);
    Ok(match (node.op.as_str(), held) {
        ("SequenceAt", Some(held)) => {
            let Some(at) = node.input(1).and_then(|id| integer(graph, id)) else { return Ok(None) };
            element(held, at)?
        }
        ("SequenceLength", Some(Held::Tensors(list))) => {
            Some(constant(Tensor::int(list.len() as i64)))
        }
        ("ConcatFromSequence", Some(held)) => joined(node, held)?,
        ("OptionalGetElement", Some(&Held::Optional(value))) => Some(same(value)),
        ("OptionalHasElement", Some(_)) => Some(constant(boolean(true))),
        ("OptionalHasElement", None) if node.input(0).is_none() => Some(constant(boolean(false))),
        _ => None,
    })
}

/// Element `at` of a sequence.
fn element(held: &Held, at: i64) -> Result<Option<New>> {
    Ok(match *held {
        Held::Tensors(ref list) => {
            let value = list[position(at, list.len())?];
            Some(New::Node(Box::new(Node::new("Identity", vec![Some(value)], vec![])), vec![]))
        }
        Held::Slices { whole, axis } => {
            let node = Node::new("Gather", vec![Some(whole)], vec![]).with("axis", axis);
            Some(New::Node(Box::new(node), vec![(1, Tensor::int(at))]))
        }
        // How many parts there are, which a position from the end needs, is not known here.
        Held::Parts { whole, axis, size } if at >= 0 => {
            let bound = |n: i64| Tensor::ints(&[n.saturating_mul(size)]);
            let node = Node::new("Slice", vec![Some(whole)], vec![]);
            let constants =
                vec![(1, bound(at)), (2, bound(at.saturating_add(1))), (3, Tensor::ints(&[axis]))];
            Some(New::Node(Box::new(node), constants))
        }
        Held::Parts { .. } | Held::Optional(_) => None,
    })
}

fn joined(node: &Node, held: &Held) -> Result<Option<New>> {
    let axis = node.int("axis")?.unwrap_or(0);
    let stack = node.int("new_axis")?.unwrap_or(0) == 1;
    Ok(match held {
        Held::Tensors(list) if list.is_empty() => {
            return Err(Error::unreadable("an empty sequence cannot be concatenated"));
        }
        Held::Tensors(list) if stack => Some(New::Stack(list.clone(), axis)),
        Held::Tensors(list) => {
            let inputs = list.iter().copied().map(Some).collect();
            let node = Node::new("Concat", inputs, vec![]).with("axis", axis);
            Some(New::Node(Box::new(node), vec![]))
        }
        Held::Parts { whole, axis: split, .. } if !stack && *split == axis => {
            let node = Node::new("Identity", vec![Some(*whole)], vec![]);
            Some(New::Node(Box::new(node), vec![]))
        }
        _ => None,
    })
}

/// Puts `new` in the place of the step's node.
fn replace(step: &mut Step, new: New) -> Result<()> {
    let Some(output) = step.node().output(0) else { return Ok(()) };
    let mut node = match new {
        New::Node(node, constants) => {
            let mut node = *node;
            for (index, tensor) in constants {
                let constant = step.constant("constant", tensor)?;
                node.inputs.resize(node.inputs.len().max(index + 1), None);
                node.inputs[index] = Some(constant);
            }
            node
        }
        New::Stack(list, axis) => {
            let axes = step.constant("axis", Tensor::ints(&[axis]))?;
            let mut inputs = Vec::new();
            for value in list {
                let wide = Node::new("Unsqueeze", vec![Some(value), Some(axes)], vec![]);
                inputs.push(Some(step.emit("element", wide)?));
            }
            Node::new("Concat", inputs, vec![]).with("axis", Attr::Int(axis))
        }
    };
    node.name.clone_from(&step.node().name);
    node.outputs = vec![Some(output)];
    step.graph.remove_node(step.id);
    step.graph.add_node(node).map(drop)
}

/// Removes the nodes among `makers` whose output nothing reads, the last first.
fn remove_unread(graph: &mut Graph, makers: Vec<NodeId>) {
    for id in makers.into_iter().rev() {
        let removable = MAKERS.contains(&graph.node(id).op.as_str());
        let outputs: Vec<ValueId> = graph.node(id).outputs.iter().flatten().copied().collect();
        let unread = |v: &ValueId| graph.consumers(*v).is_empty() && !graph.outputs.contains(v);
        if removable && outputs.iter().all(unread) {
            graph.remove_node(id);
            outputs.into_iter().for_each(|output| graph.remove_value(output));
        }
    }
}
