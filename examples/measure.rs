//! Measures the compiler on real models and prints docs/measurements.md:
//! `SLPC_TESTDATA=FOLDER cargo run --example measure > docs/measurements.md`
//!
//! The folder holds `models/*.onnx`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use slpc::compile::{Options, transform};
use slpc::error::{Error, Result};
use slpc::onnx;
use slpc::verify::{Outcome, Promise, Settings, verify};

const HEADER: &str = "# Measurements

Made by `SLPC_TESTDATA=FOLDER cargo run --example measure > docs/measurements.md`, on whatever machine ran it
last: take ratios and errors from it, not absolute times. Each model is transformed with `--neurons top:3` at
its logits, all five quantities emitted. *Nodes* are those of the file, of the augmented file, and their ratio;
*bytes added* is what the file grows by. The errors are the worst over random inputs, run in tract, relative to
the magnitudes that go into each comparison: `v = x·ŵ + b̂` with the accumulated bias, `(x − ĉ)·ŵ = v`,
`Σν̂ = v`, and the prediction of a step that changes no state.

| model | nodes | augmented | ratio | transform | bytes added | v = x·ŵ + b̂ | centre | Σν̂ | step |
|---|---|---|---|---|---|---|---|---|---|
";

fn main() -> Result<()> {
    let folder = std::env::var_os("SLPC_TESTDATA")
        .map(|folder| PathBuf::from(folder).join("models"))
        .ok_or_else(|| Error::request("SLPC_TESTDATA names no folder"))?;
    print!("{HEADER}");
    for path in models(&folder)? {
        println!("{}", measure(&path)?);
    }
    Ok(())
}

fn models(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, &e))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "onnx"));
    paths.sort();
    Ok(paths)
}

/// One row of the table.
fn measure(path: &Path) -> Result<String> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let model = onnx::load(path)?;
    let (nodes, bytes) = (model.graph.node_count(), model.bytes.len());
    let options = Options { neurons: Some("top:3".parse()?), ..Options::default() };
    let start = Instant::now();
    let (augmented, _) = match transform(model, &options) {
        Ok(done) => done,
        Err(error) => return Ok(format!("| {name} | {nodes} | refused: {error} |")),
    };
    let time = start.elapsed();
    let after = augmented.graph.node_count();
    let added = onnx::to_bytes(&augmented)?.len() as i64 - bytes as i64;
    let report = verify(&augmented, &Settings { samples: 2, ..Settings::default() })?;
    let error = |promise: Promise| {
        let row = report.rows.iter().find(|row| row.promise == promise);
        match row.map(|row| &row.outcome) {
            Some(Outcome::Measured { worst, .. }) => format!("{worst:.1e}"),
            _ => "–".to_owned(),
        }
    };
    let errors =
        [Promise::Projection, Promise::Centre, Promise::Decomposition, Promise::Step].map(error);
    Ok(format!(
        "| {name} | {nodes} | {after} | {:.1} | {:.1} ms | {} | {} |",
        after as f64 / nodes as f64,
        time.as_secs_f64() * 1e3,
        added,
        errors.join(" | ")
    ))
}
