//! What follows from the rows alone: the input component decomposition and the centre.

use crate::compile::build::Expr;
use crate::graph::{DataType, Dim};

/// `ŵ = scale · unit` with `unit` of largest magnitude 1, and `‖unit‖²`; 1 and 1 where `ŵ = 0`.
struct Normed<'e> {
    unit: Expr<'e>,
    scale: Expr<'e>,
    square: Expr<'e>,
    norm: Expr<'e>,
}

/// The smallest number that weights are divided by. Below the smallest normal number nothing has
/// relative precision, processors may flush to zero, and a reciprocal may be infinite: such weights
/// count as zero.
fn least(dtype: DataType) -> f64 {
    match dtype {
        DataType::F64 => f64::MIN_POSITIVE,
        // The least number of half precision there is, so that only zero is below.
        DataType::F16 => 6e-8,
        _ => f32::MIN_POSITIVE.into(),
    }
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
    let none = largest.binary("Less", largest.number(least(weights.dtype())));
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
pub(super) fn icd<'e>(weights: Expr<'e>, v: Expr<'e>) -> Expr<'e> {
    let n = normed(weights);
    n.square * (spread(v, weights) / n.norm)
}

/// `ĉ = x − (v/‖ŵ‖²)·ŵ` (equation 7), `x` where `ŵ = 0`. The division by the scale comes last, so
/// that it overflows only where the centre itself does.
pub(super) fn centre<'e>(weights: Expr<'e>, v: Expr<'e>, x: Expr<'e>) -> Expr<'e> {
    let n = normed(weights);
    x - n.unit * (spread(v, weights) / n.norm) / n.scale
}
