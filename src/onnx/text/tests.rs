use super::*;
use crate::graph::Graph;

const HEAD: &str = "<ir_version: 8, opset_import: [\"\" : 18]>";

/// A graph around the nodes `body` with inputs x, w and output y.
fn body(nodes: &str) -> Graph {
    parse_graph(&format!("g (float[N] x, float[3] w) => (float[M] y) {{ {nodes} }}")).unwrap()
}

fn refusal(text: &str) -> String {
    parse_graph(text).unwrap_err().to_string()
}

#[test]
fn header_and_graph_are_read() {
    let text = format!("{HEAD} g (float[N, 3] x) => (float[N, 3] y) {{ y = Relu (x) }}");
    let model = parse(&text).unwrap();
    assert_eq!((model.ir_version, model.opset()), (8, 18));
    let graph = &model.graph;
    assert_eq!((graph.inputs.len(), graph.outputs.len(), graph.node_count()), (1, 1, 1));
    let dims = graph.value(graph.inputs[0]).dims().unwrap();
    assert_eq!(dims.iter().map(ToString::to_string).collect::<Vec<_>>(), ["N", "3"]);
}

#[test]
fn left_out_operands_are_none() {
    let count = |node: &str| {
        let graph = body(node);
        let (_, node) = graph.nodes().next().unwrap();
        node.inputs.iter().map(Option::is_some).collect::<Vec<_>>()
    };
    assert_eq!(count("y = F (x,, w)"), [true, false, true]);
    assert_eq!(count("y = F (x, \"\", w)"), [true, false, true]);
    assert_eq!(count("y = F (,x)"), [false, true]);
    assert_eq!(count("y = F (x,)"), [true]);
    assert_eq!(count("y = F (,)"), [false]);
    assert!(count("y = F ()").is_empty());
}

#[test]
fn an_undefined_name_is_named_with_its_place() {
    let error = refusal("g (float x) => (float y) {\n  y = Add (x, nowhere) }");
    assert!(error.contains("'nowhere'") && error.contains("line 2, column 15"), "{error}");
}

#[test]
fn subgraphs_capture_outer_values() {
    let graph =
        body("y = If (x) <then_branch = t () => (float a) { a = Add (w, late) }> late = Neg (x)");
    let (_, node) = graph.nodes().next().unwrap();
    let names: Vec<_> = node.captures.iter().map(|&id| &*graph.value(id).name).collect();
    assert_eq!(names, ["w", "late"]);
    assert_eq!(node.subgraphs().next().unwrap().free_values().len(), 2);
    assert_eq!(graph.topological().unwrap().len(), 2);
}

/// What `nodes` and `constants` look like when printed, without the frame.
fn lines(constants: &str, nodes: &str) -> Vec<String> {
    let text = format!("g (float[N] x) => (y) <{constants}> {{ {nodes} }}");
    let printed = print_graph(&parse_graph(&text).unwrap_or_else(|e| panic!("{text}: {e}")));
    let again = parse_graph(&printed).unwrap_or_else(|e| panic!("{printed}: {e}"));
    assert_eq!(print_graph(&again), printed);
    let inner = printed.lines().filter(|line| line.starts_with("   "));
    inner.map(|line| line.trim().to_owned()).collect()
}

macro_rules! nodes {
    ($($test:ident: $given:expr => $printed:expr;)*) => {$(
        #[test]
        fn $test() {
            assert_eq!(lines("", $given).join("; "), $printed);
        }
    )*};
}

