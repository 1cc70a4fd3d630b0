//! Convolutions and pools.

use super::{check, outcome, refuse};

#[test]
fn convolutions() {
    let x = "float[N,3,8,8] x, float[4,3,3,3] w";
    check(x, "y = Conv (x, w)", "float[N,4,6,6]");
    check(x, "y = Conv <pads=[1,1,1,1], strides=[2,2]> (x, w)", "float[N,4,4,4]");
    check(x, "y = Conv <pads=[2,0,1,0]> (x, w)", "float[N,4,9,6]");
    check(x, "y = Conv <auto_pad=\"SAME_UPPER\", strides=[3,2]> (x, w)", "float[N,4,3,4]");
    check(x, "y = Conv <auto_pad=\"VALID\", dilations=[2,3]> (x, w)", "float[N,4,4,2]");
    let x = "float[N,3,H,W] x, float[4,3,3,3] w";
    let halved = "float[N,4,1 + (-1 + H) / 2,1 + (-1 + W) / 2]";
    check(x, "y = Conv <pads=[1,1,1,1]> (x, w)", "float[N,4,H,W]");
    check(x, "y = Conv <pads=[1,1,1,1], strides=[2,2]> (x, w)", halved);
    check(
        x,
        "y = Conv <auto_pad=\"SAME_LOWER\", strides=[2,2]> (x, w)",
        "float[N,4,ceil_div(H, 2),ceil_div(W, 2)]",
    );
    check(
        "float[1,2,5,6,7] x, float[4,1,2,3,4] w",
        "y = Conv <group=2> (x, w)",
        "float[1,4,4,4,4]",
    );
    check("float[1,2,5] x, float[4,2,2] w", "y = Conv (x, w)", "float[1,4,4]");
    check("float[1,2,5] x, float w", "y = Conv <kernel_shape=[2]> (x, y0) y0 = Foo (w)", "?[...]");
    check("uint8[1,1,5] x, uint8[1,1,3] w", "y = ConvInteger (x, w)", "int32[1,1,3]");
    refuse("float[1,3,5] x, float[4,2,2] w", "y = Conv (x, w)", "3 channels");
    refuse("float[1,2,2] x, float[4,2,3] w", "y = Conv (x, w)", "does not fit");
    refuse("float[1,2,2] x, float[4,2,3] w", "y = Conv <strides=[0]> (x, w)", "'strides' is [0]");
    refuse("float[1,2,9] x, float[4,2,3] w", "y = Conv <pads=[1]> (x, w)", "'pads' has 1");
    refuse("float[1,2,9] x, float[4,2,3] w", "y = Conv <auto_pad=\"SAME\"> (x, w)", "'auto_pad'");
    refuse("float[2,9] x, float[4,2] w", "y = Conv (x, w)", "rank 2");
}

#[test]
fn transposed_convolutions() {
    let up = |size: i64, kernel: i64, attributes: &str, wanted: &str| {
        let around = format!("float[1,2,{size}] x, float[2,3,{kernel}] w");
        check(
            &around,
            &format!("y = ConvTranspose <{attributes}> (x, w)"),
            &format!("float[1,3,{wanted}]"),
        );
    };
    up(5, 3, "strides=[2]", "11");
    up(5, 3, "strides=[2], output_padding=[1]", "12");
    up(5, 3, "strides=[2], pads=[1,0]", "10");
    up(5, 3, "strides=[2], output_shape=[10]", "10");
    up(5, 3, "strides=[2], dilations=[2]", "13");
    up(5, 3, "strides=[2], auto_pad=\"SAME_UPPER\"", "10");
    up(5, 1, "strides=[3], dilations=[2], auto_pad=\"SAME_UPPER\"", "13");
    up(5, 2, "strides=[3], auto_pad=\"SAME_LOWER\"", "14");
    up(5, 3, "strides=[2], auto_pad=\"VALID\"", "11");
    check("float[1,4,5] x, float[4,3,2] w", "y = ConvTranspose <group=2> (x, w)", "float[1,6,6]");
    check(
        "float[N,2,H] x, float[2,3,2] w",
        "y = ConvTranspose <strides=[2]> (x, w)",
        "float[N,3,2 + 2 * (-1 + H)]",
    );
    refuse("float[1,3,5] x, float[2,3,3] w", "y = ConvTranspose (x, w)", "3 channels");
}

