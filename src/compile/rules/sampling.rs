//! Operators that read images between their pixels.
//!
//! `GridSample: y = Σ_t w_t(u)·x[p_t(u)]` over the taps `t` around the place `u` that the grid names:
//! along each axis one (nearest), two (linear) or four (cubic, by Keys with −0.75), their places and
//! weights multiplied over the axes. Linear in `x`; by the grid through the weights, and the places
//! are held fixed. A tap beyond the border has weight 0, is moved to the border, or is reflected, and
//! with it the place itself. (Between the outermost pixel and two pixels beyond it, ONNX's reference
//! evaluator moves the place itself to the border before it reads cubically; runtimes do not.)
//!
//! `AffineGrid: y[n, p] = θ[n]·(p, 1)`, linear in `θ`.

use super::Inputs::{First, Only};
use super::{Entry, Rule, Shape};
use crate::compile::build::{Emit, Expr};
use crate::error::{Error, Result};
use crate::graph::{DataType, Dim, fixed};

pub(super) const RULES: &[Entry] = &[
    Entry::exact("GridSample", Only(&[0, 1]), grid_sample)
        .shaped(Shape::Unless(&[1]))
        .kink("the slope behind the pixel"),
    Entry::exact("AffineGrid", First, affine_grid),
];

/// How pixels are weighted.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Mode {
    Nearest,
    Linear,
    Cubic,
}

/// What stands beyond the border.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Padding {
    Zeros,
    Border,
    Reflection,
}

/// How places along an axis are read.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    pub mode: Mode,
    pub padding: Padding,
    /// Whether the image ends at the centres of its outermost pixels, not at their edges.
    pub aligned: bool,
}

/// The pixels to read along one axis, and perhaps their weights, both `[N, G, P, T]`.
pub(super) struct Taps<'e> {
    pub places: Expr<'e>,
    pub weights: Option<Expr<'e>>,
}

/// `dim + offset` as a float scalar.
pub(super) fn size_as_float<'e>(e: &'e Emit, dtype: DataType, dim: &Dim, offset: f64) -> Expr<'e> {
    match fixed(dim) {
        Some(n) => e.float(dtype, n as f64 + offset),
        None => e.extent(dim).reshape(&[]).cast(dtype) + e.float(dtype, offset),
    }
}

/// `dim` as an int64 scalar.
pub(super) fn size_as_int<'e>(e: &'e Emit, dim: &Dim) -> Expr<'e> {
    match fixed(dim) {
        Some(n) => e.int(n),
        None => e.extent(dim).reshape(&[]),
    }
}

fn clip<'e>(x: Expr<'e>, low: Expr<'e>, high: Expr<'e>) -> Expr<'e> {
    x.e.op("Clip", &[x, low, high], &[])
}

impl Reading {
    /// The taps around the places `u` `[N, G, P]`, counted in pixels, along an axis of size `size`.
    pub fn taps<'e>(self, u: Expr<'e>, size: &Dim) -> Taps<'e> {
        let e = u.e;
        let u = if self.mode == Mode::Nearest { u } else { self.within(u, size) };
        let base = u.unary(if self.mode == Mode::Nearest { "Round" } else { "Floor" });
        let mut dims = u.dims();
        dims.push(Dim::Value(1));
        let t = (u - base).reshape(&dims);
        let (offsets, weights): (&[i64], _) = match self.mode {
            Mode::Nearest => (&[0], None),
            Mode::Linear => (&[0, 1], Some(vec![-t + 1.0, t])),
            Mode::Cubic => {
                let (near, far) = (-t + 1.0, -t + 2.0);
                let weights = vec![outer(t + 1.0), inner(t), inner(near), outer(far)];
                (&[-1, 0, 1, 2], Some(weights))
            }
        };
        let places = base.reshape(&dims).cast(DataType::I64) + e.ints(offsets);
        let mut weights = weights.map(|parts| Expr::concat(&parts, 3));
        let last = size_as_int(e, &(size.clone() - Dim::Value(1)).simplify());
        if self.padding == Padding::Zeros {
            let before = places.binary("Less", e.int(0));
            let behind = places.binary("Greater", last);
            let inside = before.binary("Or", behind).unary("Not").indicator(u.dtype());
            weights = Some(weights.map_or(inside, |weights| weights * inside));
        }
        let places = match self.padding {
            Padding::Reflection => self.reflected(places, size),
            _ => clip(places, e.int(0), last),
        };
        Taps { places, weights }
    }

    /// Places far beyond the border brought to where the same is read.
    fn within<'e>(self, u: Expr<'e>, size: &Dim) -> Expr<'e> {
        let number = |offset| size_as_float(u.e, u.dtype(), size, offset);
        if self.padding != Padding::Reflection {
            // All taps are beyond it there, and infinite places have no whole number.
            return clip(u, u.number(-3.0), number(2.0));
        }
        let edge = if self.aligned { 0.0 } else { -0.5 };
        let (low, high) = (u.number(edge), number(-1.0 - edge));
        let width = (high - low).binary("Max", u.number(0.5));
        let period = width * 2.0;
        let way = (u - low).unary("Abs");
        let rest = way - (way / period).unary("Floor") * period;
        let moved = low + width - (rest - width).unary("Abs");
        let outside = u.binary("Less", low).binary("Or", u.binary("Greater", high));
        moved.where_(outside, u)
    }

    fn reflected<'e>(self, places: Expr<'e>, size: &Dim) -> Expr<'e> {
        let e = places.e;
        let one = Dim::Value(1);
        let (period, last) = if self.aligned {
            let twice = (size.clone() - one.clone()) * Dim::Value(2);
            (twice.max(&one).simplify(), twice.simplify())
        } else {
            let twice = size.clone() * Dim::Value(2);
            (twice.simplify(), (twice - one).simplify())
        };
        let rest = places.binary("Mod", size_as_int(e, &period));
        rest.binary("Min", size_as_int(e, &last) - rest)
    }
}

