//! External data: elements that live in other files of the model's folder.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;

use super::map::map;
use super::proto::StringStringEntryProto;
use crate::error::{Error, Result};
use crate::graph::External;

/// The folder that external data is looked for in, and the files mapped so far.
pub struct Folder {
    path: Option<PathBuf>,
    maps: HashMap<String, Bytes>,
}

impl Folder {
    /// The folder `path`, or none: then external data is refused.
    pub fn new(path: Option<&Path>) -> Self {
        Self { path: path.map(Path::to_owned), maps: HashMap::new() }
    }

    /// The elements that `entries` describe; `need` is their number of bytes.
    ///
    /// # Errors
    /// When the location leaves the folder, or the range leaves the file.
    pub fn external(
        &mut self,
        entries: Vec<StringStringEntryProto>,
        need: usize,
    ) -> Result<External> {
        let (mut location, mut offset, mut length) = (String::new(), 0, None);
        let mut extra = Vec::new();
        for entry in entries {
            let (key, value) = (entry.key.unwrap_or_default(), entry.value.unwrap_or_default());
            match key.as_str() {
                "location" => location = value,
                "offset" => offset = number(&key, &value)?,
                "length" => length = Some(number(&key, &value)?),
                _ => extra.push((key, value)),
            }
        }
        let file = self.open(&location)?;
        let length = length.unwrap_or(need as u64);
        let end = offset.checked_add(length).filter(|&end| end <= file.len() as u64);
        let Some(end) = end else {
            return Err(Error::request(format!(
                "external data needs {length} bytes at offset {offset} of '{location}', which has {}",
                file.len()
            ))
            .help("fetch the data file again, it may be truncated"));
        };
        let bytes = file.slice(offset as usize..end as usize);
        Ok(External { bytes, location, offset, extra })
    }

    fn open(&mut self, location: &str) -> Result<Bytes> {
        if let Some(bytes) = self.maps.get(location) {
            return Ok(bytes.clone());
        }
        let Some(folder) = &self.path else {
            return Err(Error::request(format!("external data '{location}' has no folder"))
                .help("load the model from a file, not from a stream"));
        };
        let bytes = map(&inside(folder, location)?)?;
        self.maps.insert(location.to_owned(), bytes.clone());
        Ok(bytes)
    }
}

/// The path of `location` in `folder`.
///
/// # Errors
/// When it is empty, absolute, climbs up, or leaves the folder through a link.
pub fn inside(folder: &Path, location: &str) -> Result<PathBuf> {
    let refuse = || {
        Error::request(format!("external data '{location}' is outside the model's folder"))
            .help("move the data into the model's folder and name it by a relative path")
    };
    let relative = Path::new(location);
    let plain =
        relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if location.is_empty() || !plain {
        return Err(refuse());
    }
    let path = folder.join(relative);
    let real = |path: &Path| path.canonicalize().map_err(|error| Error::io(path, &error));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let target = real(&path)?;
    if target.starts_with(real(folder)?) { Ok(target) } else { Err(refuse()) }
}

fn number(key: &str, text: &str) -> Result<u64> {
    text.parse().map_err(|_| {
        Error::unreadable(format!("the {key} '{text}' of external data is no natural number"))
    })
}
