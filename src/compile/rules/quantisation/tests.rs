use ndarray::{ArrayD, IxDyn};

use crate::compile::plan::{Direction, Limits};
use crate::compile::project::Quantity;
use crate::compile::rules::testing::case;
use crate::compile::select::{Batch, Choice};
use crate::compile::{Options, transform};
use crate::engine::Array;
use crate::engine::tract::Session;
use crate::error::Result;
use crate::graph::{DataType, Model, Tensor};
use crate::onnx;

fn model(opset: i64, x: &str, constants: &str, nodes: &str) -> Model {
    let graph = format!("g (float{x} x) => (y) <{constants}> {{ {nodes} }}");
    let text = format!("<ir_version: 10, opset_import: [\"\": {opset}]> {graph}");
    onnx::text::parse(&text).unwrap_or_else(|error| panic!("{error}"))
}

fn augmented(model: Model, direction: Direction) -> Result<Model> {
    let options = Options {
        neurons: Some(Choice::All),
        batch: Batch::None,
        emit: vec![Quantity::Activity, Quantity::Weights, Quantity::Bias],
        limits: Limits { direction: Some(direction), ..Limits::default() },
        ..Options::default()
    };
    transform(model, &options).map(|(model, _)| model)
}

/// Rows, biases and values of `y` at `x`, which are the same in both directions and fulfil `v = x·ŵ + b̂`.
#[track_caller]
fn project(make: impl Fn() -> Model, dims: &[usize], x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let run = |direction| {
        let model = augmented(make(), direction).unwrap_or_else(|error| panic!("{error}"));
        let bytes = onnx::to_bytes(&model).expect("the model is written");
        let session = Session::new(&bytes, &[("x".to_owned(), dims.to_vec())]);
        let session = session.unwrap_or_else(|error| panic!("{error}"));
        let x = ArrayD::from_shape_vec(IxDyn(dims), x.to_vec()).expect("as many values");
        let x = Array::floats(DataType::F32, x).expect("a float type");
        let outputs = session.run(&[("x", x)]).unwrap_or_else(|error| panic!("{error}"));
        let get = |name: &str| -> Vec<f64> {
            let found = outputs.iter().find(|(n, _)| *n == format!("slp/y/{name}"));
            found.expect("the output is there").1.to_f64().iter().copied().collect()
        };
        [get("weights"), get("bias"), get("activity")]
    };
    let [weights, bias, values] = run(Direction::Reverse);
    let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    let forward = run(Direction::Forward);
    assert!(near(&weights, &forward[0]) && near(&bias, &forward[1]), "the directions differ");
    for (row, (b, v)) in weights.chunks(x.len()).zip(bias.iter().zip(&values)) {
        let sum: f64 = row.iter().zip(x).map(|(w, x)| w * x).sum();
        assert!((sum + b - v).abs() < 1e-4, "{sum} + {b} is not {v}");
    }
    (weights, values)
}

/// The slopes of `y` by `x`, element by element.
#[track_caller]
fn slopes(opset: i64, constants: &str, nodes: &str, dims: &[usize], x: &[f64]) -> Vec<f64> {
    let make = || model(opset, &format!("{dims:?}"), constants, nodes);
    let (weights, _) = project(make, dims, x);
    weights.into_iter().step_by(x.len() + 1).collect()
}

#[track_caller]
fn assert_near(found: &[f64], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len());
    let off = found.iter().zip(wanted).any(|(a, b)| (a - b).abs() > 1e-5);
    assert!(!off, "{found:?}, expected {wanted:?}");
}

