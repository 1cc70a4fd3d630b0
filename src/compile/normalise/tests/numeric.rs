//! Old models compute the same after normalising, in an engine that runs both.

use ndarray::{ArrayD, IxDyn};

use super::*;
use crate::engine::{Array, tract::Session};
use crate::onnx::{load, to_bytes};

/// Compares the first output of a model before and after, on a ramp of both signs.
#[track_caller]
fn same(opset: i64, dims: &[usize], body: &str) {
    let old = parse(&text(opset, dims, body)).unwrap();
    let mut new = old.clone();
    normalise(&mut new).unwrap();
    let (before, after) = (run(&old, dims), run(&new, dims));
    assert_eq!(before.shape(), after.shape(), "{body}");
    for (a, b) in before.iter().zip(&after) {
        assert!((a - b).abs() <= 1e-6 * (1.0 + a.abs()), "{body}: {before} {after}");
    }
}

fn text(opset: i64, dims: &[usize], body: &str) -> String {
    let dims = dims.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let head = format!("<ir_version: 8, opset_import: [\"\" : {opset}]>");
    format!("{head} g (float[{dims}] x) => (y) {{ {body} }}")
}

fn run(model: &Model, dims: &[usize]) -> ArrayD<f64> {
    let mut model = model.clone();
    let y = model.graph.find("y").unwrap();
    model.graph.value_mut(y).dtype = Some(crate::graph::DataType::F32);
    let bytes = to_bytes(&model).unwrap();
    let count = dims.iter().product::<usize>();
    let ramp = (0..count).map(|i| ((i * 7 % 11) as f64 - 5.0) / 4.0).collect();
    let x = ArrayD::from_shape_vec(IxDyn(dims), ramp).unwrap();
    let x = Array::floats(crate::graph::DataType::F32, x).unwrap();
    let session = Session::new(&bytes, &[("x".to_owned(), dims.to_vec())]).unwrap();
    session.run(&[("x", x)]).unwrap().swap_remove(0).1.to_f64()
}

#[test]
fn softmax() {
    for op in ["Softmax", "LogSoftmax"] {
        for axis in [0, 1, 2] {
            same(9, &[2, 3, 4], &format!("y = {op} <axis = {axis}> (x)"));
        }
        same(9, &[2, 3, 4], &format!("y = {op} (x)"));
        same(11, &[2, 3, 4], &format!("y = {op} <axis = -1> (x)"));
    }
}

#[test]
fn moved_attributes() {
    for body in [
        "y = Slice <starts = [1, -2], ends = [3, 100], axes = [1, 2]> (x)",
        "y = Pad <pads = [0, 1, 0, 0, 0, 2], value = 0.5> (x)",
        "y = Pad <mode = \"reflect\", pads = [0, 1, 0, 0, 0, 2]> (x)",
        "y = Clip <min = -0.5, max = 0.5> (x)",
        "y = Unsqueeze <axes = [0, 2]> (x)",
        "t = Unsqueeze <axes = [0, 2]> (x) y = Squeeze <axes = [2]> (t)",
        "y, z = Split <axis = 1, split = [1, 2]> (x)",
        "y, z = Split <axis = 2> (x)",
        "y = Dropout <ratio = 0.5> (x)",
        "y = ReduceSum <axes = [1], keepdims = 0> (x)",
        "y = ReduceMax <axes = [0, 2]> (x)",
        "y = ReduceMean (x)",
    ] {
        same(9, &[2, 3, 4], body);
    }
}

/// Compares with known results what the engine cannot run in its old form; x is the ramp
/// −1.25, 0.5, −0.5, 1.25.
#[track_caller]
fn gives(opset: i64, body: &str, expected: &[f64]) {
    let mut model = parse(&text(opset, &[1, 1, 1, 4], body)).unwrap();
    normalise(&mut model).unwrap();
    assert_eq!(run(&model, &[1, 1, 1, 4]).into_raw_vec_and_offset().0, expected, "{body}");
}

#[test]
fn what_only_the_new_form_runs_as() {
    gives(9, "y, i = TopK <k = 2, axis = 3> (x)", &[1.25, 0.5]);
    let nearest = [-1.25, -1.25, 0.5, 0.5, -0.5, -0.5, 1.25, 1.25];
    let linear = [-1.25, -0.375, 0.5, 0.0, -0.5, 0.375, 1.25, 1.25];
    for (mode, expected) in [("nearest", nearest), ("linear", linear)] {
        let mode = format!("mode = \"{mode}\"");
        let scales = "scales = [1.0, 1.0, 1.0, 2.0]";
        gives(7, &format!("y = Upsample <{mode}, {scales}> (x)"), &expected);
        let scales = "s = Constant <value_floats = [1.0, 1.0, 1.0, 2.0]> ()";
        gives(9, &format!("{scales} y = Upsample <{mode}> (x, s)"), &expected);
        gives(10, &format!("{scales} y = Resize <{mode}> (x, s)"), &expected);
    }
    let shrink = "s = Constant <value_floats = [1.0, 1.0, 1.0, 0.6]> ()";
    gives(10, &format!("{shrink} y = Resize (x, s)"), &[-1.25, -0.5]);
    let affine = "t = Affine <alpha = 2.0, beta = 1.0> (x) y = Scale <scale = 2.0> (t)";
    gives(9, affine, &[-3.0, 4.0, 0.0, 7.0]);
    gives(9, "y = ImageScaler <scale = 2.0, bias = [1.0]> (x)", &[-1.5, 2.0, 0.0, 3.5]);
}

/// Every real model can be normalised, and normalising twice changes nothing more.
#[test]
fn real_models() {
    let Some(folder) = std::env::var_os("SLPC_TESTDATA") else {
        eprintln!("SKIPPED: SLPC_TESTDATA is not set");
        return;
    };
    let folder = std::path::Path::new(&folder).join("models");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "onnx") {
            let mut model = load(&path).unwrap();
            normalise(&mut model).unwrap();
            assert!(model.opset() >= WORKING_OPSET, "{}", path.display());
            let once = to_bytes(&model).unwrap();
            normalise(&mut model).unwrap();
            assert!(to_bytes(&model).unwrap() == once, "{}", path.display());
            count += 1;
        }
    }
    assert!(count > 0, "no models in the test data");
}
