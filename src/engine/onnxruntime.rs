//! Runs models in ONNX Runtime, which is loaded when it is first asked for.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use half::{bf16, f16};
use ort::environment::Environment;
use ort::ep::{self, ExecutionProvider};
use ort::session::builder::SessionBuilder;
use ort::session::{Session as Native, SessionInputValue};
use ort::value::{DynValue, Outlet, Tensor, TensorElementType, ValueType};

use super::array::Array;
use super::guard::guarded;
use super::port::{Extent, Port, Symbols, matched};
use super::session::{Arrays, Provider, Setup};
use super::{library, one_line};
use crate::error::{Error, Result};
use crate::graph::DataType;

/// The library in use, since a process can load one only.
static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// A model that takes whatever shapes it declares.
pub(super) struct Session {
    native: Native,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

impl Session {
    /// A session on a file, its external data beside it.
    pub fn load(path: &Path, setup: &Setup) -> Result<Self> {
        Self::build(setup, |mut builder| builder.commit_from_file(path))
    }

    /// A session on the bytes of a model.
    pub fn read(model: &[u8], setup: &Setup) -> Result<Self> {
        Self::build(setup, |mut builder| builder.commit_from_memory(model))
    }

    fn build(
        setup: &Setup,
        commit: impl FnOnce(SessionBuilder) -> ort::Result<Native>,
    ) -> Result<Self> {
        let environment = environment(setup)?;
        available(setup.provider)?;
        let provider = match setup.provider {
            // An arena never gives back what the largest run took.
            Provider::Cpu => ep::CPU::default().with_arena_allocator(false).build(),
            Provider::Cuda => ep::CUDA::default().build(),
        };
        let native = caught("cannot load the model", || {
            let mut builder = Native::builder(&environment)?;
            if let Some(threads) = setup.threads {
                builder = builder.with_intra_threads(threads.get())?;
            }
            commit(builder.with_execution_providers([provider.error_on_failure()])?)
        })?;
        let ports = |outlets: &[Outlet]| outlets.iter().map(port).collect();
        let (inputs, outputs) = (ports(native.inputs()), ports(native.outputs()));
        Ok(Self { native, inputs, outputs })
    }

    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// As [`super::Session::run`].
    pub fn run<N: AsRef<str>>(&mut self, inputs: &[(N, Array)]) -> Result<Arrays> {
        let places = matched(&self.inputs, inputs.iter().map(|(name, _)| name.as_ref()))?;
        let mut symbols = Symbols::new();
        let mut values: Vec<SessionInputValue<'_>> = Vec::new();
        let given = places.iter().filter_map(|&place| inputs.get(place));
        for (port, (_, array)) in self.inputs.iter().zip(given) {
            port.bind(array.dtype(), array.shape(), &mut symbols)?;
            let made = caught("cannot take the array", || tensor(array));
            values.push(made.map_err(|e| e.value(&port.name))?.into());
        }
        let native = &mut self.native;
        let results = caught("cannot run the model", || native.run(values.as_slice()))?;
        let named = self.outputs.iter().zip(results.values()).map(|(port, value)| {
            let made = caught("cannot read the output", || array(&value));
            let array = made.map_err(|e| e.value(&port.name))?.ok_or_else(|| {
                failure(format!("cannot hand out a {}", value.dtype())).value(&port.name)
            })?;
            port.bound(&symbols).check_shape(array.shape())?;
            Ok((port.name.clone(), array))
        });
        named.collect()
    }
}

/// The environment that the library was loaded into.
fn environment(setup: &Setup) -> Result<Environment> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((path, environment)) = &*loaded {
        // A search may be slow, and would find what another session has named already.
        let same = setup.library.is_none() || library::find(setup.library.as_deref())? == *path;
        return if same {
            Ok(environment.clone())
        } else {
            Err(failure(format!("another library is in use already: {}", path.display())))
        };
    }
    let path = library::find(setup.library.as_deref())?;
    let help = "name another library with --onnxruntime PATH, or install it again: \
                pip install onnxruntime";
    let made = guarded(|| {
        let builder = ort::init_from(&path).map_err(|e| e.to_string())?;
        let builder = builder.with_name("slpc").with_telemetry(false);
        // What goes wrong is told by errors.
        let builder = builder.with_logger(std::sync::Arc::new(|_, _, _, _, _| {}));
        builder.build().map_err(|e| e.to_string())
    });
    let environment = made.and_then(|made| made).map_err(|what| {
        failure(format!("cannot load the library: {}", one_line(&what))).file(&path).help(help)
    })?;
    *loaded = Some((path, environment.clone()));
    Ok(environment)
}

