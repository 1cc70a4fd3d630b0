//! Singular pattern analysis (definitions 2 to 4) of the chosen neurons, in the graph itself.
//!
//! `V` has a column ν̂ for each neuron. Of its two sides, the neurons and the input, the smaller one has
//! the Gram matrix, whose eigenvectors are the singular vectors of that side. A Gram matrix squares the
//! singular values, and in float32 the small ones drown in rounding; so this is done twice: once turned
//! to the eigenvectors, the rows of `V` are nearly orthogonal, and their Gram matrix is accurate entry
//! by entry.
//!
//! A side of up to [`FULL_SIDE`] is decomposed as it is, a larger one within a Krylov basis, which
//! holds the patterns of largest singular value but not all of them.

use super::Quantity;
use super::eigen::{FULL, REFINED, eigenvectors};
use super::krylov::basis;
use crate::compile::build::Expr;
use crate::error::{Error, Result};
use crate::graph::{DataType, Dim, fixed};

/// The largest smaller side of `V` whose singular values are all computed for the patterns' sake.
const FULL_SIDE: i64 = 128;
/// The largest smaller side of `V` whose representational power can be told: the time of the rotations
/// grows with its third power, and is a second or two here.
pub const MOST_FOR_POWER: i64 = 256;
/// The most patterns.
pub const MOST_PATTERNS: usize = 64;

/// What is asked of the analysis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Singular {
    /// The number of patterns, R.
    pub patterns: usize,
    /// γ of the representational power.
    pub gamma: f64,
}

impl Default for Singular {
    fn default() -> Self {
        Self { patterns: 3, gamma: 0.9 }
    }
}

impl Singular {
    /// Checks the numbers.
    ///
    /// # Errors
    /// When they make no sense, or there are more patterns than [`MOST_PATTERNS`].
    pub fn check(&self) -> Result<()> {
        if !(1..=MOST_PATTERNS).contains(&self.patterns) {
            return Err(Error::request(format!("{} patterns can't be emitted", self.patterns))
                .help(format!("choose from 1 to {MOST_PATTERNS}")));
        }
        if !(self.gamma > 0.0 && self.gamma <= 1.0) {
            return Err(Error::request(format!("γ is {}, not a share", self.gamma))
                .help("choose a number above 0 and up to 1, such as 0.9"));
        }
        Ok(())
    }
}

/// The analysis of `V` by sample; `R` patterns, of which those beyond the rank of `V` are zero.
pub(super) struct Analysis<'e> {
    /// u, `[N, R, d]`, in falling order of singular values.
    pub patterns: Expr<'e>,
    /// s, `[N, R]`.
    pub values: Expr<'e>,
    /// α, `[N, R, K]`.
    pub mixing: Expr<'e>,
    /// R_γ, `[N]`, where all singular values are there.
    pub power: Option<Expr<'e>>,
}

impl<'e> Analysis<'e> {
    /// A quantity and its dimensions for one sample, where the analysis gives it.
    pub fn value(&self, quantity: Quantity, sample: &[Dim]) -> Option<(Expr<'e>, Vec<Dim>)> {
        let dims = self.mixing.dims();
        let (patterns, neurons) = (dims[1].clone(), dims[2].clone());
        Some(match quantity {
            Quantity::Patterns => (self.patterns, [&[patterns], sample].concat()),
            Quantity::SingularValues => (self.values, vec![patterns]),
            Quantity::Mixing => (self.mixing, vec![patterns, neurons]),
            Quantity::Power => (self.power?, Vec::new()),
            _ => return None,
        })
    }
}

/// `V` turned to its singular vectors, scaled.
struct Turned<'e> {
    /// The singular vectors of the smaller side, `[N, m, n]` orthonormal rows, or zero.
    left: Expr<'e>,
    /// `s` times those of the other side, `[N, m, …]`.
    right: Expr<'e>,
}

