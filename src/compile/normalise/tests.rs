mod folding;
mod functions;
mod numeric;
mod sequences;

use super::*;
use crate::graph::{Attr, Tensor, Value};
use crate::onnx::text::parse;

/// The model with operator set `opset`, inputs x and w, output y, and the nodes `body`.
fn model(opset: i64, body: &str) -> Model {
    shaped(opset, "float[N, 3, 8] x, float[3] w", body)
}

fn shaped(opset: i64, inputs: &str, body: &str) -> Model {
    let head = format!("<ir_version: 8, opset_import: [\"\" : {opset}, \"f\" : 1]>");
    let (graph, functions) = body.split_once("---").unwrap_or((body, ""));
    parse(&format!("{head} g ({inputs}) => (y) {{ {graph} }} {functions}")).unwrap()
}

/// The nodes after normalising, one a line, constants in place of their names.
fn raised(opset: i64, body: &str) -> String {
    shown(model(opset, body))
}

fn shown(mut model: Model) -> String {
    normalise(&mut model).unwrap();
    assert_eq!(model.opset(), WORKING_OPSET.max(model.opset()));
    assert!(model.functions.is_empty());
    show(&model.graph)
}

fn refused(opset: i64, body: &str) -> String {
    normalise(&mut model(opset, body)).unwrap_err().to_string()
}

fn show(graph: &Graph) -> String {
    let lines: Vec<_> =
        graph.topological().unwrap().into_iter().map(|id| line(graph, id)).collect();
    lines.join("\n")
}

fn line(graph: &Graph, id: NodeId) -> String {
    let node = graph.node(id);
    let short = |name: &str| name.strip_prefix("slp/norm/").unwrap_or(name).to_owned();
    let operand = |value: &Value| match &value.tensor {
        Some(tensor) if tensor.dims.is_empty() => tensor.preview(1).into_owned(),
        Some(tensor) => format!("[{}]", tensor.preview(9)),
        None => short(&value.name),
    };
    let list = |ids: &[Option<_>]| {
        let names = ids.iter().map(|id| id.map_or("_".into(), |id| operand(graph.value(id))));
        names.collect::<Vec<_>>().join(", ")
    };
    let attributes: Vec<_> =
        node.attributes.iter().map(|a| format!("{}={}", a.name, attribute(&a.value))).collect();
    let attributes = match attributes.is_empty() {
        true => String::new(),
        false => format!("<{}>", attributes.join(" ")),
    };
    format!("{} = {}{attributes}({})", list(&node.outputs), node.operator(), list(&node.inputs))
}

fn attribute(value: &Attr) -> String {
    match value {
        Attr::Int(v) => v.to_string(),
        Attr::Float(v) => v.to_string(),
        Attr::Ints(v) => format!("{v:?}").replace(' ', ""),
        Attr::String(v) => String::from_utf8_lossy(v).into_owned(),
        Attr::Graph(graph) => format!("{{{}}}", show(graph).replace('\n', "; ")),
        _ => "…".into(),
    }
}

#[track_caller]
fn check(opset: i64, body: &str, expected: &str) {
    assert_eq!(raised(opset, body), expected);
}

#[test]
fn operators_that_kept_their_spelling_stay() {
    for opset in OLDEST_OPSET..=NEWEST_OPSET {
        check(opset, "a = Add (x, w) y = Relu (a)", "a = Add(x, w)\ny = Relu(a)");
        check(opset, "y = MaxPool <kernel_shape = [2]> (x)", "y = MaxPool<kernel_shape=[2]>(x)");
    }
    check(18, "y = Softmax <axis = 0> (x)", "y = Softmax<axis=0>(x)");
    check(13, "y = Split (x, w)", "y = Split(x, w)");
    check(11, "y = Pad (x, w)", "y = Pad(x, w)");
}

