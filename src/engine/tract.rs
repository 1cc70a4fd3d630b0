//! Runs models in tract, the engine that is built in.

use std::path::Path;
use std::sync::Arc;

use tract_onnx::pb::{ModelProto, ValueInfoProto, tensor_shape_proto::dimension, type_proto};
use tract_onnx::prelude::*;

use super::array::Array;
use super::guard::guarded;
use super::port::{Extent, Port, Symbols, known, matched};
use super::session::Arrays;
use super::{defects, one_line, passes};
use crate::error::{Error, Result};
use crate::graph::DataType;

/// How many shapes of inputs a network stays ready for.
const READY: usize = 4;

/// A model for inputs of any shapes, made ready for those that come.
pub struct Network {
    parsed: InferenceModel,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    /// The last used first.
    ready: Vec<(Vec<Vec<usize>>, Arc<Session>)>,
}

impl Network {
    /// A network of an encoded model.
    ///
    /// # Errors
    /// When the bytes are no model, or tract does not know an operator or is known to compute it
    /// wrongly.
    pub fn read(model: &[u8]) -> Result<Self> {
        let proto = caught("cannot read the model", || {
            tract_onnx::onnx().proto_model_for_read(&mut &*model)
        })?;
        Self::parse(&proto, None)
    }

    /// As [`Network::read`], of a file; its external data is looked for beside it.
    ///
    /// # Errors
    /// As [`Network::read`], and when the file or its external data cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        std::fs::metadata(path).map_err(|e| Error::io(path, &e))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let folder = folder.to_str().ok_or_else(|| {
            failure("the path is no UTF-8").file(path).help("give the folder a plain name")
        })?;
        caught("cannot read the model", || tract_onnx::onnx().proto_model_for_path(path))
            .and_then(|proto| Self::parse(&proto, Some(folder)))
            .map_err(|e| e.file(path))
    }

    fn parse(proto: &ModelProto, folder: Option<&str>) -> Result<Self> {
        defects::refuse(proto)?;
        let parsed = caught("cannot load the model", || {
            let parsed = tract_onnx::onnx()
                .with_ignore_output_shapes(true)
                .with_ignore_output_types(true)
                .with_ignore_value_info(true)
                .parse(proto, folder)?;
            match parsed.unresolved_inputs.as_slice() {
                [] => Ok(parsed.model),
                names => Err(TractError::msg(format!("nothing produces {names:?}"))),
            }
        })?;
        // tract reads an operator it does not know, and refuses it when shapes are known.
        for node in parsed.nodes() {
            let name = node.op.name();
            let unknown = name.strip_prefix("Unimplemented(").and_then(|n| n.strip_suffix(')'));
            if let Some(operator) = unknown {
                return Err(failure("the operator is not supported")
                    .node(&node.name, operator)
                    .help("use another engine for this model"));
            }
        }
        let inputs = declared_inputs(proto, &parsed)?;
        let outputs = proto.graph.iter().flat_map(|graph| &graph.output).map(port).collect();
        Ok(Self { parsed, inputs, outputs, ready: Vec::new() })
    }

    /// What the model declares of its inputs, in order; those with an initializer are none.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// What the model declares of its outputs, in order.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// Runs the model, as [`Session::run`] on a session made for the shapes of these arrays.
    ///
    /// # Errors
    /// As [`Session::new`] and [`Session::run`].
    pub fn run<N: AsRef<str>>(&mut self, inputs: &[(N, Array)]) -> Result<Arrays> {
        self.made_ready(inputs)?.run(inputs)
    }

    /// As [`Network::run`], for each of several inputs, up to `lanes` at a time.
    ///
    /// # Errors
    /// As [`Network::run`], for the first that fails.
    pub fn run_all(&mut self, jobs: &[Arrays], lanes: usize) -> Result<Vec<Arrays>> {
        let sessions = jobs.iter().map(|inputs| self.made_ready(inputs));
        let sessions = sessions.collect::<Result<Vec<_>>>()?;
        let work: Vec<_> = sessions.iter().zip(jobs).collect();
        let mut results = Vec::new();
        for group in work.chunks(lanes.max(1)) {
            match group {
                [(session, inputs)] => results.push(session.run(inputs)?),
                _ => results.extend(side_by_side(group)?),
            }
        }
        Ok(results)
    }

    /// The session for the shapes of these arrays.
    fn made_ready<N: AsRef<str>>(&mut self, inputs: &[(N, Array)]) -> Result<Arc<Session>> {
        let places = matched(&self.inputs, inputs.iter().map(|(name, _)| name.as_ref()))?;
        let given = places.iter().filter_map(|&place| inputs.get(place));
        let shapes: Vec<_> = given.map(|(_, array)| array.shape().to_vec()).collect();
        if let Some(place) = self.ready.iter().position(|(ready, _)| *ready == shapes) {
            self.ready[..=place].rotate_right(1);
            return Ok(self.ready[0].1.clone());
        }
        let names = self.inputs.iter().map(|port| port.name.clone());
        let named: Vec<_> = names.zip(shapes.iter().cloned()).collect();
        let session = Arc::new(self.session(&named)?);
        self.ready.truncate(READY - 1);
        self.ready.insert(0, (shapes, session.clone()));
        Ok(session)
    }

    /// A session for inputs of the shapes given by name.
    fn session(&self, shapes: &[(String, Vec<usize>)]) -> Result<Session> {
        let (inputs, symbols) = fix_inputs(&self.inputs, shapes)?;
        let mut model = self.parsed.clone();
        for (index, input) in inputs.iter().enumerate() {
            let (dtype, shape) = fixed(input)?;
            caught("cannot set an input's shape", || {
                model.set_input_fact(index, InferenceFact::dt_shape(dtype, shape))
            })?;
        }
        let outputs = self.outputs.iter().map(|port| port.bound(&symbols)).collect();
        Ok(Session { plan: plan(model)?, inputs, outputs })
    }
}

