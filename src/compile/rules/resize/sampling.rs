//! Where along an axis a resize takes its elements, and with what weights.
//!
//! The weight of input position `p` for output position `o` is `k((x(o) − p)·r)`: `x` is the
//! coordinate, `k` the kernel, and `r` below 1 stretches it where antialiasing shrinks. Positions
//! outside of the axis stand for its first or last element, or count for nothing.

use std::slice;

use super::number::{Known, Number};
use crate::compile::build::Expr;
use crate::compile::infer::ratio;
use crate::error::{Error, Result};
use crate::graph::{DataType, Dim, Node, fixed};

/// How far a coordinate may be from the middle of two elements to count as there. The arithmetic in
/// single precision leaves the middle by less.
const MIDDLE: f64 = 1e-6;

/// What is taken at a coordinate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kernel {
    /// One element.
    Nearest(Nearest),
    /// The weights fall linearly over one element.
    Linear,
    /// The cubic convolution kernel with this coefficient.
    Cubic(f64),
}

/// Which element is the nearest to a coordinate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearest {
    /// The one at or before.
    Floor,
    /// The one at or after.
    Ceil,
    /// The closer one, the one before in the middle.
    RoundPreferFloor,
    /// The closer one, the one after in the middle.
    RoundPreferCeil,
}

/// How a position in the output becomes a coordinate in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    /// Scaled about the first edge of the first element.
    HalfPixel,
    /// The same, but the rest that the rounded size leaves is shared by both ends.
    HalfPixelSymmetric,
    /// The same, but 0 for a single element.
    PytorchHalfPixel,
    /// The first elements and the last elements lie on each other.
    AlignCorners,
    /// Scaled about the first element.
    Asymmetric,
    /// The region of interest between its corners.
    TfCropAndResize,
}

/// What the attributes of a Resize say.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// What is taken.
    pub kernel: Kernel,
    /// Where.
    pub coordinates: Coordinates,
    /// Whether the kernel is stretched where the axis shrinks.
    pub antialias: bool,
    /// Whether positions outside of the axis count for nothing.
    pub exclude_outside: bool,
}

/// One axis to be resized.
#[derive(Clone, Copy)]
pub struct Axis<N> {
    /// The size of the input.
    pub input: N,
    /// The size of the output.
    pub output: N,
    /// The scale, not always the exact quotient of the two.
    pub scale: N,
    /// The region of interest.
    pub region: [N; 2],
}

/// What becomes of an axis: elements by index or sums with weights, and where the output holds
/// anything of the input at all, if that is not everywhere.
pub struct Samples<I, M> {
    /// The indices or the matrix.
    pub taken: Taken<I, M>,
    /// 1 for positions that show the input, 0 for those outside of it.
    pub inside: Option<M>,
}

/// Elements by index, or sums with weights.
pub enum Taken<I, M> {
    /// An index for each output position.
    Indices(I),
    /// The weights, a row for each output position.
    Matrix(M),
}

impl Sampling {
    /// Reads the attributes.
    ///
    /// # Errors
    /// When one has a value that the standard does not know.
    pub fn of(node: &Node) -> Result<Self> {
        let wrong =
            |name, value| Err(Error::unreadable(format!("attribute '{name}' is '{value}'")));
        let nearest = match node.text("nearest_mode")?.unwrap_or("round_prefer_floor") {
            "floor" => Nearest::Floor,
            "ceil" => Nearest::Ceil,
            "round_prefer_floor" => Nearest::RoundPreferFloor,
            "round_prefer_ceil" => Nearest::RoundPreferCeil,
            other => return wrong("nearest_mode", other),
        };
        let kernel = match node.text("mode")?.unwrap_or("nearest") {
            "nearest" => Kernel::Nearest(nearest),
            "linear" => Kernel::Linear,
            "cubic" => Kernel::Cubic(node.float("cubic_coeff_a")?.unwrap_or(-0.75).into()),
            other => return wrong("mode", other),
        };
        let coordinates = node.text("coordinate_transformation_mode")?.unwrap_or("half_pixel");
        let coordinates = match coordinates {
            "half_pixel" => Coordinates::HalfPixel,
            "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
            "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
            "align_corners" => Coordinates::AlignCorners,
            "asymmetric" => Coordinates::Asymmetric,
            "tf_crop_and_resize" => Coordinates::TfCropAndResize,
            other => return wrong("coordinate_transformation_mode", other),
        };
        let flag = |name| node.int(name).map(|v| v.unwrap_or(0) != 0);
        let (antialias, exclude_outside) = (flag("antialias")?, flag("exclude_outside")?);
        if antialias && matches!(kernel, Kernel::Nearest(_)) {
            return Err(Error::unreadable("antialiasing is asked for in mode 'nearest'"));
        }
        Ok(Self { kernel, coordinates, antialias, exclude_outside })
    }

