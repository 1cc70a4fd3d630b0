//! The options that say what runs a model.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::engine::{Backend, Provider, Session, Setup};
use crate::error::{Error, Result};

/// What runs a model.
#[derive(Args, Clone, Debug)]
pub struct EngineArgs {
    /// What runs the model: tract is built in, onnxruntime is yours [default: tract]
    #[arg(long, value_name = "tract|onnxruntime")]
    engine: Option<Backend>,
    /// ONNX Runtime's library [default: ORT_DYLIB_PATH, or that of a Python package]
    #[arg(long, value_name = "PATH")]
    onnxruntime: Option<PathBuf>,
    /// What ONNX Runtime computes on
    #[arg(long, value_name = "cpu|cuda", default_value_t = Provider::Cpu)]
    provider: Provider,
    /// How many threads compute: parts of a batch in tract, operators in onnxruntime [default: 1 in
    /// tract, what onnxruntime chooses]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

impl EngineArgs {
    /// The engine asked for; a library that is named asks for ONNX Runtime.
    ///
    /// # Errors
    /// When a library is named for tract.
    pub fn setup(&self) -> Result<Setup> {
        let backend = match (self.engine, &self.onnxruntime) {
            (Some(Backend::Tract), Some(_)) => {
                return Err(Error::request("tract takes no --onnxruntime PATH")
                    .help("choose --engine onnxruntime, or leave out the path"));
            }
            (None, Some(_)) => Backend::OnnxRuntime,
            (chosen, _) => chosen.unwrap_or_default(),
        };
        let (provider, threads) = (self.provider, self.threads);
        Ok(Setup { backend, provider, threads, library: self.onnxruntime.clone() })
    }

    /// A session on a model's file, in the engine asked for.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn open(&self, model: &Path) -> Result<Session> {
        Session::open(model, &self.setup()?)
    }

    /// As [`EngineArgs::open`], on the bytes of a model that holds all its data.
    ///
    /// # Errors
    /// As [`Session::from_bytes`].
    pub fn open_bytes(&self, model: &[u8]) -> Result<Session> {
        Session::from_bytes(model, &self.setup()?)
    }
}

/// How much is printed, and in what form.
#[derive(Args, Clone, Copy, Debug)]
pub struct Printing {
    /// Print nothing but errors
    #[arg(short, long)]
    pub quiet: bool,
    /// Print what was found as JSON
    #[arg(long)]
    pub json: bool,
}
