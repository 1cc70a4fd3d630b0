//! An augmented model as its metadata describes it, and the model it was made from cut out of it.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::graph::{Model, NodeId, ValueId};

/// What an augmented model says of itself.
pub struct Subject<'m> {
    /// The augmented model.
    pub model: &'m Model,
    /// The input projected onto.
    pub input: ValueId,
    /// The axis of it along which the samples lie; none where all of it is one sample.
    pub batch: Option<usize>,
    /// The layers.
    pub layers: Vec<Layer>,
}

/// One layer that is projected.
pub struct Layer {
    /// The alias.
    pub alias: String,
    /// The value's name.
    pub value: String,
    /// Whether it is piecewise linear in the input.
    pub exact: bool,
    /// Which neurons are projected.
    pub neurons: Neurons,
    /// γ of the representational power, where patterns are emitted.
    pub gamma: Option<f64>,
}

/// Which neurons of a layer are projected.
pub enum Neurons {
    /// Every one.
    All,
    /// Those the output `neurons` tells.
    Top,
    /// Those the input `neurons` tells.
    Runtime,
    /// These.
    List(Vec<usize>),
}

impl Layer {
    /// The name of an output, or of the input `neurons`.
    pub fn name(&self, quantity: &str) -> String {
        format!("slp/{}/{quantity}", self.alias)
    }
}

/// Whether a value was added to the model.
pub fn is_added(name: &str) -> bool {
    name.starts_with("slp/")
}

impl<'m> Subject<'m> {
    /// Reads the metadata of an augmented model.
    ///
    /// # Errors
    /// When the model is not augmented, or its metadata contradicts its graph.
    pub fn read(model: &'m Model) -> Result<Self> {
        let notes: HashMap<&str, &str> = model
            .metadata
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("slpc.")?, value.as_str())))
            .collect();
        if !notes.contains_key("version") {
            return Err(Error::request("this is no augmented model")
                .help("make one of it with slpc transform"));
        }
        let note = |key: &str| {
            notes.get(key).copied().ok_or_else(|| {
                Error::request(format!("the model's metadata lacks 'slpc.{key}'"))
                    .help("make the augmented model again with this version of slpc")
            })
        };
        let broken =
            |key: &str| Error::request(format!("the model's metadata 'slpc.{key}' is broken"));
        let name = note("input")?;
        let input = model.graph.find(name).ok_or_else(|| broken("input").value(name))?;
        let batch = match note("batch")? {
            "none" => None,
            axis => Some(axis.parse().map_err(|_| broken("batch"))?),
        };
        let gamma = notes.get("gamma").and_then(|gamma| gamma.parse().ok());
        let aliases: Vec<String> =
            serde_json::from_str(note("layers")?).map_err(|_| broken("layers"))?;
        let layers = aliases.into_iter().map(|alias| {
            let key = |what: &str| format!("layer.{alias}.{what}");
            let neurons = match note(&key("choice"))? {
                "all" => Neurons::All,
                "runtime" => Neurons::Runtime,
                text if text.starts_with("top:") => Neurons::Top,
                text => Neurons::List(numbers(text).ok_or_else(|| broken(&key("choice")))?),
            };
            let value = note(&key("value"))?.to_owned();
            let exact = note(&key("exact"))? == "true";
            Ok(Layer { value, exact, neurons, alias, gamma })
        });
        let layers = layers.collect::<Result<_>>()?;
        Ok(Self { model, input, batch, layers })
    }

    /// The model without what was added, its outputs first and then the values of the layers.
    ///
    /// # Errors
    /// When the graph has a cycle, or a layer's value is missing.
    pub fn cut(&self) -> Result<Model> {
        let mut model = self.model.clone();
        let graph = &mut model.graph;
        let mut outputs: Vec<ValueId> = graph.outputs.clone();
        outputs.retain(|&id| !is_added(&graph.value(id).name));
        for layer in &self.layers {
            let id = graph.find(&layer.value).ok_or_else(|| {
                Error::request("the layer's value is not in the model").value(&layer.value)
            })?;
            if !outputs.contains(&id) && graph.producer(id).is_some() {
                outputs.push(id);
            }
        }
        graph.outputs = outputs;
        let added: Vec<_> =
            graph.inputs.iter().map(|&id| is_added(&graph.value(id).name)).collect();
        let mut added = added.into_iter();
        graph.inputs.retain(|_| !added.next().unwrap_or(false));
        let live = graph.ancestors(graph.outputs.iter().copied());
        let order = graph.topological()?;
        let dead: Vec<NodeId> = order.into_iter().rev().filter(|&id| !live.has_node(id)).collect();
        for id in dead {
            graph.remove_node(id);
        }
        let used = |id: &ValueId| {
            live.has_value(*id) || graph.inputs.contains(id) || graph.producer(*id).is_some()
        };
        let unused: Vec<_> = graph.values().map(|(id, _)| id).filter(|id| !used(id)).collect();
        for id in unused {
            graph.remove_value(id);
        }
        Ok(model)
    }
}

/// `3,17,40..49`.
fn numbers(text: &str) -> Option<Vec<usize>> {
    let mut list = Vec::new();
    for part in text.split(',') {
        let (a, b) = part.split_once("..").unwrap_or((part, part));
        let (a, b): (usize, usize) = (a.parse().ok()?, b.parse().ok()?);
        if b.checked_sub(a)? > 1 << 26 {
            return None;
        }
        list.extend(a..=b);
    }
    Some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_neurons_are_read() {
        assert_eq!(numbers("3,17,4..6"), Some(vec![3, 17, 4, 5, 6]));
        for text in ["", "x", "5..3", "0..99999999999"] {
            assert_eq!(numbers(text), None, "{text}");
        }
    }
}
