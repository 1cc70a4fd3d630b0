//! Models in the text syntax, transformed and run in tract: samples that mix, values used twice,
//! types, and forms that a case of one node can't show.

mod blocks;
mod fuse;
mod local;
mod second_order;

use std::collections::{HashMap, HashSet};

use ndarray::{ArrayD, IxDyn};

use super::plan::Direction;
use super::project::Quantity;
use super::select::{Batch, Choice};
use super::{LayerRequest, Options, transform};
use crate::engine::Array;
use crate::engine::tract::Session;
use crate::error::{Error, Result};
use crate::graph::{DataType, Dim, Model};
use crate::onnx;

/// A model in operator set 18 from an input x to an output y of the given types.
fn model(x: &str, y: &str, constants: &str, nodes: &str) -> Model {
    let text = format!(
        "<ir_version: 8, opset_import: [\"\": 18]> g ({x} x) => ({y} y) <{constants}> {{ {nodes} }}"
    );
    onnx::text::parse(&text).expect("the test's model parses")
}

fn options(batch: Batch, direction: Direction) -> Options {
    let mut options = Options { neurons: Some(Choice::All), batch, ..Options::default() };
    options.emit = vec![Quantity::Weights, Quantity::Bias];
    options.layers = vec![LayerRequest { alias: Some("l".into()), what: "y".into() }];
    options.limits.direction = Some(direction);
    options
}

/// What a model gives for an input of dimensions `dims`.
fn run(model: &Model, dims: &[usize], dtype: DataType, x: &[f64]) -> HashMap<String, Array> {
    let bytes = onnx::to_bytes(model).expect("the model is written");
    let session = Session::new(&bytes, &[("x".to_owned(), dims.to_vec())]);
    let session = session.unwrap_or_else(|error| panic!("{error}"));
    let x = ArrayD::from_shape_vec(IxDyn(dims), x.to_vec()).expect("as many values");
    let x = Array::floats(dtype, x).expect("a float type");
    let outputs = session.run(&[("x", x)]).unwrap_or_else(|error| panic!("{error}"));
    outputs.into_iter().collect()
}

fn flat(array: &Array) -> Vec<f64> {
    array.to_f64().iter().copied().collect()
}

/// Values that differ, none near a kink.
fn values(count: usize) -> Vec<f64> {
    (0..count).map(|i| 2.0 * ((i as f64 * 0.618 + 0.13).fract() - 0.5) + 0.003).collect()
}

/// The rows of `dy/dx` by central differences.
fn differences(model: &Model, dims: &[usize], x: &[f64]) -> Vec<Vec<f64>> {
    differences_of("y", model, dims, x)
}

/// The rows of the Jacobian of an output by central differences.
fn differences_of(output: &str, model: &Model, dims: &[usize], x: &[f64]) -> Vec<Vec<f64>> {
    let step = 1e-6;
    let y = |i: usize, step: f64| {
        let mut x = x.to_vec();
        x[i] += step;
        flat(&run(model, dims, DataType::F64, &x)[output])
    };
    let columns: Vec<Vec<f64>> = (0..x.len())
        .map(|i| {
            let pairs = y(i, step).into_iter().zip(y(i, -step));
            pairs.map(|(ahead, behind)| (ahead - behind) / (2.0 * step)).collect()
        })
        .collect();
    (0..columns[0].len()).map(|row| columns.iter().map(|column| column[row]).collect()).collect()
}

