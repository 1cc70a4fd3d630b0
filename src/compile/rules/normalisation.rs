//! Normalisations by fixed or by neighbouring values.
//!
//! `BatchNormalization` at inference: `y = s·x + (B − s·mean)` with `s = scale/√(var + ε)`.
//! `LRN: y = x·d^(−β)` with `d = bias + (α/n)·Σ x²` over `n` neighbouring channels, so
//! `dy = d^(−β)·dx − (2αβ/n)·x·d^(−β−1)·Σ(x·dx)`.

use super::Inputs::First;
use super::{Entry, Rule};
use crate::compile::build::Expr;
use crate::compile::linear::Geometry;
use crate::error::{Error, Result};
use crate::graph::{Dim, Tensor};

pub(super) const RULES: &[Entry] = &[
    Entry::exact("BatchNormalization", First, batch_normalization),
    Entry::smooth("LRN", First, lrn),
];

fn batch_normalization(cx: &Rule) -> Result<()> {
    if cx.node.int("training_mode")?.unwrap_or(0) != 0 {
        return cx.refuse("BatchNormalization in training mode mixes the samples of a batch");
    }
    let dx = cx.dx(0)?;
    let spatial = dx.rank().saturating_sub(2);
    let epsilon = cx.node.float("epsilon")?.map_or(1e-5, f64::from);
    let dtype = dx.dtype();
    let input = |index| cx.x(index).map(|x: Expr| x.cast(dtype));
    let (scale, shift, mean, variance) = (input(1)?, input(2)?, input(3)?, input(4)?);
    let slope = scale / (variance + epsilon).unary("Sqrt");
    cx.constant_part(0, channels(shift - mean * slope, spatial));
    cx.emit(0, dx.scale(channels(slope, spatial)));
    Ok(())
}

/// `[C]` as `[C, 1…]`, so that it broadcasts over `spatial` axes.
pub(super) fn channels(x: Expr<'_>, spatial: usize) -> Expr<'_> {
    let mut dims = x.dims();
    dims.extend(std::iter::repeat_n(Dim::Value(1), spatial));
    x.reshape(&dims)
}

fn lrn(cx: &Rule) -> Result<()> {
    let (dx, x) = (cx.dx(0)?, cx.ranked(0, 2)?);
    let float = |name, default| Ok(cx.node.float(name)?.map_or(default, f64::from));
    let (alpha, beta) = (float("alpha", 1e-4)?, float("beta", 0.75)?);
    let bias = float("bias", 1.0)?;
    let size = cx.node.int("size")?.unwrap_or(0);
    if !(1..=1 << 16).contains(&size) {
        return Err(Error::unreadable(format!("attribute 'size' is {size}")));
    }
    let dims = dx.dims();
    let (before, after) = ((size - 1) / 2, size / 2);
    let columns = [dims[0].clone(), Dim::Value(1), dims[1].clone(), cx.e.product(&dims[2..])];
    let ones = Tensor::floats(dx.dtype(), vec![1, 1, size, 1], &vec![1.0; size as usize]);
    let ones = cx.e.constant(ones);
    let geometry = Geometry {
        kernel: vec![size, 1],
        strides: vec![1, 1],
        dilations: vec![1, 1],
        begin: vec![before, 0],
        end: vec![after, 0],
    };
    let pads = ("pads", vec![before, 0, after, 0].into());
    let sums = cx.e.op("Conv", &[(x * x).reshape(&columns), ones], &[pads]).assume(&columns);
    let share = alpha / size as f64;
    let d = sums.reshape(&dims) * share + bias;
    let power = |p: f64| d.binary("Pow", d.number(p));
    let around = dx.scale(x).reshape(&columns);
    let around = around.conv(ones.id, 1, geometry, columns.to_vec()).reshape(&dims);
    let pull = x * power(-beta - 1.0) * (-2.0 * beta * share);
    cx.emit(0, dx.scale(power(-beta)) + around.scale(pull));
    Ok(())
}

#[cfg(test)]
mod tests {

    use crate::compile::rules::testing::{Case, case};

    fn batch_normalization(dims: &[i64]) -> Case {
        let channels = [dims[1]];
        let case = case("BatchNormalization").input("x", dims).param("scale", &channels);
        case.param("shift", &channels).param("mean", &channels).param("var", &channels).positive()
    }

    #[test]
    fn batch_normalization_of_every_rank() {
        for dims in [&[2, 3][..], &[2, 3, 2], &[1, 3, 2, 2], &[1, 2, 2, 1, 2]] {
            batch_normalization(dims).check();
            batch_normalization(dims).float("epsilon", 0.25).opset(9).check();
        }
        batch_normalization(&[2, 3, 2]).int("training_mode", 1).outputs(3).refused("training mode");
    }

    #[test]
    fn local_response_normalization() {
        for (size, channels) in [(1, 3), (3, 4), (3, 2), (5, 4), (5, 2), (7, 9)] {
            for dims in [&[1, channels, 2, 2][..], &[2, channels, 2]] {
                let lrn = case("LRN").input("x", dims).int("size", size).float("alpha", 0.5);
                lrn.float("beta", 0.6).float("bias", 1.5).check();
            }
            case("LRN").input("x", &[1, channels, 2, 2]).int("size", size).check();
        }
        let sized = case("LRN").input("x", &[1, 3, 2, 2]).dynamic(&["n", "", "h", "w"]);
        sized.int("size", 3).float("alpha", 0.5).check();
    }

    #[test]
    fn snapshots() {
        batch_normalization(&[1, 2, 3, 3]).snapshot("plain");
        case("LRN").input("x", &[1, 4, 2, 2]).int("size", 3).snapshot("plain");
    }

    #[test]
    fn neighbours_need_channels() {
        case("LRN").input("x", &[3]).int("size", 3).refused("rank 1");
    }
}
