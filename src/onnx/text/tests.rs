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
