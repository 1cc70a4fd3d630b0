//! Regions of small networks: within the radius nothing switches, and beyond it the one switch that it
//! names does.

use std::collections::HashMap;

use ndarray::{ArrayD, IxDyn};

use crate::compile::plan::Limits;
use crate::compile::project::Quantity;
use crate::compile::rules::testing::in_onnxruntime;
use crate::compile::select::{Batch, Choice};
use crate::compile::{LayerRequest, Options, transform};
use crate::engine::Array;
use crate::engine::tract::Session;
use crate::error::Result;
use crate::graph::{DataType, Model};
use crate::noise::Noise;
use crate::onnx;

type Outputs = HashMap<String, Array>;

/// The network `nodes` from x to y with weights `a`, `b` of those dimensions, and what it is asked.
struct Net {
    x: &'static str,
    constants: String,
    nodes: &'static str,
    batch: Batch,
}

fn weights(name: &str, dims: &[usize], seed: u64) -> String {
    let count = dims.iter().product();
    let values: Vec<String> =
        Noise::new(seed).normals(count).iter().map(|v| format!("{v:.4}")).collect();
    let dims: Vec<String> = dims.iter().map(ToString::to_string).collect();
    format!("float[{}] {name} = {{{}}}", dims.join(","), values.join(", "))
}

/// A network of `y = f(x A + p) B` for the operators `f` from h to r, both with `width` elements.
fn dense(nodes: &'static str, width: usize, out: usize) -> Net {
    let list =
        [weights("a", &[4, width], 1), weights("p", &[width], 2), weights("b", &[out, 2], 3)];
    Net { x: "N, 4", constants: list.join(", "), nodes, batch: Batch::Axis(0) }
}

