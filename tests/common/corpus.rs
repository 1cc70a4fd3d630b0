//! Models of tests as files, which `benches/runtimes/run.py` runs in other runtimes.

use std::path::Path;

use serde_json::{Map, json};

/// The value of an input: its name, dimensions and elements.
pub type Given = (String, Vec<usize>, Vec<f64>);

/// Writes an encoded model and what its float inputs are given to the folder that the environment
/// variable `SLPC_MODELS` names, if it names one.
pub fn keep(name: &str, model: impl FnOnce() -> Vec<u8>, feed: impl FnOnce() -> Vec<Given>) {
    if let Some(folder) = std::env::var_os("SLPC_MODELS") {
        write(Path::new(&folder), name, &model(), feed());
    }
}

/// Writes an encoded model as `NAME.onnx`, and what its float inputs are given as `NAME.json`.
pub fn write(folder: &Path, name: &str, model: &[u8], feed: Vec<Given>) {
    let feed: Map<_, _> = feed
        .into_iter()
        .map(|(name, dims, values)| (name, json!({ "dims": dims, "values": values })))
        .collect();
    std::fs::create_dir_all(folder).expect("the folder is made");
    let at = |suffix: &str| folder.join(format!("{name}.{suffix}"));
    std::fs::write(at("json"), json!(feed).to_string()).expect("the feed is written");
    std::fs::write(at("onnx"), model).expect("the model is written");
}
