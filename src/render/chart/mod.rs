//! Charts of values by category with error bars: lines (figure 6) and bars (figure 8).

mod raster;
mod svg;

use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};
use crate::files::write_whole;
use crate::render::save_png;

/// What a chart shows.
#[derive(Clone, Debug)]
pub struct Chart {
    /// The heading.
    pub title: String,
    /// A line below the heading: what the error bars are.
    pub note: String,
    /// What the horizontal axis counts.
    pub horizontal: String,
    /// What the vertical axis measures.
    pub vertical: String,
    /// The places on the horizontal axis.
    pub categories: Vec<String>,
    /// The series, a point for each category where there is one.
    pub series: Vec<Series>,
    /// Lines or bars.
    pub kind: Kind,
    /// Whether the vertical axis reaches 1 whatever the values are.
    pub whole: bool,
}

/// How values are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Marks joined by lines.
    Lines,
    /// Bars side by side.
    Bars,
}

/// The values of one kind by category.
#[derive(Clone, Debug)]
pub struct Series {
    /// What the legend says.
    pub name: String,
    /// A value for each category.
    pub points: Vec<Option<Point>>,
}

/// A value with the length of its error bar to either side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The value.
    pub value: f64,
    /// The error; no bar where it is 0.
    pub error: f64,
}

/// What a shape is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ink {
    Paper,
    Text,
    Soft,
    Grid,
    Series(usize),
}

/// Where a text stands relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Anchor {
    Start,
    Middle,
    End,
}

/// A line of text.
struct Label<'a> {
    text: &'a str,
    at: [f64; 2],
    size: f64,
    anchor: Anchor,
    /// Degrees, clockwise.
    turn: f64,
    ink: Ink,
}

/// What charts are drawn on; the origin is the upper left corner.
trait Canvas {
    fn bar(&mut self, corner: [f64; 2], size: [f64; 2], ink: Ink);
    fn line(&mut self, points: &[[f64; 2]], width: f64, ink: Ink);
    fn dot(&mut self, at: [f64; 2], radius: f64, ink: Ink);
    fn label(&mut self, label: &Label);
    /// The width of a text.
    fn measure(&self, text: &str, size: f64) -> f64;
}

/// How many colours there are for series.
const COLOURS: usize = 8;
const HEIGHT: f64 = 430.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 24.0;
const LINE: f64 = 20.0;

impl Chart {
    /// The width of the picture in pixels.
    fn width(&self) -> f64 {
        let slot = match self.kind {
            Kind::Lines => 60.0,
            Kind::Bars => 18.0 * self.series.len() as f64 + 22.0,
        };
        let title = 9.2 * self.title.chars().count() as f64;
        (LEFT + RIGHT + title.max(slot * self.categories.len() as f64)).clamp(640.0, 4000.0)
    }

    /// The chart as an SVG that follows a dark background.
    pub fn svg(&self) -> String {
        let mut canvas = svg::Svg::new([self.width(), HEIGHT]);
        self.draw(&mut canvas);
        canvas.finish(&self.title)
    }