#[test]
fn a_pair_has_slope_one_inside_of_the_range() {
    let pair = "q = QuantizeLinear (x, s, z) y = DequantizeLinear (q, s, z)";
    let x = [-1.0, -0.5, -0.02, 0.0, 0.02, 0.9, 1.4, 3.0];
    // 0.01·(0 − 50) to 0.01·(255 − 50).
    let found = slopes(18, "float s = {0.01}, uint8 z = {50}", pair, &[8], &x);
    assert_near(&found, &[0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
    let found = slopes(18, "float s = {0.01}, int8 z = {0}", pair, &[8], &x);
    assert_near(&found, &[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
    let bare = "q = QuantizeLinear (x, s) y = DequantizeLinear (q, s)";
    let found = slopes(18, "float s = {0.01}", bare, &[8], &x);
    assert_near(&found, &[0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]);
}

#[test]
fn scales_of_their_own_for_each_channel() {
    let constants = "float[2] s = {0.01, 0.1}, int8[2] z = {0, 20}, float[2] t = {0.02, 0.1}";
    let pair = "q = QuantizeLinear <axis = 0> (x, s, z) y = DequantizeLinear <axis = 0> (q, t, z)";
    let found = slopes(18, constants, pair, &[2, 2], &[1.0, 2.0, 3.0, 12.0]);
    // The first channel comes back with twice the scale.
    assert_near(&found, &[2.0, 0.0, 1.0, 0.0]);
    let pair = pair.replace("<axis = 0>", "");
    let found = slopes(18, constants, &pair, &[1, 2], &[1.0, 12.0]);
    assert_near(&found, &[2.0, 0.0]);
}

#[test]
fn integers_are_moved_and_picked() {
    let constants = "float s = {0.1}, int8 z = {3}, int64[2] shape = {4, 1}, int64[1] zero = {0}, int64[1] two = {2}, int8[2, 1] more = {5, 6}";
    let around = |moves: &str| {
        format!("q = QuantizeLinear (x, s, z) {moves} y = DequantizeLinear (r, s, z)")
    };
    let x = [0.31, -0.52, 0.73, 13.0];
    let rows =
        |moves: &str| project(|| model(18, "[2, 2]", constants, &around(moves)), &[2, 2], &x).0;
    let unit = |i: usize| -> Vec<f64> { (0..4).map(|j| f64::from(u8::from(i == j))).collect() };
    let dead = vec![0.0; 4];
    assert_near(
        &rows("r = Transpose <perm = [1, 0]> (q)"),
        &[unit(0), unit(2), unit(1), dead.clone()].concat(),
    );
    assert_near(
        &rows("r = Reshape (q, shape)"),
        &[unit(0), unit(1), unit(2), dead.clone()].concat(),
    );
    assert_near(
        &rows("f = Flatten (q) r = Identity (f)"),
        &[unit(0), unit(1), unit(2), dead.clone()].concat(),
    );
    assert_near(
        &rows("r = Slice (q, zero, two)"),
        &[unit(0), unit(1), unit(2), dead.clone()].concat(),
    );
    assert_near(&rows("r = Gather (q, zero)"), &[unit(0), unit(1)].concat());
    let joined = rows("t = Reshape (q, shape) r = Concat <axis = 0> (t, more)");
    let nothing = vec![0.0; 8];
    assert_near(&joined, &[unit(0), unit(1), unit(2), dead, nothing].concat());
}

#[test]
fn a_pool_of_integers_follows_its_winner() {
    let nodes = "q = QuantizeLinear (x, s, z) r = MaxPool <kernel_shape = [2]> (q) y = DequantizeLinear (r, s, z)";
    let make = || model(18, "[1, 1, 3]", "float s = {0.1}, int8 z = {0}", nodes);
    let (rows, _) = project(make, &[1, 1, 3], &[0.5, 0.9, 0.2]);
    assert_near(&rows, &[0.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
}

/// Two convolutions and a layer; `around` puts what is between into integers, or not.
fn network(quantised: bool) -> Model {
    let constants = "
        int8[2, 1, 2, 2] w1 = {90, -40, 33, 127, -71, 52, 18, -127}, float[2] s1 = {0.004, 0.006},
        int8[2] z1 = {0, 0}, float[2] b1 = {0.05, 0.1},
        int8[3, 2, 2, 2] w2 = {12, -90, 127, 44, -31, 7, 66, -12, 101, -127, 3, 58, -77, 29, 90, -5, 127, 14, -66, 83, -9, 41, -100, 20},
        float s2 = {0.003}, int8 z2 = {0},
        int8[3, 2] w3 = {127, -60, 45, 88, -101, 33}, float s3 = {0.008}, int8 z3 = {0},
        float sx = {0.01}, uint8 zx = {128}, float sa = {0.008}, uint8 za = {0}, float sb = {0.006}, uint8 zb = {0},
        float so = {0.005}, int8 zo = {10}";
    let pair = |value: &str, scale: &str| match quantised {
        true => format!(
            "{value}q = QuantizeLinear ({value}, s{scale}, z{scale}) {value}d = DequantizeLinear ({value}q, s{scale}, z{scale})"
        ),
        false => format!("{value}d = Identity ({value})"),
    };
    let nodes = format!(
        "f1 = DequantizeLinear <axis = 0> (w1, s1, z1) f2 = DequantizeLinear (w2, s2, z2) f3 = DequantizeLinear (w3, s3, z3)
         {} c1 = Conv (xd, f1, b1) a = Relu (c1) {} c2 = Conv (ad, f2) b = Relu (c2) {}
         g = GlobalAveragePool (bd) v = Flatten (g) o = Gemm (v, f3) {} y = Identity (od)",
        pair("x", "x"), pair("a", "a"), pair("b", "b"), pair("o", "o"),
    );
    model(18, "[1, 1, 4, 4]", constants, &nodes)
}

#[test]
fn a_network_in_integers_has_the_rows_of_its_quantised_weights() {
    let x: Vec<f64> = (0..16).map(|i| ((i * 7 + 3) % 16) as f64 / 8.0 - 0.91).collect();
    let dims = [1, 1, 4, 4];
    let (rows, values) = project(|| network(true), &dims, &x);
    let (float_rows, float_values) = project(|| network(false), &dims, &x);
    assert_near(&rows, &float_rows);
    assert!(rows.iter().any(|row| row.abs() > 0.01), "{rows:?}");
    let near = values.iter().zip(&float_values).all(|(a, b)| (a - b).abs() < 0.03);
    assert!(near && values != float_values, "{values:?} and {float_values:?}");
}

#[test]
fn blocks_of_a_scale_each() {
    let it = case("QuantizeLinear").opset(21).f32().int("axis", 1).int("block_size", 2);
    let scale = Tensor::floats(DataType::F32, vec![1, 2], &[0.1, 0.2]);
    let zero = Tensor::new(DataType::I8, vec![1, 2], vec![0u8, 3]);
    it.input("x", &[1, 3]).constant("s", scale).constant("z", zero).show("blocks");
}

#[test]
fn arithmetic_of_integers_is_refused_by_name() {
    let constants = "float s = {0.1}, uint8 z = {3}, uint8[2, 2] w = {1, 2, 3, 4}";
    for (nodes, operator) in [
        (
            "q = QuantizeLinear (x, s, z) p = QLinearMatMul (q, s, z, w, s, z, s, z) y = DequantizeLinear (p, s, z)",
            "QLinearMatMul",
        ),
        (
            "q = QuantizeLinear (x, s, z) p = MatMulInteger (q, w, z, z) y = Cast <to = 1> (p)",
            "MatMulInteger",
        ),
        (
            "q, t, u = DynamicQuantizeLinear (x) y = DequantizeLinear (q, t, u)",
            "DynamicQuantizeLinear",
        ),
    ] {
        let error = augmented(model(18, "[2, 2]", constants, nodes), Direction::Reverse);
        let error = error.expect_err(operator).to_string();
        assert!(error.contains(operator) && error.contains("QDQ"), "{error}");
    }
    let shapes = "q = QuantizeLinear (x, s, z) n = Shape (q) r = Reshape (x, n) y = Relu (r)";
    assert!(augmented(model(18, "[2, 2]", constants, shapes), Direction::Reverse).is_ok());
}

#[test]
fn snapshots() {
    let of = |op: &str| case(op).opset(21);
    let number = |value| Tensor::float(DataType::F32, value);
    let zero = || Tensor::new(DataType::I8, vec![], vec![3u8]);
    for domain in ["", "com.microsoft."] {
        let quantize = of(&format!("{domain}QuantizeLinear")).f32().input("x", &[2, 3]);
        quantize.constant("s", number(0.1)).constant("z", zero()).show("plain");
        let dequantize = of(&format!("{domain}DequantizeLinear")).of_type(DataType::I8);
        let dequantize = dequantize.input("x", &[2, 3]).constant("s", number(0.1));
        dequantize.constant("z", zero()).show("plain");
    }
}
