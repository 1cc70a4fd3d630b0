//! Resize: a linear map of each axis in turn.
//!
//! Nearest elements are a Gather along the axis, or a repetition where the factor is whole; linear
//! and cubic interpolation is a product with a matrix of weights. What can be known is made at
//! transform time: a matrix of few weights, the indices; the rest is computed in the graph from the
//! sizes and scales. Coordinates are computed in single precision as ONNX Runtime does, since their
//! rounding decides which element is the nearest, and in double precision for double models. Where
//! `tf_crop_and_resize` leaves the input, the output is a constant.

mod number;
mod sampling;

use super::Inputs::First;
use super::{Entry, Rule, Tangent};
use crate::compile::build::Expr;
use crate::compile::linear::Side;
use crate::error::{Error, Result};
use crate::graph::{DataType, Dim, fixed};
use number::Known;
use sampling::{Axis, Kernel, Samples, Sampling, Taken, factor};

pub(super) const RULES: &[Entry] = &[Entry::exact("Resize", First, resize)];

/// The most weights of one axis that become a constant of the model; more are computed.
const MOST_WEIGHTS: i64 = 1 << 18;

fn resize(cx: &Rule) -> Result<()> {
    let request = Request::read(cx)?;
    request.check_undisputed(cx)?;
    if !request.sampling.crops() || request.fills_with_zeros(cx)? {
        cx.homogeneous();
    }
    let mut dx = request.repeated(cx.dx(0)?);
    for index in 0..request.axes.len() {
        if request.factor(index).is_none() {
            dx = request.resampled(cx, dx, index);
        }
    }
    cx.emit(0, dx);
    Ok(())
}

/// What a node asks for.
struct Request {
    sampling: Sampling,
    from: Vec<Dim>,
    to: Vec<Dim>,
    axes: Vec<usize>,
    by: By,
    /// The corners of the region of interest: of each axis the start, then of each the end.
    region: Option<Vec<f64>>,
}

/// What says how large the output is.
enum By {
    /// Input 2, whose contents may be known.
    Scales(Option<Vec<f64>>),
    /// Input 3: the scale is the quotient of the sizes.
    Sizes,
    /// Input 3, but all axes have the least of the scales, or the greatest.
    OneScale(&'static str),
}

impl Request {
    fn read(cx: &Rule) -> Result<Self> {
        let (from, to) = (cx.raw(0)?.dims(), cx.y_dims(0)?);
        let axes: Vec<usize> = match cx.node.ints("axes")? {
            None => (0..from.len()).collect(),
            Some(axes) => {
                axes.iter().map(|&axis| cx.axis(axis, from.len())).collect::<Result<_>>()?
            }
        };
        if (1..axes.len()).any(|i| axes[..i].contains(&axes[i])) {
            return Err(Error::unreadable(format!("attribute 'axes' is {axes:?}")));
        }
        let sampling = Sampling::of(&cx.node)?;
        let given = |index: usize| -> Result<bool> {
            Ok(cx.node.input(index).is_some() && cx.raw(index)?.dims() != [Dim::Value(0)])
        };
        let by = match cx.node.text("keep_aspect_ratio_policy")?.unwrap_or("stretch") {
            _ if !given(3)? && given(2)? => By::Scales(cx.raw(2)?.as_floats()),
            "stretch" if given(3)? => By::Sizes,
            "not_larger" if given(3)? => By::OneScale("ReduceMin"),
            "not_smaller" if given(3)? => By::OneScale("ReduceMax"),
            other => {
                let what = format!("neither scales nor sizes, or the policy '{other}'");
                return Err(Error::unreadable(what));
            }
        };
        let crops = sampling.crops();
        let region = if crops && given(1)? { cx.raw(1)?.as_floats() } else { None };
        if crops && !given(1)? {
            return Err(Error::unreadable("'tf_crop_and_resize' without a region of interest"));
        }
        let request = Self { sampling, from, to, axes, by, region };
        request.check_counts()?;
        Ok(request)
    }

    fn check_counts(&self) -> Result<()> {
        let count = self.axes.len();
        let scales = match &self.by {
            By::Scales(Some(scales)) => scales.len() == count && scales.iter().all(|&s| s > 0.0),
            _ => true,
        };
        let region = self.region.as_ref().is_none_or(|region| region.len() == 2 * count);
        let empty = |&axis: &usize| fixed(&self.from[axis]) == Some(0);
        if scales && region && !self.axes.iter().any(empty) && self.from.len() == self.to.len() {
            return Ok(());
        }
        let what = format!("scales or a region that do not fit {:?}", self.from);
        Err(Error::unreadable(what))
    }

