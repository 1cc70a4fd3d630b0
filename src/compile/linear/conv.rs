//! Convolutions with a fixed kernel.

use super::scale::only;
use super::{Linear, Local, Lower, Patch, Place, Samples, Span, Var, Windows};
use crate::compile::build::Expr;
use crate::graph::{Attr, Dim, ValueId, fixed};

/// How windows lie over the spatial axes; every list has an entry per axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The size of the kernel.
    pub kernel: Vec<i64>,
    /// The distance of two windows.
    pub strides: Vec<i64>,
    /// The distance of two elements of a window.
    pub dilations: Vec<i64>,
    /// Zeros before the first element.
    pub begin: Vec<i64>,
    /// Zeros behind the last element.
    pub end: Vec<i64>,
}

impl Geometry {
    /// The number of spatial axes.
    pub fn rank(&self) -> usize {
        self.kernel.len()
    }

    /// The elements a window reaches over along an axis.
    pub fn reach(&self, axis: usize) -> i64 {
        (self.kernel[axis] - 1) * self.dilations[axis] + 1
    }

    /// The number of elements of the kernel, a channel.
    pub fn elements(&self) -> f64 {
        self.kernel.iter().map(|&k| k as f64).product()
    }

    /// The windows of the input that the given windows of the output read.
    pub fn reached(&self, windows: &[Span]) -> Option<Vec<Span>> {
        let axis = |(axis, window): (usize, &Span)| {
            let apart = window.apart(self.strides[axis])?;
            Some(Span {
                start: apart.start.checked_sub(self.begin[axis])?,
                length: apart.length.checked_add(self.reach(axis) - 1)?,
                ..apart
            })
        };
        let same = windows.len() == self.rank();
        same.then(|| windows.iter().enumerate().map(axis).collect()).flatten()
    }

    /// The same windows with nothing around.
    pub(super) fn unpadded(&self) -> Self {
        let none = vec![0; self.rank()];
        Self { begin: none.clone(), end: none, ..self.clone() }
    }

    fn attributes(&self, group: i64) -> Vec<(&'static str, Attr)> {
        let pads: Vec<i64> = self.begin.iter().chain(&self.end).copied().collect();
        vec![
            ("dilations", self.dilations.clone().into()),
            ("group", group.into()),
            ("kernel_shape", self.kernel.clone().into()),
            ("pads", pads.into()),
            ("strides", self.strides.clone().into()),
        ]
    }
}

/// The cross-correlation of ONNX's Conv without its bias. Transposed: ConvTranspose with the same
/// kernel.
#[derive(Debug)]
pub struct Conv {
    /// The kernel `[M, C/group, k…]`.
    pub kernel: ValueId,
    /// The number of groups.
    pub group: i64,
    /// The windows.
    pub geometry: Geometry,
}

/// The transposed convolution of ONNX's ConvTranspose without its bias; its output's size follows
/// from the output variable. Transposed: Conv with the same kernel.
#[derive(Debug)]
pub struct ConvTranspose {
    /// The kernel `[C, M/group, k…]`.
    pub kernel: ValueId,
    /// The number of groups.
    pub group: i64,
    /// The windows, over the output.
    pub geometry: Geometry,
}

impl Linear for Conv {
    fn name(&self) -> &'static str {
        "Conv"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        gather(at, (self.kernel, self.group, &self.geometry), only(x), &at.out_dims())
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        vec![spread(at, (self.kernel, self.group, &self.geometry), dy, &at.in_dims(0))]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], _: &Var) -> Option<Samples> {
        (inputs[0].1.axis == 0).then(|| inputs[0].1.clone())
    }

    fn local(&self) -> Option<&dyn Local> {
        Some(self)
    }

    fn products(&self, inputs: &[&Var], output: &Var, size: &dyn Fn(&[Dim]) -> f64) -> f64 {
        let channels = size(&inputs[0].dims[1..2]) / self.group as f64;
        size(&output.dims) * channels * self.geometry.elements()
    }

    fn weights(&self, inputs: &[&Var], output: &Var, size: &dyn Fn(&[Dim]) -> f64) -> f64 {
        let channels = size(&inputs[0].dims[1..2]) * size(&output.dims[1..2]);
        channels / self.group as f64 * self.geometry.elements()
    }
}

impl Local for Conv {
    fn reach(&self, _: &[&Var], _: &Var, windows: &[Span]) -> Option<Vec<Vec<Span>>> {
        self.geometry.reached(windows).map(|windows| vec![windows])
    }

