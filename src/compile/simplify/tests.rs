use std::collections::HashSet;

use super::{name_outputs, simplify};
use crate::compile::infer::infer;
use crate::graph::{Graph, NodeId, ValueId};
use crate::onnx::text::parse_graph;

/// What the graph of `nodes` from x and w to `outputs` becomes, a line a node; nodes whose first
/// output begins with m are the model's own, the others are emitted.
fn simplified(outputs: &str, nodes: &str) -> String {
    rewritten(outputs, nodes, simplify)
}

/// [`simplified`] by another rewrite.
fn rewritten(outputs: &str, nodes: &str, rewrite: fn(&mut Graph, &HashSet<NodeId>)) -> String {
    let constants = "float one = {1.0}, float[1] wide = {1.0}, float two = {2.0},
        int64[2] square = {3,2}, int64[1] all = {-1}, int64[2] back = {2,3}, int64[2] copy = {0,-1},
        int64[3] copy3 = {0,2,1}, int64[3] tail = {0,0,4}, int64[4] copies = {0,0,2,2},
        int64[2] widths = {1,2}, int64[2] ends = {2,1}, int64[2] ends2 = {2,2}, int64[1] all1 = {1},
        int64[3] middle = {2,1,3}, float[3] row = {1,2,3}, float[1,3] one_row = {1,2,3},
        float[2,1,1] tall = {1,2}, float[2,3] square_row = {1,2,3,4,5,6}, float[3,1] tall_row = {1,2,3}";
    let text = format!(
        "g (float[2,3] x, float[N,4] s, float[N,M,4,1] t) => ({outputs}) <{constants}> {{ {nodes} }}"
    );
    let mut graph = parse_graph(&text).expect("the test's graph parses");
    infer(&mut graph, 18).expect("the test's graph has shapes");
    let own = |graph: &Graph, id: &ValueId| graph.value(*id).name.starts_with('m');
    let kept: HashSet<_> = graph
        .nodes()
        .filter(|(_, node)| node.output(0).is_some_and(|y| own(&graph, &y)))
        .map(|(id, _)| id)
        .collect();
    rewrite(&mut graph, &kept);
    show(&graph)
}

