//! What the tests of whole models share: the data, requests, runs in tract, and distances.
#![allow(dead_code, reason = "every test file uses its own part of it")]

pub mod corpus;
pub mod jobs;
pub mod python;
pub mod states;

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use ndarray::ArrayD;
use ndarray_npy::NpzReader;
use serde_json::Value;
use slpc::compile::plan::{Direction, Limits};
use slpc::compile::{LayerRequest, Options, transform};
use slpc::engine::{Array, tract};
use slpc::graph::Model;
use slpc::onnx;

/// The folder of real models and data, or none, said aloud.
pub fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("SLPC_TESTDATA");
    if folder.is_none() {
        eprintln!("SKIPPED: SLPC_TESTDATA names no folder of test data");
    }
    folder.map(PathBuf::from)
}

/// Whether the long tests are wanted.
pub fn long() -> bool {
    std::env::var_os("SLPC_LONG").is_some_and(|value| value == "1")
}

/// The network that the repository ships.
pub fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/2conv_mnist.onnx")
}

/// The folder of the package `onnxruntime` in the tests' own Python, which holds the library.
pub fn onnxruntime() -> PathBuf {
    let home = python::interpreter().ancestors().nth(2).unwrap().join("lib");
    let package = |entry: std::fs::DirEntry| entry.path().join("site-packages/onnxruntime");
    let mut packages = home.read_dir().unwrap().map(|entry| package(entry.unwrap()));
    let found = packages.find(|folder| folder.is_dir());
    found.unwrap_or_else(|| panic!("no package under {}", home.display()))
}

/// A digit that the repository ships, as the shipped network takes it: `[1, 1, 28, 28]`.
pub fn digit(number: usize) -> ArrayD<f32> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/digits/{number}.png"));
    let image = image::open(path).unwrap().to_luma32f();
    ArrayD::from_shape_vec(vec![1, 1, 28, 28], image.into_raw()).unwrap()
}

/// Options as the command line would give them; layers may be `ALIAS=WHAT`.
pub fn options(layers: &[&str], neurons: &str, emit: &str) -> Options {
    let layers = layers.iter().map(|text| match text.split_once('=') {
        Some((alias, what)) => LayerRequest { alias: Some(alias.into()), what: what.into() },
        None => LayerRequest { alias: None, what: (*text).into() },
    });
    Options {
        layers: layers.collect(),
        neurons: Some(neurons.parse().unwrap()),
        emit: emit.split(',').map(|quantity| quantity.parse().unwrap()).collect(),
        ..Options::default()
    }
}

/// The options with a direction.
pub fn towards(direction: Direction, options: Options) -> Options {
    Options { limits: Limits { direction: Some(direction), ..options.limits }, ..options }
}

/// The model in a file, augmented.
pub fn augment(path: &Path, options: &Options) -> Model {
    let augmented = onnx::load(path).and_then(|model| transform(model, options));
    augmented.unwrap_or_else(|error| panic!("{}: {error}", path.display())).0
}

/// What a run gave, by name.
pub struct Outputs(pub HashMap<String, Array>);

impl Outputs {
    /// An output in double precision.
    pub fn get(&self, name: &str) -> ArrayD<f64> {
        let found = self.0.get(name).map(Array::to_f64);
        found.unwrap_or_else(|| panic!("no output '{name}' among {:?}", self.0.keys()))
    }

    /// The quantity of a layer in double precision.
    pub fn of(&self, layer: &str, quantity: &str) -> ArrayD<f64> {
        self.get(&format!("slp/{layer}/{quantity}"))
    }
}

/// Runs a model in tract.
pub fn run(model: &Model, inputs: &[(&str, Array)]) -> Outputs {
    try_run(model, inputs).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs a model in tract, where it may be that tract refuses it.
pub fn try_run(model: &Model, inputs: &[(&str, Array)]) -> slpc::error::Result<Outputs> {
    let bytes = onnx::to_bytes(model)?;
    let shapes: Vec<_> =
        inputs.iter().map(|(name, array)| ((*name).to_owned(), array.shape().to_vec())).collect();
    let outputs = tract::Session::new(&bytes, &shapes)?.run(inputs)?;
    Ok(Outputs(outputs.into_iter().collect()))
}

/// ‖a − b‖ / ‖b‖, and 0 where both are 0.
pub fn distance<'a>(
    a: impl IntoIterator<Item = &'a f64>,
    b: impl IntoIterator<Item = &'a f64>,
) -> f64 {
    let (mut difference, mut norm) = (0.0, 0.0);
    let mut b = b.into_iter();
    for a in a {
        let b = b.next().expect("as many elements on both sides");
        difference += (a - b).powi(2);
        norm += b.powi(2);
    }
    assert!(b.next().is_none(), "as many elements on both sides");
    if difference == 0.0 { 0.0 } else { (difference / norm).sqrt() }
}

/// Projections computed by an independent road in double precision.
pub struct Golden {
    /// The layer's value.
    pub layer: String,
    /// The flat numbers of the neurons.
    pub neurons: Vec<i64>,
    /// v as `[n, K]`.
    pub activity: ArrayD<f64>,
    /// ŵ as `[n, K, x…]`.
    pub weights: ArrayD<f64>,
    /// b̂ as `[n, K]`.
    pub bias: ArrayD<f64>,
}

/// The inputs of a golden file and the projections of each of its layers.
pub fn golden(path: &Path) -> (ArrayD<f32>, Vec<Golden>) {
    let mut npz = NpzReader::new(File::open(path).unwrap()).unwrap();
    let names = npz.names().unwrap();
    let input = npz.by_name("input").unwrap();
    let prefixes = names.iter().filter_map(|name| name.strip_suffix("layer"));
    let layers = prefixes.map(|prefix| {
        let neurons: ArrayD<i64> = npz.by_name(&format!("{prefix}neurons")).unwrap();
        let weights: ArrayD<f32> = npz.by_name(&format!("{prefix}weights")).unwrap();
        Golden {
            layer: npy_text(path, &format!("{prefix}layer")),
            neurons: neurons.into_iter().collect(),
            activity: npz.by_name(&format!("{prefix}activity")).unwrap(),
            weights: weights.mapv(f64::from),
            bias: npz.by_name(&format!("{prefix}bias")).unwrap(),
        }
    });
    let layers: Vec<_> = layers.collect();
    assert!(!layers.is_empty(), "{} holds no layer", path.display());
    (input, layers)
}

/// A text in an `.npz` file: an array without axes of little-endian UTF-32, a type that
/// `ndarray-npy` does not read.
fn npy_text(path: &Path, name: &str) -> String {
    let mut archive = zip::ZipArchive::new(File::open(path).unwrap()).unwrap();
    let mut bytes = Vec::new();
    archive.by_name(&format!("{name}.npy")).unwrap().read_to_end(&mut bytes).unwrap();
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let (header, text) = bytes[10..].split_at(header);
    let header = std::str::from_utf8(header).unwrap();
    assert!(header.contains("'<U") && header.contains("'shape': ()"), "{header}");
    let letters = text.as_chunks().0.iter().map(|&code| u32::from_le_bytes(code));
    letters.filter(|&code| code != 0).map(|code| char::from_u32(code).unwrap()).collect()
}

/// What a script prints, which is JSON; `script` are the arguments of the interpreter.
pub fn python(script: &[&str]) -> Value {
    let output = Command::new(python::interpreter()).args(script).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The numbers of a list.
pub fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}
