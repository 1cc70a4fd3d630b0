//! Matrix products.
//!
//! `MatMul: d(AB) = dA·B + A·dB`. `Gemm: d(αAB + βC) = α(dA·B + A·dB) + β dC`.

use super::Inputs::All;
use super::{Entry, Rule, Shape, Tangent};
use crate::compile::linear::Side;
use crate::error::Result;
use crate::graph::Dim;

pub(super) const RULES: &[Entry] = &[
    Entry::exact("MatMul", All, matmul).shaped(Shape::Product),
    Entry::exact("Gemm", All, gemm).shaped(Shape::Product),
];

/// MatMul: vectors are matrices of one row (on the left) or one column (on the right), and leading
/// axes broadcast.
fn matmul(cx: &Rule) -> Result<()> {
    let (a, b) = (cx.raw(0)?, cx.raw(1)?);
    let (mut a_dims, mut b_dims) = (a.dims(), b.dims());
    let y_dims = cx.y_dims(0)?;
    let one = Dim::Value(1);
    if a_dims.len() == 1 {
        a_dims.insert(0, one.clone());
    }
    if b_dims.len() == 1 {
        b_dims.push(one);
    }
    let batch = &y_dims[..y_dims.len() + 4 - a.rank().min(2) - b.rank().min(2) - 2];
    let whole = |matrix: &[Dim]| -> Vec<Dim> {
        batch.iter().chain(&matrix[matrix.len() - 2..]).cloned().collect()
    };
    let (rows, columns) = (a_dims[a_dims.len() - 2].clone(), b_dims[b_dims.len() - 1].clone());
    let product: Vec<Dim> = batch.iter().cloned().chain([rows, columns]).collect();
    let mut parts: Vec<Tangent> = Vec::new();
    if let Some(da) = cx.tangent(0) {
        let da = da.reshape(&a_dims).broadcast(&whole(&a_dims));
        let b = b.reshape(&b_dims);
        parts.push(da.matmul(b.id, Side::Right, false, product.clone()));
    }
    if let Some(db) = cx.tangent(1) {
        let db = db.reshape(&b_dims).broadcast(&whole(&b_dims));
        let a = a.reshape(&a_dims);
        parts.push(db.matmul(a.id, Side::Left, false, product));
    }
    if parts.len() == 1 {
        cx.homogeneous();
    }
    if let Some(total) = Tangent::sum_of(&parts) {
        cx.emit(0, total.reshape(&y_dims));
    }
    Ok(())
}

fn gemm(cx: &Rule) -> Result<()> {
    let y_dims = cx.y_dims(0)?;
    let (alpha, beta) = (
        cx.node.float("alpha")?.map_or(1.0, f64::from),
        cx.node.float("beta")?.map_or(1.0, f64::from),
    );
    let flag = |name| cx.node.int(name).map(|v| v.unwrap_or(0) != 0);
    let (trans_a, trans_b) = (flag("transA")?, flag("transB")?);
    let mut parts: Vec<Tangent> = Vec::new();
    if let Some(da) = cx.tangent(0) {
        let da = if trans_a { da.transpose(&[1, 0]) } else { da };
        parts.push(da.matmul(cx.raw(1)?.id, Side::Right, trans_b, y_dims.clone()).times(alpha));
    }
    if let Some(db) = cx.tangent(1) {
        let db = if trans_b { db.transpose(&[1, 0]) } else { db };
        parts.push(db.matmul(cx.raw(0)?.id, Side::Left, trans_a, y_dims.clone()).times(alpha));
    }
    let products = parts.len();
    match (cx.tangent(2), cx.node.input(2)) {
        (Some(dc), _) => parts.push(dc.broadcast(&y_dims).times(beta)),
        (None, Some(_)) if products == 1 => {
            let c = cx.x(2)?;
            cx.constant_part(0, if beta == 1.0 { c } else { c * beta });
        }
        (None, None) if products == 1 => cx.homogeneous(),
        _ => {}
    }
    if let Some(total) = Tangent::sum_of(&parts) {
        cx.emit(0, total);
    }
    Ok(())
}

#[cfg(test)]
mod tests {

    use crate::compile::rules::testing::{Case, case};

