//! Every rule where its operator bends, breaks or runs out: at kinks, zeros, ties, far out and over
//! nothing. What the model keeps finite stays finite.

use super::testing::{Case, case};
use crate::graph::{DataType, Tensor};

/// Kinks, zeros, ends of domains, and numbers far out.
const POINTS: [f64; 12] = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, -3.0, 3.0, 1e-30, -90.0, 1e15, -1e15];

/// Those at which functions of two tensors break.
const FEWER: [f64; 6] = [0.0, 1.0, -1.0, 0.5, 1e-30, -1e15];

/// Values with ties and zeros.
const TIES: [f64; 6] = [0.0, 0.0, 1.0, 1.0, -1.0, 1.0];

/// Operators of one tensor that tract has in double precision.
const DOUBLE: &[&str] = &[
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "Elu",
    "Exp",
    "Log",
    "Neg",
    "Reciprocal",
    "Relu",
    "Selu",
    "Sin",
    "Sinh",
    "Softsign",
    "Sqrt",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
];

/// Operators of one tensor that tract has in single precision.
const SINGLE: &[&str] = &[
    "Erf",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Mish",
    "Shrink",
    "Sigmoid",
    "Softplus",
];

const REDUCTIONS: &[&str] = &[
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
];

fn number(value: f64) -> Tensor {
    Tensor::float(DataType::F64, value)
}

fn ties(op: &str) -> Case {
    case(op).input("x", &[2, 3]).values(&TIES)
}

/// At each point alone, since what is not finite at one may not keep the others from being so.
fn at(points: &[f64], of: impl Fn(Case) -> Case) {
    for &point in points {
        of(case("").input("x", &[1]).values(&[point])).stays_finite();
    }
}

#[test]
fn functions_of_one_tensor() {
    DOUBLE.iter().for_each(|op| at(&POINTS, |x| x.of(op)));
    SINGLE.iter().for_each(|op| at(&POINTS, |x| x.of(op).f32()));
    at(&POINTS, |x| x.of("Gelu").f32().text("approximate", "tanh"));
    for alpha in [0.0, -1.0] {
        at(&POINTS, |x| x.of("Elu").float("alpha", alpha));
        at(&POINTS, |x| x.of("LeakyRelu").f32().float("alpha", alpha));
        at(&POINTS, |x| x.of("Swish").f32().opset(24).float("alpha", alpha));
    }
}

#[test]
fn functions_of_two_tensors() {
    for b in FEWER {
        for op in ["Div", "Max", "Min", "Mul", "Pow"] {
            at(&FEWER, |x| x.of(op).input("b", &[]).values(&[b]));
        }
        at(&FEWER, |x| x.of("Pow").constant("b", number(b)));
        at(&FEWER, |x| x.of("Mod").int("fmod", 1).input("b", &[1]).values(&[b]));
        at(&FEWER, |x| x.of("PRelu").f32().input("slope", &[1]).values(&[b]));
    }
    at(&FEWER, |x| x.of("Div").constant("b", number(f64::INFINITY)));
    for (low, high) in [(0.0, 0.0), (1.0, -1.0), (-1.0, 1.0), (0.0, 1e15)] {
        at(&FEWER, |x| {
            let x = x.of("Clip").input("min", &[]).values(&[low]);
            x.input("max", &[]).values(&[high])
        });
    }
}

#[test]
fn reductions() {
    for op in REDUCTIONS {
        for (x, dims) in [(&TIES[..], &[2, 3][..]), (&[0.0; 6], &[2, 3]), (&[0.0], &[1, 1])] {
            let of = || case(op).f32().input("x", dims).values(x);
            of().stays_finite();
            of().ints_input("axes", &[1]).int("keepdims", 0).stays_finite();
        }
        for far in [[1e15, -1e15], [1e15, 90.0]] {
            let far = case(op).f32().input("x", &[1, 2]).values(&far);
            far.ints_input("axes", &[1]).stays_finite();
        }
    }
    for op in ["Softmax", "LogSoftmax"] {
        ties(op).stays_finite();
        case(op).input("x", &[1, 3]).values(&[30.0, -30.0, 30.0]).stays_finite();
    }
    for k in [1, 3] {
        ties("TopK").ints_input("k", &[k]).outputs(2).stays_finite();
    }
}

#[test]
fn reductions_over_nothing() {
    for op in ["ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceProd", "ReduceMean"] {
        let of = || case(op).f32().reference().input("x", &[2, 0]);
        of().ints_input("axes", &[1]).int("keepdims", 0).stays_finite();
        of().ints_input("axes", &[1]).stays_finite();
    }
}

#[test]
fn normalisations() {
    let flat = [1.5; 6];
    for x in [&TIES, &flat, &[0.0; 6]] {
        let of = |op: &str, dims: &[i64]| case(op).f32().input("x", dims).values(x);
        of("LayerNormalization", &[2, 3]).param("s", &[3]).stays_finite();
        let rms = case("RMSNormalization").f32().opset(23).input("x", &[2, 3]).values(x);
        rms.param("s", &[3]).stays_finite();
        for p in [1, 2] {
            of("LpNormalization", &[2, 3]).int("p", p).stays_finite();
        }
        let instance = of("InstanceNormalization", &[1, 2, 3]);
        instance.param("s", &[2]).param("b", &[2]).stays_finite();
        let group = of("GroupNormalization", &[1, 2, 3]).param("s", &[2]).param("b", &[2]);
        group.int("num_groups", 2).stays_finite();
        of("LRN", &[1, 3, 2]).int("size", 3).stays_finite();
        let mean = of("MeanVarianceNormalization", &[2, 3]).reference();
        mean.ints("axes", &[1]).stays_finite();
        let batch = of("BatchNormalization", &[3, 2]).int("training_mode", 1).reference();
        let batch = batch.input("s", &[2]).param("b", &[2]).param("m", &[2]).param("v", &[2]);
        batch.stays_finite();
        let batch = of("BatchNormalization", &[3, 2]).input("s", &[2]).param("b", &[2]).reference();
        let batch = batch.input("m", &[2]).input("v", &[2]);
        batch.values(&[0.0, 1.0]).stays_finite();
    }
}

#[test]
fn windows_and_places_with_ties() {
    let image = [0.0, 1.0, 1.0, 0.0, 0.0, 1.0, -1.0, -1.0, -1.0];
    for op in ["MaxPool", "AveragePool"] {
        let it = case(op).f32().input("x", &[1, 1, 3, 3]).values(&image);
        it.ints("kernel_shape", &[2, 2]).stays_finite();
    }
    let whole = case("GlobalMaxPool").f32().input("x", &[1, 1, 3, 3]).values(&image);
    whole.stays_finite();
    for reduction in ["none", "add", "mul", "max", "min"] {
        let it = case("ScatterElements").text("reduction", reduction);
        let it = it.input("x", &[3]).values(&[0.0, 1.0, 2.0]).ints_input("i", &[1, 0, 1, 1, 0]);
        it.input("u", &[5]).values(&[1.0, 0.0, 0.0, 1.0, 0.0]).stays_finite();
    }
}