nodes! {
    node_plain: "y=Relu(x)" => "y = Relu (x)";
    node_named: "[n] y = Relu (x)" => "[n] y = Relu (x)";
    node_with_odd_name: r#"["/a b"] y = Relu (x)"# => r#"["/a b"] y = Relu (x)"#;
    node_with_empty_name: "[] y = Relu (x)" => "y = Relu (x)";
    two_outputs: "y, i = MaxPool (x)" => "y, i = MaxPool (x)";
    left_out_output: "y, , m = F (x)" => r#"y, "", m = F (x)"#;
    left_out_input: "y = F (, x)" => r#"y = F ("", x)"#;
    domain: "y = com.microsoft.Gelu (x)" => "y = com.microsoft.Gelu (x)";
    odd_domain: r#"y = "my-own".F (x)"# => r#"y = "my-own".F (x)"#;
    overload: "y = local.F:v2 (x)" => "y = local.F:v2 (x)";
    int: "y = F <a = -3> (x)" => "y = F <a = -3> (x)";
    int_of_64_bits: "y = F <a = -9223372036854775808> (x)" => "y = F <a = -9223372036854775808> (x)";
    ints: "y = F <a=[0,-1]> (x)" => "y = F <a = [0, -1]> (x)";
    no_ints: "y = F <a: ints = []> (x)" => "y = F <a: ints = []> (x)";
    no_floats: "y = F <a: floats = []> (x)" => "y = F <a: floats = []> (x)";
    no_strings: "y = F <a: strings = []> (x)" => "y = F <a: strings = []> (x)";
    float: "y = F <a = 2.5> (x)" => "y = F <a = 2.5> (x)";
    float_from_int: "y = F <a: float = 1> (x)" => "y = F <a = 1.0> (x)";
    float_with_exponent: "y = F <a = 1E-7> (x)" => "y = F <a = 1e-7> (x)";
    float_of_negative_zero: "y = F <a: float = -0> (x)" => "y = F <a = -0.0> (x)";
    infinity: "y = F <a = inf, b = -Infinity> (x)" => "y = F <a = inf, b = -inf> (x)";
    not_a_number: "y = F <a = NaN> (x)" => "y = F <a = nan> (x)";
    floats: "y = F <a = [1.0, 2]> (x)" => "y = F <a = [1.0, 2.0]> (x)";
    string: r#"y = F <a = "SAME \"\\ é"> (x)"# => r#"y = F <a = "SAME \"\\ é"> (x)"#;
    strings: r#"y = F <a = ["p", ""]> (x)"# => r#"y = F <a = ["p", ""]> (x)"#;
    tensor: "y = F <a = float[2] {1, 2}> (x)" => "y = F <a = float[2] {1, 2}> (x)";
    tensor_of_kind: "y = F <a: tensor = int64 {7}> (x)" => "y = F <a = int64 {7}> (x)";
    tensor_with_name: "y = F <a = float[1] t = {1}> (x)" => "y = F <a = float[1] t {1}> (x)";
    tensors: "y = F <a = [int8 {1}, int8 {2}]> (x)" => "y = F <a: tensors = [int8 {1}, int8 {2}]> (x)";
    reference: "y = F <a: float = @b> (x)" => "y = F <a: float = @b> (x)";
    untyped_reference: "y = F <a = @b> (x)" => "y = F <a = @b> (x)";
    type_attribute: "y = F <a = seq(float[N, ?])> (x)" => "y = F <a: type_proto = seq(float[N, ?])> (x)";
    type_attributes: "y = F <a = [float, map(int64, string[])]> (x)"
        => "y = F <a: type_protos = [float, map(int64, string[])]> (x)";
    opaque_type: "y = F <a = opaque(ai.onnx, T)> (x)" => "y = F <a: type_proto = opaque(ai.onnx, T)> (x)";
    attributes_behind: "y = F (x) <a = 1, b = 2>" => "y = F <a = 1, b = 2> (x)";
    odd_names: r#""/c/C_0" = Relu (x) y = Neg ("/c/C_0")"# => r#""/c/C_0" = Relu (x); y = Neg ("/c/C_0")"#;
    names_that_are_types: r#""float" = Relu (x) y = Neg (float)"# => r#""float" = Relu (x); y = Neg ("float")"#;
    any_order: "y = Neg (t) t = Relu (x)" => "t = Relu (x); y = Neg (t)";
    comments: "# first\n y = Relu (x) # last\n" => "y = Relu (x)";
    keyword_attribute: "y = F <domain = 1, inf = 2> (x)" => "y = F <domain = 1, inf = 2> (x)";
}

