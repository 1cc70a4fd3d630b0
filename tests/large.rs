//! A model of half a gigabyte: its weights stay in the file, not on the heap.
#![cfg(target_os = "linux")]

mod common;

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::jobs::Jobs;
use serde_json::json;
use slpc::graph::{DataType, Dim, Graph, Model, Node, Tensor, Value};
use slpc::onnx::{Weights, emit};

/// The most anonymous memory of `slpc transform`, in bytes.
const HEAP: u64 = 100 << 20;

/// A chain of fully connected layers without biases, `width` wide, and its size in bytes.
fn write_model(folder: &Path, layers: usize, width: usize) -> (PathBuf, u64) {
    let weights = folder.join("weights");
    let size = 4 * width * width;
    let mut file = BufWriter::new(File::create(&weights).unwrap());
    let mut state = 1u32;
    let scale = (width as f32).sqrt().recip();
    for _ in 0..layers * width * width {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let weight = (f64::from(state) / f64::from(u32::MAX) - 0.5) as f32 * scale;
        file.write_all(&weight.to_le_bytes()).unwrap();
    }
    file.flush().unwrap();
    // The file is this test's own and stays as it is while it is mapped.
    let map = unsafe { memmap2::Mmap::map(&File::open(&weights).unwrap()) }.unwrap();
    let bytes = Bytes::from_owner(map);
    let mut graph = Graph::new("large");
    let dims = || vec![Dim::pos_var("N"), Dim::Value(width as i32)];
    let mut x = graph.add_value(Value::typed("x", DataType::F32, dims())).unwrap();
    graph.inputs.push(x);
    for layer in 0..layers {
        let part = bytes.slice(layer * size..(layer + 1) * size);
        let tensor = Tensor::new(DataType::F32, vec![width as i64; 2], part);
        let weight = Value { tensor: Some(tensor.into()), ..Value::new(format!("w{layer}")) };
        let weight = graph.add_value(weight).unwrap();
        let sum = graph.add_value(Value::new(format!("v{layer}"))).unwrap();
        let gemm = Node::new("Gemm", vec![Some(x), Some(weight)], vec![Some(sum)]);
        graph.add_node(gemm.with("transB", 1)).unwrap();
        x = sum;
        if layer + 1 < layers {
            x = graph.add_value(Value::new(format!("a{layer}"))).unwrap();
            graph.add_node(Node::new("Relu", vec![Some(sum)], vec![Some(x)])).unwrap();
        }
    }
    let output = graph.value_mut(x);
    *output = Value::typed(output.name.clone(), DataType::F32, dims());
    graph.outputs.push(x);
    let opsets = [(String::new(), 18)].into();
    let model = Model { ir_version: 8, opsets, graph, ..Model::default() };
    let path = folder.join("model.onnx");
    let written = emit(&model, &path, Weights::Keep).unwrap().bytes;
    drop(model);
    fs::remove_file(weights).unwrap();
    (path, written)
}

/// A plain copy through a buffer, as a program without tricks of the file system makes it.
fn copy(from: &Path, to: &Path) -> Duration {
    let start = Instant::now();
    let (mut from, mut to) = (File::open(from).unwrap(), File::create(to).unwrap());
    let mut buffer = vec![0; 1 << 20];
    loop {
        match from.read(&mut buffer).unwrap() {
            0 => return start.elapsed(),
            n => to.write_all(&buffer[..n]).unwrap(),
        }
    }
}

/// What a process needed: its time, the most anonymous memory seen, and the most memory in all.
struct Needed {
    time: Duration,
    heap: u64,
    resident: u64,
}

/// Watches a process to its end, which must be a good one.
fn watch(mut child: Child) -> Needed {
    let start = Instant::now();
    let (mut heap, mut resident) = (0, 0);
    loop {
        if let Some(end) = child.try_wait().unwrap() {
            let mut told = String::new();
            child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
            assert!(end.success(), "{told}");
            return Needed { time: start.elapsed(), heap, resident };
        }
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok())
                .map_or(0, |k| k << 10)
        };
        heap = heap.max(bytes("RssAnon"));
        resident = resident.max(bytes("VmHWM"));
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn weights_stay_in_the_file() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (model, size) = write_model(folder.path(), 8, 4096);
    let (plain, augmented) = (folder.path().join("copy"), folder.path().join("augmented.onnx"));
    let copied = copy(&model, &plain);
    fs::remove_file(&plain).unwrap();
    let mut slpc = Command::new(env!("CARGO_BIN_EXE_slpc"));
    slpc.arg("transform").arg(&model).arg("-o").arg(&augmented).args(["--neurons", "top:3"]);
    let needed = watch(slpc.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let added = fs::metadata(&augmented).unwrap().len() - size;
    println!(
        "model of {} MB: transform {:.2?}, {} MB of heap, {} MB resident with the mapped file, \
         {added} bytes added; plain copy {copied:.2?}; ratio {:.2}",
        size >> 20,
        needed.time,
        needed.heap >> 20,
        needed.resident >> 20,
        needed.time.as_secs_f64() / copied.as_secs_f64()
    );
    assert!(needed.heap > 0 && needed.heap < HEAP);
    assert!(added < 1 << 16);
}

/// More than one protobuf message can hold: the weights lie beside the file, or in the model's own.
#[test]
fn models_beyond_two_gibibytes() {
    if !common::long() {
        eprintln!("SKIPPED: a model beyond 2 GiB is for SLPC_LONG=1");
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (model, _) = write_model(folder.path(), 9, 8192);
    let mut jobs = Jobs::new("beyond-two-gibibytes");
    for weights in ["keep", "reference"] {
        let augmented = folder.path().join(format!("{weights}.onnx"));
        let mut slpc = Command::new(env!("CARGO_BIN_EXE_slpc"));
        slpc.arg("transform").arg(&model).arg("-o").arg(&augmented);
        slpc.args(["--neurons", "top:3", "--weights", weights]);
        let needed = watch(slpc.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
        println!(
            "--weights {weights}: transform {:.2?}, {} MB of heap, {} bytes in the model file",
            needed.time,
            needed.heap >> 20,
            fs::metadata(&augmented).unwrap().len()
        );
        assert!(needed.heap > 0 && needed.heap < HEAP);
        jobs.add_files(weights, &model, &augmented, &json!({}));
    }
    jobs.check();
}
