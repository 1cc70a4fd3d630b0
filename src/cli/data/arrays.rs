//! Arrays of samples, and their labels, in `.npy` and `.npz` files.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use tempfile::SpooledTempFile;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::npy::{Bytes, Npy};
use crate::error::{Error, Result};

/// Bytes of an unpacked array beyond which it goes from memory to a temporary file.
const IN_MEMORY: usize = 64 << 20;

/// An array and, where the file holds some, the labels of its samples.
#[derive(Debug)]
pub struct Labelled {
    /// The array, of whatever shape and element type the file has it.
    pub array: Npy,
    /// The array `labels` beside it.
    pub labels: Option<Vec<i64>>,
}

/// Opens a `.npy` file.
pub fn open_npy(path: &Path) -> Result<Labelled> {
    Ok(Labelled { array: Npy::open(Bytes::of(path)?)?, labels: None })
}

/// Opens a `.npz` file: the array called `wanted`, else `images` or `input`, else the only one
/// besides `labels` and `index`.
pub fn open_npz(path: &Path, wanted: &str) -> Result<Labelled> {
    let file = BufReader::new(File::open(path).map_err(|e| Error::io(path, &e))?);
    let mut archive = ZipArchive::new(file).map_err(broken)?;
    let names: Vec<_> = archive.file_names().map(array_name).collect();
    let name = chosen(&names, wanted)?;
    let mut by_name = |name: &str| member(path, &mut archive, name).map_err(|e| e.value(name));
    let array = by_name(name)?;
    let labels = match names.iter().find(|name| *name == "labels") {
        Some(labels) if labels != name => Some(whole_numbers(&by_name(labels)?)?),
        _ => None,
    };
    Ok(Labelled { array, labels })
}

fn broken(error: ZipError) -> Error {
    Error::request(format!("cannot read the archive: {error}"))
        .help("the file is damaged or was cut short: copy or write it again")
}

/// The name of an array without the ending that numpy gives it in an archive.
fn array_name(member: &str) -> String {
    member.strip_suffix(".npy").unwrap_or(member).to_owned()
}

/// An array of an archive: in its place where it is stored as it is, else unpacked. Its checksum is
/// compared, which reads all of it once.
fn member(path: &Path, archive: &mut ZipArchive<BufReader<File>>, name: &str) -> Result<Npy> {
    let index = archive.index_for_name(&format!("{name}.npy"));
    let index = index.or_else(|| archive.index_for_name(name));
    let index = index.ok_or_else(|| broken(ZipError::FileNotFound))?;
    let mut member = archive.by_index(index).map_err(broken)?;
    let damaged = |e: io::Error| broken(e.into());
    if member.compression() == CompressionMethod::Stored {
        let start = member.data_start();
        let length = io::copy(&mut member, &mut io::sink()).map_err(damaged)?;
        return Npy::open(Bytes::At(path.to_owned(), start, length));
    }
    let mut copy = SpooledTempFile::new(IN_MEMORY);
    io::copy(&mut member, &mut copy).map_err(damaged)?;
    Npy::open(Bytes::Unpacked(RefCell::new(copy)))
}

fn whole_numbers(labels: &Npy) -> Result<Vec<i64>> {
    let whole = |v: &f64| (v.fract() == 0.0).then_some(*v as i64);
    let values = labels.window(0, usize::MAX)?;
    values
        .iter()
        .map(whole)
        .collect::<Option<_>>()
        .ok_or_else(|| Error::request("the labels are no whole numbers").value("labels"))
}

fn chosen<'a>(names: &'a [String], wanted: &str) -> Result<&'a String> {
    let find = |name: &str| names.iter().find(|n| *n == name);
    let named = find(wanted).or_else(|| find("images")).or_else(|| find("input"));
    let mut others = names.iter().filter(|n| !matches!(n.as_str(), "labels" | "index"));
    named.or_else(|| others.next().filter(|_| others.next().is_none())).ok_or_else(|| {
        Error::request(format!("cannot choose among the arrays: {}", names.join(", ")))
            .help(format!("name one of them '{wanted}', 'images' or 'input'"))
    })
}