macro_rules! constants {
    ($($test:ident: $given:expr => $printed:expr;)*) => {$(
        #[test]
        fn $test() {
            assert_eq!(lines($given, "y = F (x, c)"), [$printed, "y = F (x, c)"]);
        }
    )*};
}

constants! {
    floats_32: "float[3] c = {1, 0.5, -1e-30}" => "float[3] c = {1, 0.5, -1e-30}";
    floats_64: "double[2] c = {0.1, 1e300}" => "double[2] c = {0.1, 1e300}";
    special_floats: "float[4] c = {inf, -inf, nan, -0}" => "float[4] c = {inf, -inf, nan, -0}";
    scalar: "float c = {1}" => "float c = {1}";
    matrix: "int64[2, 2] c = {1,2,3,4}" => "int64[2, 2] c = {1, 2, 3, 4}";
    no_elements: "float[0] c = {}" => "float[0] c = {}";
    half_bits: "float16[2] c = {15360, 0}" => "float16[2] c = {15360, 0}";
    half_numbers: "float16[2] c = {1.0, inf}" => "float16[2] c = {15360, 31744}";
    bfloat_numbers: "bfloat16[1] c = {1.0}" => "bfloat16[1] c = {16256}";
    bytes_signed: "int8[2] c = {-128, 127}" => "int8[2] c = {-128, 127}";
    bytes_unsigned: "uint8[2] c = {0, 255}" => "uint8[2] c = {0, 255}";
    shorts_signed: "int16[1] c = {-32768}" => "int16[1] c = {-32768}";
    shorts_unsigned: "uint16[1] c = {65535}" => "uint16[1] c = {65535}";
    ints_32: "int32[1] c = {-2147483648}" => "int32[1] c = {-2147483648}";
    ints_unsigned: "uint32[1] c = {4294967295}" => "uint32[1] c = {4294967295}";
    ints_64: "int64[1] c = {-9223372036854775808}" => "int64[1] c = {-9223372036854775808}";
    ints_64_unsigned: "uint64[1] c = {18446744073709551615}" => "uint64[1] c = {18446744073709551615}";
    bools: "bool[2] c = {1, 0}" => "bool[2] c = {1, 0}";
    texts: r#"string[2] c = {"a", "\""}"# => r#"string[2] c = {"a", "\""}"#;
    complex_32: "complex64[1] c = {1, -2}" => "complex64[1] c = {1, -2}";
    complex_64: "complex128[1] c = {1, 0.1}" => "complex128[1] c = {1, 0.1}";
    small_floats: "float8e4m3fn[2] c = {1, 255}" => "float8e4m3fn[2] c = {1, 255}";
    packed_nibbles: "int4[3] c = {33, 3}" => "int4[3] c = {33, 3}";
    packed_pairs: "uint2[4] c = {27}" => "uint2[4] c = {27}";
}

/// Input declarations that print as they were given.
#[test]
fn input_types_survive() {
    for input in [
        "float x",
        "float[] x",
        "float[?] x",
        "float[N, 3, ?, \"2*h\"] x",
        "x",
        "seq(float[N]) x",
        "optional(seq(int64)) x",
        "map(int64, float[2]) x",
        "sparse_tensor(float[2, 3]) x",
        "opaque() x",
        "opaque(T) x",
        "float[2] x = {1, 2}",
        "float[N] \"/in\"",
        "float[N] \"map\"",
    ] {
        let text = format!("g ({input}) => () {{\n}}\n");
        assert_eq!(print_graph(&parse_graph(&text).unwrap()), text);
    }
}

#[test]
fn each_unknown_size_is_its_own() {
    let graph = parse_graph("g (float[?, ?] x) => () {}").unwrap();
    let dims = graph.value(graph.inputs[0]).dims().unwrap();
    assert!(dims[0] != dims[1] && dims[0].is_positive());
}

