//! Numbers at the edge: ties, zeros, dead layers, tiny and huge weights, infinities and what is no
//! number, in tract and ONNX Runtime and in both directions.

mod common;

use common::{Outputs, options, towards};
use ndarray::{ArrayD, Axis};
use slpc::compile::plan::Direction::{Forward, Reverse};
use slpc::compile::transform;
use slpc::engine::{Array, Backend, Session, Setup};
use slpc::graph::DataType;
use slpc::onnx::{text::parse, to_bytes};

/// What single precision may round off: of the magnitudes that are summed, and below the smallest
/// normal number, where nothing has relative precision.
const SINGLE: (f64, f64) = (1e-5, 1e-36);
/// The same of functions with sums of their own, as large as 1.
const INNER: (f64, f64) = (1e-4, 1e-6);
/// The same of half precision.
const HALF: (f64, f64) = (4e-3, 1e-4);

/// What every engine gives in every direction for the neurons of `y`, by the name of both.
fn everywhere(graph: &str, x: &ArrayD<f64>) -> Vec<(String, Outputs)> {
    let text = format!("<ir_version: 8, opset_import: [\"\" : 18]> {graph}");
    let model = parse(&text).unwrap_or_else(|error| panic!("{error}: {graph}"));
    let dtype = model.graph.value(model.graph.inputs[0]).dtype.unwrap();
    let library = Some(common::onnxruntime());
    let outside = Setup { backend: Backend::OnnxRuntime, library, ..Setup::default() };
    let mut found = Vec::new();
    for direction in [Reverse, Forward] {
        let request = options(&["y"], "all", "activity,weights,bias,centre,icd,bias-terms");
        let (augmented, _) = transform(model.clone(), &towards(direction, request))
            .unwrap_or_else(|error| panic!("{error}: {graph}"));
        let bytes = to_bytes(&augmented).unwrap();
        for setup in [&Setup::default(), &outside] {
            let name = format!("{direction} in {}: {graph}", setup.backend);
            let input = [("x", Array::floats(dtype, x.clone()).unwrap())];
            let outputs = Session::from_bytes(&bytes, setup).and_then(|mut s| s.run(&input));
            let outputs = outputs.unwrap_or_else(|error| panic!("{name}: {error}"));
            found.push((name, Outputs(outputs.into_iter().collect())));
        }
    }
    found
}

/// `[samples, components]` from rows.
fn rows<const D: usize>(rows: &[[f64; D]]) -> ArrayD<f64> {
    let flat = rows.iter().flatten().copied().collect();
    ArrayD::from_shape_vec(vec![rows.len(), D], flat).unwrap()
}

/// The rows of one quantity, a list of numbers for each sample.
fn samples(outputs: &Outputs, quantity: &str) -> Vec<Vec<f64>> {
    let array = outputs.of("y", quantity);
    array.axis_iter(Axis(0)).map(|row| row.iter().copied().collect()).collect()
}

fn finite(list: &[f64]) -> bool {
    list.iter().all(|v| v.is_finite())
}