/// Checks weights and bias in both directions; `samples` of the rows and columns belong together.
#[track_caller]
fn check(model: &Model, batch: Batch, dims: &[usize], samples: usize) {
    let x = values(dims.iter().product());
    let y = flat(&run(model, dims, DataType::F64, &x)["y"]);
    let rows = differences(model, dims, &x);
    let (k, d) = (rows.len() / samples, x.len() / samples);
    for direction in [Direction::Reverse, Direction::Forward] {
        let transformed = transform(model.clone(), &options(batch, direction));
        let (augmented, _) = transformed.unwrap_or_else(|error| panic!("{error}"));
        let outputs = run(&augmented, dims, DataType::F64, &x);
        let (weights, bias) = (flat(&outputs["slp/l/weights"]), flat(&outputs["slp/l/bias"]));
        assert_eq!(weights.len(), samples * k * d, "{direction}");
        for (row, wanted) in rows.iter().enumerate() {
            let own = row / k * d..(row / k + 1) * d;
            let found = &weights[row * d..][..d];
            for (column, wanted) in wanted.iter().enumerate() {
                let found = if own.contains(&column) { found[column - own.start] } else { 0.0 };
                assert!(
                    (wanted - found).abs() < 1e-7,
                    "{direction} {row},{column}: {found} {wanted}"
                );
            }
            let linear: f64 = found.iter().zip(&x[own]).map(|(w, x)| w * x).sum();
            assert!((y[row] - linear - bias[row]).abs() < 1e-9, "{direction}: bias of {row}");
        }
    }
}

#[track_caller]
fn refusal(model: Model) -> Error {
    let result: Result<_> = transform(model, &options(Batch::Axis(0), Direction::Reverse));
    result.expect_err("the model mixes samples")
}

#[test]
fn samples_that_mix_are_refused_and_one_sample_is_right() {
    let mean = "[\"mix\"] m = ReduceMean <keepdims=1> (x, zero) y = Sub (x, m)";
    let mixing = [
        ("[\"mix\"] y = Softmax <axis=0> (x)", "Softmax", "[N,3]"),
        (mean, "ReduceMean", "[N,3]"),
        ("f = Reshape (x, flat) [\"mix\"] y = Softmax <axis=0> (f)", "Softmax", "[L]"),
        ("[\"mix\"] t = Reshape (x, swapped) y = Exp (t)", "Reshape", "[3,N]"),
        ("t = Transpose <perm=[1,0]> (x) [\"mix\"] y = MatMul (t, x)", "MatMul", "[3,3]"),
    ];
    let constants = "int64[1] zero = {0}, int64[1] flat = {-1}, int64[2] swapped = {3,-1}";
    for (nodes, operator, y) in mixing {
        let model = model("double[N,3]", &format!("double{y}"), constants, nodes);
        let error = refusal(model.clone());
        assert_eq!(error.place.node.as_deref(), Some("mix"), "{nodes}: {error}");
        assert_eq!(error.place.operator.as_deref(), Some(operator), "{nodes}: {error}");
        assert!(error.to_string().contains("--batch none"), "{nodes}: {error}");
        check(&model, Batch::None, &[2, 3], 1);
    }
}

#[test]
fn a_layer_without_the_batch_in_front_is_refused() {
    let model = model("double[N,3]", "double[3,N]", "", "y = Transpose <perm=[1,0]> (x)");
    assert!(refusal(model.clone()).to_string().contains("--batch none"));
    check(&model, Batch::None, &[2, 3], 1);
}

#[test]
fn batch_and_tokens_may_be_merged_on_the_way() {
    let constants = "int64[2] rows = {-1,4}, int64[3] tokens = {-1,2,3},
        double[4,3] w = {1.0,2.0,-1.0,0.5, 0.25,-2.0,1.5,1.0, -1.0,0.75,0.5,2.0},
        double[3] b = {0.5,-1.0,2.0}";
    let nodes = "r = Reshape (x, rows) m = MatMul (r, w) g = Add (m, b) a = Tanh (g) y = Reshape (a, tokens)";
    let merged = model("double[N,2,4]", "double[N,2,3]", constants, nodes);
    check(&merged, Batch::Auto, &[3, 2, 4], 3);
    check(&merged, Batch::None, &[3, 2, 4], 1);
}

