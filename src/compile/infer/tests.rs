mod real;
mod windows;

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
fn products() {
    let matmul = |a: &str, b: &str, y: &str| {
        check(&format!("float{a} a, float{b} b"), "y = MatMul (a, b)", y)
    };
    matmul("[3,4]", "[4,5]", "float[3,5]");
    matmul("[4]", "[4,5]", "float[5]");
    matmul("[3,4]", "[4]", "float[3]");
    matmul("[4]", "[4]", "float[]");
    matmul("[N,1,3,4]", "[7,4,5]", "float[N,7,3,5]");
    matmul("[N,T,4]", "[N,4,S]", "float[N,T,S]");
    let differ = "differ, 4 and 5 (the inputs are [3, 4], [5, 6])";
    refuse("float[3,4] a, float[5,6] b", "y = MatMul (a, b)", differ);
    refuse("float a, float[5,6] b", "y = MatMul (a, b)", "scalar");
    let x = "float[N,3] a, float[3,5] b, float[5] c";
    check(x, "y = Gemm (a, b, c)", "float[N,5]");
    check("float[3,N] a, float[5,3] b", "y = Gemm <transA=1, transB=1> (a, b)", "float[N,5]");
    refuse("float[2,3] a, float[3,5] b, float[4] c", "y = Gemm (a, b, c)", "do not broadcast");
    refuse("float[2,3] a, float[3,5] b, float[3,5] c", "y = Gemm (a, b, c)", "do not broadcast");
    let x = "float[B,2,3] a, float[B,3,4] b";
    check(x, "y = Einsum <equation=\"bij,bjk->bki\"> (a, b)", "float[B,4,2]");
    check(x, "y = Einsum <equation=\"...ij,...jk\"> (a, b)", "float[B,2,4]");
    refuse(
        "float[2,3] a, float[4,4] b",
        "y = Einsum <equation=\"ij,jk\"> (a, b)",
        "'j' has sizes 3 and 4",
    );
    let fused = "y = com.microsoft.FusedMatMul <transA=1> (a, b)";
    check("float[7,3,2] a, float[3,4] b", fused, "float[7,2,4]");
}

#[test]
fn broadcasting() {
    let add =
        |a: &str, b: &str, y: &str| check(&format!("float{a} a, float{b} b"), "y = Add (a, b)", y);
    add("[3,1]", "[4]", "float[3,4]");
    add("", "[4]", "float[4]");
    add("[N,3]", "[N,1]", "float[N,3]");
    add("[N,3]", "[1]", "float[N,3]");
    add("[N]", "[5]", "float[5]");
    add("[N]", "[M]", "float[broadcast(M, N)]");
    add("[0,3]", "[1,3]", "float[0,3]");
    refuse("float[2] a, float[3] b", "y = Mul (a, b)", "2 and 3 do not broadcast");
    check("float[N] a, float[N] b", "y = Less (a, b)", "bool[N]");
    check("bool[3,1] c, double[4] a, double[2,1,1] b", "y = Where (c, a, b)", "double[2,3,4]");
    check("float[2,1] a, float[3] b, float[4,1,1] c", "y = Sum (a, b, c)", "float[4,2,3]");
    check("float[2,3] a, float[3] b", "y = PRelu (a, b)", "float[2,3]");
    check("float[2,3] a", "y = com.microsoft.QuickGelu (a)", "float[2,3]");
    check("float[2,3] a", "y = com.example.Gelu (a)", "?[...]");
    check("float[2,3] a", "y = NoSuchOperator (a)", "?[...]");
}