    fn keeps_channels(&self) -> bool {
        false
    }

    /// The cotangent of one position of one channel is that channel's kernel, taken, not multiplied; that
    /// of one channel by a kernel of one element is that element times it.
    fn pull<'e>(
        &self,
        at: &Lower<'e, '_>,
        place: &Place<'e>,
        windows: &Windows,
        dy: Patch<'e>,
    ) -> Vec<Patch<'e>> {
        let point = windows.output.iter().all(|w| w.length == 1);
        let dense = self.group == 1 && self.geometry.dilations.iter().all(|&d| d == 1);
        let ones = |list: &[i64]| list.iter().all(|&n| n == 1);
        let mixes = ones(&self.geometry.kernel) && ones(&self.geometry.strides);
        let value = match dy.channel.filter(|_| dense && (point || mixes)) {
            Some(channel) => dy.value * at.coefficient(self.kernel).gather(channel, 0),
            None => {
                let dy = place.all_neurons(place.all_channels(dy, at.output)).value;
                let mut to = dy.dims();
                to[2] = at.inputs[0].dims[1].clone();
                for (axis, window) in windows.inputs[0].iter().enumerate() {
                    to[axis + 3] = Dim::Value(window.length as i32);
                }
                spread(at, (self.kernel, self.group, &self.geometry.unpadded()), dy, &to)
            }
        };
        vec![place.masked(Patch { value, channel: None }, &windows.inputs[0], at.inputs[0])]
    }
}

impl Linear for ConvTranspose {
    fn name(&self) -> &'static str {
        "ConvTranspose"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        spread(at, (self.kernel, self.group, &self.geometry), only(x), &at.out_dims())
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        vec![gather(at, (self.kernel, self.group, &self.geometry), dy, &at.in_dims(0))]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], _: &Var) -> Option<Samples> {
        (inputs[0].1.axis == 0).then(|| inputs[0].1.clone())
    }

    fn products(&self, inputs: &[&Var], output: &Var, size: &dyn Fn(&[Dim]) -> f64) -> f64 {
        let channels = size(&output.dims[1..2]) / self.group as f64;
        size(&inputs[0].dims) * channels * self.geometry.elements()
    }

    fn weights(&self, inputs: &[&Var], output: &Var, size: &dyn Fn(&[Dim]) -> f64) -> f64 {
        let channels = size(&inputs[0].dims[1..2]) * size(&output.dims[1..2]);
        channels / self.group as f64 * self.geometry.elements()
    }
}

/// Conv of images `[B, C, s…]` to the dimensions `to`.
pub(super) fn gather_windows<'e>(
    at: &Lower<'e, '_>,
    kernel: ValueId,
    group: i64,
    geometry: &Geometry,
    x: Expr<'e>,
    to: &[Dim],
) -> Expr<'e> {
    let kernel = at.coefficient(kernel);
    let mut y = at.e.op("Conv", &[x, kernel], &geometry.attributes(group));
    // A transposed convolution whose output is padded by a whole stride has windows of its own.
    let mut dims = y.dims();
    for axis in 2..dims.len() {
        if dims[axis] != to[axis] {
            y = y.slice(axis, &Dim::Value(0), &to[axis]);
            dims[axis] = to[axis].clone();
            y = y.assume(&dims);
        }
    }
    y
}

/// ConvTranspose of images `[B, M, o…]` to the dimensions `to`.
pub(super) fn spread_windows<'e>(
    at: &Lower<'e, '_>,
    kernel: ValueId,
    group: i64,
    geometry: &Geometry,
    dy: Expr<'e>,
    to: &[Dim],
) -> Expr<'e> {
    let sizes = &to[2..];
    let from = dy.dims();
    // What the stride left over at the end. Where that is only known at run time, the most it can
    // be is computed and the rest cut away.
    let rest = |axis: usize| {
        let stride = Dim::Value(geometry.strides[axis] as i32);
        let padded = geometry.begin[axis] + geometry.end[axis] - geometry.reach(axis);
        let spread = (from[axis + 2].clone() - Dim::Value(1)) * stride;
        fixed(&(sizes[axis].clone() + Dim::Value(padded as i32) - spread).simplify())
    };
    let rests: Vec<Option<i64>> = (0..geometry.rank()).map(rest).collect();
    if let Some(pads) =
        flips(geometry, group, &to[1]).filter(|_| rests.iter().all(|r| *r == Some(0)))
    {
        return flipped(at, kernel, geometry, pads, dy).assume(to);
    }
    let extra = |(axis, rest): (usize, &Option<i64>)| rest.unwrap_or(geometry.strides[axis] - 1);
    let extras: Vec<i64> = rests.iter().enumerate().map(extra).collect();
    let mut attributes = geometry.attributes(group);
    if extras.iter().any(|&r| r != 0) {
        attributes.push(("output_padding", extras.into()));
    }
    let kernel = at.coefficient(kernel);
    let mut x = at.e.op("ConvTranspose", &[dy, kernel], &attributes);
    let mut dims = x.dims();
    for axis in 0..geometry.rank() {
        if rests[axis].is_none() && geometry.strides[axis] != 1 {
            x = x.slice(axis + 2, &Dim::Value(0), &sizes[axis]);
        }
        dims[axis + 2] = sizes[axis].clone();
    }
    x.assume(&dims)
}