#[test]
fn the_operator_set_must_be_known() {
    for opset in [1, 6, 29, 99] {
        let error = normalise(&mut model(opset, "y = Relu (x)")).unwrap_err();
        assert_eq!(error.kind, crate::error::Kind::Request);
        assert!(error.to_string().contains(&format!("operator set {opset}")), "{error}");
    }
    for (opset, raised) in [(7, 18), (18, 18), (21, 21), (28, 28)] {
        let mut model = model(opset, "y = Relu (x)");
        normalise(&mut model).unwrap();
        assert_eq!(model.opset(), raised);
    }
}

#[test]
fn the_other_name_of_the_standard_is_understood() {
    let mut model = model(13, "y = ReduceMax <axes = [1]> (x)");
    let version = model.opsets.remove("").unwrap();
    model.opsets.insert("ai.onnx".to_owned(), version);
    normalise(&mut model).unwrap();
    assert_eq!(show(&model.graph), "y = ReduceMax(x, [1])");
    assert_eq!((model.opset(), model.opsets.contains_key("ai.onnx")), (18, false));
}

#[test]
fn old_files_list_initializers_among_the_inputs() {
    for (ir, inputs) in [(3, 1), (4, 2), (9, 2)] {
        let mut model = model(8, "y = Add (x, w)");
        model.ir_version = ir;
        let w = model.graph.find("w").unwrap();
        let dtype = crate::graph::DataType::F32;
        model.graph.value_mut(w).tensor =
            Some(Tensor::floats(dtype, vec![3], &[1.0, 2.0, 3.0]).into());
        normalise(&mut model).unwrap();
        assert_eq!((model.graph.inputs.len(), model.ir_version), (inputs, ir.max(8)));
    }
}

#[test]
fn attributes_become_inputs() {
    check(9, "y = Slice <starts = [0], ends = [2]> (x)", "y = Slice(x, [0], [2])");
    check(9, "y = Slice <starts = [0], ends = [2], axes = [1]> (x)", "y = Slice(x, [0], [2], [1])");
    check(9, "y, i = TopK <k = 2, axis = 1> (x)", "y, i = TopK<axis=1>(x, [2])");
    check(9, "y = Pad <pads = [0, 1]> (x)", "y = Pad(x, [0, 1])");
    check(9, "y = Pad <pads = [0, 1], value = 0.5> (x)", "y = Pad(x, [0, 1], 0.5)");
    check(10, "y = Clip <min = 0.0, max = 6.0> (x)", "y = Clip(x, 0, 6)");
    check(10, "y = Clip <max = 6.0> (x)", "y = Clip(x, _, 6)");
    check(10, "y = Clip (x)", "y = Clip(x)");
    check(10, "y = Dropout <ratio = 0.25> (x)", "y = Dropout(x, 0.25)");
    check(12, "y = Squeeze <axes = [1]> (x)", "y = Squeeze(x, [1])");
    check(12, "y = Squeeze (x)", "y = Squeeze(x)");
    check(12, "y = Unsqueeze <axes = [0, 3]> (x)", "y = Unsqueeze(x, [0, 3])");
    check(12, "y, z = Split <split = [1, 2], axis = 1> (x)", "y, z = Split<axis=1>(x, [1, 2])");
    check(12, "y, z = Split <axis = 2> (x)", "y, z = Split<axis=2 num_outputs=2>(x)");
    check(17, "y, z = Split <axis = 2> (x)", "y, z = Split<axis=2 num_outputs=2>(x)");
}

#[test]
fn axes_of_reductions_become_inputs() {
    let since_18 = ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare"];
    for (kind, last) in since_18.map(|kind| (kind, 17)).into_iter().chain([("Sum", 12)]) {
        for opset in [7, 11, last] {
            let expected = format!("y = Reduce{kind}<keepdims=0>(x, [-1])");
            check(opset, &format!("y = Reduce{kind} <axes = [-1], keepdims = 0> (x)"), &expected);
            check(opset, &format!("y = Reduce{kind} (x)"), &format!("y = Reduce{kind}(x)"));
        }
    }
    check(17, "y = ReduceSum (x, w)", "y = ReduceSum(x, w)");
}

