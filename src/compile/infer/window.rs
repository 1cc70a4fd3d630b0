//! Windows over spatial axes: convolutions, their transposes and pools.
//!
//! `rten-shape-inference` has these for one and two spatial axes only.

use super::cx::Cx;
use super::dim::{num, number};
use super::layout::show;
use crate::error::{Error, Result};
use crate::graph::{Dim, Facts};

/// How windows lie along the spatial axes.
struct Windows {
    kernel: Vec<Dim>,
    strides: Vec<i64>,
    dilations: Vec<i64>,
    pads: Vec<i64>,
    auto_pad: AutoPad,
}

#[derive(Clone, Copy, PartialEq)]
enum AutoPad {
    Explicit,
    Same,
    Valid,
}

impl Windows {
    /// The windows of the node over `rank` spatial axes.
    fn of(cx: &Cx, kernel: Vec<Dim>) -> Result<Self> {
        let rank = kernel.len();
        let list = |name: &str, len: usize, default: i64, least: i64| -> Result<Vec<i64>> {
            match cx.node.ints(name)? {
                None | Some([]) => Ok(vec![default; len]),
                Some(list) if list.len() != len => Err(Error::unreadable(format!(
                    "'{name}' has {} entries, {rank} spatial axes need {len}",
                    list.len()
                ))),
                Some(list) if list.iter().any(|&n| n < least || n > i64::from(i32::MAX)) => {
                    Err(Error::unreadable(format!("'{name}' is {list:?}")))
                }
                Some(list) => Ok(list.to_vec()),
            }
        };
        let auto_pad = match cx.node.text("auto_pad")? {
            None | Some("" | "NOTSET") => AutoPad::Explicit,
            Some("SAME_UPPER" | "SAME_LOWER") => AutoPad::Same,
            Some("VALID") => AutoPad::Valid,
            Some(other) => return Err(Error::unreadable(format!("'auto_pad' is {other:?}"))),
        };
        Ok(Self {
            strides: list("strides", rank, 1, 1)?,
            dilations: list("dilations", rank, 1, 1)?,
            pads: match auto_pad {
                AutoPad::Explicit => list("pads", 2 * rank, 0, -i64::from(i32::MAX))?,
                _ => vec![0; 2 * rank],
            },
            kernel,
            auto_pad,
        })
    }

    /// The extent of the kernel along spatial axis `i`.
    fn extent(&self, cx: &mut Cx, i: usize) -> Dim {
        cx.tidy((self.kernel[i].clone() - num(1)) * num(self.dilations[i]) + num(1))
    }

    /// The free room of axis `i` of size `size`: how far a window can move along it.
    fn slack(&self, cx: &mut Cx, i: usize, size: &Dim) -> Dim {
        let pads = self.pads[i] + self.pads[self.kernel.len() + i];
        let extent = self.extent(cx, i);
        cx.tidy(size.clone() + num(pads) - extent)
    }

    /// The number of windows along spatial axis `i` of size `size`. Where none fits, the rounding
    /// of the quotient towards zero decides, as it does in the runtimes.
    fn count(&self, cx: &mut Cx, i: usize, size: &Dim, ceil: bool) -> Dim {
        let stride = self.strides[i];
        if self.auto_pad == AutoPad::Same {
            return cx.tidy(size.div_ceil(&num(stride)));
        }
        let slack = self.slack(cx, i, size);
        if !ceil {
            return cx.tidy(slack / num(stride) + num(1));
        }
        let count = slack.div_ceil(&num(stride)) + num(1);
        // A window may not start in the padding behind the input.
        let (head, tail) = (self.pads[i], self.pads[self.kernel.len() + i]);
        let start_inside = (size.clone() + num(head - 1)) / num(stride) + num(1);
        match number(&self.extent(cx, i)) {
            Some(extent) if extent >= stride + tail => cx.tidy(count),
            _ => cx.tidy(count.min(&start_inside)),
        }
    }
}

/// The data's dimensions, at least batch, channels and one spatial axis.
fn image(cx: &Cx) -> Result<Option<Vec<Dim>>> {
    match cx.dims(0)? {
        Some(dims) if dims.len() < 3 => Err(Error::unreadable(format!(
            "the input has rank {}, at least 3 is needed",
            dims.len()
        ))),
        dims => Ok(dims),
    }
}

