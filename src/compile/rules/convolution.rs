//! Convolutions: linear in the input for a fixed kernel; the constant part is the bias `B`.

use super::Inputs::Only;
use super::normalisation::channels;
use super::window::geometry;
use super::{Entry, Rule, Tangent};
use crate::compile::linear::Geometry;
use crate::error::{Error, Result};
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
    let list = |name: &str, default: i64, count: usize| -> Result<Vec<i64>> {
        let values = cx.node.ints(name)?.map_or(vec![default; count], <[i64]>::to_vec);
        if values.len() != count {
            return Err(Error::unreadable(format!("attribute '{name}' is {values:?}")));
        }
        Ok(values)
    };
    let (strides, dilations) = (list("strides", 1, rank)?, list("dilations", 1, rank)?);
    let (extra, pads) = (list("output_padding", 0, rank)?, list("pads", 0, 2 * rank)?);
    let mut windows = Geometry {
        kernel,
        strides,
        dilations,
        begin: pads[..rank].to_vec(),
        end: pads[rank..].to_vec(),
    };
    let auto_pad = cx.node.text("auto_pad")?.unwrap_or("NOTSET");
    let given = cx.node.ints("output_shape")?.is_some();
    if auto_pad == "VALID" {
        (windows.begin, windows.end) = (vec![0; rank], vec![0; rank]);
    } else if given || auto_pad != "NOTSET" {
        for axis in 0..rank {
            let (Some(i), Some(o)) = (fixed(&x_dims[axis + 2]), fixed(&y_dims[axis + 2])) else {
                return cx.refuse(
                    "padding by output_shape or auto_pad over a size only known at run time",
                );
            };
            let total = (i - 1) * windows.strides[axis] + extra[axis] + windows.reach(axis) - o;
            if total < 0 {
                return cx.refuse(format!("an output {} longer than the windows reach", -total));
            }
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
        let mut dims = db.dims();
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
    use crate::compile::rules::testing::case;

    #[test]
    fn snapshots() {
        let conv =
            case("Conv").input("x", &[1, 2, 5, 5]).param("w", &[3, 2, 3, 3]).param("b", &[3]);
        conv.ints("pads", &[1, 0, 2, 1]).ints("strides", &[2, 1]).snapshot("strided");
    }
}
