use super::*;
use crate::compile::infer::infer;
use crate::onnx::text;

/// Whether `i`, computed by `nodes` from the input `x` and constants, counts the places of an axis.
fn counts(constants: &str, nodes: &str, size: &str) -> bool {
    let head =
        "int64[1] four = {4}, int64[1] one = {1}, int64[2] ends = {1,2}, int64[1] none = {0}";
    let start = "n = Shape <start=0, end=1> (x) m = Squeeze (n)";
    let scalars = "int64 zero = {0}, int64 step = {1}, int64 two = {2}, int64 three = {3}";
    let source =
        format!("g (float[N,2] x) => () <{head}, {scalars}{constants}> {{ {start} {nodes} }}");
    let mut graph = text::parse_graph(&source).expect("the test's graph parses");
    infer(&mut graph, 22).expect("the test's graph is typed");
    let size = size.split('*').map(|factor| match factor.parse() {
        Ok(n) => Dim::Value(n),
        Err(_) => Dim::pos_var(factor),
    });
    let indices = graph.find("i").expect("the test names its indices");
    let size = size.reduce(|a, b| a * b).expect("a size");
    counts_places(&graph, indices, &size)
}

#[track_caller]
fn yes(constants: &str, nodes: &str, size: &str) {
    assert!(counts(constants, nodes, size), "{nodes}");
}

#[track_caller]
fn no(constants: &str, nodes: &str, size: &str) {
    assert!(!counts(constants, nodes, size), "{nodes}");
}

const ROWS: &str = "r = Range (zero, m, step) s = Mul (r, three) t = Unsqueeze (s, one)";
const COLUMNS: &str = ", int64[1,3] c = {0,1,2}";

#[test]
fn tables_that_count_are_seen() {
    yes("", "i = Range (zero, m, step)", "N");
    yes(COLUMNS, &format!("{ROWS} i = Add (t, c)"), "3*N");
    yes(COLUMNS, &format!("{ROWS} i = Add (c, t)"), "3*N");
    yes(
        COLUMNS,
        &format!("{ROWS} a = Add (c, t) b = Unsqueeze (a, ends) i = Add (b, none)"),
        "3*N",
    );
    yes(", int64[2,3] i = {0,1,2,3,4,5}", "", "6");
    yes(", int64[1,1] i = {0}", "", "1");
}

#[test]
fn other_tables_are_not() {
    no("", "i = Range (zero, m, step)", "M");
    no("", "i = Range (zero, m, step)", "2*N");
    no("", "i = Range (step, m, step)", "N");
    no("", "i = Range (zero, m, two)", "N");
    no(
        COLUMNS,
        "r = Range (zero, m, step) s = Mul (r, two) t = Unsqueeze (s, one) i = Add (t, c)",
        "3*N",
    );
    no(", int64[1,3] c = {0,2,1}", &format!("{ROWS} i = Add (t, c)"), "3*N");
    no(", int64[1,3] c = {1,2,3}", &format!("{ROWS} i = Add (t, c)"), "3*N");
    no(
        COLUMNS,
        "r = Range (zero, m, step) s = Mul (r, r) t = Unsqueeze (s, one) i = Add (t, c)",
        "3*N",
    );
    no(", int64[2,3] i = {0,1,2,3,4,6}", "", "6");
    no(", int64[2,3] i = {0,2,4,1,3,5}", "", "6");
    no(", int64[3] i = {0,-1,-2}", "", "3");
    no(", int64[2] i = {0,9223372036854775807}", "", "2");
}
