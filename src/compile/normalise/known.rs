//! What can be told of a value before inference: declarations, and operators that keep a property.

use crate::graph::{Attr, DataType, Graph, Node, ValueId};

/// Operators whose output has the type of their first input.
#[rustfmt::skip]
const SAME_TYPE: &[&str] = &[
    "Abs", "Add", "AveragePool", "BatchNormalization", "Ceil", "Clip", "Concat", "Conv",
    "ConvTranspose", "DepthToSpace", "Div", "Dropout", "Elu", "Exp", "Expand", "Flatten", "Floor",
    "Gather", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid", "Identity",
    "InstanceNormalization", "LRN", "LeakyRelu", "Log", "LogSoftmax", "MatMul", "Max", "MaxPool",
    "Mean", "Min", "Mul", "Neg", "PRelu", "Pad", "Pow", "Reciprocal", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceSum", "Relu", "Reshape", "Resize", "Selu", "Sigmoid", "Slice", "Softmax",
    "Softplus", "Softsign", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh",
    "Tile", "Transpose", "Unsqueeze", "Upsample",
];

/// Operators whose output has the rank of their first input.
#[rustfmt::skip]
const SAME_RANK: &[&str] = &[
    "Abs", "AveragePool", "BatchNormalization", "Ceil", "Clip", "Concat", "Conv", "ConvTranspose",
    "DepthToSpace", "Dropout", "Elu", "Exp", "Floor", "GlobalAveragePool", "GlobalMaxPool",
    "HardSigmoid", "Identity", "InstanceNormalization", "LRN", "LeakyRelu", "Log", "LogSoftmax",
    "MaxPool", "Neg", "PRelu", "Pad", "Reciprocal", "Relu", "Resize", "Selu", "Sigmoid", "Slice",
    "Softmax", "Softplus", "Softsign", "SpaceToDepth", "Split", "Sqrt", "Tanh", "Transpose",
    "Upsample",
];

/// The element type of a value, where it is declared or passed along from where it is.
pub(super) fn dtype(graph: &Graph, value: ValueId) -> Option<DataType> {
    walk(
        graph,
        value,
        SAME_TYPE,
        |value| graph.value(value).dtype,
        |node| match node.attr("to") {
            Some(Attr::Int(code)) if node.is("Cast") => {
                i32::try_from(*code).ok().and_then(DataType::from_onnx)
            }
            _ => None,
        },
    )
}

/// The rank of a value, where it is declared or passed along from where it is.
pub(super) fn rank(graph: &Graph, value: ValueId) -> Option<usize> {
    let declared = |value| graph.value(value).dims().map(|dims| dims.len());
    walk(graph, value, SAME_RANK, declared, |node| {
        (node.is("Gemm") || node.is("Flatten")).then_some(2)
    })
}

/// Follows the first inputs of operators in `same` up to a value or node that answers.
fn walk<T>(
    graph: &Graph,
    mut value: ValueId,
    same: &[&str],
    declared: impl Fn(ValueId) -> Option<T>,
    produced: impl Fn(&Node) -> Option<T>,
) -> Option<T> {
    // A cycle, which only a broken file has, ends the walk when every node has been passed.
    for _ in 0..=graph.node_count() {
        if let Some(found) = declared(value) {
            return Some(found);
        }
        let producer = graph.producer(value)?;
        let node = graph.node(producer);
        if let Some(found) = produced(node) {
            return Some(found);
        }
        // The further outputs (masks, indices) have properties of their own.
        let passes = node.is_standard()
            && same.contains(&node.op.as_str())
            && (node.output(0) == Some(value) || node.op == "Split");
        value = node.input(0).filter(|_| passes)?;
    }
    None
}
