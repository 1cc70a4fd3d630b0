//! A kernel with its channels exchanged and its elements in reverse order takes two nodes in most runtimes.
//! ONNX Runtime makes it in one when it loads the model, in the same time.

use std::collections::HashSet;

use super::emitted;
use crate::compile::infer::of_tensor;
use crate::graph::{DataType, Graph, Node, NodeId, Tensor, Value, ValueId};

/// The most elements of a kernel, a channel: the matrix that reverses them has as many rows and columns.
const MOST: i64 = 64;

/// Slice(Transpose(w)) = Σ w·J with the J that is 1 from each element to the one at its place in reverse, for
/// a constant w without infinities, since 0·∞ is no number.
pub(super) fn flip_at_once(graph: &mut Graph, own: &HashSet<NodeId>) {
    let mut names = HashSet::new();
    read_by_transposes(graph, &mut names);
    let kernel = |name: &String| {
        let Some(id) = graph.find(name).filter(|id| !graph.inputs.contains(id)) else {
            return false;
        };
        let kernel = graph.value(id).tensor.as_ref();
        kernel.is_some_and(|tensor| {
            matches!(tensor.dtype, DataType::F32 | DataType::F64) && tensor.is_finite()
        })
    };
    names.retain(kernel);
    rewrite(graph, own, &names);
}

/// The names of what Transposes read, those in subgraphs too.
fn read_by_transposes(graph: &Graph, names: &mut HashSet<String>) {
    for (_, node) in graph.nodes() {
        node.subgraphs().for_each(|inner| read_by_transposes(inner, names));
        let read = node.input(0).filter(|_| node.is("Transpose"));
        names.extend(read.map(|value| graph.value(value).name.clone()));
    }
}

fn rewrite(graph: &mut Graph, own: &HashSet<NodeId>, kernels: &HashSet<String>) {
    for id in emitted(graph, own) {
        for inner in graph.node_mut(id).subgraphs_mut() {
            rewrite(inner, &HashSet::new(), kernels);
        }
        let Some((transpose, kernel, sizes)) = flipped(graph, id, own) else { continue };
        if kernels.contains(&graph.value(kernel).name) {
            replace(graph, (id, transpose), kernel, &sizes);
        }
    }
}

/// The Transpose before a Slice that flips, the kernel, and the sizes of its spatial axes.
fn flipped(
    graph: &Graph,
    id: NodeId,
    own: &HashSet<NodeId>,
) -> Option<(NodeId, ValueId, Vec<i64>)> {
    let slice = graph.node(id);
    let turned = slice.input(0).filter(|_| slice.is("Slice"))?;
    let transpose = graph.producer(turned).filter(|id| !own.contains(id))?;
    let kernel =
        graph.node(transpose).input(0).filter(|_| graph.node(transpose).is("Transpose"))?;
    let sizes = graph.value(kernel).fixed_dims()?.get(2..)?.to_vec();
    let rank = sizes.len();
    let exchanged = (0..rank as i64 + 2).map(|axis| if axis < 2 { 1 - axis } else { axis });
    let perm = graph.node(transpose).ints("perm").ok().flatten()?;
    let ints = |index: usize| graph.value(slice.input(index)?).tensor.as_ref()?.to_ints().ok();
    let all = |index: usize, value: i64| ints(index).is_some_and(|list| list == vec![value; rank]);
    let axes = ints(3)?.into_iter().eq(2..rank as i64 + 2);
    let reverses = all(1, -1) && all(2, i64::MIN) && axes && all(4, -1);
    let few = (1..=3).contains(&rank) && sizes.iter().product::<i64>() <= MOST;
    let alone = graph.consumers(turned).len() == 1;
    let fits = perm.iter().copied().eq(exchanged) && reverses && few && alone;
    fits.then_some((transpose, kernel, sizes))
}

/// Puts the Einsum in the place of both nodes.
fn replace(
    graph: &mut Graph,
    (slice, transpose): (NodeId, NodeId),
    kernel: ValueId,
    sizes: &[i64],
) -> Option<()> {
    let dtype = graph.value(kernel).dtype?;
    let matrix = reversal(graph, dtype, sizes)?;
    let name = graph.node(slice).name.clone();
    let (output, turned) = (graph.node(slice).output(0)?, graph.node(slice).input(0)?);
    let (from, to) = (&"ijk"[..sizes.len()], &"xyz"[..sizes.len()]);
    let inputs = vec![Some(kernel), Some(matrix)];
    let node = Node::new("Einsum", inputs, vec![Some(output)]);
    let node = node.with("equation", format!("ab{from},{from}{to}->ba{to}").as_str());
    graph.remove_node(slice);
    graph.remove_node(transpose);
    graph.remove_value(turned);
    graph.add_node(Node { name, ..node }).ok().map(drop)
}

/// The constant J of kernels of these sizes, made once in a graph.
fn reversal(graph: &mut Graph, dtype: DataType, sizes: &[i64]) -> Option<ValueId> {
    let spelt: Vec<String> = sizes.iter().map(i64::to_string).collect();
    let name = format!("slp/reversal/{}/{}", dtype.name(), spelt.join("x"));
    if let Some(known) = graph.find(&name) {
        return Some(known);
    }
    let count = sizes.iter().product::<i64>() as usize;
    let mut ones = vec![0.0; count * count];
    // In row-major order, the reverse along every axis is the reverse of all.
    (0..count).for_each(|i| ones[i * count + count - 1 - i] = 1.0);
    let tensor = Tensor::floats(dtype, [sizes, sizes].concat(), &ones);
    let (dtype, facts) = (Some(tensor.dtype), of_tensor(&tensor).into());
    graph.add_value(Value { dtype, facts, tensor: Some(tensor.into()), ..Value::new(name) }).ok()
}
