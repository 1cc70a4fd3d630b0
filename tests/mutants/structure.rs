//! Damage to the structure of a model, each kind by name.

use onnx_protobuf::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, ValueInfoProto,
};
use protobuf::EnumOrUnknown;

use crate::growth;
use crate::random::Random;

type Damage = fn(&mut Random, &mut ModelProto);

/// The kinds of damage by name.
pub const KINDS: &[(&str, Damage)] = &[
    ("dims", dims),
    ("data", data),
    ("element type", element_type),
    ("declared shape", declared_shape),
    ("cycle", cycle),
    ("duplicate name", duplicate),
    ("dangling input", dangling),
    ("operands", operands),
    ("operator", operator),
    ("attribute", attribute),
    ("shape numbers", numbers),
    ("operator set", opset),
    ("recursive function", growth::recursive),
    ("functions upon functions", growth::doubling),
    ("nesting", growth::nesting),
    ("long chain", growth::chain),
    ("huge constant", growth::huge_constant),
    ("external data", external),
    ("names", names),
    ("outputs", outputs),
];

/// Numbers at the ends of what dimensions, axes and counts may be.
const EDGES: [i64; 16] = [
    i64::MIN,
    i64::MIN + 1,
    -(1 << 40),
    i32::MIN as i64,
    -7,
    -2,
    -1,
    0,
    1,
    2,
    1 << 16,
    i32::MAX as i64,
    1 << 31,
    1 << 40,
    1 << 62,
    i64::MAX,
];

/// The model's graph.
pub fn graph(model: &mut ModelProto) -> &mut GraphProto {
    model.graph.mut_or_insert_default()
}

fn one<'a, T>(random: &mut Random, list: &'a mut [T]) -> Option<&'a mut T> {
    let at = random.below(list.len().max(1));
    list.get_mut(at)
}

/// The name of some value of the graph.
pub fn some_name(random: &mut Random, graph: &GraphProto) -> String {
    let nodes = graph.node.iter().flat_map(|node| node.output.iter().chain(&node.input));
    let others = graph.input.iter().map(|input| &input.name);
    let tensors = graph.initializer.iter().map(|tensor| &tensor.name);
    let list: Vec<_> = nodes.chain(others).chain(tensors).collect();
    if list.is_empty() { String::new() } else { random.pick(&list).clone() }
}

fn edge_list(random: &mut Random, list: &mut Vec<i64>) {
    match random.below(4) {
        0 => list.clear(),
        1 => list.resize(random.between(1, 70), random.pick(&EDGES)),
        2 => list.push(random.pick(&EDGES)),
        _ => {
            let value = random.pick(&EDGES);
            if let Some(slot) = one(random, list) {
                *slot = value;
            }
        }
    }
}

fn dims(random: &mut Random, model: &mut ModelProto) {
    if let Some(tensor) = one(random, &mut graph(model).initializer) {
        edge_list(random, &mut tensor.dims);
    }
}

fn data(random: &mut Random, model: &mut ModelProto) {
    let Some(tensor) = one(random, &mut graph(model).initializer) else { return };
    let length = tensor.raw_data.len();
    match random.below(4) {
        0 => tensor.raw_data.clear(),
        1 => tensor.raw_data.truncate(length.saturating_sub(random.between(1, 9))),
        2 => tensor.raw_data.extend(vec![random.below(256) as u8; random.between(1, 9)]),
        _ => {
            let byte = random.pick(&[0, 0x7f, 0x80, 0xff]);
            tensor.raw_data.fill(byte);
        }
    }
}

fn element_type(random: &mut Random, model: &mut ModelProto) {
    let code = random.pick(&[-1, 0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 14, 16, 17, 22, 23, 99]);
    let graph = graph(model);
    if random.one_in(2) {
        if let Some(tensor) = one(random, &mut graph.initializer) {
            tensor.data_type = code;
        }
    } else if let Some(input) = one(random, &mut graph.input) {
        input.type_.mut_or_insert_default().mut_tensor_type().elem_type = code;
    }
}

