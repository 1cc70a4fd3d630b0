//! Results that come batch by batch, to files that numpy reads.
//!
//! Each array goes to a `.npy` file of its own as it comes, in a folder beside the output, so that
//! no more than a batch is in memory; at the end they are packed or renamed.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use tempfile::TempDir;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::interrupt;
use crate::engine::Array;
use crate::error::{Error, Result};
use crate::files::write_whole;
use crate::graph::DataType;

/// What becomes of the arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One array in a `.npy` file.
    Npy,
    /// All in a `.npz` archive.
    Npz,
    /// A folder with a `.npy` file for each.
    Folder,
}

/// An array as it is written so far.
struct Column {
    name: String,
    path: PathBuf,
    file: BufWriter<File>,
    dtype: DataType,
    /// The shape without the first axis.
    sample: Vec<usize>,
    rows: usize,
}

/// An array that was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The name.
    pub name: String,
    /// The element type; 16-bit floats that numpy does not have are widened to float32.
    pub dtype: DataType,
    /// The shape.
    pub shape: Vec<usize>,
}

/// Where results go.
pub struct Results {
    output: PathBuf,
    form: Form,
    spill: TempDir,
    columns: Vec<Column>,
}

impl Results {
    /// Results for `output`, of which the name decides: `.npz`, `.npy`, or a new folder where it
    /// has no ending.
    ///
    /// # Errors
    /// When the ending is another one, or nothing can be written there.
    pub fn new(output: &Path) -> Result<Self> {
        let ending = output.extension().map(|e| e.to_string_lossy().to_lowercase());
        let form = match ending.as_deref() {
            Some("npz") => Form::Npz,
            Some("npy") => Form::Npy,
            None => Form::Folder,
            Some(other) => {
                return Err(Error::request(format!("results are not written as .{other}"))
                    .file(output)
                    .help("name a .npz or .npy file, or a folder without an ending"));
            }
        };
        let taken = match form {
            Form::Folder => output.exists(),
            Form::Npy | Form::Npz => output.is_dir(),
        };
        if taken {
            let what = if form == Form::Folder { "it is there already" } else { "it is a folder" };
            return Err(Error::request(what).file(output).help("name a new one"));
        }
        let parent = output.parent().filter(|folder| !folder.as_os_str().is_empty());
        let spill =
            tempfile::Builder::new().prefix(".slpc-").tempdir_in(parent.unwrap_or(Path::new(".")));
        let spill = spill.map_err(|e| Error::io(output, &e))?;
        interrupt::scratch(spill.path());
        Ok(Self { output: output.to_owned(), form, spill, columns: Vec::new() })
    }

    /// Adds rows to each array; the first call says which arrays there are.
    ///
    /// # Errors
    /// When a file cannot be written, or an array has other rows than before.
    pub fn add(&mut self, arrays: &[(String, Array)]) -> Result<()> {
        if self.columns.is_empty() {
            self.start(arrays).map_err(|e| Error::io(&self.output, &e))?;
            if self.form == Form::Npy && arrays.len() != 1 {
                let names: Vec<_> = arrays.iter().map(|(name, _)| name.as_str()).collect();
                return Err(Error::request(format!(
                    "a .npy file holds one array, not {}",
                    names.len()
                ))
                .file(&self.output)
                .help(format!("choose one with --array, of: {}", names.join(", "))));
            }
        }
        for (column, (name, array)) in self.columns.iter_mut().zip(arrays) {
            let Some((rows, sample)) = array.shape().split_first() else {
                return Err(Error::internal("an array without samples").value(name));
            };
            if *column.name != **name || column.dtype != stored(array) || column.sample != sample {
                return Err(Error::request(format!(
                    "the shape of a sample is {sample:?}, and was {:?} before",
                    column.sample
                ))
                .value(name)
                .help("give samples of one size"));
            }
            column.rows += rows;
            write_elements(array, &mut column.file).map_err(|e| Error::io(&self.output, &e))?;
        }
        Ok(())
    }

    fn start(&mut self, arrays: &[(String, Array)]) -> io::Result<()> {
        for (index, (name, array)) in arrays.iter().enumerate() {
            let path = self.spill.path().join(format!("{index}.npy"));
            let mut file = BufWriter::with_capacity(1 << 20, File::create(&path)?);
            let sample = array.shape().get(1..).unwrap_or_default().to_vec();
            let dtype = stored(array);
            // The number of rows is put in at the end.
            file.write_all(&header(dtype, 0, &sample))?;
            self.columns.push(Column { name: name.clone(), path, file, dtype, sample, rows: 0 });
        }
        Ok(())
    }

