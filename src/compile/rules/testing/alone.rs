//! The switched network without the node it comes from, for what tract lacks or reads otherwise.

use std::collections::HashSet;

use crate::compile::project::Quantity;
use crate::compile::select::{Batch, Choice};
use crate::compile::{Options, simplify, transform};
use crate::engine::Array;
use crate::engine::tract::Session;
use crate::graph::DataType;
use crate::onnx;

/// The weights of `y = node` by `double x` of dimensions `dims`, in row-major order. They must not
/// depend on what `node` computes; `constants` are initializers in the text syntax.
#[track_caller]
pub fn weights_alone(constants: &str, node: &str, dims: &[usize]) -> Vec<f64> {
    let graph = format!("g (double{dims:?} x) => (y) <{constants}> {{ y = {node} }}");
    let text = format!("<ir_version: 8, opset_import: [\"\" : 18]> {graph}");
    let model = onnx::text::parse(&text).unwrap_or_else(|error| panic!("{error}"));
    let options = Options {
        emit: vec![Quantity::Weights],
        batch: Batch::None,
        neurons: Some(Choice::All),
        ..Options::default()
    };
    let (mut model, _) = transform(model, &options).unwrap_or_else(|error| panic!("{error}"));
    let graph = &mut model.graph;
    let outputs = std::mem::take(&mut graph.outputs);
    let weights = |id: &_| graph.value(*id).name == "slp/y/weights";
    graph.outputs = outputs.into_iter().filter(weights).collect();
    simplify::remove_dead(graph, &HashSet::new());
    let run = || {
        let x = ndarray::ArrayD::from_elem(dims, 0.5);
        let session = Session::new(&onnx::to_bytes(&model)?, &[("x".to_owned(), dims.to_vec())])?;
        session.run(&[("x", Array::floats(DataType::F64, x)?)])
    };
    let outputs = run().unwrap_or_else(|error| panic!("{node}: {error}"));
    outputs.iter().flat_map(|(_, weights)| weights.to_f64().into_iter()).collect()
}
