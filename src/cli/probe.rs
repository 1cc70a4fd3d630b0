//! A transformed model in a session: what its layers project to, sample by sample.

use std::collections::HashMap;

use half::f16;
use ndarray::{Array1, Array2, ArrayD, ArrayView1, ArrayView2, ArrayViewD, Axis};
use serde::de::DeserializeOwned;

use super::interrupt;
use super::study::Study;
use crate::analyse::{Borders, Decomposition, Icds, crossings};
use crate::compile::plan::{Direction, Limits};
use crate::compile::project::Quantity;
use crate::compile::select::{Batch, Choice};
use crate::compile::{LayerRequest, Options, Summary, transform};
use crate::engine::{Array, Session};
use crate::error::{Error, Result};
use crate::graph::{Model, ValueId};
use crate::onnx;
use crate::verify::Feeder;

/// What is asked of a probe.
pub struct Request<'a> {
    /// The input; the only one if none.
    pub input: Option<&'a str>,
    /// Where the samples lie.
    pub batch: Batch,
    /// The layers.
    pub layers: Vec<LayerRequest>,
    /// The neurons of each.
    pub neurons: Choice,
    /// The quantities.
    pub emit: &'a [Quantity],
    /// The direction, where it is chosen here.
    pub direction: Option<Direction>,
}

/// A transformed model in a session.
pub struct Probe {
    model: Model,
    input: ValueId,
    session: Session,
    /// What was transformed.
    pub summary: Summary,
}

/// What came out for one batch, a row a sample.
pub struct Outputs {
    values: HashMap<String, Array>,
    /// How many samples it is about.
    pub samples: usize,
    batched: bool,
}

impl Probe {
    /// Transforms the model of a study and prepares a session.
    ///
    /// # Errors
    /// When the request cannot be met, or the engine refuses the model.
    pub fn new(study: &Study, request: &Request) -> Result<Self> {
        Self::of(&study.model, study, request).map_err(|error| study.at(error))
    }

    /// As [`Probe::new`], on another model of the same input.
    ///
    /// # Errors
    /// As [`Probe::new`].
    pub fn of(model: &Model, study: &Study, request: &Request) -> Result<Self> {
        Self::asked(model, study, &request.options())
    }

    /// As [`Probe::of`], with any options of the compiler.
    ///
    /// # Errors
    /// As [`Probe::new`].
    pub fn asked(model: &Model, study: &Study, options: &Options) -> Result<Self> {
        let (model, summary) = transform(model.clone(), options)?;
        let session = Session::from_bytes(&onnx::to_bytes(&model)?, &study.setup)?;
        let input = model
            .graph
            .find(&summary.input)
            .ok_or_else(|| Error::internal("the projected input is lost"))?;
        Ok(Self { model, input, session, summary })
    }

    /// Whether one run takes any number of samples.
    ///
    /// # Errors
    /// When the rank of the input is not known.
    pub fn is_free(&self) -> Result<bool> {
        self.feeder().is_free()
    }

    /// A list that the compiler noted of a layer: the operators of `bias-terms`, the switches of
    /// `state`; none where it was not asked for.
    pub fn noted<T: DeserializeOwned>(&self, alias: &str, what: &str) -> Vec<T> {
        let key = format!("slpc.layer.{alias}.{what}");
        let noted = self.model.metadata.iter().find(|(name, _)| *name == key);
        noted.and_then(|(_, list)| serde_json::from_str(list).ok()).unwrap_or_default()
    }

    fn feeder(&self) -> Feeder<'_> {
        Feeder::new(&self.model.graph, self.input, self.summary.batch, &[])
    }

    /// Runs samples, given along the first axis; `neurons` are those of every layer that takes them
    /// at run time.
    ///
    /// # Errors
    /// When the samples have another shape than the model wants, or the engine fails.
    pub fn run(&mut self, samples: &Array, neurons: Option<&[i64]>) -> Result<Vec<Outputs>> {
        let most = samples.shape().first().copied().unwrap_or(1).max(1);
        let given = neurons.map(|list| Array::from(Array1::from(list.to_vec())));
        let named: Vec<String> =
            self.summary.layers.iter().map(|l| format!("slp/{}/neurons", l.alias)).collect();
        let batches = self.feeder().batches(samples, most)?;
        let mut all = Vec::new();
        for (mut inputs, samples) in batches {
            interrupt::check()?;
            if let Some(list) = &given {
                inputs.extend(named.iter().map(|name| (name.clone(), list.clone())));
            }
            let values = self.session.run(&inputs)?.into_iter().collect();
            all.push(Outputs { values, samples, batched: self.summary.batch.is_some() });
        }
        Ok(all)
    }
}

impl Request<'_> {
    /// The same as options of the compiler.
    pub fn options(&self) -> Options {
        Options {
            input: self.input.map(str::to_owned),
            layers: self.layers.clone(),
            neurons: Some(self.neurons.clone()),
            emit: self.emit.to_vec(),
            batch: self.batch,
            limits: Limits { direction: self.direction, ..Limits::default() },
            ..Options::default()
        }
    }
}

impl Outputs {
    fn find(&self, alias: &str, quantity: &str) -> Result<&Array> {
        let name = format!("slp/{alias}/{quantity}");
        self.values.get(&name).ok_or_else(|| {
            Error::internal("the transformed model gives no such output").value(name)
        })
    }

