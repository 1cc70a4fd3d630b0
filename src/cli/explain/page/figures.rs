//! The figures of a report: maps and patterns.

use ndarray::{Array1, ArrayView1};

use super::{DIGITS, Pages};
use crate::analyse::Rule;
use crate::cli::explain::gather::{Analysed, Finding, Hidden, Neuron};
use crate::cli::explain::layers::Layer;
use crate::error::Result;
use crate::render::report::{Block, Map, Row, Section, number};

/// The patterns of a row, as the paper's figures have them.
const PATTERNS: usize = 3;

impl Pages<'_> {
    /// Figure 2, with the maps that keep the sign of ŵ.
    pub(super) fn winner(&self, winner: &Neuron, x: &Array1<f64>) -> Result<Section> {
        let Neuron { activity: v, bias, norm, .. } = winner;
        let n = |value: f64| number(value, DIGITS);
        let name = self.short(winner.number);
        let sign = if *v < 0.0 { "negative" } else { "positive" };
        let numbers = format!(
            "At this picture the network is the affine map v = x·ŵ + b̂. For {name}: v = {}, of which \
             the bias b̂ is {}; ‖ŵ‖ = {}.",
            n(*v),
            n(*bias),
            n(*norm)
        );
        let sign = match *norm > 0.0 {
            true => format!(
                "ν̂ shares v out over the inputs: Σν̂ = v. It has the sign of v everywhere, here {sign}, \
                 and loses the sign of ŵ; ŵ and x⊙ŵ beside it keep it."
            ),
            false => "ŵ is zero: v is all bias and stays unattributed, and ν̂ is zero.".to_owned(),
        };
        let clipped = match self.clip {
            None => String::new(),
            Some(clip) => format!(
                " Full colour is at the {clip}th percentile of |a|; what is larger has it too."
            ),
        };
        let colours = format!(
            "Red is positive, blue negative, zero white; channels are summed for display, and every \
             map has its own scale, printed under it.{clipped}"
        );
        let product = x * &winner.weights;
        let maps = vec![
            self.frame.map(winner.icd.view(), "ν̂", "input component decomposition", "ICD")?,
            self.frame.map(winner.weights.view(), "ŵ", "switched weights", "weights")?,
            self.frame.map(product.view(), "x⊙ŵ", "input times weights", "input x weights")?,
        ];
        Ok(Section {
            title: format!("Why {name}"),
            slug: "winner".into(),
            blocks: vec![
                Block::Text(numbers),
                Block::Text(format!("{sign} {colours}")),
                Block::Maps(vec![Row { label: None, boxed: false, maps }]),
            ],
        })
    }

    /// Figure 3.
    pub(super) fn broad(&self, output: &Analysed) -> Result<Section> {
        let text = format!(
            "{} are mixtures of {} singular patterns, V = UΣH. Here are those of largest singular \
             value s. The sign of a pattern is a convention: its entries sum to at least 0.",
            counted(output, "output neuron", "largest activity", "The decompositions ν̂ of "),
            output.spa.spectrum.rank()
        );
        let maps = self.patterns(output)?;
        let row = Row { label: None, boxed: false, maps };
        Ok(Section {
            title: "What all outputs share".into(),
            slug: "broad".into(),
            blocks: vec![Block::Text(text), Block::Maps(vec![row])],
        })
    }

    /// The patterns of largest singular value.
    fn patterns(&self, of: &Analysed) -> Result<Vec<Map>> {
        let rows = of.spa.patterns.rows().into_iter().zip(&of.spa.spectrum.values);
        let map = |(j, (pattern, &s)): (usize, (ArrayView1<'_, f64>, &f64))| {
            let plain = format!("u{} s = {}", j + 1, plain(s));
            self.frame.map(pattern, subscript("u", j + 1), format!("s = {}", number(s, 3)), plain)
        };
        rows.take(PATTERNS).enumerate().map(map).collect()
    }

    /// Figure 4.
    pub(super) fn narrow(&self, finding: &Finding) -> Result<Section> {
        let mut rows = Vec::new();
        for (place, neuron) in finding.top.iter().enumerate() {
            let Some(row) = finding.output.numbers.iter().position(|&n| n == neuron.number) else {
                continue;
            };
            let mut maps = Vec::new();
            for (i, narrow) in finding.output.spa.narrow(row).into_iter().take(PATTERNS).enumerate()
            {
                let Some(mu) = finding.output.spa.mu(row, i) else { continue };
                let (j, size) = (narrow.pattern + 1, narrow.magnitude);
                let note = format!("|α| = {}, j\u{a0}=\u{a0}{j}", number(size, 3));
                let plain = format!("mu{} |a| = {}, j = {j}", i + 1, plain(size));
                maps.push(self.frame.map(mu.view(), subscript("μ", i + 1), note, plain)?);
            }
            let label = Some(self.short(neuron.number));
            rows.push(Row { label, boxed: place == 0, maps });
        }
        let text = "ν̂ of a neuron is Σ αⱼuⱼ. Each row shows the three patterns with the largest |α| in \
                    one output neuron, with the sign of their share: μ = sign(α) uⱼ, where j is the \
                    pattern's place by singular value. The dashed box marks the winner.";
        Ok(Section {
            title: "What each output is made of".into(),
            slug: "narrow".into(),
            blocks: vec![Block::Text(text.into()), Block::Maps(rows)],
        })
    }

    /// Figure 7.
    pub(super) fn parts(&self, layer: &Layer, hidden: &Hidden) -> Result<Section> {
        let rule = match (self.rule, &layer.pooling) {
            (Rule::State, Some(_)) => {
                "v > 0 and the neuron wins a window of the max pooling behind it"
            }
            _ => "v > 0",
        };
        let mut blocks = vec![Block::Text(format!(
            "Of {} neurons, {} are active ({rule}) and {} are not.",
            layer.neurons(),
            hidden.active.of,
            hidden.inactive.of
        ))];
        let mut rows = Vec::new();
        for (name, part) in [("Active", &hidden.active), ("Inactive", &hidden.inactive)] {
            let maps = self.patterns(part)?;
            match (part.of, maps.is_empty()) {
                (0, _) => {
                    blocks.push(Block::Text(format!("No neuron is {}.", name.to_lowercase())))
                }
                (_, true) => blocks.push(Block::Text(format!(
                    "{name}: every decomposition is zero, so there is no pattern."
                ))),
                (_, false) => {
                    let label = counted(part, "neuron", "largest |v|", &format!("{name}: "));
                    rows.push(Row { label: Some(label), boxed: false, maps });
                }
            }
        }
        blocks.push(Block::Maps(rows));
        let slug = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = layer.name.chars().map(slug).collect();
        Ok(Section {
            title: format!("Active and inactive neurons of {}", layer.name),
            slug: format!("parts-{}", name.trim_matches('-')),
            blocks,
        })
    }
}

