use crate::compile::rules::testing::{Case, PADDINGS, Padding, case, long};

/// A convolution of 4 channels in `group` groups over axes of the given sizes.
fn conv(op: &str, sizes: &[i64], kernel: &[i64], group: i64) -> Case {
    let weights = if op == "Conv" { [6, 4 / group] } else { [4, 6 / group] };
    let x = [&[1, 4], sizes].concat();
    case(op).input("x", &x).param("w", &[&weights, kernel].concat()).int("group", group)
}

#[test]
fn every_window_along_one_axis() {
    let mut group = 1;
    for (stride, dilation) in [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)] {
        for (kernel, padding) in [1, 2, 3].into_iter().flat_map(|k| PADDINGS.map(|p| (k, p))) {
            for size in if long() { 5..=8 } else { 7..=7 } {
                group = 3 - group;
                let case = conv("Conv", &[size], &[kernel], group).padding(1, padding);
                case.ints("strides", &[stride]).ints("dilations", &[dilation]).check();
            }
        }
    }
}

#[test]
fn every_transposed_window_along_one_axis() {
    let mut group = 1;
    for (stride, dilation) in [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)] {
        for (kernel, padding) in [1, 2, 3].into_iter().flat_map(|k| PADDINGS.map(|p| (k, p))) {
            // tract refuses to fill gaps between windows by auto_pad.
            let same = matches!(padding, Padding::Auto("SAME_UPPER" | "SAME_LOWER"));
            if same && (kernel - 1) * dilation < stride {
                continue;
            }
            let rests = if matches!(padding, Padding::Auto(_)) { 1 } else { stride.max(dilation) };
            for rest in (0..rests).filter(|r| long() || *r != 1) {
                group = 3 - group;
                let case = conv("ConvTranspose", &[4], &[kernel], group).padding(1, padding);
                let case = case.ints("strides", &[stride]).ints("dilations", &[dilation]);
                case.ints("output_padding", &[rest]).check();
            }
        }
    }
}

#[test]
fn transposed_to_a_given_size() {
    // Sizes by output_shape, and the pads and output_padding that mean the same; the windows
    // reach 9 without any.
    let cases: &[(i64, &str, [i64; 2], i64)] = &[
        (9, "NOTSET", [0, 0], 0),
        (8, "NOTSET", [1, 0], 0),
        (8, "VALID", [1, 0], 0),
        (8, "SAME_UPPER", [0, 1], 0),
        (8, "SAME_LOWER", [1, 0], 0),
        (7, "NOTSET", [1, 1], 0),
        (10, "NOTSET", [0, 0], 1),
    ];
    for &(size, auto_pad, pads, rest) in cases {
        let plain = || conv("ConvTranspose", &[4], &[3], 1).ints("strides", &[2]);
        let given = plain().text("auto_pad", auto_pad).ints("output_shape", &[size]);
        let explicit = plain().ints("pads", &pads).ints("output_padding", &[rest]);
        given.f32().ort().check();
        explicit.check();
    }
    let far = conv("ConvTranspose", &[4], &[3], 1).ints("strides", &[2]);
    far.ints("output_shape", &[11]).refused("2 longer than the windows reach");
}

#[test]
fn axes_differ() {
    let pads = [[0, 0, 0, 0], [1, 0, 2, 1], [0, 2, 1, 0]];
    for op in ["Conv", "ConvTranspose"] {
        for (i, pads) in pads.iter().enumerate() {
            for (strides, dilations) in [([2, 1], [1, 2]), ([1, 3], [2, 1]), ([3, 2], [1, 1])] {
                let case = conv(op, &[5, 4], &[3, 2], [1, 2, 2][i]).ints("pads", pads);
                case.ints("strides", &strides).ints("dilations", &dilations).check();
            }
        }
        let case = conv(op, &[3, 2, 3], &[2, 1, 2], 2).ints("pads", &[0, 0, 1, 1, 0, 0]);
        case.ints("strides", &[1, 2, 2]).ints("dilations", &[2, 1, 1]).check();
    }
}

#[test]
fn depthwise_and_batches() {
    for op in ["Conv", "ConvTranspose"] {
        let depthwise = case(op).input("x", &[1, 3, 4, 4]).param("w", &[3, 1, 2, 2]);
        depthwise.int("group", 3).ints("strides", &[2, 2]).check();
        case(op).input("x", &[2, 2, 4]).param("w", &[2, 2, 3]).ints("pads", &[1, 1]).check();
    }
}

#[test]
fn biases_fixed_and_changing() {
    for op in ["Conv", "ConvTranspose"] {
        let plain = || case(op).input("x", &[2, 2, 3, 3]).param("w", &[2, 2, 2, 2]);
        plain().param("b", &[2]).check();
        plain().input("b", &[2]).check();
        let fixed = case(op).param("x", &[2, 2, 3, 3]).param("w", &[2, 2, 2, 2]);
        fixed.input("b", &[2]).check();
    }
}

