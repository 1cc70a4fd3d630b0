//! Charts as pixels: everything is a polygon, its edges smoothed by finer pixels.

use image::imageops::{FilterType, resize};
use image::{Rgb, RgbImage};

use super::{Anchor, COLOURS, Canvas, Ink, Label};
use crate::render::font;

/// Pixels of the picture for each unit of the chart.
const DENSITY: f64 = 2.0;
/// Finer pixels along each side of a pixel.
const FINE: f64 = 2.0;

const SERIES: [[u8; 3]; COLOURS] = [
    [31, 111, 180],
    [209, 86, 10],
    [22, 133, 91],
    [156, 74, 151],
    [166, 124, 0],
    [42, 157, 176],
    [176, 48, 64],
    [96, 96, 96],
];

/// A picture that is being drawn.
pub struct Raster {
    fine: RgbImage,
}

impl Raster {
    /// White paper.
    pub fn new(size: [f64; 2]) -> Self {
        let [width, height] = size.map(|side| (side * DENSITY * FINE) as u32);
        Self { fine: RgbImage::from_pixel(width, height, Rgb([255; 3])) }
    }

    /// The picture.
    pub fn finish(self) -> RgbImage {
        let shrink = |side: u32| side / FINE as u32;
        let (width, height) = (shrink(self.fine.width()), shrink(self.fine.height()));
        resize(&self.fine, width, height, FilterType::Triangle)
    }

    /// Fills a convex polygon.
    fn fill(&mut self, corners: &[[f64; 2]], ink: Ink) {
        let corners: Vec<[f64; 2]> =
            corners.iter().map(|corner| corner.map(|c| c * DENSITY * FINE)).collect();
        let rows = corners.iter().map(|c| c[1]);
        let (low, high) = (rows.clone().fold(f64::MAX, f64::min), rows.fold(f64::MIN, f64::max));
        let limit = f64::from(self.fine.height());
        for y in low.clamp(0.0, limit).floor() as u32..high.clamp(0.0, limit).ceil() as u32 {
            let middle = f64::from(y) + 0.5;
            let (mut left, mut right) = (f64::MAX, f64::MIN);
            for (index, &[x0, y0]) in corners.iter().enumerate() {
                let [x1, y1] = corners[(index + 1) % corners.len()];
                if (y0 <= middle) != (y1 <= middle) {
                    let x = x0 + (middle - y0) / (y1 - y0) * (x1 - x0);
                    (left, right) = (left.min(x), right.max(x));
                }
            }
            let limit = f64::from(self.fine.width());
            for x in (left - 0.5).clamp(0.0, limit).ceil() as u32
                ..(right - 0.5).clamp(-1.0, limit).floor() as u32 + 1
            {
                if let Some(pixel) = self.fine.get_pixel_mut_checked(x, y) {
                    *pixel = colour(ink);
                }
            }
        }
    }
}

fn colour(ink: Ink) -> Rgb<u8> {
    Rgb(match ink {
        Ink::Paper => [255; 3],
        Ink::Text => [28, 28, 30],
        Ink::Soft => [95, 99, 104],
        Ink::Grid => [228, 230, 233],
        Ink::Series(index) => SERIES[index % COLOURS],
    })
}

/// What the bitmap font has no letter for, in letters that it has.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            'γ' => plain.push_str("gamma"),
            'ν' => plain.push_str("nu"),
            'μ' => plain.push_str("mu"),
            'ρ' => plain.push_str("rho"),
            'ŵ' => plain.push('w'),
            '⊙' => plain.push('.'),
            ';' => plain.push(','),
            '\'' | '’' => {}
            '±' => plain.push_str("+-"),
            '₁' => plain.push('1'),
            '₂' => plain.push('2'),
            '₃' => plain.push('3'),
            '\u{300}'..='\u{36f}' => {}
            c => plain.push(c),
        }
    }
    plain
}

impl Canvas for Raster {
    fn bar(&mut self, [x, y]: [f64; 2], [width, height]: [f64; 2], ink: Ink) {
        self.fill(&[[x, y], [x + width, y], [x + width, y + height], [x, y + height]], ink);
    }

    fn line(&mut self, points: &[[f64; 2]], width: f64, ink: Ink) {
        for pair in points.windows(2) {
            let [[x0, y0], [x1, y1]] = [pair[0], pair[1]];
            let length = (x1 - x0).hypot(y1 - y0);
            if length > 0.0 {
                let aside = [(y1 - y0) / length * width / 2.0, (x0 - x1) / length * width / 2.0];
                let [a, b] = aside;
                self.fill(
                    &[[x0 + a, y0 + b], [x1 + a, y1 + b], [x1 - a, y1 - b], [x0 - a, y0 - b]],
                    ink,
                );
            }
        }
    }

    fn dot(&mut self, [x, y]: [f64; 2], radius: f64, ink: Ink) {
        let corner = |i: u32| {
            let (sin, cos) = (f64::from(i) / 32.0 * std::f64::consts::TAU).sin_cos();
            [x + radius * cos, y + radius * sin]
        };
        self.fill(&(0..32).map(corner).collect::<Vec<_>>(), ink);
    }

    fn label(&mut self, label: &Label) {
        let text = plain(label.text);
        let step = unit(label.size);
        let start = match label.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => -self.measure(&text, label.size) / 2.0,
            Anchor::End => -self.measure(&text, label.size),
        };
        let (sin, cos) = label.turn.to_radians().sin_cos();
        let place = |column: f64, row: f64| {
            // The baseline lies below the seventh row.
            let (x, y) = (start + column * step, (row - 7.0) * step);
            [label.at[0] + x * cos - y * sin, label.at[1] + x * sin + y * cos]
        };
        for [column, row] in font::dots(&text) {
            let (x, y) = (f64::from(column), f64::from(row));
            let corners = [[x, y], [x + 1.0, y], [x + 1.0, y + 1.0], [x, y + 1.0]];
            self.fill(&corners.map(|[x, y]| place(x, y)), label.ink);
        }
    }

    fn measure(&self, text: &str, size: f64) -> f64 {
        f64::from(font::width(&plain(text), 1)) * unit(size)
    }
}

/// The side of a dot of the font in a text of some size.
fn unit(size: f64) -> f64 {
    if size > 14.0 { 1.5 } else { 1.0 }
}
