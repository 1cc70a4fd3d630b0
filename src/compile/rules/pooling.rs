//! Pooling over windows and over all of space.
//!
//! `MaxPool`: the change of each window's winner. `AveragePool`: the sum over the window, divided by
//! the number of elements that count. `GlobalMaxPool, GlobalAveragePool`: the same over every
//! spatial axis.

use super::Inputs::First;
use super::reduction::{average, first_winners};
use super::window::{Windows, geometry};
use super::{Entry, Rule};
use crate::compile::build::Expr;
use crate::compile::linear::Geometry;
use crate::error::{Error, Result};
use crate::graph::{DataType, Dim, Tensor, ValueId, fixed};

pub(super) const RULES: &[Entry] = &[
    Entry::exact("MaxPool", First, max_pool).kink("the first winner in row-major order"),
    Entry::exact("AveragePool", First, average_pool),
    Entry::exact("GlobalMaxPool", First, global_max_pool)
        .kink("the first winner in row-major order"),
    Entry::exact("GlobalAveragePool", First, global_average_pool),
];

fn max_pool(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    refuse_same_with_gaps(cx)?;
    let indices = indices_of(cx)?;
    let (dx, y_dims) = (cx.dx(0)?, cx.y_dims(0)?);
    let kernel = cx.node.ints("kernel_shape")?.unwrap_or_default().to_vec();
    let windows = geometry(cx, kernel, &dx.dims(), &y_dims).ok().map(|w| w.geometry);
    cx.emit(0, dx.winners(indices, windows, y_dims));
    Ok(())
}

/// Refuses `auto_pad` over windows with gaps: ONNX Runtime pads as if there were none.
pub(super) fn refuse_same_with_gaps(cx: &Rule) -> Result<()> {
    let same = cx.node.text("auto_pad")?.is_some_and(|mode| mode.starts_with("SAME"));
    let gaps = cx.node.ints("dilations")?.is_some_and(|list| list.iter().any(|&d| d > 1));
    if same && gaps {
        return Err(Error::unsupported(
            "runtimes disagree on what auto_pad means beside dilations",
        )
        .help("export the model with explicit pads"));
    }
    Ok(())
}

/// The node's own Indices output, added where the model left it out. Column-major indices, which
/// only a second node can avoid, are replaced by those of a copy of the node.
fn indices_of(cx: &Rule) -> Result<ValueId> {
    let column_major = cx.node.int("storage_order")?.unwrap_or(0) != 0;
    if let Some(indices) = cx.node.output(1).filter(|_| !column_major) {
        return Ok(indices);
    }
    if column_major {
        let attributes: Vec<_> = cx
            .node
            .attributes
            .iter()
            .filter(|a| a.name != "storage_order")
            .map(|a| (a.name.as_str(), a.value.clone()))
            .collect();
        return Ok(cx.e.node("MaxPool", &[Some(cx.raw(0)?.id)], &attributes, 2)[1].id);
    }
    cx.add_output(1, "Indices", DataType::I64, cx.y_dims(0)?)
}

fn average_pool(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    refuse_same_with_gaps(cx)?;
    let (dx, y_dims) = (cx.dx(0)?, cx.y_dims(0)?);
    let x_dims = dx.dims();
    let kernel = cx.node.ints("kernel_shape")?.unwrap_or_default().to_vec();
    if kernel.is_empty() || kernel.iter().any(|&k| k < 1) {
        return Err(Error::unreadable(format!("attribute 'kernel_shape' is {kernel:?}")));
    }
    let windows = geometry(cx, kernel, &x_dims, &y_dims)?;
    let share = share(cx, &windows, &x_dims, &y_dims, dx.dtype())?;
    cx.emit(0, window_sums(cx, dx, windows.geometry, &y_dims).scale(share));
    Ok(())
}

/// The sums over the windows of each channel.
pub(super) fn window_sums<'r, 'e>(
    cx: &'r Rule<'e>,
    dx: super::Tangent<'r, 'e>,
    geometry: Geometry,
    y_dims: &[Dim],
) -> super::Tangent<'r, 'e> {
    let ones = ones(cx, &geometry, dx.dtype());
    dx.window_sums(ones.id, geometry, y_dims.to_vec())
}

fn ones<'e>(cx: &Rule<'e>, geometry: &Geometry, dtype: DataType) -> Expr<'e> {
    let count: i64 = geometry.kernel.iter().product();
    let dims = [1, 1].into_iter().chain(geometry.kernel.iter().copied()).collect();
    cx.e.floats(dtype, dims, &vec![1.0; count.max(0) as usize])
}