fn show(graph: &Graph) -> String {
    let name = |id: &Option<ValueId>| id.map_or("", |id| graph.value(id).name.as_str()).to_owned();
    let names = |ids: &[Option<ValueId>]| ids.iter().map(name).collect::<Vec<_>>().join(",");
    let order = graph.topological().expect("the graph has no cycle");
    let line = |id| {
        let node = graph.node(id);
        format!("{}={}({})", names(&node.outputs), node.op, names(&node.inputs))
    };
    order.into_iter().map(line).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn becomes(nodes: &str, wanted: &str) {
    assert_eq!(simplified("float[A] y", nodes), wanted, "{nodes}");
}

/// Asserts that the rewrite must not apply.
#[track_caller]
fn stays(nodes: &str, wanted: &str) {
    becomes(nodes, wanted);
}

#[test]
fn identity() {
    becomes("a = Identity (x) y = Exp (a)", "y=Exp(x)");
    becomes("a = Identity (x) b = Identity (a) y = Exp (b)", "y=Exp(x)");
    stays("y = Identity (x)", "y=Identity(x)");
    stays("a = Exp (x) y = Identity (a)", "a=Exp(x) y=Identity(a)");
}

#[test]
fn times_one() {
    becomes("a = Mul (x, one) y = Exp (a)", "y=Exp(x)");
    becomes("a = Mul (wide, x) y = Exp (a)", "y=Exp(x)");
    stays("a = Mul (x, two) y = Exp (a)", "a=Mul(x,two) y=Exp(a)");
    // The product has another shape.
    stays("a = Mul (two, wide) y = Exp (a)", "a=Mul(two,wide) y=Exp(a)");
    stays("a = Add (x, one) y = Exp (a)", "a=Add(x,one) y=Exp(a)");
}

#[test]
fn reshape_to_the_same_shape() {
    becomes("a = Reshape (x, back) y = Exp (a)", "y=Exp(x)");
    becomes("a = Reshape (x, square) b = Reshape (a, back) y = Exp (b)", "y=Exp(x)");
    becomes("a = Reshape (s, copy) y = Exp (a)", "y=Exp(s)");
    stays("a = Reshape (x, square) y = Exp (a)", "a=Reshape(x,square) y=Exp(a)");
}

#[test]
fn reshape_of_a_reshape() {
    becomes(
        "a = Reshape (x, all) b = Reshape (a, square) y = Exp (b)",
        "b=Reshape(x,square) y=Exp(b)",
    );
    // The first has another user.
    becomes(
        "a = Reshape (x, all) b = Reshape (a, square) c = Exp (b) d = Exp (a) e = Reshape (d, square) y = Add (c, e)",
        "a=Reshape(x,all) b=Reshape(x,square) c=Exp(b) d=Exp(a) e=Reshape(d,square) y=Add(c,e)",
    );
    stays(
        "a = Exp (x) b = Reshape (a, square) y = Exp (b)",
        "a=Exp(x) b=Reshape(a,square) y=Exp(b)",
    );
}

#[test]
fn a_size_that_a_second_reshape_copies_is_spelt_out() {
    // Zero copies a size from the input, and that is another now.
    let shown =
        simplified("float[A] y", "a = Reshape (x, square) b = Reshape (a, copy3) y = Exp (b)");
    assert_eq!(shown, "b=Reshape(x,:shape) y=Exp(b)");
    // Two sizes are unknown, so the second can't be said without the first.
    let nodes = "a = Reshape (t, tail) b = Reshape (a, copies) y = Exp (b)";
    stays(nodes, "a=Reshape(t,tail) b=Reshape(a,copies) y=Exp(b)");
}

#[test]
fn element_wise_of_an_expand() {
    for op in ["Add", "Sub", "Mul", "Div"] {
        becomes(&format!("e = Expand (wide, back) y = {op} (x, e)"), &format!("y={op}(x,wide)"));
        becomes(&format!("e = Expand (two, back) y = {op} (e, x)"), &format!("y={op}(two,x)"));
    }
    // Nothing else has the shape of the result.
    stays("e = Expand (two, back) y = Mul (e, wide)", "e=Expand(two,back) y=Mul(e,wide)");
    stays("e = Expand (two, back) y = Exp (e)", "e=Expand(two,back) y=Exp(e)");
    stays("e = Expand (two, back) y = Max (e, x)", "e=Expand(two,back) y=Max(e,x)");
}

#[test]
fn transpose_back() {
    let turned = "a = Transpose <perm=[1,0]> (x) ";
    becomes(&format!("{turned} b = Transpose <perm=[1,0]> (a) y = Exp (b)"), "y=Exp(x)");
    let nodes = "u = Unsqueeze (x, all) a = Transpose <perm=[1,2,0]> (u) b = Transpose <perm=[1,2,0]> (a) y = Exp (b)";
    let shown = "u=Unsqueeze(x,all) a=Transpose(u) b=Transpose(a) y=Exp(b)";
    stays(nodes, shown);
    stays(&format!("{turned} y = Exp (a)"), "a=Transpose(x) y=Exp(a)");
}

#[test]
fn cast_to_the_same_type() {
    becomes("a = Cast <to=1> (x) y = Exp (a)", "y=Exp(x)");
    stays("a = Cast <to=11> (x) y = Exp (a)", "a=Cast(x) y=Exp(a)");
}

#[test]
fn equal_nodes() {
    becomes("a = Exp (x) b = Exp (x) y = Add (a, b)", "a=Exp(x) y=Add(a,a)");
    stays("a = Exp (x) b = Sin (x) y = Add (a, b)", "a=Exp(x) b=Sin(x) y=Add(a,b)");
    let attributes = "a = Elu <alpha=1.0> (x) b = Elu <alpha=2.0> (x) y = Add (a, b)";
    stays(attributes, "a=Elu(x) b=Elu(x) y=Add(a,b)");
    stays(
        "a = Sub (x, one) b = Sub (one, x) y = Add (a, b)",
        "a=Sub(x,one) b=Sub(one,x) y=Add(a,b)",
    );
}

#[test]
fn dead_nodes() {
    becomes("a = Exp (x) b = Exp (a) y = Sin (x)", "y=Sin(x)");
    stays("a = Exp (x) y = Sin (a)", "a=Exp(x) y=Sin(a)");
}

#[test]
fn the_models_own_nodes_stay() {
    let own = [
        "m1 = Identity (x) m2 = Identity (m1) m = Exp (m2)",
        "m1 = Mul (x, one) m = Exp (m1)",
        "m1 = Reshape (x, all) m2 = Reshape (m1, square) m = Exp (m2)",
        "m1 = Cast <to=1> (x) m = Exp (m1)",
        "m1 = Exp (x) m2 = Exp (x) m = Add (m1, m2)",
        "m1 = Exp (x) m = Sin (x)",
        "m1 = Expand (one, square) m2 = Reshape (x, square) m = Mul (m2, m1)",
    ];
    for nodes in own {
        let text = format!("g (float[2,3] x, float[N,4] s) => (float m) {{ {nodes} }}");
        let text = text.replace(
            "=> (float m)",
            "=> (float[A] m) <float one = {1.0}, int64[1] all = {-1}, int64[2] square = {3,2}>",
        );
        let before = show(&parse_graph(&text).expect("the test's graph parses"));
        assert_eq!(simplified("float[A] m", nodes), before, "{nodes}");
    }
}

#[test]
fn outputs_keep_their_producers() {
    let two = |nodes: &str| simplified("float[A] y, float[B] z", nodes);
    assert_eq!(two("y = Exp (x) z = Exp (x)"), "y=Exp(x) z=Exp(x)");
    assert_eq!(two("y = Mul (x, one) z = Exp (y)"), "y=Mul(x,one) z=Exp(x)");
    assert_eq!(
        two("a = Exp (x) y = Identity (a) z = Identity (a)"),
        "a=Exp(x) y=Identity(a) z=Identity(a)"
    );
}

/// `x` with an axis in the middle, times or by something, and the axis taken out again.
fn around(node: &str) -> String {
    format!("a = Reshape (x, middle) {node} c = Reshape (b, back) y = Exp (c)")
}

#[test]
fn element_wise_of_a_reshape_that_inserts_an_axis() {
    becomes(&around("b = Mul (a, row)"), ".flat=Mul(x,row) y=Exp(.flat)");
    becomes(&around("b = Mul (a, one_row)"), ".flat=Mul(x,one_row) y=Exp(.flat)");
    becomes(&around("b = Sub (row, a)"), ".flat=Sub(row,x) y=Exp(.flat)");
    becomes(&around("b = Div (a, two)"), ".flat=Div(x,two) y=Exp(.flat)");
    let both = "p = Sin (x) q = Reshape (p, middle) b = Add (a, q)";
    becomes(&around(both), "p=Sin(x) .flat=Add(x,p) y=Exp(.flat)");
}

#[test]
fn parts_of_a_reshape_that_inserts_an_axis() {
    let ends = "d = Reshape (b, ends) e = Reshape (c, ends2) y = Mul (d, e)";
    becomes(
        &format!("a = Reshape (x, middle) b, c = Split <axis=2> (a, widths) {ends}"),
        ".flat:0,.flat:1=Split(x,widths) y=Mul(.flat:0,.flat:1)",
    );
    // Along the axis itself there is one part.
    stays(
        "a = Reshape (x, middle) b = Split <axis=1> (a, all1) y = Exp (b)",
        "a=Reshape(x,middle) b=Split(a,all1) y=Exp(b)",
    );
}

#[test]
fn element_wise_of_a_reshape_that_stays() {
    // The other operand has sizes on both sides of the axis.
    stays(
        &around("b = Mul (a, tall)"),
        "a=Reshape(x,middle) b=Mul(a,tall) c=Reshape(b,back) y=Exp(c)",
    );
    // The axis is where the other operand has its first, of another size.
    let wider = "a = Reshape (x, middle) b = Mul (a, square_row) y = Exp (b)";
    stays(wider, "a=Reshape(x,middle) b=Mul(a,square_row) y=Exp(b)");
    // Something else needs the reshaped value.
    let twice = "a = Reshape (x, middle) b = Mul (a, row) y = Add (a, b)";
    stays(twice, "a=Reshape(x,middle) b=Mul(a,row) y=Add(a,b)");
    // More than an axis is inserted.
    stays(
        "a = Reshape (x, square) b = Mul (a, tall_row) y = Exp (b)",
        "a=Reshape(x,square) b=Mul(a,tall_row) y=Exp(b)",
    );
}

#[test]
fn outputs_are_named_where_they_are_computed() {
    let named = |outputs: &str, nodes: &str| rewritten(outputs, nodes, name_outputs);
    assert_eq!(named("float[A] y", "a = Exp (x) y = Identity (a)"), "y=Exp(x)");
    let parts = "a, b = Split <axis=1> (x, widths) y = Identity (b) z = Exp (a)";
    assert_eq!(named("float[A] y, float[B] z", parts), "a,y=Split(x,widths) z=Exp(a)");
    // Something else reads it, it is an output too, or it is the model's own.
    let read = "a = Exp (x) y = Identity (a) z = Sin (a)";
    assert_eq!(named("float[A] y, float[B] z", read), "a=Exp(x) y=Identity(a) z=Sin(a)");
    let output = "a = Exp (x) y = Identity (a)";
    assert_eq!(named("float[A] y, float[B] a", output), "a=Exp(x) y=Identity(a)");
    assert_eq!(named("float[A] y", "m = Exp (x) y = Identity (m)"), "m=Exp(x) y=Identity(m)");
    assert_eq!(named("float[A] y", "y = Identity (x)"), "y=Identity(x)");
}