#[test]
fn shapes_computed_in_the_graph_are_followed() {
    let zero = "float[N,3,4] x | int64 i = {0}, int64[1] zero = {0}, int64[1] rest = {-1}, int64[3] ones = {1,1,1}";
    let check = |nodes: &str, wanted: &str| check(zero, nodes, wanted);
    check("y = Shape (x)", "int64={N,3,4}");
    check("y = Shape <start=-2> (x)", "int64={3,4}");
    check("y = Shape <start=1, end=-1> (x)", "int64={3}");
    check("y = Size (x)", "int64=12 * N");
    let target =
        "s = Shape (x) n = Gather (s, i) u = Unsqueeze (n, zero) t = Concat <axis=0> (u, rest)";
    check(&format!("{target} y = Reshape (x, t)"), "float[N,12]");
    check(&format!("{target} y = Mul (t, t)"), "int64={N * N,1}");
    check("s = Shape (x) y = Cast <to=6> (s)", "int32={N,3,4}");
    check("s = Shape (x) y = Cast <to=1> (s)", "float[3]");
    check("s = Shape (x) y = ReduceProd <keepdims=0> (s)", "int64=12 * N");
    check("s = Shape (x) y = ReduceMax (s)", "int64={max(4, N)}");
    check("s = Shape (x) e = Equal (s, rest) y = Where (e, ones, s)", "int64={N,3,4}");
    check("s = Shape (x) y = ConstantOfShape (s)", "float[N,3,4]");
    check(
        "s = Shape (x) n = Gather (s, i) k = Unsqueeze (n, zero) z = ConstantOfShape (k) y = Expand (z, s)",
        "float[N,3,4]",
    );
    check(
        "s = Shape (x) n = Gather (s, i) o = Squeeze (rest) one = Neg (o) y = Range (i, n, one)",
        "int64[N]",
    );
    check("s = Shape (x) a, b = Split <num_outputs=2> (s) y = Identity (b)", "int64={4}");
    check("s = Shape (x) n = Gather (s, i) m = Sub (n, n) y = Unsqueeze (m, zero)", "int64={0}");
    check("s = Shape (x) n = Gather (s, i) m = Div (n, i) y = Unsqueeze (m, zero)", "int64={?}");
}

#[test]
fn reshapes() {
    let reshape = |from: &str, to: &str, rank: usize, y: &str| {
        let around = format!("float{from} x | int64[{rank}] s = {{{to}}}");
        check(&around, "y = Reshape (x, s)", &format!("float{y}"));
    };
    reshape("[2,3,4]", "0,-1", 2, "[2,12]");
    reshape("[N,512,7,7]", "-1,25088", 2, "[N,25088]");
    reshape("[N,6]", "0,2,3", 3, "[N,2,3]");
    reshape("[N,6]", "-1,3", 2, "[2 * N,3]");
    reshape("[N,H,W]", "0,-1", 2, "[N,H * W]");
    reshape("[0,3]", "-1,3", 2, "[0,3]");
    reshape("[1]", "", 0, "[]");
    reshape("[N,3000000,3000]", "0,-1", 2, "[N,int64 9000000000]");
    reshape("[2]", "1000000,1000000,1000000,1000000", 4, "[1000000,1000000,1000000,1000000]");
    let refuse = |s: &str, rank: usize, wanted: &str| {
        refuse(
            &format!("float[2,3,4] x | int64[{rank}] s = {{{s}}}"),
            "y = Reshape (x, s)",
            wanted,
        );
    };
    refuse("5,-1", 2, "do not divide");
    refuse("7,3", 2, "24 elements cannot have this shape of 21");
    refuse("-1,-1", 2, "is no shape");
    refuse("1,1,1,0", 4, "dimension 3 to copy");
    check("float[0,3] x | int64[2] s = {3,0}", "y = Reshape <allowzero=1> (x, s)", "float[3,0]");
    check("float[2,3] x, int64[4] s", "y = Reshape (x, s)", "float[?,?,?,?]");
    check("float[2,3] x, int64[K] s", "y = Reshape (x, s)", "float[...]");
    check("float[2,3] x, int64[9000000] s", "y = Reshape (x, s)", "float[...]");
}

#[test]
fn slices() {
    // Size, start, end, step, elements: as numpy slices.
    let table: [(i64, i64, i64, i64, i64); 14] = [
        (8, 0, 8, 1, 8),
        (8, 1, i64::MAX, 1, 7),
        (8, -3, i64::MAX, 1, 3),
        (8, 1, -1, 2, 3),
        (8, 7, 0, -1, 7),
        (8, -1, i64::MIN, -1, 8),
        (8, 100, -100, -3, 3),
        (8, 5, 2, 1, 0),
        (8, -100, 2, 1, 2),
        (8, 0, 8, i64::MAX, 1),
        (8, 5, 1, -2, 2),
        (0, 0, 5, 1, 0),
        (0, -1, -100, -1, 0),
        (1, 0, i64::MIN, -1, 1),
    ];
    let slice = |size: &str, (start, end, step): (i64, i64, i64), wanted: &str| {
        let around = format!(
            "float[2,{size}] x | int64[1] a = {{{start}}}, int64[1] b = {{{end}}}, int64[1] axis = {{-1}}, int64[1] step = {{{step}}}"
        );
        check(&around, "y = Slice (x, a, b, axis, step)", &format!("float[2,{wanted}]"));
    };
    for (size, start, end, step, wanted) in table {
        slice(&size.to_string(), (start, end, step), &wanted.to_string());
    }
    slice("N", (0, i64::MAX, 1), "N");
    slice("N", (0, i64::MAX, 2), "ceil_div(N, 2)");
    slice("N", (-1, i64::MIN, -1), "N");
    slice("N", (0, 3, 1), "min(3, N)");
    slice("N", (1, i64::MAX, 1), "max(0, -1 + N)");
    slice("N", (-2, i64::MAX, 1), "min(2, N)");
    slice("N", (0, -1, 1), "max(0, -1 + N)");
    slice("8", (-1, i64::MAX, -1), "?");
    let bounds = "int64[1] a = {0}, int64[1] b = {2}, int64[1] axis = {5}, int64[1] zero = {0}";
    refuse(&format!("float[2] x | {bounds}"), "y = Slice (x, a, b, axis)", "axis 5 of 1");
    refuse(&format!("float[2] x | {bounds}"), "y = Slice (x, a, b, a, zero)", "a step is 0");
    check(
        "float[N,3,4] x | int64[1] a = {1}, int64[1] b = {9}",
        "s = Shape (x) y = Slice (s, a, b)",
        "int64={3,4}",
    );
    check("float[N,3] x, int64[1] a, int64[1] b", "y = Slice (x, a, b)", "float[?,3]");
}

