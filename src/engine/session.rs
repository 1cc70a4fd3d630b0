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
    /// How many threads compute: the runs of [`Session::run_all`] in tract, operators in ONNX
    /// Runtime; if none, one in tract and ONNX Runtime's own choice.
    pub threads: Option<NonZeroUsize>,
    /// ONNX Runtime's library, or a folder that holds it; looked for if none.
    pub library: Option<PathBuf>,
}

impl Setup {
    fn lanes(&self) -> NonZeroUsize {
        self.threads.unwrap_or(NonZeroUsize::MIN)
    }

    fn check(&self) -> Result<()> {
        match (self.backend, self.provider) {
            (Backend::OnnxRuntime, _) | (_, Provider::Cpu) => Ok(()),
            (Backend::Tract, provider) => {
                Err(failure(format!("tract: it computes on the cpu, not on {provider}"))
                    .help("choose --engine onnxruntime"))
            }
        }
    }
}

/// The arrays of a run by name.
pub type Arrays = Vec<(String, Array)>;

enum Engine {
    Tract(tract::Network, NonZeroUsize),
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
            Backend::Tract => Engine::Tract(tract::Network::load(path)?, setup.lanes()),
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
            Backend::Tract => Engine::Tract(tract::Network::read(model)?, setup.lanes()),
            Backend::OnnxRuntime => Engine::OnnxRuntime(onnxruntime::Session::read(model, setup)?),
        }))
    }

    /// What the model declares of its inputs, in order; those with an initializer are none.
    pub fn inputs(&self) -> &[Port] {
        match &self.0 {
            Engine::Tract(network, _) => network.inputs(),
            Engine::OnnxRuntime(session) => session.inputs(),
        }
    }

    /// What the model declares of its outputs, in order.
    pub fn outputs(&self) -> &[Port] {
        match &self.0 {
            Engine::Tract(network, _) => network.outputs(),
            Engine::OnnxRuntime(session) => session.outputs(),
        }
    }

    /// Runs the model on an array for each input, given by name in any order; the outputs come by
    /// name, in the model's order. Shapes may change from run to run.
    ///
    /// # Errors
    /// When an input is missing, unknown or of another type or shape than the model declares, when
    /// the engine fails, or when an output's shape contradicts the model's declaration.
    pub fn run<N: AsRef<str>>(&mut self, inputs: &[(N, Array)]) -> Result<Arrays> {
        match &mut self.0 {
            Engine::Tract(network, _) => network.run(inputs),
            Engine::OnnxRuntime(session) => session.run(inputs),
        }
    }

    /// How many runs [`Session::run_all`] computes at once.
    pub fn lanes(&self) -> usize {
        match &self.0 {
            Engine::Tract(_, lanes) => lanes.get(),
            Engine::OnnxRuntime(_) => 1,
        }
    }

    /// As [`Session::run`], for each of several inputs; the outputs come in their order.
    ///
    /// # Errors
    /// As [`Session::run`], for the first that fails.
    pub fn run_all(&mut self, jobs: &[Arrays]) -> Result<Vec<Arrays>> {
        match &mut self.0 {
            Engine::Tract(network, lanes) => network.run_all(jobs, lanes.get()),
            Engine::OnnxRuntime(session) => jobs.iter().map(|inputs| session.run(inputs)).collect(),
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
