//! Operators outside the standard that exporters and optimisers of ONNX Runtime leave in files.
//!
//! They stay in the emitted file as they are; what a rule emits is standard operators only.

pub(super) mod activation;
pub(super) mod attention;
pub(super) mod norms;
pub(super) mod products;

use super::{Entry, Rule};
use crate::compile::build::Expr;
use crate::error::Result;

/// The domain of most of them.
const DOMAIN: &str = "com.microsoft";

/// The sum plus the input `other`, where that is given; it broadcasts to the dimensions of the sum.
fn plus<'e>(cx: &Rule<'e>, sum: Expr<'e>, other: usize) -> Result<Expr<'e>> {
    Ok(match cx.node.input(other) {
        Some(_) => (sum + cx.x(other)?).assume(&sum.dims()),
        None => sum,
    })
}
