//! The layers of a model as people name them.

use super::Path;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, ValueId};

/// Element-wise operators that bend: what enters one is a layer.
pub(super) const ACTIVATIONS: &[&str] = &[
    "Relu",
    "LeakyRelu",
    "PRelu",
    "ThresholdedRelu",
    "Clip",
    "Sigmoid",
    "Tanh",
    "Softplus",
    "Softsign",
    "Elu",
    "Selu",
    "Celu",
    "HardSigmoid",
    "HardSwish",
    "Gelu",
    "Mish",
    "Swish",
];
/// Poolings: what leaves one is a layer.
const POOLINGS: &[&str] =
    &["MaxPool", "AveragePool", "LpPool", "GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"];
/// Operators that turn class scores into probabilities.
const LINKS: &[&str] = &["Softmax", "LogSoftmax", "Sigmoid", "Hardmax"];
/// Operators that leave every element in its row-major place.
const PASSING: &[&str] =
    &["Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Cast", "Dropout"];

/// One layer of a model.
#[derive(Clone, Debug)]
pub struct LayerInfo {
    /// Its value.
    pub value: ValueId,
    /// The operator that computes it.
    pub operator: String,
    /// The activation that follows, if one does.
    pub activation: Option<String>,
}

/// The layers in graph order: what enters a non-linearity, pooling outputs, and the logits.
pub fn layers(graph: &Graph, path: &Path) -> Vec<LayerInfo> {
    let logits = logits(graph, path).ok().map(|(value, _)| value);
    let mut found = Vec::new();
    for &id in &path.nodes {
        let node = graph.node(id);
        for &value in node.outputs.iter().flatten().filter(|&&v| path.changes(v)) {
            let activation = activation(graph, value);
            let pooled = node.is_standard() && POOLINGS.contains(&node.op.as_str());
            if activation.is_some()
                || (pooled && node.output(0) == Some(value))
                || logits == Some(value)
            {
                found.push(LayerInfo { value, operator: node.operator(), activation });
            }
        }
    }
    found
}

fn activation(graph: &Graph, value: ValueId) -> Option<String> {
    let bends = |&id: &NodeId| {
        let node = graph.node(id);
        node.is_standard()
            && node.input(0) == Some(value)
            && (ACTIVATIONS.contains(&node.op.as_str()) || LINKS.contains(&node.op.as_str()))
    };
    graph.consumers(value).into_iter().find(bends).map(|id| graph.node(id).op.clone())
}

/// The value that enters the final Softmax or Sigmoid, with that operator, or the output itself.
///
/// # Errors
/// When no float output changes with the input.
pub fn logits(graph: &Graph, path: &Path) -> Result<(ValueId, Option<String>)> {
    let Some(&output) = graph.outputs.iter().find(|&&v| path.changes(v)) else {
        return Err(Error::request("no output of the model changes with the input"));
    };
    let producer = |value| graph.producer(value).map(|id| graph.node(id));
    let mut value = output;
    while let Some(node) = producer(value).filter(|n| n.is_standard()) {
        let Some(input) = node.input(0) else { break };
        if LINKS.contains(&node.op.as_str()) {
            return Ok((before_normalisation(graph, input), Some(node.op.clone())));
        }
        if !PASSING.contains(&node.op.as_str()) {
            break;
        }
        value = input;
    }
    Ok((output, None))
}

/// The model's own value behind reshapes that normalisation put in front of a Softmax.
fn before_normalisation(graph: &Graph, value: ValueId) -> ValueId {
    let mut value = value;
    while graph.value(value).name.starts_with("slp/") {
        match graph.producer(value).and_then(|id| graph.node(id).input(0)) {
            Some(input) => value = input,
            None => break,
        }
    }
    value
}

/// The value that `what` names: `logits`, `#n`, a value, or a node's first output.
///
/// # Errors
/// When nothing is called so; the error names what comes nearest.
pub fn find(graph: &Graph, path: &Path, what: &str) -> Result<ValueId> {
    if let Some(value) = graph.find(what) {
        return Ok(value);
    }
    if what == "logits" {
        return logits(graph, path).map(|(value, _)| value);
    }
    let all = layers(graph, path);
    if let Some(number) = what.strip_prefix('#') {
        let index = number.parse::<usize>().ok().filter(|n| (1..=all.len()).contains(n));
        return index.map(|n| all[n - 1].value).ok_or_else(|| {
            Error::request(format!("there is no layer '{what}'"))
                .help(format!("the model has layers #1 to #{}", all.len()))
        });
    }
    let named = graph.nodes().find(|(_, node)| node.name == what);
    if let Some(output) = named.and_then(|(_, node)| node.output(0)) {
        return Ok(output);
    }
    Err(Error::request(format!("no value or node is called '{what}'"))
        .help(nearest(graph, path, what)))
}

fn nearest(graph: &Graph, path: &Path, what: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for &id in &path.nodes {
        let node = graph.node(id);
        names.extend(node.outputs.iter().flatten().map(|&v| graph.value(v).name.as_str()));
        if !node.name.is_empty() {
            names.push(&node.name);
        }
    }
    names.sort_unstable();
    names.dedup();
    let score = |name: &str| {
        let contained = name.to_lowercase().contains(&what.to_lowercase());
        strsim::jaro_winkler(name, what) + f64::from(u8::from(contained))
    };
    names.sort_by(|a, b| score(b).total_cmp(&score(a)));
    names.truncate(3);
    let quoted: Vec<_> = names.iter().map(|name| format!("'{name}'")).collect();
    format!("the nearest names are {}; slpc inspect lists the layers", quoted.join(", "))
}
