use ndarray::{Array1, Array4, Array5, Axis, array, s};
use ndarray_npy::NpzReader;
use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, attribute_proto::AttributeType, tensor_shape_proto::Dimension,
};

use super::*;
use crate::error::Kind;

fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect();
    let op_type = operator.to_owned();
    NodeProto { op_type, input: names(inputs), output: names(outputs), ..NodeProto::default() }
}

/// A declaration such as `("x", 1, &["N", "3"])`: name, element type, extents.
fn info((name, dtype, dims): (&str, DataType, &[&str])) -> ValueInfoProto {
    let value = |dim: &&str| match dim.parse() {
        Ok(n) => dimension::Value::DimValue(n),
        Err(_) => dimension::Value::DimParam((*dim).to_owned()),
    };
    let dim = dims.iter().map(|d| Dimension { value: Some(value(d)), denotation: String::new() });
    let shape = Some(TensorShapeProto { dim: dim.collect() });
    let tensor = type_proto::Tensor { elem_type: dtype as i32, shape };
    let value = Some(type_proto::Value::TensorType(tensor));
    let r#type = Some(TypeProto { value, denotation: String::new() });
    ValueInfoProto { name: name.to_owned(), r#type, doc_string: String::new() }
}

type Info<'a> = (&'a str, DataType, &'a [&'a str]);

fn model(nodes: Vec<NodeProto>, inputs: &[Info<'_>], outputs: &[Info<'_>]) -> Vec<u8> {
    let graph = GraphProto {
        node: nodes,
        input: inputs.iter().copied().map(info).collect(),
        output: outputs.iter().copied().map(info).collect(),
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto { domain: String::new(), version: 17 };
    ModelProto {
        graph: Some(graph),
        opset_import: vec![opset],
        ir_version: 8,
        ..Default::default()
    }
    .encode_to_vec()
}

fn shapes(list: &[(&str, &[usize])]) -> Vec<(String, Vec<usize>)> {
    list.iter().map(|&(name, shape)| (name.to_owned(), shape.to_vec())).collect()
}

fn relu(dims: &[&str]) -> Vec<u8> {
    let dtype = DataType::F32;
    model(vec![node("Relu", &["x"], &["y"])], &[("x", dtype, dims)], &[("y", dtype, dims)])
}

fn message<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("this should have failed"),
        Err(error) => {
            assert_eq!(error.kind, Kind::Engine);
            let text = error.to_string();
            assert!(!text.contains('\n'), "{text}");
            text
        }
    }
}

