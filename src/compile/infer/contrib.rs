//! Operators outside the standard that exporters and optimisers of ONNX Runtime leave in files.

use super::cx::Cx;
use super::dim::num;
use super::layout::like;
use super::table::Known;
use super::{algebra, elementwise, window};
use crate::error::{Error, Result};
use crate::graph::{DataType, Facts};

/// What is known of the outputs of an operator of `com.microsoft`, `None` for one that is not here.
///
/// # Errors
/// When the inputs contradict each other or an attribute is malformed.
pub fn microsoft(cx: &mut Cx) -> Result<Option<Known>> {
    let first = cx.dtype(0);
    let facts = match cx.node.op.as_str() {
        "BiasGelu" | "FastGelu" | "Gelu" | "QuickGelu" | "RotaryEmbedding" => {
            elementwise::like_first(cx)?
        }
        "BiasSplitGelu" => halved(cx)?,
        "FusedConv" => window::conv(cx, 1)?,
        "FusedGemm" => algebra::gemm(cx)?,
        "FusedMatMul" => algebra::fused_matmul(cx)?,
        "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" => {
            let single = Some(DataType::F32);
            return Ok(Some((skip(cx)?, vec![first, single, single, first])));
        }
        "EmbedLayerNormalization" => {
            let table = cx.dtype(2);
            return Ok(Some((embed(cx)?, vec![table, Some(DataType::I32), table])));
        }
        _ => return Ok(None),
    };
    Ok(Some((facts, vec![first])))
}

/// What is known of the output of an operator of `ai.onnx.preview`, `None` for one that is not here.
///
/// # Errors
/// When the inputs contradict each other.
pub fn preview(cx: &mut Cx) -> Result<Option<Known>> {
    if cx.node.op != "FlexAttention" {
        return Ok(None);
    }
    let facts = match (cx.dims(0)?.as_deref(), cx.dims(2)?.as_deref()) {
        (Some([batch, heads, steps, _]), Some([.., size])) => {
            Facts::from_shape([batch, heads, steps, size].into_iter().cloned().collect())
        }
        _ => Facts::unknown("an input's shape is unknown"),
    };
    Ok(Some((vec![facts], vec![cx.dtype(0)])))
}

/// `BiasSplitGelu`: half the last axis.
fn halved(cx: &mut Cx) -> Result<Vec<Facts>> {
    let Some(mut dims) = cx.dims(0)? else { return window::unknown() };
    let last = dims.last_mut().ok_or_else(|| Error::unreadable("the input is a scalar"))?;
    *last = last.clone() / num(2);
    Ok(vec![Facts::from_shape(dims)])
}

/// The shape of the first input, its statistics over the last axis, and the sum that was normalised.
fn skip(cx: &mut Cx) -> Result<Vec<Facts>> {
    let whole = like(cx, 0)?;
    let statistics = match cx.dims(0)? {
        Some(mut dims) => {
            dims.pop();
            dims.push(num(1));
            Facts::from_shape(dims)
        }
        None => Facts::unknown("the input's shape is unknown"),
    };
    Ok(vec![whole.clone(), statistics.clone(), statistics, whole])
}

/// `EmbedLayerNormalization`: an embedding a word, an index a sample, and the sum.
fn embed(cx: &mut Cx) -> Result<Vec<Facts>> {
    let (Some(words), Some(table)) = (cx.dims(0)?, cx.dims(2)?) else { return window::unknown() };
    let ([batch, _], [_, size]) = (&words[..], &table[..]) else {
        return Err(Error::unreadable("words and word embeddings need rank 2"));
    };
    let batch = Facts::from_shape(vec![batch.clone()]);
    let whole = Facts::from_shape([words.clone(), vec![size.clone()]].concat());
    Ok(vec![whole.clone(), batch, whole])
}
