//! Additions to a model that are small in a file and large when they are taken at their word.

use onnx_protobuf::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, ValueInfoProto,
};
use protobuf::EnumOrUnknown;

use crate::random::Random;
use crate::structure::{graph, some_name};

fn node(op: &str, domain: &str, input: &str, output: &str) -> NodeProto {
    NodeProto {
        op_type: op.to_owned(),
        domain: domain.to_owned(),
        input: vec![input.to_owned()],
        output: vec![output.to_owned()],
        ..Default::default()
    }
}

fn function(name: &str, node: Vec<NodeProto>) -> FunctionProto {
    FunctionProto {
        name: name.to_owned(),
        domain: "f".to_owned(),
        input: vec!["a".to_owned()],
        output: vec!["b".to_owned()],
        opset_import: vec![OperatorSetIdProto { version: 18, ..Default::default() }],
        node,
        ..Default::default()
    }
}

/// Makes the first node a call of the function `name`.
fn call(model: &mut ModelProto, name: &str) {
    let graph = graph(model);
    if let Some(first) = graph.node.first_mut() {
        (first.op_type, first.domain) = (name.to_owned(), "f".to_owned());
        first.input.truncate(1);
        first.attribute.clear();
    }
    model.opset_import.push(OperatorSetIdProto {
        domain: "f".to_owned(),
        version: 1,
        ..Default::default()
    });
}

/// A ring of functions that call each other.
pub fn recursive(random: &mut Random, model: &mut ModelProto) {
    let length = random.between(1, 5);
    for i in 0..length {
        let next = format!("F{}", (i + 1) % length);
        model.functions.push(function(&format!("F{i}"), vec![node(&next, "f", "a", "b")]));
    }
    call(model, "F0");
}

/// Functions that each call the next one twice.
pub fn doubling(random: &mut Random, model: &mut ModelProto) {
    let length = random.between(2, 40);
    for i in 0..length {
        let next = format!("F{}", i + 1);
        let nodes = vec![node(&next, "f", "a", "c"), node(&next, "f", "c", "b")];
        model.functions.push(function(&format!("F{i}"), nodes));
    }
    model.functions.push(function(&format!("F{length}"), vec![node("Relu", "", "a", "b")]));
    call(model, "F0");
}

/// Branches within branches around a copy of the input.
pub fn nesting(random: &mut Random, model: &mut ModelProto) {
    let graph = graph(model);
    let name = some_name(random, graph);
    let mut inner = GraphProto { name: "inner".to_owned(), ..Default::default() };
    inner.node.push(node("Relu", "", &name, "slot"));
    inner.output.push(ValueInfoProto { name: "slot".to_owned(), ..Default::default() });
    for _ in 0..random.pick(&[2, 10, 30, 40]) {
        let mut branch = node("If", "", &name, "slot");
        for attribute in ["then_branch", "else_branch"] {
            if attribute == "then_branch" || random.one_in(20) {
                branch.attribute.push(AttributeProto {
                    name: attribute.to_owned(),
                    type_: EnumOrUnknown::from_i32(5),
                    g: Some(inner.clone()).into(),
                    ..Default::default()
                });
            }
        }
        inner.node = vec![branch];
    }
    graph.node.extend(inner.node);
}

/// Hundreds of nodes one after the other, behind the input and before all others.
pub fn chain(random: &mut Random, model: &mut ModelProto) {
    let graph = graph(model);
    let Some(input) = graph.input.first().map(|input| input.name.clone()) else { return };
    let length = random.pick(&[100, 400]);
    let op = random.pick(&["Relu", "Exp", "Neg", "Identity", "Softmax"]);
    for node in &mut graph.node {
        node.input.iter_mut().filter(|name| **name == input).for_each(|name| {
            *name = format!("chain{length}");
        });
    }
    let name = |i: usize| if i == 0 { input.clone() } else { format!("chain{i}") };
    graph.node.extend((0..length).map(|i| node(op, "", &name(i), &name(i + 1))));
}

/// A constant of a size that no file holds, by an operator that makes it.
pub fn huge_constant(random: &mut Random, model: &mut ModelProto) {
    let graph = graph(model);
    let size = random.pick(&[1 << 20, 1 << 31, 1 << 40, i64::MAX, -1, 0]);
    let mut shape =
        TensorProto { name: "huge/shape".to_owned(), data_type: 7, ..Default::default() };
    shape.dims = vec![random.between(1, 3) as i64];
    shape.int64_data = vec![size; shape.dims[0] as usize];
    let scalar = |name: &str, value: i64| TensorProto {
        name: name.to_owned(),
        data_type: 7,
        int64_data: vec![value],
        ..Default::default()
    };
    let tensors = [shape, scalar("huge/one", 1), scalar("huge/end", size)];
    graph.initializer.extend(tensors);
    let (op, inputs): (&str, &[&str]) = random.pick(&[
        ("ConstantOfShape", &["huge/shape"][..]),
        ("Expand", &["huge/one", "huge/shape"]),
        ("Range", &["huge/one", "huge/end", "huge/one"]),
        ("Tile", &["huge/shape", "huge/shape"]),
        ("EyeLike", &["huge/shape"]),
        ("Reshape", &["huge/one", "huge/shape"]),
        ("OneHot", &["huge/shape", "huge/end", "huge/shape"]),
    ]);
    let mut made = node(op, "", "", "huge/made");
    made.input = inputs.iter().map(|&name| name.to_owned()).collect();
    let mut cast = node("Cast", "", "huge/made", "huge/float");
    cast.attribute.push(AttributeProto {
        name: "to".to_owned(),
        type_: EnumOrUnknown::from_i32(2),
        i: 1,
        ..Default::default()
    });
    graph.node.extend([made, cast]);
    let name = graph.node[0].input.first().cloned().unwrap_or_default();
    let mut sum = node("Add", "", &name, "huge/sum");
    sum.input.push("huge/float".to_owned());
    graph.node.push(sum);
    if let Some(input) = graph.node[0].input.first_mut() {
        *input = "huge/sum".to_owned();
    }
}
