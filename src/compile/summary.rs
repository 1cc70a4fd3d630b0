//! What a transformation did, for people and for the model's metadata.

use super::Options;
use super::build::Emit;
use super::linearise::Linearised;
use super::plan::{self, Plan};
use super::select::{self, Layer, Neurons, Path};
use crate::graph::{Graph, Model};

/// What [`transform`](super::transform()) did.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The name of the projected input.
    pub input: String,
    /// The axis of the input along which the samples lie; none where all of it is one sample.
    pub batch: Option<usize>,
    /// The layers, with their aliases, values and neurons.
    pub layers: Vec<LayerSummary>,
    /// The decisions.
    pub plan: Plan,
    /// The linear steps.
    pub steps: Vec<StepSummary>,
    /// Nodes of the model, after normalisation.
    pub nodes_before: usize,
    /// Nodes of the augmented model.
    pub nodes_after: usize,
    /// Operators of the model itself that the target lacks.
    pub lacking: Vec<String>,
}

/// One linear step of a [`Summary`].
#[derive(Clone, Debug)]
pub struct StepSummary {
    /// The node it comes from.
    pub node: String,
    /// Its kind.
    pub kind: &'static str,
    /// What the neurons of the first layer see of its first input: the sizes of their window, or none
    /// where all of it is computed.
    pub sees: Option<Vec<i64>>,
    /// What it costs for all seeds, by the model of the plan.
    pub cost: plan::Cost,
}

/// One layer of a [`Summary`].
#[derive(Clone, Debug)]
pub struct LayerSummary {
    /// The alias.
    pub alias: String,
    /// The value's name.
    pub value: String,
    /// The Softmax or Sigmoid that the layer enters, where it was chosen for that.
    pub enters: Option<String>,
    /// The dimensions of one sample.
    pub dims: String,
    /// The number of chosen neurons, where it is known.
    pub neurons: Option<i64>,
    /// The choice of neurons: `all`, `top:K`, `runtime` or flat numbers and ranges.
    pub choice: String,
    /// Whether theorem 1 holds exactly.
    pub exact: bool,
}

/// What the metadata say of one layer's outputs.
pub(super) struct Notes {
    /// The names of the bias terms.
    pub terms: Vec<String>,
    /// The switches of the state, each with its operator and the number of its elements.
    pub switches: Vec<(String, String, Option<i64>)>,
}

pub(super) fn summarise(
    graph: &Graph,
    path: &Path,
    layers: &[(Layer, Option<String>)],
) -> Vec<LayerSummary> {
    let chosen = |layer: &Layer| match &layer.neurons {
        Neurons::All => select::neuron_count(&layer.dims),
        Neurons::Top(k) => Some(*k as i64),
        Neurons::List(list) => Some(list.len() as i64),
        Neurons::Runtime => None,
    };
    layers
        .iter()
        .map(|(layer, enters)| LayerSummary {
            alias: layer.alias.clone(),
            value: graph.value(layer.value).name.clone(),
            enters: enters.clone(),
            dims: select::display_dims(&layer.dims),
            neurons: chosen(layer),
            choice: layer.neurons.to_string(),
            exact: select::is_exact(graph, path, layer.value),
        })
        .collect()
}

pub(super) fn summarise_steps(e: &Emit, network: &Linearised, plan: &Plan) -> Vec<StepSummary> {
    let reverse = plan.directions.first() == Some(&plan::Direction::Reverse);
    let sight = plan.sights.first().filter(|_| reverse);
    let steps = network.program.steps().iter().zip(&plan.costs);
    steps
        .map(|(step, &cost)| StepSummary {
            node: e.graph(|graph| graph.label(step.node).to_owned()),
            kind: step.map.name(),
            sees: step.inputs.first().and_then(|&input| {
                Some(sight?.windows(input)?.iter().map(|window| window.length).collect())
            }),
            cost,
        })
        .collect()
}

/// Writes down in the model what was done to it.
pub(super) fn record(model: &mut Model, summary: &Summary, options: &Options, notes: &[Notes]) {
    let mut note = |key: &str, value: String| {
        let key = format!("slpc.{key}");
        model.metadata.retain(|(old, _)| *old != key);
        model.metadata.push((key, value));
    };
    note("version", env!("CARGO_PKG_VERSION").to_owned());
    note("source.sha256", model.hash.clone());
    note("input", summary.input.clone());
    note("batch", summary.batch.map_or("none".to_owned(), |axis| axis.to_string()));
    let directions = summary.plan.directions.iter().map(ToString::to_string);
    note("direction", summary.plan.direction_name());
    let emit: Vec<_> = options.emit.iter().map(|q| q.name()).collect();
    note("emit", emit.join(","));
    if options.emit.iter().any(|q| q.is_singular()) {
        note("patterns", options.singular.patterns.to_string());
        note("gamma", options.singular.gamma.to_string());
    }
    let aliases: Vec<_> = summary.layers.iter().map(|l| l.alias.as_str()).collect();
    note("layers", serde_json::json!(aliases).to_string());
    for ((layer, way), Notes { terms, switches }) in
        summary.layers.iter().zip(directions).zip(notes)
    {
        if summary.plan.direction().is_none() {
            note(&format!("layer.{}.direction", layer.alias), way);
        }
        note(&format!("layer.{}.value", layer.alias), layer.value.clone());
        note(&format!("layer.{}.neurons", layer.alias), layer.dims.clone());
        note(&format!("layer.{}.choice", layer.alias), layer.choice.clone());
        note(&format!("layer.{}.exact", layer.alias), layer.exact.to_string());
        if !terms.is_empty() {
            note(
                &format!("layer.{}.bias-terms", layer.alias),
                serde_json::json!(terms).to_string(),
            );
        }
        if !switches.is_empty() {
            let list = switches.iter().map(|(node, operator, count)| {
                serde_json::json!({ "node": node, "operator": operator, "count": count })
            });
            let list = serde_json::Value::Array(list.collect());
            note(&format!("layer.{}.state", layer.alias), list.to_string());
        }
    }
}
