//! Samples from files to a model's input, batch by batch.
//!
//! ```text
//! let set = samples.dataset(&model, input, batch)?;
//! for batch in set.batches(32) { let batch = batch?; … batch.values … batch.names … }
//! ```

mod arrays;
mod npy;
mod pictures;
mod shown;

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use ndarray::{ArrayD, Axis};

use super::preprocess::{Channels, Layout, Preprocess};
use crate::engine::Array;
use crate::error::{Error, Result};
use crate::graph::{Model, ValueId, fixed};
use crate::verify::Samples;
use arrays::{Labelled, open_npy, open_npz};
use pictures::{Frame, look_at, pictures_in, read_picture};
pub use shown::shown;

/// The input that samples are for, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The input's name.
    pub name: String,
    /// The extents of one sample, without the batch axis, where the rank is known.
    pub sample: Option<Vec<Option<usize>>>,
}

impl Wanted {
    /// What the model says of its input, whose samples lie along `batch`.
    pub fn of(model: &Model, input: ValueId, batch: Option<usize>) -> Self {
        let value = model.graph.value(input);
        let sample = value.dims().map(|dims| {
            let extent = |dim| fixed(dim).and_then(|n| usize::try_from(n).ok());
            let mut dims: Vec<_> = dims.iter().map(extent).collect();
            if let Some(axis) = batch.filter(|&axis| axis < dims.len()) {
                dims.remove(axis);
            }
            dims
        });
        Self { name: value.name.clone(), sample }
    }

    /// The pictures that make a sample, and how many axes of extent 1 come before them.
    fn frame(&self, layout: Layout) -> (Frame, usize) {
        let dims = self.sample.as_deref().unwrap_or_default();
        let lead = dims.len().saturating_sub(3);
        let (channels, height, width) = match (dims.get(lead..), layout) {
            (Some(&[c, h, w]), Layout::Nchw) | (Some(&[h, w, c]), Layout::Nhwc) => (c, h, w),
            _ => return (Frame::default(), 0),
        };
        (Frame { channels, size: height.zip(width) }, lead)
    }

    fn fits(&self, shape: &[usize]) -> bool {
        self.sample.as_ref().is_none_or(|dims| {
            dims.len() == shape.len()
                && dims.iter().zip(shape).all(|(dim, &n)| dim.is_none_or(|dim| dim == n))
        })
    }

    fn misfit(&self, shape: &[usize]) -> Error {
        let dims = self.sample.iter().flatten();
        let dims: Vec<_> = dims.map(|d| d.map_or("?".to_owned(), |n| n.to_string())).collect();
        Error::request(format!(
            "the data has shape {shape:?} where a sample of the model has [{}]",
            dims.join(", ")
        ))
        .value(&self.name)
        .help("give the samples along the first axis, in the layout of the model")
    }
}

/// Some samples of a data set.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The samples, along the first axis: float32, or float64 where a file holds doubles.
    pub values: Array,
    /// What each sample is called, as by [`Dataset::name`].
    pub names: Vec<String>,
    /// The label of each sample, where every file has labels.
    pub labels: Option<Vec<i64>>,
}

#[derive(Debug)]
enum Source {
    /// The samples along the first axis.
    Arrays(PathBuf, Labelled),
    Picture(PathBuf),
}

impl Source {
    fn path(&self) -> &Path {
        match self {
            Self::Arrays(path, _) | Self::Picture(path) => path,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Arrays(_, held) => held.array.shape().first().copied().unwrap_or(1),
            Self::Picture(_) => 1,
        }
    }

    fn name(&self, index: usize) -> String {
        let file = self.path().file_name().unwrap_or_default().to_string_lossy();
        match self {
            Self::Arrays(..) => format!("{file}[{index}]"),
            Self::Picture(_) => file.into_owned(),
        }
    }

    fn labels(&self, start: usize, count: usize) -> Option<&[i64]> {
        match self {
            Self::Arrays(_, held) => held.labels.as_ref()?.get(start..start + count),
            Self::Picture(_) => None,
        }
    }
}

/// The components of samples that are looked at together before the work on any begins.
const LOOKED_AT: usize = 1 << 22;

/// A data set: files of samples. They are read when their batch comes, so that a data set of any
/// size takes the memory of a batch.
#[derive(Debug)]
pub struct Dataset {
    sources: Vec<Source>,
    /// The number of the first sample of each source.
    starts: Vec<usize>,
    preprocess: Option<Preprocess>,
    wanted: Wanted,
    double: bool,
    len: usize,
    /// The shape of the sample that was read first.
    shape: OnceCell<Vec<usize>>,
}

impl Samples for Dataset {
    fn count(&self) -> usize {
        self.len
    }

    fn read(&self, start: usize, count: usize) -> Result<Array> {
        Ok(self.window(start, count)?.values)
    }
}

