//! What `slpc transform` did, in words and as JSON.

use std::path::Path;

use serde_json::{Value, json};

use super::terminal::table;
use crate::compile::plan::bytes;
use crate::compile::{LayerSummary, StepSummary, Summary};

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
        row("direction", self.direction());
        row("blocks", self.blocks());
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

    /// In which direction, and with how many seeds.
    fn direction(&self) -> String {
        let (summary, plan) = (self.summary, &self.summary.plan);
        let count = |n: Option<i64>| n.map_or("unknown".to_owned(), |n| n.to_string());
        let forward: Vec<&str> =
            plan.forward().map(|layer| summary.layers[layer].alias.as_str()).collect();
        let way = match plan.direction() {
            Some(way) => way.to_string(),
            None => format!("forward to {}, reverse from the others", forward.join(", ")),
        };
        let colours = if plan.colours.is_some() { " colours" } else { "" };
        let (reverse, forward) = (count(plan.reverse_seeds), count(plan.forward_seeds));
        format!("{way} (seeds: reverse {reverse}, forward {forward}{colours})")
    }

    /// How many neurons are projected at a time, and seeds carried.
    fn blocks(&self) -> String {
        let plan = &self.summary.plan;
        let pairs = self.summary.layers.iter().zip(&plan.blocks);
        let blocked: Vec<String> = pairs
            .filter_map(|(layer, block)| Some(format!("{} of {}", (*block)?, layer.alias)))
            .collect();
        let neurons = match blocked.as_slice() {
            [] => "all neurons at once".to_owned(),
            list => format!("neurons at a time: {}", list.join(", ")),
        };
        plan.sweep.map_or(neurons.clone(), |seeds| format!("{seeds} seeds at a time, {neurons}"))
    }

    fn added(&self) -> String {
        let (before, after) = self.bytes;
        match after.checked_sub(before) {
            Some(more) => format!("{} added", bytes(more)),
            None => format!("{} less", bytes(before - after)),
        }
    }

    /// The linear steps, in the order of the program, with what they cost for all seeds, by the plan's model.
    fn steps(&self) -> String {
        let titles = ["operator at", "linear step", "sees", "multiply-adds", "bytes", "share"];
        let mut rows = vec![titles.map(str::to_owned).to_vec()];
        let all: f64 = self.summary.steps.iter().map(|step| step.cost.seconds()).sum();
        for step in &self.summary.steps {
            rows.push(vec![
                step.node.clone(),
                step.kind.to_owned(),
                sees(step),
                format!("{:.3e}", step.cost.products),
                bytes(step.cost.bytes as u64),
                format!("{:.1} %", 100.0 * step.cost.seconds() / all.max(f64::MIN_POSITIVE)),
            ]);
        }
        let (reverse, forward, planned) = self.summary.plan.seconds;
        let mixed = match self.summary.plan.direction() {
            None => format!(", {planned:.2e} s in both"),
            Some(_) => String::new(),
        };
        let text = format!(
            "one sample takes about {reverse:.2e} s in reverse and {forward:.2e} s in forward \
             direction{mixed}, on a nominal core\n"
        );
        table(&rows) + &text
    }

    /// The same as one JSON object on a line of its own.
    pub fn json(&self, explain: bool) -> String {
        let (summary, plan) = (self.summary, &self.summary.plan);
        let mut value = json!({
            "model": self.model.display().to_string(),
            "output": self.output.display().to_string(),
            "input": summary.input,
            "layers": summary.layers.iter().map(layer_json).collect::<Vec<_>>(),
            "direction": plan.direction_name(),
            "directions": plan.directions.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "seeds": { "reverse": plan.reverse_seeds, "forward": plan.forward_seeds },
            "coloured": plan.colours.is_some(),
            "blocks": plan.blocks,
            "sweep": plan.sweep,
            "seconds": {
                "reverse": plan.seconds.0,
                "forward": plan.seconds.1,
                "planned": plan.seconds.2,
            },
            "nodes": { "before": summary.nodes_before, "after": summary.nodes_after },
            "bytes": { "before": self.bytes.0, "after": self.bytes.1 },
            "memory": plan.memory,
        });
        if explain {
            let step = |step: &StepSummary| {
                json!({
                    "node": step.node,
                    "step": step.kind,
                    "sees": step.sees,
                    "products": step.cost.products,
                    "bytes": step.cost.bytes,
                    "seconds": step.cost.seconds(),
                })
            };
            value["steps"] = Value::Array(summary.steps.iter().map(step).collect());
        }
        format!("{value}\n")
    }
}

/// The window of a step's input that is computed for each neuron.
fn sees(step: &StepSummary) -> String {
    match step.sees.as_deref() {
        None => "all".to_owned(),
        Some([]) => "one row".to_owned(),
        Some(sizes) => sizes.iter().map(i64::to_string).collect::<Vec<_>>().join("x"),
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