#[test]
fn an_empty_list_of_axes_means_all() {
    let empty = crate::graph::Attr::Ints(vec![]);
    let mut model = model(13, "y = ReduceMax (x)");
    let node = model.graph.nodes().next().unwrap().0;
    model.graph.node_mut(node).set("axes", empty);
    assert_eq!(shown(model), "y = ReduceMax(x)");
}

#[test]
fn bounds_have_the_type_of_the_data() {
    let clip = "a = Relu (x) y = Clip <min = 0.5> (a)";
    for (name, dtype) in [("float16", 10), ("double", 11), ("float", 1)] {
        let mut model = shaped(7, &format!("{name}[N] x"), clip);
        normalise(&mut model).unwrap();
        let bound = model.graph.find("slp/norm/y/min").unwrap();
        assert_eq!(model.graph.value(bound).dtype.map(|t| t as i32), Some(dtype));
    }
    let cast = "a = Cast <to = 11> (x) y = Clip <min = 0.5> (a)";
    assert_eq!(raised(7, cast).lines().count(), 2);
    let unknown = "a = f.Foreign (x) y = Clip <min = 0.5> (a)";
    check(7, unknown, "a = f.Foreign(x)\ny/min/cast = CastLike(0.5, a)\ny = Clip(a, y/min/cast)");
}

#[test]
fn softmax_flattened_its_input() {
    for op in ["Softmax", "LogSoftmax", "Hardmax"] {
        let flat = format!(
            "y/rows = Flatten<axis=1>(x)\ny/normal = {op}<axis=-1>(y/rows)\n\
             y/shape = Shape(x)\ny = Reshape(y/normal, y/shape)"
        );
        check(7, &format!("y = {op} (x)"), &flat);
        check(12, &format!("y = {op} <axis = -1> (x)"), &format!("y = {op}<axis=-1>(x)"));
        check(12, &format!("y = {op} <axis = 2> (x)"), &format!("y = {op}<axis=-1>(x)"));
        check(13, &format!("y = {op} <axis = 1> (x)"), &format!("y = {op}<axis=1>(x)"));
        check(13, &format!("y = {op} (x)"), &format!("y = {op}(x)"));
    }
}

#[test]
fn softmax_along_the_only_long_axis_of_a_row_stays_one_node() {
    let one = |dims: &str, axis| {
        let body = format!("y = Softmax <axis = {axis}> (x)");
        shown(shaped(9, &format!("float[{dims}] x"), &body))
    };
    assert_eq!(one("N, 1000, 1, 1", 1), "y = Softmax<axis=1>(x)");
    assert_eq!(one("N, 1, C, 1", 1), "y = Softmax<axis=2>(x)");
    assert_eq!(one("N, C", 1), "y = Softmax<axis=-1>(x)");
    assert_eq!(one("N, 2, 3", 1).lines().count(), 4);
    assert_eq!(one("N, C, 1", 0).lines().count(), 4);
}

#[test]
fn a_known_rank_is_followed_through_the_nodes() {
    let deep = "a = Gemm (x, w) b = Relu (a) y = Softmax <axis = 1> (b)";
    assert!(raised(9, deep).ends_with("y = Softmax<axis=-1>(b)"));
    let unknown = "a = f.Foreign (x) y = Softmax <axis = 1> (a)";
    assert_eq!(raised(9, unknown).lines().count(), 5);
    assert!(refused(9, "y = Softmax <axis = 7> (x)").contains("out of range"));
}

#[test]
fn a_rewritten_node_keeps_its_name_and_names_its_helpers() {
    let mut model = model(9, "[soft] y = Softmax <axis = 1> (x)");
    normalise(&mut model).unwrap();
    let mut names: Vec<_> = model.graph.nodes().map(|(_, node)| &*node.name).collect();
    names.sort_unstable();
    let helpers = ["slp/norm/soft/reshape", "slp/norm/soft/rows", "slp/norm/soft/shape"];
    assert_eq!(names[..3], helpers);
    assert_eq!(names[3], "soft");
}

