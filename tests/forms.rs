//! Forms of models that no real model here has, whole: control flow, recurrence, sequences, second
//! derivatives, every float type, weights that are inputs, sparse weights. Each runs in ONNX Runtime
//! or, where that lacks a type, in ONNX's reference evaluator; slopes are those of the model itself.

mod common;

use common::jobs::Jobs;
use common::{options, towards};
use serde_json::{Value, json};
use slpc::compile::plan::Direction::{Forward, Reverse};
use slpc::compile::select::Batch;
use slpc::compile::{LayerRequest, Options, transform};
use slpc::graph::Model;
use slpc::onnx::{self, text};

/// How far slopes may be off central differences in double precision, relative to the largest.
const DOUBLE: f64 = 1e-7;
/// The same in single precision.
const SINGLE: f64 = 3e-3;
/// What rows in half precision may differ by from those in single precision, in norm.
const HALF: f64 = 3e-2;

fn parse(opset: i64, graph: &str) -> Model {
    let text = format!("<ir_version: 10, opset_import: [\"\" : {opset}]> {graph}");
    text::parse(&text).unwrap_or_else(|error| panic!("{error}: {graph}"))
}

/// Adds a job in each direction: the slopes of output `y` with respect to input `x`.
fn add(jobs: &mut Jobs, name: &str, model: &Model, batch: Batch, more: &Value) {
    for direction in [Reverse, Forward] {
        let asked = options(&["y"], "all", "activity,weights,bias");
        let asked = towards(direction, Options { batch, input: Some("x".into()), ..asked });
        let (augmented, summary) =
            transform(model.clone(), &asked).unwrap_or_else(|error| panic!("{name}: {error}"));
        println!(
            "{name} {direction}: {} nodes, {} augmented",
            summary.nodes_before, summary.nodes_after
        );
        jobs.add_outside(&format!("{name} {direction}"), model, &augmented, more);
    }
}

const MLP: &str = "g (T[N,3] x) => (T[N,2] y) <T[3,4] w = {0.3,-0.5,0.8,0.1, -0.7,0.2,0.4,-0.9, \
    0.6,0.5,-0.2,0.7}, T[4,2] u = {0.4,-0.6, 0.9,0.3, -0.5,0.8, 0.2,-0.7}> \
    { m = MatMul (x, w) h = Tanh (m) k = MatMul (h, u) y = Softmax <axis = 1> (k) }";

fn mlp(dtype: &str) -> Model {
    parse(18, &MLP.replace("T[", &format!("{dtype}[")))
}

#[test]
fn control_flow() {
    let mut jobs = Jobs::new("control-flow");
    let exact = json!({ "slopes": DOUBLE });
    let branch = "g (double[N,3] x, bool flag) => (double[N,3] y) <double[3,3] w = \
        {0.3,-0.5,0.8, 0.1,-0.7,0.2, 0.4,-0.9,0.6}> { m = MatMul (x, w) y = If (flag) < \
        then_branch = t () => (double[N,3] a) { a = Tanh (m) }, \
        else_branch = f () => (double[N,3] b) { c = Mul (m, x) b = Relu (c) }> }";
    for flag in [true, false] {
        let more = json!({ "slopes": DOUBLE, "feed": { "flag": flag } });
        add(&mut jobs, &format!("If {flag}"), &parse(18, branch), Batch::Auto, &more);
    }
    let rounds = "g (double[N,3] x) => (double[N,3] y) <double[3,3] w = \
        {0.3,-0.5,0.8, 0.1,-0.7,0.2, 0.4,-0.9,0.6}, int64 three = {3}> \
        { y, all = Loop (three, , x) <body = b (int64 i, bool go, double[N,3] s) => \
        (bool on, double[N,3] t, double[N,3] r) { on = Identity (go) m = MatMul (s, w) \
        t = Tanh (m) r = Mul (t, x) }> }";
    add(&mut jobs, "Loop", &parse(18, rounds), Batch::Auto, &exact);
    let scan = "g (double[N,4,3] x) => (double[N,4,3] y) <double[3] h = {0.1,-0.2,0.3}, \
        double[3,3] w = {0.3,-0.5,0.8, 0.1,-0.7,0.2, 0.4,-0.9,0.6}> \
        { start = ReduceSum <keepdims = 0> (x, one) last, y = Scan (start, x) \
        <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [1], \
        body = b (double[N,3] s, double[N,3] e) => (double[N,3] t, double[N,3] r) \
        { m = MatMul (s, w) a = Add (m, e) t = Tanh (a) r = Mul (t, e) }> }";
    let scan = scan.replace("double[3] h = {0.1,-0.2,0.3}", "int64[1] one = {1}");
    add(&mut jobs, "Scan", &parse(18, &scan), Batch::Auto, &exact);
    jobs.check();
}

#[test]
fn recurrence_and_sequences() {
    let mut jobs = Jobs::new("recurrence");
    let numbers = |count: usize| {
        let list: Vec<_> = (0..count).map(|i| ((i * 37 % 23) as f64 - 11.0) / 15.0).collect();
        list.iter().map(f64::to_string).collect::<Vec<_>>().join(",")
    };
    let single = json!({ "slopes": SINGLE });
    for (op, gates) in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
        let graph = format!(
            "g (float[N,5,3] x) => (float[N,5,4] y) <float[2,{},3] w = {{{}}}, float[2,{},2] r = {{{}}}, \
             int64[3] shape = {{0,5,4}}> {{ t = Transpose <perm = [1,0,2]> (x) \
             h = {op} <hidden_size = 2, direction = \"bidirectional\"> (t, w, r) \
             n = Transpose <perm = [2,0,1,3]> (h) y = Reshape (n, shape) }}",
            2 * gates,
            numbers(12 * gates),
            2 * gates,
            numbers(8 * gates)
        );
        add(&mut jobs, op, &parse(18, &graph), Batch::Auto, &single);
    }
    let sequence = "g (double[N,6] x) => (double[N,4] y) <int64 two = {2}, int64 last = {2}, int64 first = {0}> \
        { s = SplitToSequence <axis = 1> (x, two) a = SequenceAt (s, last) b = SequenceAt (s, first) \
        c = Mul (a, b) p = SequenceConstruct (c, a) y = ConcatFromSequence <axis = 1> (p) }";
    add(&mut jobs, "sequence", &parse(18, sequence), Batch::Auto, &json!({ "slopes": DOUBLE }));
    jobs.check();
}

