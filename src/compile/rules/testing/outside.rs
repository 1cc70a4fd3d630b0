//! Runs cases where tract lacks the operator: in a Python process that lives as long as the tests.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use ndarray::{ArrayD, IxDyn};
use serde::Deserialize;
use serde_json::json;

use super::{Case, Engine};
use crate::engine::Array;
use crate::graph::DataType;

#[path = "../../../../tests/common/python.rs"]
mod python;

impl Case {
    /// Runs every model of the case in the reference evaluator of the ONNX project.
    pub fn reference(self) -> Self {
        Self { engine: Engine::Reference, ..self }
    }

    /// Runs every model of the case in ONNX Runtime.
    pub fn ort(self) -> Self {
        Self { engine: Engine::Runtime, ..self }
    }
}

/// The points at which a model's one input is set.
pub(super) struct Points<'a> {
    /// The input.
    pub name: &'a str,
    /// Its dimensions.
    pub dims: &'a [usize],
    /// Its element type.
    pub dtype: DataType,
    /// Its values.
    pub values: &'a [Vec<f64>],
}

/// The outputs of an encoded model, by point.
pub(super) fn run(
    engine: Engine,
    model: &[u8],
    points: &Points<'_>,
) -> Result<Vec<Vec<(String, Array)>>, String> {
    static SERVER: Mutex<Option<Server>> = Mutex::new(None);
    let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    let answer = server.get_or_insert_with(Server::start).ask(engine, model, points);
    let answer = answer.map_err(|error| {
        // What is left in the pipes is no answer to a later request.
        *server = None;
        format!("the Python process: {error}")
    })?;
    drop(server);
    let arrays = answer?;
    let at = |point: usize| arrays.iter().map(|a| Ok((a.0.clone(), a.1.at(point)?))).collect();
    (0..points.values.len()).map(at).collect()
}

/// The outputs that ONNX Runtime gives for the one input of an encoded model.
pub(in crate::compile) fn in_onnxruntime(
    model: &[u8],
    (name, dims): (&str, &[usize]),
    dtype: DataType,
    values: &[f64],
) -> Vec<(String, Array)> {
    let points = Points { name, dims, dtype, values: &[values.to_vec()] };
    let mut outputs =
        run(Engine::Runtime, model, &points).unwrap_or_else(|error| panic!("{error}"));
    outputs.swap_remove(0)
}

/// The Python process. It ends when its standard input does, with this process at the latest.
struct Server {
    child: Child,
    requests: ChildStdin,
    answers: ChildStdout,
}

impl Drop for Server {
    fn drop(&mut self) {
        // A process that is gone already is no failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    outputs: Vec<Output>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    dtype: String,
    dims: Vec<usize>,
}

/// The values of one output at all points.
struct Stack {
    dtype: String,
    dims: Vec<usize>,
    bytes: Vec<u8>,
}

impl Server {
    fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/serve.py");
        let mut command = Command::new(python::interpreter());
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let requests = child.stdin.take().expect("a pipe was asked for");
        let answers = child.stdout.take().expect("a pipe was asked for");
        Self { child, requests, answers }
    }

    /// The outputs with their names, or what the Python side says went wrong.
    fn ask(
        &mut self,
        engine: Engine,
        model: &[u8],
        points: &Points<'_>,
    ) -> std::io::Result<Result<Vec<(String, Stack)>, String>> {
        let dims = [&[points.values.len()], points.dims].concat();
        let header = json!({
            "engine": if engine == Engine::Reference { "reference" } else { "runtime" },
            "model": model.len(),
            "name": points.name,
            "dtype": if points.dtype == DataType::F32 { "float32" } else { "float64" },
            "dims": dims,
        });
        let header = header.to_string();
        self.requests.write_all(&header.len().to_le_bytes())?;
        self.requests.write_all(header.as_bytes())?;
        self.requests.write_all(model)?;
        let values: Vec<u8> =
            points.values.iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
        self.requests.write_all(&values)?;
        self.requests.flush()?;

        let mut length = [0; 8];
        self.answers.read_exact(&mut length)?;
        let header: Header = serde_json::from_slice(&self.take(usize::from_le_bytes(length))?)?;
        if let Some(error) = header.error {
            return Ok(Err(error));
        }
        let read = |Output { name, dtype, dims }| {
            let bytes = self.take(width(&dtype)? * dims.iter().product::<usize>())?;
            Ok((name, Stack { dtype, dims, bytes }))
        };
        header.outputs.into_iter().map(read).collect::<std::io::Result<_>>().map(Ok)
    }

    fn take(&mut self, count: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.answers.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// The bytes of an element.
fn width(dtype: &str) -> std::io::Result<usize> {
    match dtype {
        "bool" => Ok(1),
        "float32" => Ok(4),
        "float64" | "int64" => Ok(8),
        other => Err(std::io::Error::other(format!("an output of type {other}"))),
    }
}

impl Stack {
    fn at(&self, point: usize) -> Result<Array, String> {
        let dims = IxDyn(&self.dims[1..]);
        let size = self.bytes.len() / self.dims[0];
        let bytes = &self.bytes[point * size..][..size];
        let shape = |error| format!("{} {:?}: {error}", self.dtype, self.dims);
        macro_rules! read {
            ($type:ty) => {{
                let values = bytes.as_chunks().0.iter().map(|&v| <$type>::from_le_bytes(v));
                let array = ArrayD::from_shape_vec(dims, values.collect());
                array.map_err(|error: ndarray::ShapeError| shape(error))?.into()
            }};
        }
        Ok(match &*self.dtype {
            "float32" => read!(f32),
            "float64" => read!(f64),
            "int64" => read!(i64),
            _ => {
                let array = ArrayD::from_shape_vec(dims, bytes.iter().map(|&v| v != 0).collect());
                array.map_err(shape)?.into()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::rules::testing::case;

    #[test]
    fn both_engines_measure_and_find_what_is_wrong() {
        for engine in [Case::reference, Case::ort] {
            let relu = || engine(case("Relu").input("x", &[2, 3]));
            relu().check();
            relu().f32().check();
            relu().dynamic(&["n", ""]).check();
            engine(case("Mul").input("a", &[2, 2]).input("b", &[2])).check();
            let at_kink = engine(case("Relu").input("x", &[1]).values(&[0.0]));
            let caught = std::panic::catch_unwind(|| at_kink.check());
            let message = *caught.expect_err("a kink").downcast::<String>().expect("a message");
            assert!(message.contains("weights: entry [0, 0] is 0"), "{message}");
        }
    }

    #[test]
    fn errors_of_the_other_side_are_told_and_the_next_request_is_answered() {
        let points = Points { name: "x", dims: &[1], dtype: DataType::F64, values: &[vec![1.0]] };
        for engine in [Engine::Reference, Engine::Runtime] {
            let error = run(engine, b"no model", &points).expect_err("no model");
            assert!(error.contains("rror"), "{error}");
            case("Relu").input("x", &[1]).reference().check();
        }
    }
}
