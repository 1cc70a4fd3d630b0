//! Arrays of `.npy` files and of members of archives, read a window of samples at a time.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::f16;
use ndarray::{ArrayD, IxDyn, ShapeBuilder};
use tempfile::SpooledTempFile;

use crate::error::{Error, Result};

/// The longest header that is read: those of arrays take some hundred bytes.
const HEADER: usize = 1 << 16;

/// Where the bytes of a `.npy` file are.
#[derive(Debug)]
pub enum Bytes {
    /// From here on in a file, so many.
    At(PathBuf, u64, u64),
    /// In an unpacked copy.
    Unpacked(RefCell<SpooledTempFile>),
}

impl Bytes {
    /// All bytes of a file.
    pub fn of(path: &Path) -> Result<Self> {
        let length = std::fs::metadata(path).map_err(|e| Error::io(path, &e))?.len();
        Ok(Self::At(path.to_owned(), 0, length))
    }

    fn len(&self) -> io::Result<u64> {
        match self {
            Self::At(_, _, length) => Ok(*length),
            Self::Unpacked(copy) => copy.borrow_mut().seek(SeekFrom::End(0)),
        }
    }

    /// Runs `read` on the bytes from the first one on.
    fn read<T>(&self, read: impl FnOnce(&mut dyn Source, u64) -> io::Result<T>) -> io::Result<T> {
        match self {
            Self::At(path, start, _) => read(&mut File::open(path)?, *start),
            Self::Unpacked(copy) => read(&mut *copy.borrow_mut(), 0),
        }
    }
}

/// What is read from and moved in.
trait Source: Read + Seek {}

impl<T: Read + Seek> Source for T {}

/// An array of which the shape and the element type are known, and the elements are read on demand.
#[derive(Debug)]
pub struct Npy {
    bytes: Bytes,
    /// Where the elements begin.
    start: u64,
    kind: Kind,
    big_endian: bool,
    /// Whether the first axis is the fastest.
    fortran: bool,
    shape: Vec<usize>,
}

impl Npy {
    /// Reads the header.
    ///
    /// # Errors
    /// When there is none, the elements are no numbers, or the file is shorter than it says.
    pub fn open(bytes: Bytes) -> Result<Self> {
        let broken = |e: io::Error| Error::request(format!("cannot read the array: {e}"));
        let (text, start) = bytes.read(|file, first| header(file, first)).map_err(broken)?;
        let wrong = || Error::request("cannot read the array: its header makes no sense");
        let fields = fields(&text).ok_or_else(wrong)?;
        let descriptor = fields.descriptor;
        let kind = Kind::named(descriptor.trim_start_matches(['<', '>', '=', '|']));
        let kind = kind.ok_or_else(|| {
            Error::request(format!("arrays of element type {descriptor} are not read"))
                .help("save it as floats, bool, or integers")
        })?;
        let big_endian = descriptor.starts_with('>');
        let (shape, fortran) = (fields.shape, fields.fortran);
        let most = shape.iter().map(|&n| n.max(1)).try_fold(kind.size(), usize::checked_mul);
        let most = most.filter(|&n| isize::try_from(n).is_ok()).ok_or_else(wrong)?;
        let needed = if shape.contains(&0) { 0 } else { most as u64 };
        let there = bytes.len().map_err(broken)?.saturating_sub(start);
        if there < needed {
            return Err(Error::request(format!(
                "the array ends after {there} of the {needed} bytes that shape {shape:?} takes"
            ))
            .help("the file was cut short: copy or write it again"));
        }
        Ok(Self { bytes, start, kind, big_endian, fortran, shape })
    }

    /// The extents of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether the elements are doubles.
    pub fn is_double(&self) -> bool {
        self.kind == Kind::F64
    }

    /// Whether an element may be no number.
    pub fn is_float(&self) -> bool {
        matches!(self.kind, Kind::F16 | Kind::F32 | Kind::F64)
    }

    /// The array as the only sample along a new first axis.
    pub fn lifted(mut self) -> Self {
        self.shape.insert(0, 1);
        self
    }