    /// Whether only a part of the input, or what lies around it, may be shown.
    pub fn crops(&self) -> bool {
        self.coordinates == Coordinates::TfCropAndResize
    }

    /// Whether enlarging by a whole factor repeats each element as often.
    pub fn repeats(&self) -> bool {
        use Coordinates::{Asymmetric, HalfPixel, HalfPixelSymmetric, PytorchHalfPixel};
        use Nearest::{Floor, RoundPreferCeil, RoundPreferFloor};
        let Kernel::Nearest(nearest) = self.kernel else { return false };
        match self.coordinates {
            Asymmetric => nearest == Floor,
            HalfPixel | HalfPixelSymmetric | PytorchHalfPixel => {
                matches!(nearest, RoundPreferFloor | RoundPreferCeil)
            }
            _ => false,
        }
    }

    /// The coordinate in the input of position `o` in the output.
    fn coordinate<N: Number>(&self, o: N, axis: &Axis<N>) -> N {
        let Axis { input, output, scale, region: [start, end] } = *axis;
        let half_pixel = || (o + 0.5) / scale - 0.5;
        let zero = o.constant(0.0);
        match self.coordinates {
            Coordinates::Asymmetric => o / scale,
            Coordinates::HalfPixel => half_pixel(),
            Coordinates::PytorchHalfPixel => output.above(1.0, half_pixel(), zero),
            Coordinates::HalfPixelSymmetric => {
                // ONNX Runtime takes this sum in double precision.
                let offset = input / input.constant(2.0) * -(output / (scale * input) - 1.0);
                (offset.wide() + (o.wide() + 0.5) / scale.wide() - 0.5).narrow(o)
            }
            Coordinates::AlignCorners => {
                output.above(1.0, o * (input - 1.0) / (output - 1.0), zero)
            }
            Coordinates::TfCropAndResize => {
                let corners =
                    start * (input - 1.0) + o * (end - start) * (input - 1.0) / (output - 1.0);
                output.above(1.0, corners, (start + end) * 0.5 * (input - 1.0))
            }
        }
    }

    /// The index of the element nearest to coordinate `x`.
    fn nearest<N: Number>(nearest: Nearest, x: N, axis: &Axis<N>) -> N {
        let low = x.floor();
        let rounded = |bound| low + (x - low).above(bound, x.constant(1.0), x.constant(0.0));
        let index = match nearest {
            Nearest::Floor => low,
            Nearest::Ceil => -(-x).floor(),
            Nearest::RoundPreferFloor => rounded(0.5 + MIDDLE),
            Nearest::RoundPreferCeil => rounded(0.5 - MIDDLE),
        };
        held(index, axis)
    }

    /// The weight at a distance.
    fn weight<N: Number>(&self, distance: N) -> N {
        let t = distance.abs();
        let Kernel::Cubic(a) = self.kernel else {
            return (-t + 1.0).max(t.constant(0.0));
        };
        let near = (t * (a + 2.0) - (a + 3.0)) * t * t + 1.0;
        let t2 = t.min(t.constant(2.0));
        let far = ((t2 * a - 5.0 * a) * t2 + 8.0 * a) * t2 - 4.0 * a;
        t.above(1.0, far, near)
    }

    /// `distance` in the units of the kernel, which is stretched where antialiasing shrinks.
    fn stretched<N: Number>(&self, distance: N, scale: N) -> N {
        if self.antialias { distance * scale.min(scale.constant(1.0)) } else { distance }
    }

    /// How far the kernel reaches where it is not stretched.
    fn support(&self) -> i32 {
        if matches!(self.kernel, Kernel::Cubic(_)) { 2 } else { 1 }
    }

    /// How many positions beyond either end of the axis the kernel reaches at most.
    fn reach<N: Number>(&self, scale: N) -> N {
        let support = scale.constant(self.support().into());
        let stretched = |rate| -(-(support / rate)).floor();
        (if self.antialias { stretched(scale.min(scale.constant(1.0))) } else { support }) + 1.0
    }

    /// Whether the rows of the matrix must be divided by their sums.
    fn normalises(&self) -> bool {
        self.antialias || self.exclude_outside
    }

    /// The samples of an axis of `input` elements, to `output`, whose sizes are known.
    pub fn known(&self, axis: &Axis<Known>) -> Samples<Vec<i64>, Vec<f64>> {
        let (size, count) = (axis.input.value as i64, axis.output.value as i64);
        let place = |o: i64| axis.input.constant(o as f64);
        let coordinates: Vec<Known> = (0..count).map(|o| self.coordinate(place(o), axis)).collect();
        let is_inside = |x: &Known| f64::from(x.value >= 0.0 && x.value <= (size - 1) as f64);
        let inside = self.crops().then(|| coordinates.iter().map(is_inside).collect::<Vec<_>>());
        let taken = match self.kernel {
            Kernel::Nearest(nearest) => {
                let index = |&x: &Known| Self::nearest(nearest, x, axis).value as i64;
                Taken::Indices(coordinates.iter().map(index).collect())
            }
            _ => {
                let row = |x: &Known| self.row(x.wide(), axis, size);
                Taken::Matrix(coordinates.iter().flat_map(row).collect())
            }
        };
        Samples { taken, inside }
    }

