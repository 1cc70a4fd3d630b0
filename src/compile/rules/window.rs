//! The windows of convolutions and poolings, read from a node.

use super::Rule;
use crate::compile::linear::Geometry;
use crate::error::{Error, Result};
use crate::graph::{Dim, fixed};

/// The windows of a node over the spatial axes `2..` of `input`, to those of `output`, with every
/// form of padding turned into numbers. With `ceil_mode` the end is padded so that the last window
/// fits; `padded` tells how far the padding that counts as elements reaches.
///
/// # Errors
/// When an attribute is malformed, or a padding depends on a size only known at run time.
pub fn geometry(cx: &Rule, kernel: Vec<i64>, input: &[Dim], output: &[Dim]) -> Result<Windows> {
    let rank = kernel.len();
    if input.len() != rank + 2 || output.len() != rank + 2 {
        return Err(Error::unreadable(format!(
            "a kernel of {rank} axes over a tensor of rank {}",
            input.len()
        )));
    }
    let mut windows = explicit(cx, kernel)?;
    match cx.node.text("auto_pad")?.unwrap_or("NOTSET") {
        "NOTSET" => {}
        "VALID" => (windows.begin, windows.end) = (vec![0; rank], vec![0; rank]),
        same @ ("SAME_UPPER" | "SAME_LOWER") => {
            pad_same(&mut windows, same == "SAME_UPPER", &input[2..])?;
        }
        other => return Err(Error::unreadable(format!("attribute 'auto_pad' is '{other}'"))),
    }
    let padded = windows.end.clone();
    if cx.node.int("ceil_mode")?.unwrap_or(0) != 0 {
        pad_ceil(&mut windows, &input[2..], &output[2..])?;
    }
    Ok(Windows { geometry: windows, padded })
}

/// The windows of a node as its strides, dilations and pads say.
///
/// # Errors
/// When an attribute is malformed.
pub fn explicit(cx: &Rule, kernel: Vec<i64>) -> Result<Geometry> {
    let rank = kernel.len();
    let steps = |name: &str| -> Result<Vec<i64>> {
        let values = list(cx, name, 1, rank)?;
        if values.iter().any(|&v| v < 1) {
            return Err(Error::unreadable(format!("attribute '{name}' is {values:?}")));
        }
        Ok(values)
    };
    let pads = list(cx, "pads", 0, 2 * rank)?;
    Ok(Geometry {
        kernel,
        strides: steps("strides")?,
        dilations: steps("dilations")?,
        begin: pads[..rank].to_vec(),
        end: pads[rank..].to_vec(),
    })
}

/// A list attribute of `count` integers, each `default` where it is left out.
///
/// # Errors
/// When there are more or fewer.
pub fn list(cx: &Rule, name: &str, default: i64, count: usize) -> Result<Vec<i64>> {
    let values = cx.node.ints(name)?.map_or(vec![default; count], <[i64]>::to_vec);
    if values.len() != count {
        return Err(Error::unreadable(format!("attribute '{name}' is {values:?}")));
    }
    Ok(values)
}

/// Windows, and the padding at the end that the model asked for.
pub struct Windows {
    /// The windows; their end padding lets the last window fit.
    pub geometry: Geometry,
    /// The end padding without what only `ceil_mode` adds.
    pub padded: Vec<i64>,
}

fn pad_same(windows: &mut Geometry, upper: bool, sizes: &[Dim]) -> Result<()> {
    for (axis, size) in sizes.iter().enumerate() {
        let (stride, reach) = (windows.strides[axis], windows.reach(axis));
        let total = match fixed(size) {
            Some(size) => ((size + stride - 1) / stride - 1) * stride + reach - size,
            None if stride == 1 => reach - 1,
            None => {
                return Err(Error::unsupported(format!(
                    "auto_pad with stride {stride} over an axis of size {size}, known only at run time"
                ))
                .help("fix the size of the input, or export the model with explicit pads"));
            }
        };
        let total = total.max(0);
        let less = total / 2;
        (windows.begin[axis], windows.end[axis]) =
            if upper { (less, total - less) } else { (total - less, less) };
    }
    Ok(())
}

fn pad_ceil(windows: &mut Geometry, sizes: &[Dim], outputs: &[Dim]) -> Result<()> {
    for (axis, (size, output)) in sizes.iter().zip(outputs).enumerate() {
        let (stride, reach) = (windows.strides[axis], windows.reach(axis));
        let (Some(size), Some(output)) = (fixed(size), fixed(output)) else {
            if stride == 1 {
                continue;
            }
            return Err(Error::unsupported(format!(
                "ceil_mode over an axis of size {size}, known only at run time"
            ))
            .help("fix the size of the input"));
        };
        let need = (output - 1) * stride + reach;
        windows.end[axis] = windows.end[axis].max(need - size - windows.begin[axis]);
    }
    Ok(())
}
