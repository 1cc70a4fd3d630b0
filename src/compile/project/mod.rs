//! From weights and bias to the outputs: centre, input component decomposition, singular patterns, and
//! their names.

mod eigen;
mod krylov;
mod norms;
mod patterns;
mod quantity;

use super::accumulate::{Accumulated, Chosen};
use super::build::{Emit, Expr};
use super::select::Layer;
use super::switches::Region;
use crate::graph::{Dim, Graph, ValueId};
use norms::{centre, icd};
use patterns::Analysis;
pub use patterns::{MOST_FOR_POWER, MOST_PATTERNS, Singular};
pub use quantity::Quantity;

/// The outputs of one layer that are wanted, and what they are made of.
pub struct Projection<'e, 'p> {
    /// The layer.
    pub layer: &'p Layer,
    /// Its chosen neurons.
    pub chosen: &'p Chosen<'e>,
    /// What was accumulated.
    pub rows: &'p Accumulated<'e>,
    /// The wanted quantities.
    pub emission: &'p [Quantity],
    /// What is asked of the singular pattern analysis.
    pub request: Singular,
    /// The state `[N, S]`, where it is wanted.
    pub state: Option<Expr<'e>>,
    /// How far the linear region reaches, where it is wanted.
    pub region: Option<Region<'e>>,
    /// The input as `[N, 1, x…]`, an axis of size 1 in place of the samples.
    pub input: Expr<'e>,
    /// The dimensions of one sample of the input.
    pub sample: &'p [Dim],
    /// Whether these are the neurons of a block, whose ν̂ are analysed when those of all blocks are there.
    pub in_block: bool,
}

/// What the ν̂ of a layer that comes in blocks are called until they are analysed.
const STACKED: &str = "stacked";

impl<'e> Projection<'e, '_> {
    /// Emits the outputs, without `N` where the whole input is one sample.
    pub fn emit(&self, e: &'e Emit) {
        e.scope(&self.layer.alias);
        let dtype = e.expr(self.layer.value).dtype();
        let analysis = match self.decomposition() {
            Some(icd) if self.in_block => {
                self.output(e, STACKED, icd.reshape(&self.by_sample(&icd.dims()[1..])));
                None
            }
            icd => icd.and_then(|icd| analysis(e, self.layer, icd, self.emission, self.request)),
        };
        for &quantity in self.emission {
            let Some((value, dims)) = self.value(e, quantity, analysis.as_ref()) else { continue };
            let value = value.reshape(&self.by_sample(&dims));
            let value = if value.dtype().is_float() { value.cast(dtype) } else { value };
            self.output(e, quantity.name(), value);
        }
        if let Some(region) = self.region {
            let scalar = self.by_sample(&[]);
            self.output(e, "radius-neuron", region.nearest.reshape(&scalar));
            self.output(e, "radius-beyond", region.beyond.reshape(&scalar).cast(dtype));
        }
        if let Some(indices) = self.chosen.indices.filter(|_| self.chosen.is_per_sample()) {
            let dims = self.by_sample(std::slice::from_ref(&self.chosen.count));
            self.output(e, "neurons", indices.reshape(&dims));
        }
    }

    /// Dimensions with the samples in front, where there is an axis of them.
    fn by_sample(&self, dims: &[Dim]) -> Vec<Dim> {
        let samples = self.layer.input_batch.map(|_| self.chosen.samples.clone());
        samples.into_iter().chain(dims.iter().cloned()).collect()
    }

    fn output(&self, e: &Emit, name: &str, value: Expr<'_>) {
        e.output(&format!("slp/{}/{name}", self.layer.alias), value);
    }

    /// A quantity, and its dimensions for one sample.
    fn value(
        &self,
        e: &'e Emit,
        quantity: Quantity,
        analysis: Option<&Analysis<'e>>,
    ) -> Option<(Expr<'e>, Vec<Dim>)> {
        let v = self.chosen.activity;
        let count = || vec![self.chosen.count.clone()];
        let maps = |lead: Dim| std::iter::once(lead).chain(self.sample.iter().cloned()).collect();
        Some(match quantity {
            Quantity::Activity => (v, count()),
            Quantity::Weights => (self.rows.weights?, maps(self.chosen.count.clone())),
            Quantity::Bias => (self.rows.bias?, count()),
            Quantity::Centre => {
                let centre = centre(self.rows.weights?, v, self.input);
                (centre, maps(self.chosen.count.clone()))
            }
            Quantity::Icd => (icd(self.rows.weights?, v), maps(self.chosen.count.clone())),
            Quantity::BiasTerms => {
                let terms = Dim::Value(self.rows.terms.len() as i32);
                (self.terms(e), vec![self.chosen.count.clone(), terms])
            }
            Quantity::Patterns | Quantity::SingularValues | Quantity::Mixing | Quantity::Power => {
                return analysis?.value(quantity, self.sample);
            }
            Quantity::Radius => (self.region?.radius, Vec::new()),
            Quantity::State => (self.state?, self.state?.dims()[1..].to_vec()),
        })
    }

    /// The ν̂ `[N, K, x…]`, where a singular pattern analysis of them is wanted.
    fn decomposition(&self) -> Option<Expr<'e>> {
        let wanted = self.emission.iter().any(|q| q.is_singular());
        self.rows.weights.filter(|_| wanted).map(|weights| icd(weights, self.chosen.activity))
    }

    fn terms(&self, e: &'e Emit) -> Expr<'e> {
        let (samples, count) = (self.chosen.samples.clone(), self.chosen.count.clone());
        let column = [samples.clone(), count.clone(), Dim::Value(1)];
        let terms: Vec<_> = self.rows.terms.iter().map(|(_, t)| t.reshape(&column)).collect();
        if terms.is_empty() {
            return Expr::zeros(e, self.chosen.activity.dtype(), &[samples, count, Dim::Value(0)]);
        }
        Expr::concat(&terms, 2)
    }
}