#[test]
fn a_batch_behind_tokens_may_be_merged_on_the_way() {
    let constants = "int64[2] rows = {-1,4}, int64[3] tokens = {2,-1,3},
        double[4,3] w = {1.0,2.0,-1.0,0.5, 0.25,-2.0,1.5,1.0, -1.0,0.75,0.5,2.0},
        double[3] b = {0.5,-1.0,2.0}, double[2,1,1] c = {2.0,-3.0}";
    let nodes =
        "s = Transpose <perm=[1,0,2]> (x) r = Reshape (s, rows) m = MatMul (r, w) g = Add (m, b)
        a = Tanh (g) t = Reshape (a, tokens) d = Add (t, c) y = Transpose <perm=[1,0,2]> (d)";
    let merged = model("double[N,2,4]", "double[N,2,3]", constants, nodes);
    check(&merged, Batch::Auto, &[3, 2, 4], 3);
}

#[test]
fn views_written_as_gathers_keep_samples_apart() {
    let constants = "int64[1] flat = {-1}, int64[1] last = {1}, int64 zero = {0}, int64 one = {1},
        int64 four = {4}, int64[1,4] columns = {0,1,2,3}";
    let nodes = "t = Tanh (x) f = Reshape (t, flat) s = Shape <end=1> (x) n = Squeeze (s)
        r = Range (zero, n, one) m = Mul (r, four) u = Unsqueeze (m, last) i = Add (u, columns)
        y = Gather <axis=0> (f, i)";
    let view = model("double[N,2,2]", "double[N,4]", constants, nodes);
    check(&view, Batch::Auto, &[3, 2, 2], 3);
    let turned = nodes.replace("Gather <axis=0> (f, i)", "Gather <axis=0> (f, j)");
    let turned = turned.replace("y =", "j = Sub (last, i) y =");
    let turned = model("double[N,2,2]", "double[N,4]", constants, &turned);
    assert!(refusal(turned).to_string().contains("--batch none"));
}

#[test]
fn a_size_that_only_the_output_tells_is_no_size_of_the_input() {
    let constants = "double[1,2,1,2] c = {1.0,2.0,3.0,4.0}";
    let joined =
        model("double[1,2,1,D]", "double[1,4,1,2]", constants, "y = Concat <axis=1> (x, c)");
    check(&joined, Batch::None, &[1, 2, 1, 2], 1);
}

#[test]
fn moved_samples_that_come_back_are_right() {
    let nodes = "t = Transpose <perm=[1,0,2]> (x) e = Relu (t) s = Mul (e, c) y = Transpose <perm=[1,2,0]> (s)";
    let constants = "double[2,1,1] c = {2.0,-3.0}";
    let turned = model("double[N,2,4]", "double[N,4,2]", constants, nodes);
    check(&turned, Batch::Auto, &[3, 2, 4], 3);
}

/// A layer whose neurons see small windows, through a step of several outputs and around it.
#[test]
fn a_scan_among_windows_keeps_its_rows() {
    let nodes = "start = ReduceSum <keepdims = 0> (x, one) last, r = Scan (start, x) \
        <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [1], \
        body = b (double[2,3] s, double[2,3] e) => (double[2,3] t, double[2,3] o) \
        { a = Add (s, e) t = Tanh (a) o = Mul (t, e) }> y = Add (r, x)";
    let (x, constants) = ("double[2,4,3]", "int64[1] one = {1}");
    check(&model(x, x, constants, nodes), Batch::Axis(0), &[2, 4, 3], 2);
    let alone = nodes.replace("y = Add (r, x)", "y = Identity (r)");
    check(&model(x, x, constants, &alone), Batch::Axis(0), &[2, 4, 3], 2);
}