/// Checks METHOD's identities for every neuron that the model keeps finite, at finite inputs;
/// everything must be finite there. Gives how many neurons those were.
fn check(name: &str, x: &ArrayD<f64>, outputs: &Outputs, (rounding, tiny): (f64, f64)) -> usize {
    let [v, w, b, c, i, t] = ["activity", "weights", "bias", "centre", "icd", "bias-terms"]
        .map(|quantity| samples(outputs, quantity));
    let dtype = outputs.0["slp/y/weights"].dtype();
    let least = if dtype == DataType::F32 { f32::MIN_POSITIVE.into() } else { 0.0 };
    let mut checked = 0;
    let x = Array::floats(dtype, x.clone()).unwrap().to_f64();
    for (n, x) in x.axis_iter(Axis(0)).enumerate() {
        let x: Vec<f64> = x.iter().copied().collect();
        let neurons = v[n].len();
        for k in (0..neurons).filter(|&k| finite(&x) && v[n][k].is_finite()) {
            let part = |list: &[Vec<f64>]| {
                let count = list[n].len() / neurons;
                list[n][k * count..][..count].to_vec()
            };
            for (what, list) in [("ŵ", &w), ("b̂", &b), ("ĉ", &c), ("ν̂", &i), ("terms", &t)] {
                let own = part(list);
                assert!(finite(&own), "{name}: {what} of {n}, neuron {k}: {own:?}, x {x:?}");
            }
            let (v, w, c, i) = (v[n][k], part(&w), part(&c), part(&i));
            let products: Vec<f64> = w.iter().zip(&x).map(|(w, x)| w * x).collect();
            let scale = products.iter().fold(v.abs() + b[n][k].abs(), |a, p| a + p.abs());
            let rest = v - products.iter().sum::<f64>() - b[n][k];
            let close = |a: f64, scale: f64| a.abs() <= rounding * scale + tiny;
            assert!(close(rest, scale), "{name}: v − x·ŵ − b̂ = {rest:e} of {scale:e}, {x:?}");
            let terms = part(&t);
            let (total, sum) = terms.iter().fold((0.0, scale), |(t, s), b| (t + b, s + b.abs()));
            assert!(close(total - b[n][k], sum), "{name}: terms sum to {total}, not {}", b[n][k]);
            // Rows below the smallest normal number count as zero.
            if w.iter().all(|w| *w == 0.0 || w.abs() < least) {
                let moved = c.iter().zip(&x).any(|(c, x)| (c - x).abs() > least);
                assert!(!moved, "{name}: the centre {c:?} where ŵ = 0, {x:?}");
                assert!(i.iter().all(|i| i.abs() <= least), "{name}: ν̂ = {i:?} where ŵ = 0");
            } else {
                let total: f64 = i.iter().sum();
                assert!(close(total - v, v.abs()), "{name}: Σν̂ = {total:e}, v = {v:e}, {x:?}");
                let sign = |i: &f64| *i == 0.0 || i.signum() == v.signum();
                assert!(i.iter().all(sign), "{name}: ν̂ = {i:?} has not the sign of {v:e}");
            }
            checked += 1;
        }
    }
    checked
}

/// Checks a model everywhere, and that all places agree; gives what the first found.
fn agreed(graph: &str, x: &ArrayD<f64>, rounding: (f64, f64)) -> Outputs {
    let mut found = everywhere(graph, x);
    for (name, outputs) in &found {
        assert!(check(name, x, outputs, rounding) > 0, "{name}: nothing is finite");
    }
    let (first, rest) = found.split_first().unwrap();
    for (name, outputs) in rest {
        for quantity in ["activity", "weights", "bias", "centre", "icd"] {
            let both = [&first.1, outputs].map(|outputs| samples(outputs, "activity"));
            for (n, a) in samples(&first.1, quantity).iter().enumerate() {
                // An engine may compute half precision in single, and overflow later.
                if both.iter().any(|activity| !finite(&activity[n])) {
                    continue;
                }
                let b = &samples(outputs, quantity)[n];
                let scale = a.iter().filter(|a| a.is_finite()).fold(0f64, |m, a| m.max(a.abs()));
                let same = |(a, b): (&f64, &f64)| {
                    a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= rounding.0 * scale
                };
                let all = a.iter().zip(b).all(same);
                assert!(all, "{quantity}, {} and {name}: {a:?} and {b:?}", first.0);
            }
        }
    }
    found.swap_remove(0).1
}

#[test]
fn at_a_kink_the_inactive_side_is_taken() {
    let x = rows(&[[0.0, 0.0], [-0.0, 1.0], [1e-40, -1e-40]]);
    for (op, slopes) in [
        ("Relu", [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]),
        ("Abs", [[0.0, 0.0], [0.0, 1.0], [1.0, -1.0]]),
        ("LeakyRelu <alpha = 0.5>", [[0.5, 0.5], [0.5, 1.0], [1.0, 0.5]]),
        ("ThresholdedRelu <alpha = 0.0>", [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]),
    ] {
        let graph = format!("g (float[N, 2] x) => (float[N, 2] y) {{ y = {op} (x) }}");
        let found = agreed(&graph, &x, SINGLE);
        for (n, row) in samples(&found, "weights").iter().enumerate() {
            let [a, b] = slopes[n];
            assert_eq!(row, &[a, 0.0, 0.0, b], "{op}, sample {n}");
        }
    }
}

