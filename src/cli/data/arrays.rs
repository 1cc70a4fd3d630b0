//! Arrays from `.npy` and `.npz` files.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use ndarray::{ArrayD, OwnedRepr};
use ndarray_npy::{NpzReader, ReadNpyError, ReadNpyExt, ReadNpzError};

use crate::engine::Array;
use crate::error::{Error, Result};

/// An array and, where the file holds some, the labels of its samples.
pub struct Labelled {
    /// The array, of whatever shape and element type the file has it.
    pub array: Array,
    /// The array `labels` beside it.
    pub labels: Option<Vec<i64>>,
}

/// Reads a `.npy` file.
pub fn read_npy(path: &Path) -> Result<Labelled> {
    let mut file = BufReader::new(File::open(path).map_err(|e| Error::io(path, &e))?);
    let array = any_type(|kind| {
        file.rewind().map_err(ReadNpyError::from)?;
        kind.read(&mut file)
    })?;
    Ok(Labelled { array, labels: None })
}

/// Reads a `.npz` file: the array called `wanted`, else `images` or `input`, else the only one
/// besides `labels` and `index`.
pub fn read_npz(path: &Path, wanted: &str) -> Result<Labelled> {
    let file = BufReader::new(File::open(path).map_err(|e| Error::io(path, &e))?);
    let broken = |e: ReadNpzError| Error::request(format!("cannot read the archive: {e}"));
    let mut npz = NpzReader::new(file).map_err(broken)?;
    let names = npz.names().map_err(broken)?;
    let name = chosen(&names, wanted)?;
    let mut by_name =
        |name: &str| any_type(|kind| kind.read_npz(&mut npz, name)).map_err(|e| e.value(name));
    let array = by_name(name)?;
    let labels = match names.iter().find(|name| *name == "labels") {
        Some(labels) if labels != name => Some(whole_numbers(&by_name(labels)?)?),
        _ => None,
    };
    Ok(Labelled { array, labels })
}

fn whole_numbers(labels: &Array) -> Result<Vec<i64>> {
    let whole = |v: &f64| (v.fract() == 0.0).then_some(*v as i64);
    labels
        .to_f64()
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

macro_rules! kinds {
    ($($variant:ident $type:ty),*) => {
        /// An element type to try on an array.
        #[derive(Clone, Copy, Debug)]
        enum Kind {
            $($variant,)*
        }

        impl Kind {
            const ALL: &[Self] = &[$(Self::$variant),*];

            fn read(self, file: &mut impl Read) -> Result<Array, ReadNpyError> {
                match self {
                    $(Self::$variant => ArrayD::<$type>::read_npy(file).map(ArrayD::into),)*
                }
            }

            fn read_npz(
                self,
                npz: &mut NpzReader<impl Read + Seek>,
                name: &str,
            ) -> Result<Array, ReadNpyError> {
                let array = match self {
                    $(Self::$variant => {
                        npz.by_name::<OwnedRepr<$type>, _>(name).map(ArrayD::into)
                    })*
                };
                array.map_err(|e| match e {
                    ReadNpzError::Npy(e) => e,
                    ReadNpzError::Zip(e) => ReadNpyError::Io(io::Error::other(e)),
                })
            }
        }
    };
}

kinds! {
    F32 f32, F64 f64, U8 u8, I64 i64, I32 i32, I16 i16, I8 i8, U64 u64, U32 u32, U16 u16, Bool bool
}

/// Reads with the first element type that is the array's own.
fn any_type(mut read: impl FnMut(Kind) -> Result<Array, ReadNpyError>) -> Result<Array> {
    let mut last = String::new();
    for &kind in Kind::ALL {
        match read(kind) {
            Err(ReadNpyError::WrongDescriptor(found)) => last = found.to_string(),
            Ok(array) => return Ok(array),
            Err(e) => return Err(Error::request(format!("cannot read the array: {e}"))),
        }
    }
    Err(Error::request(format!("arrays of element type {last} are not read"))
        .help("save it as float32, float64, bool, or integers"))
}
