//! The options that say where samples come from.

use std::path::PathBuf;

use clap::Args;

use super::Preprocess;
use super::data::{self, Wanted};
use super::preprocess::Layout;
use crate::engine::Array;
use crate::error::Result;
use crate::graph::{Model, ValueId, fixed};

/// Where samples come from.
#[derive(Args, Debug)]
pub struct Samples {
    /// The samples: .npy, .npz, a picture, or a folder of pictures [default: random numbers]
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// From pixels to the input, such as imagenet or mean=…,std=…,scale=1/255,crop=224
    #[arg(long, value_name = "LIST", requires = "data")]
    pub preprocess: Option<Preprocess>,
}

/// Reads the samples for `input`, none where no file is named.
///
/// # Errors
/// As [`data::read`].
pub fn read_samples(
    options: &Samples,
    model: &Model,
    input: ValueId,
    batch: Option<usize>,
) -> Result<Option<Array>> {
    let Some(path) = &options.data else { return Ok(None) };
    let layout = options.preprocess.as_ref().map_or(Layout::default(), |p| p.layout);
    let wanted = wanted(model, input, batch, layout);
    data::read(path, options.preprocess.as_ref(), &wanted).map(|set| Some(set.values))
}

/// What is known of the pictures that `input` takes.
fn wanted(model: &Model, input: ValueId, batch: Option<usize>, layout: Layout) -> Wanted {
    let value = model.graph.value(input);
    let dims = value.dims().unwrap_or_default();
    let mut dims: Vec<_> =
        dims.iter().map(|dim| fixed(dim).and_then(|n| u32::try_from(n).ok())).collect();
    if let Some(axis) = batch.filter(|&axis| axis < dims.len()) {
        dims.remove(axis);
    } else if dims.len() == 4 {
        dims.remove(0);
    }
    let name = value.name.clone();
    match (dims.as_slice(), layout) {
        (&[channels, height, width], Layout::Nchw) | (&[height, width, channels], Layout::Nhwc) => {
            Wanted { name, channels: channels.map(|n| n as usize), size: height.zip(width) }
        }
        _ => Wanted { name, channels: None, size: None },
    }
}
