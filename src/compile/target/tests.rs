use std::collections::HashMap;

use super::Target;
use crate::compile::plan::{Direction, Limits};
use crate::compile::rules::testing::in_onnxruntime;
use crate::compile::select::{Batch, Choice};
use crate::compile::{Options, transform};
use crate::engine::Array;
use crate::engine::tract::Session;
use crate::graph::{DataType, Model};
use crate::onnx;

const TARGETS: [Target; 5] =
    [Target::Any, Target::OnnxRuntime, Target::Tract, Target::OpenVino, Target::Web];

fn model(graph: &str) -> Model {
    let text = format!("<ir_version: 8, opset_import: [\"\" : 18]> g {graph}");
    onnx::text::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A kernel of so many numbers.
fn numbers(count: usize) -> String {
    let list = (0..count).map(|i| format!("{}", ((i * 7 % 11) as f64 - 5.0) / 8.0));
    list.collect::<Vec<_>>().join(",")
}

/// Two convolutions of `outer` to `inner` channels and back to `outer`.
fn convolutions(outer: usize, inner: usize, op: &str) -> Model {
    let w = numbers(outer * inner * 3);
    let (a, b) = if op == "Conv" { (inner, outer) } else { (outer, inner) };
    model(&format!(
        "(float[N,{outer},5] x) => (float[N,{outer},5] y) <float[{a},{b},3] w = {{{w}}}, \
         float[{b},{a},3] u = {{{w}}}> {{ a = {op} <pads = [1,1]> (x, w) b = Relu (a) \
         y = {op} <pads = [1,1]> (b, u) }}"
    ))
}

fn options(target: Target) -> Options {
    let limits = Limits { direction: Some(Direction::Reverse), ..Limits::default() };
    Options { neurons: Some(Choice::All), limits, target, ..Options::default() }
}

fn lowered(model: &Model, options: &Options) -> Model {
    transform(model.clone(), options).expect("it is transformed").0
}

fn count(model: &Model, op: &str) -> usize {
    model.graph.nodes().filter(|(_, node)| node.is(op)).count()
}

fn points(dims: &[usize]) -> Vec<f64> {
    (0..dims.iter().product()).map(|i: usize| ((i * 37 % 23) as f64 - 11.3) / 9.0).collect()
}

fn in_tract(model: &Model, dims: &[usize]) -> HashMap<String, Array> {
    let bytes = onnx::to_bytes(model).expect("it is encoded");
    let session = Session::new(&bytes, &[("x".into(), dims.to_vec())]).expect("tract takes it");
    let x = ndarray::ArrayD::from_shape_vec(dims, points(dims)).expect("as many");
    let x = Array::floats(DataType::F32, x).expect("floats");
    session.run(&[("x", x)]).expect("it runs").into_iter().collect()
}

fn same(name: &str, a: &Array, b: &Array) {
    assert_eq!(a.shape(), b.shape(), "{name}");
    for (a, b) in a.to_f64().iter().zip(&b.to_f64()) {
        assert!((a - b).abs() <= 1e-5 * a.abs().max(1.0), "{name}: {a} and {b}");
    }
}

#[test]
fn square_kernels_have_copies_where_openvino_may_run_them() {
    for op in ["Conv", "ConvTranspose"] {
        for target in TARGETS {
            let copies = |outer, inner| {
                let found = lowered(&convolutions(outer, inner, op), &options(target));
                count(&found, "Max")
            };
            let wanted = matches!(target, Target::Any | Target::OpenVino);
            assert_eq!(copies(3, 3) > 0, wanted, "{op} {target:?}");
            assert_eq!(copies(2, 3), 0, "a kernel that is not square, {op} {target:?}");
        }
        let square = convolutions(3, 3, op);
        let [any, own] = [Target::Any, Target::Tract].map(|t| lowered(&square, &options(t)));
        let (any, own) = (in_tract(&any, &[2, 3, 5]), in_tract(&own, &[2, 3, 5]));
        own.iter().for_each(|(name, array)| same(name, &any[name], array));
    }
}

#[test]
fn square_matrices_have_copies_where_both_they_and_their_transposes_are_factors() {
    let forms = [
        ("[N,2,3]", "[N,2,2]", "[1,3,C]", "MatMul (x, w)"),
        ("[N,3]", "[N,2]", "[3,C]", "MatMul (x, w)"),
        ("[N,3]", "[N,2]", "[3,C]", "Gemm (x, w)"),
        ("[N,3]", "[N,2]", "[C,3]", "Gemm <transB = 1> (x, w)"),
    ];
    for (x, y, weights, op) in forms {
        for (columns, square) in [(3, true), (4, false)] {
            let (w, u) = (numbers(3 * columns), numbers(2 * columns));
            let text = format!(
                "(float{x} x) => (float{y} y) <float{weights} w = {{{w}}}, float[C,2] u = {{{u}}}> \
                 {{ a = {op} b = Tanh (a) y = MatMul (b, u) }}"
            );
            let product = model(&text.replace('C', &columns.to_string()));
            for target in TARGETS {
                let found = lowered(&product, &options(target));
                let wanted = square && matches!(target, Target::Any | Target::OpenVino);
                assert_eq!(count(&found, "Max") > 0, wanted, "{op} {columns} columns, {target:?}");
            }
        }
    }
}

#[test]
fn a_kernel_that_is_an_input_has_no_copy() {
    let graph = "(float[N,2,5] x, float[2,2,3] w) => (float[N,2,5] y) \
                 { a = Conv <pads = [1,1]> (x, w) y = Relu (a) }";
    let asked = Options { input: Some("x".into()), ..options(Target::Any) };
    assert_eq!(count(&lowered(&model(graph), &asked), "Max"), 0);
}

#[test]
fn views_come_before_transpositions() {
    let image = model("(float[N,2,3,4] x) => (float[N,2,3,4] y) { y = Relu (x) }");
    for target in TARGETS {
        let found = lowered(&image, &options(target));
        let graph = &found.graph;
        let shuffled = graph.nodes().filter(|(_, node)| {
            let before = |id| graph.producer(graph.node(id).input(0)?);
            let turned = node.input(0).and_then(|x| graph.producer(x));
            let turned = turned.filter(|&id| node.is("Reshape") && graph.node(id).is("Transpose"));
            turned.and_then(before).is_some_and(|first| graph.node(first).is("Reshape"))
        });
        let wanted = matches!(target, Target::Any | Target::OpenVino);
        assert_eq!(shuffled.count() == 0, wanted, "{target:?}");
    }
    let [any, own] = [Target::Any, Target::Tract].map(|t| lowered(&image, &options(t)));
    let (any, own) = (in_tract(&any, &[2, 2, 3, 4]), in_tract(&own, &[2, 2, 3, 4]));
    own.iter().for_each(|(name, array)| same(name, &any[name], array));
}

/// What is asked for a target.
type Asked<'a> = &'a dyn Fn(Target) -> Options;

/// Blocks of neurons, and rounds of the model's own against their order.
#[test]
fn openvino_gets_loops_and_no_other_target_does() {
    let w = numbers(9);
    let blocks = model(&format!(
        "(float[N,3] x) => (float[N,3] y) <float[3,3] w = {{{w}}}> {{ a = MatMul (x, w) y = Tanh (a) }}"
    ));
    let scan = model(&format!(
        "(float[N,4,3] x) => (float[N,4,3] y) <float[3,3] w = {{{w}}}, int64[1] one = {{1}}> \
         {{ start = ReduceSum <keepdims = 0> (x, one) last, y = Scan (start, x) <num_scan_inputs = 1, \
         scan_input_axes = [1], scan_output_axes = [1], scan_input_directions = [1], \
         scan_output_directions = [1], body = b (float[N,3] s, float[N,3] e) => (float[N,3] t, float[N,3] r) \
         {{ m = MatMul (s, w) a = Add (m, e) t = Tanh (a) r = Mul (t, e) }}> }}"
    ));
    let blocked = |target| {
        let mut asked = options(target);
        asked.limits.block = Some(2);
        asked
    };
    let rounds = |direction| {
        move |target| {
            let mut asked = Options { batch: Batch::Auto, ..options(target) };
            asked.limits.direction = Some(direction);
            asked
        }
    };
    let (reverse, forward) = (rounds(Direction::Reverse), rounds(Direction::Forward));
    let asked: [(&Model, Asked, usize, &[usize]); 3] = [
        (&blocks, &blocked, 0, &[2, 3]),
        (&scan, &reverse, 1, &[2, 4, 3]),
        (&scan, &forward, 1, &[2, 4, 3]),
    ];
    for (model, asked, own, dims) in asked {
        let text = |target| onnx::text::print_full(&lowered(model, &asked(target)));
        let scans = |text: &str| text.matches(" Scan ").count();
        for target in TARGETS {
            let text = text(target);
            let openvino = target == Target::OpenVino;
            assert_eq!(text.contains(" Loop "), openvino, "{target:?}");
            assert_eq!(scans(&text) == own, openvino, "{target:?}: {text}");
        }
        let [any, loops] = [Target::Any, Target::OpenVino].map(|target| {
            let bytes = onnx::to_bytes(&lowered(model, &asked(target))).expect("it is encoded");
            in_onnxruntime(&bytes, ("x", dims), DataType::F32, &points(dims))
        });
        let loops: HashMap<_, _> = loops.into_iter().collect();
        assert!(any.len() >= 5, "{:?}", any.iter().map(|(n, _)| n).collect::<Vec<_>>());
        any.iter().for_each(|(name, array)| same(name, array, &loops[name]));
    }
}

#[test]
fn what_a_target_lacks_is_told_and_not_refused() {
    let graph = "(float[N,3] x) => (float[N,3] y, float[1] z) \
                 { y = Relu (x) z = Unique <sorted = 1> (one) }";
    let with = graph.replace("float[1] z)", "float[1] z) <float[1] one = {1}>");
    let told = |target| {
        let asked = options(target);
        transform(model(&with), &asked).expect("it is transformed").1.lacking
    };
    assert_eq!(told(Target::Tract), ["Unique"]);
    assert!(told(Target::OnnxRuntime).is_empty() && told(Target::Any).is_empty());
}

/// The nodes of an operator, those in subgraphs too.
fn everywhere(model: &Model, op: &str) -> usize {
    onnx::text::print_full(model).matches(&format!(" {op} ")).count()
}

/// Asserts that ONNX Runtime computes the same for it as for every runtime.
#[track_caller]
fn same_in_onnxruntime(model: &Model, asked: &dyn Fn(Target) -> Options, dims: &[usize]) {
    let [any, own] = [Target::Any, Target::OnnxRuntime].map(|target| {
        let bytes = onnx::to_bytes(&lowered(model, &asked(target))).expect("it is encoded");
        in_onnxruntime(&bytes, ("x", dims), DataType::F32, &points(dims))
    });
    let own: HashMap<_, _> = own.into_iter().collect();
    any.iter().for_each(|(name, array)| same(name, array, &own[name]));
}

#[test]
fn onnxruntime_flips_a_kernel_in_one_node() {
    let network = |kernel: &str, space: &str, weights: &str| {
        let pads = vec!["1"; 2 * kernel.split(',').count()].join(",");
        let places = |(n, k): (&str, &str)| {
            let [n, k] = [n, k].map(|number| number.parse::<usize>().expect("a number"));
            n + 3 - k
        };
        let units = 2 * space.split(',').zip(kernel.split(',')).map(places).product::<usize>();
        model(&format!(
            "(float[1,32,{space}] x) => (float[1,3] y) <float[2,32,{kernel}] w = {{{weights}}}, \
             float[{units},3] u = {{{}}}> {{ a = Conv <pads = [{pads}]> (x, w) r = Relu (a) \
             f = Flatten (r) y = MatMul (f, u) }}",
            numbers(3 * units)
        ))
    };
    for (kernel, space, dims) in [
        ("3", "5", &[1, 32, 5][..]),
        ("3,3", "5,4", &[1, 32, 5, 4]),
        ("2,3,3", "3,4,3", &[1, 32, 3, 4, 3]),
    ] {
        let count: usize = kernel.split(',').map(|n| n.parse::<usize>().unwrap()).product();
        let found = network(kernel, space, &numbers(64 * count));
        let blocked = |block: Option<i64>| {
            move |target| {
                let mut asked = options(target);
                asked.limits.block = block;
                asked
            }
        };
        for block in [None, Some(2)] {
            for target in TARGETS {
                let wanted = usize::from(target == Target::OnnxRuntime);
                let lowered = lowered(&found, &blocked(block)(target));
                assert_eq!(everywhere(&lowered, "Einsum"), wanted, "{kernel} {target:?}");
            }
            same_in_onnxruntime(&found, &blocked(block), dims);
        }
        // 0·∞ is no number.
        let infinite = numbers(64 * count - 1) + ",-inf";
        let lowered =
            lowered(&network(kernel, space, &infinite), &blocked(None)(Target::OnnxRuntime));
        assert_eq!(everywhere(&lowered, "Einsum"), 0, "{kernel}");
    }
}

#[test]
fn onnxruntime_puts_values_where_winners_are() {
    let pooled = |kernel: i64, float: &str| {
        let pool = format!("MaxPool <kernel_shape = [{kernel},2], strides = [2,2]>");
        let rows = (5 - kernel) / 2 + 1;
        model(&format!(
            "({float}[1,2,5,6] x) => ({float}[1,4] y) <{float}[{},4] w = {{{}}}> \
             {{ r = Relu (x) p = {pool} (r) f = Flatten (p) y = MatMul (f, w) }}",
            rows * 6,
            numbers(rows as usize * 24)
        ))
    };
    for target in TARGETS {
        let unpoolings = |model| everywhere(&lowered(&model, &options(target)), "MaxUnpool");
        assert_eq!(unpoolings(pooled(2, "float")), usize::from(target == Target::OnnxRuntime));
        // Windows that overlap add to what others have put there.
        assert_eq!(unpoolings(pooled(3, "float")), 0, "{target:?}");
        assert_eq!(unpoolings(pooled(2, "double")), 0, "the operator knows float32 only");
    }
    same_in_onnxruntime(&pooled(2, "float"), &options, &[1, 2, 5, 6]);
}