/// Keys' kernel at a distance `d` of at most 1.
fn inner(d: Expr<'_>) -> Expr<'_> {
    (d * 1.25 - 2.25) * d * d + 1.0
}

/// Keys' kernel at a distance `d` of 1 to 2.
fn outer(d: Expr<'_>) -> Expr<'_> {
    ((d * -0.75 + 3.75) * d - 6.0) * d + 3.0
}

fn is_one(dim: &Dim) -> bool {
    fixed(dim) == Some(1)
}

/// The pixels `[N, G, C, P, T]` of an image `[N, G, C, s…]` at the taps along each of its axes, `T` of
/// all together, and their weights `[N, G, 1, P, T]`.
pub(super) fn pixels<'e>(image: Expr<'e>, axes: &[Taps<'e>]) -> (Expr<'e>, Option<Expr<'e>>) {
    let (e, dims) = (image.e, image.dims());
    let spatial = &dims[3..];
    let mut flat: Option<Expr> = None;
    let mut weights: Option<Expr> = None;
    let mut count = Dim::Value(1);
    for (axis, taps) in axes.iter().enumerate() {
        let mut wide = taps.places.dims();
        let own = wide.pop().unwrap_or(Dim::Value(1));
        count = (count * own.clone()).simplify();
        let behind = axes.len() - 1 - axis;
        wide.extend(std::iter::repeat_n(Dim::Value(1), axis));
        wide.push(own);
        wide.extend(std::iter::repeat_n(Dim::Value(1), behind));
        let mut places = taps.places.reshape(&wide);
        if behind > 0 {
            places = places * size_as_int(e, &e.product(&spatial[axis + 1..]));
        }
        flat = Some(flat.map_or(places, |flat| flat + places));
        if let Some(own) = taps.weights.map(|w| w.reshape(&wide)) {
            weights = Some(weights.map_or(own, |weights| weights * own));
        }
    }
    let Some(flat) = flat else { return (image, None) };
    let points = flat.dims()[2].clone();
    let [n, g, c] = [0, 1, 2].map(|axis| dims[axis].clone());
    let all = e.product(&[points.clone(), count.clone()]);
    let one = Dim::Value(1);
    let image = image.reshape(&[n.clone(), g.clone(), c.clone(), e.product(spatial)]);
    let taken = if is_one(&n) && is_one(&g) {
        image.gather(flat.reshape(&[all]), 3)
    } else {
        let indices = flat.reshape(&[n.clone(), g.clone(), one.clone(), all.clone()]);
        let indices = indices.expand(&[n.clone(), g.clone(), c.clone(), all]);
        e.op("GatherElements", &[image, indices], &[("axis", 3.into())])
    };
    let taken = taken.reshape(&[n.clone(), g.clone(), c, points.clone(), count.clone()]);
    let full = |w: Expr<'e>| {
        w.reshape(&[n.clone(), g.clone(), one.clone(), points.clone(), count.clone()])
    };
    (taken, weights.map(full))
}

/// The values `[N, G, C, P]` between the pixels of an image.
pub(super) fn sample<'e>(image: Expr<'e>, axes: &[Taps<'e>]) -> Expr<'e> {
    let (pixels, weights) = pixels(image, axes);
    weights.map_or(pixels, |weights| pixels * weights).reduce("ReduceSum", &[4], false)
}

fn grid_sample(cx: &Rule) -> Result<()> {
    let x = cx.ranked(0, 3)?;
    let grid = cx.x(1)?.cast(x.dtype());
    let (x_dims, y_dims) = (x.dims(), cx.y_dims(0)?);
    let spatial = &x_dims[2..];
    let last = grid.dims().last().and_then(fixed);
    let ranks = [grid.rank(), y_dims.len()];
    if ranks.iter().any(|&rank| rank != x.rank()) || last.is_some_and(|n| n != spatial.len() as i64)
    {
        let what = format!("a grid {:?} over an image {x_dims:?}", grid.dims());
        return Err(Error::unreadable(what));
    }
    let reading = reading(cx)?;
    let (n, one, points) = (x_dims[0].clone(), Dim::Value(1), cx.e.product(&y_dims[2..]));
    let places = [n.clone(), one.clone(), points.clone(), Dim::Value(spatial.len() as i32)];
    let grid = grid.reshape(&places);
    let axes: Vec<Taps> = spatial
        .iter()
        .enumerate()
        .map(|(axis, size)| {
            let place = grid.gather(cx.e.int((spatial.len() - 1 - axis) as i64), 3);
            let number = |offset| size_as_float(cx.e, x.dtype(), size, offset);
            let along = (place + 1.0) * 0.5;
            let u = match reading.aligned {
                true => along * number(-1.0),
                false => along * number(0.0) - 0.5,
            };
            reading.taps(u, size)
        })
        .collect();
    let mut image = vec![n, one];
    image.extend_from_slice(&x_dims[1..]);
    let y = sample(x.reshape(&image), &axes).reshape(&y_dims);
    if cx.tangent(1).is_none() {
        cx.homogeneous();
    }
    if let Some(dy) = cx.maybe_through(y)? {
        cx.emit(0, dy);
    }
    Ok(())
}

fn reading(cx: &Rule) -> Result<Reading> {
    let unknown = |name: &str, value: &str| {
        Err(Error::unreadable(format!("attribute '{name}' is '{value}'")))
    };
    Ok(Reading {
        mode: match cx.node.text("mode")?.unwrap_or("linear") {
            "linear" | "bilinear" => Mode::Linear,
            "nearest" => Mode::Nearest,
            "cubic" | "bicubic" => Mode::Cubic,
            other => return unknown("mode", other),
        },
        padding: match cx.node.text("padding_mode")?.unwrap_or("zeros") {
            "zeros" => Padding::Zeros,
            "border" => Padding::Border,
            "reflection" => Padding::Reflection,
            other => return unknown("padding_mode", other),
        },
        aligned: cx.node.int("align_corners")?.unwrap_or(0) != 0,
    })
}

fn affine_grid(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let (theta, y_dims) = (cx.ranked(0, 3)?, cx.y_dims(0)?);
    let rank = y_dims.len().saturating_sub(2);
    let Some(spatial) = y_dims.get(1..=rank).filter(|_| rank > 0) else {
        return cx.refuse("the rank of the grid is only known at run time");
    };
    let sizes = theta.dims();
    let fits = |axis: usize, n: usize| fixed(&sizes[axis]).is_none_or(|size| size == n as i64);
    if sizes.len() != 3 || !fits(1, rank) || !fits(2, rank + 1) {
        return Err(Error::unreadable(format!("matrices {sizes:?} for a grid of {rank} axes")));
    }
    let aligned = cx.node.int("align_corners")?.unwrap_or(0) != 0;
    if aligned && spatial.iter().any(is_one) {
        return cx.refuse("a grid of one point along an axis, from corner to corner");
    }
    let place = |axis: usize| {
        let mut dims = vec![Dim::Value(1); rank + 1];
        dims[axis] = spatial[axis].clone();
        let place = centres(cx.e, theta.dtype(), &spatial[axis], aligned).reshape(&dims);
        dims[..rank].clone_from_slice(spatial);
        place.expand(&dims)
    };
    let mut columns: Vec<Expr> = (0..rank).rev().map(place).collect();
    let ones = [spatial, &[Dim::Value(1)]].concat();
    columns.push(Expr::filled(cx.e, theta.dtype(), 1.0, &ones));
    let points = cx.e.product(spatial);
    let base = Expr::concat(&columns, rank).reshape(&[points, Dim::Value(rank as i32 + 1)]);
    let grid = base.binary("MatMul", theta.transpose(&[0, 2, 1]));
    cx.emit(0, cx.through(grid.reshape(&y_dims))?);
    Ok(())
}

/// The places of `size` pixels from −1 to 1.
fn centres<'e>(e: &'e Emit, dtype: DataType, size: &Dim, aligned: bool) -> Expr<'e> {
    let place = |i: f64, n: f64| {
        if aligned { 2.0 * i / (n - 1.0) - 1.0 } else { (2.0 * i + 1.0) / n - 1.0 }
    };
    if let Some(n) = fixed(size) {
        let values: Vec<f64> = (0..n).map(|i| place(i as f64, n as f64)).collect();
        return e.floats(dtype, vec![n], &values);
    }
    let twice = e.range(size).cast(dtype) * 2.0;
    let count = size_as_float(e, dtype, size, if aligned { -1.0 } else { 0.0 });
    (if aligned { twice } else { twice + 1.0 }) / count - 1.0
}

#[cfg(test)]
mod tests;
