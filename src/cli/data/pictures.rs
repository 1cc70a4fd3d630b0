//! Pictures to the numbers that a model takes.

use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageError, ImageReader, imageops};
use ndarray::Array3;

use crate::cli::preprocess::{Channels, Preprocess, Resize};
use crate::error::{Error, Result};

/// More pixels than this come from a slip, and would exhaust the memory.
const MOST_PIXELS: u64 = 1 << 28;

/// What is known of the pictures that a model takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frame {
    /// The number of channels.
    pub channels: Option<usize>,
    /// Height and width.
    pub size: Option<(usize, usize)>,
}

/// The pictures in a folder, in the order of their names.
pub fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>> {
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
        return Err(Error::request("the folder holds no .png or .jpg file").file(folder));
    }
    Ok(paths)
}

/// Looks at the first bytes of a picture.
///
/// # Errors
/// When the file is no picture.
pub fn look_at(path: &Path) -> Result<()> {
    reader(path)?.into_dimensions().map(|_| ()).map_err(|e| no_picture(path, e))
}

/// What reads a picture, of whichever kind its content is.
fn reader(path: &Path) -> Result<ImageReader<BufReader<File>>> {
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    reader.map_err(|e| Error::io(path, &e))
}

fn no_picture(path: &Path, error: ImageError) -> Error {
    match error {
        ImageError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => {
            Error::request("the picture ends before it is whole")
                .file(path)
                .help("copy or save it again")
        }
        ImageError::IoError(e) => Error::io(path, &e),
        e => Error::request(format!("this is no picture: {e}"))
            .file(path)
            .help("give a .png, .jpg, .npy or .npz file, or a folder of pictures"),
    }
}

/// The pixels of a picture as `[channel, row, column]` in 0 ..= 255, resized, cropped and with the
/// channels in the order that `preprocess` says.
///
/// # Errors
/// When the file is no picture, or its size is not the frame's and no rule of size is given.
pub fn read_picture(path: &Path, preprocess: &Preprocess, frame: Frame) -> Result<Array3<f64>> {
    let picture = reader(path)?.decode().map_err(|e| no_picture(path, e))?;
    planes(&picture, preprocess, frame).map_err(|e| e.file(path))
}

fn planes(picture: &DynamicImage, preprocess: &Preprocess, frame: Frame) -> Result<Array3<f64>> {
    let picture = sized(picture, preprocess, frame)?;
    let (height, width) = (picture.height() as usize, picture.width() as usize);
    let channels = preprocess.channels.unwrap_or(match frame.channels {
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

/// The picture resized and cropped.
fn sized(picture: &DynamicImage, preprocess: &Preprocess, frame: Frame) -> Result<DynamicImage> {
    let (mut resize, crop) = (preprocess.resize, preprocess.crop);
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
    match frame.size {
        Some((h, w)) if (h, w) != (height, width) => Err(Error::request(format!(
            "the picture comes to {height} × {width} pixels (height × width) where the model takes {h} × {w}"
        ))
        .help(format!("add crop={h}x{w} to --preprocess, and resize=… for the size before"))),
        _ => Ok(picture),
    }
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