    /// Makes the output appear, and tells what it holds.
    ///
    /// # Errors
    /// When it cannot be written, or the user has interrupted the work.
    pub fn finish(self) -> Result<Vec<Written>> {
        let output = self.output.clone();
        let io = |e: &io::Error| Error::io(&output, e);
        let (mut written, mut files) = (Vec::new(), Vec::new());
        for mut column in self.columns {
            let head = header(column.dtype, column.rows, &column.sample);
            let mut put = || {
                column.file.seek(SeekFrom::Start(0))?;
                column.file.write_all(&head)?;
                column.file.flush()?;
                // An archive is made of these; the others are what stays.
                if self.form == Form::Npz { Ok(()) } else { column.file.get_ref().sync_all() }
            };
            put().map_err(|e| io(&e))?;
            files.push((column.name.clone(), column.path));
            let shape = [&[column.rows], &column.sample[..]].concat();
            written.push(Written { name: column.name, dtype: column.dtype, shape });
        }
        interrupt::check()?;
        match self.form {
            Form::Npy => {
                if let Some((_, path)) = files.first() {
                    std::fs::rename(path, &output).map_err(|e| io(&e))?;
                }
            }
            Form::Npz => pack(&output, &files)?,
            Form::Folder => {
                let names: Vec<_> = files.iter().map(|(name, _)| file_name(name)).collect();
                for (index, (name, (of, path))) in names.iter().zip(&files).enumerate() {
                    if names[..index].contains(name) {
                        return Err(Error::request(format!(
                            "two arrays would be written as {name}"
                        ))
                        .value(of)
                        .help("write a .npz file, or choose arrays with --array"));
                    }
                    let place = self.spill.path().join(name);
                    std::fs::rename(path, place).map_err(|e| io(&e))?;
                }
                ordinary(self.spill.path()).map_err(|e| io(&e))?;
                std::fs::rename(self.spill.path(), &output).map_err(|e| io(&e))?;
            }
        }
        Ok(written)
    }
}

/// A folder with the permissions that a new one has; temporary ones are private.
fn ordinary(folder: &Path) -> io::Result<()> {
    let like = folder.join("permissions");
    std::fs::create_dir(&like)?;
    let permissions = std::fs::metadata(&like)?.permissions();
    std::fs::remove_dir(&like)?;
    std::fs::set_permissions(folder, permissions)
}

/// The name of an array as that of a file.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let name: String = name.trim_start_matches('/').replace('/', ".").chars().map(plain).collect();
    format!("{}.npy", name.trim_start_matches('.'))
}

/// Packs `.npy` files by name into an archive.
fn pack(output: &Path, files: &[(String, PathBuf)]) -> Result<()> {
    // What goes wrong inside is told below, since only failures of files come out of the closure.
    let mut stopped = Ok(());
    let written = write_whole(output, |file| {
        let mut archive = ZipWriter::new(file);
        for (name, path) in files {
            let mut member = BufReader::new(File::open(path)?);
            let large = member.get_ref().metadata()?.len() >= u64::from(u32::MAX);
            let options = SimpleFileOptions::default()
                .compression_method(zip::CompressionMethod::Stored)
                .large_file(large);
            archive.start_file(format!("{name}.npy"), options).map_err(io::Error::other)?;
            let mut chunk = vec![0; 1 << 20];
            loop {
                if let Err(error) = interrupt::check() {
                    stopped = Err(error);
                    return Err(io::ErrorKind::Interrupted.into());
                }
                let count = member.read(&mut chunk)?;
                if count == 0 {
                    break;
                }
                archive.write_all(chunk.get(..count).unwrap_or_default())?;
            }
            std::fs::remove_file(path)?;
        }
        archive.finish().map(drop).map_err(io::Error::other)
    });
    stopped.and(written)
}

/// The element type in a file: numpy has no bfloat16.
fn stored(array: &Array) -> DataType {
    match array.dtype() {
        DataType::BF16 => DataType::F32,
        other => other,
    }
}

/// The start of a `.npy` file, of one length whatever `rows` is (NEP 1, version 1.0).
fn header(dtype: DataType, rows: usize, sample: &[usize]) -> Vec<u8> {
    let letter = match dtype {
        DataType::F64 => "<f8",
        DataType::F16 => "<f2",
        DataType::I64 => "<i8",
        DataType::I32 => "<i4",
        DataType::I16 => "<i2",
        DataType::I8 => "|i1",
        DataType::U64 => "<u8",
        DataType::U32 => "<u4",
        DataType::U16 => "<u2",
        DataType::U8 => "|u1",
        DataType::Bool => "|b1",
        _ => "<f4",
    };
    let dims: String = sample.iter().map(|n| format!(" {n},")).collect();
    let text =
        format!("{{'descr': '{letter}', 'fortran_order': False, 'shape': ({rows},{dims}), }}");
    // Room for the longest number of rows; the whole is a multiple of 64 bytes.
    let most = text.len() - rows.to_string().len() + usize::MAX.to_string().len();
    let length = (10 + most + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.resize(10 + length - 1, b' ');
    bytes.push(b'\n');
    bytes
}

macro_rules! elements {
    ($($variant:ident $v:ident $bytes:expr;)*) => {
        /// The elements in row-major order, little-endian.
        fn write_elements(array: &Array, file: &mut impl Write) -> io::Result<()> {
            match array {
                $(Array::$variant(a) => a.iter().try_for_each(|&$v| file.write_all(&$bytes)),)*
            }
        }
    };
}

elements! {
    F32 v v.to_le_bytes();
    F64 v v.to_le_bytes();
    F16 v f16::to_le_bytes(v);
    BF16 v bf16::to_f32(v).to_le_bytes();
    I64 v v.to_le_bytes();
    I32 v v.to_le_bytes();
    I16 v v.to_le_bytes();
    I8 v v.to_le_bytes();
    U64 v v.to_le_bytes();
    U32 v v.to_le_bytes();
    U16 v v.to_le_bytes();
    U8 v [v];
    Bool v [u8::from(v)];
}

#[cfg(test)]
#[path = "results_tests.rs"]
mod tests;
