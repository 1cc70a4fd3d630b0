//! Draws the handwritten-looking digits in `examples/digits`: run from the repository's root with
//! `cargo run --example render_digits`.
//!
//! They follow the MNIST convention, white on black, 28 × 28 pixels, the ink in the middle 20 × 20.

use std::error::Error;
use std::path::Path;

use image::{GrayImage, Luma};

type Point = [f64; 2];

/// Half the width of the pen.
const PEN: f64 = 1.25;
const STEPS: usize = 16;

/// The strokes of a digit, in pixels from the upper left corner; each is a smooth curve through
/// its points.
fn strokes(digit: usize) -> Vec<Vec<Point>> {
    match digit {
        0 => vec![vec![
            [15.5, 5.0],
            [11.0, 7.5],
            [8.6, 14.0],
            [10.0, 21.0],
            [14.0, 23.0],
            [18.4, 19.5],
            [19.8, 12.5],
            [18.2, 6.5],
            [14.6, 5.2],
        ]],
        1 => vec![vec![[16.0, 4.8], [15.0, 11.0], [13.8, 17.0], [12.6, 23.2]]],
        2 => vec![vec![
            [8.6, 8.6],
            [11.0, 5.6],
            [15.6, 5.2],
            [18.0, 8.4],
            [16.4, 13.2],
            [12.4, 18.0],
            [8.6, 22.2],
            [13.4, 21.6],
            [20.0, 22.0],
        ]],
        3 => vec![vec![
            [9.0, 6.4],
            [13.4, 4.8],
            [17.6, 7.0],
            [16.6, 11.0],
            [12.4, 13.4],
            [17.0, 14.6],
            [19.0, 18.2],
            [16.4, 22.2],
            [11.6, 23.0],
            [8.0, 21.0],
        ]],
        4 => vec![
            vec![[10.2, 5.6], [9.2, 10.0], [8.6, 14.2], [13.0, 14.6], [19.6, 13.4]],
            vec![[18.4, 5.4], [17.6, 12.0], [16.6, 18.0], [16.0, 23.2]],
        ],
        5 => vec![
            vec![
                [10.8, 5.6],
                [10.0, 9.0],
                [9.4, 12.6],
                [13.4, 11.8],
                [17.4, 13.8],
                [18.0, 18.4],
                [14.8, 22.4],
                [10.6, 23.0],
                [7.8, 21.2],
            ],
            vec![[10.8, 5.6], [14.8, 5.8], [19.4, 5.0]],
        ],
        6 => vec![vec![
            [16.8, 4.8],
            [12.6, 8.6],
            [9.8, 14.0],
            [9.6, 19.6],
            [12.6, 23.0],
            [17.0, 21.4],
            [18.2, 17.2],
            [15.2, 14.4],
            [11.4, 16.2],
            [9.8, 19.6],
        ]],
        7 => vec![
            vec![[8.2, 6.4], [13.0, 6.4], [19.4, 5.8]],
            vec![[19.4, 5.8], [17.4, 10.6], [15.2, 16.6], [13.6, 23.0]],
        ],
        8 => vec![vec![
            [18.0, 7.4],
            [14.6, 4.8],
            [10.6, 7.0],
            [11.6, 11.2],
            [15.6, 14.6],
            [17.6, 18.8],
            [15.0, 22.8],
            [10.8, 22.2],
            [9.8, 18.2],
            [12.8, 14.2],
            [17.0, 10.8],
            [18.0, 7.4],
        ]],
        _ => vec![vec![
            [18.4, 8.4],
            [15.0, 5.2],
            [10.8, 7.0],
            [9.8, 11.4],
            [12.8, 14.0],
            [16.8, 12.0],
            [18.4, 8.4],
            [17.8, 14.0],
            [16.6, 19.0],
            [15.6, 23.2],
        ]],
    }
}

/// Points along the Catmull–Rom curve through `points`.
fn curve(points: &[Point]) -> Vec<Point> {
    let at = |i: isize| points[i.clamp(0, points.len() as isize - 1) as usize];
    let mut along = Vec::new();
    for i in 0..points.len() as isize - 1 {
        let [p, q, r, s] = [at(i - 1), at(i), at(i + 1), at(i + 2)];
        for step in 0..=STEPS {
            let t = step as f64 / STEPS as f64;
            along.push([0, 1].map(|k| {
                let linear = r[k] - p[k];
                let square = 2.0 * p[k] - 5.0 * q[k] + 4.0 * r[k] - s[k];
                let cube = 3.0 * (q[k] - r[k]) + s[k] - p[k];
                q[k] + 0.5 * t * (linear + t * (square + t * cube))
            }));
        }
    }
    along
}

/// The distance of `at` from the line between `from` and `to`.
fn distance(at: Point, from: Point, to: Point) -> f64 {
    let [dx, dy] = [to[0] - from[0], to[1] - from[1]];
    let length = dx * dx + dy * dy;
    let along = (at[0] - from[0]) * dx + (at[1] - from[1]) * dy;
    let t = if length > 0.0 { (along / length).clamp(0.0, 1.0) } else { 0.0 };
    (at[0] - from[0] - t * dx).hypot(at[1] - from[1] - t * dy)
}

fn draw(digit: usize) -> GrayImage {
    let curves: Vec<_> = strokes(digit).iter().map(|points| curve(points)).collect();
    GrayImage::from_fn(28, 28, |x, y| {
        let at = [f64::from(x) + 0.5, f64::from(y) + 0.5];
        let pieces = curves.iter().flat_map(|curve| curve.windows(2));
        let nearest = pieces.map(|ends| distance(at, ends[0], ends[1])).fold(f64::MAX, f64::min);
        Luma([((PEN + 0.5 - nearest).clamp(0.0, 1.0) * 255.0).round() as u8])
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new("examples/digits");
    std::fs::create_dir_all(folder)?;
    for digit in 0..10 {
        draw(digit).save(folder.join(format!("{digit}.png")))?;
    }
    Ok(())
}
