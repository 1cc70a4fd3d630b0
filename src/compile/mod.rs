//! The pipeline from a model to its augmented model, a stage a call.

pub mod accumulate;
pub mod build;
pub mod infer;
pub mod linear;
pub mod linearise;
pub mod normalise;
pub mod plan;
pub mod project;
pub mod randomise;
pub mod rules;
pub mod select;
pub mod simplify;
pub mod switches;

use std::collections::HashSet;

use accumulate::Task;
use build::Emit;
use linear::{Samples, place_samples};
use linearise::{Linearised, linearise};
use plan::{Limits, Plan};
use project::{Projection, Quantity, Singular};
use select::{Batch, Choice, Layer, Neurons, Path};
use switches::Switch;

use crate::error::{Error, Result};
use crate::graph::{Graph, Model, NodeId, ValueId, fixed};

/// A layer as it is asked for: `[ALIAS=]WHAT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerRequest {
    /// The alias; the value's name if none.
    pub alias: Option<String>,
    /// A value, a node, `logits`, `#n` or `all`.
    pub what: String,
}

/// What is asked of [`transform`].
#[derive(Clone, Debug)]
pub struct Options {
    /// The input to project onto; the only float input if none.
    pub input: Option<String>,
    /// The layers; the logits if empty.
    pub layers: Vec<LayerRequest>,
    /// The neurons of every layer; all, up to [`select::MOST_BY_DEFAULT`], if none.
    pub neurons: Option<Choice>,
    /// The quantities.
    pub emit: Vec<Quantity>,
    /// What is asked of the singular pattern analysis.
    pub singular: Singular,
    /// Where the samples lie.
    pub batch: Batch,
    /// Limits and overrides of the planner.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            input: None,
            layers: Vec::new(),
            neurons: None,
            emit: Quantity::DEFAULT.to_vec(),
            singular: Singular::default(),
            batch: Batch::Auto,
            limits: Limits::default(),
        }
    }
}