fn declared_shape(random: &mut Random, model: &mut ModelProto) {
    let graph = graph(model);
    let lists = [&mut graph.input, &mut graph.output, &mut graph.value_info];
    let list = lists.into_iter().nth(random.below(3)).expect("three lists");
    let Some(declared) = one(random, list) else { return };
    let tensor = declared.type_.mut_or_insert_default().mut_tensor_type();
    let dims = &mut tensor.shape.mut_or_insert_default().dim;
    match random.below(5) {
        0 => dims.clear(),
        1 => {
            let dim = dims.first().cloned().unwrap_or_default();
            dims.resize(random.between(1, 70), dim);
        }
        2 => {
            let names = ["", "N", "N + 1", "?", "max(N,", "a\nb", "9", "-N", "N/0"];
            let name = random.pick(&names).to_owned();
            if let Some(dim) = one(random, dims) {
                dim.set_dim_param(name);
            }
        }
        _ => {
            let value = random.pick(&EDGES);
            if let Some(dim) = one(random, dims) {
                dim.set_dim_value(value);
            }
        }
    }
}

fn cycle(random: &mut Random, model: &mut ModelProto) {
    let graph = graph(model);
    let later: Vec<String> = graph.node.iter().flat_map(|node| node.output.clone()).collect();
    if later.is_empty() {
        return;
    }
    let name = random.pick(&later);
    if let Some(node) = one(random, &mut graph.node)
        && let Some(input) = one(random, &mut node.input)
    {
        *input = name;
    }
}

fn duplicate(random: &mut Random, model: &mut ModelProto) {
    let graph = graph(model);
    let name = some_name(random, graph);
    match random.below(5) {
        0 => {
            if let Some(node) = one(random, &mut graph.node)
                && let Some(output) = one(random, &mut node.output)
            {
                *output = name;
            }
        }
        1 => {
            if let Some(tensor) = one(random, &mut graph.initializer) {
                tensor.name = name;
            }
        }
        2 => {
            if let Some(input) = one(random, &mut graph.input) {
                input.name = name;
            }
        }
        3 => {
            if let Some(node) = one(random, &mut graph.node).cloned() {
                graph.node.push(node);
            }
        }
        _ => {
            if let Some(tensor) = one(random, &mut graph.initializer).cloned() {
                graph.initializer.push(tensor);
            }
        }
    }
}

fn dangling(random: &mut Random, model: &mut ModelProto) {
    let graph = graph(model);
    if random.one_in(3) && !graph.node.is_empty() {
        graph.node.remove(random.below(graph.node.len()));
    } else if let Some(node) = one(random, &mut graph.node)
        && let Some(input) = one(random, &mut node.input)
    {
        input.push('?');
    }
}

fn operands(random: &mut Random, model: &mut ModelProto) {
    let graph = graph(model);
    let name = some_name(random, graph);
    let Some(node) = one(random, &mut graph.node) else { return };
    match random.below(7) {
        0 => {
            node.input.pop();
        }
        1 => node.input.push(name),
        2 => {
            if let Some(input) = one(random, &mut node.input) {
                input.clear();
            }
        }
        3 => node.input.reverse(),
        4 => node.output.insert(0, String::new()),
        5 => node.output.push(format!("{name}/more")),
        _ => {
            if let Some(input) = one(random, &mut node.input) {
                *input = name;
            }
        }
    }
}

fn operator(random: &mut Random, model: &mut ModelProto) {
    let rules: Vec<_> = slpc::compile::rules::table().collect();
    let rule = random.pick(&rules);
    if let Some(node) = one(random, &mut graph(model).node) {
        (node.op_type, node.domain) = (rule.op.to_owned(), rule.domain.to_owned());
    }
}