    /// Writes `.svg` or `.png`, by the ending of `path`.
    ///
    /// # Errors
    /// When the ending is another one, or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        if form(path)? == Form::Svg {
            return write_whole(path, |file| file.write_all(self.svg().as_bytes()));
        }
        let mut canvas = raster::Raster::new([self.width(), HEIGHT]);
        self.draw(&mut canvas);
        save_png(path, &canvas.finish())
    }

    fn draw(&self, canvas: &mut impl Canvas) {
        let width = self.width();
        canvas.bar([0.0, 0.0], [width, HEIGHT], Ink::Paper);
        let heading = |text, y, size, ink| Label {
            text,
            at: [LEFT, y],
            size,
            anchor: Anchor::Start,
            turn: 0.0,
            ink,
        };
        canvas.label(&heading(&self.title, 28.0, 16.0, Ink::Text));
        canvas.label(&heading(&self.note, 47.0, 12.0, Ink::Soft));
        let top = self.legend(canvas, width, 68.0) + 18.0;
        let slot = (width - LEFT - RIGHT) / self.categories.len().max(1) as f64;
        let widest =
            self.categories.iter().map(|name| canvas.measure(name, 12.0)).fold(0.0, f64::max);
        let turned = widest > slot - 8.0;
        let below = if turned { (widest * 0.6).min(130.0) + 44.0 } else { 58.0 };
        let frame = Frame { top, bottom: HEIGHT - below, slot, scale: self.scale() };
        self.axes(canvas, &frame, width, turned);
        match self.kind {
            Kind::Lines => self.lines(canvas, &frame),
            Kind::Bars => self.bars(canvas, &frame),
        }
    }

    /// Draws the legend from `top` and gives the height at which it ends.
    fn legend(&self, canvas: &mut impl Canvas, width: f64, top: f64) -> f64 {
        let (mut x, mut y) = (LEFT, top);
        for (index, series) in self.series.iter().enumerate() {
            let needed = 18.0 + canvas.measure(&series.name, 12.0);
            if x > LEFT && x + needed > width - RIGHT {
                (x, y) = (LEFT, y + LINE);
            }
            match self.kind {
                Kind::Lines => mark(canvas, [x + 5.0, y - 4.0], index),
                Kind::Bars => canvas.bar([x, y - 10.0], [11.0, 11.0], Ink::Series(index)),
            }
            canvas.label(&Label {
                text: &series.name,
                at: [x + 18.0, y],
                size: 12.0,
                anchor: Anchor::Start,
                turn: 0.0,
                ink: Ink::Text,
            });
            x += needed + 22.0;
        }
        y
    }

    /// The smallest and largest tick and the step between them.
    fn scale(&self) -> [f64; 3] {
        let (mut low, mut high) = (0f64, if self.whole { 1f64 } else { 0.0 });
        let points = self.series.iter().flat_map(|series| series.points.iter().flatten());
        for point in points.filter(|p| p.value.is_finite() && p.error.is_finite()) {
            low = low.min(point.value - point.error);
            high = high.max(point.value + point.error);
        }
        let span = if high > low { high - low } else { 1.0 };
        let rough = span / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * power);
        let step = steps.into_iter().find(|&step| step >= rough * 0.999).unwrap_or(rough);
        let ends = [(low / step + 1e-9).floor() * step, ((low + span) / step - 1e-9).ceil() * step];
        [ends[0], ends[1], step]
    }

    fn axes(&self, canvas: &mut impl Canvas, frame: &Frame, width: f64, turned: bool) {
        let [low, high, step] = frame.scale;
        let ticks = ((high - low) / step).round() as usize;
        for tick in 0..=ticks {
            let value = low + tick as f64 * step;
            let y = frame.y(value);
            let zero = value.abs() < step * 1e-6;
            let ink = if zero { Ink::Soft } else { Ink::Grid };
            canvas.line(&[[LEFT, y], [width - RIGHT, y]], 1.0, ink);
            let digits = (-step.log10()).ceil().clamp(0.0, 6.0) as usize;
            let fine = (step * 10f64.powi(digits as i32)).fract() > 1e-6;
            let digits = digits + usize::from(fine && (digits as f64) < 6.0);
            canvas.label(&Label {
                text: &format!("{:.digits$}", if zero { 0.0 } else { value }),
                at: [LEFT - 9.0, y + 4.0],
                size: 11.0,
                anchor: Anchor::End,
                turn: 0.0,
                ink: Ink::Soft,
            });
        }
        for (index, name) in self.categories.iter().enumerate() {
            let x = frame.x(index);
            let (at, anchor, turn) = match turned {
                true => ([x + 4.0, frame.bottom + 16.0], Anchor::End, -35.0),
                false => ([x, frame.bottom + 20.0], Anchor::Middle, 0.0),
            };
            canvas.label(&Label { text: name, at, size: 12.0, anchor, turn, ink: Ink::Text });
        }
        let middle = [(LEFT + width - RIGHT) / 2.0, (frame.top + frame.bottom) / 2.0];
        let title = |text, at, turn| Label {
            text,
            at,
            size: 12.0,
            anchor: Anchor::Middle,
            turn,
            ink: Ink::Soft,
        };
        canvas.label(&title(&self.horizontal, [middle[0], HEIGHT - 12.0], 0.0));
        canvas.label(&title(&self.vertical, [20.0, middle[1]], -90.0));
    }

    fn lines(&self, canvas: &mut impl Canvas, frame: &Frame) {
        let apart = (frame.slot / 4.0 / self.series.len().max(1) as f64).min(7.0);
        for (index, series) in self.series.iter().enumerate() {
            let aside = (index as f64 - (self.series.len() as f64 - 1.0) / 2.0) * apart;
            let place = |(at, point): (usize, &Option<Point>)| {
                point.map(|point| ([frame.x(at) + aside, frame.y(point.value)], point))
            };
            let places: Vec<_> = series.points.iter().enumerate().map(place).collect();
            for run in places.split(Option::is_none) {
                let points: Vec<_> = run.iter().flatten().map(|(at, _)| *at).collect();
                canvas.line(&points, 2.0, Ink::Series(index));
            }
            for (at, point) in places.into_iter().flatten() {
                frame.whisker(canvas, at[0], point, Ink::Series(index));
                mark(canvas, at, index);
            }
        }
    }

    fn bars(&self, canvas: &mut impl Canvas, frame: &Frame) {
        let count = self.series.len().max(1) as f64;
        let wide = ((frame.slot - 14.0) / count).clamp(3.0, 34.0);
        for (index, series) in self.series.iter().enumerate() {
            let aside = (index as f64 - count / 2.0) * wide;
            for (at, point) in series.points.iter().enumerate() {
                let Some(point) = point else { continue };
                let (left, zero, y) = (frame.x(at) + aside, frame.y(0.0), frame.y(point.value));
                let size = [wide - 2.0, (zero - y).abs()];
                canvas.bar([left + 1.0, zero.min(y)], size, Ink::Series(index));
                frame.whisker(canvas, left + wide / 2.0, *point, Ink::Text);
            }
        }
    }
}

