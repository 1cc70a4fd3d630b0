//! `slpc inspect`: the layers of a model.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::terminal::{say, table};
use crate::compile::prepare;
use crate::compile::select::{self, Batch, LayerInfo, Path};
use crate::error::{Error, Result};
use crate::graph::{Graph, ValueId};
use crate::onnx;

/// List the layers of a model.
#[derive(Args, Debug)]
pub struct Inspect {
    /// The model
    model: PathBuf,
    /// The float input to project onto [default: the only one]
    #[arg(long, value_name = "NAME")]
    input: Option<String>,
    /// Print the layers as JSON
    #[arg(long)]
    json: bool,
}

/// One layer, as it is listed.
struct Line {
    name: String,
    operator: String,
    shape: String,
    neurons: Option<i64>,
    activation: Option<String>,
    exact: bool,
    covered: bool,
}

impl Inspect {
    /// Loads the model and prints its layers.
    ///
    /// # Errors
    /// When the model cannot be read, or its input cannot be chosen.
    pub fn run(&self) -> Result<()> {
        let list = || {
            let model = prepare(onnx::load(&self.model)?)?;
            let graph = &model.graph;
            let order = graph.topological()?;
            let input = select::input(graph, self.input.as_deref())?;
            let path = select::path(graph, &order, input);
            let layers = select::layers(graph, &path);
            let values: Vec<ValueId> = layers.iter().map(|layer| layer.value).collect();
            let missing: Vec<(String, String)> = path
                .uncovered(graph, &values)
                .into_iter()
                .map(|id| (graph.node(id).operator(), graph.label(id).to_owned()))
                .collect();
            let lines = layers.iter().map(|layer| line(graph, &path, input, layer));
            let lines = lines.collect::<Result<Vec<_>>>()?;
            Ok((graph.value(input).name.clone(), lines, missing))
        };
        let (input, lines, missing) = list().map_err(|error: Error| error.file(&self.model))?;
        match self.json {
            true => say(&as_json(&input, &lines, &missing)),
            false => say(&as_text(&input, &lines, &missing)),
        }
    }
}

fn line(graph: &Graph, path: &Path, input: ValueId, layer: &LayerInfo) -> Result<Line> {
    let value = graph.value(layer.value);
    let mut dims = value.dims();
    // A layer whose samples cannot be told apart is listed with all its axes.
    let axis = select::batch_axis(graph, input, &[layer.value], Batch::Auto).ok().flatten();
    if let Some((axis, dims)) = axis.zip(dims.as_mut()).filter(|(axis, dims)| *axis < dims.len()) {
        dims.remove(axis);
    }
    Ok(Line {
        name: value.name.clone(),
        operator: layer.operator.clone(),
        shape: dims.as_ref().map_or("?".to_owned(), |dims| select::display_dims(dims)),
        neurons: dims.as_ref().and_then(|dims| select::neuron_count(dims)),
        activation: layer.activation.clone(),
        exact: select::is_exact(graph, path, layer.value),
        covered: path.uncovered(graph, &[layer.value]).is_empty(),
    })
}

fn as_text(input: &str, lines: &[Line], missing: &[(String, String)]) -> String {
    let head = ["#", "name", "operator", "shape", "neurons", "activation", "slope", "rules"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (index, line) in lines.iter().enumerate() {
        rows.push(vec![
            (index + 1).to_string(),
            line.name.clone(),
            line.operator.clone(),
            line.shape.clone(),
            line.neurons.map_or("?".to_owned(), |n| n.to_string()),
            line.activation.clone().unwrap_or_else(|| "-".to_owned()),
            match (line.covered, line.exact) {
                (false, _) => "?",
                (true, true) => "exact",
                (true, false) => "tangent",
            }
            .to_owned(),
            if line.covered { "all" } else { "missing" }.to_owned(),
        ]);
    }
    let mut text = format!("input '{input}'\n{}", table(&rows));
    if !missing.is_empty() {
        text.push_str("\nthere is no rule for:\n");
        for (operator, node) in missing {
            text.push_str(&format!("  {operator} at '{node}'\n"));
        }
    }
    text
}

fn as_json(input: &str, lines: &[Line], missing: &[(String, String)]) -> String {
    let layer = |(index, line): (usize, &Line)| {
        json!({
            "number": index + 1,
            "name": line.name,
            "operator": line.operator,
            "shape": line.shape,
            "neurons": line.neurons,
            "activation": line.activation,
            "exact": line.covered.then_some(line.exact),
            "covered": line.covered,
        })
    };
    let gap = |(operator, node): &(String, String)| json!({ "operator": operator, "node": node });
    let value = json!({
        "input": input,
        "layers": lines.iter().enumerate().map(layer).collect::<Vec<Value>>(),
        "missing": missing.iter().map(gap).collect::<Vec<Value>>(),
    });
    format!("{value}\n")
}
