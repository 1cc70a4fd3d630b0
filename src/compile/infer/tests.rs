use super::*;
use crate::onnx::text;

/// What is inferred of the outputs of the last of `nodes`; `around` are inputs and, behind a
/// bar, initializers in the text syntax.
fn outcome(around: &str, nodes: &str) -> Result<String> {
    let (inputs, constants) = around.split_once('|').unwrap_or((around, ""));
    let source = format!("g ({inputs}) => () <{constants}> {{ {nodes} }}");
    let mut graph = text::parse_graph(&source).expect("the test's graph parses");
    infer(&mut graph, 22)?;
    let last = graph.nodes().last().expect("the test has a node").1;
    let shown = last.outputs.iter().flatten().map(|&id| show(graph.value(id)));
    Ok(shown.collect::<Vec<_>>().join(", "))
}

/// Type, dimensions and contents; synthetic symbols are `?`.
fn show(value: &Value) -> String {
    let plain = |dim: &Dim| match dim
        .iter()
        .any(|part| matches!(part, Dim::Var(s) if s.synthetic && dim::number(part).is_none()))
    {
        true => "?".to_owned(),
        false => dim.to_string(),
    };
    let list = |dims: &[Dim]| dims.iter().map(plain).collect::<Vec<_>>().join(",");
    let dtype = value.dtype.map_or("?", DataType::name);
    match (value.facts.as_scalar(), value.facts.as_vector(), value.dims()) {
        (Some(one), _, _) => format!("{dtype}={}", plain(one)),
        (_, Some(all), _) => format!("{dtype}={{{}}}", list(all)),
        (_, _, Some(dims)) => format!("{dtype}[{}]", list(&dims)),
        _ => format!("{dtype}[...]"),
    }
}

#[track_caller]
fn check(around: &str, nodes: &str, wanted: &str) {
    assert_eq!(outcome(around, nodes).unwrap(), wanted, "{nodes}");
}

#[track_caller]
fn refuse(around: &str, nodes: &str, wanted: &str) {
    let error = outcome(around, nodes).unwrap_err();
    assert_eq!(error.kind, crate::error::Kind::Unreadable);
    assert!(error.place.node.is_some(), "the error names the node");
    assert!(error.to_string().contains(wanted), "{error}");
}

#[test]
fn convolutions() {
    let x = "float[N,3,8,8] x, float[4,3,3,3] w";
    check(x, "y = Conv (x, w)", "float[N,4,6,6]");
    check(x, "y = Conv <pads=[1,1,1,1], strides=[2,2]> (x, w)", "float[N,4,4,4]");
    check(x, "y = Conv <auto_pad=\"SAME_UPPER\", strides=[3,2]> (x, w)", "float[N,4,3,4]");
    check(x, "y = Conv <auto_pad=\"VALID\", dilations=[2,3]> (x, w)", "float[N,4,4,2]");
    let x = "float[N,3,H,W] x, float[4,3,3,3] w";
    check(x, "y = Conv <pads=[1,1,1,1]> (x, w)", "float[N,4,H,W]");
    check(
        x,
        "y = Conv <pads=[1,1,1,1], strides=[2,2]> (x, w)",
        "float[N,4,1 + (-1 + H) / 2,1 + (-1 + W) / 2]",
    );
    check(
        "float[1,2,5,6,7] x, float[4,1,2,3,4] w",
        "y = Conv <group=2> (x, w)",
        "float[1,4,4,4,4]",
    );
    check("float[1,2,5] x, float[4,2,2] w", "y = Conv (x, w)", "float[1,4,4]");
    refuse("float[1,3,5] x, float[4,2,2] w", "y = Conv (x, w)", "3 channels");
    refuse("float[1,2,2] x, float[4,2,3] w", "y = Conv (x, w)", "does not fit");
    refuse("float[1,2,2] x, float[4,2,3] w", "y = Conv <strides=[0]> (x, w)", "'strides' is [0]");
}

#[test]
fn products() {
    let matmul = |a: &str, b: &str, y: &str| {
        check(&format!("float{a} a, float{b} b"), "y = MatMul (a, b)", y)
    };
    matmul("[3,4]", "[4,5]", "float[3,5]");
    matmul("[4]", "[4,5]", "float[5]");
    matmul("[3,4]", "[4]", "float[3]");
    matmul("[4]", "[4]", "float[]");
    matmul("[N,1,3,4]", "[7,4,5]", "float[N,7,3,5]");
    refuse(
        "float[3,4] a, float[5,6] b",
        "y = MatMul (a, b)",
        "differ, 4 and 5 (the inputs are [3, 4], [5, 6])",
    );
}

#[test]
fn shapes_computed_in_the_graph_are_followed() {
    check(
        "float[N,3,4] x | int64 i = {0}, int64[1] zero = {0}, int64[1] rest = {-1}",
        "s = Shape (x) n = Gather (s, i) u = Unsqueeze (n, zero) t = Concat <axis=0> (u, rest) y = Reshape (x, t)",
        "float[N,12]",
    );
}
