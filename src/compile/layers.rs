//! From the plan to the outputs of every layer.

use std::collections::{HashMap, HashSet};

use super::Options;
use super::accumulate::{self, Target, Task};
use super::blocks::Block;
use super::build::{Emit, Expr};
use super::linear::Samples;
use super::linearise::Linearised;
use super::plan::{self, Direction, Plan};
use super::project::{self, Projection, Quantity};
use super::select::Layer;
use super::summary::Notes;
use super::switches::{self, Switch};
use crate::error::{Error, Result};
use crate::graph::{Dim, Graph, NodeId, ValueId, fixed};

/// Emits rows, biases and outputs of every layer.
pub(super) fn project_layers(
    e: &Emit,
    network: &Linearised,
    way: (ValueId, &[NodeId]),
    layers: &[Layer],
    (sample, samples): (&[Dim], Option<Vec<Option<Samples>>>),
    plan: &Plan,
    options: &Options,
) -> Result<Vec<Notes>> {
    let places = samples.as_deref();
    let blocks = blocks_of(layers, plan);
    let block_of = |layer: &Layer| blocks.iter().find(|block| block.prefix == prefix(layer));
    let all = layers.iter().enumerate();
    let targets = all.map(|(i, layer)| {
        let (var, sight) = (network.layers[i], &plan.sights[i]);
        let place = places.and_then(|places| places[var.0].as_ref());
        let chosen = accumulate::choose(e, layer, place);
        let block = block_of(layer).map(|block| chosen.block(e, block));
        let direction = plan.directions[i];
        Target { layer, var, direction, chosen: block.unwrap_or(chosen), sight }
    });
    // Blocks of different layers have nothing in common; the other layers of a direction share a sweep.
    let (alone, together): (Vec<_>, Vec<_>) =
        targets.partition(|target| block_of(target.layer).is_some());
    let (forward, reverse): (Vec<_>, Vec<_>) =
        together.into_iter().partition(|target| target.direction == Direction::Forward);
    let alone = alone.into_iter().map(|target| (vec![target], true));
    let groups = alone.chain([(forward, false), (reverse, false)]);
    let weights = options.emit.iter().any(|q| q.needs_weights());
    let ahead = match plan.forward().next() {
        Some(_) if weights => sweep(e, network, places, plan),
        _ => Vec::new(),
    };
    let mut notes = HashMap::new();
    for (targets, in_block) in groups.filter(|(targets, _)| !targets.is_empty()) {
        let task = Task {
            e,
            network,
            targets: &targets,
            samples: places,
            colours: plan.colours.as_ref(),
            tangents: &ahead,
            weights,
            bias: options.emit.contains(&Quantity::Bias),
            bias_terms: options.emit.contains(&Quantity::BiasTerms),
        };
        let project = || project_together(&task, way, sample, in_block, options);
        let found = if in_block { e.apart(project) } else { project() }?;
        for (target, of) in targets.iter().zip(found) {
            notes.insert(target.layer.alias.clone(), of);
        }
    }
    e.check()?;
    Ok(layers.iter().filter_map(|layer| notes.remove(&layer.alias)).collect())
}

/// The tangents of the variables; of the layers alone where seeds are carried in blocks.
fn sweep<'e>(
    e: &'e Emit,
    network: &Linearised,
    samples: Option<&[Option<Samples>]>,
    plan: &Plan,
) -> Vec<Option<Expr<'e>>> {
    let block = block_of_seeds(plan);
    let tangents = |block| accumulate::tangents(e, network, samples, plan.colours.as_ref(), block);
    let Some(block) = &block else { return tangents(None) };
    let part = e.apart(|| tangents(Some(block)));
    let mut stacked = vec![None; part.len()];
    for layer in plan.forward().map(|layer| network.layers[layer]) {
        if stacked[layer.0].is_none() {
            let name = format!("tangents/{}", layer.0);
            stacked[layer.0] = part[layer.0].map(|part| block.stacked(e, &name, part));
        }
    }
    stacked
}

/// The seeds that are carried forward in blocks.
fn block_of_seeds(plan: &Plan) -> Option<Block> {
    Some(Block::of_seeds(plan.forward_seeds?, plan.sweep?))
}

