use crate::compile::rules::testing::{Case, case};
use crate::graph::{DataType, Tensor};

/// What tract has in single precision only, or what a rule emits of it.
const SINGLE: [&str; 8] =
    ["Sigmoid", "Softplus", "Erf", "HardSwish", "HardSigmoid", "Gelu", "LeakyRelu", "PRelu"];

fn of(op: &str, dims: &[i64]) -> Case {
    let case = if SINGLE.contains(&op) { case(op).f32() } else { case(op) };
    case.input("x", dims)
}

/// An operator of one input whose values lie on both sides of every kink.
fn unary(op: &str) -> Case {
    of(op, &[2, 9])
}

/// The slopes of an operator at given points, where differences can't tell.
#[track_caller]
fn slopes(case: Case, points: &[f64], slopes: &[f64]) {
    let rows: Vec<Vec<f64>> = (0..slopes.len())
        .map(|i| (0..slopes.len()).map(|j| if i == j { slopes[i] } else { 0.0 }).collect())
        .collect();
    let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    case.values(points).jacobian(&rows);
}

fn number(value: f64) -> Tensor {
    Tensor::float(DataType::F64, value)
}

fn numbers(values: &[f64]) -> Tensor {
    Tensor::floats(DataType::F64, vec![values.len() as i64], values)
}

fn clip(min: Option<f64>, max: Option<f64>) -> Case {
    let case = case("Clip").input("x", &[13]);
    let case = match min {
        Some(min) => case.constant("min", number(min)),
        None => case.skip(),
    };
    max.into_iter().fold(case, |case, max| case.constant("max", number(max)))
}

#[test]
fn slopes_agree_with_differences() {
    for op in ["Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "HardSwish", "Exp", "Erf"] {
        unary(op).check();
    }
    for op in ["Log", "Sqrt", "Reciprocal"] {
        unary(op).positive().check();
    }
    unary("Reciprocal").within(-2.0, -0.2).check();
    for op in ["HardSwish", "HardSigmoid", "Tanh", "Gelu"] {
        unary(op).within(-5.0, 5.0).check();
    }
}

#[test]
fn attributes_are_read() {
    for alpha in [-0.5, 0.01, 0.3, 2.0] {
        unary("LeakyRelu").float("alpha", alpha).check();
        unary("Elu").float("alpha", alpha).check();
    }
    unary("LeakyRelu").check();
    unary("Elu").check();
    unary("Celu").check();
    unary("HardSigmoid").check();
    unary("ThresholdedRelu").check();
    for (alpha, gamma) in [(0.7, 1.3), (2.0, 0.4)] {
        unary("Selu").float("alpha", alpha).float("gamma", gamma).check();
    }
    for (alpha, beta) in [(0.6, 0.2), (-0.7, 0.45), (0.1, 0.5)] {
        unary("HardSigmoid").float("alpha", alpha).float("beta", beta).check();
    }
    for alpha in [0.0, 0.5, 1.5] {
        unary("ThresholdedRelu").float("alpha", alpha).check();
    }
    for approximate in ["none", "tanh"] {
        unary("Gelu").text("approximate", approximate).check();
    }
}

#[test]
fn prelu_broadcasts_its_slope() {
    let slopes: [&[i64]; 6] = [&[], &[1], &[4], &[3, 1], &[2, 1, 1], &[2, 3, 4]];
    for slope in slopes {
        of("PRelu", &[2, 3, 4]).param("slope", slope).check();
    }
}

#[test]
fn clip_takes_any_bounds() {
    for min in [None, Some(-0.5), Some(0.0)] {
        for max in [None, Some(0.5), Some(1.0)] {
            clip(min, max).check();
        }
    }
    clip(Some(1.0), Some(-1.0)).check();
    clip(Some(0.0), Some(f64::INFINITY)).check();
}

#[test]
fn kinks_follow_the_policy() {
    let points = [-1.0, 0.0, 1.0];
    let at = |op: &str| of(op, &[3]);
    slopes(at("Relu"), &points, &[0.0, 0.0, 1.0]);
    slopes(at("Relu"), &[-0.0, 1e-300, -1e-300], &[0.0, 1.0, 0.0]);
    slopes(at("LeakyRelu").float("alpha", 0.25), &points, &[0.25, 0.25, 1.0]);
    slopes(at("Elu").float("alpha", 0.25), &[0.0, 1.0, 2.0], &[0.25, 1.0, 1.0]);
    slopes(at("Selu").float("alpha", 0.5).float("gamma", 0.5), &[0.0, 1.0, 2.0], &[0.25, 0.5, 0.5]);
    slopes(at("Celu").float("alpha", 1.0), &[0.0, 1.0, 2.0], &[1.0, 1.0, 1.0]);
    slopes(at("ThresholdedRelu"), &[0.5, 1.0, 1.5], &[0.0, 0.0, 1.0]);
    slopes(at("HardSwish"), &[-3.0, 0.0, 3.0], &[0.0, 0.5, 1.0]);
    slopes(at("Sqrt"), &[0.0, 0.25, 4.0], &[0.0, 1.0, 0.25]);
    // The defaults are single precision numbers of the specification; tract has others.
    let [alpha, gamma] = [1.673_263_2_f32, 1.050_701_f32].map(f64::from);
    slopes(at("Selu"), &[0.0, 1.0, 2.0], &[alpha * gamma, gamma, gamma]);
    let sigmoid = at("HardSigmoid").float("alpha", 0.25).float("beta", 0.5);
    slopes(sigmoid, &[-2.0, 0.0, 2.0], &[0.0, 0.25, 0.0]);
}