#[test]
fn layout() {
    let x = "float[N,3,4] x | int64[2] axes = {0,-1}, int64[1] one = {1}, int64[2] two = {2,1}, int64[2] same = {3,3}, int64[6] pads = {0,1,-1,0,2,0}";
    check(x, "y = Transpose (x)", "float[4,3,N]");
    check(x, "y = Transpose <perm=[2,0,1]> (x)", "float[4,N,3]");
    check(x, "y = Flatten (x)", "float[N,12]");
    check(x, "y = Flatten <axis=-1> (x)", "float[3 * N,4]");
    check(x, "y = Flatten <axis=0> (x)", "float[1,12 * N]");
    check(x, "y = Unsqueeze (x, axes)", "float[1,N,3,4,1]");
    check(x, "u = Unsqueeze (x, axes) y = Squeeze (u, axes)", "float[N,3,4]");
    check(x, "y = Squeeze (x)", "float[...]");
    check(x, "y = Concat <axis=1> (x, x)", "float[N,6,4]");
    check(x, "y = Concat <axis=0> (x, x)", "float[N + N,3,4]");
    check(x, "y = Pad (x, pads)", "float[N,6,3]");
    check(x, "y = Pad (x, two,, one)", "float[N,6,4]");
    check(x, "a, y = Split <axis=1> (x, two)", "float[N,2,4], float[N,1,4]");
    check(x, "a, y = Split <axis=1, num_outputs=2> (x)", "float[N,2,4], float[N,1,4]");
    check(
        x,
        "a, y = Split <num_outputs=2> (x)",
        "float[ceil_div(N, 2),3,4], float[N + (-ceil_div(N, 2)),3,4]",
    );
    check("float[1,3,N] x, int64[2] s", "y = Expand (x, s)", "float[?,3,?]");
    check("float[2,3] x | int64[2] r = {2,0}", "y = Tile (x, r)", "float[4,0]");
    check("float[1,8,H,3] x", "y = DepthToSpace <blocksize=2> (x)", "float[1,2,2 * H,6]");
    check("float[1,2,H,6] x", "y = SpaceToDepth <blocksize=2> (x)", "float[1,8,H / 2,3]");
    check("float[4,5] x | int64[1] s = {3}", "y = CenterCropPad <axes=[1]> (x, s)", "float[4,3]");
    refuse(x, "y = Transpose <perm=[0,0,1]> (x)", "does not permute");
    refuse(x, "y = Unsqueeze (x, same)", "twice");
    refuse(x, "y = Squeeze (x, one)", "axis 1 to squeeze has size 3");
    refuse(x, "a, b = Split <axis=1> (x, same)", "3 cannot be split into [3, 3]");
    refuse(
        "float[2,3] a, float[2,4] b",
        "y = Concat <axis=0> (a, b)",
        "differ in dimension 1: 3 and 4",
    );
    refuse("float[2,3] a, float[2] b", "y = Concat <axis=0> (a, b)", "different ranks");
    refuse("float[1,8,4,3] x", "y = SpaceToDepth <blocksize=2> (x)", "does not divide");
    refuse("float[2] x | int64[2] pads = {-3,0}", "y = Pad (x, pads)", "would be -1");
}

