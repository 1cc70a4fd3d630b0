//! Runs models in tract, the engine that is built in.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use tract_onnx::pb::{ModelProto, ValueInfoProto, tensor_shape_proto::dimension, type_proto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;

use super::array::Array;
use super::defects;
use super::guard::guarded;
use crate::error::{Error, Kind, Result};
use crate::graph::DataType;

/// A model made ready for inputs of fixed shapes.
pub struct Session {
    plan: Arc<TypedRunnableModel>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

/// What is known of an input or output: the shape is `None` for a rank or extent left open.
#[derive(Clone, Debug)]
struct Port {
    name: String,
    dtype: Option<DatumType>,
    dims: Option<Vec<Option<usize>>>,
}

impl Session {
    /// A session on an encoded model whose inputs have the shapes given by name; an input not
    /// named must be declared with a fixed shape.
    ///
    /// # Errors
    /// When the bytes are no model, an input is unknown or has no fixed shape, or tract refuses an
    /// operator or is known to compute it wrongly.
    pub fn new(model: &[u8], inputs: &[(String, Vec<usize>)]) -> Result<Self> {
        let proto = caught("cannot read the model", || {
            tract_onnx::onnx().proto_model_for_read(&mut &*model)
        })?;
        Self::build(&proto, None, inputs)
    }

    /// As [`Session::new`], on a file; its external data is looked for beside it.
    ///
    /// # Errors
    /// As [`Session::new`], and when the file or its external data cannot be read.
    pub fn load(path: &Path, inputs: &[(String, Vec<usize>)]) -> Result<Self> {
        std::fs::metadata(path).map_err(|e| Error::io(path, &e))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let folder = folder.to_str().ok_or_else(|| {
            failure("the path is no UTF-8").file(path).help("give the folder a plain name")
        })?;
        caught("cannot read the model", || tract_onnx::onnx().proto_model_for_path(path))
            .and_then(|proto| Self::build(&proto, Some(folder), inputs))
            .map_err(|e| e.file(path))
    }

    fn build(
        proto: &ModelProto,
        folder: Option<&str>,
        shapes: &[(String, Vec<usize>)],
    ) -> Result<Self> {
        defects::refuse(proto)?;
        let mut model = caught("cannot load the model", || {
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
        let declared = declared_inputs(proto, &model)?;
        let (inputs, symbols) = fix_inputs(&declared, shapes)?;
        for (index, input) in inputs.iter().enumerate() {
            let (dtype, shape) = input.fixed()?;
            caught("cannot set an input's shape", || {
                model.set_input_fact(index, InferenceFact::dt_shape(dtype, shape))
            })?;
        }
        let outputs = proto.graph.iter().flat_map(|graph| &graph.output);
        let outputs = outputs.map(|info| Port::of(info, &symbols)).collect();
        Ok(Self { plan: plan(model)?, inputs, outputs })
    }

    /// The names of the inputs in order.
    pub fn input_names(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().map(|input| &*input.name)
    }

    /// The element type of the input `name`, where there is such an input and tract knows it.
    pub fn input_dtype(&self, name: &str) -> Option<DataType> {
        let port = self.inputs.iter().find(|port| port.name == name)?;
        let zero = Tensor::zero_dt(port.dtype?, &[0]).ok()?;
        array(&zero).ok().map(|array| array.dtype())
    }

    /// Runs the model on arrays given by name; the outputs come by name, in the model's order.
    ///
    /// # Errors
    /// When an input is missing, unknown or of another type or shape than the session was made
    /// for, when tract fails, or when an output's shape contradicts the model's declaration.
    pub fn run<N: AsRef<str>>(&self, inputs: &[(N, Array)]) -> Result<Vec<(String, Array)>> {
        for (name, _) in inputs {
            known(name.as_ref(), &self.inputs)?;
        }
        let tensors = self.inputs.iter().map(|port| {
            let given = inputs.iter().find(|(name, _)| name.as_ref() == port.name);
            let (_, array) =
                given.ok_or_else(|| failure("the input was given no array").value(&port.name))?;
            let tensor = tensor(array);
            port.check(tensor.datum_type(), tensor.shape())?;
            Ok(TValue::from(tensor))
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
            port.check_dims(array.shape())?;
            Ok((port.name.clone(), array))
        });
        named.collect()
    }
}

impl Port {
    /// What `info` declares, with the extents that `symbols` gives a number.
    fn of(info: &ValueInfoProto, symbols: &HashMap<String, usize>) -> Self {
        let value = info.r#type.as_ref().and_then(|t| t.value.as_ref());
        let shape = value.and_then(|type_proto::Value::TensorType(t)| t.shape.as_ref());
        let extent = |value: &Option<dimension::Value>| match value {
            Some(dimension::Value::DimValue(n)) => usize::try_from(*n).ok(),
            Some(dimension::Value::DimParam(name)) => symbols.get(name).copied(),
            None => None,
        };
        let dims = shape.map(|shape| shape.dim.iter().map(|dim| extent(&dim.value)).collect());
        Self { name: info.name.clone(), dtype: None, dims }
    }

    /// The name of each symbolic extent of a declaration.
    fn symbols(info: &ValueInfoProto) -> Vec<Option<&String>> {
        let value = info.r#type.as_ref().and_then(|t| t.value.as_ref());
        let shape = value.and_then(|type_proto::Value::TensorType(t)| t.shape.as_ref());
        let dims = shape.iter().flat_map(|shape| &shape.dim);
        dims.map(|dim| match &dim.value {
            Some(dimension::Value::DimParam(name)) if !name.is_empty() => Some(name),
            _ => None,
        })
        .collect()
    }

    fn fixed(&self) -> Result<(DatumType, TVec<usize>)> {
        let dtype = self.dtype.ok_or_else(|| {
            failure("the input is declared without an element type").value(&self.name)
        })?;
        let dims = self.dims.iter().flatten().copied().collect::<Option<TVec<_>>>();
        match dims {
            Some(dims) if self.dims.is_some() => Ok((dtype, dims)),
            _ => Err(failure("the input's shape is not fixed")
                .value(&self.name)
                .help("give it a shape")),
        }
    }

    fn check(&self, dtype: DatumType, shape: &[usize]) -> Result<()> {
        match self.dtype {
            Some(wanted) if wanted != dtype => {
                Err(failure(format!("the array is of {dtype:?} where the model takes {wanted:?}"))
                    .value(&self.name))
            }
            _ => self.check_dims(shape),
        }
    }

    fn check_dims(&self, shape: &[usize]) -> Result<()> {
        let Some(dims) = &self.dims else { return Ok(()) };
        let fits = dims.len() == shape.len()
            && dims.iter().zip(shape).all(|(dim, &n)| dim.is_none_or(|dim| dim == n));
        if fits {
            return Ok(());
        }
        let dims: Vec<_> =
            dims.iter().map(|d| d.map_or("?".to_owned(), |n| n.to_string())).collect();
        Err(failure(format!("the shape is {shape:?} where [{}] is expected", dims.join(", ")))
            .value(&self.name))
    }
}

/// The declarations of the model's inputs in tract's order (those with an initializer are none),
/// and the names of their symbolic extents.
type Declared<'a> = Vec<(&'a ValueInfoProto, Port)>;

fn declared_inputs<'a>(proto: &'a ModelProto, model: &InferenceModel) -> Result<Declared<'a>> {
    let infos = || proto.graph.iter().flat_map(|graph| &graph.input);
    let outlets = model.inputs.iter();
    let ports = outlets.enumerate().map(|(index, outlet)| {
        let name = &model.node(outlet.node).name;
        let info = infos().find(|info| info.name == *name).ok_or_else(|| {
            Error::internal("an input of tract's is none of the model's").value(name)
        })?;
        let dtype = model.input_fact(index).ok().and_then(|fact| fact.datum_type.concretize());
        Ok((info, Port { dtype, ..Port::of(info, &HashMap::new()) }))
    });
    ports.collect()
}