#[test]
fn a_model_runs_and_its_outputs_are_named() {
    let bytes = model(
        vec![node("Add", &["a", "b"], &["sum"]), node("Sub", &["a", "b"], &["less"])],
        &[("a", DataType::F64, &["N"]), ("b", DataType::F64, &["N"])],
        &[("less", DataType::F64, &["N"]), ("sum", DataType::F64, &["N"])],
    );
    let session = Session::new(&bytes, &shapes(&[("b", &[2]), ("a", &[2])])).unwrap();
    assert_eq!(session.input_names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(session.input_dtype("a"), Some(DataType::F64));
    assert_eq!(session.input_dtype("c"), None);
    let inputs = [("b", array![1.0, 2.0].into()), ("a", array![5.0, 7.0].into())];
    let outputs = session.run(&inputs).unwrap();
    assert_eq!(outputs[0], ("less".into(), array![4.0, 5.0].into()));
    assert_eq!(outputs[1], ("sum".into(), array![6.0, 9.0].into()));
}

#[test]
fn every_element_type_goes_through() {
    let arrays: [Array; 12] = [
        array![1f32].into(),
        array![1f64].into(),
        array![half::f16::ONE].into(),
        array![1i64].into(),
        array![1i32].into(),
        array![1i16].into(),
        array![1i8].into(),
        array![1u64].into(),
        array![1u32].into(),
        array![1u16].into(),
        array![1u8].into(),
        array![true].into(),
    ];
    for array in arrays {
        let dtype = array.dtype();
        let identity = vec![node("Identity", &["x"], &["y"])];
        let bytes = model(identity, &[("x", dtype, &["1"])], &[("y", dtype, &["1"])]);
        let outputs = Session::new(&bytes, &[]).unwrap().run(&[("x", array.clone())]).unwrap();
        assert_eq!(outputs[0].1, array);
    }
}

#[test]
fn a_shape_comes_out_as_int64() {
    let bytes = model(
        vec![node("Shape", &["x"], &["y"])],
        &[("x", DataType::F32, &["N", "3"])],
        &[("y", DataType::I64, &["2"])],
    );
    let session = Session::new(&bytes, &shapes(&[("x", &[2, 3])])).unwrap();
    let outputs = session.run(&[("x", Array4::<f32>::zeros((1, 1, 2, 3)).into())]);
    assert!(message(outputs).contains("[1, 1, 2, 3] where [2, 3] is expected"));
    let outputs = session.run(&[("x", array![[1f32, 2., 3.], [4., 5., 6.]].into())]).unwrap();
    assert_eq!(outputs[0].1, array![2i64, 3].into());
}

/// A model whose inputs of these names are vectors of constants instead.
fn with_vectors(bytes: &[u8], vectors: &[(&str, &[i64])]) -> Vec<u8> {
    let mut proto = ModelProto::decode(bytes).unwrap();
    let made = vectors.iter().map(|&(name, numbers)| TensorProto {
        name: name.to_owned(),
        dims: vec![numbers.len() as i64],
        data_type: DataType::I64 as i32,
        int64_data: numbers.to_vec(),
        ..TensorProto::default()
    });
    proto.graph.as_mut().unwrap().initializer = made.collect();
    proto.encode_to_vec()
}

#[test]
fn a_broadcast_before_a_contraction_is_summed_over() {
    let wide = [node("Expand", &["x", "dims"], &["wide"]), node("MatMul", &["wide", "w"], &["y"])];
    let [x, w, y] = [("x", ["2", "1"]), ("w", ["3", "2"]), ("y", ["2", "2"])];
    let [x, w, y] = [&x, &w, &y].map(|(name, dims)| (*name, DataType::F32, &dims[..]));
    let bytes = with_vectors(&model(wide.to_vec(), &[x, w], &[y]), &[("dims", &[2, 3])]);
    let session = Session::new(&bytes, &[]).unwrap();
    let w: Array = array![[1f32, 2.0], [3.0, 4.0], [5.0, 6.0]].into();
    let outputs = session.run(&[("x", array![[1f32], [2.0]].into()), ("w", w)]).unwrap();
    assert_eq!(outputs[0].1, array![[9f32, 12.0], [18.0, 24.0]].into());
}

fn attribute(name: &str, r#type: AttributeType) -> AttributeProto {
    let name = name.to_owned();
    AttributeProto { name, r#type: r#type as i32, ..AttributeProto::default() }
}

/// The model of one node that makes `y` of `x` and `w`, which have these extents; and the model that
/// does so for two `x`s in turn, with `after` of `w` the second time.
fn once_and_twice(step: &NodeProto, after: &str, [x, w, y]: [&[&str]; 3]) -> [Vec<u8>; 2] {
    let [xs, ys] = [x, y].map(|dims| [&["2"], dims].concat());
    let known = |name, dims| (name, DataType::F32, dims);
    let [xs, ys] = [known("xs", &xs[..]), known("ys", &ys)];
    let [x, y] = [known("x", x), known("y", y)];
    let [w, next, end] = ["w", "next", "end"].map(|name| known(name, w));
    let steps = vec![step.clone(), node(after, &["w"], &["next"])];
    let body = ModelProto::decode(&*model(steps, &[w, x], &[next, y])).unwrap().graph;
    let mut scan = node("Scan", &["w", "xs"], &["end", "ys"]);
    scan.attribute = vec![
        AttributeProto { g: body, ..attribute("body", AttributeType::Graph) },
        AttributeProto { i: 1, ..attribute("num_scan_inputs", AttributeType::Int) },
    ];
    [model(vec![step.clone()], &[x, w], &[y]), model(vec![scan], &[w, xs], &[end, ys])]
}

#[test]
fn columns_sixteen_elements_apart_are_stored_in_their_places() {
    let number = |i: usize| (i % 7) as f32 - 3.0;
    let x = Array5::from_shape_fn([2, 32, 2, 4, 4], |(t, n, k, i, j)| {
        number(n + 3 * k + 5 * i + 2 * j + t)
    });
    let w = Array4::from_shape_fn([2, 1, 3, 3], |(k, _, a, b)| number(4 * k + 3 * a + b));
    let strides = attribute("strides", AttributeType::Ints);
    let mut step = node("ConvTranspose", &["x", "w"], &["y"]);
    step.attribute = vec![AttributeProto { ints: vec![3, 3], ..strides }];
    let dims = [&["32", "2", "4", "4"], &["2", "1", "3", "3"], &["32", "1", "12", "12"]];
    for (after, sign) in [("Identity", 1f32), ("Neg", -1.0)] {
        let y = Array5::from_shape_fn([2, 32, 1, 12, 12], |(t, n, _, i, j)| {
            let term = |k: usize| x[[t, n, k, i / 3, j / 3]] * w[[k, 0, i % 3, j % 3]];
            sign.powi(t as i32) * (term(0) + term(1))
        });
        let models = once_and_twice(&step, after, dims.map(|dims| &dims[..]));
        let [once, twice] = models.map(|bytes| Session::new(&bytes, &[]).unwrap());
        let [first, expected] = [&x, &y].map(|all| all.index_axis(Axis(0), 0).to_owned());
        let outputs = once.run(&[("x", first.into()), ("w", w.clone().into())]).unwrap();
        assert_eq!(outputs[0].1, expected.into());
        let outputs = twice.run(&[("xs", x.clone().into()), ("w", w.clone().into())]).unwrap();
        assert_eq!(outputs[1].1, y.into());
    }
}

#[test]
fn rewriting_ends_where_a_loop_is_taken_apart() {
    let equation = attribute("equation", AttributeType::String);
    let mut step = node("Einsum", &["x", "w"], &["y"]);
    step.attribute = vec![AttributeProto { s: b"nkb,ck->ncb".to_vec(), ..equation }];
    let [_, twice] =
        once_and_twice(&step, "Identity", [&["1", "2", "1"], &["1", "2"], &["1", "1", "1"]]);
    let x = array![[[[1f32], [2.0]]], [[[3.0], [4.0]]]];
    let session = Session::new(&twice, &[]).unwrap();
    let outputs = session.run(&[("xs", x.into()), ("w", array![[5f32, 7.0]].into())]).unwrap();
    assert_eq!(outputs[1].1, array![[[[19f32]]], [[[43.0]]]].into());
}

#[test]
fn shapes_and_names_are_checked_against_the_model() {
    let bytes = relu(&["N", "3"]);
    let new = |list: &[(&str, &[usize])]| Session::new(&bytes, &shapes(list));
    assert!(message(new(&[])).contains("'x': tract: the input's shape is not fixed"));
    assert!(message(new(&[("z", &[1, 3])])).contains("its inputs are: x"));
    assert!(message(new(&[("x", &[1, 4])])).contains("[1, 4] where [N, 3] is expected"));
    assert!(message(new(&[("x", &[1])])).contains("[1] where [N, 3] is expected"));
    let session = new(&[("x", &[1, 3])]).unwrap();
    let x: Array = array![[1f32, -1.0, 0.0]].into();
    assert!(message(session.run::<&str>(&[])).contains("was given no array"));
    assert!(message(session.run(&[("x", x.clone()), ("z", x)])).contains("no such input"));
    let doubles = array![[1f64, -1.0, 0.0]].into();
    assert!(message(session.run(&[("x", doubles)])).contains("double where the model takes float"));
}

#[test]
fn one_symbol_has_one_extent() {
    let bytes = model(
        vec![node("MatMul", &["a", "b"], &["y"])],
        &[("a", DataType::F32, &["N", "K"]), ("b", DataType::F32, &["K", "M"])],
        &[("y", DataType::F32, &["N", "M"])],
    );
    let clash = Session::new(&bytes, &shapes(&[("a", &[1, 2]), ("b", &[3, 1])]));
    assert!(message(clash).contains("the axis 'K' is 3 here and 2 in another place"));
}

#[test]
fn an_output_that_contradicts_its_declaration_is_an_error() {
    let bytes = model(
        vec![node("Relu", &["x"], &["y"])],
        &[("x", DataType::F32, &["N", "3"])],
        &[("y", DataType::F32, &["3"])],
    );
    let session = Session::new(&bytes, &shapes(&[("x", &[1, 3])])).unwrap();
    let x: Array = array![[1f32, 2.0, 3.0]].into();
    assert!(message(session.run(&[("x", x)])).contains("[1, 3] where [3] is expected"));
}

#[test]
fn broken_models_are_failures_of_the_engine() {
    message(Session::new(b"no model at all", &[]));
    message(Session::new(&relu(&["2"])[..20], &[]));
    message(Session::new(&[], &[]));
    let dtype = DataType::F32;
    let ports: [Info<'_>; 2] = [("x", dtype, &["2"]), ("y", dtype, &["2"])];
    let [x, y] = ports.map(|port| [port]);
    let unknown = model(vec![node("NoSuchOperator", &["x"], &["y"])], &x, &y);
    assert!(message(Session::new(&unknown, &[])).contains("NoSuchOperator"));
    let undefined = model(vec![node("Relu", &["gone"], &["y"])], &x, &y);
    assert!(message(Session::new(&undefined, &[])).contains("gone"));
    // tract looks the producer of an output up without a check and panics.
    let unmade = model(vec![node("Relu", &["x"], &["z"])], &x, &y);
    assert!(message(Session::new(&unmade, &[])).contains("panicked"));
}

#[test]
fn what_tract_computes_wrongly_is_refused() {
    let port = |name| [(name, DataType::F32, &["1", "1", "2"][..])];
    let attribute = |name: &str, f, i, ints| AttributeProto {
        name: name.to_owned(),
        f,
        i,
        ints,
        ..AttributeProto::default()
    };
    let refused = |operator, attributes| {
        let mut node = node(operator, &["x"], &["y"]);
        node.attribute = attributes;
        message(Session::new(&model(vec![node], &port("x"), &port("y")), &[]))
    };
    let told = refused("ConvTranspose", vec![attribute("output_shape", 0.0, 0, vec![3])]);
    assert!(told.contains("node 'y' (ConvTranspose): tract: 'output_shape'"), "{told}");
    assert!(refused("Celu", vec![attribute("alpha", 2.0, 0, vec![])]).contains("alpha"));
    assert!(refused("LRN", vec![attribute("size", 0.0, 4, vec![])]).contains("even size"));
    assert!(refused("GlobalLpPool", vec![]).contains("p = 2"));
    let mut foreign = node("Relu", &["x"], &["y"]);
    foreign.domain = "com.example".into();
    let bytes = model(vec![foreign], &port("x"), &port("y"));
    assert!(message(Session::new(&bytes, &[])).contains("domain 'com.example'"));
}

/// The folder of real models, or a word that a test is skipped.
fn data() -> Option<std::path::PathBuf> {
    let folder = std::env::var_os("SLPC_TESTDATA").map(Into::into);
    if folder.is_none() {
        eprintln!("SKIPPED: SLPC_TESTDATA is not set");
    }
    folder
}

#[test]
fn a_real_network_reads_digits() {
    let Some(folder) = data() else { return };
    let file = std::fs::File::open(folder.join("mnist_1000.npz")).unwrap();
    let mut npz = NpzReader::new(file).unwrap();
    let images: Array4<u8> = npz.by_name("images").unwrap();
    let labels: Array1<i64> = npz.by_name("labels").unwrap();
    let n = 300;
    let images = images.slice(s![..n, .., .., ..]).mapv(|v| f32::from(v) / 255.0);
    let path = folder.join("models/2conv_mnist_true.onnx");
    let shape = shapes(&[("input", images.shape())]);
    let session = Session::load(&path, &shape).unwrap();
    let outputs = session.run(&[("input", images.into())]).unwrap();
    let scores = outputs[0].1.to_f64();
    assert_eq!(scores.shape(), [n, 10]);
    let right = scores.axis_iter(Axis(0)).zip(&labels).filter(|(scores, label)| {
        let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
        best as i64 == **label
    });
    assert!(right.count() * 100 > 98 * n);
}

#[test]
fn the_network_of_the_example_reads_the_digits_of_the_example() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let shape = shapes(&[("input", &[1, 1, 28, 28])]);
    let session = Session::load(&folder.join("2conv_mnist.onnx"), &shape).unwrap();
    for digit in 0..10 {
        let image = image::open(folder.join(format!("digits/{digit}.png"))).unwrap().to_luma32f();
        let pixels = Array4::from_shape_vec((1, 1, 28, 28), image.into_raw()).unwrap();
        let scores = session.run(&[("input", pixels.into())]).unwrap().remove(0).1.to_f64();
        let odds = scores.mapv(f64::exp);
        let share = odds[[0, digit]] / odds.sum();
        assert!(share > 0.99, "{digit}: {share}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Session::load(Path::new("no/such/file.onnx"), &[]).err().unwrap();
    assert_eq!(error.kind, Kind::Io);
    assert!(error.to_string().starts_with("no/such/file.onnx: "), "{error}");
}
