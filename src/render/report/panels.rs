//! The maps of a report as PNG files: a panel a section.

use image::RgbImage;

use super::{Block, Report, Row};
use crate::error::Result;
use crate::render::font;
use crate::render::heatmap::{DOT, INK, MARGIN, Options, WHITE, heatmap};
use crate::render::panel::{panel, picture};

/// The length of a map's longer side in pixels, about.
const SIZE: u32 = 336;
/// Between a label and its box.
const PAD: u32 = 8;
/// The length of a dash.
const DASH: u32 = 6;

/// The pictures of a report by the names of their files, without the ending.
///
/// # Errors
/// When a map cannot be drawn.
pub fn panels(report: &Report) -> Result<Vec<(String, RgbImage)>> {
    let mut all: Vec<(String, RgbImage)> = Vec::new();
    for (index, subject) in report.subjects.iter().enumerate() {
        let stem = format!("{}-{}", index + 1, stem(&subject.name));
        let image = picture(subject.picture.view(), SIZE)?;
        all.push((format!("{stem}-input"), panel(&[(image, subject.name.clone())])));
        for section in &subject.sections {
            let rows = section.blocks.iter().filter_map(|block| match block {
                Block::Maps(rows) => Some(rows),
                _ => None,
            });
            let rows: Vec<RgbImage> =
                rows.flatten().map(|row| drawn(row, report.clip)).collect::<Result<_>>()?;
            if !rows.is_empty() {
                let mut name = format!("{stem}-{}", section.slug);
                while all.iter().any(|(other, _)| *other == name) {
                    name.push_str("-again");
                }
                all.push((name, stacked(&rows)));
            }
        }
    }
    Ok(all)
}

fn drawn(row: &Row, clip: Option<f64>) -> Result<RgbImage> {
    let options = Options { size: SIZE, percentile: clip, ..Options::default() };
    let draw =
        |map: &super::Map| Ok((heatmap(map.plane.view().into_dyn(), &options)?, map.plain.clone()));
    let maps = panel(&row.maps.iter().map(draw).collect::<Result<Vec<_>>>()?);
    Ok(match &row.label {
        Some(label) => stacked(&[heading(label, row.boxed), maps]),
        None => maps,
    })
}

/// The label of a row, in a dashed box where it stands out.
fn heading(label: &str, boxed: bool) -> RgbImage {
    let (width, height) = (font::width(label, DOT) + 2 * PAD, font::height(DOT) + 2 * PAD);
    let mut image = RgbImage::from_pixel(width + 2 * MARGIN, height + MARGIN, WHITE);
    font::draw(&mut image, label, [MARGIN + PAD, MARGIN + PAD + DOT], DOT, INK);
    if boxed {
        let dash = |at: u32| (at / DASH).is_multiple_of(2);
        for x in (0..width).filter(|&x| dash(x)) {
            for y in [0, 1, height - 2, height - 1] {
                image.put_pixel(MARGIN + x, MARGIN + y, INK);
            }
        }
        for y in (0..height).filter(|&y| dash(y)) {
            for x in [0, 1, width - 2, width - 1] {
                image.put_pixel(MARGIN + x, MARGIN + y, INK);
            }
        }
    }
    image
}

/// Images below each other.
fn stacked(images: &[RgbImage]) -> RgbImage {
    let width = images.iter().map(RgbImage::width).max().unwrap_or(0);
    let height = images.iter().map(RgbImage::height).sum();
    let mut all = RgbImage::from_pixel(width, height, WHITE);
    let mut top = 0;
    for image in images {
        image::imageops::replace(&mut all, image, 0, top);
        top += i64::from(image.height());
    }
    all
}

/// A name without its ending, of letters, digits and hyphens.
fn stem(name: &str) -> String {
    let (name, place) = name.split_once('[').unwrap_or((name, ""));
    let name = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let kept = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let text: String = format!("{name} {place}").chars().map(kept).collect();
    let words: Vec<_> = text.split('-').filter(|word| !word.is_empty()).collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::report::tests::report;

    #[test]
    fn there_is_a_picture_for_the_input_and_for_each_section_with_maps() {
        let all = panels(&report()).unwrap();
        let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["1-a-cat-0-input", "1-a-cat-0-winner"]);
        let rows = &all[1].1;
        let one = panels(&report()).unwrap()[0].1.height();
        assert!(rows.height() > one, "two rows are higher than one picture");
    }

    #[test]
    fn the_label_that_stands_out_has_a_dashed_box() {
        let ink = |boxed| heading("cat", boxed).pixels().filter(|&&p| p == INK).count();
        assert!(ink(true) > ink(false) + 100);
        let image = heading("cat", true);
        let top = |x: u32| *image.get_pixel(MARGIN + x, MARGIN) == INK;
        assert!(top(0) && !top(DASH) && top(2 * DASH));
    }

    #[test]
    fn no_picture_takes_the_place_of_another() {
        let mut report = report();
        let first = report.subjects[0].sections[0].clone();
        report.subjects[0].sections.push(first);
        assert_eq!(panels(&report).unwrap()[2].0, "1-a-cat-0-winner-again");
    }

    #[test]
    fn names_of_files_are_plain() {
        let cases =
            [("cat.png", "cat"), ("a b/ü.c.jpg", "a-b-c"), ("set.npz[3]", "set-3"), ("", "")];
        for (name, expected) in cases {
            assert_eq!(stem(name), expected);
        }
    }
}