#[test]
fn the_first_of_equals_wins() {
    let x = rows(&[[0.0; 4], [2.0; 4], [-3.0, 5.0, 5.0, 1.0], [-1.0; 4]]);
    let first = [0, 0, 1, 0];
    let pool = "c = Reshape (x, s) p = MaxPool <kernel_shape = [4]> (c) y = Flatten (p)";
    for body in [
        pool,
        "y = ReduceMax <keepdims = 1> (x, one)",
        "c = Reshape (x, s) p = GlobalMaxPool (c) y = Flatten (p)",
        "a, b, c, d = Split <axis = 1, num_outputs = 4> (x) y = Max (a, b, c, d)",
        "v, i = TopK (x, one) y = Identity (v)",
    ] {
        let graph = format!(
            "g (float[N, 4] x) => (float[N, 1] y) <int64[3] s = {{-1, 1, 4}}, int64[1] one = {{1}}>
             {{ {body} }}"
        );
        let found = agreed(&graph, &x, SINGLE);
        for (n, row) in samples(&found, "weights").iter().enumerate() {
            let winner: Vec<f64> = (0..4).map(|i| f64::from(u8::from(i == first[n]))).collect();
            assert_eq!(*row, winner, "{body}, sample {n}");
        }
    }
}

#[test]
fn a_dead_layer_is_all_bias() {
    let graph = "g (float[N, 2] x) => (float[N, 2] y) <float[2, 3] w = {1, -2, 3, -4, 5, -6},
        float[3] dead = {-1000, -1000, -1000}, float[3, 2] u = {1, 2, 3, 4, 5, 6}, float[2] c = {0.5, -0.25}>
        { h = MatMul (x, w) b = Add (h, dead) r = Relu (b) m = MatMul (r, u) y = Add (m, c) }";
    let found = agreed(graph, &rows(&[[1.0, 2.0], [0.0, 0.0], [-5.0, 3.0]]), SINGLE);
    assert!(samples(&found, "weights").concat().iter().all(|&w| w == 0.0));
    assert!(samples(&found, "bias").iter().all(|b| b == &[0.5, -0.25]));
}

#[test]
fn tiny_and_huge_weights_keep_their_centre() {
    let x = rows(&[[1.0, -2.0], [0.5, 0.25], [1e-3, 1e3], [0.0, 0.0]]);
    for scale in ["1e30", "1e18", "1e-18", "1e-22", "1e-30", "1e-37"] {
        for op in ["Identity", "Relu"] {
            let graph = format!(
                "g (float[N, 2] x) => (float[N, 2] y) <float[2, 2] w = {{1, -2, 3, 0.5}}, float s = {{{scale}}}>
                 {{ u = Mul (w, s) h = MatMul (x, u) y = {op} (h) }}"
            );
            agreed(&graph, &x, SINGLE);
        }
    }
    // Weights below the smallest normal number, where every step has an absolute error only.
    let graph = "g (float[N, 2] x) => (float[N, 1] y) <float[2, 1] w = {1e-40, -3e-41}>
        { y = MatMul (x, w) }";
    for (name, outputs) in everywhere(graph, &x) {
        check(&name, &x, &outputs, SINGLE);
    }
}

#[test]
fn what_a_model_keeps_finite_stays_finite() {
    let edge =
        [0.0, -0.0, 1e-37, -1e-37, 1e-20, 1e-8, 1.0, -1.0, 20.0, -20.0, 100.0, -100.0, 1e4, -1e4];
    let x: Vec<[f64; 2]> = edge.iter().flat_map(|&a| [[a, a], [a, 0.5], [-1.0, a]]).collect();
    let x = rows(&x);
    let unary = [
        "Sigmoid",
        "Tanh",
        "Softplus",
        "Softsign",
        "Elu",
        "Selu",
        "Celu",
        "Exp",
        "Sqrt",
        "Sin",
        "Atan",
        "Erf",
        "HardSigmoid",
        "HardSwish",
        "Mish",
        "Relu",
        "Abs",
        "Sinh",
        "Asinh",
        "Softmax",
        "LogSoftmax",
        "LpNormalization",
    ];
    let nodes = unary.iter().map(|op| format!("y = {op} (x)")).chain(
        [
            "s = Sigmoid (x) y = Mul (x, s)",
            "y = Pow (x, two)",
            "y = Pow (x, half)",
            "y = Pow (x, three)",
            "y = Clip (x, half, two)",
            "y = LayerNormalization <axis = -1> (x, scale)",
            "y = ReduceL2 <keepdims = 1> (x, axes)",
            "y = ReduceL1 <keepdims = 1> (x, axes)",
            "y = ReduceLogSumExp <keepdims = 1> (x, axes)",
            "y = ReduceProd <keepdims = 1> (x, axes)",
            "y = CumSum (x, last)",
        ]
        .map(str::to_owned),
    );
    for body in nodes {
        let graph = format!(
            "g (float[N, 2] x) => (float[N, M] y) <float two = {{2}}, float half = {{0.5}},
             float three = {{3}}, float[2] scale = {{1, 2}}, int64[1] axes = {{1}}, int64 last = {{1}}>
             {{ {body} }}"
        );
        for (name, outputs) in everywhere(&graph, &x) {
            let checked = check(&name, &x, &outputs, INNER);
            assert!(checked > 10, "{name}: {checked}");
        }
    }
}