#[test]
fn resizes_name_their_modes() {
    let floor = "<mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor>";
    let ceil = floor.replace("floor", "ceil");
    let resize10 = |scales: &str| {
        let scales = format!("s = Constant <value_floats = [{scales}]> ()");
        raised(10, &format!("{scales} y = Resize <mode = \"nearest\"> (x, s)"))
    };
    assert_eq!(resize10("1.0, 2.0, 1.5"), format!("y = Resize{floor}(x, _, [1, 2, 1.5])"));
    assert_eq!(resize10("1.0, 0.5, 0.5"), format!("y = Resize{ceil}(x, _, [1, 0.5, 0.5])"));
    let both = [
        "y/enlarge = Max([1, 2, 0.5], 1)".to_owned(),
        "y/shrink = Min([1, 2, 0.5], 1)".to_owned(),
        format!("y/enlarged = Resize{floor}(x, _, y/enlarge)"),
        format!("y = Resize{ceil}(y/enlarged, _, y/shrink)"),
    ];
    assert_eq!(resize10("1.0, 2.0, 0.5"), both.join("\n"));
    let upsample = "y = Upsample <mode = \"nearest\", scales = [1.0, 2.0, 2.0]> (x)";
    check(7, upsample, &format!("y = Resize{floor}(x, _, [1, 2, 2])"));
    let upsample = "y = Upsample <mode = \"nearest\"> (x, w)";
    check(9, upsample, &format!("y = Resize{floor}(x, _, w)"));
    let linear = floor.replace("nearest ", "linear ");
    let resize = "y = Resize <mode = \"linear\"> (x, w)";
    check(10, resize, &format!("y = Resize{linear}(x, _, w)"));
}

#[test]
fn empty_operands_of_resize_are_left_out() {
    let resize = |attributes: &str| {
        format!(
            "e = Constant <value = float[0] {{}}> () z = Constant <value_ints = [1, 2, 3]> ()
             y = Resize <mode = \"nearest\"{attributes}> (x, e, e, z)"
        )
    };
    check(11, &resize(""), "y = Resize<mode=nearest>(x, _, _, [1, 2, 3])");
    let mode = ", coordinate_transformation_mode = \"tf_half_pixel_for_nn\"";
    let floor = format!("{mode}, nearest_mode = \"floor\"");
    check(
        11,
        &resize(&floor),
        "y = Resize<mode=nearest coordinate_transformation_mode=half_pixel \
         nearest_mode=round_prefer_ceil>(x, _, _, [1, 2, 3])",
    );
    assert!(refused(11, &resize(mode)).contains("tf_half_pixel_for_nn"));
}

#[test]
fn other_changes_of_spelling() {
    check(10, "y = Scatter <axis = 1> (x, w, w)", "y = ScatterElements<axis=1>(x, w, w)");
    check(
        8,
        "y = BatchNormalization <spatial = 1> (x, w, w, w, w)",
        "y = BatchNormalization(x, w, w, w, w)",
    );
    check(
        15,
        "y = RoiAlign (x, w, w)",
        "y = RoiAlign<coordinate_transformation_mode=output_half_pixel>(x, w, w)",
    );
    check(
        8,
        "y = MeanVarianceNormalization <across_channels = 1> (x)",
        "y = MeanVarianceNormalization<axes=[0,1,2,3]>(x)",
    );
    check(
        9,
        "a, m = Dropout (x) y = Mul (a, m)",
        "a, a/mask = Dropout(x)\nm = CastLike(a/mask, x)\ny = Mul(a, m)",
    );
    check(9, "y, m = Dropout (x)", "y, m = Dropout(x)");
}