/// Fails when the library cannot compute on the device, naming those it can.
fn available(provider: Provider) -> Result<()> {
    let has_cuda = caught("cannot list the execution providers", ep::CUDA::is_available)?;
    if provider == Provider::Cuda && !has_cuda {
        return Err(failure("the library was built without the execution provider 'cuda'")
            .help("it has: cpu; for cuda, pip install onnxruntime-gpu"));
    }
    Ok(())
}

fn port(outlet: &Outlet) -> Port {
    let (mut dtype, mut dims) = (None, None);
    if let ValueType::Tensor { ty, shape, dimension_symbols } = outlet.dtype() {
        dtype = data_type(*ty);
        let symbols = dimension_symbols.iter().map(String::as_str).chain(std::iter::repeat(""));
        let extent = |(&n, symbol): (&i64, &str)| match (usize::try_from(n), symbol) {
            (Ok(n), _) => Extent::Fixed(n),
            (Err(_), "") => Extent::Open,
            (Err(_), symbol) => Extent::Named(symbol.to_owned()),
        };
        dims = Some(shape.iter().zip(symbols).map(extent).collect());
    }
    Port { name: outlet.name().to_owned(), dtype, dims }
}

macro_rules! conversions {
    ($($variant:ident $type:ty, $native:ident;)*) => {
        fn data_type(native: TensorElementType) -> Option<DataType> {
            match native {
                $(TensorElementType::$native => Some(DataType::$variant),)*
                TensorElementType::String => Some(DataType::String),
                _ => None,
            }
        }

        fn tensor(array: &Array) -> ort::Result<DynValue> {
            Ok(match array {
                $(Array::$variant(array) => Tensor::from_array(array.clone())?.into_dyn(),)*
            })
        }

        /// The elements, where they are of a type that arrays have.
        fn array(value: &DynValue) -> ort::Result<Option<Array>> {
            let ValueType::Tensor { ty, .. } = value.dtype() else { return Ok(None) };
            Ok(match ty {
                $(TensorElementType::$native => {
                    Some(Array::$variant(value.try_extract_array::<$type>()?.to_owned()))
                })*
                _ => None,
            })
        }
    };
}

conversions! {
    F32 f32, Float32;
    F64 f64, Float64;
    F16 f16, Float16;
    BF16 bf16, Bfloat16;
    I64 i64, Int64;
    I32 i32, Int32;
    I16 i16, Int16;
    I8 i8, Int8;
    U64 u64, Uint64;
    U32 u32, Uint32;
    U16 u16, Uint16;
    U8 u8, Uint8;
    Bool bool, Bool;
}

fn failure(what: impl Into<String>) -> Error {
    super::failure(format!("onnxruntime: {}", what.into()))
}

fn refused(doing: &str, error: &ort::Error) -> Error {
    let told = one_line(error.message());
    let refusal = failure(format!("{doing}: {told}"));
    match place(&told) {
        Some((node, operator)) => refusal.node(node, operator),
        None => refusal,
    }
}

/// The node and operator in a message such as `… while running Add node. Name:'sum' …`.
fn place(told: &str) -> Option<(&str, &str)> {
    let (before, after) = told.split_once(" node. Name:'")?;
    let operator = before.rsplit(' ').next()?;
    let (name, _) = after.split_once('\'')?;
    (!name.is_empty()).then_some((name, operator))
}

/// The result of `work`, with errors and panics turned into one-line failures.
fn caught<T>(doing: &str, work: impl FnOnce() -> ort::Result<T>) -> Result<T> {
    match guarded(work) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(refused(doing, &error)),
        Err(panic) => Err(failure(format!("{doing}: panicked: {}", one_line(&panic)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_is_found_in_a_message() {
        let told = "Non-zero status code returned while running Add node. Name:'sum' Status \
                    Message: axis == 1";
        assert_eq!(place(told), Some(("sum", "Add")));
        for other in ["", "Add node.", "running Add node. Name:'' x", "running Add node. Name:'x"] {
            assert_eq!(place(other), None, "{other}");
        }
    }
}