#[test]
fn a_whole_model_prints_as_it_was_given() {
    let text = r#"<ir_version: 10, opset_import: ["" : 18, "local" : 1], producer_name: "p", model_version: -3, metadata_props: ["k": "v", "": ""]>
g (bool c, float[N] x) => (float[N] y) <
   float[2] w = {1, 2}
> {
   [cond] y = If (c) <then_branch = t () => (float[N] a) {
      a = local.F <alpha = 1.0> (x, w)
   }, else_branch = e () => (b) <
      float k = {2}
   > {
      b = Mul (x, k)
   }>
}
<domain: "local", overload: "o", opset_import: ["" : 18]>
F <alpha, beta = 2.0> (p, q) => (r) {
   r = G <a: float = @alpha, b: float = @beta> (p, q)
}
"#;
    let model = parse(text).unwrap();
    assert_eq!(print(&model), text);
    assert_eq!(print_full(&model), text);
    assert_eq!(model.functions[0].attributes, ["alpha"]);
}

#[test]
fn every_header_key_survives() {
    let text = "<ir_version: 8, opset_import: [], producer_name: \"a\", producer_version: \"b\", domain: \"c\", model_version: 4, doc_string: \"d\">\ng () => () {\n}\n";
    assert_eq!(print(&parse(text).unwrap()), text);
}

#[test]
fn long_constants_are_left_out_unless_all_is_asked_for() {
    let list = vec!["1"; 17].join(", ");
    let text = format!("{HEAD} g () => (y) <float[17] w = {{{list}}}> {{ y = Relu (w) }}");
    let model = parse(&text).unwrap();
    assert!(print(&model).contains("float[17] w = {…}"));
    let error = parse(&print(&model)).unwrap_err().to_string();
    assert!(error.contains("left out") && error.contains("in full"), "{error}");
    assert!(print_full(&model).contains(&list));
    let again = parse(&print_full(&model)).unwrap();
    assert_eq!(print_full(&again), print_full(&model));
}

#[test]
fn inner_types_are_declared_in_full_and_commented_on_request() {
    let text = format!("{HEAD} g (float[N] x) => (y) <float[N] t> {{ t = Relu (x) y = Neg (t) }}");
    let model = parse(&text).unwrap();
    assert!(print_full(&model).contains("<\n   float[N] t\n>"));
    assert!(!print(&model).contains("float[N] t"));
    let shown = print_graph_with_shapes(&model.graph);
    assert!(shown.contains("t = Relu (x)  # float[N]\n   y = Neg (t)  # ?\n"), "{shown}");
    assert_eq!(print_graph(&parse_graph(&shown).unwrap()), print_graph(&model.graph));
}