/// What [`transform`] did.
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
    /// The linear steps, each with the node it comes from.
    pub steps: Vec<(String, &'static str)>,
    /// Nodes of the model, after normalisation.
    pub nodes_before: usize,
    /// Nodes of the augmented model.
    pub nodes_after: usize,
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

/// A model brought to the working operator set, with the type of every value.
///
/// # Errors
/// When an operator can't be brought there, or shapes contradict each other.
pub fn prepare(mut model: Model) -> Result<Model> {
    normalise::normalise(&mut model)?;
    let opset = model.opset();
    infer::infer(&mut model.graph, opset)?;
    Ok(model)
}

/// Rewrites a model so that it also computes the switched linear projection of the layers asked for.
///
/// # Errors
/// When the request can't be met: see [`crate::error::Kind`].
pub fn transform(model: Model, options: &Options) -> Result<(Model, Summary)> {
    options.singular.check()?;
    let mut model = prepare(model)?;
    let order = model.graph.topological()?;
    let input = select::input(&model.graph, options.input.as_deref())?;
    let path = select::path(&model.graph, &order, input);
    let layers = resolve_layers(&model.graph, &path, input, options)?;
    let values: Vec<ValueId> = layers.iter().map(|(layer, _)| layer.value).collect();
    path.check_rules(&model.graph, &values)?;
    let summaries = summarise(&model.graph, &path, &layers);
    let layers: Vec<Layer> = layers.into_iter().map(|(layer, _)| layer).collect();

    let input_name = model.graph.value(input).name.clone();
    let nodes_before = model.graph.node_count();
    let kept: HashSet<NodeId> = order.iter().copied().collect();
    let opset = model.opset();
    let e = Emit::new(std::mem::take(&mut model.graph), opset);
    let network = linearise(&e, &order, input, &values)?;
    let sample = sample_dims(&e, input, &layers);
    let samples = sample_places(&e, &network, input, &layers)?;
    let plan = plan::plan(&network, samples.as_deref(), &sample, &layers, options.limits)?;
    let notes =
        project_layers(&e, &network, (input, &order), &layers, (&sample, samples), &plan, options)?;
    let steps = network.program.steps().iter();
    let steps =
        steps.map(|s| (e.graph(|graph| graph.label(s.node).to_owned()), s.map.name())).collect();
    model.graph = e.finish()?;
    simplify::simplify(&mut model.graph, &kept);
    let summary = Summary {
        input: input_name,
        batch: layers.first().and_then(|layer| layer.input_batch),
        layers: summaries,
        plan,
        steps,
        nodes_before,
        nodes_after: model.graph.node_count(),
    };
    record(&mut model, &summary, options, &notes);
    Ok((model, summary))
}

/// What the metadata say of one layer's outputs.
struct Notes {
    /// The names of the bias terms.
    terms: Vec<String>,
    /// The switches of the state, each with its operator and the number of its elements.
    switches: Vec<(String, String, Option<i64>)>,
}

/// Emits rows, biases and outputs of every layer.
fn project_layers(
    e: &Emit,
    network: &Linearised,
    (input, order): (ValueId, &[NodeId]),
    layers: &[Layer],
    (sample, samples): (&[crate::graph::Dim], Option<Vec<Option<Samples>>>),
    plan: &Plan,
    options: &Options,
) -> Result<Vec<Notes>> {
    let places = samples.as_deref();
    let chosen: Vec<_> = layers
        .iter()
        .zip(&network.layers)
        .map(|(layer, var)| {
            accumulate::choose(e, layer, places.and_then(|places| places[var.0].as_ref()))
        })
        .collect();
    let task = Task {
        e,
        network,
        layers,
        chosen: &chosen,
        sights: &plan.sights,
        samples: places,
        weights: options.emit.iter().any(|q| q.needs_weights()),
        bias: options.emit.contains(&Quantity::Bias),
        bias_terms: options.emit.contains(&Quantity::BiasTerms),
    };
    let accumulated = accumulate::accumulate(&task, plan.direction);
    let switches = find_switches(&task, (input, order), &options.emit)?;
    let tangents = match options.emit.contains(&Quantity::Radius) {
        true => switches::sweep(&task, &switches, sample, options.limits.memory)?,
        false => Vec::new(),
    };
    for (i, (layer, rows)) in layers.iter().zip(&accumulated).enumerate() {
        let (chosen, found) = (&chosen[i], &switches[i]);
        let wanted = |quantity| options.emit.contains(&quantity);
        let state = wanted(Quantity::State).then(|| switches::state(e, found)).transpose();
        let state = state.map_err(|error| named(e, layer, error))?;
        let radius = wanted(Quantity::Radius).then(|| {
            switches::radius(e, found, &tangents, (&chosen.samples, chosen.activity.dtype()))
        });
        e.scope(&layer.alias);
        let (input, emission) = (task.input(input), options.emit.as_slice());
        let request = options.singular;
        Projection { layer, chosen, rows, emission, request, state, radius, input, sample }.emit(e);
    }
    e.check()?;
    let name = |node: &NodeId| e.graph(|graph| graph.label(*node).to_owned());
    let describe = |switch: &Switch| {
        let operator = e.graph(|graph| graph.node(switch.node).operator());
        (name(&switch.node), operator, fixed(&switch.count))
    };
    let notes = accumulated.iter().zip(&switches).map(|(rows, switches)| Notes {
        terms: rows.terms.iter().map(|(node, _)| name(node)).collect(),
        switches: switches.iter().map(describe).collect(),
    });
    Ok(notes.collect())
}

/// The switches of every layer; none where neither state nor radius is wanted.
fn find_switches<'e>(
    task: &Task<'e, '_>,
    (input, order): (ValueId, &[NodeId]),
    emit: &[Quantity],
) -> Result<Vec<Vec<Switch<'e>>>> {
    let exact = emit.contains(&Quantity::Radius);
    let found = task.layers.iter().map(|layer| {
        if !exact && !emit.contains(&Quantity::State) {
            return Ok(Vec::new());
        }
        let way = (input, layer.value);
        switches::find(task.e, order, task.network, way, task.samples, exact)
    });
    found.collect()
}

/// An error that names the layer's value.
fn named(e: &Emit, layer: &Layer, error: Error) -> Error {
    error.value(e.graph(|graph| graph.value(layer.value).name.clone()))
}

/// The dimensions of one sample of the input.
fn sample_dims(e: &Emit, input: ValueId, layers: &[Layer]) -> Vec<crate::graph::Dim> {
    let mut dims = e.expr(input).dims();
    if let Some(axis) = layers.first().and_then(|layer| layer.input_batch) {
        dims.remove(axis);
    }
    dims
}

/// Where the samples lie in each variable; `None` where all is one sample, be it that the batch is
/// known to have size 1.
fn sample_places(
    e: &Emit,
    network: &Linearised,
    input: ValueId,
    layers: &[Layer],
) -> Result<Option<Vec<Option<Samples>>>> {
    let Some(axis) = layers.first().and_then(|layer| layer.input_batch) else { return Ok(None) };
    if fixed(&e.expr(input).dims()[axis]) == Some(1) {
        return Ok(None);
    }
    place_samples(e, &network.program, network.input, axis, &network.layers).map(Some)
}

