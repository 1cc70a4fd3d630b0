//! Curves as SVG in the colours of the page.

use std::fmt::Write;

use super::html::{escaped, number};

/// A curve over 1, 2, 3, …
#[derive(Clone, Debug)]
pub struct Curve {
    /// The heading.
    pub title: String,
    /// What the horizontal axis counts.
    pub horizontal: String,
    /// The heights.
    pub values: Vec<f64>,
    /// Whether the vertical axis is logarithmic; it then begins at 1e-16 of the largest at least.
    pub logarithmic: bool,
    /// A place on the curve that is marked, counted from 1, with its height and what is said of it.
    pub mark: Option<(usize, f64, String)>,
}

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 44.0;
/// The least of a logarithmic axis, as a share of the largest.
const LEAST: f64 = 1e-16;
/// The most points that a line needs.
const POINTS: usize = 400;

impl Curve {
    /// The curve as an SVG element.
    pub fn svg(&self) -> String {
        let mut svg = format!(
            "<svg class=\"curve\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{0}\">\
             <text class=\"head\" x=\"{LEFT}\" y=\"18\">{0}</text>",
            escaped(&self.title)
        );
        let (low, high) = self.ends();
        for (value, text) in self.ticks(low, high) {
            let y = self.y(value, low, high);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                WIDTH - RIGHT,
                LEFT - 7.0,
                y + 4.0
            );
        }
        let count = self.values.len();
        for place in places(count) {
            let _ = write!(
                svg,
                "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{place}</text>",
                self.x(place),
                HEIGHT - BOTTOM + 18.0
            );
        }
        let _ = write!(
            svg,
            "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 8.0,
            escaped(&self.horizontal)
        );
        let step = count.div_ceil(POINTS).max(1);
        let kept = (0..count).filter(|i| i % step == 0 || i + 1 == count);
        let points: Vec<String> = kept
            .map(|i| format!("{:.1},{:.1}", self.x(i + 1), self.y(self.values[i], low, high)))
            .collect();
        let _ = write!(svg, "<polyline class=\"line\" points=\"{}\"/>", points.join(" "));
        self.marked(&mut svg, low, high);
        svg.push_str("</svg>");
        svg
    }

    fn marked(&self, svg: &mut String, low: f64, high: f64) {
        let Some((place, height, text)) = &self.mark else { return };
        let (x, y, bottom) = (self.x(*place), self.y(*height, low, high), HEIGHT - BOTTOM);
        let dot = self.values.get(place.saturating_sub(1)).map(|&v| self.y(v, low, high));
        let right = x > WIDTH / 2.0;
        let (anchor, aside) = if right { ("end", -9.0) } else { ("start", 9.0) };
        let _ = write!(
            svg,
            "<path class=\"mark\" d=\"M{LEFT} {y:.1}H{:.1}M{x:.1} {bottom}V{y:.1}\"/>\
             <circle class=\"dot\" cx=\"{x:.1}\" cy=\"{:.1}\" r=\"4\"/>\
             <text class=\"note\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            WIDTH - RIGHT,
            dot.unwrap_or(y),
            x + aside,
            bottom - 9.0,
            escaped(text)
        );
    }

    fn ends(&self) -> (f64, f64) {
        let high = self.values.iter().copied().fold(0.0, f64::max);
        let high = if high > 0.0 { high } else { 1.0 };
        if !self.logarithmic {
            return (0.0, high.max(1.0));
        }
        let least = self.values.iter().copied().filter(|v| *v > 0.0).fold(high, f64::min);
        let low = least.max(high * LEAST).log10().floor();
        let high = high.log10().ceil();
        (low, if high > low { high } else { low + 1.0 })
    }

    fn ticks(&self, low: f64, high: f64) -> Vec<(f64, String)> {
        if !self.logarithmic {
            let value = |i: i32| high * f64::from(i) / 5.0;
            return (0..=5).map(|i| (value(i), format!("{:.1}", value(i)))).collect();
        }
        let step = ((high - low) / 5.0).ceil().max(1.0);
        let count = ((high - low) / step).floor() as i32;
        let value = |i: i32| 10f64.powf(high - step * f64::from(i));
        (0..=count).map(|i| (value(i), number(value(i), 1))).collect()
    }

    fn x(&self, place: usize) -> f64 {
        let span = self.values.len().saturating_sub(1).max(1) as f64;
        LEFT + (WIDTH - LEFT - RIGHT) * (place.saturating_sub(1) as f64 / span)
    }

    fn y(&self, value: f64, low: f64, high: f64) -> f64 {
        let value = if self.logarithmic { value.max(1e-300).log10() } else { value };
        let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share
    }
}

/// Round numbers from 1 to `count`.
fn places(count: usize) -> Vec<usize> {
    let steps = [1, 2, 5].into_iter();
    let steps = (0..18).flat_map(|power| steps.clone().map(move |s| s * 10usize.pow(power)));
    let step = steps.into_iter().find(|step| count / step <= 5).unwrap_or(1);
    let mut places: Vec<usize> = (1..=count / step).map(|i| i * step).collect();
    if step > 1 {
        places.insert(0, 1);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(values: &[f64], logarithmic: bool) -> Curve {
        let mark = Some((2, 0.9, "R = 2".to_owned()));
        let (title, horizontal) = ("a < b".to_owned(), "pattern j".to_owned());
        Curve { title, horizontal, values: values.to_vec(), logarithmic, mark }
    }

    #[test]
    fn a_curve_is_drawn_with_its_mark() {
        insta::with_settings!({ snapshot_path => "../../../snapshots/render", prepend_module_to_snapshot => false }, {
            let drawn = curve(&[0.5, 0.9, 1.0], false).svg().replace("><", ">\n<");
            insta::assert_snapshot!("report_curve", drawn);
        });
    }

    #[test]
    fn every_curve_stays_in_its_picture() {
        let many: Vec<f64> = (0..5000).map(|i| 1.0 / f64::from(i + 1)).collect();
        for values in [&[][..], &[0.0], &[3.0], &[1.0, 0.0], &[1e300, 1e-300], &many] {
            for logarithmic in [false, true] {
                let svg = curve(values, logarithmic).svg();
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                assert!(svg.len() < 12_000 && svg.contains("a &lt; b"));
            }
        }
    }

    #[test]
    fn places_are_few_and_round() {
        let cases: [(usize, &[usize]); 4] =
            [(0, &[]), (3, &[1, 2, 3]), (10, &[1, 2, 4, 6, 8, 10]), (784, &[1, 200, 400, 600])];
        for (count, expected) in cases {
            assert_eq!(places(count), expected, "{count}");
        }
    }
}
