//! What was found out, in words and figures.

use std::time::Duration;

use ndarray::Array1;
use serde_json::{Value, json};

use super::Explain;
use super::gather::{Analysed, Finding, Hidden, Neuron};
use super::layers::{Layer, Layers};
use crate::analyse::Rule;
use crate::cli::data::shown;
use crate::cli::labels::Labels;
use crate::cli::preprocess::{Layout, Preprocess};
use crate::cli::study::Study;
use crate::error::Result;
use crate::render::report::{Block, Curve, Frame, Map, Row, Section, Subject, number};

/// The patterns of a row, as the paper's figures have them.
const PATTERNS: usize = 3;
/// The classes whose scores are listed.
const CLASSES: usize = 5;
/// The operators whose shares of the bias are listed.
const TERMS: usize = 12;
/// The digits of numbers in the text.
const DIGITS: usize = 4;

/// Writes the parts of a report.
pub struct Pages<'a> {
    labels: Option<Labels>,
    frame: Frame,
    preprocess: Option<&'a Preprocess>,
    layers: &'a Layers,
    model: String,
    gamma: f64,
    rule: Rule,
    clip: Option<f64>,
}

/// What is printed of a picture.
pub struct Told {
    /// A line or more.
    pub text: String,
    /// The same for programs.
    pub json: Value,
}

impl<'a> Pages<'a> {
    /// Pages for a model and its input.
    ///
    /// # Errors
    /// When the input is no picture.
    pub fn new(
        options: &'a Explain,
        study: &Study,
        layers: &'a Layers,
        labels: Option<Labels>,
    ) -> Result<Self> {
        let preprocess = options.preprocess.as_ref();
        let last = preprocess.is_some_and(|p| p.layout == Layout::Nhwc);
        let frame = Frame::new(&layers.input, last).map_err(|e| study.at(e))?;
        shown(study.sample(0).view(), preprocess).map_err(|e| study.at(e))?;
        let (model, gamma, rule) = (study.name.clone(), options.gamma, options.rule);
        Ok(Self { labels, frame, preprocess, layers, model, gamma, rule, clip: options.clip })
    }

    /// The heading of the report.
    pub fn title(&self) -> String {
        format!("What {} computed", self.model)
    }

    /// The line below the heading.
    pub fn subtitle(&self, layers: &Layers, pictures: usize) -> String {
        let kind = match layers.exact {
            true => "exact: the network is piecewise linear",
            false => "tangents: the network has curved operators (corollary 1.1)",
        };
        let many = if pictures == 1 { "1 picture" } else { &format!("{pictures} pictures") };
        format!("Switched linear projections of {many}, {kind}.")
    }

    /// The section of a report about one picture.
    ///
    /// # Errors
    /// When a map holds a value that is not finite.
    pub fn subject(&self, study: &Study, sample: usize, finding: &Finding) -> Result<Subject> {
        let x = Array1::from_iter(study.sample(sample));
        let (link, operator) = &self.layers.link;
        let chances = link.probabilities(&finding.scores);
        let score = |class: usize| (self.label(class), chances.get(class).copied().unwrap_or(0.0));
        let scale = match operator.as_deref() {
            Some(name @ ("Softmax" | "Sigmoid")) => {
                format!("Probabilities: the {name} with which the model ends.")
            }
            _ => "Softmax of the model's scores; the model itself ends with the scores.".to_owned(),
        };
        let mut sections = Vec::new();
        if let Some(winner) = finding.top.first() {
            sections.push(self.winner(winner, &x)?);
        }
        sections.push(self.broad(&finding.output)?);
        sections.push(self.narrow(finding)?);
        for (layer, hidden) in self.layers.hidden.iter().zip(&finding.hidden) {
            sections.push(self.parts(layer, hidden)?);
        }
        sections.push(self.spectra(finding));
        if let Some(winner) = finding.top.first() {
            sections.push(self.bias(winner, &finding.operators));
        }
        sections.push(self.checks(&finding.top));
        Ok(Subject {
            name: study.names.get(sample).cloned().unwrap_or_default(),
            picture: shown(study.sample(sample).view(), self.preprocess)?,
            headline: finding.best(1).first().map(|&c| self.short(c)).unwrap_or_default(),
            scale,
            scores: finding.best(CLASSES).into_iter().map(score).collect(),
            sections,
        })
    }

    /// The name of an output neuron.
    fn label(&self, class: usize) -> String {
        match &self.labels {
            Some(labels) => labels.name(class),
            None => format!("neuron {class}"),
        }
    }

