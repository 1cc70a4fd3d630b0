//! The pipeline from a model to its augmented model, a stage a call.

pub mod accumulate;
pub mod blocks;
pub mod build;
mod fuse;
pub mod infer;
mod infinities;
mod layers;
pub mod linear;
pub mod linearise;
pub mod normalise;
pub mod plan;
pub mod project;
pub mod randomise;
pub mod rules;
pub mod select;
pub mod simplify;
mod summary;
pub mod switches;
pub mod target;

use std::collections::HashSet;

use build::Emit;
use layers::{analyse_blocks, blocks_of, check_outputs, order_outputs, project_layers};
use linear::{Samples, place_samples};
use linearise::{Linearised, linearise};
use plan::{Limits, Wanted};
use project::{Quantity, Singular};
use select::{Batch, Choice, Layer, Neurons, Path};
pub use summary::{LayerSummary, StepSummary, Summary};
use summary::{record, summarise, summarise_steps};
pub use target::Target;

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
    /// The runtime that the result is for.
    pub target: Target,
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
            target: Target::default(),
        }
    }
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
    check_assumed(&model.graph.value(input).dims().unwrap_or_default(), &options.limits.assumed)?;
    let summaries = summarise(&model.graph, &path, &layers);
    let layers: Vec<Layer> = layers.into_iter().map(|(layer, _)| layer).collect();

    let input_name = model.graph.value(input).name.clone();
    let nodes_before = model.graph.node_count();
    let kept: HashSet<NodeId> = order.iter().copied().collect();
    let lacking = target::lacking(&model.graph, options.target);
    let opset = model.opset();
    let e = Emit::new(std::mem::take(&mut model.graph), opset);
    let mut network = linearise(&e, &order, input, &values)?;
    network.fuse(&e, options.emit.iter().any(|q| q.is_of_switches()));
    let sample = sample_dims(&e, input, &layers);
    let samples = sample_places(&e, &network, input, &layers)?;
    let wanted = Wanted {
        rows: options.emit.iter().filter(|q| q.is_row()).count(),
        whole: options.emit.iter().any(|q| q.is_singular()),
    };
    let limits = &options.limits;
    let plan = plan::plan(&network, samples.as_deref(), &sample, &layers, wanted, limits)?;
    let notes =
        project_layers(&e, &network, (input, &order), &layers, (&sample, samples), &plan, options)?;
    let steps = summarise_steps(&e, &network, &plan);
    model.graph = e.finish()?;
    simplify::simplify(&mut model.graph, &kept);
    let blocks = blocks_of(&layers, &plan);
    if !blocks.is_empty() {
        model.graph = blocks::outline(std::mem::take(&mut model.graph), opset, &blocks)?;
        if wanted.whole {
            let graph = std::mem::take(&mut model.graph);
            model.graph = analyse_blocks(graph, opset, (&layers, &plan), &sample, options)?;
            simplify::simplify(&mut model.graph, &kept);
        }
    }
    target::lower(&mut model.graph, options.target, &kept);
    simplify::name_outputs(&mut model.graph, &kept);
    order_outputs(&mut model.graph, &layers);
    check_outputs(&model.graph, &layers, &options.emit)?;
    let summary = Summary {
        input: input_name,
        batch: layers.first().and_then(|layer| layer.input_batch),
        layers: summaries,
        plan,
        steps,
        nodes_before,
        nodes_after: model.graph.node_count(),
        lacking,
    };
    record(&mut model, &summary, options, &notes);
    Ok((model, summary))
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
    let row = row_bytes(graph, input, axis, options);
    let mut aliases = HashSet::new();
    wanted
        .into_iter()
        .map(|(alias, value, enters)| {
            let layer = resolve_layer(graph, path, alias, value, (axis, row), options)?;
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
    (axis, row): (Option<usize>, f64),
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
        None => default_neurons(&dims, row).map_err(at)?,
    };
    let alias = alias.unwrap_or_else(|| it.name.clone());
    Ok(Layer { alias, value, input_batch: axis, dims, neurons })
}

/// The bytes of one neuron's outputs of a row's size.
fn row_bytes(graph: &Graph, input: ValueId, axis: Option<usize>, options: &Options) -> f64 {
    let value = graph.value(input);
    let mut dims = value.dims().unwrap_or_default();
    if let Some(axis) = axis.filter(|&axis| axis < dims.len()) {
        dims.remove(axis);
    }
    let rows = options.emit.iter().filter(|q| q.is_row()).count().max(1);
    let bits = value.dtype.map_or(32, |dtype| dtype.bits());
    options.limits.assumed.elements(&dims) * rows as f64 * bits as f64 / 8.0
}

/// All neurons, where there are few enough; `row` is how many bytes the outputs of one take.
fn default_neurons(dims: &[crate::graph::Dim], row: f64) -> Result<Neurons> {
    let help =
        "choose with --neurons: all, top:K, a list such as 3,17,40..49 or [12,:,:], or runtime";
    match select::neuron_count(dims) {
        Some(count) if count <= select::MOST_BY_DEFAULT => Ok(Neurons::All),
        Some(count) => Err(Error::request(format!(
            "the layer has {count} neurons, more than are taken without being asked for: what they give \
             would be {} for each sample",
            plan::bytes((count as f64 * row) as u64)
        ))
        .help(help)),
        None => {
            Err(Error::request("the layer's number of neurons is only known at run time")
                .help(help))
        }
    }
}

/// Checks that the sizes assumed are of symbols that the input has.
fn check_assumed(dims: &[crate::graph::Dim], assumed: &plan::Assumed) -> Result<()> {
    let symbols: Vec<&str> = dims
        .iter()
        .filter_map(|dim| match dim {
            crate::graph::Dim::Var(symbol) => Some(symbol.name.as_str()),
            _ => None,
        })
        .collect();
    match assumed.0.keys().find(|name| !symbols.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(Error::request(format!(
            "'{name}' is no size that the input leaves open"
        ))
        .help(match symbols.as_slice() {
            [] => "the input's sizes are all known: leave out --assume".to_owned(),
            list => format!("--assume takes the symbols {}", list.join(", ")),
        })),
    }
}

#[cfg(test)]
mod tests;
