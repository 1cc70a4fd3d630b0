//! `slpc verify`: the promises of an augmented model, measured.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::engine::{EngineArgs, Printing};
use super::samples::Samples;
use super::terminal::{say, table};
use crate::error::{Error, Kind, Result};
use crate::graph::Model;
use crate::onnx;
use crate::verify::{EXTENT, Outcome, Report, Row, Settings, Subject, verify};

/// Run an augmented model and check each of its promises.
#[derive(Args, Debug)]
pub struct Verify {
    /// The augmented model
    augmented: PathBuf,
    #[command(flatten)]
    data: Samples,
    /// The most samples used
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SAMPLES)]
    samples: usize,
    /// The extent of a symbolic axis of the input where there is no data, as often as wanted; 64
    /// for those not named
    #[arg(long, value_name = "NAME=N", value_parser = extent)]
    size: Vec<(String, usize)>,
    /// The model it was made from [default: MODEL.onnx beside MODEL.slp.onnx]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    printing: Printing,
}

/// How many samples are enough where nothing is said.
pub const DEFAULT_SAMPLES: usize = 2;

const _: () = assert!(EXTENT == 64, "the help says so");

fn extent(text: &str) -> Result<(String, usize)> {
    let parts = text.rsplit_once('=').map(|(name, n)| (name, n.parse().ok().filter(|&n| n > 0)));
    match parts {
        Some((name, Some(n))) if !name.is_empty() => Ok((name.to_owned(), n)),
        _ => Err(Error::request(format!("'{text}' gives no axis a size"))
            .help("write it as NAME=N, such as height=224")),
    }
}

impl Verify {
    /// Measures, prints, and fails when a promise is broken.
    ///
    /// # Errors
    /// When a file cannot be read or run, or a promise is broken.
    pub fn run(&self) -> Result<()> {
        let model = onnx::load(&self.augmented)?;
        let source = self.source(&model)?;
        let subject = Subject::read(&model).map_err(|error| error.file(&self.augmented))?;
        let set = self.data.dataset(&model, subject.input, subject.batch)?;
        let set = set.map(|set| set.limited(Some(self.samples)).checked()).transpose()?;
        let settings = Settings {
            data: set.as_ref().map(|set| set as &dyn crate::verify::Samples),
            samples: self.samples.max(1),
            sizes: &self.size,
            source: source.as_ref(),
            engine: self.engine.setup()?,
        };
        let report = verify(&model, &settings).map_err(|error| error.file(&self.augmented))?;
        if !self.printing.quiet {
            say(&if self.printing.json { as_json(&report) } else { as_table(&report) })?;
        }
        judge(&report).map_err(|error| error.file(&self.augmented))
    }

    /// The model that this one was made from, where it is there.
    fn source(&self, augmented: &Model) -> Result<Option<Model>> {
        let hash = augmented.metadata.iter().find(|(key, _)| key == "slpc.source.sha256");
        let is_it = |model: &Model| hash.is_some_and(|(_, hash)| *hash == model.hash);
        match &self.model {
            Some(path) => match onnx::load(path)? {
                model if is_it(&model) => Ok(Some(model)),
                _ => Err(Error::request("the augmented model was made from another model")
                    .file(path)
                    .help("give the very file that was transformed, or leave out --model")),
            },
            None => Ok(beside(&self.augmented)
                .filter(|path| path.is_file())
                .and_then(|path| onnx::load(&path).ok())
                .filter(is_it)),
        }
    }
}

/// `MODEL.onnx` for `MODEL.slp.onnx`.
fn beside(augmented: &Path) -> Option<PathBuf> {
    let name = augmented.file_name()?.to_str()?.strip_suffix(".slp.onnx")?;
    Some(augmented.with_file_name(format!("{name}.onnx")))
}

/// Fails when a promise is broken.
///
/// # Errors
/// When one is; the error tells how many.
pub fn judge(report: &Report) -> Result<()> {
    let broken: Vec<_> = report.rows.iter().filter(|row| !row.is_ok()).collect();
    let Some(first) = broken.first() else { return Ok(()) };
    let place = if first.layer.is_empty() { String::new() } else { format!(" of {}", first.layer) };
    let first = format!("'{}'{place}", first.promise.statement());
    let what = match broken.len() {
        1 => format!("a promise is broken: {first}"),
        n => format!("{n} promises are broken, the first is {first}"),
    };
    Err(Error::new(Kind::Check, what))
}

/// The measurements for people.
pub fn as_table(report: &Report) -> String {
    let head = ["layer", "promise", "worst error", "bound", "", ""];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for row in &report.rows {
        let (worst, bound, verdict) = match row.outcome {
            Outcome::Measured { worst, bound } => {
                let verdict = if row.is_ok() { "ok" } else { "BROKEN" };
                (format!("{worst:.1e}"), format!("{bound:.1e}"), verdict)
            }
            Outcome::NotEmitted => ("-".into(), "-".into(), "not emitted"),
            Outcome::NotMeasured => ("-".into(), "-".into(), "not measured"),
        };
        let layer = if row.layer.is_empty() { "(model)" } else { &row.layer };
        let cells = [layer, row.promise.statement(), &worst, &bound, verdict, &row.note];
        rows.push(cells.map(str::to_owned).to_vec());
    }
    table(&rows)
}

/// The measurements as one JSON object on a line of its own.
pub fn as_json(report: &Report) -> String {
    let rows: Vec<Value> = report.rows.iter().map(row_json).collect();
    let value = json!({ "ok": report.is_ok(), "samples": report.samples, "promises": rows });
    format!("{value}\n")
}

fn row_json(row: &Row) -> Value {
    let mut value = json!({
        "layer": if row.layer.is_empty() { Value::Null } else { json!(row.layer) },
        "promise": row.promise.statement(),
        "ok": row.is_ok(),
        "note": row.note,
    });
    let status = match row.outcome {
        Outcome::Measured { worst, bound } => {
            // JSON has no infinity: null stands for it.
            value["worst"] = json!(worst);
            value["bound"] = json!(bound);
            "measured"
        }
        Outcome::NotEmitted => "not emitted",
        Outcome::NotMeasured => "not measured",
    };
    value["status"] = json!(status);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_are_read() {
        assert_eq!(extent("height=224").unwrap(), ("height".to_owned(), 224));
        assert_eq!(extent("a=b=3").unwrap(), ("a=b".to_owned(), 3));
        for text in ["", "224", "=3", "h=0", "h=x", "h=-1"] {
            assert!(extent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_source_is_looked_for_by_its_name() {
        assert_eq!(beside(Path::new("a/m.slp.onnx")), Some(PathBuf::from("a/m.onnx")));
        assert_eq!(beside(Path::new("a/m.onnx")), None);
    }
}