#[test]
fn second_derivatives() {
    let mut jobs = Jobs::new("second-order");
    let asked = Options { batch: Batch::None, ..options(&["y"], "all", "weights") };
    let (mut once, _) = transform(mlp("double"), &asked).unwrap();
    let mut twice = asked.clone();
    twice.layers = vec![LayerRequest { alias: Some("h".into()), what: "slp/y/weights".into() }];
    let (again, summary) = transform(once.clone(), &twice).unwrap();
    println!("second order: {} nodes, {} augmented", summary.nodes_before, summary.nodes_after);
    let more = json!({ "slopes": DOUBLE, "of": { "h": "slp/y/weights" } });
    once.metadata.clear();
    jobs.add_outside("second order", &once, &again, &more);
    jobs.check();
}

#[test]
fn float_types() {
    let mut jobs = Jobs::new("types");
    add(&mut jobs, "double", &mlp("double"), Batch::Auto, &json!({ "slopes": DOUBLE }));
    add(&mut jobs, "float", &mlp("float"), Batch::Auto, &json!({ "slopes": SINGLE }));
    for (dtype, reference) in [("float16", false), ("bfloat16", true)] {
        let like = json!({ "like": "float reverse", "within": HALF, "reference": reference });
        add(&mut jobs, dtype, &mlp(dtype), Batch::Auto, &like);
    }
    jobs.check();
}

/// Integers of four bits and floats of eight between QuantizeLinear and DequantizeLinear have slope 1.
#[test]
fn quantised_types() {
    let mut jobs = Jobs::new("quantised");
    let graph = |nodes: &str| {
        format!(
            "g (float[N,3] x) => (float[N,2] y) <float s = {{0.3}}, float[3,2] w = {{0.4,-0.6, 0.9,0.3, -0.5,0.8}}> \
             {{ {nodes} }}"
        )
    };
    let plain = parse(23, &graph("c = Abs (x) y = MatMul (c, w)"));
    add(&mut jobs, "plain", &plain, Batch::Auto, &json!({ "slopes": SINGLE }));
    for code in [17, 19, 21, 22] {
        let pair = format!(
            "q = QuantizeLinear <output_dtype = {code}> (c, s) d = DequantizeLinear (q, s) y = MatMul (d, w)"
        );
        // Above zero, where unsigned types do not saturate.
        let nodes = format!("c = Abs (x) {pair}");
        let model = parse(23, &graph(&nodes));
        let like = json!({ "like": "plain reverse", "within": 1e-5 });
        add(&mut jobs, &format!("quantised {code}"), &model, Batch::Auto, &like);
    }
    jobs.check();
}

#[test]
fn weights_that_are_inputs() {
    let mut jobs = Jobs::new("inputs");
    let graph = "g (double[N,3] x, double[3,4] w, double[4] b) => (double[N,4] y) \
        <double[4] b = {0.1,-0.2,0.3,0.4}> { m = MatMul (x, w) a = Add (m, b) y = Tanh (a) }";
    add(
        &mut jobs,
        "weights as inputs",
        &parse(18, graph),
        Batch::Auto,
        &json!({ "slopes": DOUBLE }),
    );
    let sparse = sparse_weights();
    add(
        &mut jobs,
        "sparse weights",
        &sparse,
        Batch::Auto,
        &json!({ "slopes": DOUBLE, "sparse": true }),
    );
    jobs.check();
}

/// A network whose weights `[3, 4]` are a sparse initializer.
fn sparse_weights() -> Model {
    use onnx_protobuf::{Message, ModelProto, SparseTensorProto, TensorProto};
    let graph = "g (double[N,3] x) => (double[N,4] y) <double[3,4] w = {0}> \
        { m = MatMul (x, w) y = Tanh (m) }";
    let dense = parse(18, &graph.replace("{0}", "{0,0,0,0,0,0,0,0,0,0,0,0}"));
    let mut proto = ModelProto::parse_from_bytes(&onnx::to_bytes(&dense).unwrap()).unwrap();
    proto.graph.as_mut().unwrap().initializer.clear();
    let values = TensorProto {
        name: "w".into(),
        data_type: 11,
        dims: vec![3],
        double_data: vec![0.5, -0.7, 0.9],
        ..TensorProto::default()
    };
    let indices = TensorProto {
        data_type: 7,
        dims: vec![3],
        int64_data: vec![1, 6, 8],
        ..TensorProto::default()
    };
    let sparse = SparseTensorProto {
        values: Some(values).into(),
        indices: Some(indices).into(),
        dims: vec![3, 4],
        ..SparseTensorProto::default()
    };
    proto.graph.as_mut().unwrap().sparse_initializer.push(sparse);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse.onnx");
    std::fs::write(&path, proto.write_to_bytes().unwrap()).unwrap();
    onnx::load(&path).unwrap()
}