/// The fewest channels to which runtimes compute a convolution as fast as ConvTranspose or faster: at 16 it
/// takes up to 1.14 times as long, from 32 on it is mostly the faster, up to 1.6 times.
const WIDE: i64 = 32;

/// The pads of the Conv with a flipped kernel that is the same map as ConvTranspose, where runtimes
/// compute that faster: over neighbouring windows, to many channels.
fn flips(geometry: &Geometry, group: i64, channels: &Dim) -> Option<Vec<i64>> {
    let point = geometry.kernel.iter().all(|&k| k == 1);
    let wide = fixed(channels).is_some_and(|n| n >= WIDE);
    let neighbours = geometry.strides.iter().all(|&s| s == 1);
    let rest = |pads: &[i64]| -> Vec<i64> {
        (0..geometry.rank()).map(|axis| geometry.reach(axis) - 1 - pads[axis]).collect()
    };
    let pads = [rest(&geometry.begin), rest(&geometry.end)].concat();
    let fits = pads.iter().all(|&pad| pad >= 0);
    (group == 1 && wide && neighbours && !point && fits).then_some(pads)
}

/// Conv with the kernel's channels exchanged and its elements in reverse order.
fn flipped<'e>(
    at: &Lower<'e, '_>,
    kernel: ValueId,
    geometry: &Geometry,
    pads: Vec<i64>,
    dy: Expr<'e>,
) -> Expr<'e> {
    let (e, rank) = (at.e, geometry.rank());
    let kernel = at.coefficient(kernel);
    let exchanged: Vec<usize> = [1, 0].into_iter().chain(2..rank + 2).collect();
    let axes: Vec<i64> = (2..rank as i64 + 2).collect();
    let each = |value: i64| e.ints(&vec![value; rank]);
    let inputs = [kernel.transpose(&exchanged), each(-1), each(i64::MIN), e.ints(&axes), each(-1)];
    let kernel = e.op("Slice", &inputs, &[]);
    let attributes = [
        ("dilations", geometry.dilations.clone().into()),
        ("group", 1.into()),
        ("kernel_shape", geometry.kernel.clone().into()),
        ("pads", pads.into()),
        ("strides", geometry.strides.clone().into()),
    ];
    e.op("Conv", &[dy, kernel], &attributes)
}

/// [`gather_windows`] of `[K, N, C, s…]`, the seeds folded into the batch.
fn gather<'e>(at: &Lower<'e, '_>, with: Kernel<'_>, x: Expr<'e>, to: &[Dim]) -> Expr<'e> {
    let (kernel, group, geometry) = with;
    let x = x.reshape(&folded(at, &x.dims()));
    gather_windows(at, kernel, group, geometry, x, &folded(at, to)).reshape(to)
}

/// [`spread_windows`] of `[K, N, M, o…]`, the seeds folded into the batch.
fn spread<'e>(at: &Lower<'e, '_>, with: Kernel<'_>, dy: Expr<'e>, to: &[Dim]) -> Expr<'e> {
    let (kernel, group, geometry) = with;
    let dy = dy.reshape(&folded(at, &dy.dims()));
    spread_windows(at, kernel, group, geometry, dy, &folded(at, to)).reshape(to)
}

/// A kernel, its number of groups, and its windows.
type Kernel<'g> = (ValueId, i64, &'g Geometry);

fn folded(at: &Lower, dims: &[Dim]) -> Vec<Dim> {
    std::iter::once(at.e.product(&dims[..2])).chain(dims[2..].iter().cloned()).collect()
}
