use super::*;

fn chain() -> (Graph, [ValueId; 3], [NodeId; 2]) {
    let mut graph = Graph::new("chain");
    let values = ["a", "b", "c"].map(|name| graph.add_value(Value::new(name)).unwrap());
    let [a, b, c] = values;
    // Inserted back to front, so that insertion order is no topological order.
    let second = graph.add_node(Node::new("Relu", vec![Some(b)], vec![Some(c)])).unwrap();
    let first = graph.add_node(Node::new("Add", vec![Some(a), Some(a)], vec![Some(b)])).unwrap();
    (graph, values, [first, second])
}

#[test]
fn topological_order_follows_the_edges() {
    let (graph, _, nodes) = chain();
    assert_eq!(graph.topological().unwrap(), nodes);
}

#[test]
fn a_cycle_is_an_error() {
    let (mut graph, [_, b, c], [first, _]) = chain();
    graph.set_input(first, 1, Some(c));
    let error = graph.topological().unwrap_err();
    assert!(error.to_string().contains("cycle"), "{error}");
    assert_eq!(graph.consumers(b).len(), 1);
}

#[test]
fn a_value_has_one_producer_and_a_name_one_value() {
    let (mut graph, [a, b, _], _) = chain();
    assert!(graph.add_node(Node::new("Neg", vec![Some(a)], vec![Some(b)])).is_err());
    assert!(graph.add_value(Value::new("a")).is_err());
    assert_eq!(graph.free_name("a"), "a~2");
    assert_eq!(graph.free_name("z"), "z");
}

#[test]
fn replaced_uses_move_every_edge() {
    let (mut graph, [a, _, _], [first, _]) = chain();
    let d = graph.add_value(Value::new("d")).unwrap();
    graph.replace_uses(a, d);
    assert!(graph.consumers(a).is_empty());
    assert_eq!(graph.node(first).inputs, [Some(d), Some(d)]);
    assert_eq!(graph.consumers(d), [first]);
}

#[test]
fn ancestors_and_descendants_follow_the_edges() {
    let (graph, [a, b, c], [first, second]) = chain();
    let up = graph.ancestors([b]);
    assert!(up.has_value(a) && up.has_node(first) && !up.has_node(second) && !up.has_value(c));
    let down = graph.descendants([b]);
    assert!(down.has_value(c) && down.has_node(second) && !down.has_node(first));
}
