//! What runtimes need said otherwise.
//!
//! Each lowering is a rewrite of emitted nodes that keeps every value, with the fault of the runtime that
//! it goes around, or with what that runtime alone has one operator for. The model's own nodes are never
//! touched: a runtime that can't run them can't run the model.

mod flip;
mod kernels;
mod loops;
mod unpool;
mod views;

use std::collections::HashSet;

use super::simplify::remove_dead;
use crate::graph::{Graph, NodeId};

/// A runtime that the augmented model is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Every one: only what all of them run.
    #[default]
    Any,
    /// ONNX Runtime.
    OnnxRuntime,
    /// tract, the engine that is built in.
    Tract,
    /// OpenVINO.
    OpenVino,
    /// ONNX Runtime in a web page.
    Web,
}

/// A rewrite of a graph, but for the nodes given, which are the model's own.
type Rewrite = fn(&mut Graph, &HashSet<NodeId>);

/// Which targets need which rewrite.
const LOWERINGS: [(&[Target], Rewrite); 5] = [
    (&[Target::Any, Target::OpenVino], kernels::separate),
    (&[Target::Any, Target::OpenVino], views::reshape_first),
    (&[Target::OpenVino], loops::instead_of_scans),
    (&[Target::OnnxRuntime], unpool::unpool),
    (&[Target::OnnxRuntime], flip::flip_at_once),
];

/// Operators that a target lacks.
const LACKING: [(Target, &[&str]); 2] = [
    (
        Target::Tract,
        &[
            "AffineGrid",
            "BitCast",
            "CausalConvWithState",
            "CenterCropPad",
            "Col2Im",
            "CumProd",
            "DeformConv",
            "Det",
            "LinearAttention",
            "Loop",
            "LpPool",
            "MaxRoiPool",
            "MaxUnpool",
            "NegativeLogLikelihoodLoss",
            "ReverseSequence",
            "RoiAlign",
            "SoftmaxCrossEntropyLoss",
            "SwiGLU",
            "TensorScatter",
            "Unique",
        ],
    ),
    (
        Target::OpenVino,
        &[
            "BitCast",
            "CausalConvWithState",
            "CumProd",
            "DeformConv",
            "Det",
            "LinearAttention",
            "MaxUnpool",
            "SwiGLU",
            "TensorScatter",
        ],
    ),
];

/// Rewrites the graph for `target`; `own` are the model's own nodes.
pub fn lower(graph: &mut Graph, target: Target, own: &HashSet<NodeId>) {
    for (targets, rewrite) in LOWERINGS {
        if targets.contains(&target) {
            rewrite(graph, own);
        }
    }
    remove_dead(graph, own);
}

/// The operators of the model itself that `target` lacks, each once.
pub fn lacking(graph: &Graph, target: Target) -> Vec<String> {
    let lacks = LACKING.iter().find(|(of, _)| *of == target).map_or(&[][..], |(_, ops)| ops);
    let mut found: Vec<String> = graph
        .nodes()
        .filter(|(_, node)| node.is_standard() && lacks.contains(&node.op.as_str()))
        .map(|(_, node)| node.op.clone())
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The nodes that are not the model's own.
fn emitted(graph: &Graph, own: &HashSet<NodeId>) -> Vec<NodeId> {
    graph.nodes().map(|(id, _)| id).filter(|id| !own.contains(id)).collect()
}

#[cfg(test)]
mod tests;