    /// The samples `start..start + count` along the first axis, all elements of an array without
    /// axes, as doubles: true is 1 and false is 0, and integers past 2⁵³ are rounded.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn window(&self, start: usize, count: usize) -> Result<ArrayD<f64>> {
        let all = self.shape.first().copied().unwrap_or(1);
        let start = start.min(all);
        let count = count.min(all - start);
        let each: usize = self.shape.iter().skip(1).product();
        // The first axis being the fastest, every component of the samples lies in a run of its own.
        let (runs, length, first, step) = match self.fortran {
            false => (1, count * each, start * each, 0),
            true => (each, count, start, all),
        };
        let size = self.kind.size();
        let mut bytes = vec![0; runs * length * size];
        let read = self.bytes.read(|file, before| {
            for (run, bytes) in bytes.chunks_exact_mut((length * size).max(1)).enumerate() {
                let place = ((first + run * step) * size) as u64;
                file.seek(SeekFrom::Start(before + self.start + place))?;
                file.read_exact(bytes)?;
            }
            Ok(())
        });
        read.map_err(|e| Error::request(format!("cannot read the array: {e}")))?;
        let mut shape = self.shape.clone();
        if let Some(first) = shape.first_mut() {
            *first = count;
        }
        let values = self.kind.values(&bytes, self.big_endian);
        ArrayD::from_shape_vec(IxDyn(&shape).set_f(self.fortran), values)
            .map_err(|e| Error::internal(e.to_string()))
    }
}

/// The text of a header, and where the elements begin, counted from `first`.
fn header(file: &mut dyn Source, first: u64) -> io::Result<(String, u64)> {
    let odd = |what: &str| io::Error::other(what.to_owned());
    file.seek(SeekFrom::Start(first))?;
    let mut magic = [0; 8];
    file.read_exact(&mut magic)?;
    let wide = match magic {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, 0] => false,
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, 0] => true,
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => return Err(odd("a version not known")),
        _ => return Err(odd("this is no .npy data")),
    };
    let mut length = [0; 4];
    let size = if wide { 4 } else { 2 };
    file.read_exact(&mut length[..size])?;
    let length = u32::from_le_bytes(length) as usize;
    if length > HEADER {
        return Err(odd("its header is too long"));
    }
    let mut text = vec![0; length];
    file.read_exact(&mut text)?;
    let text = String::from_utf8(text).map_err(|_| odd("its header is no text"))?;
    Ok((text, (8 + size + length) as u64))
}

/// What a header says.
struct Fields {
    descriptor: String,
    fortran: bool,
    shape: Vec<usize>,
}

/// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
fn fields(text: &str) -> Option<Fields> {
    let after = |key: &str| {
        let (_, rest) = text.split_once(key)?;
        Some(rest.trim_start().strip_prefix(':')?.trim_start())
    };
    let descriptor = after("'descr'")?;
    let descriptor = match descriptor.strip_prefix('\'') {
        Some(rest) => rest.split_once('\'')?.0,
        // Records are a list of fields.
        None => descriptor.strip_prefix('[').map(|_| "record")?,
    };
    let order = after("'fortran_order'")?;
    let fortran = order.starts_with("True");
    let (list, _) = after("'shape'")?.strip_prefix('(')?.split_once(')')?;
    let extents = list.split(',').map(str::trim).filter(|extent| !extent.is_empty());
    let shape = extents.map(|extent| extent.parse().ok()).collect::<Option<_>>()?;
    let known = fortran || order.starts_with("False");
    known.then(|| Fields { descriptor: descriptor.to_owned(), fortran, shape })
}

macro_rules! kinds {
    ($($variant:ident $name:literal $type:ty, $widen:expr;)*) => {
        /// An element type, as numpy names it without the order of its bytes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Kind {
            $($variant,)*
        }

        impl Kind {
            fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The bytes of an element.
            fn size(self) -> usize {
                match self {
                    $(Self::$variant => size_of::<$type>(),)*
                }
            }

            /// The elements that `bytes` are.
            fn values(self, bytes: &[u8], big_endian: bool) -> Vec<f64> {
                match self {
                    $(Self::$variant => {
                        elements(bytes, big_endian, |b| $widen(<$type>::from_le_bytes(b)))
                    })*
                }
            }
        }
    };
}

kinds! {
    F16 "f2" f16, f16::to_f64;
    F32 "f4" f32, f64::from;
    F64 "f8" f64, |v: f64| v;
    I64 "i8" i64, |v: i64| v as f64;
    I32 "i4" i32, f64::from;
    I16 "i2" i16, f64::from;
    I8 "i1" i8, f64::from;
    U64 "u8" u64, |v: u64| v as f64;
    U32 "u4" u32, f64::from;
    U16 "u2" u16, f64::from;
    U8 "u1" u8, f64::from;
    Bool "b1" u8, |v: u8| f64::from(u8::from(v != 0));
}

fn elements<const N: usize>(
    bytes: &[u8],
    big_endian: bool,
    value: impl Fn([u8; N]) -> f64,
) -> Vec<f64> {
    let (all, _) = bytes.as_chunks::<N>();
    let ordered = |&element: &[u8; N]| match big_endian {
        true => {
            let mut turned = element;
            turned.reverse();
            turned
        }
        false => element,
    };
    all.iter().map(|element| value(ordered(element))).collect()
}