#[test]
fn selection_and_generation() {
    let x = "float[2,3] x, int64[5,1] i, float[K] f | int64 one = {1}, int64[1] two = {2}, int64[1] nine = {9}";
    check(x, "y = Gather (x, i)", "float[5,1,3]");
    check(x, "y = Gather <axis=-1> (x, one)", "float[2]");
    check(x, "y = GatherElements (x, i)", "float[5,1]");
    check(x, "y = GatherND (x, i)", "float[5,3]");
    check(x, "y, j = TopK <axis=0> (x, two)", "float[2,3], int64[2,3]");
    check(x, "y = OneHot <axis=0> (i, two, f)", "float[2,5,1]");
    check(x, "y = NonZero (x)", "int64[2,?]");
    check(x, "y = ArgMax <axis=-1, keepdims=0> (x)", "int64[2]");
    check(x, "y, a, b, c = Unique (x)", "float[?], int64[?], int64[6], int64[?]");
    check(x, "y = EyeLike <dtype=11> (x)", "double[2,3]");
    check(x, "y = ConstantOfShape (two)", "float[2]");
    check(x, "y = RandomNormal <shape=[2,3], dtype=10> ()", "float16[2,3]");
    check("|float a = {0}, float b = {1}, float c = {0.1}", "y = Range (a, b, c)", "float[10]");
    check("|int64 a = {5}, int64 b = {0}, int64 c = {-2}", "y = Range (a, b, c)", "int64={5,3,1}");
    refuse(x, "y, j = TopK (x, nine)", "9 largest of 3");
    refuse(x, "y = Gather <axis=2> (x, i)", "axis 2 of 2");
    refuse("|int64 a = {5}, int64 c = {0}", "y = Range (a, a, c)", "invalid value");
}

#[test]
fn resizing() {
    let x = "float[1,2,5,H] x | float[4] twice = {1,1,2,2}, float[4] half = {1,1,0.5,0.5}, float[4] third = {1,1,1.3,0.7}, int64[4] to = {1,2,7,9}, int64[2] small = {7,20}";
    check(x, "y = Resize (x,,twice)", "float[1,2,10,2 * H]");
    check(x, "y = Resize (x,,half)", "float[1,2,2,H / 2]");
    check(x, "y = Resize (x,,third)", "float[1,2,6,?]");
    check(x, "y = Resize (x,,,to)", "float[1,2,7,9]");
    check(x, "y = Resize <axes=[2,3]> (x,,,small)", "float[1,2,7,20]");
    let x = "float[1,2,5,6] x | int64[2] to = {7,20}";
    let kept = |policy: &str| {
        format!("y = Resize <axes=[2,3], keep_aspect_ratio_policy=\"{policy}\"> (x,,,to)")
    };
    check(x, &kept("not_larger"), "float[1,2,7,8]");
    check(x, &kept("not_smaller"), "float[1,2,17,20]");
    refuse(x, "y = Resize (x,,,to)", "2 sizes or scales for 4 axes");
}

#[test]
fn reductions() {
    let x = "float[N,3,4] x, int64[2] late | int64[2] axes = {1,-1}, int64[0] none = {}";
    check(x, "y = ReduceSum (x, axes)", "float[N,1,1]");
    check(x, "y = ReduceMean <keepdims=0> (x, axes)", "float[N]");
    check(x, "y = ReduceMax <keepdims=0> (x)", "float[]");
    check(x, "y = ReduceL2 (x, none)", "float[1,1,1]");
    check(x, "y = ReduceSum <noop_with_empty_axes=1> (x, none)", "float[N,3,4]");
    check(x, "y = ReduceSum <noop_with_empty_axes=1> (x)", "float[N,3,4]");
    check(x, "y = ReduceSum (x, late)", "float[?,?,?]");
    check(x, "y = ReduceSum <keepdims=0> (x, late)", "float[...]");
}

