//! The options that say where samples come from.

use std::path::PathBuf;

use clap::Args;

use super::Preprocess;
use super::data::{Dataset, Wanted};
use crate::error::{Error, Result};
use crate::graph::{Model, ValueId};

/// Where samples come from.
#[derive(Args, Clone, Debug)]
pub struct Samples {
    /// The samples: .npy, .npz, pictures, or folders of pictures; as often as wanted
    #[arg(long, value_name = "FILE")]
    pub data: Vec<PathBuf>,
    /// From pixels to the input, such as imagenet,crop=224; see --help
    ///
    /// A preset or settings, or both, separated by commas. Every value v in 0 ..= 255 becomes
    /// (v · scale − mean) / std.
    ///
    ///   unit      v / 255
    ///   imagenet  (v / 255 − (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225), channels RGB
    ///   caffe     v − (104, 117, 123), channels BGR
    ///   tf        v / 127.5 − 1, also called inception
    ///
    ///   scale=1/255  mean=…  std=…  one number, or one for each channel in the model's order
    ///   channels=rgb|bgr|gray       the order of channels
    ///   layout=nchw|nhwc            the order of axes
    ///   resize=256 or 224x320       the shorter side, or height x width
    ///   crop=224 or 224x320         cut from the centre; resized to cover it where nothing else is
    ///                               said of the size
    #[arg(long, value_name = "LIST", verbatim_doc_comment)]
    pub preprocess: Option<Preprocess>,
}

impl Samples {
    /// The data set for `input`, whose samples lie along `batch`; none where no file is named.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn dataset(
        &self,
        model: &Model,
        input: ValueId,
        batch: Option<usize>,
    ) -> Result<Option<Dataset>> {
        if self.data.is_empty() {
            return match self.preprocess {
                None => Ok(None),
                Some(_) => Err(Error::request("--preprocess is about data, and there is none")
                    .help("name a file or folder with --data")),
            };
        }
        let wanted = Wanted::of(model, input, batch);
        Dataset::open(&self.data, self.preprocess.as_ref(), wanted).map(Some)
    }

    /// As [`Samples::dataset`], where there must be one.
    ///
    /// # Errors
    /// As [`Dataset::open`], and when no file is named.
    pub fn required(&self, model: &Model, input: ValueId, batch: Option<usize>) -> Result<Dataset> {
        self.dataset(model, input, batch)?.ok_or_else(|| {
            Error::request("there is no data").help("name a file or folder with --data")
        })
    }
}
