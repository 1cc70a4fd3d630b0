//! Inference over real models, and against tract's own analysis of them.

use std::path::{Path, PathBuf};

use tract_onnx::prelude::{Framework, OutletId, ToDim, TractResult};
use tract_onnx::tract_hir::infer::{Factoid, InferenceFact, InferenceModelExt};

use super::super::*;
use crate::graph::Model;

/// The models of the test data; none, loudly, where there is no test data.
fn models() -> Vec<PathBuf> {
    let Ok(folder) = std::env::var("SLPC_TESTDATA") else {
        eprintln!("skipped: SLPC_TESTDATA is not set");
        return vec![];
    };
    let folder =
        std::fs::read_dir(PathBuf::from(folder).join("models")).expect("a folder of models");
    let files = folder.map(|entry| entry.expect("an entry").path());
    files.filter(|path| path.extension().is_some_and(|end| end == "onnx")).collect()
}

fn inferred(path: &Path, batch: Option<i64>) -> Model {
    let mut model = crate::onnx::load(path).unwrap();
    for id in model.graph.inputs.clone() {
        let value = model.graph.value_mut(id);
        if let (Some(n), Some(dims)) = (batch, value.dims()) {
            let fixed = |dim: Dim| if dim::number(&dim).is_some() { dim } else { dim::num(n) };
            value.facts = Facts::from_shape(dims.into_iter().map(fixed).collect()).into();
        }
    }
    let opset = model.opset();
    infer(&mut model.graph, opset).unwrap();
    model
}

#[test]
fn every_value_of_real_models_has_type_and_rank() {
    for path in models() {
        let graph = inferred(&path, None).graph;
        for id in graph.nodes().flat_map(|(_, node)| node.outputs.iter().flatten()) {
            let value = graph.value(*id);
            assert!(value.dtype.is_some(), "{}: {}", path.display(), value.name);
            assert!(value.dims().is_some(), "{}: {}", path.display(), value.name);
        }
    }
}

#[test]
fn shapes_of_real_models_agree_with_tract() {
    let mut compared = 0;
    for path in models() {
        let graph = inferred(&path, Some(2)).graph;
        let shapes = match by_tract(&path, &graph) {
            Ok(shapes) => shapes,
            Err(error) => {
                eprintln!("tract does not analyse {}: {error:#}", path.display());
                continue;
            }
        };
        for (name, wanted) in shapes {
            let Some(id) = graph.find(&name) else { continue };
            assert_eq!(graph.value(id).fixed_dims(), Some(wanted), "{}: {name}", path.display());
            compared += 1;
        }
    }
    assert!(compared > 500 || std::env::var("SLPC_TESTDATA").is_err(), "{compared} compared");
}

/// The shapes tract finds, by name of the value.
fn by_tract(path: &Path, graph: &Graph) -> TractResult<Vec<(String, Vec<i64>)>> {
    let mut model = tract_onnx::onnx()
        .with_ignore_output_shapes(true)
        .with_ignore_value_info(true)
        .model_for_path(path)?;
    for (i, outlet) in model.inputs.clone().into_iter().enumerate() {
        let id = graph.find(&model.node(outlet.node).name).expect("tract names the same inputs");
        let dims = graph.value(id).fixed_dims().expect("the inputs are fixed");
        let fact = InferenceFact::shape(dims.iter().map(|d| d.to_dim()).collect::<Vec<_>>());
        let dtype = model.outlet_fact(outlet)?.datum_type.concretize().expect("inputs are typed");
        let fact = fact.with_datum_type(dtype);
        model.set_input_fact(i, fact)?;
    }
    model.analyse(true)?;
    let mut shapes = Vec::new();
    for node in model.nodes() {
        for (slot, output) in node.outputs.iter().enumerate() {
            let label = model.outlet_label(OutletId::new(node.id, slot));
            let dims = output.fact.shape.concretize();
            let dims = dims.and_then(|d| d.iter().map(|d| d.to_i64().ok()).collect());
            shapes.extend(label.map(str::to_owned).zip(dims));
        }
    }
    Ok(shapes)
}