/// The kernel changes alone, with the input, and with the bias.
#[test]
fn kernels_that_change() {
    for (op, w) in [("Conv", [4, 2]), ("ConvTranspose", [4, 3])] {
        for (stride, dilation) in [(1, 1), (2, 1), (1, 2), (3, 2)] {
            for padding in [Padding::Of(0, 0), Padding::Of(0, 1), Padding::Of(2, 1)] {
                let group = 2;
                let it = || {
                    let it = case(op).param("x", &[2, 4, 6]);
                    let it = it.input("w", &[w[0], w[1], 3]).int("group", group);
                    let it = it.ints("strides", &[stride]).ints("dilations", &[dilation]);
                    it.padding(1, padding)
                };
                it().check();
                if long() {
                    it().param("b", &[if op == "Conv" { 4 } else { 6 }]).check();
                }
            }
        }
        let kernel = [&w[..], &[2, 3]].concat();
        let it = || case(op).input("x", &[1, 4, 4, 5]).input("w", &kernel).int("group", 2);
        it().check();
        let bias = [if op == "Conv" { 4 } else { 6 }];
        it().param("b", &bias).ints("strides", &[2, 1]).ints("pads", &[0, 1, 1, 2]).check();
        it().input("b", &bias).ints("dilations", &[2, 1]).ints("pads", &[1, 0, 0, 1]).check();
        it().text("auto_pad", "SAME_UPPER").check();
        let kernel = [&w[..], &[2, 1, 2]].concat();
        case(op).param("x", &[1, 4, 2, 2, 3]).input("w", &kernel).int("group", 2).check();
    }
}

#[test]
fn sizes_known_at_run_time() {
    for stride in [1, 2, 3] {
        for size in [5, 6, 7] {
            for op in ["Conv", "ConvTranspose"] {
                let case = case(op).input("x", &[1, 1, size, 4]).dynamic(&["", "", "h", ""]);
                let case = case.param("w", &[1, 1, 2, 3]).ints("pads", &[1, 0, 0, 1]);
                case.ints("strides", &[stride, stride]).check();
            }
        }
    }
    for padding in PADDINGS {
        let case = case("Conv").input("x", &[1, 1, 5, 4]).dynamic(&["", "", "h", "w"]);
        case.param("w", &[1, 1, 3, 2]).padding(2, padding).check();
    }
    let case = case("Conv").input("x", &[2, 1, 5]).dynamic(&["n", "", "w"]);
    case.param("w", &[2, 1, 3]).param("b", &[2]).ints("strides", &[2]).check();
}

#[test]
fn paddings_that_depend_on_a_size_known_at_run_time_are_refused() {
    let case = case("Conv").input("x", &[1, 1, 5]).dynamic(&["", "", "w"]);
    let case = case.param("w", &[1, 1, 3]).text("auto_pad", "SAME_UPPER");
    case.ints("strides", &[2]).refused("fix the size of the input");
}

#[test]
fn snapshots() {
    let plain = |op| case(op).input("x", &[1, 2, 5, 5]).param("w", &[2, 2, 3, 3]);
    for op in ["Conv", "ConvTranspose"] {
        plain(op)
            .param("b", &[2])
            .ints("pads", &[1, 0, 2, 1])
            .ints("strides", &[2, 1])
            .snapshot("strided");
        plain(op).text("auto_pad", "SAME_UPPER").snapshot("same");
        let biased = case(op).input("x", &[1, 1, 4]).param("w", &[1, 1, 2]);
        biased.input("b", &[1]).snapshot("bias");
        let kernel = case(op).param("x", &[1, 2, 4]).input("w", &[2, 2, 2]);
        kernel.param("b", &[2]).ints("strides", &[2]).snapshot("kernel");
        let sized = case(op).input("x", &[1, 1, 4]).dynamic(&["", "", "w"]);
        sized.param("w", &[1, 1, 2]).ints("strides", &[2]).snapshot("dynamic");
    }
}

#[test]
fn back_to_many_channels_by_a_flipped_kernel() {
    for (kernel, dilations) in [([3, 3], [1, 1]), ([2, 2], [2, 1]), ([1, 2], [1, 1])] {
        for padding in PADDINGS {
            let wide = case("Conv")
                .input("x", &[1, 32, 4, 3])
                .param("w", &[&[2, 32], &kernel[..]].concat());
            wide.padding(2, padding).ints("dilations", &dilations).check();
        }
    }
    let wide = || case("Conv").input("x", &[1, 32, 3, 3]).param("w", &[2, 32, 2, 2]);
    wide().ints("pads", &[1, 0, 0, 1]).snapshot("flipped");
    let sized = case("Conv").input("x", &[1, 32, 3, 3]).dynamic(&["n", "", "h", "w"]);
    sized.param("w", &[2, 32, 2, 2]).ints("pads", &[1, 0, 0, 1]).check();
    // Pads wider than the kernel, strides and groups are left to ConvTranspose.
    wide().ints("pads", &[2, 2, 2, 2]).check();
    wide().ints("strides", &[2, 2]).check();
    let grouped =
        case("Conv").input("x", &[1, 64, 3, 3]).param("w", &[4, 32, 2, 2]).int("group", 2);
    grouped.check();
}