/// The mark of a series: those beyond the number of colours are hollow.
fn mark(canvas: &mut impl Canvas, at: [f64; 2], index: usize) {
    canvas.dot(at, 4.5, Ink::Series(index));
    if (index / COLOURS) % 2 == 1 {
        canvas.dot(at, 2.6, Ink::Paper);
    }
}

#[derive(PartialEq, Eq)]
enum Form {
    Svg,
    Png,
}

fn form(path: &Path) -> Result<Form> {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("svg") => Ok(Form::Svg),
        Some("png") => Ok(Form::Png),
        _ => Err(Error::request("a chart is an .svg or a .png file").file(path)),
    }
}

/// Refuses a file that no chart can be written to, before any work.
///
/// # Errors
/// When its name ends neither in .svg nor in .png.
pub fn check(path: Option<&Path>) -> Result<()> {
    path.map_or(Ok(()), |path| form(path).map(drop))
}

/// Where values and categories lie.
struct Frame {
    top: f64,
    bottom: f64,
    slot: f64,
    scale: [f64; 3],
}

impl Frame {
    fn x(&self, category: usize) -> f64 {
        LEFT + (category as f64 + 0.5) * self.slot
    }

    fn y(&self, value: f64) -> f64 {
        let [low, high, _] = self.scale;
        let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
        self.bottom - share * (self.bottom - self.top)
    }

    fn whisker(&self, canvas: &mut impl Canvas, x: f64, point: Point, ink: Ink) {
        if point.error > 0.0 {
            let ends = [self.y(point.value - point.error), self.y(point.value + point.error)];
            canvas.line(&[[x, ends[0]], [x, ends[1]]], 1.2, ink);
            for y in ends {
                canvas.line(&[[x - 3.0, y], [x + 3.0, y]], 1.2, ink);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn chart(kind: Kind) -> Chart {
        let point = |value, error| Some(Point { value, error });
        Chart {
            title: "Power & <size>".to_owned(),
            note: "mean and deviation".to_owned(),
            horizontal: "layer".to_owned(),
            vertical: "R_γ / min(d, M)".to_owned(),
            categories: ["conv1", "pool1", "fc"].map(str::to_owned).to_vec(),
            series: vec![
                Series {
                    name: "true".into(),
                    points: vec![point(0.1, 0.02), point(0.2, 0.0), point(0.3, 0.05)],
                },
                Series {
                    name: "random".into(),
                    points: vec![point(0.15, 0.02), None, point(-0.05, 0.01)],
                },
            ],
            kind,
            whole: false,
        }
    }

    #[test]
    fn both_kinds_are_drawn_as_they_were() {
        for (kind, name) in [(Kind::Lines, "lines"), (Kind::Bars, "bars")] {
            insta::with_settings!({ snapshot_path => "../../../snapshots/render", prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_snapshot!(format!("chart_{name}"), chart(kind).svg());
            });
        }
    }

    #[test]
    fn the_ending_decides_the_form() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.svg", "a.png"] {
            chart(Kind::Bars).write(&folder.path().join(name)).unwrap();
        }
        let image = image::open(folder.path().join("a.png")).unwrap();
        assert!(image.width() > 640);
        let error = chart(Kind::Bars).write(&folder.path().join("a.pdf")).unwrap_err();
        assert!(error.to_string().contains(".svg"), "{error}");
    }

    #[test]
    fn ticks_are_round_and_hold_every_value() {
        for values in
            [vec![0.1, 0.93], vec![-0.2, 1.0], vec![0.0], vec![], vec![1e-7], vec![12345.0]]
        {
            let mut chart = chart(Kind::Lines);
            let point = |&value| Some(Point { value, error: 0.0 });
            chart.series =
                vec![Series { name: String::new(), points: values.iter().map(point).collect() }];
            let [low, high, step] = chart.scale();
            assert!(low <= 0.0 && (low < 0.0) == values.iter().any(|&v| v < 0.0), "{values:?}");
            assert!(values.iter().all(|&v| low <= v && v <= high * (1.0 + 1e-9)));
            assert!(
                (3..=7).contains(
                    &((high - low) / step).round().max(0.0).to_string().parse::<usize>().unwrap()
                ),
                "{values:?}"
            );
        }
    }

    #[test]
    fn charts_of_nothing_are_drawn() {
        let empty = Chart { categories: Vec::new(), series: Vec::new(), ..chart(Kind::Bars) };
        assert!(empty.svg().contains("</svg>"));
        let single = Chart { categories: vec!["a".into()], ..chart(Kind::Lines) };
        assert!(single.svg().contains("</svg>"));
    }
}
