//! Arrays and pictures from files to a model's input, and results to `.npz`.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use image::{DynamicImage, imageops};
use ndarray::{Array3, Array4, ArrayD, Axis};
use ndarray_npy::{NpzReader, NpzWriter, ReadNpyError, ReadNpyExt, ReadNpzError};

use super::preprocess::{Channels, Layout, Preprocess, Resize};
use crate::engine::Array;
use crate::error::{Error, Result};
use crate::files::write_whole;

/// More pixels than this come from a slip, and would exhaust the memory.
const MOST_PIXELS: u64 = 1 << 28;

/// The input a model wants, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The input's name.
    pub name: String,
    /// The number of channels.
    pub channels: Option<usize>,
    /// Height and width: pictures are fitted to them where `--preprocess` says nothing of size.
    pub size: Option<(u32, u32)>,
}

/// Samples for a model.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The samples, along the first axis: float32, or float64 where the file holds doubles.
    pub values: Array,
    /// What each sample is called, for pictures; empty for arrays.
    pub names: Vec<String>,
    /// The array `labels` of a `.npz` file.
    pub labels: Option<Vec<i64>>,
}

/// Reads `.npy`, `.npz`, a picture, or a folder of pictures.
///
/// Of a `.npz` file the array with the input's name is taken, else `images` or `input`, else the
/// only one besides `labels` and `index`. Arrays keep their shape; `preprocess` scales their values
/// and orders their channels too, and without it integers are only converted.
///
/// # Errors
/// When the file cannot be read, holds no array that can be chosen, or the settings do not fit it.
pub fn read(path: &Path, preprocess: Option<&Preprocess>, wanted: &Wanted) -> Result<Dataset> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    let dataset = if path.is_dir() {
        read_pictures(&pictures_in(path)?, preprocess, wanted)
    } else {
        match extension.as_deref() {
            Some("npy") => read_npy(path, preprocess),
            Some("npz") => read_npz(path, preprocess, wanted),
            _ => read_pictures(&[path.to_owned()], preprocess, wanted),
        }
    };
    dataset.map_err(|e| e.file(path))
}

/// Reads pictures into one array, as [`read`] does.
///
/// # Errors
/// When one cannot be read, or they come out in different sizes.
pub fn read_pictures(
    paths: &[PathBuf],
    preprocess: Option<&Preprocess>,
    wanted: &Wanted,
) -> Result<Dataset> {
    let standard = Preprocess::default();
    let preprocess = preprocess.unwrap_or(&standard);
    let mut samples = Vec::new();
    for path in paths {
        let picture = image::open(path).map_err(|e| match e {
            image::ImageError::IoError(e) => Error::io(path, &e),
            e => Error::request(format!("this is no picture: {e}"))
                .file(path)
                .help("give a .png, .jpg, .npy or .npz file, or a folder of pictures"),
        })?;
        let sample = planes(&picture, preprocess, wanted)
            .and_then(|sample| values(sample, 0, preprocess))
            .map_err(|e| e.file(path))?;
        samples.push(sample);
    }
    let views: Vec<_> = samples.iter().map(|sample| sample.view()).collect();
    let stack = ndarray::stack(Axis(0), &views).map_err(|_| {
        Error::request("the pictures have different sizes")
            .help("choose a size: --preprocess resize=…,crop=…")
    })?;
    let stack = match preprocess.layout {
        Layout::Nchw => stack,
        Layout::Nhwc => stack.permuted_axes([0, 2, 3, 1]).as_standard_layout().into_owned(),
    };
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let values: Array4<f32> = stack.mapv(|v| v as f32);
    Ok(Dataset { values: values.into(), names: paths.iter().map(name).collect(), labels: None })
}

fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, &e))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io(folder, &e))?.path();
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        if matches!(extension.as_deref(), Some("png" | "jpg" | "jpeg")) {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(Error::request("the folder holds no .png or .jpg file"));
    }
    Ok(paths)
}

/// The channels of `picture` by rows and columns, resized, cropped and in the model's order.
fn planes(picture: &DynamicImage, preprocess: &Preprocess, wanted: &Wanted) -> Result<Array3<f64>> {
    let (mut resize, mut crop) = (preprocess.resize, preprocess.crop);
    if resize.is_none() && crop.is_none() {
        crop = wanted.size;
    }
    if let (None, Some((height, width))) = (resize, crop) {
        resize = Some(covering(picture, height, width));
    }
    let mut picture = match resize {
        Some(size) => resized(picture, size)?,
        None => picture.clone(),
    };
    if let Some((height, width)) = crop {
        // A picture smaller than the crop on one side is enlarged until it covers it.
        if picture.height() < height || picture.width() < width {
            picture = resized(&picture, covering(&picture, height, width))?;
        }
        let (top, left) = ((picture.height() - height) / 2, (picture.width() - width) / 2);
        picture = picture.crop_imm(left, top, width, height);
    }
    let (height, width) = (picture.height() as usize, picture.width() as usize);
    let channels = preprocess.channels.unwrap_or(match wanted.channels {
        Some(1) => Channels::Grey,
        _ => Channels::Rgb,
    });
    if channels == Channels::Grey {
        let grey = picture.to_luma8();
        return Ok(Array3::from_shape_fn((1, height, width), |(_, y, x)| {
            grey.get_pixel(x as u32, y as u32)[0].into()
        }));
    }
    let rgb = picture.to_rgb8();
    Ok(Array3::from_shape_fn((3, height, width), |(channel, y, x)| {
        let channel = if channels == Channels::Bgr { 2 - channel } else { channel };
        rgb.get_pixel(x as u32, y as u32)[channel].into()
    }))
}

