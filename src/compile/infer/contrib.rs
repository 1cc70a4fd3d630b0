//! Operators outside the standard that exporters and optimisers of ONNX Runtime leave in files.

use super::cx::Cx;
use super::dim::num;
use super::layout::like;
use super::table::Known;
use super::{algebra, elementwise, window};
use crate::error::{Error, Result};
use crate::graph::{DataType, Dim, Facts};

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
        "QuantizeLinear" => {
            let dtype = if cx.has(2) { cx.dtype(2) } else { Some(DataType::U8) };
            return Ok(Some((elementwise::like_first(cx)?, vec![dtype])));
        }
        "DequantizeLinear" => {
            return Ok(Some((elementwise::like_first(cx)?, vec![cx.dtype(1)])));
        }
        "Attention" => return Ok(Some((attention(cx)?, vec![first; 2]))),
        "MultiHeadAttention" => return Ok(Some((multi_head(cx)?, vec![first; 4]))),
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

/// `Attention`: the output, and keys and values by head.
fn attention(cx: &mut Cx) -> Result<Vec<Facts>> {
    let (Some(x), Some(w)) = (cx.dims(0)?, cx.dims(1)?) else { return window::unknown() };
    let ([batch, steps, _], [_, whole]) = (&x[..], &w[..]) else {
        return Err(Error::unreadable("the input needs rank 3, the weights rank 2"));
    };
    let heads = cx.int("num_heads", 0)?;
    let values = match cx.node.ints("qkv_hidden_sizes")? {
        Some(&[_, _, values]) => num(values),
        _ => whole.clone() / num(3),
    };
    let y = Facts::from_shape(vec![batch.clone(), steps.clone(), values.clone()]);
    let past = if cx.has(4) { cx.require(4)?.size(3) } else { Some(num(0)) };
    let Some(past) = past.filter(|_| heads > 0) else {
        return Ok(vec![y, Facts::unknown("the size of the past is unknown")]);
    };
    let size = values / num(heads);
    let present = vec![num(2), batch.clone(), num(heads), past + steps.clone(), size];
    Ok(vec![y, Facts::from_shape(present)])
}

/// `MultiHeadAttention`: the output, keys and values by head, and the scores.
fn multi_head(cx: &mut Cx) -> Result<Vec<Facts>> {
    let unknown = || Facts::unknown("an input's shape is unknown");
    let heads = cx.int("num_heads", 0)?;
    if !cx.has(1) || !cx.has(2) || heads < 1 {
        return Ok(vec![unknown(); 4]);
    }
    let past = if cx.has(6) { cx.require(6)?.size(2) } else { Some(num(0)) };
    let shapes = (cx.dims(0)?, cx.dims(1)?, cx.dims(2)?, past);
    let (Some(query), Some(key), Some(value), Some(past)) = shapes else {
        return Ok(vec![unknown(); 4]);
    };
    let [batch, steps, _] = &query[..] else { return Ok(vec![unknown(); 4]) };
    let by_head = |dims: &[Dim]| match dims {
        [_, steps, hidden] => Some((steps.clone(), hidden.clone() / num(heads))),
        [_, _, steps, size] => Some((steps.clone(), size.clone())),
        _ => None,
    };
    let (Some((keys, size)), Some((_, value_size))) = (by_head(&key), by_head(&value)) else {
        return Ok(vec![unknown(); 4]);
    };
    let total = past + keys;
    let shape = |last: [Dim; 2]| {
        Facts::from_shape([vec![batch.clone(), num(heads)], last.to_vec()].concat())
    };
    let hidden = num(heads) * value_size.clone();
    Ok(vec![
        Facts::from_shape(vec![batch.clone(), steps.clone(), hidden]),
        shape([total.clone(), size]),
        shape([total.clone(), value_size]),
        shape([steps.clone(), total]),
    ])
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
