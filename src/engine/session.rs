//! One session type, whatever engine is behind it.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::array::Array;
use super::port::Port;
use super::{failure, onnxruntime, tract};
use crate::error::{Error, Result};

/// What runs a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// tract, which is built in.
    #[default]
    Tract,
    /// ONNX Runtime, which the user has installed.
    OnnxRuntime,
}

/// The device that ONNX Runtime computes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provider {
    /// The processor.
    #[default]
    Cpu,
    /// A graphics card of NVIDIA's.
    Cuda,
}

/// The engine a session is to run in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// The engine.
    pub backend: Backend,
    /// The device.
    pub provider: Provider,
    /// How many threads compute; the engine's own choice if none.
    pub threads: Option<NonZeroUsize>,
    /// ONNX Runtime's library, or a folder that holds it; looked for if none.
    pub library: Option<PathBuf>,
}

impl Setup {
    fn check(&self) -> Result<()> {
        if self.backend == Backend::OnnxRuntime {
            return Ok(());
        }
        let only =
            |what: &str| Err(failure(format!("tract: {what}")).help("choose --engine onnxruntime"));
        match (self.provider, self.threads.map_or(1, NonZeroUsize::get)) {
            (Provider::Cpu, 1) => Ok(()),
            (Provider::Cpu, n) => only(&format!("it computes on one thread, not on {n}")),
            (provider, _) => only(&format!("it computes on the cpu, not on {provider}")),
        }
    }
}

enum Engine {
    Tract(tract::Network),
    OnnxRuntime(onnxruntime::Session),
}

/// A model that runs on named arrays.
pub struct Session(Engine);

impl Session {
    /// A session on a model's file; external data is looked for beside it.
    ///
    /// # Errors
    /// When the file cannot be read or is no model, the engine or its device is not there, or it
    /// refuses an operator. tract, which needs shapes, may do so at the first run.
    pub fn open(path: &Path, setup: &Setup) -> Result<Self> {
        setup.check()?;
        std::fs::metadata(path).map_err(|e| Error::io(path, &e))?;
        let engine = match setup.backend {
            Backend::Tract => Engine::Tract(tract::Network::load(path)?),
            Backend::OnnxRuntime => {
                let session = onnxruntime::Session::load(path, setup);
                Engine::OnnxRuntime(session.map_err(|e| e.file(path))?)
            }
        };
        Ok(Self(engine))
    }

    /// As [`Session::open`], on the bytes of a model that holds all its data.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn from_bytes(model: &[u8], setup: &Setup) -> Result<Self> {
        setup.check()?;
        Ok(Self(match setup.backend {
            Backend::Tract => Engine::Tract(tract::Network::read(model)?),
            Backend::OnnxRuntime => Engine::OnnxRuntime(onnxruntime::Session::read(model, setup)?),
        }))
    }

    /// What the model declares of its inputs, in order; those with an initializer are none.
    pub fn inputs(&self) -> &[Port] {
        match &self.0 {
            Engine::Tract(network) => network.inputs(),
            Engine::OnnxRuntime(session) => session.inputs(),
        }
    }

    /// What the model declares of its outputs, in order.
    pub fn outputs(&self) -> &[Port] {
        match &self.0 {
            Engine::Tract(network) => network.outputs(),
            Engine::OnnxRuntime(session) => session.outputs(),
        }
    }

    /// Runs the model on an array for each input, given by name in any order; the outputs come by
    /// name, in the model's order. Shapes may change from run to run.
    ///
    /// # Errors
    /// When an input is missing, unknown or of another type or shape than the model declares, when
    /// the engine fails, or when an output's shape contradicts the model's declaration.
    pub fn run<N: AsRef<str>>(&mut self, inputs: &[(N, Array)]) -> Result<Vec<(String, Array)>> {
        match &mut self.0 {
            Engine::Tract(network) => network.run(inputs),
            Engine::OnnxRuntime(session) => session.run(inputs),
        }
    }
}

macro_rules! named {
    ($type:ident, $what:literal: $($variant:ident $name:literal),*) => {
        impl FromStr for $type {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                match text {
                    $($name => Ok(Self::$variant),)*
                    _ => Err(Error::request(format!("there is no {} '{text}'", $what))
                        .help(concat!("choose one of:" $(, " ", $name)*))),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $name,)*
                })
            }
        }
    };
}

named!(Backend, "engine": Tract "tract", OnnxRuntime "onnxruntime");
named!(Provider, "execution provider": Cpu "cpu", Cuda "cuda");