/// Analyses the rows ν̂ `[N, K, d]`.
///
/// # Errors
/// When the power is wanted and the smaller side of `V` is unknown or above [`MOST_FOR_POWER`].
pub(super) fn analyse<'e>(icd: Expr<'e>, request: Singular, power: bool) -> Result<Analysis<'e>> {
    let dims = icd.dims();
    let (neurons, inputs) = (fixed(&dims[1]), fixed(&dims[2]));
    let by_neuron = neurons.zip(inputs).is_none_or(|(k, d)| k <= d);
    let side = neurons.zip(inputs).map(|(k, d)| k.min(d));
    let most = if power { MOST_FOR_POWER } else { FULL_SIDE };
    let full = side.filter(|&side| side <= most && side > 0);
    if power && full.is_none() {
        return Err(too_large(side));
    }
    let (rows, scale) = scaled(icd);
    let matrix = if by_neuron { rows } else { rows.transpose(&[0, 2, 1]) };
    let turned = match full {
        Some(side) => whole(matrix, side as usize),
        None => within(matrix, request.patterns),
    };
    let values = lengths(turned.right);
    let count = fixed(&values.dims()[1]).unwrap_or(1) as usize;
    let taken = request.patterns.min(count);
    let (values, places) = largest(values, taken);
    let picked = |x: Expr<'e>| pick(places, count, x);
    let floor = values.slice(1, &Dim::Value(0), &Dim::Value(1)) * noise_floor(icd.dtype());
    let there = values.binary("Greater", floor);
    let vectors = if by_neuron {
        let one = values.number(1.0);
        picked(turned.right) / values.where_(there, one).unsqueeze(&[2])
    } else {
        picked(turned.left)
    };
    let patterns = vectors * (there.indicator(icd.dtype()).unsqueeze(&[2]) * signs(vectors));
    let mixing = rows.binary("MatMul", patterns.transpose(&[0, 2, 1])).transpose(&[0, 2, 1]);
    let values = values * there.indicator(icd.dtype());
    let padded = |x: Expr<'e>| pad(x, request.patterns - taken);
    Ok(Analysis {
        patterns: padded(patterns),
        values: padded(values * scale.reshape(&[dims[0].clone(), Dim::Value(1)])),
        mixing: padded(mixing * scale),
        power: power.then(|| representational_power(lengths(turned.right), request.gamma)),
    })
}

fn too_large(side: Option<i64>) -> Error {
    let what = match side {
        Some(side) => format!(
            "the power of min(d, K) = {side} singular values is too much for a graph, which takes up \
             to {MOST_FOR_POWER}"
        ),
        None => "the power needs numbers of neurons and inputs known beforehand".to_owned(),
    };
    Error::request(what).help("leave out power and let slpc spa or slpc capacity compute it")
}

/// Singular values at most this times the largest are rounding.
fn noise_floor(dtype: DataType) -> f64 {
    if dtype == DataType::F64 { 7e-15 } else { 4e-6 }
}

/// The rows with largest magnitude 1 in each sample, and what they were divided by, `[N, 1, 1]`.
fn scaled(rows: Expr<'_>) -> (Expr<'_>, Expr<'_>) {
    let largest = rows.unary("Abs").reduce("ReduceMax", &[1, 2], true);
    let none = largest.binary("Equal", largest.number(0.0));
    let scale = rows.number(1.0).where_(none, largest);
    (rows / scale, scale)
}

