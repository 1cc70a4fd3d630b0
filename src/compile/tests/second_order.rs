//! Models transformed twice: the rows of the rows are second derivatives.

use super::*;

/// Transforms `nodes` twice, in every pair of directions, and compares the derivative of the first
/// weights with central differences.
#[track_caller]
fn check(dims: &[usize], y: &str, constants: &str, nodes: &str) {
    let x = values(dims.iter().product());
    let plain = model(&format!("double{dims:?}"), y, constants, nodes);
    for first in [Direction::Reverse, Direction::Forward] {
        let (once, _) = transform(plain.clone(), &options(Batch::None, first)).unwrap();
        let rows = differences_of("slp/l/weights", &once, dims, &x).concat();
        let size = rows.iter().fold(0f64, |a, v| a.max(v.abs()));
        assert!(size > 1e-3, "the model is not curved here");
        for second in [Direction::Reverse, Direction::Forward] {
            let mut options = options(Batch::None, second);
            options.layers =
                vec![LayerRequest { alias: Some("h".into()), what: "slp/l/weights".into() }];
            let (twice, _) = transform(once.clone(), &options).unwrap_or_else(|e| panic!("{e}"));
            let outputs = run(&twice, dims, DataType::F64, &x);
            let found = flat(&outputs["slp/h/weights"]);
            assert_eq!(found.len(), rows.len());
            for (at, (wanted, found)) in rows.iter().zip(&found).enumerate() {
                let off = (wanted - found).abs();
                assert!(off < 1e-7 * size.max(1.0), "{first} {second} {at}: {found} {wanted}");
            }
            assert_eq!(flat(&outputs["slp/l/weights"]).len() * x.len(), rows.len());
        }
    }
}

const W: &str = "double[3,4] w = {0.3,-0.5,0.8,0.1, -0.7,0.2,0.4,-0.9, 0.6,0.5,-0.2,0.7}, \
    double[4,2] u = {0.4,-0.6, 0.9,0.3, -0.5,0.8, 0.2,-0.7}, double[4] b = {0.1,-0.2,0.3,0.05}";

#[test]
fn fully_connected_networks() {
    for act in ["Tanh", "Exp", "Sin", "Softsign"] {
        let nodes = format!("m = MatMul (x, w) a = Add (m, b) h = {act} (a) y = MatMul (h, u)");
        check(&[2, 3], "double[2,2]", W, &nodes);
    }
    check(&[2, 3], "double[2,4]", W, "h = MatMul (x, w) y = Softmax <axis = 1> (h)");
    check(&[2, 3], "double[2,4]", W, "h = Gemm (x, w) y = LogSoftmax <axis = 1> (h)");
    check(
        &[2, 3],
        "double[2,2]",
        W,
        "m = MatMul (x, w) r = Relu (m) s = Mul (r, r) y = MatMul (s, u)",
    );
}

#[test]
fn convolutions_and_pooling() {
    let weights = "double[2,1,2,2] w = {0.3,-0.5,0.8,0.1,-0.7,0.2,0.4,-0.9}";
    for after in [
        "y = Conv <pads = [1,1,0,0], strides = [2,2]> (s, k)",
        "y = AveragePool <kernel_shape = [2,2]> (s)",
        "y = MaxPool <kernel_shape = [2,2]> (s)",
        "y = GlobalAveragePool (s)",
    ] {
        let constants =
            format!("{weights}, double[1,2,2,2] k = {{0.5,-0.3,0.2,0.7,-0.4,0.6,0.1,-0.8}}");
        let nodes = format!("c = Conv (x, w) s = Tanh (c) {after}");
        check(&[1, 1, 4, 4], "double[1,C,H,V]", &constants, &nodes);
    }
}

#[test]
fn products_norms_and_attention() {
    check(&[3, 2], "double[3,2]", "", "y = Mul (x, x)");
    check(&[3, 2], "double[3,2]", "", "e = Exp (x) y = Div (x, e)");
    check(&[3, 2], "double[3,1]", "int64[1] one = {1}", "y = ReduceL2 (x, one)");
    check(&[3, 2], "double[3,1]", "int64[1] one = {1}", "y = ReduceProd (x, one)");
    check(&[3, 2], "double[3,2]", "double two = {3}", "y = Pow (x, two)");
    let attention = "t = Transpose <perm = [1,0]> (x) s = MatMul (x, t) \
        p = Softmax <axis = 1> (s) y = MatMul (p, x)";
    check(&[3, 2], "double[3,2]", "", attention);
    check(&[3, 2], "double[3,3]", "", "y = Einsum <equation = \"ij,kj->ik\"> (x, x)");
}

#[test]
fn a_layer_of_every_kind_between() {
    let constants = "int64[2] shape = {2,3}, int64[1] pick = {1}, int64[2] from = {0,1}, \
        int64[2] to = {2,2}, int64[3] wide = {2,3,2}, int64 axis = {1}, int64[4] pads = {1,0,0,2}";
    for (y, between) in [
        ("A,B", "Reshape (s, shape)"),
        ("A,B", "Concat <axis = 1> (s, s)"),
        ("A,B", "Transpose <perm = [1,0]> (s)"),
        ("A,B", "Gather <axis = 1> (s, pick)"),
        ("A,B", "Slice (s, from, to)"),
        ("A", "ReduceMax <keepdims = 0> (s, pick)"),
        ("A,B,C", "Expand (s, wide)"),
        ("A,B", "CumSum (s, axis)"),
        ("A,B", "Pad (s, pads)"),
    ] {
        let nodes = format!("s = Tanh (x) h = {between} y = Mul (h, h)");
        check(&[3, 2], &format!("double[{y}]"), constants, &nodes);
    }
}
