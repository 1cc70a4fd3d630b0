use std::path::PathBuf;

use super::*;
use crate::graph::{Graph, Model, Node, Tensor, Value};

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("SLPC_TESTDATA");
    if folder.is_none() {
        eprintln!("SKIPPED: SLPC_TESTDATA names no folder of test data");
    }
    folder.map(PathBuf::from)
}

fn small() -> Model {
    let mut graph = Graph::new("small");
    let [x, y] = ["x", "y"].map(|name| {
        let dims = vec![crate::graph::Dim::pos_var("N"), crate::graph::Dim::Value(2)];
        graph.add_value(Value::typed(name, crate::graph::DataType::F32, dims)).unwrap()
    });
    let one = Tensor::float(crate::graph::DataType::F32, 1.0);
    let one = graph.add_value(declare::initializer("one", one)).unwrap();
    graph.add_node(Node::new("Add", vec![Some(x), Some(one)], vec![Some(y)])).unwrap();
    graph.inputs.push(x);
    graph.outputs.push(y);
    let opsets = [(String::new(), 17)].into();
    Model { ir_version: 8, opsets, graph, ..Model::default() }
}

#[test]
fn a_built_model_comes_back() {
    let bytes = to_bytes(&small()).unwrap();
    let model = load_bytes(bytes.clone().into(), None).unwrap();
    assert_eq!(model.graph.value(model.graph.inputs[0]).dims().unwrap()[0].to_string(), "N");
    assert_eq!(model.graph.node_count(), 1);
    assert_eq!(to_bytes(&model).unwrap(), bytes);
}

#[test]
fn weights_are_windows_of_the_file() {
    let Some(folder) = data() else { return };
    let model = load(&folder.join("models/2conv_mnist_true.onnx")).unwrap();
    let file = model.bytes.as_ptr_range();
    for (_, value) in model.graph.values() {
        if let Some(tensor) = value.tensor.as_ref().filter(|t| t.len() > 100) {
            assert!(file.contains(&tensor.bytes().as_ptr()), "{} was copied", value.name);
        }
    }
}
