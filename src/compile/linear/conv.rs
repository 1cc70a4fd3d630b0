//! Convolutions with a fixed kernel.

use super::scale::only;
use super::{Linear, Lower, Samples, Var};
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
        gather_windows(at, self.kernel, self.group, &self.geometry, only(x), &at.out_dims())
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        let to = at.in_dims(0);
        vec![spread_windows(at, self.kernel, self.group, &self.geometry, dy, &to)]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], _: &Var) -> Option<Samples> {
        (inputs[0].1.axis == 0).then(|| inputs[0].1.clone())
    }
}

impl Linear for ConvTranspose {
    fn name(&self) -> &'static str {
        "ConvTranspose"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        spread_windows(at, self.kernel, self.group, &self.geometry, only(x), &at.out_dims())
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        let to = at.in_dims(0);
        vec![gather_windows(at, self.kernel, self.group, &self.geometry, dy, &to)]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], _: &Var) -> Option<Samples> {
        (inputs[0].1.axis == 0).then(|| inputs[0].1.clone())
    }
}

/// Conv of `[K, N, C, s…]` to the dimensions `to`, the seeds folded into the batch.
fn gather_windows<'e>(
    at: &Lower<'e, '_>,
    kernel: ValueId,
    group: i64,
    geometry: &Geometry,
    x: Expr<'e>,
    to: &[Dim],
) -> Expr<'e> {
    let folded = fold(x);
    let kernel = at.coefficient(kernel);
    let y = at.e.op("Conv", &[folded, kernel], &geometry.attributes(group));
    // A transposed convolution whose output is padded by a whole stride has windows of its own.
    let mut dims = y.dims();
    let mut y = y;
    for axis in 2..dims.len() {
        if dims[axis] != to[axis + 1] {
            y = y.slice(axis, &Dim::Value(0), &to[axis + 1]);
            dims[axis] = to[axis + 1].clone();
            y = y.assume(&dims);
        }
    }
    y.reshape(to)
}

/// ConvTranspose of `[K, N, M, o…]` to the dimensions `to`, the seeds folded into the batch.
fn spread_windows<'e>(
    at: &Lower<'e, '_>,
    kernel: ValueId,
    group: i64,
    geometry: &Geometry,
    dy: Expr<'e>,
    to: &[Dim],
) -> Expr<'e> {
    let sizes = &to[3..];
    let from = dy.dims();
    // What the stride left over at the end. Where that is only known at run time, the most it can
    // be is computed and the rest cut away.
    let rest = |axis: usize| {
        let stride = Dim::Value(geometry.strides[axis] as i32);
        let padded = geometry.begin[axis] + geometry.end[axis] - geometry.reach(axis);
        let spread = (from[axis + 3].clone() - Dim::Value(1)) * stride;
        fixed(&(sizes[axis].clone() + Dim::Value(padded as i32) - spread).simplify())
    };
    let rests: Vec<Option<i64>> = (0..geometry.rank()).map(rest).collect();
    let extra = |(axis, rest): (usize, &Option<i64>)| rest.unwrap_or(geometry.strides[axis] - 1);
    let extras: Vec<i64> = rests.iter().enumerate().map(extra).collect();
    let mut attributes = geometry.attributes(group);
    if extras.iter().any(|&r| r != 0) {
        attributes.push(("output_padding", extras.into()));
    }
    let kernel = at.coefficient(kernel);
    let mut x = at.e.op("ConvTranspose", &[fold(dy), kernel], &attributes);
    let mut dims = x.dims();
    for axis in 0..geometry.rank() {
        if rests[axis].is_none() && geometry.strides[axis] != 1 {
            x = x.slice(axis + 2, &Dim::Value(0), &sizes[axis]);
        }
        dims[axis + 2] = sizes[axis].clone();
    }
    x.assume(&dims).reshape(to)
}

fn fold(x: Expr<'_>) -> Expr<'_> {
    let dims = x.dims();
    let mut folded = vec![x.e.product(&dims[..2])];
    folded.extend_from_slice(&dims[2..]);
    x.reshape(&folded)
}
