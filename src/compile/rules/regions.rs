//! Pooling over regions of an image.
//!
//! `RoiAlign`: each bin of a region is read at a grid of places, linearly between the pixels; their
//! mean, or the largest single weighted pixel. Linear in the image; by the regions through the
//! weights of the pixels read. `MaxRoiPool`: the first winner of the pixels in a bin; regions are
//! rounded to whole pixels and fixed.

use super::Inputs::{First, Only};
use super::sampling::{Mode, Padding, Reading, Taps, pixels, size_as_float};
use super::{Entry, Rule, Shape};
use crate::compile::build::Expr;
use crate::error::{Error, Result};
use crate::graph::{DataType, Dim};

pub(super) const RULES: &[Entry] = &[
    Entry::exact("RoiAlign", Only(&[0, 1]), roi_align)
        .shaped(Shape::Unless(&[1]))
        .kink("the first winner; the slope behind the pixel"),
    Entry::exact("MaxRoiPool", First, max_roi_pool).kink("the first winner in row-major order"),
];

/// The places where the bins of every region are read along one axis, and what is known of them, each
/// to broadcast to `[R, bins y, bins x, grid y, grid x]`.
struct Places<'e> {
    at: Expr<'e>,
    /// How many of the grid belong to the region.
    count: Expr<'e>,
    /// Which of the grid belong to the region.
    counted: Expr<'e>,
    /// Which places are near the image.
    inside: Expr<'e>,
}

/// The attributes of a RoiAlign.
struct Align {
    bins: [i64; 2],
    ratio: i64,
    scale: f64,
    half: bool,
    max: bool,
}

impl Align {
    fn read(cx: &Rule) -> Result<Self> {
        let int = |name, default| Ok::<_, Error>(cx.node.int(name)?.unwrap_or(default));
        let either = |name: &str, default, yes: &str, no: &str| match cx.node.text(name)? {
            None => Ok(default),
            Some(text) if text == yes => Ok(true),
            Some(text) if text == no => Ok(false),
            Some(other) => Err(Error::unreadable(format!("attribute '{name}' is '{other}'"))),
        };
        let mode = "coordinate_transformation_mode";
        let align = Self {
            bins: [int("output_height", 1)?, int("output_width", 1)?],
            ratio: int("sampling_ratio", 0)?,
            scale: cx.node.float("spatial_scale")?.map_or(1.0, f64::from),
            half: either(mode, true, "half_pixel", "output_half_pixel")?,
            max: either("mode", false, "max", "avg")?,
        };
        let sizes = 1..=i64::from(i32::MAX);
        if !align
            .bins
            .iter()
            .chain([&align.ratio.saturating_add(1)])
            .all(|size| sizes.contains(size))
        {
            return Err(Error::unreadable("the output's size or the sampling ratio is no size"));
        }
        Ok(align)
    }

    /// Where the image is read along axis `axis`, 0 for y.
    fn places<'e>(&self, rois: Expr<'e>, axis: usize, size: &Dim) -> Places<'e> {
        let (e, dtype) = (rois.e, rois.dtype());
        let along = |place: usize, size: &Dim| {
            let mut dims = vec![Dim::Value(1); 5];
            dims[place] = size.clone();
            dims
        };
        let regions = along(0, &rois.dims()[0]);
        let corner = |i: usize| {
            let corner = scaled(rois.gather(e.int(i as i64), 1).reshape(&regions), self.scale);
            if self.half { corner - 0.5 } else { corner }
        };
        let (start, end) = (corner(1 - axis), corner(3 - axis));
        let mut extent = end - start;
        if !self.half {
            extent = extent.binary("Max", extent.number(1.0));
        }
        let bin = extent * (1.0 / self.bins[axis] as f64);
        let (count, most) = match self.ratio {
            0 => {
                let count = bin.unary("Ceil");
                let one = e.floats(dtype, vec![1], &[1.0]);
                let all = Expr::concat(&[count.reshape(&rois.dims()[..1]), one], 0);
                (count, all.reduce("ReduceMax", &[0], false).cast(DataType::I64))
            }
            ratio => (e.float(dtype, ratio as f64), e.int(ratio)),
        };
        let grid = e.op("Range", &[e.int(0), most, e.int(1)], &[]);
        let grid = grid.reshape(&along(3 + axis, &grid.dims()[0])).cast(dtype);
        let bins = Dim::Value(self.bins[axis] as i32);
        let number = e.range(&bins).cast(dtype).reshape(&along(1 + axis, &bins));
        let share = (grid + 0.5) / count.binary("Max", count.number(1.0));
        let at = start + (number + share) * bin;
        let size = size_as_float(e, dtype, size, 0.0);
        let before = at.binary("Less", at.number(-1.0));
        let inside = before.binary("Or", at.binary("Greater", size)).unary("Not");
        Places { at, count, counted: grid.binary("Less", count), inside }
    }
}

