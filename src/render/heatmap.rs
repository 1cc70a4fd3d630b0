//! Heatmaps with their scale printed underneath.

use image::{Rgb, RgbImage};
use ndarray::{Array2, ArrayViewD, Axis, Ix2};

use super::colour::diverging;
use super::font;
use crate::error::{Error, Result};

pub(super) const WHITE: Rgb<u8> = Rgb([255; 3]);
pub(super) const INK: Rgb<u8> = Rgb([40; 3]);
const FRAME: Rgb<u8> = Rgb([190; 3]);
/// Pixels of empty space around a picture.
pub(super) const MARGIN: u32 = 20;
/// The size of a dot of the font.
pub(super) const DOT: u32 = 2;
const BAR: u32 = 14;
const GAP: u32 = 8;
/// Room for the two ends and the middle of the scale.
const LEAST_WIDTH: u32 = 260;

/// Which values a heatmap shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sign {
    /// All of them.
    #[default]
    Both,
    /// Those above zero; the others are white.
    Positive,
    /// Those below zero; the others are white.
    Negative,
}

/// How a heatmap is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// The length of the longer side of the map in pixels, about: the cells stay whole.
    pub size: u32,
    /// The magnitude of full colour, to share a scale between maps; by default the map's own.
    pub limit: Option<f64>,
    /// Full colour at this percentile of |a| rather than at the largest, 0 to 100.
    pub percentile: Option<f64>,
    /// The power applied to |a| over the limit; below 1 it lifts small values.
    pub gamma: f64,
    /// Which values are shown.
    pub sign: Sign,
}

impl Default for Options {
    fn default() -> Self {
        Self { size: 512, limit: None, percentile: None, gamma: 1.0, sign: Sign::Both }
    }
}

/// A heatmap of `map`, `[h, w]` or `[c, h, w]` (channels are summed, for display only), with a
/// colour bar and the limits printed underneath. Red is positive, white exactly zero.
///
/// # Errors
/// When the map has another rank, no element or a value that is not finite.
pub fn heatmap(map: ArrayViewD<'_, f64>, options: &Options) -> Result<RgbImage> {
    let map = plane(map)?;
    if map.iter().any(|v| !v.is_finite()) {
        return Err(Error::request("the map holds values that are not finite"));
    }
    let limit = options.limit.unwrap_or_else(|| own_limit(&map, options.percentile)).abs();
    let colour = |v: f64| {
        let shown = match options.sign {
            Sign::Both => v,
            Sign::Positive => v.max(0.0),
            Sign::Negative => v.min(0.0),
        };
        let t = if limit > 0.0 { (shown.abs() / limit).min(1.0).powf(options.gamma) } else { 0.0 };
        diverging(t.copysign(shown))
    };
    let cells = enlarge(&map.mapv(colour), options.size);
    let width = cells.width().max(LEAST_WIDTH);
    let below = GAP + BAR + GAP + font::height(DOT);
    let mut image =
        RgbImage::from_pixel(width + 2 * MARGIN, cells.height() + below + 2 * MARGIN, WHITE);
    let left = MARGIN + (width - cells.width()) / 2;
    framed(&mut image, &cells, [left, MARGIN]);
    let top = MARGIN + cells.height() + GAP;
    if limit > 0.0 {
        let bar = RgbImage::from_fn(width, BAR, |x, _| {
            colour(limit * (2.0 * (f64::from(x) + 0.5) / f64::from(width) - 1.0))
        });
        framed(&mut image, &bar, [MARGIN, top]);
        let number = scientific(limit);
        let ends = [(format!("-{number}"), 0), ("0".into(), 1), (format!("+{number}"), 2)];
        for (text, place) in ends {
            let x = MARGIN + (width - font::width(&text, DOT)) * place / 2;
            font::draw(&mut image, &text, [x, top + BAR + GAP], DOT, INK);
        }
    } else {
        let text = "all zero";
        let x = MARGIN + (width - font::width(text, DOT)) / 2;
        font::draw(&mut image, text, [x, top + GAP], DOT, INK);
    }
    Ok(image)
}

/// `map` with its channels summed.
fn plane(map: ArrayViewD<'_, f64>) -> Result<Array2<f64>> {
    let wrong = || {
        let shape = map.shape();
        Error::request(format!("a map of shape {shape:?} is no picture"))
            .help("a heatmap needs [height, width] or [channels, height, width]")
    };
    let plane = match map.ndim() {
        2 => map.to_owned(),
        3 => map.sum_axis(Axis(0)),
        _ => return Err(wrong()),
    };
    if plane.is_empty() {
        return Err(wrong());
    }
    plane.into_dimensionality::<Ix2>().map_err(|_| wrong())
}