impl Net {
    fn model(&self) -> Model {
        let Self { x, constants, nodes, .. } = self;
        let text = format!(
            "<ir_version: 8, opset_import: [\"\": 19]> g (float[{x}] x) => (float[N, L] y) \
             <{constants}> {{ {nodes} }}"
        );
        onnx::text::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn augmented(&self, emit: &[Quantity]) -> Result<Model> {
        let mut options = Options { neurons: Some(Choice::Top(1)), ..Options::default() };
        options.batch = self.batch;
        options.emit = emit.to_vec();
        options.layers = vec![LayerRequest { alias: Some("l".into()), what: "y".into() }];
        Ok(transform(self.model(), &options)?.0)
    }
}

fn in_tract(model: &Model, dims: &[usize], x: &[f64]) -> Outputs {
    let bytes = onnx::to_bytes(model).unwrap();
    let session = Session::new(&bytes, &[("x".to_owned(), dims.to_vec())]);
    let session = session.unwrap_or_else(|error| panic!("{error}"));
    let x = ArrayD::from_shape_vec(IxDyn(dims), x.to_vec()).unwrap();
    let outputs = session.run(&[("x", Array::floats(DataType::F32, x).unwrap())]);
    outputs.unwrap_or_else(|error| panic!("{error}")).into_iter().collect()
}

/// Radius, nearest switch and state of each of the inputs.
fn regions(model: &Model, dims: &[usize], inputs: &[Vec<f64>]) -> Vec<(f64, usize, Vec<i64>)> {
    let dims: Vec<usize> = std::iter::once(inputs.len()).chain(dims.iter().copied()).collect();
    let outputs = in_tract(model, &dims, &inputs.concat());
    let get = |name: &str| -> Vec<f64> {
        outputs[&format!("slp/l/{name}")].to_f64().iter().copied().collect()
    };
    let (radius, nearest, state) = (get("radius"), get("radius-neuron"), get("state"));
    let width = state.len() / inputs.len();
    let states = state.chunks(width).map(|row| row.iter().map(|&s| s as i64).collect());
    let rest = radius.into_iter().zip(nearest);
    rest.zip(states).map(|((radius, nearest), s)| (radius, nearest as usize, s)).collect()
}

fn moved(x: &[f64], way: &[f64], by: f64) -> Vec<f64> {
    x.iter().zip(way).map(|(x, w)| x + by * w).collect()
}

fn length(v: &[f64]) -> f64 {
    v.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// At several inputs: every step of 0.998 radius keeps the state; the gradient of the radius, by
/// differences, has length 1, and against it the step of 0.998 radius keeps the state and that of
/// 1.002 changes the switch that is named, and no other unless both are at the border.
#[track_caller]
fn check(net: &Net, dims: &[usize]) {
    let model = net.augmented(&[Quantity::State, Quantity::Radius]).unwrap();
    let size: usize = dims.iter().product();
    let mut noise = Noise::new(5);
    let (mut crossed, mut named) = (0, 0);
    for _ in 0..6 {
        let x = noise.normals(size);
        let (radius, nearest, state) = regions(&model, dims, std::slice::from_ref(&x)).remove(0);
        assert!(radius.is_finite() && radius > 0.0, "{}: radius {radius}", net.nodes);
        let steps = (0..100).map(|_| {
            let way = noise.normals(size);
            moved(&x, &way, 0.998 * radius / length(&way))
        });
        let steps: Vec<_> = steps.collect();
        for (_, _, other) in regions(&model, dims, &steps) {
            assert_eq!(other, state, "{}: within {radius}", net.nodes);
        }
        let h = 0.01 * radius;
        let unit = |i: usize| (0..size).map(|j| if i == j { 1.0 } else { 0.0 }).collect::<Vec<_>>();
        let ends = (0..size).flat_map(|i| [moved(&x, &unit(i), h), moved(&x, &unit(i), -h)]);
        let ends = regions(&model, dims, &ends.collect::<Vec<_>>());
        let slope: Vec<f64> = ends.chunks(2).map(|e| (e[0].0 - e[1].0) / (2.0 * h)).collect();
        // Where two borders are equally near, differences of the radius show no normal.
        if ends.iter().any(|(_, other, _)| *other != nearest) {
            continue;
        }
        assert!((length(&slope) - 1.0).abs() < 1e-2, "{}: slope {}", net.nodes, length(&slope));
        let near = regions(&model, dims, &[moved(&x, &slope, -0.998 * radius / length(&slope))]);
        let far = regions(&model, dims, &[moved(&x, &slope, -1.002 * radius / length(&slope))]);
        assert_eq!(near[0].2, state, "{}", net.nodes);
        assert_ne!(far[0].2, state, "{}", net.nodes);
        // A ReLU and the pooling behind it may switch together, and the pooling to where it was.
        named += usize::from(far[0].2[nearest] != state[nearest]);
        crossed += 1;
    }
    assert!(crossed >= 3 && named + 1 >= crossed, "{}: {named} of {crossed}", net.nodes);
}

#[test]
fn element_wise_switches() {
    for r in [
        "Relu (h)",
        "LeakyRelu <alpha = 0.1> (h)",
        "ThresholdedRelu <alpha = 0.5> (h)",
        "Abs (h)",
        "Shrink <lambd = 0.3, bias = 0.1> (h)",
        "HardSigmoid <alpha = 0.3> (h)",
        "HardSigmoid <alpha = -0.3, beta = 0.4> (h)",
        "Clip (h, low, high)",
        "Clip (h, low)",
        "Clip (h, , high)",
        "PRelu (h, q)",
        "Max (h, low)",
        "Min (low, h, high)",
        "Max (h, q)",
        "Max (h, q, s)",
    ] {
        let nodes =
            format!("u = MatMul (x, a) h = Add (u, p) s = MatMul (x, c) r = {r} y = MatMul (r, b)");
        let mut net = dense(Box::leak(nodes.into_boxed_str()), 5, 5);
        net.constants += ", float low = {-0.4}, float high = {0.7}, ";
        net.constants += &[weights("q", &[5], 4), weights("c", &[4, 5], 6)].join(", ");
        check(&net, &[4]);
    }
}

#[test]
fn deeper_networks() {
    let nodes = "u = MatMul (x, a) h = Add (u, p) r = Relu (h) t = MatMul (r, c) s = Relu (t) \
         y = MatMul (s, b)";
    let mut net = dense(nodes, 6, 5);
    net.constants += &format!(", {}", weights("c", &[6, 5], 4));
    check(&net, &[4]);
}

#[test]
fn winners_of_reductions() {
    for (r, out) in [
        ("ReduceMax <keepdims = 0> (t, axes)", 2),
        ("ReduceMin <keepdims = 0> (t, axes)", 2),
        ("GlobalMaxPool (t)", 2),
    ] {
        let nodes = format!(
            "u = MatMul (x, a) h = Add (u, p) t = Reshape (h, shape) g = {r} \
             r = Reshape (g, flat) y = MatMul (r, b)"
        );
        let mut net = dense(Box::leak(nodes.into_boxed_str()), 6, out);
        net.constants += ", int64[3] shape = {-1, 2, 3}, int64[2] flat = {-1, 2}, \
            int64[1] axes = {-1}";
        check(&net, &[4]);
    }
}

#[test]
fn winners_of_windows() {
    for (pool, count) in [
        ("kernel_shape = [2, 2], strides = [2, 2]", 4),
        ("kernel_shape = [2, 2], strides = [1, 2]", 6),
        ("kernel_shape = [3, 2], strides = [2, 2], pads = [1, 0, 1, 1]", 4),
        ("kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1", 4),
        ("kernel_shape = [2, 2], dilations = [2, 1]", 6),
        ("kernel_shape = [3, 2], strides = [2, 3], auto_pad = \"SAME_UPPER\"", 4),
        ("kernel_shape = [2, 3], strides = [3, 2], auto_pad = \"SAME_LOWER\"", 4),
        ("kernel_shape = [2, 2], strides = [2, 2], auto_pad = \"VALID\"", 4),
    ] {
        let nodes = format!(
            "c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, k, e) h = Relu (c) \
             m = MaxPool <{pool}> (h) r = Reshape (m, flat) y = MatMul (r, b)"
        );
        let list = [
            weights("k", &[2, 1, 3, 3], 1),
            weights("e", &[2], 2),
            weights("b", &[2 * count, 2], 3),
            format!("int64[2] flat = {{-1, {}}}", 2 * count),
        ];
        let (constants, batch) = (list.join(", "), Batch::Axis(0));
        let nodes = Box::leak(nodes.into_boxed_str());
        check(&Net { x: "N, 1, 4, 4", constants, nodes, batch }, &[1, 4, 4]);
    }
}

const RELU: &str = "u = MatMul (x, a) h = Add (u, p) r = Relu (h) y = MatMul (r, b)";

#[test]
fn the_radius_is_the_least_of_the_formula() {
    let net = dense(RELU, 5, 5);
    let x = [0.3, -0.7, 1.1, 0.2];
    let [a, p] = [Noise::new(1).normals(20), Noise::new(2).normals(5)];
    let round = |v: &f64| (v * 1e4).round() / 1e4;
    let distance = |m: usize| {
        let w: Vec<f64> = (0..4).map(|i| round(&a[i * 5 + m])).collect();
        let v: f64 = w.iter().zip(&x).map(|(w, x)| w * x).sum::<f64>() + round(&p[m]);
        v.abs() / length(&w)
    };
    let all: Vec<f64> = (0..5).map(distance).collect();
    let least = (0..5).min_by(|&a, &b| all[a].total_cmp(&all[b])).unwrap();
    let model = net.augmented(&[Quantity::Radius]).unwrap();
    for outputs in [
        in_tract(&model, &[1, 4], &x),
        in_onnxruntime(&onnx::to_bytes(&model).unwrap(), ("x", &[1, 4]), DataType::F32, &x)
            .into_iter()
            .collect(),
    ] {
        let radius = outputs["slp/l/radius"].to_f64();
        assert!((radius[[0]] - all[least]).abs() < 1e-6, "{radius} {all:?}");
        assert_eq!(outputs["slp/l/radius-neuron"].to_f64()[[0]], least as f64);
    }
}

#[test]
fn a_batch_as_one_sample_has_one_radius() {
    let mut net = dense(RELU, 5, 5);
    let x = [0.3, -0.7, 1.1, 0.2, -0.5, 0.4, 0.1, -0.2];
    let emit = [Quantity::State, Quantity::Radius];
    let apart = in_tract(&net.augmented(&emit).unwrap(), &[2, 4], &x);
    net.batch = Batch::None;
    let whole = in_tract(&net.augmented(&emit).unwrap(), &[2, 4], &x);
    let least = apart["slp/l/radius"].to_f64().iter().fold(f64::MAX, |a, &b| a.min(b));
    let (radius, state) = (whole["slp/l/radius"].to_f64(), whole["slp/l/state"].to_f64());
    assert_eq!((radius.ndim(), state.shape()), (0, &[10][..]));
    assert!((radius.sum() - least).abs() < 1e-6);
    assert!(state.iter().eq(apart["slp/l/state"].to_f64().iter()));
}

#[test]
fn ties_are_on_the_border_unless_they_move_alike() {
    let net = |nodes| Net {
        x: "N, 2",
        constants: "float zero = {0}, float three = {3}, int64[1] last = {1}".into(),
        nodes,
        batch: Batch::Axis(0),
    };
    let never = f64::INFINITY;
    let cases = [
        ("y = Relu (x)", [0.0, 1.0], 0.0, 0.0, 1.0),
        ("h = Relu (x) y = Max (h, zero)", [-2.0, -1.0], 1.0, 1.0, 1.0),
        ("h = Mul (x, zero) r = Relu (h) y = Add (r, x)", [2.0, 1.0], never, -1.0, never),
        ("y = Add (x, x)", [2.0, 1.0], never, -1.0, never),
        ("y = ReduceMax <keepdims = 0> (x, last)", [2.0, 2.0], 0.0, 0.0, never),
        ("y = Clip (x, zero, three)", [0.0, 2.0], 0.0, 0.0, 1.0),
        ("y = Clip (x, zero, three)", [3.0, -4.0], 0.0, 0.0, 3.0),
    ];
    for (nodes, x, radius, nearest, beyond) in cases {
        let outputs = in_tract(&net(nodes).augmented(&[Quantity::Radius]).unwrap(), &[1, 2], &x);
        assert_eq!(outputs["slp/l/radius"].to_f64()[[0]], radius, "{nodes}");
        assert_eq!(outputs["slp/l/radius-neuron"].to_f64()[[0]], nearest, "{nodes}");
        assert_eq!(outputs["slp/l/radius-beyond"].to_f64()[[0]], beyond, "{nodes}");
    }
    let error = net("y = Add (x, x)").augmented(&[Quantity::State]).unwrap_err();
    assert!(error.to_string().contains("nothing switches"), "{error}");
}

#[test]
fn what_has_no_known_border_is_refused_by_name() {
    let state: &[Quantity] = &[Quantity::State];
    let radius: &[Quantity] = &[Quantity::Radius];
    let cases = [
        ("[here] y = Tanh (h)", radius, "curved"),
        ("[here] y = HardSwish (h)", radius, "curved"),
        ("g = Greater (h, low) [here] y = Where (g, h, u)", state, "jumps"),
        ("[here] f = Floor (h) y = Add (f, h)", radius, "jumps"),
        ("[here] y = Mod <fmod = 1> (h, low)", radius, "not known from outside"),
        ("[here] y = Clip (h, s)", state, "bounds of this Clip"),
    ];
    for (last, emit, text) in cases {
        let nodes =
            format!("u = MatMul (x, a) h = Add (u, p) s = ReduceMax <keepdims = 0> (x) {last}");
        let mut net = dense(Box::leak(nodes.into_boxed_str()), 5, 5);
        net.constants += ", float low = {-0.4}";
        net.batch = Batch::None;
        let error = net.augmented(emit).unwrap_err().to_string();
        let named = error.contains("here") || text == "jumps";
        assert!(error.contains(text) && named, "{last}: {error}");
    }
    let smooth = dense("u = MatMul (x, a) h = Add (u, p) r = Relu (h) y = Tanh (r)", 5, 5);
    assert!(smooth.augmented(state).is_ok());
}

#[test]
fn too_much_memory_is_refused() {
    let net = dense(RELU, 5, 5);
    let mut options = Options { neurons: Some(Choice::Top(1)), ..Options::default() };
    options.emit = vec![Quantity::Radius];
    options.limits.memory = Some(200);
    let error = transform(net.model(), &options).unwrap_err().to_string();
    assert!(error.contains("240 B") && error.contains("earlier layer"), "{error}");
}

#[test]
fn slopes_that_share_a_seed_give_the_same_radius() {
    let list = [weights("k", &[2, 2, 3, 3], 1), weights("e", &[2], 2)];
    let model = |pool: &str| {
        let text = format!(
            "<ir_version: 8, opset_import: [\"\": 19]> g (float[N, 2, 15, 14] x) => (float[N, C, H, W] y) \
             <{}> {{ h = Conv <strides = [1, 2], pads = [1, 0, 1, 1]> (x, k, e) r = Relu (h) \
             m = MaxPool <{pool}> (r) y = Conv (m, k) }}",
            list.join(", ")
        );
        onnx::text::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    };
    let mut options = Options { neurons: Some("0".parse().unwrap()), ..Options::default() };
    options.emit = vec![Quantity::Radius];
    // Slopes by 2·15·14 inputs would take four times as much.
    options.limits.memory = Some(2 << 20);
    let free = |dense| {
        let mut options = options.clone();
        options.limits.memory = None;
        options.limits.dense = dense;
        options
    };
    let (dims, size) = ([3, 2, 15, 14], 3 * 2 * 15 * 14);
    for pool in
        ["kernel_shape = [3, 2], strides = [2, 1]", "kernel_shape = [2, 2], pads = [1, 1, 0, 0]"]
    {
        let model = model(pool);
        let outputs = |options: &Options| {
            let made = transform(model.clone(), options).unwrap_or_else(|error| panic!("{error}"));
            let x = Noise::new(3).normals(size);
            in_tract(&made.0, &dims, &x)
        };
        let wanted = outputs(&free(true));
        for found in [outputs(&free(false)), outputs(&options)] {
            for name in ["radius", "radius-neuron", "radius-beyond"] {
                let name = format!("slp/y/{name}");
                let (found, wanted) = (found[&name].to_f64(), wanted[&name].to_f64());
                let pairs = found.iter().zip(&wanted);
                let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(off < 1e-6, "{pool} {name}: {found} {wanted}");
            }
        }
        let dense =
            Options { limits: Limits { dense: true, ..options.limits.clone() }, ..options.clone() };
        let error = transform(model.clone(), &dense).unwrap_err().to_string();
        assert!(error.contains("slopes of every switch by 420 inputs"), "{error}");
    }
}

#[test]
fn the_state_is_described() {
    let net = dense(RELU, 5, 5);
    let model = net.augmented(&[Quantity::State]).unwrap();
    let note = model.metadata.iter().find(|(key, _)| key == "slpc.layer.l.state").unwrap();
    assert_eq!(note.1, r#"[{"count":5,"node":"r","operator":"Relu"}]"#);
    let x = [0.3, -0.7, 1.1, 0.2];
    let state = &in_tract(&model, &[1, 4], &x)["slp/l/state"];
    assert_eq!((state.dtype(), state.shape()), (DataType::U8, &[1, 5][..]));
}
