//! Integers that no run changes: exporters compute pads, shapes and axes from constants, and what
//! depends on them (the widths of a Pad, the dimensions of its output) must be known beforehand.

use super::constants::initializer;
use crate::error::Result;
use crate::graph::{Attr, DataType, Graph, Node, NodeId, Tensor, ValueId, View, count};

/// The most elements that are computed here: shapes and pads are short, index tables need not be known.
const MOST: i64 = 256;

/// Makes the integers that follow from constants initializers.
pub(super) fn fold(graph: &mut Graph) -> Result<()> {
    for id in graph.topological()? {
        let Some((output, result)) = computed(graph, id) else { continue };
        graph.remove_node(id);
        let value = graph.value_mut(output);
        *value = initializer(std::mem::take(&mut value.name), result);
    }
    Ok(())
}

/// The output of a node and its contents, where they are few integers known beforehand.
fn computed(graph: &Graph, id: NodeId) -> Option<(ValueId, Tensor)> {
    let node = graph.node(id);
    let output = node.output(0).filter(|output| !graph.outputs.contains(output))?;
    let inputs: Option<Vec<View<i64>>> =
        node.inputs.iter().map(|input| known(graph, (*input)?)).collect();
    let (inputs, op) = (inputs?, if node.is_standard() { node.op.as_str() } else { "" });
    let view = match (op, inputs.as_slice()) {
        ("Cast", [x]) if node.int("to").ok()? == Some(DataType::I64 as i64) => x.clone(),
        ("Concat", parts) => View::concat(parts, node.int("axis").ok()??)?,
        ("ConstantOfShape", [shape]) => filled(shape, node)?,
        ("Reshape", [x, to]) => x.reshaped(&to.elements()?)?,
        ("Slice", [x, starts, ends, rest @ ..]) => {
            let rest: Option<Vec<_>> = rest.iter().map(View::elements).collect();
            x.sliced(&starts.elements()?, &ends.elements()?, &rest?)?
        }
        ("Transpose", [x]) => x.transposed(node.ints("perm").ok()?)?,
        _ => return None,
    };
    let dims = view.dims().to_vec();
    Some((output, Tensor { dims, ..Tensor::ints(&view.elements()?) }))
}

/// The contents of a value that is no input, whose contents a run may replace.
fn known(graph: &Graph, value: ValueId) -> Option<View<i64>> {
    let tensor = graph.value(value).tensor.as_ref()?;
    let few = tensor.dtype == DataType::I64 && count(&tensor.dims)? <= MOST;
    let data = tensor.to_ints().ok().filter(|_| few && !graph.inputs.contains(&value))?;
    View::new(data, tensor.dims.clone())
}

/// As many copies of the attribute's value as the shape says.
fn filled(shape: &View<i64>, node: &Node) -> Option<View<i64>> {
    let Some(Attr::Tensor(value)) = node.attr("value") else { return None };
    let dims = shape.elements()?;
    let number = count(&dims).filter(|&n| n <= MOST && value.dtype == DataType::I64)?;
    let value = *value.to_ints().ok()?.first()?;
    View::new(vec![value; usize::try_from(number).ok()?], dims)
}