impl Dataset {
    /// Opens `.npy` and `.npz` files, pictures, and folders of pictures, one after another.
    ///
    /// `preprocess` scales the values of arrays and orders their channels as those of pictures;
    /// without it their numbers are only converted to floats.
    ///
    /// # Errors
    /// When a file cannot be read, holds no array that can be chosen, holds another shape than is
    /// wanted, or the settings do not fit it; the error names the file.
    pub fn open(
        paths: &[PathBuf],
        preprocess: Option<&Preprocess>,
        wanted: Wanted,
    ) -> Result<Self> {
        let mut set = Self {
            sources: vec![],
            starts: vec![],
            preprocess: preprocess.cloned(),
            wanted,
            double: false,
            len: 0,
            shape: OnceCell::new(),
        };
        for path in paths {
            set.add(path).map_err(|e| e.file(path))?;
        }
        for source in &set.sources {
            set.starts.push(set.len);
            set.len += source.len();
        }
        if set.len == 0 {
            return Err(Error::request("there are no samples in the data"));
        }
        Ok(set)
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        if path.is_dir() {
            self.sources.extend(pictures_in(path)?.into_iter().map(Source::Picture));
            return Ok(());
        }
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        let held = match extension.as_deref() {
            Some("npy") => open_npy(path)?,
            Some("npz") => open_npz(path, &self.wanted.name)?,
            _ => {
                // That it is there is found out before the work on others begins.
                std::fs::metadata(path).map_err(|e| Error::io(path, &e))?;
                self.sources.push(Source::Picture(path.to_owned()));
                return Ok(());
            }
        };
        let held = self.samples_first(held)?;
        self.double |= held.array.is_double();
        self.sources.push(Source::Arrays(path.to_owned(), held));
        Ok(())
    }

    /// The array with its samples along the first axis: a single one may come without it.
    fn samples_first(&self, held: Labelled) -> Result<Labelled> {
        if let Some(preprocess) = &self.preprocess
            && (preprocess.resize.is_some() || preprocess.crop.is_some())
        {
            return Err(Error::request("an array is neither resized nor cropped")
                .help("leave 'resize' and 'crop' out of --preprocess, or give pictures"));
        }
        let Labelled { array, labels } = held;
        let fits = |shape: &[usize]| self.wanted.fits(shape);
        let array = match array.shape() {
            [_, sample @ ..] if fits(sample) => array,
            shape if self.wanted.sample.is_some() && fits(shape) => array.lifted(),
            shape => return Err(self.wanted.misfit(shape)),
        };
        let count = array.shape().first().copied().unwrap_or(0);
        match &labels {
            Some(list) if list.len() != count => {
                Err(Error::request(format!("there are {} labels for {count} samples", list.len()))
                    .value("labels")
                    .help("give one label for each sample"))
            }
            _ => Ok(Labelled { array, labels }),
        }
    }

    /// The data set without what comes after its first `most` samples.
    pub fn limited(mut self, most: Option<usize>) -> Self {
        self.len = self.len.min(most.unwrap_or(usize::MAX).max(1));
        self
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no samples, which [`Dataset::open`] refuses.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Looks at all samples once, before the work on the first begins: an array that holds what is
    /// not a number is found now, and a file that is no picture.
    ///
    /// # Errors
    /// As a batch of [`Dataset::batches`]; that a picture cannot be decoded to its end is found later.
    pub fn checked(self) -> Result<Self> {
        for (source, &first) in self.sources.iter().zip(&self.starts) {
            let count = source.len().min(self.len.saturating_sub(first));
            match source {
                Source::Picture(path) if count > 0 => look_at(path)?,
                Source::Arrays(_, held) if held.array.is_float() => {
                    let each: usize = held.array.shape().iter().skip(1).product();
                    let size = (LOOKED_AT / each.max(1)).max(1);
                    for start in (0..count).step_by(size) {
                        self.window(first + start, size.min(count - start))?;
                    }
                }
                _ => {}
            }
        }
        Ok(self)
    }

    /// The samples in runs of `size`, the last one shorter where they do not come out even.
    ///
    /// A batch is an error when a file cannot be read, its samples have another shape than those
    /// before, or hold what is not a number; the error names the file.
    pub fn batches(&self, size: usize) -> Batches<'_> {
        Batches { set: self, size: size.max(1), next: 0 }
    }