    /// The same without synonyms and numbers.
    fn short(&self, class: usize) -> String {
        let label = self.label(class);
        let first = label.split(',').next().unwrap_or(&label).trim();
        // Lists of ImageNet's classes often begin their lines with the synset: n01443537 goldfish.
        let is_synset = |word: &str| {
            word.strip_prefix('n')
                .is_some_and(|n| n.len() == 8 && n.bytes().all(|b| b.is_ascii_digit()))
        };
        match first.split_once(' ') {
            Some((word, name)) if is_synset(word) => name.trim().to_owned(),
            _ => first.to_owned(),
        }
    }

    /// Figure 2, with the maps that keep the sign of ŵ.
    fn winner(&self, winner: &Neuron, x: &Array1<f64>) -> Result<Section> {
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
    fn broad(&self, output: &Analysed) -> Result<Section> {
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
        let map = |(j, (pattern, &s)): (usize, (ndarray::ArrayView1<'_, f64>, &f64))| {
            let s = number(s, 3);
            let plain = format!("u{} s = {}", j + 1, plain(&s));
            self.frame.map(pattern, subscript("u", j + 1), format!("s = {s}"), plain)
        };
        rows.take(PATTERNS).enumerate().map(map).collect()
    }

    /// Figure 4.
    fn narrow(&self, finding: &Finding) -> Result<Section> {
        let mut rows = Vec::new();
        for (place, neuron) in finding.top.iter().enumerate() {
            let Some(row) = finding.output.numbers.iter().position(|&n| n == neuron.number) else {
                continue;
            };
            let mut maps = Vec::new();
            for (i, narrow) in finding.output.spa.narrow(row).into_iter().take(PATTERNS).enumerate()
            {
                let Some(mu) = finding.output.spa.mu(row, i) else { continue };
                let (j, size) = (narrow.pattern + 1, number(narrow.magnitude, 3));
                let note = format!("|α| = {size}, j = {j}");
                let plain = format!("mu{} |a| = {}, j = {j}", i + 1, plain(&size));
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
    fn parts(&self, layer: &Layer, hidden: &Hidden) -> Result<Section> {
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

    fn spectra(&self, finding: &Finding) -> Section {
        let (spectrum, power) = (&finding.output.spa.spectrum, finding.output.power);
        let shares = spectrum.shares();
        let mark = shares.get(power.patterns.saturating_sub(1)).map(|_| {
            let text = format!("R at γ = {} is {}", self.gamma, power.patterns);
            (power.patterns, self.gamma, text)
        });
        let horizontal = "patterns by singular value".to_owned();
        let curves = vec![
            Curve {
                title: "Singular values, s / s₁".into(),
                horizontal: horizontal.clone(),
                values: spectrum.falls(),
                logarithmic: true,
                mark: None,
            },
            Curve {
                title: "Their share, added up".into(),
                horizontal,
                values: shares,
                logarithmic: false,
                mark,
            },
        ];
        let heads = ["layer", "part", "neurons", "rank", "R", "R / min(d, M)"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        let mut row = |layer: &Layer, part: &str, of: &Analysed| {
            let taken = of.numbers.len();
            let neurons =
                if taken == of.of { taken.to_string() } else { format!("{taken} of {}", of.of) };
            let power = of.power;
            rows.push(vec![
                layer.name.clone(),
                part.into(),
                neurons,
                power.rank.to_string(),
                power.patterns.to_string(),
                number(power.proportion, 3),
            ]);
        };
        row(&self.layers.output, "all", &finding.output);
        for (layer, hidden) in self.layers.hidden.iter().zip(&finding.hidden) {
            row(layer, "active", &hidden.active);
            row(layer, "inactive", &hidden.inactive);
        }
        let text = format!(
            "R, the representational power, counts the patterns whose singular values make up {} of \
             their sum (γ). The curves are those of the output layer.",
            self.gamma
        );
        let blocks = vec![Block::Text(text), Block::Curves(curves), Block::Table(rows)];
        Section { title: "Singular values".into(), slug: "spectra".into(), blocks }
    }

    fn bias(&self, winner: &Neuron, operators: &[String]) -> Section {
        let mut terms: Vec<(String, f64)> =
            operators.iter().cloned().zip(winner.terms.iter().copied()).collect();
        terms.retain(|(_, term)| *term != 0.0);
        terms.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        let rest = terms.split_off(terms.len().min(TERMS));
        if !rest.is_empty() {
            let sum = rest.iter().map(|(_, term)| term).sum();
            terms.push((format!("{} other operators", rest.len()), sum));
        }
        let text = format!(
            "b̂ of {} is {}: what each operator adds on the way, carried to the neuron by the same maps \
             that carry ŵ. The operators of largest share:",
            self.short(winner.number),
            number(winner.bias, DIGITS)
        );
        let blocks = vec![Block::Text(text), Block::Shares(terms)];
        Section { title: "Where the bias comes from".into(), slug: "bias".into(), blocks }
    }

    fn checks(&self, top: &[Neuron]) -> Section {
        let heads = ["neuron", "v", "b̂", "v − (x·ŵ + b̂)", "v − Σν̂", "v − (x − ĉ)·ŵ", "Σ|xŵ| + |b̂|"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        for neuron in top {
            let (misses, error) = (neuron.misses, |v: f64| number(v, 2));
            rows.push(vec![
                self.short(neuron.number),
                number(neuron.activity, DIGITS),
                number(neuron.bias, DIGITS),
                error(misses.projection),
                error(misses.decomposition),
                error(misses.centre),
                number(misses.size, 3),
            ]);
        }
        let text = "What is left of each identity, summed in double precision over what the engine gave; \
                    it should be rounding, which grows with the magnitudes in the last column.";
        let blocks = vec![Block::Text(text.into()), Block::Table(rows)];
        Section { title: "How exactly the identities hold".into(), slug: "checks".into(), blocks }
    }

    /// What is printed of a picture.
    pub fn told(&self, study: &Study, sample: usize, finding: &Finding, time: Duration) -> Told {
        let name = study.names.get(sample).cloned().unwrap_or_default();
        let class = finding.best(1).first().copied().unwrap_or(0);
        let chance = self.layers.link.0.probabilities(&finding.scores).get(class).copied();
        let chance = chance.unwrap_or(0.0);
        let seconds = time.as_secs_f64();
        let mut text = format!(
            "{name}: {} ({chance:.4}), {} of {} patterns make up γ = {}, {seconds:.1} s\n",
            self.short(class),
            finding.output.power.patterns,
            finding.output.power.rank,
            self.gamma
        );
        let mut parts = Vec::new();
        for (layer, hidden) in self.layers.hidden.iter().zip(&finding.hidden) {
            let (active, inactive) = (&hidden.active, &hidden.inactive);
            text += &format!(
                "  {}: {} active neurons ({} analysed), {} inactive ({} analysed)\n",
                layer.name,
                active.of,
                active.numbers.len(),
                inactive.of,
                inactive.numbers.len()
            );
            let part = |of: &Analysed| json!({ "neurons": of.of, "analysed": of.numbers.len(), "power": of.power });
            parts.push(json!({
                "layer": layer.name, "active": part(active), "inactive": part(inactive),
            }));
        }
        let misses = finding.top.first().map(|winner| winner.misses);
        let json = json!({
            "picture": name, "winner": class, "label": self.label(class), "probability": chance,
            "analysed": finding.output.numbers.len(), "power": finding.output.power,
            "hidden": parts, "misses": misses, "seconds": seconds,
        });
        Told { text, json }
    }

    /// What was run, and how.
    pub fn facts(
        &self,
        options: &Explain,
        study: &Study,
        layers: &Layers,
        time: Duration,
    ) -> Vec<(String, String)> {
        let file = options.model.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let setup = &study.setup;
        let threads = setup.threads.map(|n| format!(", {n} threads")).unwrap_or_default();
        let most = options.request(layers).most;
        let pairs = [
            ("model", file),
            ("SHA-256", study.model.hash.clone()),
            ("input", format!("{} {:?}", layers.input_name, layers.input)),
            ("pixels", self.preprocess.map_or("as given".to_owned(), ToString::to_string)),
            ("output layer", format!("{} {:?}", layers.output.name, layers.output.shape)),
            ("engine", format!("{}, {}{threads}", setup.backend, setup.provider)),
            ("most neurons analysed together", most.to_string()),
            ("γ", options.gamma.to_string()),
            (
                "full colour",
                options.clip.map_or("at the largest |a| of each map".to_owned(), |clip| {
                    format!("at the {clip}th percentile of |a| of each map")
                }),
            ),
            ("program", format!("slpc {}", env!("CARGO_PKG_VERSION"))),
            ("time", format!("{:.1} s", time.as_secs_f64())),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
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
fn plain(number: &str) -> String {
    let sign = |c: char| match c {
        '⁻' => "-".to_owned(),
        '×' => "x".to_owned(),
        '¹' => "1".to_owned(),
        '²' => "2".to_owned(),
        '³' => "3".to_owned(),
        '⁰'..='⁹' => {
            char::from_digit(c as u32 - 0x2070, 10).map(String::from).unwrap_or_default()
        }
        c => c.to_string(),
    };
    let text: String = number.chars().map(sign).collect();
    text.replace("x10", "e").replace('−', "-")
}
