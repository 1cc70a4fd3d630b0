//! Runs in ONNX Runtime and ONNX's reference evaluator, by the script `check.py`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use slpc::cli::results::Results;
use slpc::compile::Options;
use slpc::engine::Array;
use slpc::graph::Model;
use slpc::onnx::{self, Weights};

use super::{augment, python, run};

fn write_npz(path: &Path, arrays: &[(String, Array)]) -> slpc::error::Result<()> {
    let mut results = Results::new(path)?;
    results.add(arrays)?;
    results.finish().map(drop)
}

/// Jobs for `check.py`, and the folder with their files.
pub struct Jobs {
    folder: PathBuf,
    list: Vec<Value>,
}

impl Jobs {
    /// No jobs yet, in a folder of that name.
    pub fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder, list: Vec::new() }
    }

    /// Augments a model, runs it in tract and asks for the same in ONNX Runtime; gives what tract
    /// gave.
    pub fn add(
        &mut self,
        name: &str,
        model: &Path,
        options: &Options,
        inputs: &[(&str, Array)],
        tolerance: f64,
        more: Value,
    ) -> super::Outputs {
        let at = |suffix: &str| self.folder.join(format!("{name}.{suffix}").replace(' ', "-"));
        let augmented = augment(model, options);
        onnx::emit(&augmented, &at("onnx"), Weights::Keep).unwrap();
        let outputs = run(&augmented, inputs);
        let named: Vec<_> = inputs.iter().map(|(n, a)| ((*n).to_owned(), a.clone())).collect();
        write_npz(&at("in.npz"), &named).unwrap();
        let results: Vec<_> = outputs.0.iter().map(|(n, a)| (n.clone(), a.clone())).collect();
        write_npz(&at("tract.npz"), &results).unwrap();
        let mut job = json!({
            "name": name,
            "model": at("onnx"),
            "original": model,
            "inputs": at("in.npz"),
            "expected": at("tract.npz"),
            "tolerance": tolerance,
        });
        let more = more.as_object().cloned().unwrap_or_default();
        job.as_object_mut().unwrap().extend(more);
        self.list.push(job);
        outputs
    }

    /// Asks for a run of an augmented model, which tract may lack operators for; the script makes
    /// the inputs.
    pub fn add_outside(&mut self, name: &str, original: &Model, augmented: &Model, more: &Value) {
        let at = |suffix: &str| self.folder.join(format!("{name}.{suffix}").replace(' ', "-"));
        let (before, after) = (at("original.onnx"), at("onnx"));
        onnx::emit(original, &before, Weights::Keep).unwrap();
        onnx::emit(augmented, &after, Weights::Keep).unwrap();
        self.add_files(name, &before, &after, more);
    }

    /// [`Jobs::add_outside`] for models that are files already.
    pub fn add_files(&mut self, name: &str, original: &Path, augmented: &Path, more: &Value) {
        let mut job = json!({ "name": name, "model": augmented, "original": original });
        job.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        self.list.push(job);
    }

    /// Runs the jobs; the folder goes when all is well.
    pub fn check(self) {
        let list = self.folder.join("jobs.json");
        std::fs::write(&list, serde_json::to_string_pretty(&self.list).unwrap()).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/check.py");
        let output = Command::new(python::interpreter()).arg(script).arg(&list).output().unwrap();
        let (told, wrong) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        println!("{told}");
        assert!(output.status.success(), "{told}\n{wrong}");
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}
