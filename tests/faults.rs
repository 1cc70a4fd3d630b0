//! What goes wrong while files are written: full disks, killed processes, two runs at once. The old
//! output stays or the new one is whole, always.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use common::long;
use slpc::graph::{DataType, Tensor};
use slpc::onnx::{load, text::parse, to_bytes};
use tempfile::TempDir;

/// A folder with `m.onnx`, a model of a megabyte.
struct Room(TempDir);

impl Room {
    fn new() -> Self {
        let mut model = parse(
            "<ir_version: 8, opset_import: [\"\" : 18]> g (float[N, 256] x) => (float[N, 8] y)
            <float[1] w = {0}, float[1] u = {0}>
            { h = MatMul (x, w) r = Relu (h) v = Transpose (u) y = MatMul (r, v) }",
        )
        .unwrap();
        for (name, dims) in [("w", [256, 1024]), ("u", [8, 1024])] {
            let id = model.graph.find(name).unwrap();
            let count = dims.iter().product::<i64>();
            let values: Vec<f64> =
                (0..count).map(|i| ((i * 37) % 101) as f64 / 50.0 - 1.0).collect();
            let value = model.graph.value_mut(id);
            let tensor = Tensor::floats(DataType::F32, dims.to_vec(), &values);
            *value =
                slpc::graph::Value { tensor: Some(tensor.into()), ..slpc::graph::Value::new(name) };
        }
        let room = Self(tempfile::tempdir().unwrap());
        fs::write(room.path("m.onnx"), to_bytes(&model).unwrap()).unwrap();
        room
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The command that writes the projection of one neuron to `output`.
    fn transform(&self, neuron: usize, output: &Path, weights: &str) -> Vec<String> {
        let neuron = neuron.to_string();
        let words =
            ["transform", "m.onnx", "--neurons", &neuron, "--weights", weights, "--quiet", "-o"];
        let words = words.iter().map(|&word| word.to_owned());
        words.chain([output.to_str().unwrap().to_owned()]).collect()
    }

    fn command(&self, arguments: &[String]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slpc"));
        command.args(arguments).current_dir(self.0.path());
        command
    }

    /// What is written for a neuron where nothing goes wrong, data file included.
    fn expected(&self, neuron: usize, weights: &str) -> Vec<u8> {
        let folder = self.path("expected");
        fs::create_dir_all(&folder).unwrap();
        let output = folder.join("out.onnx");
        let done = self.command(&self.transform(neuron, &output, weights)).output().unwrap();
        assert!(done.status.success(), "{}", told(&done));
        let bytes = contents(&output);
        fs::remove_dir_all(folder).unwrap();
        bytes
    }

    /// The names in the folder, without the temporary files of processes that were killed.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with(".slpc-")).collect();
        names.sort();
        names
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The model in the file with all its data, in one piece.
fn contents(path: &Path) -> Vec<u8> {
    to_bytes(&load(path).unwrap_or_else(|error| panic!("{error}"))).unwrap()
}

/// Runs a shell command line in which `$0` is the program and `$@` are its arguments.
fn shell(room: &Room, line: &str, arguments: &[String]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", line, env!("CARGO_BIN_EXE_slpc")]).args(arguments);
    command.current_dir(room.0.path()).output().unwrap()
}

#[test]
fn a_full_disk_leaves_the_old_output() {
    let room = Room::new();
    let output = room.path("out.onnx");
    for weights in ["keep", "external"] {
        fs::write(&output, "old").unwrap();
        let arguments = room.transform(0, &output, weights);
        // No file may grow beyond so many blocks of 512 bytes; the signal for it is ignored.
        for blocks in [0, 1, 100, 1000, 2000] {
            let line = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
            let failed = shell(&room, &line, &arguments);
            assert_eq!(failed.status.code(), Some(2), "{weights}, {blocks}: {}", told(&failed));
            assert!(told(&failed).contains("out.onnx"), "{}", told(&failed));
            assert_eq!(fs::read(&output).unwrap(), b"old");
            assert_eq!(fs::read_dir(room.0.path()).unwrap().count(), 2, "something was left");
        }
    }
}

#[test]
fn a_full_file_system_leaves_the_old_output() {
    let room = Room::new();
    let (disk, kept) = (room.path("disk"), room.path("kept"));
    fs::create_dir(&disk).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c"]).arg(format!(
        "mount -t tmpfs -o size=600k none '{disk}' || exit 77; printf old > '{disk}/out.onnx';
         \"$0\" \"$@\"; code=$?; ls -A '{disk}' > '{kept}'; cat '{disk}/out.onnx' >> '{kept}'; exit $code",
        disk = disk.display(),
        kept = kept.display()
    ));
    command.arg(env!("CARGO_BIN_EXE_slpc")).args(room.transform(0, &disk.join("out.onnx"), "keep"));
    let failed = match command.current_dir(room.0.path()).output() {
        Ok(output) if output.status.code() == Some(2) => output,
        other => {
            assert!(
                !matches!(&other, Ok(output) if output.status.success()),
                "the disk was not full"
            );
            eprintln!("SKIPPED: no file system can be mounted here: {other:?}");
            return;
        }
    };
    assert!(told(&failed).contains("No space left"), "{}", told(&failed));
    assert_eq!(fs::read_to_string(kept).unwrap(), "out.onnx\nold");
}