/// Every singular vector of `[N, side, ..]`.
fn whole(matrix: Expr<'_>, side: usize) -> Turned<'_> {
    let m = side + side % 2;
    let own = gram(matrix);
    let even = match m - side {
        0 => own,
        more => pad(pad(own, more).transpose(&[0, 2, 1]), more),
    };
    let turn = eigenvectors(even, m, FULL);
    let left = turn.slice(2, &Dim::Value(0), &Dim::Value(side as i32));
    refined(Turned { left, right: left.binary("MatMul", matrix) }, m)
}

/// The largest singular vectors of a large matrix.
fn within(matrix: Expr<'_>, patterns: usize) -> Turned<'_> {
    let m = (FULL_SIDE as usize).max(8 * patterns);
    let basis = basis(matrix, patterns, m);
    let right = basis.binary("MatMul", matrix);
    let turn = eigenvectors(gram(right), m, FULL);
    refined(Turned { left: turn, right }.turned_into(basis), m)
}

impl<'e> Turned<'e> {
    /// `left`, a turn of orthonormal rows, applied to `rows` and to what is on the right.
    fn turned_into(self, rows: Expr<'e>) -> Self {
        Self {
            left: self.left.binary("MatMul", rows),
            right: self.left.binary("MatMul", self.right),
        }
    }

    /// Divided by the lengths of the left vectors, which are 1 but for the rounding of many rotations.
    fn normalised(self) -> Self {
        let length = lengths(self.left);
        let (zero, one) = (length.number(0.5), length.number(1.0));
        let share = one.where_(length.binary("Less", zero), length).unsqueeze(&[2]);
        Self { left: self.left / share, right: self.right / share }
    }
}

/// The second turn, from vectors that are singular but for rounding.
fn refined(nearly: Turned<'_>, m: usize) -> Turned<'_> {
    let Turned { left, right } = nearly.normalised();
    let turn = eigenvectors(gram(right), m, REFINED);
    Turned { left: turn, right }.turned_into(left).normalised()
}

/// `M Mᵀ`.
fn gram(matrix: Expr<'_>) -> Expr<'_> {
    matrix.binary("MatMul", matrix.transpose(&[0, 2, 1]))
}

/// A product with ones, which runtimes sum more accurately than a reduction: `[.., n]` to `[..]`.
fn sum(x: Expr<'_>) -> Expr<'_> {
    let dims = x.dims();
    let (last, rest) = (dims[dims.len() - 1].clone(), &dims[..dims.len() - 1]);
    let ones = Expr::filled(x.e, x.dtype(), 1.0, &[last, Dim::Value(1)]);
    x.binary("MatMul", ones).reshape(rest)
}

/// The norms of rows `[N, m, n]`.
fn lengths(rows: Expr<'_>) -> Expr<'_> {
    sum(rows * rows).unary("Sqrt")
}

/// The `count` largest of `[N, m]` in falling order, and where they are.
fn largest(values: Expr<'_>, count: usize) -> (Expr<'_>, Expr<'_>) {
    let e = values.e;
    let dims = [values.dims()[0].clone(), Dim::Value(count as i32)];
    let count = e.ints(&[count as i64]);
    let top = e.node("TopK", &[Some(values.id), Some(count.id)], &[("axis", 1.into())], 2);
    (top[0].assume(&dims), top[1].assume(&dims))
}

/// The rows of `[N, m, n]` at `places`, `[N, R]`.
fn pick<'e>(places: Expr<'e>, m: usize, rows: Expr<'e>) -> Expr<'e> {
    let all = rows.e.range(&Dim::Value(m as i32));
    let chosen = places.unsqueeze(&[2]).binary("Equal", all);
    chosen.indicator(rows.dtype()).binary("MatMul", rows)
}

/// `more` entries of zeros behind those of axis 1.
fn pad(x: Expr<'_>, more: usize) -> Expr<'_> {
    if more == 0 {
        return x;
    }
    let mut dims = x.dims();
    dims[1] = Dim::Value(more as i32);
    Expr::concat(&[x, Expr::zeros(x.e, x.dtype(), &dims)], 1)
}

/// The share of the magnitudes of a pattern's entries up to which its sum is within rounding of 0.
const BALANCED: f64 = 1e-5;
/// The share of the largest magnitude from which on an entry is as large as that but for rounding.
const LARGEST: f64 = 1.0 - 1e-6;

/// The sign of each pattern `[N, R, 1]`: its sum is not negative; where the sum is within rounding of
/// 0, the first of its entries of largest magnitude is positive.
fn signs(patterns: Expr<'_>) -> Expr<'_> {
    let magnitude = patterns.unary("Abs");
    let (total, size) = (sum(patterns).unsqueeze(&[2]), sum(magnitude).unsqueeze(&[2]));
    let peak = magnitude.reduce("ReduceMax", &[2], true) * LARGEST;
    let peaks = magnitude.binary("GreaterOrEqual", peak).indicator(patterns.dtype());
    let first = patterns.e.op("ArgMax", &[peaks], &[("axis", 2.into()), ("keepdims", 1.into())]);
    let deciding = patterns.e.op("GatherElements", &[patterns, first], &[("axis", 2.into())]);
    let undecided = total.unary("Abs").binary("LessOrEqual", size * BALANCED);
    let negative = deciding.where_(undecided, total).binary("Less", total.number(0.0));
    total.number(-1.0).where_(negative, total.number(1.0))
}

/// R_γ of singular values `[N, m]` (definition 4): the smallest k whose k largest sum to γ of all; 0
/// where all are zero.
fn representational_power(values: Expr<'_>, gamma: f64) -> Expr<'_> {
    let (e, dtype) = (values.e, values.dtype());
    let slack = if dtype == DataType::F64 { 1e-9 } else { 1e-6 };
    let count = fixed(&values.dims()[1]).unwrap_or(1) as usize;
    let (sorted, _) = largest(values, count);
    let reached = e.op("CumSum", &[sorted, e.int(1)], &[]);
    let total = sum(sorted).unsqueeze(&[1]);
    let short = reached.binary("Less", total * (gamma - slack)).indicator(dtype);
    let some = total.binary("Greater", total.number(0.0)).indicator(dtype);
    sum(short) + some.reshape(&values.dims()[..1])
}
