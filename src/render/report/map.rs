//! Maps as small indexed pictures from which a reader's browser reads the values back.

use image::{ExtendedColorType, ImageEncoder, Rgb, codecs::png};
use ndarray::{Array2, ArrayView1, Axis};

use super::bytes::{base64, crc};
use crate::error::{Error, Result};
use crate::render::colour::diverging;

/// How a flat sample of the input is a picture.
#[derive(Clone, Debug)]
pub struct Frame {
    shape: Vec<usize>,
    channels: usize,
}

impl Frame {
    /// The frame of samples with the extents `shape`: `[h, w]`, `[c, h, w]`, or `[h, w, c]` where
    /// the channels come last; axes of extent 1 may stand before.
    ///
    /// # Errors
    /// When there are fewer or more axes, or no element.
    pub fn new(shape: &[usize], channels_last: bool) -> Result<Self> {
        let mut inner = shape;
        while inner.len() > 3 && inner.first() == Some(&1) {
            inner = &inner[1..];
        }
        if !matches!(inner.len(), 2 | 3) || inner.contains(&0) {
            return Err(Error::request(format!("an input of shape {shape:?} is no picture"))
                .help("a report shows inputs of height and width, with channels or without"));
        }
        let channels = if channels_last { inner.len() - 1 } else { 0 };
        Ok(Self { shape: inner.to_vec(), channels })
    }

    /// The map of a flat sample, its channels summed, for display only; `title` and `note` are its
    /// caption, `plain` the same in letters that the font of PNG files has.
    ///
    /// # Errors
    /// When the sample has another length or a value that is not finite.
    pub fn map(
        &self,
        flat: ArrayView1<'_, f64>,
        title: impl Into<String>,
        note: impl Into<String>,
        plain: impl Into<String>,
    ) -> Result<Map> {
        let lost = |e: ndarray::ShapeError| Error::internal(e.to_string());
        let shaped = flat.to_shape(self.shape.clone()).map_err(lost)?;
        let plane = match self.shape.len() {
            3 => shaped.sum_axis(Axis(self.channels)),
            _ => shaped.into_owned(),
        };
        let plane: Array2<f64> = plane.into_dimensionality().map_err(lost)?;
        if plane.iter().any(|v| !v.is_finite()) {
            return Err(Error::request("the map holds values that are not finite"));
        }
        Ok(Map { plane, title: title.into(), note: note.into(), plain: plain.into() })
    }
}

/// A map with its caption.
#[derive(Clone, Debug)]
pub struct Map {
    /// The values, `[h, w]`.
    pub plane: Array2<f64>,
    /// What it is.
    pub title: String,
    /// What is said of it beside.
    pub note: String,
    /// The caption in a PNG file.
    pub plain: String,
}

/// The steps of |a| on either side of zero. They grow with the square, so that small values keep
/// more than one digit: the error of a value is about √(|a| limit) / 254.
const STEPS: f64 = 127.0;
/// The index of what is zero.
const ZERO: u8 = 127;
/// The index of what is less than half a step, and not zero.
const TINY: u8 = 255;

impl Map {
    /// The largest magnitude.
    pub fn limit(&self) -> f64 {
        self.plane.iter().fold(0f64, |limit, v| limit.max(v.abs()))
    }

    /// The magnitude of full colour: the largest, or that at the percentile `clip`.
    pub fn shown(&self, clip: Option<f64>) -> f64 {
        crate::render::heatmap::own_limit(&self.plane, clip)
    }

    /// The map as an indexed PNG, a pixel an element: index 127 is zero, 127 ± k the value
    /// ±(k / 127)² times the limit, and 255 what is smaller.
    ///
    /// # Errors
    /// When the picture cannot be encoded.
    pub fn png(&self, clip: Option<f64>) -> Result<Vec<u8>> {
        let limit = self.limit();
        let level = |&v: &f64| {
            let step = if limit > 0.0 { (STEPS * (v.abs() / limit).sqrt()).round() } else { 0.0 };
            match (v == 0.0, step as u8) {
                (true, _) => ZERO,
                (false, 0) => TINY,
                (false, step) if v > 0.0 => ZERO + step.min(ZERO),
                (false, step) => ZERO - step.min(ZERO),
            }
        };
        let levels: Vec<u8> = self.plane.iter().map(level).collect();
        let (height, width) = self.plane.dim();
        let mut bytes = Vec::new();
        let (best, unfiltered) = (png::CompressionType::Best, png::FilterType::NoFilter);
        png::PngEncoder::new_with_quality(&mut bytes, best, unfiltered)
            .write_image(&levels, width as u32, height as u32, ExtendedColorType::L8)
            .map_err(|e| Error::internal(format!("a map cannot be encoded: {e}")))?;
        let shown = self.shown(clip);
        let stretch = if shown > 0.0 { limit / shown } else { 0.0 };
        indexed(bytes, &palette(stretch))
    }

    /// The map as a data URI.
    ///
    /// # Errors
    /// As [`Map::png`].
    pub fn uri(&self, clip: Option<f64>) -> Result<String> {
        Ok(format!("data:image/png;base64,{}", base64(&self.png(clip)?)))
    }
}