fn scaled(x: Expr<'_>, scale: f64) -> Expr<'_> {
    if scale == 1.0 { x } else { x * scale }
}

fn roi_align(cx: &Rule) -> Result<()> {
    let x = cx.ranked(0, 4)?;
    let (rois, y_dims) = (cx.x(1)?.cast(x.dtype()), cx.y_dims(0)?);
    let align = Align::read(cx)?;
    let (x_dims, rois_dims) = (x.dims(), rois.dims());
    let ([n, c, h, w], [r, _]) = (&x_dims[..], &rois_dims[..]) else {
        return Err(Error::unreadable(format!("an image {x_dims:?}, regions {rois_dims:?}")));
    };
    let (ys, xs) = (align.places(rois, 0, h), align.places(rois, 1, w));
    cx.e.check()?;
    let (y_at, x_at) = (ys.at.dims(), xs.at.dims());
    let full = [&y_at[0], &y_at[1], &x_at[2], &y_at[3], &x_at[4]].map(Clone::clone);
    let reading = Reading { mode: Mode::Linear, padding: Padding::Border, aligned: true };
    let batch = cx.raw(2)?.cast(DataType::I64).reshape(&with_ones(&[r], 5));
    let mut places = listed(batch, &full).dims();
    places.push(Dim::Value(1));
    let axes = [
        Taps { places: listed(batch, &full).reshape(&places), weights: None },
        reading.taps(listed(near(ys.at, h), &full), h),
        reading.taps(listed(near(xs.at, w), &full), w),
    ];
    let dims = [Dim::Value(1), Dim::Value(1), c.clone(), n.clone(), h.clone(), w.clone()];
    let (taken, weights) = pixels(x.transpose(&[1, 0, 2, 3]).reshape(&dims), &axes);
    let weighted = weights.map_or(taken, |weights| taken * weights);
    let pooled = align.pooled(weighted, c, &full, [&ys, &xs]);
    if cx.tangent(1).is_none() {
        cx.homogeneous();
    }
    cx.emit(0, cx.through(pooled.transpose(&[1, 0, 2, 3]).reshape(&y_dims))?);
    Ok(())
}

/// `dims`, and ones behind to `rank` of them.
fn with_ones(dims: &[&Dim], rank: usize) -> Vec<Dim> {
    let dims = dims.iter().map(|&dim| dim.clone());
    dims.chain(std::iter::repeat(Dim::Value(1))).take(rank).collect()
}

/// Places for each tuple of the dimensions `full`, as `[1, 1, P]`.
fn listed<'e>(places: Expr<'e>, full: &[Dim]) -> Expr<'e> {
    let points = places.e.product(full);
    places.expand(full).reshape(&[Dim::Value(1), Dim::Value(1), points])
}

/// The nearest place in the image.
fn near<'e>(places: Expr<'e>, size: &Dim) -> Expr<'e> {
    let last = size_as_float(places.e, places.dtype(), size, -1.0);
    places.e.op("Clip", &[places, places.number(0.0), last], &[])
}

impl Align {
    /// The bins `[C, R, bins y, bins x]` of the weighted pixels of all places, the taps behind.
    fn pooled<'e>(
        &self,
        pixels: Expr<'e>,
        channels: &Dim,
        full: &[Dim],
        [ys, xs]: [&Places<'e>; 2],
    ) -> Expr<'e> {
        let e = pixels.e;
        let inside = ys.inside.binary("And", xs.inside).indicator(pixels.dtype());
        let counted = ys.counted.binary("And", xs.counted);
        let taps = pixels.dims()[4].clone();
        let dims = [std::slice::from_ref(channels), full].concat();
        if !self.max {
            let count = ys.count * xs.count;
            let count = count.binary("Max", count.number(1.0));
            let share = inside * counted.indicator(pixels.dtype()) / count;
            let sums = pixels.reduce("ReduceSum", &[4], false).reshape(&dims);
            return (sums * share).reduce("ReduceSum", &[4, 5], false);
        }
        let with_taps = [&dims[..], std::slice::from_ref(&taps)].concat();
        let behind = |v: Expr<'e>| v.reshape(&[&v.dims()[..], &[Dim::Value(1)]].concat());
        let values = pixels.reshape(&with_taps) * behind(inside);
        let none = values.number(f64::NEG_INFINITY);
        let values = values.where_(behind(counted), none);
        let mut bins = dims[..4].to_vec();
        bins.push(e.product(&[full[3].clone(), full[4].clone(), taps]));
        let most = values.reshape(&bins).reduce("ReduceMax", &[4], false);
        let zero = most.number(0.0);
        let some = |places: &Places<'e>| {
            let any = places.counted.cast(DataType::I64).reduce("ReduceMax", &[3, 4], false);
            any.binary("Greater", e.int(0))
        };
        most.where_(some(ys).binary("And", some(xs)), zero)
    }
}