#[test]
fn what_is_infinitely_steep_leaves_its_neighbours_alone() {
    // The slope in the first component is infinite, or beyond single precision, and counts as 0.
    let steep = [
        ("y = Log (x)", 0.0),
        ("y = Log (x)", 1e-40),
        ("y = Reciprocal (x)", 1e-20),
        ("y = Reciprocal (x)", 0.0),
        ("y = Div (one, x)", 1e-20),
        ("y = Div (one, x)", 0.0),
        ("y = Pow (x, minus)", 1e-20),
        ("y = Pow (x, three)", 1e20),
        ("y = Exp (x)", 100.0),
        ("y = Cosh (x)", -100.0),
        ("y = Sinh (x)", 100.0),
        ("y = Atanh (x)", 1.0),
        ("r = Relu (x) y = Log (r)", -1.0),
    ];
    for (body, at) in steep {
        let other = 0.5;
        let graph = format!(
            "g (float[N, 2] x) => (float[N, 2] y) <float one = {{1}}, float minus = {{-1}}, float three = {{3}}>
             {{ {body} }}"
        );
        let found = agreed(&graph, &rows(&[[at, other], [other, other]]), SINGLE);
        let weights = samples(&found, "weights");
        assert_eq!(weights[0][..3], [0.0; 3], "{body} at {at:e}");
        let slope = weights[1][0];
        assert!(slope != 0.0 && weights[0][3] == slope, "{body}: {weights:?}");
    }
}

#[test]
fn what_overflows_on_its_way_and_comes_back_is_explained() {
    // The exponential of 100 is beyond single precision; what follows from it is an ordinary number.
    let x = rows(&[[-100.0, 1.0], [100.0, -1.0], [0.0, 100.0]]);
    for body in [
        "n = Neg (x) e = Exp (n) d = Add (e, one) y = Reciprocal (d)",
        "n = Neg (x) e = Exp (n) d = Add (e, one) y = Div (one, d)",
        "n = Neg (x) e = Exp (n) d = Add (e, one) y = Div (x, d)",
        "n = Neg (x) e = Exp (n) t = Mul (e, two) d = Add (t, one) q = Div (x, d) y = MatMul (q, w)",
        "c = Cosh (x) y = Reciprocal (c)",
        "r = Relu (x) l = Log (r) y = Sigmoid (l)",
        "r = Relu (x) l = Log (r) y = Softmax (l)",
        "r = Relu (x) l = Log (r) e = Exp (l) y = MatMul (e, w)",
    ] {
        let graph = format!(
            "g (float[N, 2] x) => (float[N, 2] y) <float one = {{1}}, float two = {{2}},
             float[2, 2] w = {{1, -2, 3, 4}}> {{ {body} }}"
        );
        for (name, outputs) in everywhere(&graph, &x) {
            let activities = samples(&outputs, "activity").concat();
            assert!(finite(&activities), "{name}: the model itself overflows: {activities:?}");
            assert_eq!(check(&name, &x, &outputs, INNER), 6, "{name}");
        }
    }
}