/// One over the number of elements that count in each window.
fn share<'e>(
    cx: &Rule<'e>,
    windows: &Windows,
    x_dims: &[Dim],
    y_dims: &[Dim],
    dtype: DataType,
) -> Result<Expr<'e>> {
    let geometry = &windows.geometry;
    let include = cx.node.int("count_include_pad")?.unwrap_or(0) != 0;
    let spatial = |dims: &[Dim]| dims[2..].iter().map(fixed).collect::<Option<Vec<_>>>();
    if let (Some(sizes), Some(outputs)) = (spatial(x_dims), spatial(y_dims)) {
        return Ok(cx.e.constant(known_shares(windows, include, &sizes, &outputs, dtype)));
    }
    let padded = geometry.begin.iter().chain(&geometry.end).any(|&p| p != 0);
    if include || !padded {
        let count: i64 = geometry.kernel.iter().product();
        return Ok(cx.e.float(dtype, 1.0 / count as f64));
    }
    let dims: Vec<Dim> =
        [Dim::Value(1), Dim::Value(1)].into_iter().chain(x_dims[2..].iter().cloned()).collect();
    let all = cx.e.float(dtype, 1.0).expand(&dims);
    let pads: Vec<i64> = geometry.begin.iter().chain(&geometry.end).copied().collect();
    let counts = cx.e.op(
        "Conv",
        &[all, ones(cx, geometry, dtype)],
        &[
            ("dilations", geometry.dilations.clone().into()),
            ("pads", pads.into()),
            ("strides", geometry.strides.clone().into()),
        ],
    );
    let out: Vec<Dim> =
        [Dim::Value(1), Dim::Value(1)].into_iter().chain(y_dims[2..].iter().cloned()).collect();
    Ok(counts.assume(&out).unary("Reciprocal"))
}

fn known_shares(
    windows: &Windows,
    include: bool,
    sizes: &[i64],
    outputs: &[i64],
    dtype: DataType,
) -> Tensor {
    let g = &windows.geometry;
    let counts = |axis: usize| -> Vec<f64> {
        let (low, high) = if include {
            (-g.begin[axis], sizes[axis] + windows.padded[axis])
        } else {
            (0, sizes[axis])
        };
        let element = |o: i64, j: i64| o * g.strides[axis] - g.begin[axis] + j * g.dilations[axis];
        (0..outputs[axis])
            .map(|o| (0..g.kernel[axis]).filter(|&j| (low..high).contains(&element(o, j))).count())
            .map(|count| count as f64)
            .collect()
    };
    let mut totals = vec![1.0];
    for axis in 0..sizes.len() {
        let counts = counts(axis);
        totals = totals.iter().flat_map(|t| counts.iter().map(move |c| t * c)).collect();
    }
    let shares: Vec<f64> = totals.iter().map(|&t| if t == 0.0 { 0.0 } else { 1.0 / t }).collect();
    match shares.split_first() {
        Some((first, rest)) if rest.iter().all(|s| s == first) => Tensor::float(dtype, *first),
        _ => Tensor::floats(dtype, outputs.to_vec(), &shares),
    }
}

fn global_average_pool(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let dx = cx.dx(0)?;
    let axes: Vec<_> = (2..dx.rank()).collect();
    cx.emit(0, average(cx, dx, &axes, true));
    Ok(())
}

fn global_max_pool(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let dx = cx.dx(0)?;
    let axes: Vec<_> = (2..dx.rank()).collect();
    cx.emit(0, dx.scale(first_winners(cx.x(0)?, &axes)).sum(&axes, true));
    Ok(())
}

#[cfg(test)]
mod tests {

    use crate::compile::rules::testing::{Case, PADDINGS, Padding, case};

    /// Calls `check` with every kind of window along one axis.
    fn grid(op: &str, check: impl Fn(Case)) {
        for (stride, kernel) in [(1, 2), (1, 3), (2, 2), (2, 3), (3, 2), (3, 3), (2, 1)] {
            for padding in PADDINGS.into_iter().filter(|p| kernel > 1 || *p == Padding::Of(0, 0)) {
                // tract takes no notice of ceil_mode beside VALID.
                let valid = padding == Padding::Auto("VALID");
                for (size, ceil) in
                    [(7, 0), (7, 1), (8, 1)].into_iter().filter(|c| c.1 == 0 || !valid)
                {
                    let case = case(op).input("x", &[1, 2, size]).ints("kernel_shape", &[kernel]);
                    let case = case.ints("strides", &[stride]).padding(1, padding);
                    check(if ceil == 1 { case.int("ceil_mode", 1) } else { case });
                }
            }
        }
    }

    #[test]
    fn every_max_window_along_one_axis() {
        grid("MaxPool", |case| case.check());
    }

    #[test]
    fn every_average_window_along_one_axis() {
        grid("AveragePool", |case| case.check());
    }

    #[test]
    fn every_average_window_that_counts_its_padding() {
        grid("AveragePool", |case| case.int("count_include_pad", 1).check());
    }

    #[test]
    fn the_last_window_of_ceil_mode_stays_beside_valid() {
        let pool = || case("AveragePool").input("x", &[1, 1, 7]).ints("kernel_shape", &[2]);
        let pool = || pool().ints("strides", &[2]).int("ceil_mode", 1);
        pool().text("auto_pad", "VALID").f32().ort().check();
    }