/// MaxRoiPool: the winner of each row in the columns of a bin, then that of the rows of the bin.
fn max_roi_pool(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let (dx, x) = (cx.dx(0)?, cx.ranked(0, 4)?);
    let (rois, x_dims, y_dims) = (cx.x(1)?.cast(x.dtype()), x.dims(), cx.y_dims(0)?);
    let scale = cx.node.float("spatial_scale")?.map_or(1.0, f64::from);
    let ([_, c, h, w], [r, _, bins_y, bins_x]) = (&x_dims[..], &y_dims[..]) else {
        return Err(Error::unreadable(format!("an image {x_dims:?}, bins {y_dims:?}")));
    };
    let e = cx.e;
    let corner = |i: i64| rois.gather(e.int(i), 1).reshape(&with_ones(&[r], 3));
    let rows = in_bins([corner(2), corner(4)], scale, bins_y, h);
    let columns = in_bins([corner(1), corner(3)], scale, bins_x, w);
    let image = rois.gather(e.int(0), 1).cast(DataType::I64);
    let (row, column) = winner(x.gather(image, 0), rows.0, columns.0);
    let channel = e.range(c).reshape(&with_ones(&[c], 3));
    let flat = image.reshape(&with_ones(&[r], 4)) * e.extent(c) + channel;
    let flat = (flat * e.extent(h) + row) * e.extent(w) + column;
    let one = Dim::Value(1);
    let some = rows.1.reshape(&[r.clone(), one.clone(), bins_y.clone(), one.clone()]);
    let some =
        some.binary("And", columns.1.reshape(&[r.clone(), one.clone(), one, bins_x.clone()]));
    let taken = dx.reshape(&[e.product(&x_dims)]).gather(0, flat.id, y_dims.clone());
    cx.emit(0, taken.scale(some.indicator(dx.dtype())));
    Ok(())
}

/// The row and the column `[R, C, bins y, bins x]` of the first largest pixel of every bin of `x`
/// `[R, C, H, W]`.
fn winner<'e>(x: Expr<'e>, rows: Expr<'e>, columns: Expr<'e>) -> (Expr<'e>, Expr<'e>) {
    let first = |v: Expr<'e>, axis: i64| {
        v.e.op("ArgMax", &[v], &[("axis", axis.into()), ("keepdims", 0.into())])
    };
    let none = x.number(f64::NEG_INFINITY);
    let wide = x.unsqueeze(&[3]).where_(columns.unsqueeze(&[1, 2]), none);
    let tall = wide.reduce("ReduceMax", &[4], false).unsqueeze(&[2]);
    let row = first(tall.where_(rows.unsqueeze(&[1, 4]), none), 3);
    (row, x.e.op("GatherElements", &[first(wide, 4), row], &[("axis", 2.into())]))
}

/// Which of `size` pixels are in each bin `[R, bins, size]`, and which bins have any `[R, bins, 1]`.
fn in_bins<'e>(corners: [Expr<'e>; 2], scale: f64, bins: &Dim, size: &Dim) -> (Expr<'e>, Expr<'e>) {
    let e = corners[0].e;
    let [start, end] = corners.map(|corner| {
        let corner = scaled(corner, scale);
        (corner.unary("Abs") + 0.5).unary("Floor") * corner.unary("Sign")
    });
    let float = |v: Expr<'e>| v.cast(start.dtype());
    let extent = end - start + 1.0;
    let bin = extent.binary("Max", extent.number(1.0)) / size_as_float(e, start.dtype(), bins, 0.0);
    let number = float(e.range(bins)).reshape(&[bins.clone(), Dim::Value(1)]);
    let last = size_as_float(e, start.dtype(), size, 0.0);
    let within = |place: Expr<'e>| e.op("Clip", &[place, place.number(0.0), last], &[]);
    let low = within((number * bin).unary("Floor") + start);
    let high = within(((number + 1.0) * bin).unary("Ceil") + start);
    let pixel = float(e.range(size));
    let inside = pixel.binary("Less", low).unary("Not").binary("And", pixel.binary("Less", high));
    (inside, low.binary("Less", high))
}

