//! From weights and bias to the outputs: centre, input component decomposition, and their names.

use super::accumulate::{Accumulated, Chosen};
use super::build::{Emit, Expr};
use super::select::Layer;
use crate::error::{Error, Result};
use crate::graph::Dim;

/// What can be emitted for a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quantity {
    /// v
    Activity,
    /// ŵ
    Weights,
    /// b̂
    Bias,
    /// ĉ (equation 7)
    Centre,
    /// ν̂ (equation 10)
    Icd,
    /// b̂ by operator.
    BiasTerms,
}

impl Quantity {
    /// The quantities that are emitted by default.
    pub const DEFAULT: [Self; 5] =
        [Self::Activity, Self::Weights, Self::Bias, Self::Centre, Self::Icd];

    const NAMES: [(&'static str, Self); 6] = [
        ("activity", Self::Activity),
        ("weights", Self::Weights),
        ("bias", Self::Bias),
        ("centre", Self::Centre),
        ("icd", Self::Icd),
        ("bias-terms", Self::BiasTerms),
    ];

    /// The last part of the output's name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, q)| *q == self).map_or("", |(name, _)| name)
    }

    /// Whether the rows of the Jacobian are needed for it.
    pub fn needs_weights(self) -> bool {
        matches!(self, Self::Weights | Self::Centre | Self::Icd)
    }
}

impl std::str::FromStr for Quantity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::NAMES.iter().find(|(name, _)| *name == text).map(|(_, q)| *q).ok_or_else(|| {
            let names: Vec<_> = Self::NAMES.iter().map(|(name, _)| *name).collect();
            Error::request(format!("'{text}' can't be emitted"))
                .help(format!("--emit takes a list of {}", names.join(", ")))
        })
    }
}

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
    /// The input as `[N, 1, x…]`, an axis of size 1 in place of the samples.
    pub input: Expr<'e>,
    /// The dimensions of one sample of the input.
    pub sample: &'p [Dim],
}

impl<'e> Projection<'e, '_> {
    /// Emits the outputs `[N, K]` and `[N, K, x…]`, without `N` where the whole input is one sample.
    pub fn emit(&self, e: &'e Emit) {
        e.scope(&self.layer.alias);
        let dtype = e.expr(self.layer.value).dtype();
        let (samples, count) = (self.chosen.samples.clone(), self.chosen.count.clone());
        let lead =
            if self.layer.input_batch.is_some() { vec![samples, count] } else { vec![count] };
        let maps: Vec<Dim> = lead.iter().chain(self.sample).cloned().collect();
        for &quantity in self.emission {
            let Some((value, per_input)) = self.value(e, quantity) else { continue };
            let mut dims = if per_input { maps.clone() } else { lead.clone() };
            if quantity == Quantity::BiasTerms {
                dims.push(Dim::Value(self.rows.terms.len() as i32));
            }
            self.output(e, quantity.name(), value.reshape(&dims).cast(dtype));
        }
        if let Some(indices) = self.chosen.indices.filter(|_| self.chosen.is_per_sample()) {
            self.output(e, "neurons", indices.reshape(&lead));
        }
    }

    fn output(&self, e: &Emit, name: &str, value: Expr<'_>) {
        e.output(&format!("slp/{}/{name}", self.layer.alias), value);
    }

    /// A quantity, and whether it has the input's axes.
    fn value(&self, e: &'e Emit, quantity: Quantity) -> Option<(Expr<'e>, bool)> {
        let v = self.chosen.activity;
        Some(match quantity {
            Quantity::Activity => (v, false),
            Quantity::Weights => (self.rows.weights?, true),
            Quantity::Bias => (self.rows.bias?, false),
            Quantity::Centre => (centre(self.rows.weights?, v, self.input), true),
            Quantity::Icd => (icd(self.rows.weights?, v), true),
            Quantity::BiasTerms => (self.terms(e), false),
        })
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

/// `ŵ = scale · unit` with `unit` of largest magnitude 1, and `‖unit‖²`; 1 and 1 where `ŵ = 0`.
struct Normed<'e> {
    unit: Expr<'e>,
    scale: Expr<'e>,
    square: Expr<'e>,
    norm: Expr<'e>,
}

/// Scaled by its largest magnitude before squaring, since |ŵ| near 1e-22 squares to zero in float32.
/// The norm is a product with ones, which runtimes sum more accurately than a reduction.
fn normed(weights: Expr<'_>) -> Normed<'_> {
    let dims = weights.dims();
    let axes: Vec<_> = (2..dims.len()).collect();
    let largest = match axes.is_empty() {
        true => weights.unary("Abs"),
        false => weights.unary("Abs").reduce("ReduceMax", &axes, true),
    };
    let none = largest.binary("Equal", largest.number(0.0));
    let one = weights.number(1.0);
    let scale = one.where_(none, largest);
    let unit = weights / scale;
    let square = unit * unit;
    let size = weights.e.product(&dims[2..]);
    let ones = Expr::filled(weights.e, weights.dtype(), 1.0, &[size.clone(), Dim::Value(1)]);
    let flat = square.reshape(&[dims[0].clone(), dims[1].clone(), size]);
    let sum = flat.binary("MatMul", ones).reshape(&largest.dims());
    Normed { unit, scale, square, norm: one.where_(none, sum) }
}

/// `[N, K]` as `[N, K, 1…]` of the rank of `like`.
fn spread<'e>(v: Expr<'e>, like: Expr<'e>) -> Expr<'e> {
    let mut dims = v.dims();
    dims.resize(like.rank(), Dim::Value(1));
    v.reshape(&dims)
}

/// `ν̂ = v·ŵ²/‖ŵ‖²` (equation 10), 0 where `ŵ = 0`.
fn icd<'e>(weights: Expr<'e>, v: Expr<'e>) -> Expr<'e> {
    let n = normed(weights);
    n.square * (spread(v, weights) / n.norm)
}

/// `ĉ = x − (v/‖ŵ‖²)·ŵ` (equation 7), `x` where `ŵ = 0`. The division by the scale comes last, so
/// that it overflows only where the centre itself does.
fn centre<'e>(weights: Expr<'e>, v: Expr<'e>, x: Expr<'e>) -> Expr<'e> {
    let n = normed(weights);
    x - n.unit * (spread(v, weights) / n.norm) / n.scale
}