/// The size with the picture's proportions that just covers `height` by `width`.
fn covering(picture: &DynamicImage, height: u32, width: u32) -> Resize {
    let (h, w) = (f64::from(picture.height()), f64::from(picture.width()));
    let factor = (f64::from(height) / h).max(f64::from(width) / w);
    Resize::Exact(
        ((h * factor).round() as u32).max(height),
        ((w * factor).round() as u32).max(width),
    )
}

fn resized(picture: &DynamicImage, size: Resize) -> Result<DynamicImage> {
    let (height, width) = match size {
        Resize::Exact(height, width) => (height, width),
        Resize::Shorter(side) => {
            let (h, w) = (u64::from(picture.height()), u64::from(picture.width()));
            let scaled = |v: u64| u32::try_from(v * u64::from(side) / h.min(w).max(1));
            let scaled = |v| scaled(v).unwrap_or(u32::MAX).max(side);
            (scaled(h), scaled(w))
        }
    };
    if u64::from(height) * u64::from(width) > MOST_PIXELS {
        return Err(Error::request(format!("resizing would make {height} × {width} pixels"))
            .help("choose a smaller 'resize' or 'crop', or cut the long picture"));
    }
    Ok(picture.resize_exact(width, height, imageops::FilterType::Triangle))
}

/// `(v · scale − mean) / std` with the channels along `axis`.
fn values<D: ndarray::Dimension + ndarray::RemoveAxis>(
    mut array: ndarray::Array<f64, D>,
    axis: usize,
    preprocess: &Preprocess,
) -> Result<ndarray::Array<f64, D>> {
    let channels = array.shape().get(axis).copied().unwrap_or(1);
    for (key, list) in [("mean", &preprocess.mean), ("std", &preprocess.std)] {
        if list.len() != 1 && list.len() != channels {
            return Err(Error::request(format!(
                "--preprocess gives {} numbers for '{key}' where there are {channels} channels",
                list.len()
            ))
            .help("give one number for each channel, or one for all"));
        }
    }
    let of = |list: &[f64], channel: usize| list.get(channel).or(list.first()).copied();
    let change = |v: f64, channel| {
        let mean = of(&preprocess.mean, channel).unwrap_or(0.0);
        (v * preprocess.scale - mean) / of(&preprocess.std, channel).unwrap_or(1.0)
    };
    if array.ndim() <= axis {
        array.mapv_inplace(|v| change(v, 0));
    } else {
        for (channel, mut plane) in array.axis_iter_mut(Axis(axis)).enumerate() {
            plane.mapv_inplace(|v| change(v, channel));
        }
    }
    Ok(array)
}

fn read_npy(path: &Path, preprocess: Option<&Preprocess>) -> Result<Dataset> {
    let mut file = BufReader::new(File::open(path).map_err(|e| Error::io(path, &e))?);
    let array = any_type(|kind| {
        file.rewind().map_err(ReadNpyError::from)?;
        kind.read(&mut file)
    })?;
    Ok(Dataset { values: prepared(array, preprocess)?, names: Vec::new(), labels: None })
}