    /// A quantity of one sample and layer, in doubles: `[K]` or `[K, x…]`.
    ///
    /// # Errors
    /// When it was not asked for, or holds a value that is not finite.
    pub fn get(&self, alias: &str, quantity: &str, sample: usize) -> Result<ArrayD<f64>> {
        let array = self.find(alias, quantity)?;
        let one = match array {
            Array::F32(a) => self.one(a.view(), sample).mapv(f64::from),
            Array::F64(a) => self.one(a.view(), sample).to_owned(),
            Array::F16(a) => self.one(a.view(), sample).mapv(f16::to_f64),
            other => self.one(other.to_f64().view(), sample).to_owned(),
        };
        match one.iter().all(|v| v.is_finite()) {
            true => Ok(one),
            false => Err(Error::request(format!("the {quantity} of a sample is not finite"))
                .value(alias)
                .help("float16 models and large inputs overflow; give the model smaller numbers")),
        }
    }

    /// A quantity of one sample and layer that is a single number, which may be infinite.
    ///
    /// # Errors
    /// When it was not asked for.
    pub fn number(&self, alias: &str, quantity: &str, sample: usize) -> Result<f64> {
        let array = self.find(alias, quantity)?.to_f64();
        let one = self.one(array.view(), sample).iter().next().copied();
        one.ok_or_else(|| Error::internal(format!("the {quantity} is empty")).value(alias))
    }

    /// The activities of one sample and layer.
    ///
    /// # Errors
    /// As [`Outputs::get`].
    pub fn activity(&self, alias: &str, sample: usize) -> Result<Vec<f64>> {
        Ok(self.get(alias, "activity", sample)?.into_iter().collect())
    }

    /// The flat numbers of the neurons of one sample, where each sample has its own.
    ///
    /// # Errors
    /// When the layer has the same neurons at every sample.
    pub fn numbers(&self, alias: &str, sample: usize) -> Result<Vec<i64>> {
        match self.find(alias, "neurons")? {
            Array::I64(a) => Ok(self.one(a.view(), sample).iter().copied().collect()),
            _ => Err(Error::internal("the numbers of neurons are not int64").value(alias)),
        }
    }

    fn one<'a, T>(&self, array: ArrayViewD<'a, T>, sample: usize) -> ArrayViewD<'a, T> {
        match self.batched {
            true => array.index_axis_move(Axis(0), sample),
            false => array,
        }
    }

    /// Activities and weights of one sample and layer.
    ///
    /// # Errors
    /// When they were not asked for.
    pub fn rows(&self, alias: &str, sample: usize) -> Result<Rows<'_>> {
        let (weights, activity) = (self.find(alias, "weights")?, self.find(alias, "activity")?);
        match (weights, activity) {
            (Array::F32(w), Array::F32(v)) => {
                Ok(Rows::F32(flat(self.one(w.view(), sample))?, line(self.one(v.view(), sample))?))
            }
            (Array::F64(w), Array::F64(v)) => {
                Ok(Rows::F64(flat(self.one(w.view(), sample))?, line(self.one(v.view(), sample))?))
            }
            (Array::F16(w), Array::F16(v)) => {
                Ok(Rows::F16(flat(self.one(w.view(), sample))?, line(self.one(v.view(), sample))?))
            }
            _ => Err(Error::internal("weights and activities of different types").value(alias)),
        }
    }
}

/// Weights `[K, d]` and activities `[K]` in the type of the model.
pub enum Rows<'a> {
    /// float32
    F32(ArrayView2<'a, f32>, ArrayView1<'a, f32>),
    /// float64
    F64(ArrayView2<'a, f64>, ArrayView1<'a, f64>),
    /// float16
    F16(ArrayView2<'a, f16>, ArrayView1<'a, f16>),
}

macro_rules! either {
    ($rows:expr, $w:ident, $v:ident => $body:expr) => {
        match $rows {
            Rows::F32($w, $v) => $body,
            Rows::F64($w, $v) => $body,
            Rows::F16($w, $v) => $body,
        }
    };
}

impl<'a> Rows<'a> {
    /// The activities.
    pub fn activity(&self) -> Array1<f64> {
        either!(self, _w, v => v.mapv(f64::from))
    }

    /// The weights.
    pub fn weights(&self) -> Array2<f64> {
        either!(self, w, _v => w.mapv(f64::from))
    }

    /// The nearest borders at which one of the neurons switches.
    pub fn crossings(&self) -> Borders {
        either!(self, w, v => crossings(*w, *v))
    }

    /// The decompositions.
    ///
    /// # Errors
    /// When a weight or an activity is not finite.
    pub fn icds(&self) -> Result<Box<dyn Decomposition + 'a>> {
        Ok(either!(self, w, v => Box::new(Icds::new(*w, *v)?)))
    }
}

fn flat<T>(array: ArrayViewD<'_, T>) -> Result<ArrayView2<'_, T>> {
    let shape = array.shape();
    let (rows, columns) = match shape.split_first() {
        Some((&rows, rest)) => (rows, rest.iter().product()),
        None => (1, 1),
    };
    let lost = |e: ndarray::ShapeError| Error::internal(e.to_string());
    array.into_shape_with_order((rows, columns)).map_err(lost)
}

fn line<T>(array: ArrayViewD<'_, T>) -> Result<ArrayView1<'_, T>> {
    let length = array.len();
    array.into_shape_with_order(length).map_err(|e| Error::internal(e.to_string()))
}
