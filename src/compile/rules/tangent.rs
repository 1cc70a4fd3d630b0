//! The change of a value, and the linear steps that can be taken from it.

use super::Rule;
use crate::compile::build::Expr;
use crate::compile::linear as step;
use crate::compile::linear::{Geometry, Side, VarId};
use crate::error::Error;
use crate::graph::{DataType, Dim, ValueId, fixed};

/// The change of a value. Its operations are the linear steps, so a product of two changes can't be
/// written.
#[derive(Clone, Copy)]
pub struct Tangent<'r, 'e> {
    pub(super) cx: &'r Rule<'e>,
    pub(super) var: VarId,
}

impl<'r, 'e> Tangent<'r, 'e> {
    /// The dimensions, without the seeds.
    pub fn dims(self) -> Vec<Dim> {
        self.cx.program.borrow().var(self.var).dims.clone()
    }

    /// The number of dimensions, without the seeds.
    pub fn rank(self) -> usize {
        self.dims().len()
    }

    /// The type in which the change is computed.
    pub fn dtype(self) -> DataType {
        self.cx.program.borrow().var(self.var).dtype
    }

    fn step(self, map: impl step::Linear + 'static, dims: Vec<Dim>) -> Self {
        self.cx.add_step(map, vec![self.var], dims, self.dtype())
    }

    /// `c ⊙ dx`; `c` broadcasts to the dimensions of `dx`.
    pub fn scale(self, c: Expr<'e>) -> Self {
        self.step(step::Scale(c.id), self.dims())
    }

    /// `c · dx` with a number.
    pub fn times(self, c: f64) -> Self {
        if c == 1.0 { self } else { self.scale(self.cx.e.float(self.dtype(), c)) }
    }

    /// The change in another float type.
    pub fn cast(self, dtype: DataType) -> Self {
        if dtype == self.dtype() {
            return self;
        }
        self.cx.add_step(step::Cast, vec![self.var], self.dims(), dtype)
    }

    /// Repeated to the dimensions `dims`, as ONNX broadcasts. Fails where the sizes do not tell along
    /// which axes.
    pub fn broadcast(self, dims: &[Dim]) -> Self {
        let own = self.dims();
        if own == dims {
            return self;
        }
        let pairs = own.iter().rev().zip(dims.iter().rev());
        let unclear = |(narrow, wide): &(&Dim, &Dim)| narrow != wide && fixed(narrow) != Some(1);
        if let Some((narrow, wide)) = pairs.into_iter().find(unclear) {
            self.cx.e.fail(
                Error::unsupported(format!(
                    "whether an axis of size {narrow} is broadcast to {wide} is only known at run time"
                ))
                .help("fix that dimension in the model"),
            );
        }
        self.step(step::Broadcast, dims.to_vec())
    }

    /// Summed over `axes`, which stay with size 1 if `keep`.
    pub fn sum(self, axes: &[usize], keep: bool) -> Self {
        let mut dims = self.dims();
        for &axis in axes {
            dims[axis] = Dim::Value(1);
        }
        let summed = if dims == self.dims() { self } else { self.step(step::SumTo, dims.clone()) };
        if keep {
            return summed;
        }
        let left = |(i, d): (usize, Dim)| (!axes.contains(&i)).then_some(d);
        summed.reshape(&dims.into_iter().enumerate().filter_map(left).collect::<Vec<_>>())
    }

    /// The elements in row-major order under other dimensions.
    pub fn reshape(self, dims: &[Dim]) -> Self {
        if self.dims() == dims { self } else { self.step(step::Reshape, dims.to_vec()) }
    }

    /// The axes in another order: axis `i` of the result is axis `perm[i]`.
    pub fn transpose(self, perm: &[usize]) -> Self {
        let dims = self.dims();
        let dims = perm.iter().map(|&p| dims[p].clone()).collect();
        self.step(step::Transpose(perm.to_vec()), dims)
    }