/// A model made ready for inputs of fixed shapes.
pub struct Session {
    plan: Arc<TypedRunnableModel>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

impl Session {
    /// A session on an encoded model whose inputs have the shapes given by name; an input not
    /// named must be declared with a fixed shape.
    ///
    /// # Errors
    /// When the bytes are no model, an input is unknown or has no fixed shape, or tract refuses an
    /// operator or is known to compute it wrongly.
    pub fn new(model: &[u8], inputs: &[(String, Vec<usize>)]) -> Result<Self> {
        Network::read(model)?.session(inputs)
    }

    /// As [`Session::new`], on a file; its external data is looked for beside it.
    ///
    /// # Errors
    /// As [`Session::new`], and when the file or its external data cannot be read.
    pub fn load(path: &Path, inputs: &[(String, Vec<usize>)]) -> Result<Self> {
        Network::load(path)?.session(inputs).map_err(|e| e.file(path))
    }

    /// The names of the inputs in order.
    pub fn input_names(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().map(|input| &*input.name)
    }

    /// The element type of the input `name`, where there is such an input and its type is declared.
    pub fn input_dtype(&self, name: &str) -> Option<DataType> {
        self.inputs.iter().find(|port| port.name == name)?.dtype
    }

    /// Runs the model on arrays given by name; the outputs come by name, in the model's order.
    ///
    /// # Errors
    /// When an input is missing, unknown or of another type or shape than the session was made
    /// for, when tract fails, or when an output's shape contradicts the model's declaration.
    pub fn run<N: AsRef<str>>(&self, inputs: &[(N, Array)]) -> Result<Arrays> {
        let places = matched(&self.inputs, inputs.iter().map(|(name, _)| name.as_ref()))?;
        let given = places.iter().filter_map(|&place| inputs.get(place));
        let tensors = self.inputs.iter().zip(given).map(|(port, (_, array))| {
            port.bind(array.dtype(), array.shape(), &mut Symbols::new())?;
            tensor(array).map(TValue::from).map_err(|e| e.value(&port.name))
        });
        let tensors = tensors.collect::<Result<TVec<_>>>()?;
        let results = caught("cannot run the model", || self.plan.run(tensors))?;
        if results.len() != self.outputs.len() {
            return Err(failure(format!(
                "{} outputs came where the model declares {}",
                results.len(),
                self.outputs.len()
            )));
        }
        let named = self.outputs.iter().zip(results).map(|(port, value)| {
            let array = array(&value).map_err(|e| e.value(&port.name))?;
            port.check_shape(array.shape())?;
            Ok((port.name.clone(), array))
        });
        named.collect()
    }
}

/// Runs each on a thread of its own.
fn side_by_side(work: &[(&Arc<Session>, &Arrays)]) -> Result<Vec<Arrays>> {
    std::thread::scope(|scope| {
        let spawn = |&(session, inputs): &(&Arc<Session>, &Arrays)| {
            let (session, inputs) = (session.clone(), inputs.to_vec());
            scope.spawn(move || session.run(&inputs))
        };
        let threads: Vec<_> = work.iter().map(spawn).collect();
        let ended = threads.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(Error::internal("a thread of tract's panicked")))
        });
        ended.collect()
    })
}

/// What `info` declares.
fn port(info: &ValueInfoProto) -> Port {
    let value = info.r#type.as_ref().and_then(|t| t.value.as_ref());
    let tensor = value.map(|type_proto::Value::TensorType(tensor)| tensor);
    let extent = |value: &Option<dimension::Value>| match value {
        Some(dimension::Value::DimValue(n)) => {
            usize::try_from(*n).map_or(Extent::Open, Extent::Fixed)
        }
        Some(dimension::Value::DimParam(name)) if !name.is_empty() => Extent::Named(name.clone()),
        _ => Extent::Open,
    };
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
    Port {
        name: info.name.clone(),
        dtype: tensor.and_then(|tensor| DataType::from_onnx(tensor.elem_type)),
        dims: shape.map(|shape| shape.dim.iter().map(|dim| extent(&dim.value)).collect()),
    }
}

