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

#[test]
fn typed_fields_become_little_endian_bytes() {
    use proto::TensorProto as T;
    let cases: [(i32, i64, T, &[u8]); 12] = [
        (1, 1, T { float_data: vec![1.0], ..T::default() }, &[0, 0, 128, 63]),
        (2, 2, T { int32_data: vec![1, 255], ..T::default() }, &[1, 255]),
        (3, 2, T { int32_data: vec![1, -1], ..T::default() }, &[1, 255]),
        (5, 1, T { int32_data: vec![-2], ..T::default() }, &[254, 255]),
        (6, 1, T { int32_data: vec![-2], ..T::default() }, &[254, 255, 255, 255]),
        (7, 1, T { int64_data: vec![3], ..T::default() }, &[3, 0, 0, 0, 0, 0, 0, 0]),
        (9, 2, T { int32_data: vec![1, 0], ..T::default() }, &[1, 0]),
        (10, 1, T { int32_data: vec![0x3c00], ..T::default() }, &[0, 0x3c]),
        (11, 1, T { double_data: vec![1.0], ..T::default() }, &[0, 0, 0, 0, 0, 0, 240, 63]),
        (12, 1, T { uint64_data: vec![7], ..T::default() }, &[7, 0, 0, 0]),
        (14, 1, T { float_data: vec![1.0, 0.0], ..T::default() }, &[0, 0, 128, 63, 0, 0, 0, 0]),
        // Three elements of four bits: two bytes, an entry each.
        (22, 3, T { int32_data: vec![0x21, 0x03], ..T::default() }, &[0x21, 0x03]),
    ];
    for (code, count, proto, bytes) in cases {
        let proto = T { data_type: Some(code), dims: vec![count], ..proto };
        let short = T { dims: vec![count + 2], ..proto.clone() };
        let folder = &mut external::Folder::new(None);
        assert_eq!(tensor::load(proto, folder).unwrap().bytes()[..], *bytes, "type {code}");
        assert!(tensor::load(short, folder).is_err(), "type {code} short");
    }
}

#[test]
fn dimensions_keep_their_meaning_and_spelling() {
    use proto::tensor_shape_proto::Dimension;
    use proto::tensor_shape_proto::dimension::Value as V;
    use proto::{TensorShapeProto, TypeProto, ValueInfoProto, type_proto};
    let cases = [
        (Some(V::DimValue(3)), "3"),
        (Some(V::DimParam("N".into())), "N"),
        (Some(V::DimValue(-1)), "v?0"),
        (Some(V::DimValue(1 << 40)), "v?0"),
        (Some(V::DimParam(String::new())), "v?0"),
        (None, "v?0"),
    ];
    for (value, text) in cases {
        let dim = vec![Dimension { value, denotation: None }];
        let shape = Some(TensorShapeProto { dim });
        let tensor = type_proto::Tensor { elem_type: Some(1), shape };
        let value = Some(type_proto::Value::TensorType(tensor));
        let proto = ValueInfoProto {
            name: Some("v".into()),
            r#type: Some(TypeProto { value, denotation: None }),
            ..Default::default()
        };
        let value = declare::read(proto.clone()).unwrap();
        assert_eq!(value.dims().unwrap()[0].to_string(), text);
        assert_eq!(declare::write(&value).unwrap(), proto);
    }
}

#[test]
fn the_parts_of_a_message_stand_in_the_order_of_their_numbers() {
    let model = text::parse(
        "<ir_version: 8, opset_import: [\"\": 18, \"own\": 1], producer_name: \"p\", doc_string: \"d\",
          metadata_props: [\"k\": \"v\"]>
         g (float[N] x) => (float[N] y) <float[1] w = {2}, float[N] a> { a = own.F (x) y = Mul (a, w) }
         <domain: \"own\", opset_import: [\"\": 18]> F (x) => (y) { y = Relu (x) }",
    );
    let bytes = to_bytes(&model.unwrap()).unwrap();
    let message = proto::ModelProto::decode(&*bytes).unwrap();
    assert!(!message.functions.is_empty() && !message.metadata_props.is_empty());
    assert_eq!(message.encode_to_vec(), bytes);
}

#[test]
fn pages_that_were_let_go_are_read_again() {
    let contents: Vec<u8> = (0..9_000_000).map(|i| (i % 251) as u8).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, &contents).unwrap();
    let mapped = map::map(file.path()).unwrap();
    for bytes in [&mapped[..], &mapped[5..8_999_999], &contents] {
        let mut seen = Vec::new();
        let Ok(()) = map::by_windows::<std::convert::Infallible>(bytes, |window| {
            seen.extend_from_slice(window);
            Ok(())
        });
        assert!(seen == bytes);
    }
    assert!(mapped == contents);
}
