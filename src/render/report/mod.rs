//! One self-contained HTML file with pictures, and the same pictures as PNG files.
//!
//! A report knows nothing of what it shows: subjects with sections, sections with blocks of text,
//! maps, curves and bars.

mod bytes;
mod figure;
mod html;
mod map;
mod panels;
mod plot;

use ndarray::ArrayD;

pub use html::{number, page};
pub use map::{Frame, Map};
pub use panels::panels;
pub use plot::Curve;

/// A report.
#[derive(Clone, Debug)]
pub struct Report {
    /// The heading.
    pub title: String,
    /// A line under the heading.
    pub subtitle: String,
    /// What was explained, one after another.
    pub subjects: Vec<Subject>,
    /// What was run and how, as names and values.
    pub facts: Vec<(String, String)>,
    /// Full colour at this percentile of |a| rather than at the largest, 0 to 100.
    pub clip: Option<f64>,
}

/// One picture and what was found out about it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What it is called.
    pub name: String,
    /// The picture, `[1 or 3, h, w]` in 0 ..= 1.
    pub picture: ArrayD<f64>,
    /// The finding in a few words.
    pub headline: String,
    /// What the scores are.
    pub scale: String,
    /// Classes with their scores in 0 ..= 1, the largest first.
    pub scores: Vec<(String, f64)>,
    /// The parts of the explanation.
    pub sections: Vec<Section>,
}

/// A part of an explanation.
#[derive(Clone, Debug)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// A short name for files, of letters, digits and hyphens.
    pub slug: String,
    /// What it holds.
    pub blocks: Vec<Block>,
}

/// Something in a section.
#[derive(Clone, Debug)]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// Maps in rows.
    Maps(Vec<Row>),
    /// Curves side by side.
    Curves(Vec<Curve>),
    /// Signed shares as bars to both sides of a line.
    Shares(Vec<(String, f64)>),
    /// Rows of cells, the first one the heads of the columns.
    Table(Vec<Vec<String>>),
}

/// Maps side by side.
#[derive(Clone, Debug)]
pub struct Row {
    /// What they belong to, in front of them.
    pub label: Option<String>,
    /// Whether the label stands in a dashed box.
    pub boxed: bool,
    /// The maps.
    pub maps: Vec<Map>,
}

#[cfg(test)]
mod tests {
    use ndarray::{Array, array};

    use super::*;

    /// A small report with every kind of block.
    pub fn report() -> Report {
        let frame = Frame::new(&[2, 2], false).unwrap();
        let map = |values: [f64; 4]| frame.map(array![values].row(0), "ν̂", "s = 3", "ICD").unwrap();
        let row = |label: Option<&str>, boxed, values| Row {
            label: label.map(str::to_owned),
            boxed,
            maps: vec![map(values), map([0.0; 4])],
        };
        let curve = Curve {
            title: "Share".into(),
            horizontal: "j".into(),
            values: vec![0.5, 1.0],
            logarithmic: false,
            mark: None,
        };
        let winner = Section {
            title: "Winner".into(),
            slug: "winner".into(),
            blocks: vec![
                Block::Text("text & text".into()),
                Block::Maps(vec![
                    row(None, false, [1.0, -1.0, 0.0, 0.5]),
                    row(Some("cat"), true, [1.0, 2.0, 3.0, 4.0]),
                ]),
                Block::Curves(vec![curve.clone(), curve]),
            ],
        };
        let rest = Section {
            title: "Rest".into(),
            slug: "rest".into(),
            blocks: vec![
                Block::Shares(vec![("Conv".into(), 0.5)]),
                Block::Table(vec![vec!["a".into()], vec!["b".into()]]),
            ],
        };
        let subject = Subject {
            name: "a <cat>.png[0]".into(),
            picture: Array::zeros(&[1, 2, 2][..]),
            headline: "cat".into(),
            scale: "softmax".into(),
            scores: vec![("cat".into(), 0.9), ("dog".into(), 0.1)],
            sections: vec![winner, rest],
        };
        Report {
            title: "Model".into(),
            subtitle: "sub".into(),
            subjects: vec![subject],
            facts: vec![("engine".into(), "tract".into())],
            clip: None,
        }
    }
}