#[test]
fn kinks_at_the_bounds_and_slopes_of_operands() {
    let prelu = of("PRelu", &[3]).values(&[-1.0, 0.0, 1.0]).param("slope", &[1]).values(&[0.25]);
    prelu.jacobian(&[&[0.25, 0.0, 0.0], &[0.0, 0.25, 0.0], &[0.0, 0.0, 1.0]]);
    let clip = |bounds: [f64; 2]| {
        let x = case("Clip").input("x", &[3]).values(&[-1.0, 0.0, 1.0]);
        x.constant("min", number(bounds[0])).constant("max", number(bounds[1]))
    };
    clip([-1.0, 1.0]).jacobian(&[&[0.0; 3], &[0.0, 1.0, 0.0], &[0.0; 3]]);
    clip([0.0, 0.0]).jacobian(&[&[0.0; 3], &[0.0; 3], &[0.0; 3]]);
}

#[test]
fn slopes_stay_finite_where_the_function_does() {
    for op in ["Softsign", "Tanh"] {
        slopes(of(op, &[2]), &[-1e200, 1e200], &[0.0, 0.0]);
    }
    slopes(case("Relu").input("x", &[2]), &[f64::INFINITY, f64::NEG_INFINITY], &[1.0, 0.0]);
    let clip = case("Clip").input("x", &[2]).values(&[f64::INFINITY, f64::NEG_INFINITY]);
    clip.constant("min", number(0.0)).jacobian(&[&[1.0, 0.0], &[0.0, 0.0]]);
}

#[test]
fn sizes_may_be_symbols() {
    for op in ["Relu", "Sigmoid", "HardSigmoid"] {
        of(op, &[2, 3]).dynamic(&["n", "m"]).check();
    }
}

#[test]
fn bounds_may_change() {
    for (low, high) in [(-0.6, 0.6), (-1.1, 0.2), (0.7, -0.3), (-3.0, 3.0)] {
        let x = |fixed: bool| {
            let case = case("Clip");
            if fixed { case.param("x", &[2, 5]) } else { case.input("x", &[2, 5]) }
        };
        for fixed in [false, true] {
            x(fixed).input("min", &[]).values(&[low]).check();
            x(fixed).skip().input("max", &[]).values(&[high]).check();
            x(fixed).input("min", &[]).values(&[low]).constant("max", number(high)).check();
            x(fixed).constant("min", number(low)).input("max", &[]).values(&[high]).check();
            x(fixed).input("min", &[]).values(&[low]).input("max", &[]).values(&[high]).check();
        }
    }
    let sized = case("Clip").input("x", &[2, 3]).dynamic(&["n", "m"]);
    sized.input("min", &[]).values(&[-0.6]).input("max", &[]).values(&[0.6]).check();
}

#[test]
fn of_bounds_that_are_reached_the_upper_wins() {
    let x = || case("Clip").constant("x", numbers(&[-1.0, 0.0, 1.0]));
    let low = |low| x().input("min", &[]).values(&[low]);
    low(0.0).jacobian(&[&[1.0], &[1.0], &[0.0]]);
    low(0.0).constant("max", number(0.0)).jacobian(&[&[0.0], &[0.0], &[0.0]]);
    low(2.0).constant("max", number(0.5)).jacobian(&[&[0.0], &[0.0], &[0.0]]);
    let high = |low| x().constant("min", number(low)).input("max", &[]);
    high(-1.0).values(&[0.0]).jacobian(&[&[0.0], &[1.0], &[1.0]]);
    high(2.0).values(&[0.5]).jacobian(&[&[1.0], &[1.0], &[1.0]]);
    let infinite = case("Clip").constant("x", numbers(&[f64::INFINITY, f64::NEG_INFINITY]));
    let infinite = infinite.input("min", &[]).values(&[-1.0]);
    infinite.constant("max", number(1.0)).jacobian(&[&[0.0], &[1.0]]);
}

#[test]
fn slopes_may_change() {
    for dims in [&[3][..], &[1], &[2, 1], &[2, 3]] {
        case("PRelu").param("x", &[2, 3]).input("slope", dims).check();
        of("PRelu", &[2, 3]).input("slope", dims).check();
    }
    let at_zero = case("PRelu").param("x", &[3]).values(&[-2.0, 0.0, 1.0]);
    at_zero.input("slope", &[1]).jacobian(&[&[-2.0], &[0.0], &[0.0]]);
}

#[test]
fn the_steps_are_these() {
    for op in ["Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "HardSwish", "Exp", "Erf"] {
        of(op, &[2, 3]).snapshot("plain");
    }
    for op in ["Elu", "Celu", "HardSigmoid", "ThresholdedRelu"] {
        of(op, &[2, 3]).snapshot("plain");
    }
    let selu = of("Selu", &[2, 3]).float("alpha", 2.0).float("gamma", 0.5);
    selu.snapshot("attributes");
    for op in ["Log", "Sqrt", "Reciprocal"] {
        of(op, &[2, 3]).positive().snapshot("plain");
    }
    for approximate in ["none", "tanh"] {
        of("Gelu", &[2, 3]).text("approximate", approximate).snapshot(approximate);
    }
    of("LeakyRelu", &[2, 3]).float("alpha", 0.5).snapshot("plain");
    of("PRelu", &[2, 3]).param("slope", &[2, 1]).snapshot("channels");
    case("PRelu").param("x", &[2, 3]).input("slope", &[3]).snapshot("slope");
    clip(Some(-1.0), Some(1.0)).snapshot("both");
    clip(None, Some(1.0)).snapshot("max");
    let bounds = case("Clip").input("x", &[3]).input("min", &[]).values(&[-0.6]);
    bounds.input("max", &[]).values(&[0.6]).snapshot("bounds");
}

#[test]
fn slopes_that_do_not_fit_are_refused() {
    case("PRelu").input("x", &[2, 3]).param("slope", &[5]).refused("over a tensor");
}