/// Emits the layers of one sweep, which have the same direction.
fn project_together(
    task: &Task,
    way: (ValueId, &[NodeId]),
    sample: &[Dim],
    in_block: bool,
    options: &Options,
) -> Result<Vec<Notes>> {
    let e = task.e;
    let accumulated = accumulate::accumulate(task);
    let switches = find_switches(task, way, &options.emit)?;
    let tangents = match options.emit.contains(&Quantity::Radius) {
        true => switches::sweep(task, &switches, sample, &options.limits)?,
        false => Vec::new(),
    };
    let wanted = |quantity| options.emit.contains(&quantity);
    for ((target, rows), found) in task.targets.iter().zip(&accumulated).zip(&switches) {
        let (layer, chosen) = (target.layer, &target.chosen);
        let state = wanted(Quantity::State).then(|| switches::state(e, found)).transpose();
        let state = state.map_err(|error| named(e, layer, error))?;
        let region = wanted(Quantity::Radius).then(|| {
            switches::radius(e, found, &tangents, (&chosen.samples, chosen.activity.dtype()))
        });
        e.scope(&layer.alias);
        let (input, emission) = (task.input(way.0), options.emit.as_slice());
        let request = options.singular;
        Projection {
            layer,
            chosen,
            rows,
            emission,
            request,
            state,
            region,
            input,
            sample,
            in_block,
        }
        .emit(e);
    }
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
    let found = task.targets.iter().map(|target| {
        if !exact && !emit.contains(&Quantity::State) {
            return Ok(Vec::new());
        }
        let way = (input, target.layer.value);
        switches::find(task.e, order, task.network, way, task.samples, exact)
    });
    found.collect()
}

/// An error that names the layer's value.
fn named(e: &Emit, layer: &Layer, error: Error) -> Error {
    error.value(e.graph(|graph| graph.value(layer.value).name.clone()))
}

/// The seeds and the layers' neurons that come in blocks, seeds first.
pub(super) fn blocks_of(layers: &[Layer], plan: &Plan) -> Vec<Block> {
    let pairs = layers.iter().zip(&plan.blocks);
    let of_layers = pairs.filter_map(|(layer, block)| {
        let (size, count) = ((*block)?, plan::chosen_count(layer)?);
        let axis = usize::from(layer.input_batch.is_some());
        Some(Block { prefix: prefix(layer), count, size, axis })
    });
    block_of_seeds(plan).into_iter().chain(of_layers).collect()
}

/// Adds the singular pattern analysis of layers in blocks, whose ν̂ a Scan has stacked by now.
///
/// # Errors
/// When it can't be emitted.
pub(super) fn analyse_blocks(
    graph: Graph,
    opset: i64,
    (layers, plan): (&[Layer], &Plan),
    sample: &[Dim],
    options: &Options,
) -> Result<Graph> {
    let e = Emit::new(graph, opset);
    for (layer, _) in layers.iter().zip(&plan.blocks).filter(|(_, block)| block.is_some()) {
        project::analyse_stacked(&e, layer, sample, &options.emit, options.singular);
    }
    e.finish()
}

/// The model's own outputs first, then those of each layer.
pub(super) fn order_outputs(graph: &mut Graph, layers: &[Layer]) {
    let mut outputs = std::mem::take(&mut graph.outputs);
    let place = |id: &ValueId| {
        let name = &graph.value(*id).name;
        let is_of = |layer: &Layer| {
            name.strip_prefix(&prefix(layer)).is_some_and(|quantity| !quantity.contains('/'))
        };
        layers.iter().position(is_of).map_or(0, |i| i + 1)
    };
    outputs.sort_by_cached_key(place);
    graph.outputs = outputs;
}

/// Checks that every quantity of every layer has its output.
pub(super) fn check_outputs(graph: &Graph, layers: &[Layer], emit: &[Quantity]) -> Result<()> {
    let names: HashSet<&str> =
        graph.outputs.iter().map(|&id| graph.value(id).name.as_str()).collect();
    for layer in layers {
        let wanted = emit.iter().map(|quantity| format!("{}{}", prefix(layer), quantity.name()));
        if let Some(missing) = wanted.into_iter().find(|name| !names.contains(name.as_str())) {
            return Err(Error::internal("a quantity was not computed").value(missing));
        }
    }
    Ok(())
}

/// The beginning of the names of a layer's outputs.
fn prefix(layer: &Layer) -> String {
    format!("slp/{}/", layer.alias)
}
