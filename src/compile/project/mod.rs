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
use crate::graph::Dim;
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
}

impl<'e> Projection<'e, '_> {
    /// Emits the outputs, without `N` where the whole input is one sample.
    pub fn emit(&self, e: &'e Emit) {
        e.scope(&self.layer.alias);
        let dtype = e.expr(self.layer.value).dtype();
        let analysis = self.analysis(e);
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
        let patterns = || Dim::Value(self.request.patterns as i32);
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
            Quantity::Patterns => (analysis?.patterns, maps(patterns())),
            Quantity::SingularValues => (analysis?.values, vec![patterns()]),
            Quantity::Mixing => (analysis?.mixing, vec![patterns(), self.chosen.count.clone()]),
            Quantity::Power => (analysis?.power?, Vec::new()),
            Quantity::Radius => (self.region?.radius, Vec::new()),
            Quantity::State => (self.state?, self.state?.dims()[1..].to_vec()),
        })
    }

    /// The singular pattern analysis, where it is wanted; an error of it is the builder's.
    fn analysis(&self, e: &'e Emit) -> Option<Analysis<'e>> {
        if !self.emission.iter().any(|q| q.is_singular()) {
            return None;
        }
        let icd = icd(self.rows.weights?, self.chosen.activity);
        let dims = icd.dims();
        let flat = icd.reshape(&[dims[0].clone(), dims[1].clone(), e.product(&dims[2..])]);
        let power = self.emission.contains(&Quantity::Power);
        match patterns::analyse(flat, self.request, power) {
            Ok(analysis) => Some(analysis),
            Err(error) => {
                let name = e.graph(|graph| graph.value(self.layer.value).name.clone());
                e.fail(error.value(name));
                None
            }
        }
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

#[cfg(test)]
mod tests;