/// The declarations of the model's inputs in tract's order (those with an initializer are none).
fn declared_inputs(proto: &ModelProto, model: &InferenceModel) -> Result<Vec<Port>> {
    let infos = || proto.graph.iter().flat_map(|graph| &graph.input);
    let ports = model.inputs.iter().map(|outlet| {
        let name = &model.node(outlet.node).name;
        infos().find(|info| info.name == *name).map(port).ok_or_else(|| {
            Error::internal("an input of tract's is none of the model's").value(name)
        })
    });
    ports.collect()
}

/// The inputs with the shapes asked for, and the number each symbolic extent takes by them.
fn fix_inputs(declared: &[Port], shapes: &[(String, Vec<usize>)]) -> Result<(Vec<Port>, Symbols)> {
    let mut symbols = Symbols::new();
    let mut ports = declared.to_vec();
    for (name, shape) in shapes {
        let index = known(name, &ports)?;
        declared[index].bind_shape(shape, &mut symbols)?;
        ports[index].dims = Some(shape.iter().copied().map(Extent::Fixed).collect());
    }
    let ports = ports.iter().map(|port| port.bound(&symbols)).collect();
    Ok((ports, symbols))
}

/// The element type and shape of an input of which both must be known.
fn fixed(port: &Port) -> Result<(DatumType, TVec<usize>)> {
    let refusal = |what: &str| failure(what).value(&port.name);
    let dtype =
        port.dtype.ok_or_else(|| refusal("the input is declared without an element type"))?;
    let datum = datum_type(dtype).ok_or_else(|| {
        refusal(&format!("inputs of {} are not taken", dtype.name())).help("use another engine")
    })?;
    let shape = port.fixed_shape();
    let help = "give it a shape";
    let shape = shape.ok_or_else(|| refusal("the input's shape is not fixed").help(help))?;
    Ok((datum, shape.into()))
}

/// Optimises as far as tract succeeds: a pass that fails is no reason not to run the model.
fn plan(model: InferenceModel) -> Result<Arc<TypedRunnableModel>> {
    let typed = caught("cannot analyse the model", || model.into_typed())?;
    let passes: [fn(TypedModel) -> TractResult<TypedModel>; 3] =
        [passes::optimize, passes::declutter, Ok];
    let mut last = failure("no pass");
    for pass in passes {
        let made = caught("cannot prepare the model", || {
            let model = pass(typed.clone())?;
            // The optimiser may take a node away that another still uses.
            match model.nodes().iter().find(|node| node.op.name() == "Dummy") {
                Some(node) => Err(TractError::msg(format!("{} was optimised away", node.name))),
                None => model.into_runnable(),
            }
        });
        match made {
            Ok(plan) => return Ok(plan),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn failure(what: impl Into<String>) -> Error {
    super::failure(format!("tract: {}", what.into()))
}

/// The result of `work`, with tract's errors and panics turned into one-line failures.
fn caught<T>(doing: &str, work: impl FnOnce() -> TractResult<T>) -> Result<T> {
    match guarded(work) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failure(format!("{doing}: {}", one_line(&format!("{error:#}"))))),
        Err(panic) => Err(failure(format!("{doing}: panicked: {}", one_line(&panic)))),
    }
}

macro_rules! conversions {
    ($($variant:ident $type:ty,)*) => {
        fn datum_type(dtype: DataType) -> Option<DatumType> {
            match dtype {
                $(DataType::$variant => Some(DatumType::$variant),)*
                _ => None,
            }
        }

        fn tensor(array: &Array) -> Result<Tensor> {
            match array {
                $(Array::$variant(array) => Ok(array.clone().into()),)*
                other => Err(failure(format!("arrays of {} are not taken", other.dtype().name()))
                    .help("use another engine")),
            }
        }

        fn array(value: &Tensor) -> Result<Array> {
            Ok(match value.datum_type() {
                $(DatumType::$variant => Array::$variant(elements::<$type>(value)?),)*
                // tract's own type of shape arithmetic, int64 in ONNX.
                DatumType::TDim => Array::I64(elements::<i64>(value)?),
                other => return Err(failure(format!("cannot hand out elements of {other:?}"))),
            })
        }
    };
}

conversions! {
    F32 f32, F64 f64, F16 f16, I64 i64, I32 i32, I16 i16, I8 i8, U64 u64, U32 u32, U16 u16, U8 u8,
    Bool bool,
}

fn elements<T: Datum>(value: &Tensor) -> Result<ndarray::ArrayD<T>> {
    caught("cannot read an output", || value.cast_to::<T>()?.into_owned().into_plain_array::<T>())
}

#[cfg(test)]
#[path = "tract_tests.rs"]
mod tests;
