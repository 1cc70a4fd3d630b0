//! `slpc capacity`: the representational power of every layer over a data set (figure 6).

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::study::{Common, Study, layer_request, progress, tell, write_csv};
use super::sweep::Sweep;
use super::terminal::table;
use crate::analyse::{Moments, Power, Stream, Summary, check_gamma};
use crate::compile::LayerRequest;
use crate::compile::plan::bytes;
use crate::compile::select::{self, Choice};
use crate::error::{Error, Result};
use crate::render::chart::{self, Chart, Kind, Point, Series};

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

/// One layer over the data set.
struct Line {
    layer: String,
    neurons: usize,
    components: usize,
    patterns: Summary,
    proportion: Summary,
    rank: Summary,
    entropy_rank: Summary,
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
            found.push((label, self.measure(&study)?));
        }
        if let Some(path) = &self.csv {
            write_csv(path, &self.rows(&found, true))?;
        }
        if let Some(path) = &self.chart {
            self.draw(&found).write(path)?;
        }
        tell(self.common.printing, &self.as_json(&found), &table(&self.rows(&found, false)))
    }

    fn measure(&self, study: &Study) -> Result<Vec<Line>> {
        let graph = &study.prepared.graph;
        let requests: Vec<LayerRequest> = if self.layer.is_empty() {
            let input = select::input(graph, self.common.input.as_deref())?;
            let path = select::path(graph, &graph.topological()?, input);
            let all = select::layers(graph, &path).into_iter();
            all.map(|layer| LayerRequest {
                alias: None,
                what: graph.value(layer.value).name.clone(),
            })
            .collect()
        } else {
            self.layer.iter().map(|text| layer_request(graph, text)).collect()
        };
        let bar = progress(self.common.printing, requests.len() * study.count());
        let mut lines = Vec::new();
        for request in requests {
            lines.push(self.measure_layer(study, request, &bar)?);
        }
        bar.finish_and_clear();
        Ok(lines)
    }

    fn measure_layer(
        &self,
        study: &Study,
        request: LayerRequest,
        bar: &indicatif::ProgressBar,
    ) -> Result<Line> {
        let mut sweep = Sweep::new(study, &self.common, request, self.neurons.as_ref())?;
        let (neurons, components) = (sweep.neurons, sweep.components());
        let need = Stream::bytes(neurons, components);
        if need > study.memory {
            return Err(study.at(Error::request(format!(
                "the Gram matrix of {neurons} neurons over {components} components needs {}, more \
                     than --memory {}",
                bytes(need),
                bytes(study.memory)
            ))
            .value(&sweep.layer)
            .help(format!(
                "--neurons takes up to {} in this memory, and --memory {need} all of them",
                Stream::most_neurons(study.memory)
            ))));
        }
        let mut moments: [Moments; 4] = Default::default();
        let mut stream = Stream::new(neurons, components);
        let layer = sweep.layer.clone();
        sweep.each(study, &study.data, |piece| {
            let at = |e: Error| study.at(e.value(&layer));
            stream.add(&*piece.rows.icds().map_err(at)?)?;
            if piece.last {
                let power = Power::of(&stream.spectrum().map_err(at)?, self.gamma)?;
                let values = [
                    power.patterns as f64,
                    power.proportion,
                    power.rank as f64,
                    power.entropy_rank,
                ];
                moments.iter_mut().zip(values).for_each(|(moments, value)| moments.add(value));
                stream = Stream::new(neurons, components);
                bar.inc(1);
            }
            Ok(())
        })?;
        let [patterns, proportion, rank, entropy_rank] = moments.map(|m| m.summary());
        Ok(Line { layer, neurons, components, patterns, proportion, rank, entropy_rank })
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
