//! A basis that holds the largest singular vectors of a large matrix, by the band Lanczos method.
//!
//! Of a matrix `M` the basis spans `z, M Mᵀ z, (M Mᵀ)² z, …` for as many starting vectors `z` as
//! patterns are wanted, so that a singular value may occur that many times. Each vector is made
//! orthogonal to all before it, twice. Where that leaves nothing but rounding a fresh vector takes its
//! place; where there is none left, zero.

use crate::compile::build::{Emit, Expr};
use crate::graph::{DataType, Dim};

/// The share of a vector that is rounding once it is orthogonal to those before it.
fn rounding(dtype: DataType) -> f64 {
    if dtype == DataType::F64 { 1e-11 } else { 1e-5 }
}

/// The share of a fresh vector that is left where there is a direction yet.
const FRESH: f64 = 1e-3;

/// Orthonormal rows `[N, size, n]` for a matrix `[N, n, d]`, from `starts` starting vectors.
pub(super) fn basis<'e>(matrix: Expr<'e>, starts: usize, size: usize) -> Expr<'e> {
    let (e, dtype, dims) = (matrix.e, matrix.dtype(), matrix.dims());
    let none = Expr::zeros(e, dtype, &[dims[0].clone(), Dim::Value(size as i32), dims[1].clone()]);
    let sequences = [
        unit_rows(e, dtype, size, 0),
        unit_rows(e, dtype, size, starts),
        noise(e, dtype, size, &dims[1]),
    ];
    let last = e.rounds("Krylov", &[none], &sequences, &[matrix], |basis, x, captured| {
        let (here, back, fresh) = (x[0], x[1], x[2]);
        let earlier = row(back).binary("MatMul", basis[0]);
        let image = column(earlier.binary("MatMul", captured[0]));
        let image = row(captured[0].binary("MatMul", image));
        let next = apart(image, basis[0]);
        let (left, least) = (norm(next), norm(image) * rounding(dtype));
        let fresh = row(fresh);
        let other = apart(fresh, basis[0]);
        let other = unit(other, norm(fresh) * FRESH);
        let chosen = unit(next, least).where_(left.binary("Greater", least), other);
        let chosen = unit(apart(chosen, basis[0]), chosen.number(0.5));
        let place = here.reshape(&[Dim::Value(1), Dim::Value(size as i32), Dim::Value(1)]);
        vec![basis[0] + place * chosen]
    });
    last[0]
}

/// `[n]` or `[N, n, 1]` as `[.., 1, n]`.
fn row(x: Expr<'_>) -> Expr<'_> {
    let dims = x.dims();
    match dims.as_slice() {
        [n] => x.reshape(&[Dim::Value(1), Dim::Value(1), n.clone()]),
        [samples, n, _] => x.reshape(&[samples.clone(), Dim::Value(1), n.clone()]),
        _ => x,
    }
}

/// `[N, 1, n]` as `[N, n, 1]`.
fn column(x: Expr<'_>) -> Expr<'_> {
    let dims = x.dims();
    x.reshape(&[dims[0].clone(), dims[2].clone(), Dim::Value(1)])
}

/// `[N, 1, n]` without its part in the span of orthonormal rows.
fn apart<'e>(x: Expr<'e>, rows: Expr<'e>) -> Expr<'e> {
    (0..2).fold(x, |x, _| x - row(rows.binary("MatMul", column(x))).binary("MatMul", rows))
}

fn norm(x: Expr<'_>) -> Expr<'_> {
    x.binary("MatMul", column(x)).unary("Sqrt")
}

/// The vector of length 1; zero unless it is longer than `least`.
fn unit<'e>(x: Expr<'e>, least: Expr<'e>) -> Expr<'e> {
    let length = norm(x);
    let long = length.binary("Greater", least);
    let one = x.number(1.0);
    x * (long.indicator(x.dtype()) / length.where_(long, one))
}

/// `[size, size]` whose row `i` has a 1 at column `i − back`, and is zero where there is none.
fn unit_rows(e: &Emit, dtype: DataType, size: usize, back: usize) -> Expr<'_> {
    let mut values = vec![0.0; size * size];
    (back..size).for_each(|i| values[i * size + i - back] = 1.0);
    e.floats(dtype, vec![size as i64, size as i64], &values)
}

/// `[size, n]` numbers between −½ and ½ that look random and are the same in every runtime: squares
/// of an arithmetic progression modulo a prime.
fn noise<'e>(e: &'e Emit, dtype: DataType, size: usize, n: &Dim) -> Expr<'e> {
    const PRIME: i64 = 2_147_483_647;
    let (size, one) = (Dim::Value(size as i32), Dim::Value(1));
    let rows = e.range(&size).reshape(&[size.clone(), one]) * e.int(12_345_701);
    let number = e.range(n) * e.int(1_103_515_245) + rows + e.int(977);
    let modulo = |x: Expr<'e>| x.binary("Mod", e.int(PRIME));
    let number = modulo(number);
    modulo(number * number).cast(dtype) / PRIME as f64 - 0.5
}
