//! `slpc capacity`: the representational power of every layer over a data set (figure 6).

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::study::{Common, tell, write_csv};
use super::terminal::table;
use crate::analyse::{Summary, check_gamma};
use crate::compile::select::Choice;
use crate::error::Result;
use crate::render::chart::{self, Chart, Kind, Point, Series};
use measure::Line;

mod measure;

/// Measure how many patterns each layer needs: R_γ (definition 4), over a data set.
///
/// Singular values come from a Gram matrix in double precision; those below s₁ √(n ε), n its side,
/// are noise and count as 0. The proportion is R_γ / min(d, M).
#[derive(Args, Debug)]
pub struct Capacity {
    /// The models, a series each; @DATA gives one samples of its own
    #[arg(required = true, value_name = "[LABEL=]MODEL[@DATA]")]
    models: Vec<String>,
    /// A layer, as often as wanted, as for slpc transform [default: all]
    #[arg(long, value_name = "WHAT")]
    layer: Vec<String>,
    /// Which neurons of every layer: all, top:K, or a list such as 3,17,40..49 or [12,:,:]
    #[arg(long, value_name = "WHICH")]
    neurons: Option<Choice>,
    /// γ, the share of the singular values that the patterns must carry
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    gamma: f64,
    /// Write the table as comma-separated values
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write a chart of the proportion by layer: .svg or .png
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

impl Capacity {
    /// Measures every model and prints, and writes, what was found.
    ///
    /// # Errors
    /// When a file cannot be read or written, or the request cannot be met.
    pub fn run(&self) -> Result<()> {
        check_gamma(self.gamma)?;
        chart::check(self.chart.as_deref())?;
        let mut found: Vec<(String, Vec<Line>)> = Vec::new();
        for text in &self.models {
            let (label, study) = self.common.labelled_study(text)?;
            found.push((label, measure::layers(self, &study)?));
        }
        if let Some(path) = &self.csv {
            write_csv(path, &self.rows(&found, true))?;
        }
        if let Some(path) = &self.chart {
            self.draw(&found).write(path)?;
        }
        tell(self.common.printing, &self.as_json(&found), &table(&self.rows(&found, false)))
    }

    /// The table; `plain` with a cell a number.
    fn rows(&self, found: &[(String, Vec<Line>)], plain: bool) -> Vec<Vec<String>> {
        let pair = |s: &Summary, digits: usize| match plain {
            true => vec![s.mean.to_string(), s.sd.to_string()],
            false => vec![format!("{:.digits$} ± {:.digits$}", s.mean, s.sd)],
        };
        let heads: &[&str] = match plain {
            true => &[
                "model",
                "layer",
                "neurons",
                "components",
                "n",
                "gamma",
                "patterns",
                "patterns_sd",
                "proportion",
                "proportion_sd",
                "rank",
                "rank_sd",
                "entropy_rank",
                "entropy_rank_sd",
            ],
            false => &[
                "model",
                "layer",
                "neurons",
                "components",
                "n",
                "γ",
                "R_γ",
                "proportion",
                "rank",
                "entropy rank",
            ],
        };
        let mut rows = vec![heads.iter().map(|&head| head.to_owned()).collect::<Vec<_>>()];
        for (label, lines) in found {
            for line in lines {
                let mut row = vec![label.clone(), line.layer.clone()];
                row.extend([line.neurons, line.components, line.patterns.n].map(|n| n.to_string()));
                row.push(self.gamma.to_string());
                for (summary, digits) in [
                    (&line.patterns, 1),
                    (&line.proportion, 4),
                    (&line.rank, 1),
                    (&line.entropy_rank, 1),
                ] {
                    row.extend(pair(summary, digits));
                }
                rows.push(row);
            }
        }
        rows
    }

    fn as_json(&self, found: &[(String, Vec<Line>)]) -> Value {
        let layer = |line: &Line| {
            json!({
                "layer": line.layer,
                "neurons": line.neurons,
                "components": line.components,
                "patterns": line.patterns,
                "proportion": line.proportion,
                "rank": line.rank,
                "entropy_rank": line.entropy_rank,
            })
        };
        let model = |(label, lines): &(String, Vec<Line>)| json!({ "model": label, "layers": lines.iter().map(layer).collect::<Vec<_>>() });
        json!({ "gamma": self.gamma, "models": found.iter().map(model).collect::<Vec<_>>() })
    }

    fn draw(&self, found: &[(String, Vec<Line>)]) -> Chart {
        let longest = found.iter().map(|(_, lines)| lines).max_by_key(|lines| lines.len());
        let same = |index: usize, name: &str| {
            found.iter().all(|(_, lines)| lines.get(index).is_none_or(|line| line.layer == name))
        };
        let categories = longest.into_iter().flatten().enumerate().map(|(index, line)| {
            if same(index, &line.layer) { line.layer.clone() } else { (index + 1).to_string() }
        });
        let series = found.iter().map(|(label, lines)| Series {
            name: label.clone(),
            points: lines
                .iter()
                .map(|line| Some(Point { value: line.proportion.mean, error: line.proportion.sd }))
                .collect(),
        });
        let samples = found.iter().flat_map(|(_, l)| l).map(|l| l.proportion.n).max().unwrap_or(0);
        Chart {
            title: format!("Representational power by layer, γ = {}", self.gamma),
            note: format!("mean and standard deviation over up to {samples} samples"),
            horizontal: "layer".to_owned(),
            vertical: "R_γ / min(d, M)".to_owned(),
            categories: categories.collect(),
            series: series.collect(),
            kind: Kind::Lines,
            whole: false,
        }
    }
}