/// The inputs with the shapes asked for, and the number each symbolic extent takes by them.
fn fix_inputs(
    declared: &Declared<'_>,
    shapes: &[(String, Vec<usize>)],
) -> Result<(Vec<Port>, HashMap<String, usize>)> {
    let mut symbols = HashMap::new();
    let mut ports: Vec<_> = declared.iter().map(|(_, port)| port.clone()).collect();
    for (name, shape) in shapes {
        let index = known(name, &ports)?;
        ports[index].check_dims(shape)?;
        let declared_shape = Port::symbols(declared[index].0);
        for (symbol, &extent) in declared_shape.into_iter().zip(shape) {
            let Some(symbol) = symbol else { continue };
            let before = *symbols.entry(symbol.clone()).or_insert(extent);
            if before != extent {
                return Err(failure(format!(
                    "the axis '{symbol}' is {extent} here and {before} in another place"
                ))
                .value(name));
            }
        }
        ports[index].dims = Some(shape.iter().copied().map(Some).collect());
    }
    for (port, (info, _)) in ports.iter_mut().zip(declared) {
        if port.dims.iter().flatten().any(Option::is_none) {
            port.dims = Port::of(info, &symbols).dims;
        }
    }
    Ok((ports, symbols))
}

/// Optimises as far as tract succeeds: a pass that fails is no reason not to run the model.
fn plan(model: InferenceModel) -> Result<Arc<TypedRunnableModel>> {
    let typed = caught("cannot analyse the model", || model.into_typed())?;
    let passes: [fn(TypedModel) -> TractResult<TypedModel>; 3] =
        [TypedModel::into_optimized, TypedModel::into_decluttered, Ok];
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

fn known(name: &str, ports: &[Port]) -> Result<usize> {
    ports.iter().position(|port| port.name == name).ok_or_else(|| {
        let names: Vec<_> = ports.iter().map(|port| &*port.name).collect();
        failure("the model has no such input")
            .value(name)
            .help(format!("its inputs are: {}", names.join(", ")))
    })
}

fn failure(what: impl Into<String>) -> Error {
    Error::new(Kind::Engine, format!("tract: {}", what.into()))
}

/// The result of `work`, with tract's errors and panics turned into one-line failures.
fn caught<T>(doing: &str, work: impl FnOnce() -> TractResult<T>) -> Result<T> {
    match guarded(work) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failure(format!("{doing}: {}", one_line(&format!("{error:#}"))))),
        Err(panic) => Err(failure(format!("{doing}: panicked: {}", one_line(&panic)))),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

macro_rules! conversions {
    ($($variant:ident $type:ty,)*) => {
        fn tensor(array: &Array) -> Tensor {
            match array {
                $(Array::$variant(array) => array.clone().into(),)*
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
