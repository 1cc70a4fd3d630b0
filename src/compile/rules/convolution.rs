//! Convolutions: linear in the input for a fixed kernel; the constant part is the bias `B`.

use super::Inputs::Only;
use super::normalisation::channels;
use super::window::{explicit, geometry, list};
use super::{Entry, Rule, Tangent};
use crate::compile::linear::Geometry;
use crate::error::Result;
use crate::graph::{Dim, fixed};

pub(super) const RULES: &[Entry] = &[
    Entry::exact("Conv", Only(&[0, 2]), conv),
    Entry::exact("ConvTranspose", Only(&[0, 2]), conv_transpose),
];

fn kernel_of(cx: &Rule) -> Result<Vec<i64>> {
    let dims = cx.raw(1)?.dims();
    let sizes: Option<Vec<_>> = dims.iter().skip(2).map(fixed).collect();
    match sizes {
        Some(sizes) if !sizes.is_empty() => Ok(sizes),
        _ => cx.refuse("the kernel's size is only known at run time"),
    }
}

fn conv(cx: &Rule) -> Result<()> {
    let (x_dims, y_dims) = (cx.raw(0)?.dims(), cx.y_dims(0)?);
    let windows = geometry(cx, kernel_of(cx)?, &x_dims, &y_dims)?.geometry;
    let group = cx.node.int("group")?.unwrap_or(1);
    let kernel = cx.raw(1)?.id;
    let change = cx.tangent(0).map(|dx| dx.conv(kernel, group, windows, y_dims.clone()));
    with_bias(cx, change, &y_dims)
}

fn conv_transpose(cx: &Rule) -> Result<()> {
    let y_dims = cx.y_dims(0)?;
    let windows = transposed_geometry(cx, &y_dims)?;
    let group = cx.node.int("group")?.unwrap_or(1);
    let kernel = cx.raw(1)?.id;
    let change = cx.tangent(0).map(|dx| dx.conv_transpose(kernel, group, windows, y_dims.clone()));
    with_bias(cx, change, &y_dims)
}

/// The windows of a ConvTranspose over its output, with `output_shape` and `auto_pad` turned into
/// explicit padding: begin + end = (i − 1)·stride + output_padding + reach − o.
fn transposed_geometry(cx: &Rule, y_dims: &[Dim]) -> Result<Geometry> {
    let x_dims = cx.raw(0)?.dims();
    let kernel = kernel_of(cx)?;
    let rank = kernel.len();
    let extra = list(cx, "output_padding", 0, rank)?;
    let mut windows = explicit(cx, kernel)?;
    let auto_pad = cx.node.text("auto_pad")?.unwrap_or("NOTSET");
    let given = cx.node.ints("output_shape")?.is_some();
    if auto_pad == "VALID" && !given {
        (windows.begin, windows.end) = (vec![0; rank], vec![0; rank]);
    } else if given || auto_pad != "NOTSET" {
        for axis in 0..rank {
            let (Some(i), Some(o)) = (fixed(&x_dims[axis + 2]), fixed(&y_dims[axis + 2])) else {
                return cx.refuse(
                    "padding by output_shape or auto_pad over a size only known at run time",
                );
            };
            let total = (i - 1) * windows.strides[axis] + extra[axis] + windows.reach(axis) - o;
            // Runtimes agree on what lies past the windows only where the size is given.
            if total < 0 && !(given && -total < windows.strides[axis]) {
                return cx.refuse(format!("an output {} longer than the windows reach", -total));
            }
            let total = total.max(0);
            let half = total / 2;
            (windows.begin[axis], windows.end[axis]) =
                if auto_pad == "SAME_UPPER" { (half, total - half) } else { (total - half, half) };
        }
    }
    Ok(windows)
}

/// Emits the change by the input and by the bias; a bias that does not change is the constant part.
fn with_bias<'r, 'e>(
    cx: &'r Rule<'e>,
    by_input: Option<Tangent<'r, 'e>>,
    y_dims: &[Dim],
) -> Result<()> {
    let spatial = y_dims.len() - 2;
    let by_bias = cx.tangent(2).map(|db| {
        let mut dims = vec![Dim::Value(1)];
        dims.extend(db.dims());
        dims.extend(std::iter::repeat_n(Dim::Value(1), spatial));
        db.reshape(&dims).broadcast(y_dims)
    });
    match (by_input, by_bias, cx.node.input(2)) {
        (Some(dx), Some(db), _) => {
            cx.homogeneous();
            cx.emit(0, dx + db);
        }
        (Some(dx), None, Some(_)) => {
            cx.constant_part(0, channels(cx.x(2)?, spatial));
            cx.emit(0, dx);
        }
        (Some(dx), None, None) => {
            cx.homogeneous();
            cx.emit(0, dx);
        }
        (None, Some(db), _) => cx.emit(0, db),
        (None, None, _) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {

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
                let rests =
                    if matches!(padding, Padding::Auto(_)) { 1 } else { stride.max(dilation) };
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
            let sized = case(op).input("x", &[1, 1, 4]).dynamic(&["", "", "w"]);
            sized.param("w", &[1, 1, 2]).ints("strides", &[2]).snapshot("dynamic");
        }
    }
}