#[test]
fn experimental_operators_are_spelt_out() {
    check(9, "y = Scale <scale = 2.0> (x)", "y = Mul(x, 2)");
    check(
        9,
        "y = Affine <alpha = 2.0, beta = 3.0> (x)",
        "y/scaled = Mul(x, 2)\ny = Add(y/scaled, 3)",
    );
    check(
        9,
        "y = ScaledTanh <alpha = 2.0, beta = 3.0> (x)",
        "y/scaled = Mul(x, 3)\ny/inner = Tanh(y/scaled)\ny = Mul(y/inner, 2)",
    );
    check(
        9,
        "y = ImageScaler <scale = 2.0, bias = [1.0, 4.0]> (x)",
        "y/scaled = Mul(x, 2)\ny/bias/cast = CastLike([1, 4], y/scaled)\ny = Add(y/scaled, y/bias/cast)",
    );
}

#[test]
fn what_has_no_equal_is_refused_by_name() {
    for (opset, body) in [
        (8, "[n] y = BatchNormalization <spatial = 0> (x, w, w, w, w)"),
        (9, "[n] y, m, v, a, b = BatchNormalization (x, w, w, w, w)"),
        (8, "[n] y = MeanVarianceNormalization <normalize_variance = 0> (x)"),
        (8, "[n] y = Scan (x)"),
    ] {
        let error = refused(opset, body);
        assert!(error.starts_with("node 'n' ("), "{error}");
    }
}

#[test]
fn malformed_nodes_are_errors() {
    for (opset, body) in [
        (9, "y = TopK (x)"),
        (9, "y = TopK <k = \"two\"> (x)"),
        (9, "y = Clip <min = 3> (x)"),
        (8, "y = Upsample (x)"),
        (10, "y = Resize (x)"),
        (9, "y = Softmax <axis = \"last\"> (x)"),
        (18, "c = Constant () y = Add (x, c)"),
        (18, "c = Constant <value_int = 2.5> () y = Add (x, c)"),
    ] {
        refused(opset, body);
    }
}

#[test]
fn constants_become_initializers() {
    let add = |constant: &str| raised(18, &format!("c = Constant <{constant}> () y = Add (x, c)"));
    assert_eq!(add("value = float[2] {1, 2}"), "y = Add(x, [1, 2])");
    assert_eq!(add("value_float = 1.5"), "y = Add(x, 1.5)");
    assert_eq!(add("value_floats = [1.5, 2.0]"), "y = Add(x, [1.5, 2])");
    assert_eq!(add("value_int = 3"), "y = Add(x, 3)");
    assert_eq!(add("value_ints = [3, 4]"), "y = Add(x, [3, 4])");
    assert_eq!(add("value_string = \"s\""), "y = Add(x, …)");
    assert_eq!(add("value_strings = [\"s\", \"t\"]"), "y = Add(x, […])");
    let mut model = model(18, "y = Constant <value_int = 3> ()");
    normalise(&mut model).unwrap();
    assert_eq!(model.graph.node_count(), 1);
}

#[test]
fn subgraphs_are_raised_too() {
    let body = "y = If (x) <then_branch = t () => (a) { a = Unsqueeze <axes = [0]> (w) },
                            else_branch = e () => (a) { c = Constant <value_int = 1> ()
                                                        a = Add (w, c) }>";
    check(11, body, "y = If<then_branch={a = Unsqueeze(w, [0])} else_branch={a = Add(w, 1)}>(x)");
}

#[test]
fn new_names_differ_from_those_of_subgraphs() {
    let body = "y = If (x) <then_branch = t () => (slp/norm/u/axes) {
                                \"slp/norm/u/axes\" = Relu (u) },
                            else_branch = e () => (b) { [u] b = Unsqueeze <axes = [0]> (u) }>
                [u] u = Unsqueeze <axes = [0]> (w)";
    let body = body.replace("(slp/norm/u/axes)", "(\"slp/norm/u/axes\")");
    let mut model = model(11, &body);
    normalise(&mut model).unwrap();
    let names = |n: &str| model.graph.find(n).is_some();
    assert!(!names("slp/norm/u/axes"));
    assert!(names("slp/norm/u/axes~2") ^ names("slp/norm/u/axes~3"));
}
