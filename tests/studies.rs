//! Patterns, power, states and correlations: against numpy, and as they are typed.

mod common;

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output};

use common::{data, floats, python, shipped};
use ndarray::{Array4, ArrayD};
use ndarray_npy::{NpzReader, write_npy};
use serde_json::Value;
use slpc::noise::Noise;
use slpc::onnx::text::parse;
use slpc::onnx::to_bytes;
use tempfile::TempDir;

fn slpc(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_slpc")).args(arguments).output().unwrap()
}

/// Runs what must succeed and gives its standard output.
fn done(arguments: &[&str]) -> String {
    let output = slpc(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&done(arguments)).unwrap()
}

/// Runs what must fail with exit code 2 and gives its message.
fn refused(arguments: &[&str]) -> String {
    let output = slpc(arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
    error
}

/// A folder with two networks of the same architecture and samples for them.
struct Room(TempDir);

impl Room {
    fn new() -> Self {
        let room = Self(tempfile::tempdir().unwrap());
        for (name, seed) in [("a.onnx", 1), ("b.onnx", 2)] {
            std::fs::write(room.0.path().join(name), network(seed)).unwrap();
        }
        let mut noise = Noise::new(9);
        let samples = Array4::from_shape_fn((3, 1, 6, 6), |_| noise.normal());
        write_npy(room.0.path().join("x.npy"), &samples).unwrap();
        room
    }

    fn at(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

/// Convolution, ReLU, max pooling, two layers of neurons, in double precision; the convolution has
/// more neurons than the input components.
fn network(seed: u64) -> Vec<u8> {
    let mut noise = Noise::new(seed);
    let mut list = |count: usize| {
        let values: Vec<String> = noise.normals(count).iter().map(|v| format!("{v:.6}")).collect();
        values.join(",")
    };
    let text = format!(
        "<ir_version: 8, opset_import: [\"\" : 17]> g (double[N,1,6,6] x) => (double[N,3] scores)
         <double[3,1,3,3] k = {{{}}}, double[3] kb = {{{}}}, double[12,5] w = {{{}}},
          double[5] wb = {{{}}}, double[5,3] u = {{{}}}, double[3] ub = {{{}}}>
         {{ conv = Conv (x, k, kb) passed = Relu (conv)
            pooled = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (passed)
            flat = Flatten (pooled) sums = MatMul (flat, w) dense = Add (sums, wb)
            on = Relu (dense) last = MatMul (on, u) scores = Add (last, ub) }}",
        list(27),
        list(3),
        list(60),
        list(5),
        list(15),
        list(3)
    );
    to_bytes(&parse(&text).unwrap()).unwrap()
}

/// The patterns that the graph computes are the host's, with their signs and in their order.
#[test]
fn the_graph_finds_the_patterns_of_the_host() {
    let room = Room::new();
    let (a, x) = (room.at("a.onnx"), room.at("x.npy"));
    let [model, graph, host] = ["t.onnx", "graph.npz", "host.npz"].map(|name| room.at(name));
    for layer in ["conv", "dense", "scores"] {
        let emit = "patterns,singular-values,mixing,power";
        let layer = ["--layer", layer];
        let made =
            [&["transform", &a, "--neurons", "all", "--emit", emit, "-o", &model], &layer[..]];
        done(&made.concat());
        done(&["run", &model, "--data", &x, "-o", &graph]);
        done(&[&["spa", &a, "--data", &x, "--patterns", "3", "-o", &host], &layer[..]].concat());
        let [mut graph, mut host] =
            [&graph, &host].map(|file| NpzReader::new(File::open(file).unwrap()).unwrap());
        for name in ["patterns", "singular-values", "mixing", "power"] {
            let found: ArrayD<f64> = graph.by_name(&format!("slp/{}/{name}", layer[1])).unwrap();
            // The host's file has single precision for what is large, and every singular value.
            let mut wanted: ArrayD<f64> = match name {
                "singular-values" => host.by_name(name).unwrap(),
                "power" => host.by_name(name).map(|r: ArrayD<i64>| r.mapv(|r| r as f64)).unwrap(),
                _ => host.by_name(name).map(|a: ArrayD<f32>| a.mapv(f64::from)).unwrap(),
            };
            if name == "singular-values" {
                wanted.slice_axis_inplace(ndarray::Axis(1), (..3).into());
            }
            assert_eq!(found.shape(), wanted.shape(), "{layer:?} {name}");
            let largest = wanted.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            let pairs = found.iter().zip(&wanted);
            let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest;
            println!("{name} of {}: off by {off:.0e}", layer[1]);
            assert!(off < 1e-6, "{layer:?} {name}: {off:e}");
        }
    }
}

#[test]
fn studies_agree_with_brute_force() {
    let room = Room::new();
    let (a, b, x) = (room.at("a.onnx"), room.at("b.onnx"), room.at("x.npy"));
    let expected = python(&["tests/python/studies.py", &a, &b, &x]);
    let common = ["--data", &x, "--json"];

    let capacity = json(&[&["capacity", &a][..], &common].concat());
    let layers = capacity["models"][0]["layers"].as_array().unwrap();
    let names: Vec<_> = layers.iter().map(|layer| layer["layer"].as_str().unwrap()).collect();
    assert_eq!(names, ["conv", "pooled", "dense", "scores"]);
    for layer in layers {
        let wanted = floats(&expected["power"][layer["layer"].as_str().unwrap()]);
        let mean = wanted.iter().sum::<f64>() / wanted.len() as f64;
        let found = layer["patterns"]["mean"].as_f64().unwrap();
        assert!((found - mean).abs() < 1e-12, "{layer} {wanted:?}");
        assert_eq!(layer["patterns"]["n"], 3);
    }

    let stats = json(&[&["stats", &a, "--radius"][..], &common].concat());
    for (place, layer) in ["conv", "dense"].into_iter().enumerate() {
        assert_eq!(stats["layers"][place]["layer"], layer);
        let wanted: f64 =
            expected["inactive"].as_array().unwrap().iter().map(|s| floats(s)[place]).sum();
        let found = stats["layers"][place]["inactive"]["mean"].as_f64().unwrap();
        assert!((found - wanted / 3.0).abs() < 1e-12, "{layer}");
    }
    let idle = floats(&expected["idle"]).iter().sum::<f64>() / 3.0;
    assert!((stats["layers"][0]["idle"]["mean"].as_f64().unwrap() - idle).abs() < 1e-12);
    for (radius, wanted) in
        stats["radii"].as_array().unwrap().iter().zip(floats(&expected["radius"]))
    {
        let found = radius["distance"].as_f64().unwrap();
        assert!((found - wanted).abs() < 1e-6 * wanted.max(1e-3), "{radius} {wanted}");
        assert_eq!(radius["beyond"]["distance"], radius["distance"]);
    }

    let sanity = json(&[&["sanity", &a, &b, "--steps", "8"][..], &common].concat());
    let methods = sanity["compared"][0]["methods"].as_array().unwrap();
    for (name, key) in [("ŵ", "weights"), ("ν̂", "icd"), ("IG", "ig")] {
        let method = methods.iter().find(|method| method["method"] == name).unwrap();
        let wanted = floats(&expected["rho"][key]).iter().sum::<f64>() / 3.0;
        let found = method["rho"]["mean"].as_f64().unwrap();
        assert!((found - wanted).abs() < 2e-3, "{name}: {found} {wanted}");
    }

    let out = room.at("out.npz");
    let arguments = ["spa", &a, "-o", &out, "--data", &x, "--json"];
    json(&arguments);
    let mut npz = NpzReader::new(File::open(&out).unwrap()).unwrap();
    let s: ArrayD<f64> = npz.by_name("singular-values").unwrap();
    for (found, wanted) in s.outer_iter().zip(expected["singular"].as_array().unwrap()) {
        for (found, wanted) in found.iter().zip(floats(wanted)) {
            assert!((found - wanted).abs() < 1e-5 * wanted.max(1e-3), "{found} {wanted}");
        }
    }
}

#[test]
fn a_blank_picture_lies_on_a_border_and_the_next_one_is_told() {
    let text = "<ir_version: 8, opset_import: [\"\" : 17]> g (double[N,1,4,4] x) => (double[N,2] y)
        <double[2] kb = {0.5,12}, double[1] lb = {0}, double[2,1,3,3] k = {1,1,1,1,1,1,1,1,1,
         -1,-1,-1,-1,-1,-1,-1,-1,-1}, double[1,1,3,3] l = {2,2,2,2,2,2,2,2,2},
         double[3,2] u = {1,2,3,4,5,6}>
        { a = Conv (x, k, kb) p = Relu (a) b = Conv (x, l, lb) q = Relu (b)
          both = Concat <axis = 1> (p, q)
          pooled = MaxPool <kernel_shape = [2, 2]> (both) flat = Flatten (pooled)
          y = MatMul (flat, u) }";
    let room = Room::new();
    let (model, x) = (room.at("c.onnx"), room.at("blank.npy"));
    std::fs::write(&model, to_bytes(&parse(text).unwrap()).unwrap()).unwrap();
    write_npy(&x, &Array4::<f64>::ones((1, 1, 4, 4))).unwrap();
    let stats = ["stats", &model, "--radius", "--data", &x];
    let radius = json(&[&stats[..], &["--json"]].concat())["radii"][0].clone();
    assert_eq!((&radius["distance"], &radius["layer"]), (&0.0.into(), &"both".into()));
    assert_eq!(radius["pooling"], true);
    // −9 + 12 by the length 3 of a kernel of ones.
    let beyond = &radius["beyond"];
    assert!((beyond["distance"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{beyond}");
    assert_eq!((&beyond["layer"], &beyond["pooling"]), (&"a".into(), &false.into()));
    let text = done(&stats);
    assert!(text.contains("1 of 1 samples lie on a border; the nearest other: 1.000e0"), "{text}");
}

#[test]
fn a_small_memory_changes_the_way_and_not_the_numbers() {
    let room = Room::new();
    let (a, x) = (room.at("a.onnx"), room.at("x.npy"));
    let wide = json(&["capacity", &a, "--data", &x, "--json"]);
    let narrow = json(&["capacity", &a, "--data", &x, "--json", "--memory", "40000"]);
    let layers = |value: &Value| value["models"][0]["layers"].as_array().unwrap().clone();
    for (a, b) in layers(&wide).iter().zip(layers(&narrow)) {
        assert_eq!(a["patterns"], b["patterns"]);
    }
    let error = refused(&["capacity", &a, "--data", &x, "--memory", "1000"]);
    assert!(error.contains("--memory"), "{error}");
}

#[test]
fn parts_contrasts_and_means_are_written() {
    let room = Room::new();
    let (a, x, out) = (room.at("a.onnx"), room.at("x.npy"), room.at("out.npz"));
    let spa = |more: &[&str]| {
        done(&[&["spa", &a, "-o", &out, "--data", &x, "--quiet"][..], more].concat());
        NpzReader::new(File::open(&out).unwrap()).unwrap()
    };
    let shape = |npz: &mut NpzReader<File>, name: &str| {
        let array: ArrayD<f32> = npz.by_name(name).unwrap();
        array.shape().to_vec()
    };
    let mut npz =
        spa(&["--layer", "conv", "--layer", "dense", "--part", "both", "--patterns", "4"]);
    assert_eq!(shape(&mut npz, "active/patterns"), [3, 4, 1, 6, 6]);
    assert_eq!(shape(&mut npz, "inactive/mixing"), [3, 4, 53]);
    let active: ArrayD<bool> = npz.by_name("active").unwrap();
    let v: ArrayD<f32> = npz.by_name("activity").unwrap();
    // Of a window of four at most one neuron is active by state.
    assert!(active.iter().zip(&v).all(|(&on, &v)| !on || v > 0.0));
    let first: Vec<bool> = active.outer_iter().next().unwrap().iter().copied().collect();
    assert!(first[..48].iter().filter(|&&on| on).count() <= 12);

    let mut npz = spa(&["--contrast", "0,2", "--contrast", "1,0"]);
    let contrast: ArrayD<f32> = npz.by_name("weights").unwrap();
    let mut npz = spa(&["--smoothed", "3", "--noise", "0"]);
    let weights: ArrayD<f32> = npz.by_name("weights").unwrap();
    assert_eq!(contrast.shape(), [3, 2, 1, 6, 6]);
    let row = |array: &ArrayD<f32>, k: usize| array.slice(ndarray::s![0, k, 0, .., ..]).to_owned();
    let expected = row(&weights, 0) - row(&weights, 2);
    assert!((row(&contrast, 0) - expected).iter().all(|e| e.abs() < 1e-5));
    let mut npz = spa(&["--integrated", "4"]);
    let integrated: ArrayD<f32> = npz.by_name("weights").unwrap();
    assert_ne!(integrated, weights);
    let mut npz = spa(&["--neurons", "top:2"]);
    let top: ArrayD<i64> = npz.by_name("neurons").unwrap();
    assert_eq!(top.shape(), [3, 2]);
}

#[test]
fn icds_of_one_neuron_are_opposed_where_its_signs_are() {
    let room = Room::new();
    let (a, b, x) = (room.at("a.onnx"), room.at("b.onnx"), room.at("many.npy"));
    let mut noise = Noise::new(4);
    write_npy(&x, &Array4::from_shape_fn((12, 1, 6, 6), |_| noise.normal())).unwrap();
    let icd = |neuron: &str, key: &str| {
        let value = json(&["sanity", &a, &b, "--data", &x, "--json", "--neuron", neuron]);
        let method = &value["compared"][0]["methods"][0];
        assert_eq!(method["method"], "ν̂");
        method[key]["mean"].as_f64().unwrap()
    };
    let numbers = ["0", "1", "2"].map(|neuron| (icd(neuron, "rho"), icd(neuron, "magnitude")));
    assert!(numbers.iter().any(|(rho, magnitude)| rho < magnitude), "{numbers:?}");
    let winners_differ = (3..8).any(|seed| {
        std::fs::write(&b, network(seed)).unwrap();
        icd("first", "rho") != icd("own", "rho")
    });
    assert!(winners_differ);
}

#[test]
fn a_model_agrees_with_itself_and_less_when_it_is_shuffled() {
    let room = Room::new();
    let (a, x) = (room.at("a.onnx"), room.at("x.npy"));
    let value = json(&["sanity", &a, &a, "--data", &x, "--json", "--limit", "2"]);
    for method in value["compared"][0]["methods"].as_array().unwrap() {
        assert!((method["rho"]["mean"].as_f64().unwrap() - 1.0).abs() < 1e-12, "{method}");
        assert_eq!(method["rho"]["n"], 2);
    }
    let cascade = |order: &str, seed: &str| {
        json(&["sanity", &a, "--randomise", order, "--seed", seed, "--data", &x, "--json"])
    };
    let steps = |value: &Value| -> Vec<String> {
        let list = value["compared"].as_array().unwrap();
        list.iter().map(|step| step["model"].as_str().unwrap().to_owned()).collect()
    };
    let down = cascade("top-down", "1");
    let mut up = steps(&cascade("bottom-up", "1"));
    up.reverse();
    assert_eq!(steps(&down), up);
    assert_eq!(steps(&down), ["scores", "last", "dense", "sums", "conv"]);
    assert_eq!(down, cascade("top-down", "1"));
    assert_ne!(down, cascade("top-down", "2"));
    let rho =
        |value: &Value, step: usize| value["compared"][step]["methods"][7]["rho"]["mean"].as_f64();
    // Biases of the scores change no weights; everything shuffled does.
    assert!((rho(&down, 0).unwrap() - 1.0).abs() < 1e-12);
    assert!(rho(&down, 4).unwrap() < 0.9);
}

/// x, x⊙ŵ and integrated gradients of a black picture are 0 everywhere: no correlation is made up.
#[test]
fn constant_maps_are_left_out_and_counted() {
    let room = Room::new();
    let (a, b, x) = (room.at("a.onnx"), room.at("b.onnx"), room.at("black.npy"));
    let mut samples = Array4::<f64>::zeros((2, 1, 6, 6));
    samples[[1, 0, 3, 2]] = 1.0;
    write_npy(&x, &samples).unwrap();
    for (limit, skipped) in [("1", 1), ("2", 1)] {
        let options = ["sanity", &a, &b, "--data", &x, "--limit", limit];
        let value = json(&[&options[..], &["--json"]].concat());
        let methods = value["compared"][0]["methods"].as_array().unwrap();
        let x = methods.last().unwrap();
        assert_eq!(x["skipped"], skipped);
        assert_eq!(x["rho"]["mean"].is_null(), limit == "1", "{x}");
        assert_eq!(done(&options).contains("  -  "), limit == "1");
        assert_eq!(methods[0]["skipped"], 0, "{}", methods[0]);
    }
}

#[test]
fn tables_and_charts_appear_whole() {
    let room = Room::new();
    let (a, b, x) = (room.at("a.onnx"), room.at("b.onnx"), room.at("x.npy"));
    let (csv, svg, png) = (room.at("t.csv"), room.at("c.svg"), room.at("c.png"));
    let first = format!("first, one={a}@{x}");
    done(&["capacity", &first, &b, "--data", &x, "--csv", &csv, "--chart", &svg]);
    let text = std::fs::read_to_string(&csv).unwrap();
    assert_eq!(text.lines().count(), 9);
    assert!(text.contains("\"first, one\",conv,48,36,3,0.9,"), "{text}");
    assert!(std::fs::read_to_string(&svg).unwrap().contains("first, one"));
    let alone = done(&["capacity", &first, "--json"]);
    assert_eq!(alone, done(&["capacity", &format!("first, one={a}"), "--data", &x, "--json"]));
    done(&["sanity", &a, &b, "--data", &x, "--csv", &csv, "--chart", &png]);
    assert!(image::open(&png).unwrap().width() > 600);
    done(&["stats", &a, "--data", &x, "--csv", &csv, "--distances", &room.at("d.csv")]);
    assert_eq!(std::fs::read_to_string(room.at("d.csv")).unwrap().lines().count(), 4);
}

#[test]
fn what_cannot_be_done_is_said() {
    let room = Room::new();
    let (a, x, out) = (room.at("a.onnx"), room.at("x.npy"), room.at("o.npz"));
    let with = |arguments: &[&str]| refused(&[arguments, &["--data", &x]].concat());
    let cases: [(&[&str], &str); 12] = [
        (&["capacity", &a, "--gamma", "0"], "γ is more than 0"),
        (&["capacity", &a, "--layer", "nowhere"], "nearest names"),
        (&["capacity", &a, "--neurons", "runtime"], "run time"),
        (&["capacity", &a, "--chart", "c.pdf", "--limit", "1"], ".svg or a .png"),
        (&["stats", &a, "--memory", "9"], "the states of 3 samples take"),
        (&["sanity", &a], "--randomise"),
        (&["sanity", &a, &a, "--randomise", "top-down"], "one model"),
        (&["sanity", &a, &a, "--steps", "0"], "at least 1"),
        (&["sanity", &a, &a, "--neuron", "3"], "no neuron 3"),
        (&["sanity", &a, &a, "--neuron", "best"], "own, first"),
        (&["spa", &a, "-o", &out, "--neurons", "top:1", "--integrated", "2"], "differ from input"),
        (&["spa", &a, "-o", &out, "--contrast", "0,7"], "7"),
    ];
    for (arguments, message) in cases {
        let error = with(arguments);
        assert!(error.contains(message), "{arguments:?}: {error}");
    }
    assert!(refused(&["stats", &a]).contains("--data"));
    assert!(refused(&["capacity", &format!("{a}@{x}"), &a]).contains("--data"));
    assert!(!Path::new(&out).exists());
}

#[test]
fn the_shipped_network_is_studied() {
    let (model, out) = (shipped(), tempfile::tempdir().unwrap());
    let model = model.to_str().unwrap();
    let digits = "examples/digits";
    let common = ["--data", digits, "--preprocess", "unit", "--limit", "2", "--json"];
    let stats = json(&[&["stats", model][..], &common].concat());
    let share = stats["inactive"]["mean"].as_f64().unwrap();
    assert!((0.3..0.95).contains(&share), "{share}");
    let capacity = json(&[&["capacity", model, "--layer", "logits"][..], &common].concat());
    assert_eq!(capacity["models"][0]["layers"][0]["neurons"], 10);
    let npz = out.path().join("o.npz");
    json(&[&["spa", model, "-o", npz.to_str().unwrap()][..], &common].concat());
    assert!(npz.exists());
}

#[test]
fn trained_networks_lie_in_the_order_of_figure_8() {
    let Some(folder) = data() else { return };
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let value = json(&[
        "sanity",
        &at("models/2conv_mnist_true.onnx"),
        &at("models/2conv_mnist_untrained.onnx"),
        "--data",
        &at("mnist_1000.npz"),
        "--preprocess",
        "unit",
        "--limit",
        "8",
        "--json",
    ]);
    let methods = value["compared"][0]["methods"].as_array().unwrap();
    let of = |name: &str, key: &str| {
        let method = methods.iter().find(|method| method["method"] == name).unwrap();
        method[key]["mean"].as_f64().unwrap()
    };
    assert!(of("u₁", "magnitude") > of("u₂", "magnitude"));
    assert!(of("ν̂", "rho") > of("ŵ", "rho"));
}
