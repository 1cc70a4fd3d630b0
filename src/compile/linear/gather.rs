//! Steps that pick elements by index.

use super::scale::only;
use super::{Linear, Lower, Samples, Var};
use crate::compile::build::Expr;
use crate::graph::{Dim, ValueId};

/// Elements along an axis by index, as the operator Gather: the axes of `indices` take the axis's
/// place. Transposed: each element is added where it was taken from.
#[derive(Debug)]
pub struct Gather {
    /// The axis, without the seeds.
    pub axis: usize,
    /// The integer indices; negative ones count from the end.
    pub indices: ValueId,
}

impl Linear for Gather {
    fn name(&self) -> &'static str {
        "Gather"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        only(x).gather(at.e.expr(self.indices), self.axis + 1).assume(&at.out_dims())
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        vec![scatter(dy, at.e.expr(self.indices), self.axis + 1, &at.in_dims(0))]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], output: &Var) -> Option<Samples> {
        let (input, samples) = inputs[0];
        let axis = match samples.axis.cmp(&self.axis) {
            std::cmp::Ordering::Less => samples.axis,
            std::cmp::Ordering::Equal => return None,
            std::cmp::Ordering::Greater => samples.axis + output.dims.len() - input.dims.len(),
        };
        Some(Samples { axis, ..samples.clone() })
    }

    fn scatters(&self) -> bool {
        true
    }
}

/// Adds the elements of `x` into zeros of dimensions `to`: those at position `i` of the axes that
/// stand for the indices go to position `indices[i]` of `axis`.
pub(super) fn scatter<'e>(x: Expr<'e>, indices: Expr<'e>, axis: usize, to: &[Dim]) -> Expr<'e> {
    let e = x.e;
    let count = e.product(&indices.dims());
    let mut dims = to.to_vec();
    dims[axis] = count.clone();
    let mut aligned = vec![Dim::Value(1); to.len()];
    aligned[axis] = count;
    let indices = indices.reshape(&aligned).expand(&dims);
    let zeros = Expr::zeros(e, x.dtype(), to);
    let attributes = [("axis", (axis as i64).into()), ("reduction", "add".into())];
    e.op("ScatterElements", &[zeros, indices, x.reshape(&dims)], &attributes).assume(to)
}