    /// The corners of the region of axis `index`, where they are known.
    fn corners(&self, index: usize) -> Option<[f64; 2]> {
        let region = self.region.as_ref()?;
        Some([region[index], region[index + self.axes.len()]])
    }

    /// The scale of axis `index`, in single precision unless a `dtype` of double says otherwise.
    fn known_scale(&self, index: usize, dtype: DataType) -> Option<Known> {
        let quotient = |index: usize, to: Option<i64>| {
            let from = fixed(&self.from[self.axes[index]])?;
            let [to, from] = [to?, from].map(|n| Known::of(n as f64, dtype));
            Some(to / from)
        };
        match &self.by {
            By::Scales(scales) => Some(Known::of(*scales.as_ref()?.get(index)?, dtype)),
            By::Sizes => quotient(index, fixed(&self.to[self.axes[index]])),
            By::OneScale(_) => None,
        }
    }

    /// Whether axis `index` stays as it is.
    fn stays(&self, index: usize) -> bool {
        let axis = self.axes[index];
        let same = self.from[axis] == self.to[axis];
        same && match &self.by {
            By::Scales(scales) => scales.as_ref().is_some_and(|scales| scales[index] == 1.0),
            By::Sizes => true,
            By::OneScale(_) => false,
        }
    }

    /// How often each element of axis `index` is repeated, where the axis is nothing but that.
    fn factor(&self, index: usize) -> Option<i64> {
        if self.stays(index) {
            return Some(1);
        }
        let axis = self.axes[index];
        let factor = factor(&self.from[axis], &self.to[axis])?;
        let exact = match &self.by {
            By::Scales(scales) => scales.as_ref().is_some_and(|s| s[index] == factor as f64),
            By::Sizes => true,
            By::OneScale(_) => false,
        };
        (exact && factor > 1 && self.sampling.repeats()).then_some(factor)
    }

    /// Refuses what ONNX Runtime does in another way than the standard says: it copies an axis that
    /// keeps its size in some cases, whatever the scale and the region are.
    fn check_undisputed(&self, cx: &Rule) -> Result<()> {
        let disputed = |index: usize| {
            let axis = self.axes[index];
            let size = fixed(&self.from[axis]).filter(|&n| Some(n) == fixed(&self.to[axis]));
            let whole = self.corners(index).is_none_or(|corners| corners == [0.0, 1.0]);
            let cropped = self.sampling.crops() && !whole;
            let scaled = size.is_some() && !self.stays(index);
            let all = || self.from == self.to;
            (cropped && self.stays(index)) || (scaled && (self.sampling.antialias || all()))
        };
        match (0..self.axes.len()).find(|&index| disputed(index)) {
            None => Ok(()),
            Some(index) => cx.refuse(format!(
                "runtimes disagree on a Resize that scales or crops axis {} and leaves its size",
                self.axes[index]
            )),
        }
    }

    fn fills_with_zeros(&self, cx: &Rule) -> Result<bool> {
        Ok(cx.node.float("extrapolation_value")?.unwrap_or(0.0) == 0.0)
    }

    /// Every axis of a whole factor enlarged, in one step.
    fn repeated<'r, 'e>(&self, dx: Tangent<'r, 'e>) -> Tangent<'r, 'e> {
        let (mut split, mut copied, mut joined) = (Vec::new(), Vec::new(), Vec::new());
        for (axis, dim) in dx.dims().into_iter().enumerate() {
            let index = self.axes.iter().position(|&a| a == axis);
            let factor = index.and_then(|index| self.factor(index)).filter(|&factor| factor > 1);
            split.push(dim.clone());
            copied.push(dim.clone());
            joined.push(if factor.is_some() { self.to[axis].clone() } else { dim });
            if let Some(factor) = factor.and_then(|factor| i32::try_from(factor).ok()) {
                split.push(Dim::Value(1));
                copied.push(Dim::Value(factor));
            }
        }
        dx.reshape(&split).broadcast(&copied).reshape(&joined)
    }

    /// Axis `index` resized by indices or weights.
    fn resampled<'r, 'e>(
        &self,
        cx: &'r Rule<'e>,
        dx: Tangent<'r, 'e>,
        index: usize,
    ) -> Tangent<'r, 'e> {
        let (axis, mut dims) = (self.axes[index], dx.dims());
        dims[axis] = self.to[axis].clone();
        let Samples { taken, inside } = self.samples(cx, index, dx.dtype());
        let resized = match taken {
            Taken::Indices(indices) => dx.gather(axis, indices.id, dims.clone()),
            Taken::Matrix(matrix) => weighted(cx, dx, axis, matrix, dims.clone()),
        };
        let Some(inside) = inside else { return resized };
        let mut shape = vec![Dim::Value(1); dims.len() - axis];
        shape[0] = dims[axis].clone();
        resized.scale(inside.reshape(&shape))
    }