/// The singular pattern analysis of ν̂ `[N, K, x…]`; an error of it is the builder's.
fn analysis<'e>(
    e: &'e Emit,
    layer: &Layer,
    icd: Expr<'e>,
    emission: &[Quantity],
    request: Singular,
) -> Option<Analysis<'e>> {
    let dims = icd.dims();
    let flat = icd.reshape(&[dims[0].clone(), dims[1].clone(), e.product(&dims[2..])]);
    let power = emission.contains(&Quantity::Power);
    let name = || e.graph(|graph| graph.value(layer.value).name.clone());
    let analysis = patterns::analyse(flat, request, power);
    analysis.map_err(|error| e.fail(error.value(name()))).ok()
}

/// Analyses the ν̂ of a layer that came in blocks, now that all are there.
pub fn analyse_stacked(
    e: &Emit,
    layer: &Layer,
    sample: &[Dim],
    emission: &[Quantity],
    request: Singular,
) {
    let Some(rows) = e.graph_mut(|graph| take_stacked(graph, layer)) else { return };
    e.scope(&layer.alias);
    let dtype = e.expr(layer.value).dtype();
    let rows = e.expr(rows);
    let rows = if layer.input_batch.is_some() { rows } else { rows.unsqueeze(&[0]) };
    let Some(analysis) = analysis(e, layer, rows, emission, request) else { return };
    for &quantity in emission {
        let Some((value, dims)) = analysis.value(quantity, sample) else { continue };
        let samples = layer.input_batch.map(|_| rows.dims()[0].clone());
        let dims: Vec<Dim> = samples.into_iter().chain(dims).collect();
        let value = value.reshape(&dims).cast(dtype);
        e.output(&format!("slp/{}/{}", layer.alias, quantity.name()), value);
    }
}

/// Takes the stacked ν̂ out of the graph's outputs.
fn take_stacked(graph: &mut Graph, layer: &Layer) -> Option<ValueId> {
    let output = graph.find(&format!("slp/{}/{STACKED}", layer.alias))?;
    let copy = graph.producer(output)?;
    let source = graph.node(copy).input(0)?;
    graph.outputs.retain(|id| *id != output);
    graph.remove_node(copy);
    graph.remove_value(output);
    Some(source)
}

#[cfg(test)]
mod tests;