    /// The part of size `size` from `start` on along an axis.
    pub fn window(self, axis: usize, start: Dim, size: Dim) -> Self {
        let mut dims = self.dims();
        if dims[axis] == size {
            return self;
        }
        dims[axis] = size;
        self.step(step::Window { axis, start }, dims)
    }

    /// Zeros around to size `size` along an axis, `start` of them before.
    pub fn pad(self, axis: usize, start: Dim, size: Dim) -> Self {
        let mut dims = self.dims();
        if dims[axis] == size {
            return self;
        }
        dims[axis] = size;
        self.step(step::Pad { axis, start }, dims)
    }

    /// Every `step`-th element of an axis; `size` of them are there.
    pub fn stride(self, axis: usize, step: i64, size: Dim) -> Self {
        if step == 1 {
            return self;
        }
        let mut dims = self.dims();
        dims[axis] = size;
        self.step(step::Stride { axis, step }, dims)
    }

    /// An axis in reverse order. One of a single element stays: tract cannot reverse it.
    pub fn reverse(self, axis: usize) -> Self {
        let dims = self.dims();
        if fixed(&dims[axis]) == Some(1) { self } else { self.step(step::Reverse { axis }, dims) }
    }

    /// `A·dx` or `dx·A` over the last two axes, to the dimensions `dims`.
    pub fn matmul(self, matrix: ValueId, side: Side, transpose: bool, dims: Vec<Dim>) -> Self {
        self.step(step::MatMul { matrix, side, transpose }, dims)
    }

    /// Conv without bias, to the dimensions `dims`.
    pub fn conv(self, kernel: ValueId, group: i64, geometry: Geometry, dims: Vec<Dim>) -> Self {
        self.step(step::Conv { kernel, group, geometry }, dims)
    }

    /// ConvTranspose without bias, to the dimensions `dims`.
    pub fn conv_transpose(
        self,
        kernel: ValueId,
        group: i64,
        geometry: Geometry,
        dims: Vec<Dim>,
    ) -> Self {
        self.step(step::ConvTranspose { kernel, group, geometry }, dims)
    }

    /// The sums over the windows of each channel, to the dimensions `dims`; `ones` is a kernel of ones.
    pub fn window_sums(self, ones: ValueId, geometry: Geometry, dims: Vec<Dim>) -> Self {
        self.step(step::WindowSums { ones, geometry }, dims)
    }

    /// Elements by index along an axis, as the operator Gather, to the dimensions `dims`.
    pub fn gather(self, axis: usize, indices: ValueId, dims: Vec<Dim>) -> Self {
        self.step(step::Gather { axis, indices }, dims)
    }

    /// The winners of pooling windows by their flat indices of dimensions `dims`; `geometry` says
    /// how the windows lie, where that is known.
    pub fn winners(self, indices: ValueId, geometry: Option<Geometry>, dims: Vec<Dim>) -> Self {
        self.step(step::Winners { indices, geometry, factor: None }, dims)
    }

    /// The sum of changes of the same dimensions.
    pub fn sum_of(parts: &[Self]) -> Option<Self> {
        let (first, rest) = parts.split_first()?;
        if rest.is_empty() {
            return Some(*first);
        }
        let vars = parts.iter().map(|p| p.var).collect();
        Some(first.cx.add_step(step::Sum, vars, first.dims(), first.dtype()))
    }

    /// Changes one after another along an axis, to the dimensions `dims`.
    pub fn concat(parts: &[Self], axis: usize, dims: Vec<Dim>) -> Option<Self> {
        let first = parts.first()?;
        let vars = parts.iter().map(|p| p.var).collect();
        Some(first.cx.add_step(step::Concat { axis }, vars, dims, first.dtype()))
    }
}

impl std::ops::Add for Tangent<'_, '_> {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.cx.add_step(step::Sum, vec![self.var, other.var], self.dims(), self.dtype())
    }
}

impl std::ops::Neg for Tangent<'_, '_> {
    type Output = Self;
    fn neg(self) -> Self {
        self.times(-1.0)
    }
}

impl std::ops::Sub for Tangent<'_, '_> {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}