/// The colours of the indices, with values stretched by a factor.
fn palette(stretch: f64) -> Vec<Rgb<u8>> {
    let colour = |index: u8| {
        let step = f64::from(index) - f64::from(ZERO);
        diverging((step / STEPS).powi(2).copysign(step) * stretch)
    };
    let mut colours: Vec<_> = (0..TINY).map(colour).collect();
    colours.push(diverging(0.0));
    colours
}

/// The colours of −1 ..= 1 in 255 even steps, as hexadecimal digits.
pub fn colours() -> String {
    let steps = (0..255).map(|step| diverging((f64::from(step) - STEPS) / STEPS));
    steps.map(|Rgb([r, g, b])| format!("{r:02x}{g:02x}{b:02x}")).collect()
}

/// The colours from −1 to 1 as a gradient of CSS.
pub fn ramp() -> String {
    let stops = (0..=16).map(|step| diverging(f64::from(step) / 8.0 - 1.0));
    let stops: Vec<String> =
        stops.map(|Rgb([r, g, b])| format!("#{r:02x}{g:02x}{b:02x}")).collect();
    format!("linear-gradient(90deg, {})", stops.join(", "))
}

/// A greyscale PNG of 8 bits made an indexed one, whose greys are indices: a colour type of 3, and
/// the chunk of colours before the data.
fn indexed(mut png: Vec<u8>, colours: &[Rgb<u8>]) -> Result<Vec<u8>> {
    // The signature and the header: length, kind, 13 bytes of which the tenth is the colour type, sum.
    const HEADER: std::ops::Range<usize> = 12..29;
    const COLOUR_TYPE: usize = 25;
    if png.get(12..16) != Some(b"IHDR") || png.len() < 33 {
        return Err(Error::internal("a PNG without its header"));
    }
    png[COLOUR_TYPE] = 3;
    let sum = crc(&png[HEADER]);
    png[29..33].copy_from_slice(&sum.to_be_bytes());
    let mut chunk = b"PLTE".to_vec();
    chunk.extend(colours.iter().flat_map(|colour| colour.0));
    let length = (chunk.len() - 4) as u32;
    let sum = crc(&chunk);
    let whole = [&length.to_be_bytes()[..], &chunk, &sum.to_be_bytes()].concat();
    png.splice(33..33, whole);
    Ok(png)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, array};

    use super::*;

    fn map(values: &[f64]) -> Map {
        let frame = Frame::new(&[1, values.len()], false).unwrap();
        frame.map(Array1::from(values.to_vec()).view(), "t", "n", "p").unwrap()
    }

    fn pixels(map: &Map, clip: Option<f64>) -> Vec<Rgb<u8>> {
        let image = image::load_from_memory(&map.png(clip).unwrap()).unwrap();
        image.to_rgb8().pixels().copied().collect()
    }

    #[test]
    fn a_map_is_read_as_a_picture_of_its_colours() {
        let found = pixels(&map(&[0.0, 2.0, -0.5, 1e-9]), None);
        let quarter = diverging(-(63.5f64.round() / 127.0).powi(2));
        assert_eq!(found, [Rgb([255; 3]), diverging(1.0), quarter, Rgb([255; 3])]);
        assert_eq!(pixels(&map(&[0.0, 0.0]), None), [Rgb([255; 3]); 2]);
        let clipped = pixels(&map(&[1.0, 4.0, -4.0, 1.0, 1.0]), Some(0.0));
        assert_eq!(clipped[0], clipped[1]);
        assert_eq!(clipped[2], diverging(-1.0));
    }

    #[test]
    fn channels_are_summed_wherever_they_stand() {
        let flat = array![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let plane = |shape: &[usize], last| {
            Frame::new(shape, last).unwrap().map(flat.view(), "", "", "").unwrap().plane
        };
        assert_eq!(plane(&[2, 2, 2], false), array![[6.0, 8.0], [10.0, 12.0]]);
        assert_eq!(plane(&[2, 2, 2], true), array![[3.0, 7.0], [11.0, 15.0]]);
        assert_eq!(plane(&[1, 1, 2, 4], false).dim(), (2, 4));
        assert_eq!(plane(&[2, 4], true).dim(), (2, 4));
    }

    #[test]
    fn what_is_no_map_is_refused() {
        for shape in [&[8][..], &[2, 2, 2, 2], &[0, 4], &[2, 2, 0]] {
            assert!(Frame::new(shape, false).is_err(), "{shape:?}");
        }
        let frame = Frame::new(&[1, 2], false).unwrap();
        for values in [array![1.0], array![f64::NAN, 1.0], array![f64::INFINITY, 1.0]] {
            assert!(frame.map(values.view(), "", "", "").is_err());
        }
    }

    #[test]
    fn there_is_a_colour_for_every_step() {
        let colours = colours();
        assert_eq!((colours.len(), &colours[127 * 6..128 * 6]), (255 * 6, "ffffff"));
    }
}