#[test]
fn a_value_may_be_used_twice() {
    let constants = "bool[3] c = {1,0,1}, double three = {3.0}";
    for nodes in [
        "y = Mul (x, x)",
        "y = Add (x, x)",
        "y = Sub (x, x)",
        "p = Exp (x) y = Div (p, p)",
        "y = Max (x, x)",
        "y = Min (x, three, x)",
        "y = Where (c, x, x)",
        "y = Concat <axis=1> (x, x)",
        "a = Add (x, three) m = Mul (x, a) y = Sub (m, x)",
        "r = Relu (x) n = Neg (x) s = Relu (n) y = Sum (r, s, x)",
    ] {
        check(&model("double[N,3]", "double[N,M]", constants, nodes), Batch::Auto, &[2, 3], 2);
    }
}

/// Checks the weights of a layer y that tract can't compute, but whose weights it can: element `i`
/// of y is element `source[i]` of x, or does not depend on it.
#[track_caller]
fn moves(x: &str, constants: &str, nodes: &str, dims: &[usize], source: &[Option<usize>]) {
    let model = model(&format!("double{x}"), "double[A,B]", constants, nodes);
    let count = dims.iter().product();
    let row = |s: &Option<usize>| (0..count).map(|i| f64::from(u8::from(*s == Some(i)))).collect();
    let wanted: Vec<f64> = source.iter().flat_map(|s| -> Vec<f64> { row(s) }).collect();
    for direction in [Direction::Reverse, Direction::Forward] {
        let mut options = options(Batch::None, direction);
        options.emit = vec![Quantity::Weights];
        let (mut augmented, _) = transform(model.clone(), &options).unwrap();
        let graph = &mut augmented.graph;
        graph.outputs.remove(0);
        super::simplify::remove_dead(graph, &HashSet::new());
        let outputs = run(&augmented, dims, DataType::F64, &values(count));
        assert_eq!(flat(&outputs["slp/l/weights"]), wanted, "{nodes} {direction}");
    }
}

#[test]
fn a_part_of_a_split_may_be_left_out() {
    let part = |from, to| (from..to).map(Some).collect::<Vec<_>>();
    let sizes = "int64[3] sizes = {1,3,2}";
    for (nodes, source) in [
        ("\"\", y = Split <axis=1, num_outputs=2> (x)", part(3, 6)),
        ("a, \"\", y = Split <axis=1> (x, sizes)", part(4, 6)),
        ("\"\", y, a = Split <axis=1> (x, sizes)", part(1, 4)),
        ("y, \"\", \"\" = Split <axis=-1> (x, sizes)", part(0, 1)),
    ] {
        moves("[1,6]", sizes, nodes, &[1, 6], &source);
    }
}

#[test]
fn pads_may_cut_and_name_axes() {
    let pad = |pads: &str, axes: &str, source: &[Option<usize>]| {
        let constants = format!("int64[N] pads = {{{pads}}}, int64[M] axes = {{{axes}}}");
        let count = |list: &str| list.split(',').count().to_string();
        let constants = constants.replace('N', &count(pads)).replace('M', &count(axes));
        moves("[2,3]", &constants, "y = Pad (x, pads, , axes)", &[2, 3], source);
    };
    let [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5].map(Some);
    let none = None;
    pad("0,-1,1,2", "0,1", &[b, c, none, none, e, f, none, none, none, none, none, none]);
    pad("-1,1", "0", &[d, e, f, none, none, none]);
    pad("-1,-1", "-1", &[b, e]);
    pad("1,0", "-1", &[none, a, b, c, none, d, e, f]);
    pad("1,-1,0,0", "1,0", &[none, d, e, f]);
}

#[test]
fn steps_longer_than_the_axis_take_one_element() {
    let constants =
        "int64[1] first = {1}, int64[1] last = {-1}, int64[1] end = {9}, int64[1] begin = {-9},
        int64[1] axis = {1}, int64[1] far = {1099511627776}, int64[1] back = {-1099511627776}";
    moves("[1,3]", constants, "y = Slice (x, first, end, axis, far)", &[1, 3], &[Some(1)]);
    moves("[1,3]", constants, "y = Slice (x, last, begin, axis, back)", &[1, 3], &[Some(2)]);
}