/// The layers asked for, each with the operator it was chosen for.
fn resolve_layers(
    graph: &Graph,
    path: &Path,
    input: ValueId,
    options: &Options,
) -> Result<Vec<(Layer, Option<String>)>> {
    let mut wanted: Vec<(Option<String>, ValueId, Option<String>)> = Vec::new();
    for request in &options.layers {
        match request.what.as_str() {
            "all" => wanted.extend(
                select::layers(graph, path).into_iter().map(|layer| (None, layer.value, None)),
            ),
            what => wanted.push((request.alias.clone(), select::find(graph, path, what)?, None)),
        }
    }
    if options.layers.is_empty() {
        let (value, enters) = select::logits(graph, path)?;
        wanted.push((None, value, enters));
    }
    let values: Vec<ValueId> = wanted.iter().map(|(_, value, _)| *value).collect();
    let axis = select::batch_axis(graph, input, &values, options.batch)?;
    let mut aliases = HashSet::new();
    wanted
        .into_iter()
        .map(|(alias, value, enters)| {
            let layer = resolve_layer(graph, path, alias, value, axis, options)?;
            if !aliases.insert(layer.alias.clone()) {
                return Err(Error::request(format!("two layers are called '{}'", layer.alias))
                    .help("give one an alias: --layer ALIAS=WHAT"));
            }
            Ok((layer, enters))
        })
        .collect()
}

fn resolve_layer(
    graph: &Graph,
    path: &Path,
    alias: Option<String>,
    value: ValueId,
    axis: Option<usize>,
    options: &Options,
) -> Result<Layer> {
    let it = graph.value(value);
    let at = |error: Error| error.value(&it.name);
    if !it.dtype.is_some_and(|t| t.is_float()) {
        let kind = it.dtype.map_or("of unknown type", |t| t.name());
        return Err(at(Error::request(format!("a layer holds floats, and this is {kind}"))));
    }
    if !path.changes(value) {
        return Err(at(Error::request("there is no path from the input to this layer")
            .help("slpc inspect lists the layers that change with the input")));
    }
    let Some(mut dims) = it.dims() else {
        return Err(at(Error::unsupported("the rank of this layer cannot be inferred")));
    };
    if let Some(axis) = axis {
        if axis >= dims.len() {
            return Err(at(Error::request(format!("the layer has no axis {axis} of samples"))
                .help("use --batch none")));
        }
        dims.remove(axis);
    }
    let neurons = match &options.neurons {
        Some(choice) => choice.resolve(&dims).map_err(at)?,
        None => default_neurons(&dims).map_err(at)?,
    };
    let alias = alias.unwrap_or_else(|| it.name.clone());
    Ok(Layer { alias, value, input_batch: axis, dims, neurons })
}

/// All neurons, where there are few enough.
fn default_neurons(dims: &[crate::graph::Dim]) -> Result<Neurons> {
    let help =
        "choose with --neurons: all, top:K, a list such as 3,17,40..49 or [12,:,:], or runtime";
    match select::neuron_count(dims) {
        Some(count) if count <= select::MOST_BY_DEFAULT => Ok(Neurons::All),
        Some(count) => Err(Error::request(format!(
            "the layer has {count} neurons, more than are taken without being asked for"
        ))
        .help(help)),
        None => {
            Err(Error::request("the layer's number of neurons is only known at run time")
                .help(help))
        }
    }
}

fn summarise(graph: &Graph, path: &Path, layers: &[(Layer, Option<String>)]) -> Vec<LayerSummary> {
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

/// Writes down in the model what was done to it.
fn record(model: &mut Model, summary: &Summary, options: &Options, notes: &[Notes]) {
    let mut note = |key: &str, value: String| {
        let key = format!("slpc.{key}");
        model.metadata.retain(|(old, _)| *old != key);
        model.metadata.push((key, value));
    };
    note("version", env!("CARGO_PKG_VERSION").to_owned());
    note("source.sha256", model.hash.clone());
    note("input", summary.input.clone());
    note("batch", summary.batch.map_or("none".to_owned(), |axis| axis.to_string()));
    note("direction", summary.plan.direction.to_string());
    let emit: Vec<_> = options.emit.iter().map(|q| q.name()).collect();
    note("emit", emit.join(","));
    if options.emit.iter().any(|q| q.is_singular()) {
        note("patterns", options.singular.patterns.to_string());
        note("gamma", options.singular.gamma.to_string());
    }
    let aliases: Vec<_> = summary.layers.iter().map(|l| l.alias.as_str()).collect();
    note("layers", serde_json::json!(aliases).to_string());
    for (layer, Notes { terms, switches }) in summary.layers.iter().zip(notes) {
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

#[cfg(test)]
mod tests;
