//! Normalisations by fixed or by neighbouring values.
//!
//! `BatchNormalization` at inference: `y = s·x + (B − s·mean)` with `s = scale/√(var + ε)`; where scale,
//! mean or variance change, by the rules of the operators in that. In training mode the statistics are
//! those of the batch itself.
//! `LRN: y = x·d^(−β)` with `d = bias + (α/n)·Σ x²` over `n` neighbouring channels, so
//! `dy = d^(−β)·dx − (2αβ/n)·x·d^(−β−1)·Σ(x·dx)`.

use super::Inputs::{All, First};
use super::arithmetic::affine;
use super::{Entry, Rule, Shape, standardisation};
use crate::compile::build::Expr;
use crate::compile::linear::Geometry;
use crate::error::{Error, Result};
use crate::graph::{Dim, Node, Tensor};

pub(super) const RULES: &[Entry] = &[
    Entry::exact("BatchNormalization", All, batch_normalization)
        .shaped(Shape::Unless(&[1, 3, 4]))
        .form("tangent in training mode", |node| match is_training(node) {
            Ok(false) => Shape::Unless(&[1, 3, 4]),
            _ => Shape::Smooth,
        }),
    Entry::smooth("LRN", First, lrn),
];

fn batch_normalization(cx: &Rule) -> Result<()> {
    if is_training(&cx.node)? {
        return standardisation::batch_in_training(cx);
    }
    let x = cx.x(0)?;
    let (dims, dtype) = (x.dims(), x.dtype());
    let spatial = dims.len().saturating_sub(2);
    let epsilon = cx.node.float("epsilon")?.map_or(f64::from(1e-5_f32), f64::from);
    let input = |index| cx.x(index).map(|x: Expr| channels(x.cast(dtype), spatial));
    let (scale, shift, mean, variance) = (input(1)?, input(2)?, input(3)?, input(4)?);
    let root = (variance + epsilon).unary("Sqrt");
    if [1, 3, 4].iter().any(|&index| cx.tangent(index).is_some()) {
        cx.emit(0, cx.through((x - mean) / root * scale + shift)?);
        return Ok(());
    }
    let slope = scale / root;
    let mut parts: Vec<_> = cx.tangent(0).map(|dx| dx.scale(slope)).into_iter().collect();
    let mut constants = Vec::new();
    match cx.tangent(2) {
        None => constants.push(shift),
        Some(dshift) => {
            let affine = [&cx.raw(2)?.dims()[..], &vec![Dim::Value(1); spatial]].concat();
            cx.check_spread(2, &affine, &dims)?;
            parts.push(dshift.cast(dtype).reshape(&affine).broadcast(&dims));
        }
    }
    match cx.tangent(0) {
        Some(_) => constants.push(-(mean * slope)),
        None => constants.push((x - mean) * slope),
    }
    affine(cx, &parts, constants);
    Ok(())
}

fn is_training(node: &Node) -> Result<bool> {
    Ok(node.int("training_mode")?.unwrap_or(0) != 0)
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

    use crate::compile::rules::find;
    use crate::compile::rules::testing::{Case, case};
    use crate::compile::select::Batch;
    use crate::compile::{Options, transform};
    use crate::graph::Node;

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
        let channels = || case("BatchNormalization").param("x", &[2, 3, 2]).param("scale", &[3]);
        let channels = channels().input("b", &[3]).param("m", &[3]);
        channels.param("v", &[3]).positive().reference().check();
    }

    #[test]
    fn parameters_of_batch_normalization_may_change() {
        for dims in [&[2, 3][..], &[2, 3, 2], &[1, 2, 2, 2]] {
            let of = || case("BatchNormalization").reference();
            for x in [of().input("x", dims), of().param("x", dims)] {
                let x = x.input("scale", &dims[1..2]).input("b", &dims[1..2]);
                x.input("mean", &dims[1..2]).input("var", &dims[1..2]).positive().check();
            }
            let x = of().input("x", dims).param("scale", &dims[1..2]).input("b", &dims[1..2]);
            x.param("mean", &dims[1..2]).param("var", &dims[1..2]).positive().check();
        }
        let sized = case("BatchNormalization").input("x", &[2, 3, 2]).dynamic(&["n", "", "t"]);
        let sized = sized.reference();
        let sized = sized.input("scale", &[3]).input("b", &[3]).param("mean", &[3]);
        sized.input("var", &[3]).positive().float("epsilon", 0.25).check();
    }

    #[test]
    fn batch_normalization_in_training_mode() {
        let of = |dims: &[i64]| {
            let it = case("BatchNormalization").reference().int("training_mode", 1).outputs(3);
            it.input("x", dims)
        };
        for dims in [&[4, 2][..], &[2, 3, 2], &[2, 2, 2, 2], &[1, 2, 3]] {
            let channels = &dims[1..2];
            let fixed = of(dims).param("scale", channels).param("b", channels);
            fixed.param("mean", channels).param("var", channels).positive().check();
            let free = of(dims).input("scale", channels).input("b", channels);
            let free = free.input("mean", channels).input("var", channels).positive();
            free.float("momentum", 0.7).float("epsilon", 0.25).check();
        }
        let alone = of(&[3, 2]).param("s", &[2]).param("b", &[2]).param("m", &[2]);
        alone.param("v", &[2]).positive().outputs(1).check();
        let sized = of(&[3, 2, 2]).dynamic(&["n", "", "t"]).param("s", &[2]).param("b", &[2]);
        sized.param("m", &[2]).param("v", &[2]).positive().check();
        let flat = of(&[3]).param("s", &[1]).param("b", &[1]).param("m", &[1]);
        flat.param("v", &[1]).refused("rank 1");
    }

    #[test]
    fn samples_mix_in_training_mode() {
        let node = "y, m, v = BatchNormalization <training_mode = 1> (x, s, s, s, s)";
        let graph =
            format!("g (float[N, 2] x) => (float[N, 2] y) <float[2] s = {{1, 2}}> {{ {node} }}");
        let text = format!("<ir_version: 8, opset_import: [\"\" : 18]> {graph}");
        let model = crate::onnx::text::parse(&text).expect("a model");
        let options = Options { batch: Batch::Axis(0), ..Options::default() };
        let error = transform(model, &options).expect_err("samples mix");
        assert!(error.to_string().contains("BatchNormalization"), "{error}");
    }

    #[test]
    fn only_fixed_statistics_are_exact() {
        for (training, exact) in [(0, true), (1, false)] {
            let mut node = Node::new("BatchNormalization", vec![], vec![]);
            node.set("training_mode", training);
            let entry = find(&node).expect("the operator has a rule");
            assert_eq!(entry.is_exact(&node, |input| input == 0 || input == 2), exact);
            assert!(!entry.is_exact(&node, |input| input == 4));
        }
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
        let all = case("BatchNormalization").reference();
        let all = all.input("x", &[2, 3]).input("scale", &[3]);
        let all = all.input("b", &[3]).input("mean", &[3]).input("var", &[3]).positive();
        all.snapshot("parameters");
        let training = batch_normalization(&[4, 2]).int("training_mode", 1).outputs(3);
        training.reference().snapshot("training");
        case("LRN").input("x", &[1, 4, 2, 2]).int("size", 3).snapshot("plain");
    }

    #[test]
    fn neighbours_need_channels() {
        case("LRN").input("x", &[3]).int("size", 3).refused("rank 1");
    }
}