#[cfg(test)]
mod tests {
    use crate::compile::rules::testing::{Case, case};
    use crate::graph::Tensor;

    /// Away from where a place is a pixel.
    const REGIONS: [f64; 12] =
        [0.313, 0.727, 3.147, 2.918, 1.234, 0.117, 4.683, 4.459, -2.317, 1.113, 1.877, 6.291];

    fn align(changing: &str) -> Case {
        let it = case("RoiAlign").ort();
        let it = match changing {
            "regions" => it.param("x", &[2, 2, 5, 4]),
            _ => it.input("x", &[2, 2, 5, 4]),
        };
        let it = match changing {
            "image" => it.param("rois", &[3, 4]),
            _ => it.input("rois", &[3, 4]),
        };
        it.values(&REGIONS).ints_input("batch", &[0, 1, 0])
    }

    #[test]
    fn every_grid() {
        for changing in ["image", "regions", "both"] {
            for mode in ["avg", "max"] {
                for half in ["half_pixel", "output_half_pixel"] {
                    for ratio in [0, 1, 2] {
                        let it = align(changing).text("mode", mode).int("sampling_ratio", ratio);
                        let it = it.text("coordinate_transformation_mode", half);
                        it.int("output_height", 2).int("output_width", 3).check();
                    }
                }
            }
        }
    }

    #[test]
    fn scales_and_one_bin() {
        align("both").float("spatial_scale", 0.5).int("sampling_ratio", 3).check();
        align("both").float("spatial_scale", 1.5).check();
        let it = case("RoiAlign").opset(11).ort().f32().input("x", &[1, 1, 4, 4]);
        it.param("rois", &[1, 4]).values(&[0.3, 0.2, 2.1, 3.3]).ints_input("batch", &[0]).check();
    }

    #[test]
    fn regions_that_are_none() {
        for mode in ["avg", "max"] {
            let it = case("RoiAlign").ort().input("x", &[1, 1, 3, 3]).param("rois", &[2, 4]);
            let it = it.values(&[1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.7, 1.6]).text("mode", mode);
            it.ints_input("batch", &[0, 0]).check();
        }
    }

    #[test]
    fn symbolic_sizes() {
        let it = case("RoiAlign").ort().input("x", &[2, 2, 5, 4]).dynamic(&["n", "", "h", "w"]);
        let it = it.param("rois", &[3, 4]).values(&REGIONS);
        it.ints_input("batch", &[0, 1, 0]).int("output_width", 2).check();
    }

    #[test]
    fn malformed_attributes_are_refused() {
        align("image").text("mode", "sum").refused("'sum'");
        align("image").int("sampling_ratio", -1).refused("no size");
    }

    fn max_pool(rois: &[f64]) -> Case {
        let count = rois.len() as i64 / 5;
        let it = case("MaxRoiPool").ort().f32().input("x", &[2, 2, 5, 4]);
        it.constant("rois", Tensor::floats(crate::graph::DataType::F32, vec![count, 5], rois))
    }

    #[test]
    fn largest_pixels() {
        for shape in [[1, 1], [2, 2], [2, 3], [5, 4]] {
            let rois = [0.0, 0.0, 1.0, 3.0, 4.0, 1.0, 1.0, 0.0, 2.0, 2.0, 0.0, 2.0, 3.0, 9.0, 9.0];
            max_pool(&rois).ints("pooled_shape", &shape).check();
            let small = [1.0, 2.0, 3.0, 2.0, 3.0, 0.0, 7.0, 8.0, 9.0, 9.0];
            max_pool(&small).ints("pooled_shape", &shape).check();
            let it = max_pool(&[0.0, 1.3, 2.0, 6.6, 7.7]).ints("pooled_shape", &shape);
            it.float("spatial_scale", 0.5).check();
        }
    }

    #[test]
    fn snapshots() {
        let it = align("image").int("sampling_ratio", 1).int("output_height", 2);
        it.snapshot("mean");
        let it = max_pool(&[0.0, 0.0, 1.0, 3.0, 4.0]);
        it.ints("pooled_shape", &[2, 2]).snapshot("plain");
    }
}
