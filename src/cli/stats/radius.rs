//! The exact radius of the linear region around each sample.

use ndarray::{Array2, Axis};
use serde_json::{Value, json};

use super::{Counted, Pooling};
use crate::analyse::{Crossing, Moments, nearest_switch};
use crate::cli::study::{Common, Study, progress};
use crate::cli::sweep::Sweep;
use crate::compile::LayerRequest;
use crate::compile::plan::bytes;
use crate::compile::select;
use crate::error::{Error, Result};

/// The nearest border of one sample's region.
#[derive(Clone, Debug)]
pub struct Radius {
    /// Its distance.
    pub distance: f64,
    /// The layer whose state changes there.
    pub layer: String,
    /// The neuron that would switch, or that would win instead.
    pub neuron: usize,
    /// Whether it is another winner of a pooling window that changes the state.
    pub pooling: bool,
}

/// Operators that do not bend, and those whose borders are looked at.
const KNOWN: &[&str] = &[
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Concat",
    "Conv",
    "ConvTranspose",
    "DepthToSpace",
    "Div",
    "Dropout",
    "Expand",
    "Flatten",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Identity",
    "MatMul",
    "MaxPool",
    "Mean",
    "Mul",
    "Neg",
    "Pad",
    "ReduceMean",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Sub",
    "Sum",
    "Transpose",
    "Unsqueeze",
];

/// The nearest border for each sample: least |v| / ‖ŵ‖ over hidden neurons, and margin / ‖Δŵ‖ over
/// the pairs in each pooling window; samples without any border are left out.
///
/// # Errors
/// When something else bends, or the rows do not fit into the memory.
pub fn radii(
    study: &Study,
    common: &Common,
    layers: &[Counted],
    poolings: &[Pooling],
) -> Result<Vec<Radius>> {
    check(study, common, layers, poolings).map_err(|e| study.at(e))?;
    let mut nearest: Vec<Option<Radius>> = vec![None; study.count()];
    let bar = progress(common.printing, study.count() * layers.len());
    for layer in layers {
        let request = LayerRequest { alias: None, what: layer.name.clone() };
        let mut sweep = Sweep::new(study, common, request, None)?;
        let pooling = layer.pooling.and_then(|index| poolings.get(index));
        if pooling.is_some() {
            fits(study, &sweep)?;
        }
        let (mut weights, mut activity) = empty(sweep.components());
        sweep.each(study, &study.data, |piece| {
            let before = activity.len();
            let crossing = piece.rows.nearest_crossing();
            let mut found = vec![(crossing, before, false)];
            activity.extend(piece.rows.activity());
            if let Some(pooling) = pooling {
                let lost = |e: ndarray::ShapeError| Error::internal(e.to_string());
                weights.append(Axis(0), piece.rows.weights().view()).map_err(lost)?;
                if piece.last {
                    let passes = |&v: &f64| pooling.input == layer.name || v > 0.0;
                    let passed: Vec<bool> = activity.iter().map(passes).collect();
                    let values: Vec<f64> = activity
                        .iter()
                        .zip(&passed)
                        .map(|(&v, &p)| if p { v } else { 0.0 })
                        .collect();
                    let windows = &pooling.windows;
                    let switch = nearest_switch(weights.view(), &values, &passed, windows);
                    found.push((switch, 0, true));
                }
            }
            for (crossing, offset, pooling) in found {
                let Some(Crossing { distance, neuron }) = crossing else { continue };
                let Some(place) = nearest.get_mut(piece.sample) else { continue };
                if place.as_ref().is_none_or(|old| distance < old.distance) {
                    let (layer, neuron) = (layer.name.clone(), neuron + offset);
                    *place = Some(Radius { distance, layer, neuron, pooling });
                }
            }
            if piece.last {
                (weights, activity) = empty(weights.ncols());
                bar.inc(1);
            }
            Ok(())
        })?;
    }
    bar.finish_and_clear();
    Ok(nearest.into_iter().flatten().collect())
}

fn empty(components: usize) -> (Array2<f64>, Vec<f64>) {
    (Array2::zeros((0, components)), Vec::new())
}

/// Refuses rows that do not fit into the memory together.
fn fits(study: &Study, sweep: &Sweep) -> Result<()> {
    let need = (sweep.neurons as u64).saturating_mul(sweep.components() as u64).saturating_mul(8);
    if need <= study.memory {
        return Ok(());
    }
    Err(study.at(Error::request(format!(
        "the pairs of its pooling windows need all rows at once, {}, more than --memory {}",
        bytes(need),
        bytes(study.memory)
    ))
    .value(&sweep.layer)
    .help(format!("--memory {need} would do"))))
}

/// Refuses models in which something else than ReLUs and poolings bends, or a pooling takes values
/// that are not a layer's.
fn check(study: &Study, common: &Common, layers: &[Counted], poolings: &[Pooling]) -> Result<()> {
    let graph = &study.prepared.graph;
    let input = select::input(graph, common.input.as_deref())?;
    let path = select::path(graph, &graph.topological()?, input);
    let (logits, _) = select::logits(graph, &path)?;
    let wanted = graph.ancestors([logits]);
    let help = "leave out --radius";
    for &id in path.nodes.iter().filter(|&&id| wanted.has_node(id)) {
        let node = graph.node(id);
        if !node.is_standard() || !KNOWN.contains(&node.op.as_str()) {
            let what = "the radius of a linear region is known for Relu and max pooling alone";
            return Err(graph.at(id, Error::unsupported(what).help(help)));
        }
    }
    if !select::is_exact(graph, &path, logits) {
        return Err(Error::unsupported("the model is not piecewise linear").help(help));
    }
    let apart = |index: usize| layers.iter().all(|layer| layer.pooling != Some(index));
    match poolings.iter().enumerate().find(|(index, _)| apart(*index)) {
        Some((_, pooling)) => Err(Error::unsupported(
            "the radius of a linear region is known where a max pooling follows a layer or its Relu",
        )
        .value(&pooling.input)
        .help(help)),
        None => Ok(()),
    }
}

/// A line for people.
pub fn summary(radii: &[Radius]) -> String {
    let moments: Moments = radii.iter().map(|radius| radius.distance).collect();
    let summary = moments.summary();
    let least = radii.iter().min_by(|a, b| a.distance.total_cmp(&b.distance));
    let Some(least) = least else { return "no state ever changes\n".to_owned() };
    format!(
        "radius of the linear region: {:.3e} ± {:.3e}, least {:.3e} ({}{} {})\n",
        summary.mean,
        summary.sd,
        least.distance,
        least.layer,
        if least.pooling { ", winner" } else { ", neuron" },
        least.neuron
    )
}

/// The same for programs, an entry a sample.
pub fn as_json(radii: &[Radius]) -> Value {
    let entry = |radius: &Radius| {
        json!({
            "distance": radius.distance,
            "layer": radius.layer,
            "neuron": radius.neuron,
            "pooling": radius.pooling,
        })
    };
    Value::Array(radii.iter().map(entry).collect())
}
