//! The program as it is typed: what it prints, its exit codes, and the files it leaves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use slpc::onnx::text::parse;
use slpc::onnx::to_bytes;
use tempfile::TempDir;

const DIGITS: &str = "examples/2conv_mnist.onnx";
const NET: &str = "g (float[N, 3] x) => (float[N, 4] y)
    <float[3, 4] w = {1, -2, 3, 1, 2, 0.5, -1, 1, 0.25, 1, 1, -3}>
    { [dense] hidden = MatMul (x, w) y = Relu (hidden) }";

fn slpc(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_slpc")).args(arguments).output().unwrap()
}

/// Runs what must succeed and gives its standard output.
fn done(arguments: &[&str]) -> String {
    let output = slpc(arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}{text}");
    text
}

/// Runs what must fail with `code` and one message, which it gives.
fn fails(code: i32, arguments: &[&str]) -> String {
    let output = slpc(arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    assert!(error.starts_with("error: "), "{arguments:?}: {error}");
    assert_eq!(error.matches("error: ").count(), 1, "{arguments:?}: {error}");
    error
}

/// A folder with `m.onnx`, a model of the text `graph`.
struct Room(TempDir);

impl Room {
    fn new(graph: &str) -> Self {
        let room = Self(tempfile::tempdir().unwrap());
        let text = format!("<ir_version: 8, opset_import: [\"\" : 18]> {graph}");
        fs::write(room.path("m.onnx"), to_bytes(&parse(&text).unwrap()).unwrap()).unwrap();
        room
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn at(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Transforms `m.onnx`, which must fail, with nothing left beside it.
    fn refuses(&self, code: i32, options: &[&str]) -> String {
        let model = self.at("m.onnx");
        let error = fails(code, &[&["transform", &model], options].concat());
        let left: Vec<_> = fs::read_dir(self.0.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        error
    }
}

fn says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
}

#[test]
fn what_is_no_model_is_told_apart() {
    let room = Room::new(NET);
    let whole = fs::read(room.path("m.onnx")).unwrap();
    let cases: [(&[u8], &str); 4] = [
        (b"", "empty"),
        (b"just some words", "text"),
        (b"PK\x03\x04rest", "zip archive"),
        (&whole[..whole.len() / 2], "no ONNX model"),
    ];
    for (bytes, what) in cases {
        fs::write(room.path("m.onnx"), bytes).unwrap();
        says(&room.refuses(3, &[]), &["m.onnx", what]);
    }
    says(&fails(2, &["transform", &room.at("none.onnx")]), &["none.onnx"]);
}

#[test]
fn an_unknown_layer_is_answered_with_the_nearest() {
    let room = Room::new(NET);
    says(&room.refuses(2, &["--layer", "hiden"]), &["'hiden'", "nearest", "'hidden'"]);
    says(&room.refuses(2, &["--layer", "#9"]), &["#1 to #"]);
    says(&room.refuses(2, &["--input", "z"]), &["no input 'z'", "x"]);
}

#[test]
fn an_integer_input_has_no_slope() {
    let room = Room::new("g (int64[N] x) => (float[N] y) { y = Cast <to = 1> (x) }");
    says(&room.refuses(2, &[]), &["no float input", "x"]);
    says(&room.refuses(2, &["--input", "x"]), &["'x'", "int64"]);
}

#[test]
fn a_layer_must_depend_on_the_input() {
    let room = Room::new(
        "g (float[N] x, float[N] z) => (float[N] y, float[N] o) { y = Relu (x) o = Neg (z) }",
    );
    says(&room.refuses(2, &["--input", "x", "--layer", "o"]), &["'o'", "no path"]);
    says(&room.refuses(2, &[]), &["several float inputs", "x, z", "--input"]);
}

#[test]
fn operators_without_a_rule_are_named_all_at_once() {
    let room = Room::new(
        "g (float[1, 3] x) => (float[1, 3] y)
         { h = Relu (x) [one] a = Twist (h) [two] b = Twist (a) y = Add (h, b) }",
    );
    let missing = ["no rule for 2 operators", "Twist at 'one'", "Twist at 'two'", "'h'"];
    says(&room.refuses(2, &[]), &missing);
    says(&done(&["inspect", &room.at("m.onnx")]), &["no rule", "  Twist at 'two'", "missing"]);
}

#[test]
fn neurons_must_be_in_the_layer() {
    let room = Room::new(NET);
    says(&room.refuses(2, &["--neurons", "4"]), &["neuron 4", "4 neurons"]);
    says(&room.refuses(2, &["--neurons", "top:5"]), &["top:5"]);
    says(&room.refuses(2, &["--neurons", "[0,0]"]), &["2 coordinates"]);
    says(&room.refuses(2, &["--neurons", "x"]), &["names no neurons"]);
}

#[test]
fn many_neurons_must_be_asked_for_and_memory_is_kept() {
    let conv1 = "/conv1/Conv_output_0";
    let room = tempfile::tempdir().unwrap();
    let output = room.path().join("o.onnx");
    let output = output.to_str().unwrap();
    let common = ["transform", DIGITS, "-o", output, "--layer", conv1];
    // Three maps of 784 numbers for each neuron.
    says(&fails(2, &common), &["36864 neurons", "346.8 MB", "--neurons"]);
    let error = fails(2, &[&common[..], &["--neurons", "all", "--memory", "10M"]].concat());
    says(&error, &["--memory", "36864", "10.5 MB"]);
    assert_eq!(fs::read_dir(&room).unwrap().count(), 0);
}

#[test]
fn the_plan_tells_directions_colours_and_blocks() {
    let room = tempfile::tempdir().unwrap();
    let output = room.path().join("o.onnx");
    let output = output.to_str().unwrap();
    let common = ["transform", DIGITS, "-o", output, "--emit", "weights", "--neurons", "all"];
    let told = |options: &[&str]| done(&[&common[..], options].concat());
    let conv = told(&["--layer", "#3", "--direction", "forward", "--block", "64"]);
    says(
        &conv,
        &["forward (seeds: reverse 4096, forward 196 colours)", "49 seeds at a time", "64 of"],
    );
    let all = told(&["--layer", "all", "--explain"]);
    says(&all, &["forward to /conv1", "reverse from the others", "colours)", "s in both"]);
    let json = told(&["--layer", "all", "--json"]);
    says(&json, &["\"direction\":\"mixed\"", "\"coloured\":true"]);
}

#[test]
fn the_output_must_be_writable_and_not_the_model() {
    let room = Room::new(NET);
    says(&room.refuses(2, &["-o", "/no/such/folder/o.onnx"]), &["/no/such/folder"]);
    let folder = room.0.path().to_str().unwrap().to_owned();
    says(&room.refuses(2, &["-o", &folder]), &["no regular file"]);
    let model = room.at("m.onnx");
    says(&room.refuses(2, &["-o", &model]), &["the model itself"]);
    says(&room.refuses(2, &["-o", "-", "--weights", "external"]), &["--weights"]);
}

#[test]
fn usage_errors_exit_with_2() {
    let room = Room::new(NET);
    for options in [
        &["--block", "0"][..],
        &["--block", "x"],
        &["--assume", "N"],
        &["--assume", "N=0"],
        &["--assume", "wat=2"],
        &["--memory", "many"],
        &["--emit", "power,x"],
        &["--wat"],
    ] {
        room.refuses(2, options);
    }
    assert_eq!(slpc(&[]).status.code(), Some(2));
    assert_eq!(slpc(&["--help"]).status.code(), Some(0));
    assert_eq!(slpc(&["--version"]).status.code(), Some(0));
}

#[test]
fn the_network_of_the_repository_is_transformed_and_verified() {
    let room = tempfile::tempdir().unwrap();
    let at = |name: &str| room.path().join(name).to_str().unwrap().to_owned();
    fs::copy(DIGITS, at("m.onnx")).unwrap();
    let text = done(&["transform", &at("m.onnx"), "--neurons", "top:3", "--explain", "--verify"]);
    says(&text, &["'logits' [10]", "reverse", "linear step", "Conv", "Σν̂ = v", "ok"]);
    assert!(!text.contains("BROKEN") && !text.contains("no source"), "{text}");
    let report = done(&[
        "verify",
        &at("m.slp.onnx"),
        "--data",
        "examples/digits",
        "--preprocess",
        "unit",
        "--json",
    ]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["ok"], &report["samples"]), (&true.into(), &2.into()));
    says(&fails(2, &["transform", &at("m.slp.onnx")]), &["augmented already"]);
    says(&fails(2, &["verify", &at("m.onnx")]), &["no augmented model"]);
}

#[test]
fn a_model_is_transformed_again_for_second_derivatives() {
    let room = Room::new(
        "g (float[2, 3] x) => (float[2, 2] y) <float[3, 2] w = {0.1, -0.2, 0.3, 0.1, 0.2, 0.05}>
            { m = MatMul (x, w) y = Tanh (m) }",
    );
    let (once, twice) = (room.at("m.slp.onnx"), room.at("h.onnx"));
    done(&["transform", &room.at("m.onnx"), "-q"]);
    let layer = "h=slp/y/weights";
    let text = done(&["transform", &once, "-o", &twice, "--layer", layer, "--batch", "none"]);
    says(&text, &["slp/y/weights"]);
    let report = done(&["verify", &twice]);
    assert!(!report.contains("BROKEN"), "{report}");
}

#[test]
fn a_tampered_file_is_found_out() {
    let room = tempfile::tempdir().unwrap();
    let at = |name: &str| room.path().join(name).to_str().unwrap().to_owned();
    done(&["transform", DIGITS, "-o", &at("a.onnx"), "--neurons", "0", "-q"]);
    let mut model = slpc::onnx::load(Path::new(&at("a.onnx"))).unwrap();
    // Neuron 0 is passed off as neuron 1.
    for (key, value) in &mut model.metadata {
        if key.ends_with(".choice") {
            *value = "1".into();
        }
    }
    fs::write(at("b.onnx"), to_bytes(&model).unwrap()).unwrap();
    let error = fails(1, &["verify", &at("b.onnx"), "-q"]);
    says(&error, &["broken", "own value"]);
}

#[test]
fn inspect_lists_layers_as_a_table_and_as_json() {
    let text = done(&["inspect", DIGITS]);
    says(&text, &["3  /conv2/Conv_output_0", "[64, 8, 8]", "4096", "Relu", "exact"]);
    let json: serde_json::Value =
        serde_json::from_str(&done(&["inspect", DIGITS, "--json"])).unwrap();
    assert_eq!(json["layers"].as_array().unwrap().len(), 6);
    assert_eq!(json["layers"][5]["name"], "logits");
}

#[test]
fn standard_output_and_every_run_give_the_same_bytes() {
    let room = Room::new(NET);
    let (model, a, b) = (room.at("m.onnx"), room.at("a.onnx"), room.at("b.onnx"));
    done(&["transform", &model, "-o", &a]);
    let summary: serde_json::Value =
        serde_json::from_str(&done(&["transform", &model, "-o", &b, "--json"])).unwrap();
    assert_eq!(summary["layers"][0]["value"], "y");
    let piped = slpc(&["transform", &model, "-o", "-"]);
    assert!(String::from_utf8(piped.stderr).unwrap().contains("direction"));
    let bytes = fs::read(&a).unwrap();
    assert_eq!(summary["bytes"]["after"], bytes.len());
    assert!(bytes == fs::read(&b).unwrap() && bytes == piped.stdout);
}

#[test]
fn referenced_weights_are_found_again() {
    let room = tempfile::tempdir().unwrap();
    let at = |name: &str| room.path().join(name).to_str().unwrap().to_owned();
    fs::copy(DIGITS, at("m.onnx")).unwrap();
    done(&["transform", &at("m.onnx"), "--weights", "reference", "--neurons", "top:1"]);
    assert!(fs::metadata(at("m.slp.onnx")).unwrap().len() < 100_000);
    done(&["verify", &at("m.slp.onnx")]);
}

#[test]
fn results_of_a_run_are_arrays_by_name() {
    let room = tempfile::tempdir().unwrap();
    let at = |name: &str| room.path().join(name).to_str().unwrap().to_owned();
    let data = ["--data", "examples/digits", "--preprocess", "unit", "-o"];
    done(&["transform", DIGITS, "-o", &at("a.onnx"), "--neurons", "top:2", "-q"]);
    done(&[&["run", &at("a.onnx")], &data[..], &[&at("o.npz")]].concat());
    let mut npz = ndarray_npy::NpzReader::new(fs::File::open(at("o.npz")).unwrap()).unwrap();
    let logits: ndarray::Array2<f32> = npz.by_name("logits").unwrap();
    assert_eq!(logits.dim(), (10, 10));
    let weights: ndarray::ArrayD<f32> = npz.by_name("slp/logits/weights").unwrap();
    assert_eq!(weights.shape(), [10, 2, 1, 28, 28]);
    let chosen: ndarray::Array2<i64> = npz.by_name("slp/logits/neurons").unwrap();
    let right = (0..10).filter(|&digit| chosen[[digit, 0]] == digit as i64).count();
    assert!(right >= 9, "{chosen}");

    done(&["transform", DIGITS, "-o", &at("r.onnx"), "--neurons", "runtime", "-q"]);
    says(
        &fails(2, &[&["run", &at("r.onnx")], &data[..], &[&at("p.npz")]].concat()),
        &["--neurons"],
    );
    done(&[&["run", &at("r.onnx"), "--neurons", "3,7..8"], &data[..], &[&at("p.npz")]].concat());
    let mut npz = ndarray_npy::NpzReader::new(fs::File::open(at("p.npz")).unwrap()).unwrap();
    let activity: ndarray::Array2<f32> = npz.by_name("slp/logits/activity").unwrap();
    assert_eq!(activity.dim(), (10, 3));
    assert_eq!(activity[[4, 1]], logits[[4, 7]]);
}

#[test]
fn neurons_are_given_a_few_at_a_time() {
    let room = tempfile::tempdir().unwrap();
    let at = |name: &str| room.path().join(name).to_str().unwrap().to_owned();
    let layers = ["--layer", "a=logits", "--layer", "b=#5", "--neurons", "runtime"];
    let made = |emit: &str, batch: &str| {
        let rest = ["-o", &at("r.onnx"), "--emit", emit, "--batch", batch, "-q"];
        done(&[&["transform", DIGITS], &layers[..], &rest].concat());
    };
    let run = |block: &[&str], name: &str| {
        let data = ["--data", "examples/digits", "--preprocess", "unit", "--limit", "3"];
        let path = at("r.onnx");
        let rest = ["--neurons", "3,0,9,7,7", "-o", &at(name), "-q"];
        slpc(&[&["run", &path], &data[..], &rest, block].concat())
    };
    let read = |name: &str, array: &str| -> ndarray::ArrayD<f32> {
        let mut npz = ndarray_npy::NpzReader::new(fs::File::open(at(name)).unwrap()).unwrap();
        npz.by_name(array).unwrap()
    };
    for batch in ["auto", "none"] {
        made("activity,weights,bias,bias-terms", batch);
        for (block, name) in [(&[][..], "all.npz"), (&["--block", "2"], "few.npz")] {
            let output = run(block, name);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        for layer in ["a", "b"] {
            for quantity in ["activity", "weights", "bias", "bias-terms"] {
                let name = format!("slp/{layer}/{quantity}");
                let (all, few) = (read("all.npz", &name), read("few.npz", &name));
                assert_eq!(few.shape()[..2], [3, 5], "{name}");
                assert_eq!(few.shape(), all.shape(), "{name}");
                let off = few.iter().zip(&all).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off < 1e-5, "{name}: {off}");
            }
        }
        assert_eq!(read("few.npz", "logits").shape()[0], 3);
    }
    made("patterns", "auto");
    assert!(run(&[], "all.npz").status.success());
    let output = run(&["--block", "2"], "few.npz");
    assert_eq!(output.status.code(), Some(2));
    says(&String::from_utf8_lossy(&output.stderr), &["patterns", "together", "--block"]);
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let command = format!("'{}' inspect {DIGITS} | true", env!("CARGO_BIN_EXE_slpc"));
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
}
