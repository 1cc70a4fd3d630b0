//! Expressions: values of the graph being built, with arithmetic and the moves of tensors.

use super::Emit;
use crate::error::Error;
use crate::graph::{Attr, DataType, Dim, Facts, Tensor, ValueId, fixed};

/// More axes than any rule asks for by number.
const MOST_AXES: usize = 8;

/// A value of the graph being built, with arithmetic.
#[derive(Clone, Copy)]
pub struct Expr<'e> {
    /// Where the value is built.
    pub e: &'e Emit,
    /// The value.
    pub id: ValueId,
}

impl<'e> Expr<'e> {
    /// The element type; float32 where it is unknown.
    pub fn dtype(self) -> DataType {
        self.e.graph(|graph| graph.value(self.id).dtype).unwrap_or(DataType::F32)
    }

    /// The dimensions; some that mean nothing, and an error kept, where the rank is unknown.
    pub fn dims(self) -> Vec<Dim> {
        let (dims, name) =
            self.e.graph(|graph| (graph.value(self.id).dims(), graph.value(self.id).name.clone()));
        dims.unwrap_or_else(|| {
            self.e.fail(
                Error::unsupported("the rank of this value cannot be inferred")
                    .value(name)
                    .help("give the model's inputs shapes"),
            );
            // The failure is told in the end; until then no rule may miss an axis.
            vec![Dim::Value(1); MOST_AXES]
        })
    }

    /// The number of dimensions.
    pub fn rank(self) -> usize {
        self.dims().len()
    }

    /// The elements as integers, where the value is an initializer of integers.
    pub fn as_ints(self) -> Option<Vec<i64>> {
        self.e.graph(|graph| graph.value(self.id).tensor.as_ref().and_then(|t| t.to_ints().ok()))
    }

    /// The elements as floats, where the value is an initializer of floats.
    pub fn as_floats(self) -> Option<Vec<f64>> {
        self.e.graph(|graph| graph.value(self.id).tensor.as_ref().and_then(|t| t.to_floats().ok()))
    }

    /// An operator of one input.
    pub fn unary(self, op: &str) -> Self {
        self.e.op(op, &[self], &[])
    }

    /// An operator of two inputs.
    pub fn binary(self, op: &str, other: Self) -> Self {
        self.e.op(op, &[self, other], &[])
    }

    /// A constant of this value's type.
    pub fn number(self, value: f64) -> Self {
        self.e.float(self.dtype(), value)
    }

    /// The value in type `dtype`.
    pub fn cast(self, dtype: DataType) -> Self {
        if self.dtype() == dtype {
            return self;
        }
        self.e.op("Cast", &[self], &[("to", i64::from(dtype as i32).into())])
    }

    /// The value in the type in which sums of it are accumulated.
    pub fn widen(self) -> Self {
        self.cast(self.dtype().accumulator())
    }

    /// 1 where the Boolean value holds, 0 elsewhere, in type `dtype`.
    pub fn indicator(self, dtype: DataType) -> Self {
        self.cast(dtype)
    }

    /// The elements in row-major order under other dimensions.
    pub fn reshape(self, dims: &[Dim]) -> Self {
        let old = self.dims();
        if old == dims {
            return self;
        }
        // One dimension may be left to the runtime (-1) if no other can be zero, and an equal one at
        // the same place be copied (0); any other shape is computed, its zeros meant as such.
        let empty = dims.iter().chain(&old).any(|d| fixed(d) == Some(0));
        let alone = dims.iter().filter(|d| fixed(d).is_none()).count() == 1;
        let spec: Option<Vec<i64>> = dims
            .iter()
            .enumerate()
            .map(|(i, d)| match fixed(d) {
                Some(n) => Some(n),
                None if old.get(i) == Some(d) => Some(0),
                None => alone.then_some(-1),
            })
            .collect();
        let (shape, attributes): (_, &[(&str, Attr)]) = match spec.filter(|_| !empty) {
            Some(spec) => (self.e.ints(&spec), &[]),
            None => (self.e.shape(dims), &[("allowzero", Attr::Int(1))]),
        };
        let result = self.e.op("Reshape", &[self, shape], attributes);
        result.assume(dims)
    }

    /// Notes dimensions that are known to hold but were not inferred.
    pub fn assume(self, dims: &[Dim]) -> Self {
        self.e.graph_mut(|graph| {
            let value = graph.value_mut(self.id);
            if value.dims().is_none_or(|old| old != dims) {
                value.facts = Facts::from_shape(dims.to_vec()).into();
            }
        });
        self
    }

    /// The value repeated along axes of size 1 to the dimensions `dims`.
    pub fn expand(self, dims: &[Dim]) -> Self {
        let old = self.dims();
        if old == dims {
            return self;
        }
        // Not every runtime broadcasts an axis of size 1 to an empty one.
        if dims.iter().any(|d| fixed(d) == Some(0)) {
            return Self::empty(self.e, self.dtype(), dims);
        }
        // Expand broadcasts both ways, so an axis that stays can be asked for with size 1.
        let new = dims.len().saturating_sub(old.len());
        let stays = |i: usize| i.checked_sub(new).is_some_and(|i| old[i] == dims[i + new]);
        let asked: Vec<Dim> = dims
            .iter()
            .enumerate()
            .map(|(i, d)| if stays(i) { Dim::Value(1) } else { d.clone() })
            .collect();
        self.e.op("Expand", &[self, self.e.shape(&asked)], &[]).assume(dims)
    }

