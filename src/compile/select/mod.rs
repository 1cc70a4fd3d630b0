//! Which input, layers and neurons were asked for, and what lies between them.

mod layers;
mod neurons;
mod path;
mod pooled;

pub use layers::{LayerInfo, find, layers, logits};
pub use neurons::{Choice, Neurons};
use path::path_from;
pub use path::{Path, path};
pub use pooled::{Pooled, pooled, poolings};

use super::rules;
use crate::error::{Error, Result};
use crate::graph::{Dim, Graph, Node, ValueId, fixed};

/// How many neurons `all` may mean without being asked for.
pub const MOST_BY_DEFAULT: i64 = 1024;

/// One layer to project.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The name of its outputs: `slp/ALIAS/…`.
    pub alias: String,
    /// Its value.
    pub value: ValueId,
    /// The axis of the input along which the samples lie; none where all of it is one sample.
    pub input_batch: Option<usize>,
    /// The dimensions of one sample.
    pub dims: Vec<Dim>,
    /// The neurons.
    pub neurons: Neurons,
}

/// The float input called `name`, or the only one.
///
/// # Errors
/// When there is no such input, it holds no floats, or there are several and none is named.
pub fn input(graph: &Graph, name: Option<&str>) -> Result<ValueId> {
    let list = |ids: &[ValueId]| {
        ids.iter().map(|&id| graph.value(id).name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let is_float = |id: ValueId| graph.value(id).dtype.is_some_and(|t| t.is_float());
    let candidates: Vec<ValueId> = graph
        .inputs
        .iter()
        .copied()
        .filter(|&id| is_float(id) && graph.value(id).tensor.is_none())
        .collect();
    if let Some(name) = name {
        let Some(&id) = graph.inputs.iter().find(|&&id| graph.value(id).name == name) else {
            return Err(Error::request(format!("the model has no input '{name}'"))
                .help(format!("its inputs are: {}", list(&graph.inputs))));
        };
        if !is_float(id) {
            let kind = graph.value(id).dtype.map_or("no tensor", |t| t.name());
            return Err(Error::request(format!(
                "the input is {kind}, and only floats have slopes"
            ))
            .value(name)
            .help("project onto a float input, or onto a model cut behind the integer one"));
        }
        return Ok(id);
    }
    match candidates.as_slice() {
        [one] => Ok(*one),
        [] if graph.inputs.is_empty() => Err(Error::request("the model has no input")),
        [] => Err(Error::request(format!(
            "the model has no float input; its inputs are: {}",
            list(&graph.inputs)
        ))),
        several => {
            Err(Error::request(format!("the model has several float inputs: {}", list(several)))
                .help("choose one with --input NAME"))
        }
    }
}

/// The axis of the input and of a layer along which the samples lie, as `--batch` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Batch {
    /// Axis 0 where input and layer share it.
    #[default]
    Auto,
    /// The whole input is one sample.
    None,
    /// This axis.
    Axis(usize),
}

impl std::str::FromStr for Batch {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            _ => text.parse().map(Self::Axis).map_err(|_| {
                Error::request(format!("'{text}' is no batch axis"))
                    .help("--batch takes auto, none or the number of an axis")
            }),
        }
    }
}

/// The sample axis of the input, none where all of it is one sample.
///
/// # Errors
/// When the input has no such axis.
pub fn batch_axis(
    graph: &Graph,
    input: ValueId,
    layers: &[ValueId],
    batch: Batch,
) -> Result<Option<usize>> {
    let dims = |id: ValueId| graph.value(id).dims().unwrap_or_default();
    let x = dims(input);
    match batch {
        Batch::None => Ok(None),
        Batch::Axis(axis) if axis < x.len() => Ok(Some(axis)),
        Batch::Axis(axis) => Err(Error::request(format!(
            "the input has {} axes, so axis {axis} can't be the batch",
            x.len()
        ))
        .value(&graph.value(input).name)),
        Batch::Auto => {
            let shares = |layer: &&ValueId| dims(**layer).first() == x.first();
            let Some(other) = layers.iter().find(|layer| !shares(layer)) else {
                return Ok((!x.is_empty()).then_some(0));
            };
            if x.first().is_none_or(|d| fixed(d).is_some()) {
                return Ok(None);
            }
            let shape = |id| display_dims(&dims(id));
            Err(Error::request(format!(
                "can't tell whether axis 0 holds samples: the input is {}, the layer {}",
                shape(input),
                shape(*other)
            ))
            .value(&graph.value(*other).name)
            .help("say so with --batch 0, or --batch none to take the whole input as one sample"))
        }
    }
}

/// The known number of neurons of a layer.
pub fn neuron_count(dims: &[Dim]) -> Option<i64> {
    dims.iter().map(fixed).try_fold(1i64, |n, d| n.checked_mul(d?))
}

/// Dimensions for people: `[64, 24, 24]`.
pub fn display_dims(dims: &[Dim]) -> String {
    let parts: Vec<_> = dims.iter().map(ToString::to_string).collect();
    format!("[{}]", parts.join(", "))
}

/// Whether theorem 1 holds exactly up to a value: whether every operator is piecewise linear.
pub fn is_exact(graph: &Graph, path: &Path, layer: ValueId) -> bool {
    let wanted = graph.ancestors([layer]);
    let mut nodes = path.nodes.iter().filter(|&&node| wanted.has_node(node));
    nodes.all(|&id| is_exact_node(graph, path, graph.node(id)))
}

fn is_exact_node(graph: &Graph, path: &Path, node: &Node) -> bool {
    let changes = |index: usize| node.input(index).is_some_and(|v| path.changes(v));
    match rules::find(node) {
        Some(entry) if entry.bodies => node.subgraphs().all(|body| {
            is_exact_body(body, |name| graph.find(name).is_some_and(|v| path.changes(v)))
        }),
        Some(entry) => entry.is_exact(node, changes),
        None => false,
    }
}

/// Whether a subgraph is piecewise linear in all its inputs together with those of the values
/// around it that change.
fn is_exact_body(body: &Graph, changes_around: impl Fn(&str) -> bool) -> bool {
    let Ok(order) = body.topological() else { return false };
    let around = body.free_values().into_iter().filter(|&v| changes_around(&body.value(v).name));
    let float = |&v: &ValueId| body.value(v).dtype.is_none_or(|t| t.is_float());
    let starts = body.inputs.iter().copied().filter(float).chain(around).collect();
    let path = path_from(body, &order, starts);
    path.nodes.iter().all(|&id| is_exact_node(body, &path, body.node(id)))
}