fn read_npz(path: &Path, preprocess: Option<&Preprocess>, wanted: &Wanted) -> Result<Dataset> {
    let file = BufReader::new(File::open(path).map_err(|e| Error::io(path, &e))?);
    let broken = |e: ReadNpzError| Error::request(format!("cannot read the archive: {e}"));
    let mut npz = NpzReader::new(file).map_err(broken)?;
    let names = npz.names().map_err(broken)?;
    let name = chosen(&names, &wanted.name)?;
    let mut by_name =
        |name: &str| any_type(|kind| kind.read_npz(&mut npz, name)).map_err(|e| e.value(name));
    let values = prepared(by_name(name)?, preprocess).map_err(|e| e.value(name))?;
    let labels = match names.iter().find(|name| *name == "labels") {
        Some(labels) if labels != name => {
            Some(by_name(labels)?.to_f64().iter().map(|&v| v as i64).collect())
        }
        _ => None,
    };
    Ok(Dataset { values, names: Vec::new(), labels })
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

/// An element type to try on an array.
#[derive(Clone, Copy, Debug)]
enum Kind {
    F32,
    F64,
    U8,
    I64,
    I32,
    Bool,
}

impl Kind {
    const ALL: [Self; 6] = [Self::F32, Self::F64, Self::U8, Self::I64, Self::I32, Self::Bool];

    fn read(self, file: &mut impl Read) -> Result<Array, ReadNpyError> {
        Ok(match self {
            Self::F32 => ArrayD::<f32>::read_npy(file)?.into(),
            Self::F64 => ArrayD::<f64>::read_npy(file)?.into(),
            Self::U8 => ArrayD::<u8>::read_npy(file)?.into(),
            Self::I64 => ArrayD::<i64>::read_npy(file)?.into(),
            Self::I32 => ArrayD::<i32>::read_npy(file)?.into(),
            Self::Bool => ArrayD::<bool>::read_npy(file)?.into(),
        })
    }

    fn read_npz(
        self,
        npz: &mut NpzReader<impl Read + Seek>,
        name: &str,
    ) -> Result<Array, ReadNpyError> {
        let array = match self {
            Self::F32 => npz.by_name::<ndarray::OwnedRepr<f32>, _>(name).map(ArrayD::into),
            Self::F64 => npz.by_name::<ndarray::OwnedRepr<f64>, _>(name).map(ArrayD::into),
            Self::U8 => npz.by_name::<ndarray::OwnedRepr<u8>, _>(name).map(ArrayD::into),
            Self::I64 => npz.by_name::<ndarray::OwnedRepr<i64>, _>(name).map(ArrayD::into),
            Self::I32 => npz.by_name::<ndarray::OwnedRepr<i32>, _>(name).map(ArrayD::into),
            Self::Bool => npz.by_name::<ndarray::OwnedRepr<bool>, _>(name).map(ArrayD::into),
        };
        array.map_err(|e| match e {
            ReadNpzError::Npy(e) => e,
            ReadNpzError::Zip(e) => ReadNpyError::Io(io::Error::other(e)),
        })
    }
}

/// Reads with the first element type that is the array's own.
fn any_type(mut read: impl FnMut(Kind) -> Result<Array, ReadNpyError>) -> Result<Array> {
    let mut last = String::new();
    for kind in Kind::ALL {
        match read(kind) {
            Err(ReadNpyError::WrongDescriptor(found)) => last = found.to_string(),
            Ok(array) => return Ok(array),
            Err(e) => return Err(Error::request(format!("cannot read the array: {e}"))),
        }
    }
    Err(Error::request(format!("arrays of element type {last} are not read"))
        .help("save it as float32, float64, uint8, int32, int64 or bool"))
}

/// `array` as floats, its values and channels changed by `preprocess`.
fn prepared(array: Array, preprocess: Option<&Preprocess>) -> Result<Array> {
    let Some(preprocess) = preprocess else {
        return Ok(match array {
            Array::F32(_) | Array::F64(_) => array,
            other => other.to_f64().mapv(|v| v as f32).into(),
        });
    };
    if preprocess.resize.is_some() || preprocess.crop.is_some() {
        return Err(Error::request("an array is neither resized nor cropped")
            .help("leave 'resize' and 'crop' out of --preprocess, or give pictures"));
    }
    let double = matches!(array, Array::F64(_));
    let mut floats = array.to_f64();
    let axis = match preprocess.layout {
        Layout::Nchw => 1,
        Layout::Nhwc => floats.ndim().saturating_sub(1),
    };
    if preprocess.channels == Some(Channels::Bgr) && floats.shape().get(axis) == Some(&3) {
        floats.invert_axis(Axis(axis));
    }
    let floats = values(floats, axis, preprocess)?.as_standard_layout().into_owned();
    Ok(if double { floats.into() } else { floats.mapv(|v| v as f32).into() })
}

/// Writes arrays by name into a `.npz` file, whole or not at all; 16-bit floats are widened to
/// float32.
///
/// # Errors
/// When the file cannot be written.
pub fn write_npz(path: &Path, arrays: &[(String, Array)]) -> Result<()> {
    write_whole(path, |file| {
        let mut npz = NpzWriter::new(file);
        for (name, array) in arrays {
            let added = match array {
                Array::F32(a) => npz.add_array(name.as_str(), a),
                Array::F64(a) => npz.add_array(name.as_str(), a),
                Array::F16(a) => npz.add_array(name.as_str(), &a.mapv(f32::from)),
                Array::BF16(a) => npz.add_array(name.as_str(), &a.mapv(f32::from)),
                Array::I64(a) => npz.add_array(name.as_str(), a),
                Array::I32(a) => npz.add_array(name.as_str(), a),
                Array::I16(a) => npz.add_array(name.as_str(), a),
                Array::I8(a) => npz.add_array(name.as_str(), a),
                Array::U64(a) => npz.add_array(name.as_str(), a),
                Array::U32(a) => npz.add_array(name.as_str(), a),
                Array::U16(a) => npz.add_array(name.as_str(), a),
                Array::U8(a) => npz.add_array(name.as_str(), a),
                Array::Bool(a) => npz.add_array(name.as_str(), a),
            };
            added.map_err(io::Error::other)?;
        }
        npz.finish().map(drop).map_err(io::Error::other)
    })
}

#[cfg(test)]
#[path = "data_tests.rs"]
mod tests;