#[test]
fn refusals_say_where_and_what() {
    let node = |node: &str| format!("g (x) => () {{ {node} }}");
    let constant = |constant: &str| format!("g () => () <{constant}> {{}}");
    for (text, what) in [
        (String::new(), "line 1, column 1: expected the name of a graph, found the end"),
        ("g".into(), "expected '=>', found the end"),
        ("g () => (".into(), "expected a name"),
        ("g () => () {} g".into(), "expected the end of the text, found 'g'"),
        ("g (x, x) => () {}".into(), "two inputs have this name"),
        ("g (\"x) => () {}".into(), "column 4: this string has no end"),
        ("g (float[-1] x) => () {}".into(), "expected a dimension from 0"),
        ("g (float[9999999999] x) => () {}".into(), "expected a dimension from 0"),
        (node("y = F (z)"), "nothing defines this name"),
        (node("y = F (x) y = G (x)"), "column 25: this value is produced twice"),
        (node("x = F (x)"), "a node produces an input"),
        (node("y = F <a = > (x)"), "expected the value of an attribute, found '>'"),
        (node("y = F <a = 99999999999999999999> (x)"), "expected an integer of 64 bits"),
        (node("y = F <a = 1e99> (x)"), "too large for its type"),
        (node("y = F <a = []> (x)"), "an empty list needs its kind"),
        (node("y = F <a: ints = 1> (x)"), "expected a value of kind ints, found int"),
        (node("y = F <a = [1, 2.0]> (x)"), "expected a value of kind int, found float"),
        (node("y = F <a: thing = 1> (x)"), "expected a kind of attribute"),
        (node("y = F <a = [@b]> (x)"), "a list has no references"),
        (node("y = F <a = -> (x)"), "expected a number behind the minus"),
        (node("y F (x)"), "expected a node or '}', found 'F'"),
        (constant("float[N] c = {1}"), "must be numbers"),
        (constant("float[] c = {1}"), "all its dimensions"),
        (constant("c = {1}"), "a constant needs a type"),
        (constant("float[2] c = {1}"), "expected 2 elements, found 1"),
        (constant("float[2] c = {1}, float[1] c = {1}"), "expected 2 elements"),
        (constant("float c = {1}, float c = {1}"), "has data already"),
        (constant("uint8[1] c = {256}"), "256 is no uint8 (0 to 255)"),
        (constant("int64[1] c = {1.5}"), "expected a whole number, found '1.5'"),
        (constant("bool[1] c = {2}"), "2 is no bool"),
        (constant("string[1] c = {1}"), "expected a string in quotes"),
        (constant("float[1] c = [\"location\": \"w\"]"), "external data"),
        (constant("float[2000000000, 2000000000, 2000000000] c = {}"), "too large for a tensor"),
        (constant("seq(float) c = {1}"), "needs a tensor type"),
    ] {
        let error = parse_graph(&text).unwrap_err();
        assert_eq!(error.kind, crate::error::Kind::Unreadable);
        assert!(error.to_string().contains(what), "{text}: {error}");
    }
    let error = parse("<colour: 1> g () => () {}").unwrap_err().to_string();
    assert!(error.contains("no key 'colour'"), "{error}");
}

#[test]
fn deep_nesting_is_refused() {
    let deep = |open: &str, close: &str, n: usize| format!("{}{}", open.repeat(n), close.repeat(n));
    let types = format!("g ({}x) => () {{}}", deep("seq(", ")", 100_000));
    assert!(refusal(&types).contains("nested more than 64"));
    let graphs = deep("g () => () { y = If () <b = ", "> }", 1000);
    assert!(refusal(&graphs).contains("nested more than 64"));
}

#[test]
fn mutated_text_never_panics() {
    let seed = r#"<ir_version: 8, opset_import: ["" : 18], metadata_props: ["k": "v"]>
g (float[N, ?] x, bool c) => (seq(float) y) <float16[2] w = {1.0, 2}, string[1] s = {"é"}> {
  [n] y = If (c) <then_branch = t () => (a) { a, , "/b" = com.F <p = [1.5, -inf], q: ints = []> (x, w) }>
} <domain: "l"> F <al, be: float = 1.0> (p) => (q) { q = G <a = @al, t = float[1] {2}> (p) } # end"#;
    let pieces: Vec<char> = "<>(){}[]=:,.\"\\@?#-…é0 9aex\n".chars().collect();
    let mut state = 7_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    let (mut good, mut bad) = (0, 0);
    for _ in 0..2000 {
        let mut text: Vec<char> = seed.chars().collect();
        for _ in 0..=random(4) {
            let at = random(text.len());
            match random(4) {
                0 => drop(text.remove(at)),
                1 => text.insert(at, pieces[random(pieces.len())]),
                2 => text[at] = pieces[random(pieces.len())],
                _ => text.truncate(at.max(1)),
            }
        }
        match parse(&text.into_iter().collect::<String>()) {
            Ok(model) => {
                good += 1;
                let printed = print_full(&model);
                let again = parse(&printed).unwrap_or_else(|e| panic!("{printed}: {e}"));
                assert_eq!(print_full(&again), printed);
            }
            Err(error) => {
                bad += 1;
                assert!(error.to_string().contains("line "), "{error}");
            }
        }
    }
    assert!(good > 50 && bad > 500, "{good} good, {bad} bad");
}