#[test]
fn networks() {
    let x = "float16[N,3,H] x, float[3] c";
    check(
        x,
        "y, m, v = BatchNormalization <training_mode=1> (x, c, c, c, c)",
        "float16[N,3,H], float[3], float[3]",
    );
    check(
        x,
        "y, m, v = LayerNormalization <axis=1> (x, c)",
        "float16[N,3,H], float[N,1,1], float[N,1,1]",
    );
    check(x, "y,, v = LayerNormalization (x, c)", "float16[N,3,H], float[N,3,1]");
    check(x, "y, m = Dropout (x)", "float16[N,3,H], bool[N,3,H]");
    check(x, "y = Softmax <axis=1> (x)", "float16[N,3,H]");
    check(x, "y = Cast <to=16> (x)", "bfloat16[N,3,H]");
    check(x, "y = CastLike (x, c)", "float[N,3,H]");
    let x = "float[5,N,3] x, float[2,16,3] w, float[2,16,4] r";
    let both = "direction=\"bidirectional\"";
    check(
        x,
        &format!("y, h, c = LSTM <{both}> (x, w, r)"),
        "float[5,2,N,4], float[2,N,4], float[2,N,4]",
    );
    let x = "float[5,N,3] x, float[1,21,3] w, float[1,21,7] r";
    check(x, "y, h = GRU <layout=1, hidden_size=7> (x, w, r)", "float[5,N,1,7], float[5,1,7]");
    check(x, "y = QuantizeLinear (x, w)", "uint8[5,N,3]");
    check("float[4] x, float s, int8 z", "y = QuantizeLinear (x, s, z)", "int8[4]");
    check("int8[4] x, float16 s", "y = DequantizeLinear (x, s)", "float16[4]");
    check("float[4] x", "y, s, z = DynamicQuantizeLinear (x)", "uint8[4], float[], uint8[]");
    let image =
        "float[1,2,8,8] x, float[3,4] r, int64[3] b, float[1,5,6,2] g | int64[4] s = {1,2,4,5}";
    check(image, "y = RoiAlign <output_height=2, output_width=3> (x, r, b)", "float[3,2,2,3]");
    check(image, "y = GridSample (x, g)", "float[1,2,5,6]");
    check(image, "y = AffineGrid (x, s)", "float[1,4,5,2]");
    let heads = "float[B,4,T,8] q, float[B,4,S,8] k, float[B,4,S,3] v";
    check(
        heads,
        "y, k1, v1, s = Attention (q, k, v)",
        "float[B,4,T,3], float[B,4,S,8], float[B,4,S,3], float[B,4,T,S]",
    );
    check("float[2,6,1] x | int64 one = {1}", "y = DFT <onesided=1> (x,, one)", "float[2,4,2]");
    check(
        "float[2,3] x, int64[2] t",
        "y, p = SoftmaxCrossEntropyLoss <reduction=\"none\"> (x, t)",
        "float[2], float[2,3]",
    );
}

#[test]
fn subgraphs() {
    let branches = |a: &str, b: &str| {
        format!(
            "y = If (c) <then_branch = t () => (float a) {{ a = {a} }}, else_branch = e () => (float b) {{ b = {b} }}>"
        )
    };
    let x = "bool c, float[N,3] x, float[M,3] z";
    check(x, &branches("Neg (x)", "Abs (x)"), "float[N,3]");
    check(x, &branches("Neg (x)", "Abs (z)"), "float[?,3]");
    check(x, &branches("Neg (x)", "Flatten <axis=0> (x)"), "float[?,?]");
    check(x, &branches("Neg (x)", "ReduceSum <keepdims=0> (x)"), "float[...]");
    refuse("bool c, float[2,3] x", &branches("MatMul (x, x)", "Abs (x)"), "node 'a' (MatMul)");
    let looped = |body: &str| {
        format!(
            "y, l = Loop (n, c, x) <body = b (int64 i, bool k, float s) => (bool k, float t, float u) {{ {body} }}>"
        )
    };
    let x = "int64 n, bool c, float[N,3] x";
    check(x, &looped("t = Neg (s) u = ReduceSum <keepdims=0> (s)"), "float[N,3], float[?]");
    check(x, &looped("t = Concat <axis=0> (s, x) u = Neg (x)"), "float[?,3], float[?,N,3]");
    check(x, &looped("t = Flatten <axis=0> (s) u = Neg (s)"), "float[?,?], float[?,?,?]");
    check(x, &looped("t = ReduceSum <keepdims=0> (s) u = Neg (x)"), "float[...], float[?,N,3]");
    let scan = "y, z = Scan <num_scan_inputs=1, body = b (float s, float e) => (float t, float u) { t = Add (s, e) u = Neg (t) }> (h, x)";
    check("float[3] h, float[T,3] x", scan, "float[3], float[T,3]");
    let across = scan.replace(
        "num_scan_inputs=1",
        "num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[-1]",
    );
    check("float[3] h, float[3,T] x", &across, "float[3], float[3,T]");
}

#[test]
fn symbols_are_new_to_the_graph() {
    let graph = text::parse_graph("g (float[unknown1_1] x) => () { y = NonZero (x) }").unwrap();
    assert_eq!(symbols(&graph).generate().to_string(), "unknown2_1");
}

#[test]
fn declarations_stay_only_where_nothing_is_inferred() {
    let source =
        "g (float[2] x) => (double[7] y, int64[7] z) { y = Neg (x) z = com.example.F (x) }";
    let mut graph = text::parse_graph(source).unwrap();
    infer(&mut graph, 18).unwrap();
    let shown: Vec<_> = graph.outputs.iter().map(|&id| show(graph.value(id))).collect();
    assert_eq!(shown, ["float[2]", "int64[7]"]);
}