#[test]
fn a_sample_that_is_no_number_leaves_the_others_alone() {
    let sound = [0.3, -0.7, 1.5, 0.0];
    for graph in [
        "g (float[N, 4] x) => (float[N, 2] y) <float[4, 3] w = {1, -2, 3, -4, 5, -6, 7, 8, 9, -1, 2, 1},
            float[3, 2] u = {1, 2, 3, 4, 5, 6}>
            { h = MatMul (x, w) r = Relu (h) y = MatMul (r, u) }",
        "g (float[N, 4] x) => (float[N, 2] y) <int64[4] s = {-1, 1, 2, 2}, float[2, 1, 2, 2] k =
            {1, -2, 3, -4, 5, -6, 7, 8}>
            { c = Reshape (x, s) h = Conv (c, k) r = Sigmoid (h) y = Flatten (r) }",
        "g (float[N, 4] x) => (float[N, 1] y) <int64[3] s = {-1, 1, 4}>
            { c = Reshape (x, s) p = MaxPool <kernel_shape = [4]> (c) y = Flatten (p) }",
        "g (float[N, 4] x) => (float[N, 4] y) { y = Softmax <axis = -1> (x) }",
    ] {
        let alone = everywhere(graph, &rows(&[sound]));
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let x = rows(&[[odd, 1.0, 2.0, 3.0], sound, [1.0, odd, odd, odd]]);
            for ((name, outputs), (_, alone)) in everywhere(graph, &x).iter().zip(&alone) {
                for quantity in ["activity", "weights", "bias", "centre", "icd"] {
                    let (here, there) = (samples(outputs, quantity), samples(alone, quantity));
                    assert!(finite(&here[1]), "{odd}, {name}: {quantity} {:?}", here[1]);
                    let scale = there[0].iter().fold(0f64, |m, a| m.max(a.abs()));
                    let same = |(a, b): (&f64, &f64)| (a - b).abs() <= SINGLE.0 * scale;
                    assert!(here[1].iter().zip(&there[0]).all(same), "{odd}, {name}: {quantity}");
                }
            }
        }
    }
}

#[test]
fn weights_of_a_switched_network_are_numbers_where_the_input_is_infinite() {
    // The rows of a piecewise linear network are made of its weights alone.
    let graph = "g (float[N, 2] x) => (float[N, 2] y) <float[2, 3] w = {1, -2, 3, -4, 5, -6},
        float[3, 2] u = {1, 2, 3, 4, 5, 6}>
        { h = MatMul (x, w) r = Relu (h) y = MatMul (r, u) }";
    let inf = f64::INFINITY;
    let x = rows(&[[inf, 1.0], [-inf, inf], [3e38, 3e38], [1.0, -inf]]);
    for (name, outputs) in everywhere(graph, &x) {
        let weights = samples(&outputs, "weights");
        assert!(weights.iter().all(|row| finite(row)), "{name}: {weights:?}");
    }
}

#[test]
fn half_precision_overflows_only_where_the_model_does() {
    // ‖ŵ‖² is 180,000 and x·ŵ passes 65,504 on its way, both beyond half precision.
    let x =
        rows(&[[100.0, 100.0, 100.0], [200.0, 0.0, -150.0], [0.0, 0.0, 0.0], [-200.0, 100.0, 1.0]]);
    let graph = "g (float16[N, 3] x) => (float16[N, 1] y) <float16[3, 1] w = {300.0, -300.0, 0.5}>
        { y = MatMul (x, w) }";
    let found = agreed(graph, &x, HALF);
    assert_eq!(samples(&found, "weights")[0], [300.0, -300.0, 0.5]);
    let small = "g (float16[N, 3] x) => (float16[N, 1] y) <float16[3, 1] w = {6e-5, -1e-6, 2e-7}>
        { y = MatMul (x, w) }";
    for (name, outputs) in everywhere(small, &x) {
        check(&name, &x, &outputs, HALF);
    }
}

/// ONNX Runtime leaves out casts to half precision and back, so that a result may be rounded where
/// what it is the largest of is not.
#[test]
fn one_candidate_wins_whatever_is_rounded() {
    let x = rows(&[[0.3, -0.7], [0.91, 0.13], [-0.377, 0.61]]);
    for nodes in [
        "y = Max (a, a)",
        "y = Min (b, a, b)",
        "y = ScatterElements <axis = 1, reduction = \"max\"> (a, places, b)",
        "y = ScatterElements <axis = 1, reduction = \"min\"> (b, places, a)",
    ] {
        let graph = format!(
            "g (float16[3, 2] x) => (float16[3, 2] y) <float16[2, 2] w = {{0.301, -0.7, 0.513, 0.11}},
             float16[2, 2] u = {{0.71, 0.903, -0.17, 0.57}},
             int64[3, 2] places = {{0, 1, 0, 1, 1, 0}}>
             {{ a = MatMul (x, w) b = MatMul (x, u) {nodes} }}"
        );
        agreed(&graph, &x, HALF);
    }
}