    /// The samples `start..start + count`, as many of them as there are.
    ///
    /// # Errors
    /// As a batch of [`Dataset::batches`], and when there is none.
    pub fn window(&self, start: usize, count: usize) -> Result<Batch> {
        let end = start.saturating_add(count).min(self.len);
        let (mut parts, mut names, mut labels) = (Vec::new(), Vec::new(), Some(Vec::new()));
        let mut next = start;
        while next < end {
            let (source, within) = self.place(next)?;
            let count = (end - next).min(source.len() - within);
            let part = self.part(source, within, count);
            let part = part.and_then(|part| self.accepted(part, within));
            parts.push(part.map_err(|e| e.file(source.path()))?);
            names.extend((within..within + count).map(|index| source.name(index)));
            match (source.labels(within, count), labels.as_mut()) {
                (Some(held), Some(labels)) => labels.extend(held),
                _ => labels = None,
            }
            next += count;
        }
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        let values = ndarray::concatenate(Axis(0), &views)
            .map_err(|_| Error::internal("samples of different shapes"))?
            .as_standard_layout()
            .into_owned();
        let values = match self.double {
            true => values.into(),
            false => values.mapv(|v| v as f32).into(),
        };
        Ok(Batch { values, names, labels })
    }

    /// All samples as one batch.
    ///
    /// # Errors
    /// As a batch of [`Dataset::batches`].
    pub fn all(&self) -> Result<Batch> {
        self.window(0, self.len)
    }

    /// What a sample is called: the file's name, and its place in an array as `[i]`.
    pub fn name(&self, sample: usize) -> String {
        self.place(sample).map(|(source, within)| source.name(within)).unwrap_or_default()
    }

    /// The source of a sample, and its number within that.
    fn place(&self, sample: usize) -> Result<(&Source, usize)> {
        let index = self.starts.partition_point(|&first| first <= sample).checked_sub(1);
        let found = index.and_then(|index| self.sources.get(index).zip(self.starts.get(index)));
        let found = found.map(|(source, &first)| (source, sample - first));
        let found = found.filter(|(source, within)| *within < source.len());
        found.ok_or_else(|| Error::internal(format!("a data set without sample {sample}")))
    }

    /// The samples, when they are numbers and of the shape of those before.
    fn accepted(&self, part: ArrayD<f64>, start: usize) -> Result<ArrayD<f64>> {
        let shape = part.shape().get(1..).unwrap_or_default();
        let first = self.shape.get_or_init(|| shape.to_vec());
        if first != shape {
            let what = format!("the sample has shape {shape:?} where those before have {first:?}");
            return Err(
                Error::request(what).help("choose one size for all: --preprocess resize=…,crop=…")
            );
        }
        for (index, sample) in part.axis_iter(Axis(0)).enumerate() {
            if let Some(odd) = sample.iter().find(|v| !v.is_finite()) {
                let what = format!("sample {} of the file holds {odd}", start + index);
                return Err(Error::request(what).help("take the sample out, or mend it"));
            }
        }
        Ok(part)
    }

    /// The samples `start..start + count` of a source, ready for the model.
    fn part(&self, source: &Source, start: usize, count: usize) -> Result<ArrayD<f64>> {
        let standard = Preprocess::default();
        let preprocess = self.preprocess.as_ref().unwrap_or(&standard);
        let layout = preprocess.layout;
        match source {
            Source::Arrays(_, held) => {
                let mut part = held.array.window(start, count)?;
                let axis = match layout {
                    Layout::Nchw => part.ndim().saturating_sub(3).max(1),
                    Layout::Nhwc => part.ndim().saturating_sub(1),
                };
                if preprocess.channels == Some(Channels::Bgr) && part.shape().get(axis) == Some(&3)
                {
                    part.invert_axis(Axis(axis));
                }
                if self.preprocess.is_some() {
                    values(&mut part, axis, preprocess)?;
                }
                Ok(part)
            }
            Source::Picture(path) => {
                let (frame, lead) = self.wanted.frame(layout);
                let mut sample = read_picture(path, preprocess, frame)?.into_dyn();
                values(&mut sample, 0, preprocess)?;
                if layout == Layout::Nhwc {
                    sample = sample.permuted_axes(vec![1, 2, 0]);
                }
                for _ in 0..lead {
                    sample.insert_axis_inplace(Axis(0));
                }
                if !self.wanted.fits(sample.shape()) {
                    return Err(self.wanted.misfit(sample.shape()));
                }
                Ok(sample.insert_axis(Axis(0)))
            }
        }
    }
}

/// `(v · scale − mean) / std` with the channels along `axis`.
fn values(array: &mut ArrayD<f64>, axis: usize, preprocess: &Preprocess) -> Result<()> {
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
        return Ok(());
    }
    for (channel, mut plane) in array.axis_iter_mut(Axis(axis)).enumerate() {
        plane.mapv_inplace(|v| change(v, channel));
    }
    Ok(())
}

/// The batches of a data set; see [`Dataset::batches`].
pub struct Batches<'a> {
    set: &'a Dataset,
    size: usize,
    next: usize,
}

impl Iterator for Batches<'_> {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.set.len {
            return None;
        }
        let batch = self.set.window(self.next, self.size);
        self.next = if batch.is_ok() { self.next.saturating_add(self.size) } else { self.set.len };
        Some(batch)
    }
}

#[cfg(test)]
mod npy_tests;
#[cfg(test)]
mod tests;