#[test]
fn pools() {
    // Input, kernel, stride, dilation, pads, ceil_mode, output: as ONNX Runtime 1.32 computes it.
    let table = [
        (8, 3, 2, 1, [0, 0], 0, 3),
        (8, 3, 2, 1, [0, 0], 1, 4),
        (8, 3, 3, 1, [0, 0], 1, 3),
        (7, 3, 2, 1, [1, 1], 1, 4),
        (8, 3, 2, 1, [1, 1], 1, 5),
        (5, 2, 3, 1, [1, 1], 1, 2),
        (5, 2, 3, 1, [0, 1], 1, 2),
        (5, 3, 1, 2, [0, 0], 0, 1),
        (7, 2, 3, 2, [1, 0], 1, 3),
        (8, 2, 2, 2, [0, 1], 0, 4),
        (2, 2, 2, 2, [0, 0], 0, 1),
        (2, 3, 1, 1, [0, 0], 0, 0),
        (1, 2, 2, 1, [0, 0], 1, 1),
        (7, 1, 2, 1, [0, 0], 1, 4),
        (8, 1, 3, 1, [0, 0], 1, 3),
        (8, 2, 3, 1, [1, 0], 1, 3),
    ];
    for (size, kernel, stride, dilation, [head, tail], ceil, wanted) in table {
        let attributes = format!(
            "kernel_shape=[{kernel}], strides=[{stride}], dilations=[{dilation}], pads=[{head},{tail}], ceil_mode={ceil}"
        );
        let wanted = format!("float[1,2,{wanted}], int64[1,2,{wanted}]");
        check(
            &format!("float[1,2,{size}] x"),
            &format!("y, i = MaxPool <{attributes}> (x)"),
            &wanted,
        );
    }
    let x = "float[N,3,H,8,8] x";
    check(
        x,
        "y = AveragePool <kernel_shape=[2,2,2], strides=[2,2,2]> (x)",
        "float[N,3,1 + (-2 + H) / 2,4,4]",
    );
    check(
        x,
        "y = AveragePool <kernel_shape=[2,3,3], auto_pad=\"VALID\"> (x)",
        "float[N,3,-1 + H,6,6]",
    );
    check(
        x,
        "y = LpPool <kernel_shape=[2,3,3], auto_pad=\"SAME_UPPER\", strides=[1,2,3]> (x)",
        "float[N,3,H,4,3]",
    );
    check(x, "y = GlobalMaxPool (x)", "float[N,3,1,1,1]");
    check(
        "float[1,1,2,2] x, int64[1,1,2,2] i",
        "y = MaxUnpool <kernel_shape=[2,2], strides=[2,2]> (x, i)",
        "float[1,1,4,4]",
    );
    check(
        "float[1,1,2,2] x, int64[1,1,2,2] i | int64[4] s = {1,1,5,5}",
        "y = MaxUnpool <kernel_shape=[2,2]> (x, i, s)",
        "float[1,1,5,5]",
    );
    check(
        "float[1,10,12] x | int64[2] s = {5,5}, int64[2] b = {1,5}",
        "y = Col2Im (x, s, b)",
        "float[1,2,5,5]",
    );
    refuse("float[1,2,5] x", "y = MaxPool (x)", "'kernel_shape' is missing");
}

/// The widths of a Pad as exporters compute them from the sizes of its input.
#[test]
fn contents_are_followed_through_matrices_and_floats() {
    let x = "float[N,3,65] x | int64[1] back = {-1}, int64[1] first = {0}, int64[2] pairs = {-1,2}, \
        float two = {2.0}, float zero = {0.0}, int64[1] end = {-9223372036854775807}";
    let size = "s = Shape <start=2> (x) h = Squeeze (s)";
    let turned = "m = Reshape (v, pairs) t = Slice (m, back, end, first, back) u = Transpose (t) \
        y = Reshape (u, back)";
    let matrix = |list: &str| format!("{size} z = Sub (h, h) v = {list} {turned}");
    let list = "Concat <axis=0> (s, first, back, first, pairs)";
    check(x, &matrix(list), "int64={-1,-1,65,2,0,0}");
    let floats = "f = Cast <to=1> (h) d = Div (f, two) c = Ceil (d)";
    check(x, &format!("{size} {floats} y = Cast <to=7> (c)"), "int64=33");
    check(x, &format!("{size} {floats} e = Sub (c, f) y = Cast <to=7> (e)"), "int64=-32");
    let clipped = "e = Sub (c, f) k = Clip (e, zero) y = Cast <to=7> (k)";
    check(x, &format!("{size} {floats} {clipped}"), "int64=0");
    let clipped = "k = Clip (f, , two) y = Cast <to=7> (k)";
    check(x, &format!("{size} {floats} {clipped}"), "int64=2");
    check(x, &format!("{size} {floats} y = Cast <to=7> (d)"), "int64=32");
    let open = "float[N,3,H] x | float two = {2.0}, float zero = {0.0}";
    check(open, &format!("{size} {floats} y = Cast <to=7> (c)"), "int64[]");
    check(
        x,
        &format!("{size} f = Cast <to=1> (h) d = Div (f, zero) y = Cast <to=7> (d)"),
        "int64[]",
    );
}

#[test]
fn a_bias_has_an_entry_a_channel() {
    for (op, weights) in [("Conv", "float[6,2,3,3] w"), ("ConvTranspose", "float[2,6,3,3] w")] {
        let around = |bias: &str| format!("float[N,2,8,8] x, {weights}, float{bias} b");
        let node = format!("y = {op} (x, w, b)");
        assert!(outcome(&around("[6]"), &node).is_ok(), "{op}");
        assert!(outcome(&around("[K]"), &node).is_ok(), "{op}");
        for bias in ["[2]", "[1,6]", ""] {
            refuse(&around(bias), &node, "the bias has the shape");
        }
    }
}

#[test]
fn the_weights_of_a_recurrence_fit_its_input() {
    for (op, gates) in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
        let around = |inputs: usize, rows: usize, hidden: usize| {
            format!("float[4,N,3] x, float[1,{rows},{inputs}] w, float[1,{rows},{hidden}] r")
        };
        let node = format!("y = {op} <hidden_size = 2> (x, w, r)");
        assert!(outcome(&around(3, 2 * gates, 2), &node).is_ok(), "{op}");
        refuse(&around(11, 2 * gates, 2), &node, "input 1 has the shape");
        refuse(&around(3, 2 * gates + 1, 2), &node, "input 1 has the shape");
        refuse(&around(3, 2 * gates, 5), &node, "input 2 has the shape");
    }
}
