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