/// The kernel: the attribute, else the spatial axes of the weights.
fn kernel(cx: &mut Cx, weights: Option<&[Dim]>, rank: usize) -> Result<Vec<Dim>> {
    let declared = cx.node.ints("kernel_shape")?.filter(|list| !list.is_empty());
    let given = weights.and_then(|dims| dims.get(2..)).map(<[Dim]>::to_vec);
    if let Some(list) = declared
        && (list.len() != rank || list.iter().any(|&n| n < 1 || n > i64::from(i32::MAX)))
    {
        return Err(Error::unreadable(format!(
            "'kernel_shape' is {list:?} for {rank} spatial axes"
        )));
    }
    Ok(match (given, declared) {
        (Some(dims), Some(list)) => dims
            .into_iter()
            .zip(list)
            .map(|(dim, &n)| if number(&dim).is_some() { dim } else { num(n) })
            .collect(),
        (Some(dims), None) => dims,
        (None, Some(list)) => list.iter().map(|&n| num(n)).collect(),
        (None, None) => (0..rank).map(|_| cx.fresh()).collect(),
    })
}

/// The weights' dimensions, checked against the data's rank.
fn weights(cx: &Cx, index: usize, rank: usize) -> Result<Option<Vec<Dim>>> {
    match cx.dims(index)? {
        Some(dims) if dims.len() != rank => Err(Error::unreadable(format!(
            "the weights have rank {}, the input has rank {rank}",
            dims.len()
        ))),
        dims => Ok(dims),
    }
}

fn group(cx: &Cx) -> Result<i64> {
    match cx.int("group", 1)? {
        group if (1..=i64::from(i32::MAX)).contains(&group) => Ok(group),
        group => Err(Error::unreadable(format!("'group' is {group}"))),
    }
}

/// `Conv` and its quantised relatives; the weights are input `index`.
pub fn conv(cx: &mut Cx, index: usize) -> Result<Vec<Facts>> {
    let Some(data) = image(cx)? else { return unknown() };
    let weights = weights(cx, index, data.len())?;
    let kernel = kernel(cx, weights.as_deref(), data.len() - 2)?;
    let windows = Windows::of(cx, kernel)?;
    let group = group(cx)?;
    let channels = match &weights {
        None => cx.fresh(),
        Some(weights) => {
            if let (Some(c), Some(w)) = (number(&data[1]), number(&weights[1]))
                && Some(c) != w.checked_mul(group)
            {
                return Err(Error::unreadable(format!(
                    "the input has {c} channels, the weights take {w} in each of {group} groups"
                )));
            }
            weights[0].clone()
        }
    };
    check_bias(cx, &channels)?;
    let mut dims = vec![data[0].clone(), channels];
    for (i, size) in data[2..].iter().enumerate() {
        let slack = windows.slack(cx, i, size);
        if windows.auto_pad != AutoPad::Same && number(&slack).is_some_and(|n| n < 0) {
            let extent = windows.extent(cx, i);
            return Err(Error::unreadable(format!(
                "a window of {extent} does not fit into {size} and its pads"
            )));
        }
        dims.push(windows.count(cx, i, size, false));
    }
    Ok(vec![Facts::from_shape(dims)])
}

/// `MaxPool`, `AveragePool` and `LpPool`; a second output is shaped like the first.
pub fn pool(cx: &mut Cx) -> Result<Vec<Facts>> {
    let Some(data) = image(cx)? else { return unknown() };
    if cx.node.ints("kernel_shape")?.is_none_or(<[i64]>::is_empty) {
        return Err(Error::unreadable("attribute 'kernel_shape' is missing"));
    }
    let kernel = kernel(cx, None, data.len() - 2)?;
    let windows = Windows::of(cx, kernel)?;
    let ceil = cx.flag("ceil_mode", false)?;
    let mut dims = data[..2].to_vec();
    for (i, size) in data[2..].iter().enumerate() {
        dims.push(windows.count(cx, i, size, ceil));
    }
    let shape = Facts::from_shape(dims);
    Ok(vec![shape.clone(), shape])
}

