//! Forms of operators that tract is known to compute wrongly without saying so.

use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto};

use crate::error::{Error, Kind, Result};

/// Fails when `model` holds an operator that tract 0.23 would compute wrongly.
pub(super) fn refuse(model: &ModelProto) -> Result<()> {
    model.graph.iter().try_for_each(refuse_graph)
}

fn refuse_graph(graph: &GraphProto) -> Result<()> {
    for node in &graph.node {
        if let Some(what) = defect(node) {
            let label = if node.name.is_empty() { node.output.first() } else { Some(&node.name) };
            return Err(Error::new(Kind::Engine, format!("tract: {what}"))
                .node(label.cloned().unwrap_or_default(), &node.op_type)
                .help("use another engine for this model"));
        }
        for attribute in &node.attribute {
            attribute.g.iter().chain(&attribute.graphs).try_for_each(refuse_graph)?;
        }
    }
    Ok(())
}

fn defect(node: &NodeProto) -> Option<String> {
    // tract looks operators up by name alone.
    if !matches!(&*node.domain, "" | "ai.onnx" | "ai.onnx.ml") {
        return Some(format!("operators of the domain '{}' are not supported", node.domain));
    }
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name);
    let ints = |name: &str| attribute(name).is_some_and(|a: &AttributeProto| !a.ints.is_empty());
    let wrong = match &*node.op_type {
        "ConvTranspose" if ints("output_shape") => "'output_shape' is computed wrongly",
        "Celu" if attribute("alpha").is_some_and(|a| a.f != 1.0) => {
            "an alpha other than 1 is computed wrongly"
        }
        "LRN" if attribute("size").is_some_and(|a| a.i % 2 == 0) => {
            "an even size is computed wrongly"
        }
        "GlobalLpPool" if attribute("p").is_none_or(|a| a.i == 2) => "p = 2 is computed wrongly",
        _ => return None,
    };
    Some(wrong.to_owned())
}