    fn samples<'e>(
        &self,
        cx: &Rule<'e>,
        index: usize,
        dtype: DataType,
    ) -> Samples<Expr<'e>, Expr<'e>> {
        let Some(axis) = self.known_axis(index, dtype) else {
            let axis = self.computed_axis(cx, index, dtype);
            let sizes = [&self.from, &self.to].map(|dims| &dims[self.axes[index]]);
            return self.sampling.computed(&axis, sizes, dtype);
        };
        let [from, to] = [axis.input, axis.output].map(|n| n.value as i64);
        let constant = |dims: Vec<i64>, values: &[f64]| cx.e.floats(dtype, dims, values);
        let Samples { taken, inside } = self.sampling.known(&axis);
        Samples {
            taken: match taken {
                Taken::Indices(indices) => Taken::Indices(cx.e.ints(&indices)),
                Taken::Matrix(matrix) => Taken::Matrix(constant(vec![to, from], &matrix)),
            },
            inside: inside.map(|inside| constant(vec![to], &inside)),
        }
    }

    /// Axis `index`, where everything is known and its matrix is no great part of a model.
    fn known_axis(&self, index: usize, dtype: DataType) -> Option<Axis<Known>> {
        let [from, to] = [&self.from, &self.to].map(|dims| fixed(&dims[self.axes[index]]));
        let number = |n: f64| Known::of(n, dtype);
        let weights = from?.checked_mul(to?)?;
        let small = matches!(self.sampling.kernel, Kernel::Nearest(_)) || weights <= MOST_WEIGHTS;
        let region = if self.sampling.crops() { self.corners(index)? } else { [0.0, 1.0] };
        small.then_some(Axis {
            input: number(from? as f64),
            output: number(to? as f64),
            scale: self.known_scale(index, dtype)?,
            region: region.map(number),
        })
    }

    /// Axis `index`, computed when the model runs.
    fn computed_axis<'e>(&self, cx: &Rule<'e>, index: usize, dtype: DataType) -> Axis<Expr<'e>> {
        let e = cx.e;
        let precision = if dtype == DataType::F64 { dtype } else { DataType::F32 };
        let axis = self.axes[index];
        let size = |dim: &Dim| match fixed(dim) {
            Some(n) => e.float(precision, n as f64),
            None => e.extent(dim).cast(precision).reshape(&[]),
        };
        let entry = |input: usize, place: usize| {
            let given = e.expr(cx.node.input(input)?).cast(precision);
            Some(given.gather(e.int(place as i64), 0))
        };
        let (input, output) = (size(&self.from[axis]), size(&self.to[axis]));
        let scale = match (&self.by, self.known_scale(index, dtype)) {
            (_, Some(known)) => Some(e.float(precision, known.value)),
            (By::Scales(_), None) => entry(2, index),
            (By::Sizes, None) => Some(output / input),
            (By::OneScale(choice), None) => cx.node.input(3).map(|sizes| {
                let listed: Vec<Dim> = self.axes.iter().map(|&a| self.from[a].clone()).collect();
                let scales = e.expr(sizes).cast(precision) / e.shape(&listed).cast(precision);
                scales.reduce(choice, &[0], false)
            }),
        };
        let region = if self.sampling.crops() {
            [entry(1, index), entry(1, index + self.axes.len())]
        } else {
            [None; 2]
        };
        let scale = scale.unwrap_or(input);
        Axis { input, output, scale, region: region.map(|corner| corner.unwrap_or(input)) }
    }
}

/// The product with the weights along an axis; the axes behind it are one meanwhile.
fn weighted<'r, 'e>(
    cx: &Rule<'e>,
    dx: Tangent<'r, 'e>,
    axis: usize,
    matrix: Expr<'e>,
    dims: Vec<Dim>,
) -> Tangent<'r, 'e> {
    if axis + 1 == dims.len() {
        return dx.matmul(matrix.id, Side::Right, true, dims);
    }
    let behind = cx.e.product(&dims[axis + 1..]);
    let flat = |dims: &[Dim]| [&dims[..=axis], std::slice::from_ref(&behind)].concat();
    let product = dx.reshape(&flat(&dx.dims()));
    product.matmul(matrix.id, Side::Left, false, flat(&dims)).reshape(&dims)
}

#[cfg(test)]
mod tests;
