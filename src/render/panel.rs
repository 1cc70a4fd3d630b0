//! Pictures side by side, and PNG files.

use std::io::{self, Cursor, Write};
use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage};
use ndarray::{Array2, ArrayViewD};

use super::font;
use super::heatmap::{DOT, INK, MARGIN, WHITE, enlarge, framed};
use crate::error::{Error, Result};
use crate::files::write_whole;

/// A picture of `pixels`, `[1, h, w]` grey or `[3, h, w]` RGB with values in 0 ..= 1, enlarged to
/// about `size` and with the margins of a heatmap, so that the two line up in a [`panel`].
///
/// # Errors
/// When the array has another shape or is empty.
pub fn picture(pixels: ArrayViewD<'_, f64>, size: u32) -> Result<RgbImage> {
    let byte = |v: f64| (v.clamp(0.0, 1.0) * 255.0).round() as u8;
    let cells = match *pixels.shape() {
        [c @ (1 | 3), h, w] if h * w > 0 => Array2::from_shape_fn((h, w), |(y, x)| {
            Rgb([0, 1, 2].map(|channel| byte(pixels[[channel.min(c - 1), y, x]])))
        }),
        _ => {
            let shape = pixels.shape();
            return Err(Error::request(format!("an array of shape {shape:?} is no picture"))
                .help("a picture needs [1 or 3, height, width]"));
        }
    };
    let cells = enlarge(&cells, size);
    let (width, height) = (cells.width() + 2 * MARGIN, cells.height() + 2 * MARGIN);
    let mut image = RgbImage::from_pixel(width, height, WHITE);
    framed(&mut image, &cells, [MARGIN; 2]);
    Ok(image)
}

/// `images` from left to right, their tops level, each under its caption.
pub fn panel(images: &[(RgbImage, String)]) -> RgbImage {
    let column = |(image, caption): &(RgbImage, String)| {
        image.width().max(font::width(caption, DOT) + 2 * MARGIN)
    };
    let head = MARGIN + font::height(DOT);
    let width = images.iter().map(column).sum();
    let height = images.iter().map(|(image, _)| image.height() + head).max().unwrap_or(0);
    let mut all = RgbImage::from_pixel(width, height, WHITE);
    let mut left = 0;
    for item in images {
        let (image, caption) = item;
        let wide = column(item);
        let x = left + (wide - font::width(caption, DOT)) / 2;
        font::draw(&mut all, caption, [x, MARGIN], DOT, INK);
        let x = left + (wide - image.width()) / 2;
        image::imageops::replace(&mut all, image, x.into(), head.into());
        left += wide;
    }
    all
}

/// Writes `image` to `path` as PNG, whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn save_png(path: &Path, image: &RgbImage) -> Result<()> {
    let mut bytes = Cursor::new(Vec::new());
    let encoded = image.write_to(&mut bytes, ImageFormat::Png).map_err(io::Error::other);
    encoded.map_err(|e| Error::io(path, &e))?;
    write_whole(path, |file| file.write_all(bytes.get_ref()))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array, array};

    use super::*;

    #[test]
    fn pictures_show_their_pixels() {
        let image = picture(array![[[0.0, 2.0]]].into_dyn().view(), 100).unwrap();
        assert_eq!(*image.get_pixel(MARGIN + 25, MARGIN + 25), Rgb([0; 3]));
        assert_eq!(*image.get_pixel(MARGIN + 75, MARGIN + 25), WHITE);
        let red = array![[[1.0]], [[0.0]], [[0.0]]].into_dyn();
        let image = picture(red.view(), 100).unwrap();
        assert_eq!(*image.get_pixel(MARGIN + 50, MARGIN + 50), Rgb([255, 0, 0]));
        for shape in [&[2, 4, 4][..], &[4, 4], &[1, 0, 4]] {
            assert!(picture(Array::zeros(shape).view(), 100).is_err());
        }
    }

    #[test]
    fn a_panel_holds_every_image_and_caption() {
        let block = |shade| RgbImage::from_pixel(50, 40, Rgb([shade; 3]));
        let all = panel(&[(block(1), "a".into()), (block(2), "a longer caption".into())]);
        for shade in [1, 2] {
            assert_eq!(all.pixels().filter(|&&p| p == Rgb([shade; 3])).count(), 50 * 40);
        }
        assert_eq!(panel(&[]).dimensions(), (0, 0));
    }

    #[test]
    fn a_png_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let image = RgbImage::from_fn(5, 3, |x, y| Rgb([x as u8, y as u8, 7]));
        save_png(&path, &image).unwrap();
        assert_eq!(image::open(&path).unwrap().to_rgb8(), image);
        assert!(save_png(Path::new("no/such/folder/a.png"), &image).is_err());
    }
}