#[test]
fn gelu_is_flat_far_out() {
    for approximate in ["none", "tanh"] {
        let nodes = format!("y = Gelu <approximate=\"{approximate}\"> (x)");
        let mut model = model("float[3]", "float[3]", "", &nodes);
        model.opsets.insert(crate::graph::STANDARD.to_owned(), 20);
        for direction in [Direction::Reverse, Direction::Forward] {
            let (augmented, _) =
                transform(model.clone(), &options(Batch::None, direction)).unwrap();
            let outputs = run(&augmented, &[3], DataType::F32, &[-1e20, 0.0, 1e20]);
            let weights = flat(&outputs["slp/l/weights"]);
            for (found, wanted) in weights.iter().zip([0., 0., 0., 0., 0.5, 0., 0., 0., 1.]) {
                assert!((found - wanted).abs() < 1e-4, "{approximate} {direction}: {weights:?}");
            }
        }
    }
}

#[test]
fn infinite_masks_leave_the_bias_finite() {
    let constants = "double[3, 3] mask = {0, -inf, -inf, 0, 0, -inf, 0, 0, 0}, \
                     bool[3, 3] seen = {1, 0, 0, 1, 1, 0, 1, 1, 1}, double low = {-inf}";
    for masked in ["m = Add (s, mask)", "m = Where (seen, s, low)"] {
        let nodes = format!(
            "t = Transpose <perm = [0, 2, 1]> (x) s = MatMul (x, t) {masked} \
             p = Softmax <axis = -1> (m) y = MatMul (p, x)"
        );
        let model = model("double[N, 3, 2]", "double[N, 3, 2]", constants, &nodes);
        check(&model, Batch::Auto, &[2, 3, 2], 2);
    }
}

#[test]
fn half_precision_keeps_its_type_and_slopes() {
    let cases = [
        ("y = Relu (x)", [0.0, 1.0]),
        ("y = LeakyRelu <alpha=0.25> (x)", [0.25, 1.0]),
        ("y = Clip (x, low, high)", [0.0, 1.0]),
        ("y = Abs (x)", [-1.0, 1.0]),
        ("y = Mul (x, high)", [1.0, 1.0]),
        ("y = Max (x, low)", [0.0, 1.0]),
        ("y = Pow (x, two)", [-2.0, 1.0]),
        ("c = Cast <to=1> (x) s = Mul (c, c) y = Cast <to=10> (s)", [-2.0, 1.0]),
    ];
    let constants = "float16 low = {-0.5}, float16 high = {1.0}, float16 two = {2.0}";
    for (nodes, slopes) in cases {
        let model = model("float16[2]", "float16[2]", constants, nodes);
        for direction in [Direction::Reverse, Direction::Forward] {
            let (augmented, _) =
                transform(model.clone(), &options(Batch::None, direction)).unwrap();
            let outputs = run(&augmented, &[2], DataType::F16, &[-1.0, 0.5]);
            let weights = &outputs["slp/l/weights"];
            assert_eq!(weights.dtype(), DataType::F16, "{nodes}");
            assert_eq!(flat(weights), [slopes[0], 0.0, 0.0, slopes[1]], "{nodes} {direction}");
        }
    }
}

#[test]
fn casts_between_floats_keep_slopes() {
    let nodes = "s = Cast <to=1> (x) m = Mul (s, s) y = Cast <to=11> (m)";
    let model = model("double[2]", "double[2]", "", nodes);
    let (augmented, _) = transform(model, &options(Batch::None, Direction::Reverse)).unwrap();
    let outputs = run(&augmented, &[2], DataType::F64, &[0.5, -3.0]);
    assert_eq!(flat(&outputs["slp/l/weights"]), [1.0, 0.0, 0.0, -6.0]);
    assert_eq!(outputs["slp/l/weights"].dtype(), DataType::F64);
}
