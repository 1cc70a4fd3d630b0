//! `slpc run` and `slpc verify` in both engines, as they are typed.

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::python;

const DIGITS: &str = "examples/2conv_mnist.onnx";

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

/// The one message of what must be refused.
fn refused(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert_eq!(error.matches("error: ").count(), 1, "{error}");
    error
}

fn library() -> String {
    common::onnxruntime().to_str().unwrap().to_owned()
}

/// A folder with `a.onnx`, the network of the repository with the projections of its top neurons.
fn room() -> (tempfile::TempDir, String) {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("a.onnx").to_str().unwrap().to_owned();
    done(&["transform", DIGITS, "-o", &path, "--neurons", "top:2", "-q"]);
    (room, path)
}

#[test]
fn both_engines_keep_the_promises() {
    let (_room, model) = room();
    let data = ["--data", "examples/digits", "--preprocess", "unit", "--json"];
    let report = |engine: &[&str]| {
        let text = done(&[&["verify", &model], &data[..], engine].concat());
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let reports = [
        report(&[]),
        report(&["--engine", "onnxruntime", "--onnxruntime", &library(), "--threads", "1"]),
    ];
    let measured = |report: &serde_json::Value| {
        assert_eq!(report["ok"], true, "{report}");
        let rows = report["promises"].as_array().unwrap().iter();
        rows.map(|row| (row["promise"].clone(), row["status"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(measured(&reports[0]), measured(&reports[1]));
}

#[test]
fn the_library_is_found_in_an_activated_environment() {
    let (_room, model) = room();
    let home = python::interpreter();
    let home = home.ancestors().nth(2).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_slpc"));
    command.args(["verify", &model, "--engine", "onnxruntime", "-q"]);
    let output = command.env("VIRTUAL_ENV", home).env_remove("ORT_DYLIB_PATH").output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{error}");
}

#[test]
fn an_engine_that_is_not_there_says_how_to_install_it() {
    let (room, model) = room();
    let with = |variable: &str, value: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slpc"));
        command.args(["verify", &model, "--engine", "onnxruntime"]);
        command.env_remove("ORT_DYLIB_PATH").env_remove("VIRTUAL_ENV").env("PATH", room.path());
        refused(&command.env(variable, value).output().unwrap())
    };
    let nowhere = with("NOTHING", room.path());
    assert!(nowhere.contains("not installed") && nowhere.contains("pip install"), "{nowhere}");
    let folder = with("ORT_DYLIB_PATH", room.path());
    assert!(folder.contains("ORT_DYLIB_PATH names a folder without"), "{folder}");
    let no_library = with("ORT_DYLIB_PATH", Path::new(&model));
    assert!(no_library.contains("cannot load the library"), "{no_library}");
    let tells = |options: &[&str], part: &str| {
        let error = refused(&slpc(&[&["verify", &model], options].concat()));
        assert!(error.contains(part), "{error}");
    };
    tells(&["--engine", "abacus"], "choose one of: tract onnxruntime");
    tells(&["--provider", "abacus"], "choose one of: cpu cuda");
    tells(&["--provider", "cuda"], "tract: it computes on the cpu");
    tells(&["--provider", "cuda", "--onnxruntime", &library()], "it has: cpu");
    tells(&["--engine", "tract", "--onnxruntime", &library()], "takes no --onnxruntime");
    tells(&["--threads", "0"], "--threads");
}