    /// Each element repeated along the last axes, `times` of each.
    pub fn repeat(self, times: &[i64]) -> Self {
        let (e, dims) = (self.e, self.dims());
        let (lead, space) = dims.split_at(dims.len() - times.len());
        if times.iter().all(|&n| n == 1) {
            return self;
        }
        let longer =
            space.iter().zip(times).map(|(d, &n)| (d.clone() * Dim::Value(n as i32)).simplify());
        let out: Vec<Dim> = lead.iter().cloned().chain(longer).collect();
        // Runtimes know how to enlarge float32 pictures; other types and ranks go the general way.
        if times.len() == 2 && self.dtype() == DataType::F32 {
            let (images, channels) = lead.split_at(lead.len().saturating_sub(1));
            let images = [e.product(images), e.product(channels)];
            let flat: Vec<Dim> = images.iter().chain(space).cloned().collect();
            let scales: Vec<f64> =
                [1.0, 1.0].into_iter().chain(times.iter().map(|&n| n as f64)).collect();
            let scales = e.floats(DataType::F32, vec![4], &scales);
            let attributes = [
                ("mode", "nearest".into()),
                ("coordinate_transformation_mode", "asymmetric".into()),
                ("nearest_mode", "floor".into()),
            ];
            let inputs = [Some(self.reshape(&flat).id), None, Some(scales.id)];
            return e.node("Resize", &inputs, &attributes, 1)[0].reshape(&out);
        }
        let (mut narrow, mut wide) = (lead.to_vec(), lead.to_vec());
        for (d, &n) in space.iter().zip(times) {
            narrow.extend([d.clone(), Dim::Value(1)]);
            wide.extend([d.clone(), Dim::Value(n as i32)]);
        }
        self.reshape(&narrow).expand(&wide).reshape(&out)
    }

    /// The axes in another order.
    pub fn transpose(self, perm: &[usize]) -> Self {
        if perm.iter().enumerate().all(|(i, &p)| i == p) {
            return self;
        }
        let perm: Vec<i64> = perm.iter().map(|&p| p as i64).collect();
        self.e.op("Transpose", &[self], &[("perm", perm.into())])
    }

    /// Axes of size 1 inserted at `axes` of the result.
    pub fn unsqueeze(self, axes: &[i64]) -> Self {
        self.e.op("Unsqueeze", &[self, self.e.ints(axes)], &[])
    }

    /// A reduction over `axes`, which stay with size 1 if `keep`.
    pub fn reduce(self, op: &str, axes: &[usize], keep: bool) -> Self {
        let axes: Vec<i64> = axes.iter().map(|&a| a as i64).collect();
        let keep = i64::from(keep).into();
        self.e.op(op, &[self, self.e.ints(&axes)], &[("keepdims", keep)])
    }

    /// Elements by index along an axis.
    pub fn gather(self, indices: Self, axis: usize) -> Self {
        self.e.op("Gather", &[self, indices], &[("axis", (axis as i64).into())])
    }

    /// `start..end` along an axis.
    pub fn slice(self, axis: usize, start: &Dim, end: &Dim) -> Self {
        if fixed(start) == Some(0) && self.dims().get(axis) == Some(end) {
            return self;
        }
        let (start, end) = (self.e.extent(start), self.e.extent(end));
        self.e.op("Slice", &[self, start, end, self.e.ints(&[axis as i64])], &[])
    }

    /// Values one after another along an axis.
    pub fn concat(parts: &[Self], axis: usize) -> Self {
        match parts {
            [one] => *one,
            _ => parts[0].e.op("Concat", parts, &[("axis", (axis as i64).into())]),
        }
    }

    /// Zeros of the given type and dimensions.
    pub fn zeros(e: &'e Emit, dtype: DataType, dims: &[Dim]) -> Self {
        Self::filled(e, dtype, 0.0, dims)
    }

    /// Ones of the given type and dimensions, all known.
    pub fn ones(e: &'e Emit, dtype: DataType, dims: &[Dim]) -> Self {
        let sizes: Vec<i64> = dims.iter().map(|d| fixed(d).unwrap_or(1)).collect();
        let count: i64 = sizes.iter().product();
        e.floats(dtype, sizes, &vec![1.0; count.max(0) as usize])
    }

    /// A tensor of any type with an axis of size 0.
    fn empty(e: &'e Emit, dtype: DataType, dims: &[Dim]) -> Self {
        Self::zeros(e, DataType::F32, dims).cast(dtype).assume(dims)
    }

    /// One number at every place of the given dimensions.
    pub fn filled(e: &'e Emit, dtype: DataType, number: f64, dims: &[Dim]) -> Self {
        let number = Tensor::floats(e.float_type(dtype), vec![1], &[number]);
        e.op("ConstantOfShape", &[e.shape(dims)], &[("value", number.into())]).assume(dims)
    }

    /// `self` where the Boolean `condition` holds, `other` elsewhere.
    pub fn where_(self, condition: Self, other: Self) -> Self {
        self.e.op("Where", &[condition, self, other], &[])
    }

    /// The value with 0 in the place of its infinities.
    pub fn finite(self) -> Self {
        let infinite = self.unary("Abs").binary("Equal", self.number(f64::INFINITY));
        self.number(0.0).where_(infinite, self)
    }
}

macro_rules! arithmetic {
    ($($trait:ident $method:ident $op:literal),*) => {$(
        impl<'e> std::ops::$trait for Expr<'e> {
            type Output = Expr<'e>;
            fn $method(self, other: Self) -> Self {
                self.binary($op, other)
            }
        }
        impl<'e> std::ops::$trait<f64> for Expr<'e> {
            type Output = Expr<'e>;
            fn $method(self, other: f64) -> Self {
                self.binary($op, self.number(other))
            }
        }
    )*};
}
arithmetic!(Add add "Add", Sub sub "Sub", Mul mul "Mul", Div div "Div");

impl std::ops::Neg for Expr<'_> {
    type Output = Self;
    fn neg(self) -> Self {
        self.unary("Neg")
    }
}