/// `all 10 output neurons`, or how many of them were taken, and which.
fn counted(of: &Analysed, what: &str, by: &str, before: &str) -> String {
    let (taken, all) = (of.numbers.len(), of.of);
    let plural = if all == 1 { "" } else { "s" };
    match taken == all {
        true if all > 1 => format!("{before}all {all} {what}{plural}"),
        true => format!("{before}{all} {what}"),
        false => format!("{before}the {taken} of {by} among {all} {what}{plural}"),
    }
}

fn subscript(letter: &str, n: usize) -> String {
    let digits = n.to_string();
    let low = digits.chars().filter_map(|d| char::from_u32(0x2080 + d.to_digit(10)?));
    format!("{letter}{}", low.collect::<String>())
}

/// A number in the letters that the font of PNG files has.
fn plain(value: f64) -> String {
    let text = number(value, 3);
    match text.contains('×') {
        true => format!("{value:.2e}"),
        false => text.replace('−', "-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_plain_letters() {
        let cases = [(-0.5, "-0.500"), (1.234e-5, "1.23e-5"), (12.0, "12.0"), (-3e12, "-3.00e12")];
        for (value, expected) in cases {
            assert_eq!(plain(value), expected);
        }
        assert_eq!(subscript("u", 12), "u₁₂");
    }
}