pub(super) fn own_limit(map: &Array2<f64>, percentile: Option<f64>) -> f64 {
    let mut sizes: Vec<_> = map.iter().map(|v| v.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let share = percentile.map_or(1.0, |p| (p / 100.0).clamp(0.0, 1.0));
    let rank = (share * (sizes.len() as f64 - 1.0)).round() as usize;
    // A map that is mostly zero keeps a scale, so that what there is can be seen.
    sizes.get(rank).copied().filter(|&v| v > 0.0).or(sizes.last().copied()).unwrap_or(0.0)
}

/// Every cell as a square of whole pixels, so that the longer side is about `size` long.
pub(super) fn enlarge(cells: &Array2<Rgb<u8>>, size: u32) -> RgbImage {
    let (rows, columns) = cells.dim();
    let longer = rows.max(columns).max(1) as u32;
    let side = ((size + longer / 2) / longer).max(1);
    RgbImage::from_fn(columns as u32 * side, rows as u32 * side, |x, y| {
        cells[[(y / side) as usize, (x / side) as usize]]
    })
}

/// Puts `part` into `image` with a thin frame around it.
pub(super) fn framed(image: &mut RgbImage, part: &RgbImage, [left, top]: [u32; 2]) {
    let frame = RgbImage::from_pixel(part.width() + 2, part.height() + 2, FRAME);
    image::imageops::replace(image, &frame, i64::from(left) - 1, i64::from(top) - 1);
    image::imageops::replace(image, part, left.into(), top.into());
}

/// Three digits, as a decimal fraction where that is short.
fn scientific(v: f64) -> String {
    match v.log10().floor() {
        e if (-2.0..3.0).contains(&e) => format!("{v:.*}", (2.0 - e) as usize),
        _ => format!("{v:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array, array};

    use super::*;

    fn draw(map: Array2<f64>, options: Options) -> RgbImage {
        heatmap(map.into_dyn().view(), &options).unwrap()
    }

    fn small() -> Options {
        Options { size: 300, ..Options::default() }
    }

    /// The colours of a map of one row, read off the middle of each cell.
    fn cells(map: &[f64], options: Options) -> Vec<Rgb<u8>> {
        let image = draw(Array::from_vec(map.to_vec()).insert_axis(Axis(0)), options);
        let side = 300 / map.len() as u32;
        let middle = |i: usize| MARGIN + side * i as u32 + side / 2;
        (0..map.len()).map(|i| *image.get_pixel(middle(i), MARGIN + side / 2)).collect()
    }

    #[test]
    fn zero_is_white_and_the_largest_magnitude_has_full_colour() {
        let got = cells(&[0.0, 2.0, -1.0], small());
        assert_eq!(got, [WHITE, diverging(1.0), diverging(-0.5)]);
    }

    #[test]
    fn options_change_the_scale() {
        let map = [1.0, -4.0, 0.0];
        let shared = Options { limit: Some(8.0), ..small() };
        assert_eq!(cells(&map, shared), [diverging(0.125), diverging(-0.5), WHITE]);
        let clipped = Options { percentile: Some(50.0), ..small() };
        assert_eq!(cells(&map, clipped), [diverging(1.0), diverging(-1.0), WHITE]);
        let gamma = Options { gamma: 0.5, ..small() };
        assert_eq!(cells(&map, gamma), [diverging(0.5), diverging(-1.0), WHITE]);
        let positive = Options { sign: Sign::Positive, ..small() };
        assert_eq!(cells(&map, positive), [diverging(0.25), WHITE, WHITE]);
        let negative = Options { sign: Sign::Negative, ..small() };
        assert_eq!(cells(&map, negative), [WHITE, diverging(-1.0), WHITE]);
    }

    #[test]
    fn channels_are_summed() {
        let map = array![[[1.0, 2.0]], [[-1.0, 2.0]]].into_dyn();
        let image = heatmap(map.view(), &small()).unwrap();
        assert_eq!(image, draw(array![[0.0, 4.0]], small()));
    }

    #[test]
    fn a_zero_map_is_white_and_says_so() {
        let image = draw(Array2::zeros((2, 2)), small());
        assert_eq!(*image.get_pixel(MARGIN + 10, MARGIN + 10), WHITE);
        assert!(image.pixels().any(|&p| p == INK));
    }

    #[test]
    fn what_is_no_picture_is_an_error() {
        let zeros = |shape: &[usize]| Array::zeros(shape);
        for shape in [&[3][..], &[1, 1, 2, 2], &[0, 3], &[0, 0, 0]] {
            assert!(heatmap(zeros(shape).view(), &small()).is_err(), "{shape:?}");
        }
        assert!(heatmap(array![[f64::NAN]].into_dyn().view(), &small()).is_err());
        assert!(heatmap(array![[f64::INFINITY]].into_dyn().view(), &small()).is_err());
    }

    #[test]
    fn sizes_are_whole_cells_and_extremes_fit() {
        for (h, w) in [(28, 28), (224, 224), (1, 1000), (600, 1), (1, 1)] {
            let image = draw(Array2::ones((h, w)), Options::default());
            assert!(image.width() >= LEAST_WIDTH + 2 * MARGIN);
        }
        draw(array![[5e-324, -5e-324]], small());
        draw(array![[f64::MAX / 2.0, -1.0]], small());
    }

    #[test]
    fn numbers_are_short() {
        let cases = [(1.0, "1.00"), (0.123456, "0.123"), (123.4, "123"), (0.0012, "1.20e-3")];
        for (v, text) in cases {
            assert_eq!(scientific(v), text);
        }
        assert_eq!(scientific(4.5e12), "4.50e12");
    }
}