    /// The weights of the elements at coordinate `x`.
    fn row(&self, x: Known, axis: &Axis<Known>, size: i64) -> Vec<f64> {
        let x = if self.crops() { held(x, axis) } else { x };
        let scale = axis.scale.wide();
        let reach = self.reach(scale).value as i64;
        let mut row = vec![0.0; size as usize];
        for p in -reach..size + reach {
            let element = p.clamp(0, size - 1);
            if p == element || !self.exclude_outside {
                let distance = self.stretched(x - p as f64, scale);
                row[element as usize] += self.weight(distance).value;
            }
        }
        let sum: f64 = row.iter().sum();
        if self.normalises() {
            row.iter_mut().for_each(|weight| *weight /= sum);
        }
        row
    }

    /// The samples of an axis of `from` elements, to `to`, computed when the model runs, in type
    /// `dtype`.
    pub fn computed<'e>(
        &self,
        axis: &Axis<Expr<'e>>,
        [from, to]: [&Dim; 2],
        dtype: DataType,
    ) -> Samples<Expr<'e>, Expr<'e>> {
        let e = axis.input.e;
        let like = axis.input;
        let x = self.coordinate(e.range(to).cast(like.dtype()), axis);
        let inside = self.crops().then(|| {
            let behind = x.binary("GreaterOrEqual", x.number(0.0));
            let before = x.binary("LessOrEqual", like - 1.0);
            behind.binary("And", before).indicator(dtype)
        });
        if let Kernel::Nearest(nearest) = self.kernel {
            let indices = Self::nearest(nearest, x, axis).cast(DataType::I64);
            return Samples { taken: Taken::Indices(indices), inside };
        }
        let holds = self.crops() || (self.kernel == Kernel::Linear && !self.antialias);
        let x = if holds { held(x, axis) } else { x }.reshape(&[to.clone(), Dim::Value(1)]);
        let matrix = if self.kernel == Kernel::Linear && !self.antialias {
            self.weight(x - e.range(from).cast(like.dtype()))
        } else {
            self.folded(x, axis, from)
        };
        Samples { taken: Taken::Matrix(matrix.cast(dtype)), inside }
    }

    /// The positions that the kernel may reach.
    fn positions<'e>(&self, axis: &Axis<Expr<'e>>, from: &Dim) -> Expr<'e> {
        let (e, dtype) = (axis.input.e, axis.input.dtype());
        if !self.antialias {
            let beyond = self.support() + 1;
            let count = (from.clone() + Dim::Value(2 * beyond)).simplify();
            return e.range(&count).cast(dtype) - f64::from(beyond);
        }
        let reach = self.reach(axis.scale);
        let [start, end] = [-reach, axis.input + reach].map(|end| end.cast(DataType::I64));
        e.op("Range", &[start, end, e.int(1)], &[]).cast(dtype)
    }

    /// The weights of all positions that the kernel reaches, those outside added to the elements
    /// that they stand for.
    fn folded<'e>(&self, x: Expr<'e>, axis: &Axis<Expr<'e>>, from: &Dim) -> Expr<'e> {
        let e = x.e;
        let positions = self.positions(axis, from);
        let weights = self.weight(self.stretched(x - positions, axis.scale));
        let held = held(positions, axis);
        let column = [positions.dims()[0].clone(), Dim::Value(1)];
        let elements = e.range(from).cast(x.dtype());
        let shown = if self.exclude_outside { positions } else { held }.reshape(&column);
        let fold = shown.binary("Equal", elements).cast(x.dtype());
        let matrix = weights.binary("MatMul", fold);
        if !self.normalises() {
            return matrix;
        }
        matrix / matrix.reduce("ReduceSum", &[1], true)
    }
}

/// A coordinate or index inside of the axis.
fn held<N: Number>(x: N, axis: &Axis<N>) -> N {
    x.max(x.constant(0.0)).min(axis.input - 1.0)
}

/// How many times `from` the size `to` is, where that is known to be a whole number.
pub fn factor(from: &Dim, to: &Dim) -> Option<i64> {
    match (fixed(from), fixed(to)) {
        (Some(from @ 1..), Some(to)) => (to % from == 0).then(|| to / from),
        _ => fixed(&ratio(slice::from_ref(to), slice::from_ref(from))?.ok()?),
    }
}
