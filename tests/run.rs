//! `slpc run` and `slpc verify` in both engines, as they are typed.

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::python;

const DIGITS: &str = "examples/2conv_mnist.onnx";

/// Prints the name, type, shape and sum of every array that numpy reads from the files given.
const READ: &str = "
import sys, os, numpy as np
for path in sys.argv[1:]:
    if os.path.isdir(path):
        held = {name: np.load(os.path.join(path, name)) for name in os.listdir(path)}
    else:
        held = np.load(path)
        held = {'alone': held} if isinstance(held, np.ndarray) else held
    for name in sorted(held):
        print(name, held[name].dtype, held[name].shape, float(np.abs(held[name]).sum()))
";

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

/// What numpy reads: name, type and shape of each array, and the sums of their magnitudes.
fn numpy(paths: &[&str]) -> (Vec<String>, Vec<f64>) {
    let mut command = Command::new(python::interpreter());
    let output = command.args(["-c", READ]).args(paths).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| line.rsplit_once(' ').unwrap());
    lines.map(|(what, sum)| (what.to_owned(), sum.parse::<f64>().unwrap())).unzip()
}

/// The names of what is in a folder, in order.
fn entries(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
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
    let made = ["transform", DIGITS, "-o", &format!("{model}.b"), "--verify"];
    let table = done(&[&made[..], &["--onnxruntime", &library()]].concat());
    assert!(table.contains("ok") && !table.contains("BROKEN"), "{table}");
    let error = refused(&slpc(&[&made[..], &["--provider", "cuda"]].concat()));
    assert!(error.contains("tract: it computes on the cpu"), "{error}");
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

#[test]
fn numpy_reads_what_both_engines_computed() {
    let (room, model) = room();
    let at = |name: &str| room.path().join(name).to_str().unwrap().to_owned();
    let data = ["--data", "examples/digits", "--data", "examples/digits/3.png", "--preprocess"];
    let run = |more: &[&str]| done(&[&["run", &model], &data[..], &["unit"], more].concat());
    let told = run(&["-o", &at("t.npz"), "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["samples"], &told["arrays"][0]["name"]), (&11.into(), &"logits".into()));
    run(&["-o", &at("o.npz"), "--engine", "onnxruntime", "--onnxruntime", &library()]);
    let (names, sums) = numpy(&[&at("t.npz")]);
    let expected = [
        "logits float32 (11, 10)",
        "slp/logits/activity float32 (11, 2)",
        "slp/logits/bias float32 (11, 2)",
        "slp/logits/centre float32 (11, 2, 1, 28, 28)",
        "slp/logits/icd float32 (11, 2, 1, 28, 28)",
        "slp/logits/neurons int64 (11, 2)",
        "slp/logits/weights float32 (11, 2, 1, 28, 28)",
    ];
    assert_eq!(names, expected);
    let (theirs, others) = numpy(&[&at("o.npz")]);
    assert_eq!(theirs, names);
    for (name, (a, b)) in names.iter().zip(sums.iter().zip(&others)) {
        assert!((a - b).abs() <= 1e-4 * a.abs(), "{name}: {a} and {b}");
    }
    // The same in whatever batches, and in the other forms.
    for size in ["1", "4", "11"] {
        run(&["-o", &at(&format!("{size}.npz")), "--batch-size", size, "-q"]);
        let (again, same) = numpy(&[&at(&format!("{size}.npz"))]);
        assert_eq!(again, names);
        assert!(same.iter().zip(&sums).all(|(a, b)| (a - b).abs() <= 1e-4 * b.abs()), "{size}");
    }
    run(&["-o", &at("threads.npz"), "--threads", "3", "-q"]);
    let (again, same) = numpy(&[&at("threads.npz")]);
    assert_eq!(again, names);
    assert!(same.iter().zip(&sums).all(|(a, b)| (a - b).abs() <= 1e-4 * b.abs()));
    let one = ["--array", "slp/logits/neurons", "--limit", "4"];
    run(&[&["-o", &at("one.npy")], &one[..]].concat());
    run(&[&["-o", &at("folder"), "--array", "logits"], &one[..]].concat());
    let (names, _) = numpy(&[&at("one.npy"), &at("folder")]);
    assert_eq!(
        names,
        ["alone int64 (4, 2)", "logits.npy float32 (4, 10)", "slp.logits.neurons.npy int64 (4, 2)"]
    );
    let left = ["1.npz", "11.npz", "4.npz", "a.onnx", "folder", "o.npz", "one.npy", "t.npz"];
    let left = [&left[..], &["threads.npz"]].concat();
    assert_eq!(entries(room.path()), left);
}

#[test]
fn what_is_wrong_with_the_data_is_told_by_file_and_leaves_nothing() {
    let (room, model) = room();
    let at = |name: &str| room.path().join(name).to_str().unwrap().to_owned();
    let nan = ndarray::Array4::from_elem((2, 1, 28, 28), f32::NAN);
    ndarray_npy::write_npy(at("nan.npy"), &nan).unwrap();
    ndarray_npy::write_npy(at("flat.npy"), &ndarray::Array2::<f32>::zeros((2, 784))).unwrap();
    image::GrayImage::new(30, 20).save(at("large.png")).unwrap();
    std::fs::write(at("text.png"), "no picture").unwrap();
    let before = entries(room.path());
    let output = at("o.npz");
    let tells = |options: &[&str], parts: &[&str]| {
        let base: &[&str] = &["run", &model, "-o", &output];
        let error = refused(&slpc(&[base, options].concat()));
        for part in parts {
            assert!(error.contains(part), "'{part}' is not in: {error}");
        }
        assert_eq!(entries(room.path()), before, "{error}");
    };
    tells(&["--data", &at("nan.npy")], &["nan.npy", "sample 0 of the file holds NaN"]);
    tells(&["--data", &at("flat.npy")], &["flat.npy", "[2, 784]", "[1, 28, 28]"]);
    tells(&["--data", &at("large.png")], &["large.png", "20 × 30", "28 × 28", "crop=28x28"]);
    tells(&["--data", &at("text.png")], &["text.png", "this is no picture"]);
    tells(&["--data", &at("none.png")], &["none.png"]);
    tells(&["--preprocess", "unit"], &["--data"]);
    tells(&[], &["there is no data"]);
    let digits = ["--data", "examples/digits"];
    tells(&[&digits[..], &["--array", "x"]].concat(), &["'x'", "slp/logits/weights"]);
    tells(&[&digits[..], &["--neurons", "3"]].concat(), &["--neurons runtime"]);
    let refuses = |output: &str, part: &str| {
        let error = refused(&slpc(&[&["run", &model, "-o", output], &digits[..]].concat()));
        assert!(error.contains(part), "{error}");
        assert_eq!(entries(room.path()), before, "{error}");
    };
    refuses(&at("o.txt"), ".txt");
    refuses(&at("o.npy"), "--array");
    refuses(room.path().to_str().unwrap(), "there already");
    refuses("/no/such/folder/o.npz", "/no/such/folder");
}

/// A data set larger than any memory is read by its batch, whatever the command.
#[cfg(unix)]
#[test]
fn of_a_large_file_only_what_is_used_is_read() {
    let (room, model) = room();
    let network = "examples/2conv_mnist.onnx";
    let (data, output) = (room.path().join("x.npy"), room.path().join("o.npz"));
    ndarray_npy::write_npy(&data, &ndarray::Array4::<u8>::zeros((0, 1, 28, 28))).unwrap();
    let header = std::fs::read(&data).unwrap();
    let text = String::from_utf8_lossy(&header[10..]).replace("(0, 1", "(1000000000, 1");
    let header = [&header[..8], &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat();
    let pixels: Vec<u8> = (0..3 * 784u32).map(|i| (i * i % 251) as u8).collect();
    std::fs::write(&data, [&header[..], &pixels].concat()).unwrap();
    let file = std::fs::File::options().write(true).open(&data).unwrap();
    file.set_len(header.len() as u64 + 1_000_000_000 * 784).unwrap();
    let data = ["--data", data.to_str().unwrap(), "--preprocess", "unit"];
    let output = output.to_str().unwrap();
    for arguments in [
        &["run", &model, "--limit", "3", "-o", output][..],
        &["verify", &model],
        &["stats", network, "--limit", "3"],
        &["capacity", network, "--layer", "logits", "--limit", "2"],
        &["sanity", network, network, "--steps", "1", "--limit", "2"],
        &["spa", network, "--limit", "2", "-o", output],
    ] {
        let ran = slpc(&[arguments, &data].concat());
        let error = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{arguments:?}: {error}");
    }
    file.set_len(1_000_000).unwrap();
    let error = refused(&slpc(&[&["run", &model, "-o", output], &data[..]].concat()));
    assert!(error.contains("x.npy") && error.contains("copy or write it again"), "{error}");
}

/// Interrupted while it computes, a run leaves nothing and ends as shells expect.
#[cfg(unix)]
#[test]
fn ctrl_c_leaves_nothing() {
    use std::time::{Duration, Instant};
    let (room, model) = room();
    let data = tempfile::tempdir().unwrap();
    let data = data.path().join("many.npy");
    ndarray_npy::write_npy(&data, &ndarray::Array4::<u8>::zeros((100_000, 1, 28, 28))).unwrap();
    for ending in ["o.npz", "o.npy", "o"] {
        let output = room.path().join(ending);
        let mut command = Command::new(env!("CARGO_BIN_EXE_slpc"));
        command.args(["run", &model, "--batch-size", "1", "--array", "slp/logits/weights"]);
        command.arg("--data").arg(&data).arg("-o").arg(&output);
        let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        let spills = || {
            let folders =
                std::fs::read_dir(room.path()).unwrap().map(|entry| entry.unwrap().path());
            let files =
                folders.filter(|path| path.is_dir()).flat_map(|f| std::fs::read_dir(f).unwrap());
            files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>()
        };
        while spills() == 0 {
            assert!(begun.elapsed() < Duration::from_secs(60), "the run writes nothing");
            std::thread::sleep(Duration::from_millis(10));
        }
        let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(killed.unwrap().success());
        let ended = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(130), "{error}");
        assert_eq!(error, "error: interrupted; nothing was written\n");
        assert_eq!(entries(room.path()), ["a.onnx"]);
    }
}
