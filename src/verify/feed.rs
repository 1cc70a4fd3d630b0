//! Inputs for a model, batch by batch, and sessions for their shapes.

use std::collections::HashMap;
use std::fmt;

use ndarray::{ArrayD, Axis};
use tempfile::TempDir;

use super::subject::is_added;
use crate::engine::{Array, Session, Setup};
use crate::error::{Error, Result};
use crate::graph::{DataType, Dim, Graph, Model, ValueId, fixed};
use crate::noise::Noise;
use crate::onnx;

/// The extent that a symbolic axis other than the batch takes where none is given.
pub const EXTENT: usize = 64;

/// Arrays for the inputs of a model, by name.
pub type Inputs = Vec<(String, Array)>;

/// Arrays that came out of a model, by name.
pub type Outputs = HashMap<String, Array>;

/// A model in an engine.
pub struct Runner {
    session: Session,
    /// The files of a model too large for one piece.
    _files: Option<TempDir>,
}

impl Runner {
    /// A runner of `model`.
    ///
    /// # Errors
    /// When the model cannot be written, and as [`Session::open`].
    pub fn new(model: &Model, setup: &Setup) -> Result<Self> {
        if let Ok(bytes) = onnx::to_bytes(model) {
            return Ok(Self { session: Session::from_bytes(&bytes, setup)?, _files: None });
        }
        let temporary = std::env::temp_dir();
        let files = tempfile::tempdir_in(&temporary).map_err(|e| Error::io(temporary, &e))?;
        let path = files.path().join("model.onnx");
        onnx::emit(model, &path, onnx::Weights::External)?;
        Ok(Self { session: Session::open(&path, setup)?, _files: Some(files) })
    }

    /// Runs the model; arrays for inputs it does not have are left out.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run(&mut self, inputs: &Inputs) -> Result<Vec<(String, Array)>> {
        let has = |name: &str| self.session.inputs().iter().any(|port| port.name == name);
        let inputs: Vec<_> = inputs.iter().filter(|(name, _)| has(name)).cloned().collect();
        self.session.run(&inputs)
    }
}

/// Samples of the projected input that are read as they are wanted.
pub trait Samples: fmt::Debug {
    /// How many there are.
    fn count(&self) -> usize;

    /// The samples `start..start + count`, along the first axis.
    ///
    /// # Errors
    /// When they cannot be read.
    fn read(&self, start: usize, count: usize) -> Result<Array>;
}

/// Samples along the first axis.
impl Samples for Array {
    fn count(&self) -> usize {
        self.shape().first().copied().unwrap_or(0)
    }

    fn read(&self, start: usize, count: usize) -> Result<Array> {
        Ok(self.window(start, count).into())
    }
}

/// How the inputs of a model are filled.
pub struct Feeder<'m> {
    graph: &'m Graph,
    input: ValueId,
    batch: Option<usize>,
    sizes: &'m [(String, usize)],
}

impl<'m> Feeder<'m> {
    /// A feeder for the projected `input`, whose samples lie along `batch`; `sizes` gives symbolic
    /// axes a number.
    pub fn new(
        graph: &'m Graph,
        input: ValueId,
        batch: Option<usize>,
        sizes: &'m [(String, usize)],
    ) -> Self {
        Self { graph, input, batch, sizes }
    }

    fn dims(&self, id: ValueId) -> Result<Vec<Dim>> {
        let value = self.graph.value(id);
        value
            .dims()
            .ok_or_else(|| Error::request("the rank of the input is not known").value(&value.name))
    }

    fn extent(&self, dim: &Dim, bound: &HashMap<String, usize>) -> usize {
        let name = dim.to_string();
        let given = self.sizes.iter().find(|(symbol, _)| *symbol == name).map(|(_, n)| *n);
        let known = fixed(dim).and_then(|n| usize::try_from(n).ok());
        known.or_else(|| bound.get(&name).copied()).or(given).unwrap_or(EXTENT)
    }

    /// Whether one run takes any number of samples.
    ///
    /// # Errors
    /// When the rank of the input is not known.
    pub fn is_free(&self) -> Result<bool> {
        let dims = self.dims(self.input)?;
        Ok(self.batch.and_then(|axis| dims.get(axis)).is_some_and(|dim| fixed(dim).is_none()))
    }

    /// How many samples a run takes where up to `most` are wanted.
    ///
    /// # Errors
    /// When the rank of the input is not known.
    pub fn size(&self, most: usize) -> Result<usize> {
        let dims = self.dims(self.input)?;
        Ok(match self.batch.and_then(|axis| dims.get(axis)) {
            None => 1,
            Some(dim) => fixed(dim).map_or(most, |n| usize::try_from(n).unwrap_or(1)).max(1),
        })
    }

    /// `count` samples of standard normal numbers, along the first axis.
    ///
    /// # Errors
    /// When the rank of the input is not known.
    pub fn noise(&self, count: usize, noise: &mut Noise) -> Result<ArrayD<f64>> {
        let dims = self.dims(self.input)?;
        let mut shape: Vec<usize> =
            dims.iter().map(|dim| self.extent(dim, &HashMap::new())).collect();
        if let Some(axis) = self.batch.filter(|&axis| axis < shape.len()) {
            shape.remove(axis);
        }
        shape.insert(0, count);
        let values = noise.normals(shape.iter().product());
        ArrayD::from_shape_vec(shape, values).map_err(|e| Error::internal(e.to_string()))
    }