    /// A product with the first operand changing, the second, and both.
    fn each_changing(op: &str, a: &[i64], b: &[i64], finish: impl Fn(Case) -> Case) {
        finish(case(op).input("a", a).param("b", b)).check();
        finish(case(op).param("a", a).input("b", b)).check();
        finish(case(op).input("a", a).input("b", b)).check();
    }

    #[test]
    fn products_of_every_rank() {
        let shapes: &[(&[i64], &[i64])] = &[
            (&[3], &[3, 2]),
            (&[2, 3], &[3]),
            (&[2, 3], &[3, 2]),
            (&[1, 3], &[3, 1]),
            (&[4, 2, 3], &[3, 2]),
            (&[2, 3], &[4, 3, 2]),
            (&[3], &[4, 3, 2]),
            (&[4, 2, 3], &[3]),
            (&[3], &[2, 2, 3, 2]),
            (&[2, 2, 2, 3], &[3]),
            (&[1, 2, 3], &[4, 3, 2]),
            (&[4, 2, 3], &[1, 3, 2]),
            (&[4, 2, 3], &[4, 3, 2]),
            (&[3, 1, 2, 2], &[2, 2, 1]),
            (&[2, 2, 1], &[3, 1, 1, 2]),
            (&[3, 1, 1, 2], &[1, 2, 2, 3]),
        ];
        for (a, b) in shapes {
            each_changing("MatMul", a, b, |case| case);
        }
    }

    #[test]
    fn products_of_sizes_known_at_run_time() {
        let vectors = case("MatMul").input("x", &[2, 3]).dynamic(&["n", ""]).param("w", &[3, 2]);
        vectors.check();
        let stack = case("MatMul").input("x", &[2, 3, 4]).dynamic(&["n", "t", ""]);
        stack.param("w", &[4, 2]).check();
        case("MatMul").param("w", &[2, 3]).input("x", &[2, 3, 4]).dynamic(&["n", "", "t"]).check();
        let gemm = case("Gemm").input("x", &[2, 3]).dynamic(&["n", ""]).param("w", &[2, 3]);
        gemm.param("b", &[2]).int("transB", 1).f32().check();
    }

    #[test]
    fn gemm_with_every_transposition() {
        for (trans_a, trans_b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let a: &[i64] = if trans_a == 1 { &[3, 2] } else { &[2, 3] };
            let b: &[i64] = if trans_b == 1 { &[4, 3] } else { &[3, 4] };
            for alpha in [1.0, 0.5] {
                each_changing("Gemm", a, b, |case| {
                    let case = case.int("transA", trans_a).int("transB", trans_b);
                    if alpha == 1.0 { case } else { case.float("alpha", alpha).f32() }
                });
            }
        }
    }

    #[test]
    fn gemm_with_every_addend() {
        for (i, c) in [&[][..], &[1], &[4], &[1, 4], &[2, 1], &[2, 4], &[1, 1]].iter().enumerate() {
            for (alpha, beta) in [(1.0, 1.0), (0.5, 2.0)] {
                let finish = |case: Case| {
                    let case = case.float("alpha", alpha).float("beta", beta).f32();
                    case.int("transB", i as i64 % 2)
                };
                let b: &[i64] = if i % 2 == 1 { &[4, 3] } else { &[3, 4] };
                each_changing("Gemm", &[2, 3], b, |case| finish(case.param("c", c)));
                each_changing("Gemm", &[2, 3], b, |case| finish(case.input("c", c)));
                finish(case("Gemm").param("a", &[2, 3]).param("b", b).input("c", c)).check();
            }
        }
    }

    #[test]
    fn snapshots() {
        case("MatMul").input("x", &[2, 3]).param("w", &[3, 4]).snapshot("right");
        case("MatMul").param("w", &[2, 3]).input("x", &[4, 3, 2]).snapshot("left");
        case("MatMul").input("a", &[3]).input("b", &[2, 3, 2]).snapshot("both");
        let gemm = || case("Gemm").input("x", &[1, 3]).param("w", &[4, 3]).int("transB", 1);
        gemm().param("b", &[4]).f32().snapshot("layer");
        gemm().float("alpha", 0.5).f32().snapshot("scaled");
        let all = case("Gemm").input("a", &[3, 2]).input("b", &[3, 4]).input("c", &[4]);
        all.int("transA", 1).float("beta", 2.0).f32().snapshot("all");
    }
}
