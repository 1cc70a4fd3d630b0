//! Elements of spatial axes that come to lie elsewhere, by products with matrices of zeros and ones.

use crate::compile::build::Expr;
use crate::graph::Dim;

/// `[a, b, C, …, from·group, …]` with the groups of elements along a spatial axis multiplied by a matrix
/// that moves them to `to` places: `matrix` gives it as `[a, b, from, to]` where nothing lies behind them,
/// else, if that is false, as `[a, b, 1, to, from]`, with axes of size 1 where it is the same.
pub fn moved<'e>(
    x: Expr<'e>,
    axis: usize,
    (from, to, group): (i64, i64, i64),
    matrix: impl FnOnce(bool) -> Expr<'e>,
) -> Expr<'e> {
    let mut dims = x.dims();
    let last = group == 1 && axis + 4 == dims.len();
    let inner: Vec<Dim> =
        std::iter::once(Dim::Value(group as i32)).chain(dims[axis + 4..].iter().cloned()).collect();
    let (before, after) = (x.e.product(&dims[2..axis + 3]), x.e.product(&inner));
    let mut flat = vec![dims[0].clone(), dims[1].clone(), before, Dim::Value(from as i32)];
    flat.extend((!last).then_some(after));
    let rows = x.reshape(&flat);
    let placed = match last {
        true => rows.binary("MatMul", matrix(last)),
        false => matrix(last).binary("MatMul", rows),
    };
    dims[..2].clone_from_slice(&placed.dims()[..2]);
    dims[axis + 3] = Dim::Value((to * group) as i32);
    placed.reshape(&dims)
}