#[test]
fn a_full_standard_output_is_an_error() {
    let room = Room::new();
    let arguments = room.transform(0, Path::new("-"), "keep");
    let failed = shell(&room, "exec \"$0\" \"$@\" > /dev/full", &arguments);
    assert_eq!(failed.status.code(), Some(2), "{}", told(&failed));
    assert!(told(&failed).contains("No space left"), "{}", told(&failed));
    // A reader that goes away is told too, and is no panic.
    let failed = shell(&room, "\"$0\" \"$@\" | true; exit 2", &arguments);
    assert!(!told(&failed).contains("panicked") && !told(&failed).contains("defect"));
}

#[test]
fn a_folder_that_is_read_only_is_an_error() {
    let room = Room::new();
    let folder = room.path("fixed");
    fs::create_dir(&folder).unwrap();
    let line = "chmod 777 . && chmod 555 fixed && if [ \"$(id -u)\" = 0 ]; then \
        exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$0\" \"$@\"; else exec \"$0\" \"$@\"; fi";
    let failed = shell(&room, line, &room.transform(0, &folder.join("out.onnx"), "keep"));
    assert_eq!(failed.status.code(), Some(2), "{}", told(&failed));
    assert!(told(&failed).contains("ermission denied"), "{}", told(&failed));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn results_that_do_not_fit_leave_the_old_ones() {
    let room = Room::new();
    let augmented = room.path("out.onnx");
    let done = room.command(&room.transform(0, &augmented, "keep")).output().unwrap();
    assert!(done.status.success(), "{}", told(&done));
    let samples = ndarray::Array2::<f32>::ones((64, 256));
    ndarray_npy::write_npy(room.path("x.npy"), &samples).unwrap();
    for name in ["out.npz", "out.npy", "out"] {
        let output = room.path(name);
        if name != "out" {
            fs::write(&output, "old").unwrap();
        }
        let before = room.names();
        let array = if name == "out.npy" { vec!["--array", "slp/y/weights"] } else { vec![] };
        let words = ["run", "out.onnx", "--data", "x.npy", "--quiet", "-o", name];
        let words: Vec<_> = words.iter().chain(&array).map(|&word| word.to_owned()).collect();
        let failed = shell(&room, "trap '' XFSZ; ulimit -f 50; exec \"$0\" \"$@\"", &words);
        assert_eq!(failed.status.code(), Some(2), "{name}: {}", told(&failed));
        assert_eq!(room.names(), before, "{name}");
        if name != "out" {
            assert_eq!(fs::read(&output).unwrap(), b"old");
        }
        assert_eq!(
            fs::read_dir(room.0.path()).unwrap().count(),
            before.len(),
            "something was left"
        );
    }
}

#[test]
fn a_killed_run_leaves_the_old_output_or_the_new_one() {
    let room = Room::new();
    let output = room.path("out.onnx");
    let (mut whole, mut replaced) = (0, 0);
    for weights in ["keep", "external"] {
        let expected = [0, 1].map(|neuron| room.expected(neuron, weights));
        assert!(expected[0] != expected[1]);
        let start = Instant::now();
        let done = room.command(&room.transform(0, &output, weights)).output().unwrap();
        assert!(done.status.success(), "{}", told(&done));
        let usual = start.elapsed();
        let mut before = contents(&output);
        let rounds: u32 = if long() { 400 } else { 15 };
        for round in 0..rounds {
            let arguments = room.transform((round % 2) as usize, &output, weights);
            let mut child = room.command(&arguments).spawn().unwrap();
            // Golden steps through the time that a run takes.
            std::thread::sleep(usual.mul_f64(f64::from(round) * 0.618_034 % 1.3));
            child.kill().unwrap();
            child.wait().unwrap();
            let now = contents(&output);
            assert!(expected.contains(&now), "{weights}, round {round}: the output is neither");
            whole += 1;
            replaced += u32::from(now != before);
            before = now;
        }
        let names = room.names();
        let data = |name: &&String| name.starts_with("out.onnx.") && name.ends_with(".data");
        let other: Vec<_> = names.iter().filter(|name| !data(name)).collect();
        assert_eq!(other, ["m.onnx", "out.onnx"]);
    }
    let left = fs::read_dir(room.0.path()).unwrap().count() - room.names().len();
    println!(
        "{whole} runs killed, {left} while they wrote; {replaced} had put the new output in place, \
         none half of it"
    );
}

#[test]
fn runs_at_once_leave_the_output_of_one() {
    let room = Room::new();
    let output = room.path("out.onnx");
    for weights in ["keep", "external"] {
        let expected = [0, 1].map(|neuron| room.expected(neuron, weights));
        for round in 0..if long() { 100 } else { 4 } {
            let start = |i: usize| -> Child {
                let arguments = room.transform(i % 2, &output, weights);
                room.command(&arguments).stderr(Stdio::piped()).spawn().unwrap()
            };
            for child in (0..4).map(start).collect::<Vec<_>>() {
                let done = child.wait_with_output().unwrap();
                assert!(done.status.success(), "{}", told(&done));
            }
            let now = contents(&output);
            assert!(expected.contains(&now), "{weights}, round {round}: the output is neither");
        }
        assert!(
            fs::read_dir(room.0.path()).unwrap().all(|entry| {
                !entry.unwrap().file_name().to_string_lossy().starts_with(".slpc-")
            })
        );
    }
}

#[test]
fn an_output_never_replaces_its_input() {
    let room = Room::new();
    let before = fs::read(room.path("m.onnx")).unwrap();
    fs::create_dir(room.path("sub")).unwrap();
    std::os::unix::fs::symlink("m.onnx", room.path("link.onnx")).unwrap();
    for name in ["m.onnx", "./m.onnx", "sub/../m.onnx", "link.onnx"] {
        let failed = room.command(&room.transform(0, Path::new(name), "keep")).output().unwrap();
        assert_eq!(failed.status.code(), Some(2), "{name}: {}", told(&failed));
        assert!(told(&failed).contains("is the model itself"), "{}", told(&failed));
        assert!(fs::read(room.path("m.onnx")).unwrap() == before);
    }
    // Another name of the same file is given to the new one; the model keeps its own.
    fs::hard_link(room.path("m.onnx"), room.path("other.onnx")).unwrap();
    let done = room.command(&room.transform(0, Path::new("other.onnx"), "keep")).output().unwrap();
    assert!(done.status.success(), "{}", told(&done));
    assert!(fs::read(room.path("m.onnx")).unwrap() == before);
}
