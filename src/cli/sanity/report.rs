//! What was correlated, as a table, JSON and a chart.

use serde_json::{Value, json};

use super::Comparison;
use crate::analyse::Method;
use crate::analyse::correlation::Tally;
use crate::render::chart::{Chart, Kind, Point, Series};

/// The table; `plain` with a cell a number. Where every map is constant there is no correlation.
pub fn rows(compared: &[Comparison], plain: bool) -> Vec<Vec<String>> {
    let head: &[&str] = match plain {
        true => &["model", "method", "n", "rho", "rho_se", "abs_rho", "abs_rho_se", "skipped"],
        false => &["against", "method", "n", "ρ", "|ρ|", "skipped"],
    };
    let mut rows = vec![head.iter().map(|&h| h.to_owned()).collect::<Vec<_>>()];
    for comparison in compared {
        for (method, signed, unsigned) in &comparison.tallies {
            let mut row = vec![comparison.label.clone(), method.to_string()];
            row.push(signed.summary().n.to_string());
            for summary in [signed.summary(), unsigned.summary()] {
                let error = summary.standard_error();
                match (plain, summary.n) {
                    (true, 0) => row.extend([String::new(), String::new()]),
                    (true, _) => row.extend([summary.mean.to_string(), error.to_string()]),
                    (false, 0) => row.push("-".to_owned()),
                    (false, _) => row.push(format!("{:.4} ± {error:.4}", summary.mean)),
                }
            }
            row.push(signed.skipped().to_string());
            rows.push(row);
        }
    }
    rows
}

/// The same for programs.
pub fn as_json(reference: &str, samples: usize, compared: &[Comparison]) -> Value {
    let tally = |tally: &Tally| {
        let summary = tally.summary();
        let defined = |value: f64| (summary.n > 0).then_some(value);
        json!({
            "n": summary.n,
            "mean": defined(summary.mean),
            "sd": defined(summary.sd),
            "standard_error": defined(summary.standard_error()),
        })
    };
    let method = |(method, signed, unsigned): &(Method, Tally, Tally)| {
        json!({
            "method": method.to_string(),
            "rho": tally(signed),
            "magnitude": tally(unsigned),
            "skipped": signed.skipped(),
        })
    };
    let model = |comparison: &Comparison| {
        json!({
            "model": comparison.label,
            "methods": comparison.tallies.iter().map(method).collect::<Vec<_>>(),
        })
    };
    json!({
        "reference": reference,
        "samples": samples,
        "compared": compared.iter().map(model).collect::<Vec<_>>(),
    })
}

/// Bars by method, a series a model; of a cascade lines by step, a series a method.
pub fn chart(reference: &str, samples: usize, compared: &[Comparison], cascade: bool) -> Chart {
    let name = |method: &Method| match method.is_unsigned() {
        true => format!("|{method}|"),
        false => method.to_string(),
    };
    let point = |(method, signed, unsigned): &(Method, Tally, Tally)| {
        let summary = if method.is_unsigned() { unsigned } else { signed }.summary();
        (summary.n > 0).then(|| Point { value: summary.mean, error: summary.standard_error() })
    };
    let methods = Method::all();
    let by_model = compared.iter().map(|comparison| Series {
        name: comparison.label.clone(),
        points: comparison.tallies.iter().map(point).collect(),
    });
    let by_method = methods.iter().enumerate().map(|(index, method)| Series {
        name: name(method),
        points: compared.iter().map(|c| c.tallies.get(index).and_then(point)).collect(),
    });
    let labels = compared.iter().map(|comparison| comparison.label.clone());
    let (categories, series, kind): (Vec<String>, Vec<Series>, Kind) = match cascade {
        // The input itself is 1 by definition, and a line along the border hides others.
        true => (labels.collect(), by_method.take(methods.len() - 1).collect(), Kind::Lines),
        false => (methods.iter().map(name).collect(), by_model.collect(), Kind::Bars),
    };
    Chart {
        title: format!("Rank correlation of explanations with those of {reference}"),
        note: format!(
            "mean and standard error over {samples} samples; |u| by |ρ|, since its sign is a convention"
        ),
        horizontal: if cascade { "shuffled up to" } else { "method" }.to_owned(),
        vertical: "Spearman's ρ".to_owned(),
        categories,
        series,
        kind,
        whole: true,
    }
}
