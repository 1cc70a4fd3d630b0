//! The exact radius of the linear region around each sample.

use indicatif::ProgressBar;
use ndarray::{Array2, Axis};
use serde_json::{Value, json};

use super::{Counted, Pooling};
use crate::analyse::{Borders, Crossing, Moments, overtakings};
use crate::cli::study::{Common, Study, progress};
use crate::cli::sweep::Sweep;
use crate::compile::LayerRequest;
use crate::compile::plan::bytes;
use crate::compile::select;
use crate::error::{Error, Result};

/// The nearest borders of one sample's region; none where no state ever changes.
#[derive(Clone, Debug, Default)]
pub struct Radius {
    /// The nearest of all, at distance 0 where equal candidates of a pooling move apart.
    pub nearest: Option<Border>,
    /// The nearest of those on which the sample does not lie.
    pub beyond: Option<Border>,
}

/// Where the state changes.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Border {
    /// Its distance.
    pub distance: f64,
    /// The layer, or the value that enters a pooling, whose state changes there.
    pub layer: String,
    /// The neuron that would switch, or that would win instead.
    pub neuron: usize,
    /// Whether it is another winner of a pooling window that changes the state.
    pub pooling: bool,
}

impl Radius {
    /// Takes in borders whose neurons are counted from `first`.
    fn see(&mut self, borders: Borders, layer: &str, first: usize, pooling: bool) {
        let pairs = [(&mut self.nearest, borders.nearest), (&mut self.beyond, borders.beyond)];
        for (place, found) in pairs {
            let Some(Crossing { distance, neuron }) = found else { continue };
            if place.as_ref().is_none_or(|old| distance < old.distance) {
                let (layer, neuron) = (layer.to_owned(), neuron + first);
                *place = Some(Border { distance, layer, neuron, pooling });
            }
        }
    }
}

/// Neurons whose rows are looked at.
struct Looked<'a> {
    value: &'a str,
    /// Whether they switch themselves.
    switches: bool,
    /// The pooling that they enter.
    pooling: Option<&'a Pooling>,
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

/// The nearest borders for each sample: least |v| / ‖ŵ‖ over hidden neurons, and margin / ‖Δŵ‖ over
/// the pairs in each pooling window.
///
/// # Errors
/// When something else bends, or the rows do not fit into the memory.
pub fn radii(
    study: &Study,
    common: &Common,
    layers: &[Counted],
    poolings: &[Pooling],
) -> Result<Vec<Radius>> {
    check(study, common).map_err(|e| study.at(e))?;
    let of_layer = |layer: &'_ Counted| layer.pooling.and_then(|index| poolings.get(index));
    let apart = |index: usize| layers.iter().all(|layer| layer.pooling != Some(index));
    let mut all: Vec<Looked<'_>> = layers
        .iter()
        .map(|layer| Looked { value: &layer.name, switches: true, pooling: of_layer(layer) })
        .collect();
    // What enters the other poolings comes from several layers, or through other operators.
    all.extend(poolings.iter().enumerate().filter(|&(index, _)| apart(index)).map(
        |(_, pooling)| Looked { value: &pooling.input, switches: false, pooling: Some(pooling) },
    ));
    let mut radii = vec![Radius::default(); study.count()];
    let bar = progress(common.printing, study.count() * all.len());
    for looked in &all {
        look(study, common, looked, &mut radii, &bar)?;
    }
    bar.finish_and_clear();
    Ok(radii)
}

/// Takes the borders of some neurons into the radii, by sample.
fn look(
    study: &Study,
    common: &Common,
    looked: &Looked<'_>,
    radii: &mut [Radius],
    bar: &ProgressBar,
) -> Result<()> {
    let request = LayerRequest { alias: None, what: looked.value.to_owned() };
    let mut sweep = Sweep::new(study, common, request, None)?;
    if looked.pooling.is_some() {
        fits(study, &sweep)?;
    }
    let (mut weights, mut activity) = empty(sweep.components());
    sweep.each_sample(study, |piece| {
        let Some(radius) = radii.get_mut(piece.sample) else { return Ok(()) };
        if looked.switches {
            radius.see(piece.rows.crossings(), looked.value, activity.len(), false);
        }
        activity.extend(piece.rows.activity());
        if let Some(pooling) = looked.pooling {
            let lost = |e: ndarray::ShapeError| Error::internal(e.to_string());
            weights.append(Axis(0), piece.rows.weights().view()).map_err(lost)?;
            if piece.last {
                let passes = |&v: &f64| pooling.input == looked.value || v > 0.0;
                let passed: Vec<bool> = activity.iter().map(passes).collect();
                let values: Vec<f64> =
                    activity.iter().zip(&passed).map(|(&v, &p)| if p { v } else { 0.0 }).collect();
                let found = overtakings(weights.view(), &values, &passed, &pooling.windows);
                radius.see(found, looked.value, 0, true);
            }
        }
        if piece.last {
            (weights, activity) = empty(weights.ncols());
            bar.inc(1);
        }
        Ok(())
    })
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

/// Refuses models in which something else than ReLUs and poolings bends.
fn check(study: &Study, common: &Common) -> Result<()> {
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
    match select::is_exact(graph, &path, logits) {
        true => Ok(()),
        false => Err(Error::unsupported("the model is not piecewise linear").help(help)),
    }
}

/// Lines for people.
pub fn summary(radii: &[Radius]) -> String {
    let nearest: Vec<&Border> = radii.iter().filter_map(|radius| radius.nearest.as_ref()).collect();
    let beyond: Vec<&Border> = radii.iter().filter_map(|radius| radius.beyond.as_ref()).collect();
    let tied = nearest.iter().filter(|border| border.distance == 0.0).count();
    let mut text = line("radius of the linear region", &nearest);
    if tied > 0 {
        let what = format!("{tied} of {} samples lie on a border; the nearest other", radii.len());
        text += &line(&what, &beyond);
    }
    text
}

fn line(what: &str, borders: &[&Border]) -> String {
    let moments: Moments = borders.iter().map(|border| border.distance).collect();
    let summary = moments.summary();
    let least = borders.iter().min_by(|a, b| a.distance.total_cmp(&b.distance));
    let Some(least) = least else { return format!("{what}: no state ever changes\n") };
    let kind = if least.pooling { ", winner" } else { ", neuron" };
    format!(
        "{what}: {:.3e} ± {:.3e}, least {:.3e} ({}{kind} {})\n",
        summary.mean, summary.sd, least.distance, least.layer, least.neuron
    )
}

/// The same for programs, an entry a sample: the nearest border, and `beyond` the nearest of those
/// on which the sample does not lie; null where there is none.
pub fn as_json(radii: &[Radius]) -> Value {
    let entry = |radius: &Radius| {
        let mut value = json!(radius.nearest);
        if let Some(object) = value.as_object_mut() {
            object.insert("beyond".to_owned(), json!(radius.beyond));
        }
        value
    };
    Value::Array(radii.iter().map(entry).collect())
}
