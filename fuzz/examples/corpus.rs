//! Writes the corpora that fuzzing starts from: `cargo run --release --example corpus -- MODEL.onnx…`.
//!
//! Every model is cut to small: a constant of more than 64 elements becomes a ConstantOfShape node
//! of its shape. With them go the small models of the mutation test, in bytes and as text.

use std::fs;
use std::path::Path;

use slpc::graph::{Model, Node, Tensor};
use slpc::onnx::{load, text, to_bytes};

#[path = "../../tests/mutants/models.rs"]
mod models;

/// The elements a constant may keep.
const MOST: i64 = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for (name, given) in models::TEXTS {
        add(name, &text::parse(given)?, given)?;
    }
    for path in std::env::args().skip(1) {
        let mut model = load(Path::new(&path))?;
        cut(&mut model)?;
        let name = Path::new(&path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        add(&name, &model, &text::print_full(&model))?;
    }
    for seed in 0..64u8 {
        let bytes = [b'g', seed, seed.wrapping_mul(37), seed, seed.wrapping_mul(91)];
        put("transform", &format!("seed{seed}"), &bytes)?;
    }
    Ok(())
}

fn add(name: &str, model: &Model, text: &str) -> Result<(), Box<dyn std::error::Error>> {
    let bytes = to_bytes(model)?;
    println!("{name}: {} bytes, {} characters", bytes.len(), text.len());
    put("load", name, &bytes)?;
    put("transform", name, &[&b"m\0\0"[..], &bytes].concat())?;
    put("transform", &format!("{name}-forward"), &[&b"m\x12\x81"[..], &bytes].concat())?;
    put("text", name, text.as_bytes())?;
    Ok(())
}

fn put(target: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}

/// Replaces the large constants.
fn cut(model: &mut Model) -> Result<(), Box<dyn std::error::Error>> {
    let large = |tensor: &Tensor| tensor.dims.iter().product::<i64>() > MOST;
    let list: Vec<_> = model
        .graph
        .values()
        .filter_map(|(id, value)| Some((id, value.tensor.clone().filter(|tensor| large(tensor))?)))
        .collect();
    model.graph.inputs.retain(|id| !list.iter().any(|(large, _)| large == id));
    for (id, tensor) in list {
        let name = model.graph.free_name("cut");
        let shape = slpc::graph::Value {
            tensor: Some(Tensor::ints(&tensor.dims).into()),
            ..slpc::graph::Value::new(name)
        };
        let shape = model.graph.add_value(shape)?;
        model.graph.value_mut(id).tensor = None;
        let mut node = Node::new("ConstantOfShape", vec![Some(shape)], vec![Some(id)]);
        let width = tensor.bytes().len() / tensor.dims.iter().product::<i64>() as usize;
        let one = tensor.bytes()[..width].to_vec();
        node.set("value", slpc::graph::Attr::Tensor(Tensor::new(tensor.dtype, vec![1], one)));
        model.graph.add_node(node)?;
    }
    model.opsets.entry(String::new()).and_modify(|version| *version = (*version).max(9));
    Ok(())
}
