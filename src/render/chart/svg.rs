//! Charts as SVG text.

use std::fmt::Write;

use super::{Anchor, COLOURS, Canvas, Ink, Label};

/// The colours of series: apart for people who see few colours, and from both backgrounds.
const LIGHT: [&str; COLOURS] =
    ["#1f6fb4", "#d1560a", "#16855b", "#9c4a97", "#a67c00", "#2a9db0", "#b03040", "#606060"];
const DARK: [&str; COLOURS] =
    ["#6cb0ee", "#f5935a", "#5cc79b", "#d493cf", "#dcb44a", "#6fd0df", "#ee8a96", "#b4b4b4"];

/// A picture that is being written.
pub struct Svg {
    size: [f64; 2],
    body: String,
}

impl Svg {
    /// An empty picture.
    pub fn new(size: [f64; 2]) -> Self {
        Self { size, body: String::new() }
    }

    /// The whole file.
    pub fn finish(self, title: &str) -> String {
        let [width, height] = self.size;
        let colours = |list: [&str; COLOURS]| {
            let each = list.iter().enumerate().map(|(i, colour)| format!("--s{i}:{colour};"));
            each.collect::<String>()
        };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" role=\"img\">\n<title>{}</title>\n<style>\n\
             svg{{--paper:#fff;--text:#1c1c1e;--soft:#5f6368;--grid:#e4e6e9;{}\
             font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}}\n\
             @media(prefers-color-scheme:dark){{svg{{--paper:#17181b;--text:#f1f2f4;--soft:#a9adb3;\
             --grid:#33363b;{}}}}}\n</style>\n{}</svg>\n",
            escaped(title),
            colours(LIGHT),
            colours(DARK),
            self.body
        )
    }

    fn push(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }
}

fn colour(ink: Ink) -> String {
    match ink {
        Ink::Paper => "var(--paper)".to_owned(),
        Ink::Text => "var(--text)".to_owned(),
        Ink::Soft => "var(--soft)".to_owned(),
        Ink::Grid => "var(--grid)".to_owned(),
        Ink::Series(index) => format!("var(--s{})", index % COLOURS),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A number with one decimal, none where it is whole.
fn n(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

impl Canvas for Svg {
    fn bar(&mut self, [x, y]: [f64; 2], [width, height]: [f64; 2], ink: Ink) {
        self.push(&format!(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>",
            n(x),
            n(y),
            n(width),
            n(height),
            colour(ink)
        ));
    }

    fn line(&mut self, points: &[[f64; 2]], width: f64, ink: Ink) {
        let mut path = String::new();
        for (index, [x, y]) in points.iter().enumerate() {
            let _ = write!(path, "{}{} {}", if index == 0 { 'M' } else { 'L' }, n(*x), n(*y));
        }
        self.push(&format!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" \
             stroke-linejoin=\"round\"/>",
            colour(ink),
            n(width)
        ));
    }

    fn dot(&mut self, [x, y]: [f64; 2], radius: f64, ink: Ink) {
        self.push(&format!(
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{}\"/>",
            n(x),
            n(y),
            n(radius),
            colour(ink)
        ));
    }

    fn label(&mut self, label: &Label) {
        let [x, y] = label.at.map(n);
        let anchor = match label.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let turn = match label.turn {
            0.0 => String::new(),
            degrees => format!(" transform=\"rotate({} {x} {y})\"", n(degrees)),
        };
        self.push(&format!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{}\" text-anchor=\"{anchor}\" fill=\"{}\"{turn}>{}</text>",
            n(label.size),
            colour(label.ink),
            escaped(label.text)
        ));
    }

    fn measure(&self, text: &str, size: f64) -> f64 {
        // Accents that join the letter before take no room; common sans serifs average 0.56 em.
        let letters = text.chars().filter(|c| !('\u{300}'..='\u{36f}').contains(c)).count();
        letters as f64 * size * 0.56
    }
}
