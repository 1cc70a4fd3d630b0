//! What `slpc transform` did, in words and as JSON.

use std::path::Path;

use serde_json::{Value, json};

use super::terminal::table;
use crate::compile::plan::bytes;
use crate::compile::{LayerSummary, Summary};

/// A transformation that was carried out.
pub struct Report<'a> {
    /// The model's file.
    pub model: &'a Path,
    /// The file written.
    pub output: &'a Path,
    /// What was done.
    pub summary: &'a Summary,
    /// Bytes before and after.
    pub bytes: (u64, u64),
}

impl Report<'_> {
    /// A few lines, with the plan where `explain` asks for it.
    pub fn text(&self, explain: bool) -> String {
        let (summary, plan) = (self.summary, &self.summary.plan);
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mut row = |key: &str, value: String| rows.push(vec![key.to_owned(), value]);
        row("input", summary.input.clone());
        for layer in &summary.layers {
            row("layer", describe(layer));
        }
        let count = |n: Option<i64>| n.map_or("unknown".to_owned(), |n| n.to_string());
        row(
            "direction",
            format!(
                "{} (seeds: reverse {}, forward {})",
                plan.direction,
                count(plan.reverse_seeds),
                count(plan.forward_seeds)
            ),
        );
        row("blocks", "1, all seeds at once".to_owned());
        row("nodes", format!("{} before, {} after", summary.nodes_before, summary.nodes_after));
        row("bytes", format!("{} ({})", bytes(self.bytes.1), self.added()));
        row("memory", format!("about {} a run, for each sample", bytes(plan.memory)));
        row("written", self.output.display().to_string());
        let mut text = table(&rows);
        if explain {
            text.push('\n');
            text.push_str(&self.steps());
        }
        text
    }

    fn added(&self) -> String {
        let (before, after) = self.bytes;
        match after.checked_sub(before) {
            Some(more) => format!("{} added", bytes(more)),
            None => format!("{} less", bytes(before - after)),
        }
    }

    /// The linear steps of each operator, in the order of the program.
    fn steps(&self) -> String {
        let mut rows = vec![vec!["operator at".to_owned(), "linear steps".to_owned()]];
        for (node, step) in &self.summary.steps {
            match rows.last_mut() {
                Some(row) if row[0] == *node => {
                    row[1].push_str(", ");
                    row[1].push_str(step);
                }
                _ => rows.push(vec![node.clone(), (*step).to_owned()]),
            }
        }
        table(&rows)
    }

    /// The same as one JSON object on a line of its own.
    pub fn json(&self, explain: bool) -> String {
        let (summary, plan) = (self.summary, &self.summary.plan);
        let mut value = json!({
            "model": self.model.display().to_string(),
            "output": self.output.display().to_string(),
            "input": summary.input,
            "layers": summary.layers.iter().map(layer_json).collect::<Vec<_>>(),
            "direction": plan.direction.to_string(),
            "seeds": { "reverse": plan.reverse_seeds, "forward": plan.forward_seeds },
            "blocks": 1,
            "nodes": { "before": summary.nodes_before, "after": summary.nodes_after },
            "bytes": { "before": self.bytes.0, "after": self.bytes.1 },
            "memory": plan.memory,
        });
        if explain {
            let step = |(node, step): &(String, &str)| json!({ "node": node, "step": step });
            value["steps"] = Value::Array(summary.steps.iter().map(step).collect());
        }
        format!("{value}\n")
    }
}

/// A layer in one line.
fn describe(layer: &LayerSummary) -> String {
    let mut text = format!("'{}' {}", layer.value, layer.dims);
    if layer.alias != layer.value {
        text = format!("{} = {text}", layer.alias);
    }
    if let Some(link) = &layer.enters {
        text.push_str(&format!(", the value entering the final {link}"));
    }
    match layer.neurons {
        Some(1) => text.push_str(", 1 neuron"),
        Some(n) => text.push_str(&format!(", {n} neurons")),
        None => text.push_str(", neurons given at run time"),
    }
    text.push_str(if layer.exact { ", exact" } else { ", tangent" });
    text
}

fn layer_json(layer: &LayerSummary) -> Value {
    json!({
        "alias": layer.alias,
        "value": layer.value,
        "enters": layer.enters,
        "shape": layer.dims,
        "neurons": layer.neurons,
        "exact": layer.exact,
    })
}