/// `ConvTranspose`.
pub fn conv_transpose(cx: &mut Cx) -> Result<Vec<Facts>> {
    let Some(data) = image(cx)? else { return unknown() };
    let rank = data.len() - 2;
    let weights = weights(cx, 1, data.len())?;
    let kernel = kernel(cx, weights.as_deref(), rank)?;
    let windows = Windows::of(cx, kernel)?;
    let group = group(cx)?;
    let channels = match &weights {
        None => cx.fresh(),
        Some(weights) => {
            if let (Some(c), Some(w)) = (number(&data[1]), number(&weights[0]))
                && c != w
            {
                return Err(Error::unreadable(format!(
                    "the input has {c} channels, the weights take {w}"
                )));
            }
            cx.tidy(weights[1].clone() * num(group))
        }
    };
    check_bias(cx, &channels)?;
    let mut dims = vec![data[0].clone(), channels];
    let shape = cx.node.ints("output_shape")?.filter(|list| !list.is_empty());
    let extra = cx.node.ints("output_padding")?.filter(|list| !list.is_empty());
    for (i, size) in data[2..].iter().enumerate() {
        let extent = windows.extent(cx, i);
        let dim = match (entry(shape, i, rank)?, entry(extra, i, rank)?) {
            (Some(given), _) => num(given),
            // A short kernel leaves gaps that are not padded.
            (None, extra) if windows.auto_pad == AutoPad::Same => {
                let stride = num(windows.strides[i]);
                let reach = (extent + num(extra.unwrap_or(0))).min(&stride);
                (size.clone() - num(1)) * stride + reach
            }
            (None, extra) => {
                let pads = windows.pads[i] + windows.pads[rank + i];
                (size.clone() - num(1)) * num(windows.strides[i])
                    + extent
                    + num(extra.unwrap_or(0).saturating_sub(pads))
            }
        };
        dims.push(cx.tidy(dim));
    }
    Ok(vec![Facts::from_shape(dims)])
}

/// Checks that the bias, where there is one, has an entry a channel.
fn check_bias(cx: &Cx, channels: &Dim) -> Result<()> {
    let index = match cx.node.op.as_str() {
        "Conv" | "ConvTranspose" => 2,
        "DeformConv" => 3,
        "QLinearConv" => 8,
        _ => return Ok(()),
    };
    let Some(bias) = cx.facts(index).and_then(|facts| facts.shape()) else { return Ok(()) };
    let bias: Vec<Dim> = bias.collect();
    let count = bias.first().and_then(number);
    let differs = count.zip(number(channels)).is_some_and(|(a, b)| a != b);
    if bias.len() != 1 || differs {
        return Err(Error::unreadable(format!(
            "the bias has the shape {}, the output {channels} channels",
            show(&bias)
        )));
    }
    Ok(())
}

/// Entry `i` of an optional list with one entry a spatial axis. Where the list also covers batch
/// and channels, they are skipped.
fn entry(list: Option<&[i64]>, i: usize, rank: usize) -> Result<Option<i64>> {
    let Some(list) = list else { return Ok(None) };
    let spatial = match list.len() {
        len if len == rank => list,
        len if len == rank + 2 => &list[2..],
        _ => {
            return Err(Error::unreadable(format!("{list:?} is given for {rank} spatial axes")));
        }
    };
    Ok(Some(spatial[i]))
}

/// `MaxUnpool`: the transposed pooling, or the shape that input 2 gives.
pub fn max_unpool(cx: &mut Cx) -> Result<Vec<Facts>> {
    if cx.has(2) {
        return Ok(vec![super::layout::shape_from(cx, 2)]);
    }
    let Some(data) = image(cx)? else { return unknown() };
    let rank = data.len() - 2;
    let kernel = kernel(cx, None, rank)?;
    let windows = Windows::of(cx, kernel)?;
    let mut dims = data[..2].to_vec();
    for (i, size) in data[2..].iter().enumerate() {
        let pads = windows.pads[i] + windows.pads[rank + i];
        let stride = num(windows.strides[i]);
        let dim = (size.clone() - num(1)) * stride + windows.kernel[i].clone() - num(pads);
        dims.push(cx.tidy(dim));
    }
    Ok(vec![Facts::from_shape(dims)])
}

/// `Col2Im`: batch, channels, and the image shape of input 1.
pub fn col2im(cx: &mut Cx) -> Result<Vec<Facts>> {
    let Some(rank) = cx.vector_len(1) else { return unknown() };
    let image = cx.values(1).unwrap_or_else(|| cx.symbols.gen_shape(rank));
    let block = cx.values(2).and_then(|block| super::dim::product(&block));
    let (batch, channels) = match (cx.dims(0)?, block) {
        (Some(dims), Some(block)) if dims.len() == 3 => {
            (dims[0].clone(), cx.tidy(dims[1].clone() / block))
        }
        _ => (cx.fresh(), cx.fresh()),
    };
    Ok(vec![Facts::from_shape([vec![batch, channels], image].concat())])
}

/// One entry of unknown shape.
pub fn unknown() -> Result<Vec<Facts>> {
    Ok(vec![Facts::unknown("an input's shape is unknown")])
}