fn attribute(random: &mut Random, model: &mut ModelProto) {
    let mut nodes: Vec<&mut NodeProto> = graph(model).node.iter_mut().collect();
    nodes.retain(|node| !node.attribute.is_empty());
    let Some(node) = one(random, &mut nodes) else { return };
    let kind = random.below(8);
    if kind == 0 {
        node.attribute.pop();
        return;
    }
    let Some(attribute) = one(random, &mut node.attribute) else { return };
    match kind {
        1 => attribute.i = random.pick(&EDGES),
        2 | 3 => edge_list(random, &mut attribute.ints),
        4 => attribute.f = random.pick(&[f32::NAN, f32::INFINITY, 0.0, -1.0, 1e30, 1e-40]),
        5 => attribute.type_ = EnumOrUnknown::from_i32(random.below(20) as i32),
        6 => attribute.s = random.pick(&[&b""[..], b"linear", b"ij,jk->ik", b"\xff\xfe"]).to_vec(),
        _ => attribute.name.push('s'),
    }
}

/// The whole numbers that say where to slice, how far to pad and to what shape to go.
fn numbers(random: &mut Random, model: &mut ModelProto) {
    let mut tensors: Vec<_> = graph(model).initializer.iter_mut().collect();
    tensors.retain(|tensor| tensor.data_type == 7);
    let Some(tensor) = one(random, &mut tensors) else { return };
    let value = random.pick(&EDGES);
    if !tensor.int64_data.is_empty() {
        if let Some(slot) = one(random, &mut tensor.int64_data) {
            *slot = value;
        }
    } else if tensor.raw_data.len() >= 8 {
        let at = 8 * random.below(tensor.raw_data.len() / 8);
        tensor.raw_data[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
}

fn opset(random: &mut Random, model: &mut ModelProto) {
    let versions = [i64::MIN, -1, 0, 1, 6, 7, 9, 11, 13, 16, 18, 20, 22, 24, 28, 29, i64::MAX];
    match random.below(3) {
        0 => model.ir_version = random.pick(&versions),
        1 => model.opset_import.push(OperatorSetIdProto {
            domain: random.pick(&["", "ai.onnx", "ai.onnx.ml", "x"]).to_owned(),
            version: random.pick(&versions),
            ..Default::default()
        }),
        _ => {
            let version = random.pick(&versions);
            if let Some(entry) = one(random, &mut model.opset_import) {
                entry.version = version;
            }
        }
    }
}

fn external(random: &mut Random, model: &mut ModelProto) {
    let Some(tensor) = one(random, &mut graph(model).initializer) else { return };
    tensor.data_location = EnumOrUnknown::from_i32(1);
    tensor.raw_data.clear();
    let numbers =
        ["0", "1", "4096", "-1", "18446744073709551615", "1e9", "", "99999999999999999999"];
    let locations =
        ["weights", "../secret", "/etc/hostname", "link", "up/secret", "", ".", "sub", "absent"];
    let entries = [
        ("location", random.pick(&locations)),
        ("offset", random.pick(&numbers)),
        ("length", random.pick(&numbers)),
    ];
    for (key, value) in &entries[..random.between(0, 3)] {
        tensor.external_data.push(StringStringEntryProto {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
            ..Default::default()
        });
    }
}

fn names(random: &mut Random, model: &mut ModelProto) {
    let graph = graph(model);
    let long = "n".repeat(5000);
    let name = random.pick(&["", "slp/x", "slp/norm/0", "a\0b\n", "\u{202e}x", "\"{}\\", &long]);
    let old = some_name(random, graph);
    let rename = |text: &mut String| {
        if *text == old {
            *text = name.to_owned();
        }
    };
    for node in &mut graph.node {
        node.input.iter_mut().chain(&mut node.output).for_each(rename);
    }
    let declared = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
    declared.map(|value| &mut value.name).for_each(rename);
    graph.initializer.iter_mut().map(|tensor| &mut tensor.name).for_each(rename);
}

fn outputs(random: &mut Random, model: &mut ModelProto) {
    let graph = graph(model);
    match random.below(4) {
        0 => graph.output.clear(),
        1 => graph.output.extend(graph.output.clone()),
        2 => graph.output.extend(graph.input.clone()),
        _ => {
            let name = some_name(random, graph);
            graph.output.push(ValueInfoProto { name, ..Default::default() });
        }
    }
}
