//! Where the elements of the tensors go: inside the model file, beside it, or where they are.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::emit::folder;
use super::external::inside;
use super::map::by_windows;
use super::message::entry;
use super::proto::StringStringEntryProto;
use crate::error::{Error, Result};
use crate::graph::{Data, External, Model, Tensor};

/// Smaller tensors stay inside: shapes and axes, which a reader wants without a second file.
const SMALL: usize = 1024;

/// Where [`emit`](super::emit()) puts the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weights {
    /// Inside the file or beside it, as the model had them; beside it above 2 GiB.
    #[default]
    Keep,
    /// In a data file beside the model.
    External,
    /// Where the original model has them: the new file names byte ranges of the old one.
    Reference,
}

/// Decides for one tensor after the other.
pub struct Placer<'a> {
    weights: Weights,
    /// The bytes of the original file, and its name as seen from the output's folder.
    original: Option<(&'a Bytes, String)>,
    /// The model's folder, and the way to it from the output's folder.
    home: Option<(PathBuf, PathBuf)>,
    /// The file about to be replaced, which nothing may refer to.
    output: PathBuf,
    plan: Plan,
}

/// The data file to write.
///
/// Its name holds a hash of its contents, so that no model ever stands beside other data than its
/// own: not where a run is ended between the two files, and not where two runs write one model.
pub struct Plan {
    name: String,
    parts: Vec<(u64, Bytes)>,
    end: u64,
}

impl<'a> Placer<'a> {
    /// A placer for `model` written to `output`, with a data file called `data`.
    ///
    /// # Errors
    /// When the output has no name, its folder does not exist, or the original cannot be
    /// referenced from there.
    pub fn new(model: &'a Model, output: &Path, weights: Weights, data: &str) -> Result<Self> {
        let Some(name) = output.file_name() else {
            return Err(Error::request("the output names no file").file(output));
        };
        let real = |path: &Path| path.canonicalize().map_err(|error| Error::io(path, &error));
        let target = real(folder(output))?;
        let output = target.join(name);
        let mut placer = Self {
            weights,
            original: None,
            home: None,
            output: output.clone(),
            plan: Plan { name: data.to_owned(), parts: Vec::new(), end: 0 },
        };
        if let Some(source) = &model.source {
            let home = folder(source).canonicalize().ok().zip(source.file_name());
            if let Some((home, file)) = home
                && let Ok(way) = home.strip_prefix(&target)
            {
                placer.original =
                    (home.join(file) != output).then(|| (&model.bytes, location(&way.join(file))));
                placer.home = Some((home.clone(), way.to_owned()));
            }
        }
        if weights == Weights::Reference && placer.original.is_none() {
            return Err(Error::request("the weights of the original file cannot be referenced")
                .file(&output)
                .help("write to another file in the original's folder or in one above it"));
        }
        Ok(placer)
    }

    /// The entries that say where the elements are, or none when they go inside.
    ///
    /// # Errors
    /// When the data file would outgrow what offsets can say.
    pub fn place(&mut self, tensor: &Tensor) -> Result<Option<Vec<StringStringEntryProto>>> {
        let bytes = tensor.bytes();
        match (&tensor.data, self.weights) {
            (Data::External(external), _) => match self.stay(external) {
                Some(entries) => Ok(Some(entries)),
                None => self.plan.add(bytes).map(Some),
            },
            _ if bytes.len() < SMALL => Ok(None),
            (_, Weights::Keep) => Ok(None),
            (_, Weights::External) => self.plan.add(bytes).map(Some),
            (_, Weights::Reference) => Ok(self.refer(bytes)),
        }
    }

    /// External data stays where it is as long as the output can name it there.
    fn stay(&self, external: &External) -> Option<Vec<StringStringEntryProto>> {
        let (home, way) = self.home.as_ref()?;
        let far = !way.as_os_str().is_empty();
        if far && self.weights != Weights::Reference {
            return None;
        }
        let file = inside(home, &external.location).ok()?;
        if file == self.output {
            return None;
        }
        let name = match far {
            true => location(&way.join(&external.location)),
            false => external.location.clone(),
        };
        let mut entries = range(&name, external.offset, external.bytes.len());
        entries.extend(external.extra.iter().map(|(key, value)| entry(key, value)));
        Some(entries)
    }

    /// The range of the original file that `bytes` is a window of.
    fn refer(&self, bytes: &Bytes) -> Option<Vec<StringStringEntryProto>> {
        let (original, name) = self.original.as_ref()?;
        let offset = (bytes.as_ptr() as usize).checked_sub(original.as_ptr() as usize)?;
        let end = offset.checked_add(bytes.len())?;
        (end <= original.len()).then(|| range(name, offset as u64, bytes.len()))
    }

    /// The data file that has to be written, if any.
    pub fn into_plan(self) -> Option<Plan> {
        (!self.plan.parts.is_empty()).then_some(self.plan)
    }
}

impl Plan {
    fn add(&mut self, bytes: &Bytes) -> Result<Vec<StringStringEntryProto>> {
        // Large tensors start at a page, so that a reader can map them one by one.
        let alignment = if bytes.len() > 1 << 20 { 4096 } else { 64 };
        let offset = self.end.next_multiple_of(alignment);
        self.end = offset + bytes.len() as u64;
        self.parts.push((offset, bytes.clone()));
        Ok(range(&self.name, offset, bytes.len()))
    }

    /// The name of the file for the model `output`, from the contents.
    ///
    /// # Errors
    /// Never: a hash takes all there is.
    pub fn name(&self, output: &Path) -> io::Result<String> {
        let mut hash = Hash(Sha256::new());
        self.write(&mut hash)?;
        let digest: String = hash.0.finalize()[..8].iter().map(|b| format!("{b:02x}")).collect();
        let model = output.file_name().unwrap_or_default().to_string_lossy();
        Ok(format!("{model}.{digest}.data"))
    }

    /// Writes the parts with zeros between them, and tells how many bytes that were.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn write(&self, writer: &mut dyn Write) -> io::Result<u64> {
        let mut at = 0;
        for (offset, bytes) in &self.parts {
            io::copy(&mut io::Read::take(io::repeat(0), offset - at), writer)?;
            by_windows(bytes, |window| writer.write_all(window))?;
            at = offset + bytes.len() as u64;
        }
        writer.flush().map(|()| at)
    }
}

/// A hash as a writer.
struct Hash(Sha256);

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn range(location: &str, offset: u64, length: usize) -> Vec<StringStringEntryProto> {
    vec![entry("location", location), entry("offset", offset), entry("length", length)]
}

/// A relative path as models spell it, with slashes on every system.
fn location(path: &Path) -> String {
    let parts: Vec<_> = path.components().map(|c| c.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}