    #[test]
    fn axes_differ() {
        for op in ["MaxPool", "AveragePool"] {
            for pads in [[0, 0, 0, 0], [1, 0, 1, 1], [0, 1, 1, 0]] {
                for (strides, ceil) in [([1, 2], 0), ([2, 1], 1), ([3, 2], 1), ([2, 3], 0)] {
                    let case = case(op).input("x", &[1, 2, 6, 5]).ints("kernel_shape", &[2, 3]);
                    let case = case.ints("pads", &pads).ints("strides", &strides);
                    case.int("ceil_mode", ceil).check();
                }
            }
            let case = case(op).input("x", &[2, 2, 3, 3, 4]).ints("kernel_shape", &[2, 1, 3]);
            case.ints("pads", &[1, 0, 1, 0, 0, 0]).ints("strides", &[1, 2, 1]).check();
        }
    }

    #[test]
    fn windows_with_gaps() {
        for (stride, padding) in [1, 2].into_iter().flat_map(|s| PADDINGS.map(|p| (s, p))) {
            for op in ["MaxPool", "AveragePool"] {
                let case = case(op).input("x", &[1, 1, 7]).ints("kernel_shape", &[2]).opset(19);
                let case = case.ints("dilations", &[2]).ints("strides", &[stride]);
                match padding {
                    Padding::Auto("SAME_UPPER" | "SAME_LOWER") => {
                        case.padding(1, padding).refused("runtimes disagree");
                    }
                    _ => case.padding(1, padding).check(),
                }
            }
        }
    }

    #[test]
    fn indices_that_the_model_uses() {
        let pool =
            || case("MaxPool").input("x", &[2, 2, 4, 4]).ints("kernel_shape", &[2, 2]).outputs(2);
        pool().check();
        pool().int("storage_order", 1).check();
    }

    #[test]
    fn the_first_of_equal_elements_wins() {
        let pool = |op, values: &[f64]| case(op).input("x", &[1, 1, 2, 2]).values(values);
        let first: &[&[f64]] = &[&[0.0, 1.0, 0.0, 0.0]];
        pool("MaxPool", &[1.0, 3.0, 3.0, 3.0]).ints("kernel_shape", &[2, 2]).jacobian(first);
        pool("GlobalMaxPool", &[1.0, 3.0, 3.0, 3.0]).jacobian(first);
        let last: &[&[f64]] = &[&[0.0, 0.0, 1.0, 0.0]];
        pool("MaxPool", &[1.0, -3.0, 4.0, 4.0]).ints("kernel_shape", &[2, 2]).jacobian(last);
        pool("GlobalMaxPool", &[1.0, -3.0, 4.0, 4.0]).jacobian(last);
    }

    #[test]
    fn all_of_space() {
        for op in ["GlobalMaxPool", "GlobalAveragePool"] {
            for dims in [&[1, 2, 3][..], &[2, 3, 2, 3], &[1, 2, 2, 3, 2], &[1, 1, 1, 1]] {
                case(op).input("x", dims).check();
            }
            case(op).input("x", &[2, 2, 3, 2]).dynamic(&["n", "", "h", "w"]).check();
        }
    }

    #[test]
    fn sizes_known_at_run_time() {
        for op in ["MaxPool", "AveragePool"] {
            for (stride, pad) in [(1, 0), (2, 0), (2, 1), (3, 1)] {
                for size in [6, 7] {
                    let case = case(op).input("x", &[1, 1, size, 5]).dynamic(&["n", "", "h", "w"]);
                    let case = case.ints("kernel_shape", &[3, 2]).ints("strides", &[stride, 2]);
                    case.ints("pads", &[pad, 0, pad, 1]).check();
                }
            }
        }
        let case = case("AveragePool").input("x", &[1, 1, 6]).dynamic(&["", "", "w"]);
        let case = case.ints("kernel_shape", &[3]).ints("pads", &[1, 2]).ints("strides", &[2]);
        case.int("count_include_pad", 1).check();
    }

    #[test]
    fn snapshots() {
        for op in ["MaxPool", "AveragePool"] {
            let pool = || case(op).input("x", &[1, 2, 5, 5]).ints("kernel_shape", &[3, 3]);
            pool().ints("strides", &[2, 2]).snapshot("plain");
            pool().ints("strides", &[3, 3]).int("ceil_mode", 1).snapshot("ceil");
            pool().ints("pads", &[1, 0, 1, 1]).snapshot("padded");
            let sized = case(op).input("x", &[1, 1, 5]).dynamic(&["", "", "w"]);
            sized.ints("kernel_shape", &[2]).ints("pads", &[1, 0]).snapshot("dynamic");
        }
        case("GlobalMaxPool").input("x", &[1, 2, 3, 3]).snapshot("plain");
        case("GlobalAveragePool").input("x", &[1, 2, 3, 3]).snapshot("plain");
    }
}