    /// The samples of `data` in runs of up to `most`, each with the number of samples it is about;
    /// a model of fixed batch gets that many, the last one repeated.
    ///
    /// # Errors
    /// When the samples have another shape than the model wants.
    pub fn batches(&self, data: &Array, most: usize) -> Result<Vec<(Inputs, usize)>> {
        let dims = self.dims(self.input)?;
        let data = self.samples_first(data.to_f64(), &dims)?;
        let count = data.len_of(Axis(0));
        let size = self.size(most)?;
        let free = self.is_free()?;
        let mut runs = Vec::new();
        for start in (0..count).step_by(size) {
            let real = size.min(count - start);
            let taken = if free { real } else { size };
            let places: Vec<usize> = (start..start + taken).map(|i| i.min(count - 1)).collect();
            runs.push((self.inputs(data.select(Axis(0), &places))?, real));
        }
        Ok(runs)
    }

    /// The data with the samples along the first axis: a single sample may come without it.
    fn samples_first(&self, data: ArrayD<f64>, dims: &[Dim]) -> Result<ArrayD<f64>> {
        let axis = self.batch.filter(|&axis| axis < dims.len());
        let mut wanted: Vec<&Dim> = dims.iter().collect();
        if let Some(axis) = axis {
            wanted.remove(axis);
        }
        let fits = |shape: &[usize]| {
            shape.len() == wanted.len()
                && shape
                    .iter()
                    .zip(&wanted)
                    .all(|(&n, dim)| fixed(dim).is_none_or(|w| usize::try_from(w) == Ok(n)))
        };
        let shape = data.shape().to_vec();
        if shape.first().is_some_and(|&n| n > 0) && fits(&shape[1..]) {
            return Ok(data);
        }
        if fits(&shape) {
            return Ok(data.insert_axis(Axis(0)));
        }
        let dims: Vec<_> = dims.iter().map(ToString::to_string).collect();
        Err(Error::request(format!(
            "the data has shape {shape:?} where the model takes [{}]",
            dims.join(", ")
        ))
        .value(&self.graph.value(self.input).name)
        .help("give the samples along the first axis, in the layout of the model"))
    }

    /// Arrays for every input: `samples` for the projected one, and for the others noise, or zeros
    /// where they are no floats.
    fn inputs(&self, samples: ArrayD<f64>) -> Result<Inputs> {
        let count = samples.len_of(Axis(0));
        let x = match self.batch {
            None => samples.index_axis_move(Axis(0), 0),
            Some(axis) => {
                let mut order: Vec<usize> = (1..samples.ndim()).collect();
                order.insert(axis.min(order.len()), 0);
                samples.permuted_axes(order).as_standard_layout().into_owned()
            }
        };
        let dims = self.dims(self.input)?;
        let mut bound: HashMap<String, usize> =
            dims.iter().map(ToString::to_string).zip(x.shape().iter().copied()).collect();
        if let Some(dim) = self.batch.and_then(|axis| dims.get(axis)) {
            bound.insert(dim.to_string(), count);
        }
        let mut noise = Noise::new(1);
        let mut list = Vec::new();
        for &id in &self.graph.inputs {
            let value = self.graph.value(id);
            if value.tensor.is_some() || is_added(&value.name) {
                continue;
            }
            let dtype = value.dtype.ok_or_else(|| {
                Error::request("the element type of the input is not known").value(&value.name)
            })?;
            let array = if id == self.input {
                Array::floats(dtype, x.clone())?
            } else {
                let shape: Vec<usize> =
                    self.dims(id)?.iter().map(|dim| self.extent(dim, &bound)).collect();
                other(dtype, &shape, &mut noise).map_err(|e| e.value(&value.name))?
            };
            list.push((value.name.clone(), array));
        }
        Ok(list)
    }
}

fn other(dtype: DataType, shape: &[usize], noise: &mut Noise) -> Result<Array> {
    let filled =
        |v: Vec<f64>| ArrayD::from_shape_vec(shape, v).map_err(|e| Error::internal(e.to_string()));
    Ok(match dtype {
        DataType::I64 => ArrayD::<i64>::zeros(shape).into(),
        DataType::I32 => ArrayD::<i32>::zeros(shape).into(),
        DataType::U8 => ArrayD::<u8>::zeros(shape).into(),
        DataType::Bool => ArrayD::from_elem(shape, false).into(),
        float => Array::floats(float, filled(noise.normals(shape.iter().product()))?)?,
    })
}

/// The elements from `start`, as doubles.
pub fn floats(array: &Array, start: usize, count: usize) -> Vec<f64> {
    macro_rules! window {
        ($a:expr, $widen:expr) => {
            match $a.as_slice().and_then(|all| all.get(start..start + count)) {
                Some(window) => window.iter().map($widen).collect(),
                None => $a.iter().skip(start).take(count).map($widen).collect(),
            }
        };
    }
    match array {
        Array::F32(a) => window!(a, |&v| f64::from(v)),
        Array::F64(a) => window!(a, |&v| v),
        Array::F16(a) => window!(a, |v| v.to_f64()),
        other => other.to_f64().iter().skip(start).take(count).copied().collect(),
    }
}

/// The samples of `array` along `axis`, each flattened.
pub fn samples(array: &Array, axis: Option<usize>) -> Vec<Vec<f64>> {
    let array = array.to_f64();
    match axis.filter(|&axis| axis < array.ndim()) {
        None => vec![array.iter().copied().collect()],
        Some(axis) => {
            array.axis_iter(Axis(axis)).map(|sample| sample.iter().copied().collect()).collect()
        }
    }
}
