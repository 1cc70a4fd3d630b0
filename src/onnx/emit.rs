//! A model to its file.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::map::Through;
use super::message::Emitter;
use super::stream::{self, Size};
use super::weights::{Placer, Plan, Weights};
use crate::error::{Error, Kind, Result};
use crate::files::write_whole;
use crate::graph::Model;

/// The most bytes a protobuf message may have.
const LIMIT: usize = i32::MAX as usize;

/// What [`emit`] has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the model file.
    pub bytes: u64,
    /// The data file beside it and its bytes, where one was needed.
    pub data: Option<(PathBuf, u64)>,
}

/// Writes the model to the file `path`, and a data file beside it where `weights` asks for one.
///
/// Weights are streamed from where they are mapped. The files appear whole or not at all.
///
/// # Errors
/// When a file cannot be written, the graph has a cycle, or the weights cannot be referenced.
pub fn emit(model: &Model, path: &Path, weights: Weights) -> Result<Written> {
    write_files(model, path, weights).map_err(|error| match error.kind {
        Kind::Io => error.file(path),
        _ => error,
    })
}

/// The bytes of the model in one piece, external data included.
///
/// # Errors
/// When the graph has a cycle, the model names no operator set, or the bytes would be more than a file
/// may have.
pub fn to_bytes(model: &Model) -> Result<Vec<u8>> {
    let size = whole(model)?;
    let mut bytes = Vec::with_capacity(size.model);
    stream::write(model, &mut Emitter { placer: None }, size, &mut bytes)?;
    Ok(bytes)
}

/// Streams the model in one piece, external data included, and tells how many bytes it has.
///
/// # Errors
/// When the writer fails, the graph has a cycle, or there are more bytes than a file may have.
pub fn write_to(model: &Model, writer: &mut dyn Write) -> Result<u64> {
    let size = whole(model)?;
    through(model, &mut Emitter { placer: None }, size, writer)
        .map_err(|error| Error::new(Kind::Io, format!("the model cannot be written: {error}")))
}

fn whole(model: &Model) -> Result<Size> {
    let size = stream::measure(model, &mut Emitter { placer: None })?;
    if size.model > LIMIT {
        return Err(Error::request("the model has more than 2 GiB, the most one file may have")
            .help("write it to a file, with its weights beside it"));
    }
    Ok(size)
}

/// Writes the model, which has been measured, and tells how many bytes it has.
fn through(
    model: &Model,
    emitter: &mut Emitter,
    size: Size,
    writer: &mut dyn Write,
) -> io::Result<u64> {
    let mut through = Through::new(writer);
    stream::write(model, emitter, size, &mut through).map_err(io::Error::other)?;
    let bytes = through.finish()?;
    if bytes != size.model as u64 {
        return Err(io::Error::other("the files that the model refers to have changed meanwhile"));
    }
    Ok(bytes)
}

fn write_files(model: &Model, path: &Path, weights: Weights) -> Result<Written> {
    if path.exists() && !path.is_file() {
        return Err(Error::new(Kind::Io, "this is no regular file").file(path));
    }
    let mut weights = weights;
    let (mut size, mut plan) = measured(model, path, weights, "")?;
    if size.model > LIMIT && weights == Weights::Keep {
        weights = Weights::External;
        (size, plan) = measured(model, path, weights, "")?;
    }
    let (mut name, mut data) = (String::new(), None);
    if let Some(parts) = plan {
        name = parts.name(path).map_err(|error| Error::io(path, &error))?;
        (size, plan) = measured(model, path, weights, &name)?;
        data = plan.map(|plan| (plan, folder(path).join(&name)));
    }
    if size.model > LIMIT {
        return Err(Error::request("the graph itself has more than 2 GiB").file(path));
    }
    let mut emitter = Emitter { placer: Some(Placer::new(model, path, weights, &name)?) };
    // The data first, and the model only when it is there for good.
    let mut written = Written { bytes: 0, data: None };
    if let Some((plan, path)) = data {
        let bytes = write_whole(&path, |file| plan.write(file))?;
        written.data = Some((path, bytes));
    }
    written.bytes = write_whole(path, |file| through(model, &mut emitter, size, file))?;
    Ok(written)
}

/// The size of the file, and the data file it wants to be called `data`.
fn measured(
    model: &Model,
    path: &Path,
    weights: Weights,
    data: &str,
) -> Result<(Size, Option<Plan>)> {
    let mut emitter = Emitter { placer: Some(Placer::new(model, path, weights, data)?) };
    let size = stream::measure(model, &mut emitter)?;
    Ok((size, emitter.placer.and_then(Placer::into_plan)))
}

/// The folder that `path` is in.
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
