//! The element types of what an operator gives.

use super::cx::Cx;
use crate::error::{Error, Result};
use crate::graph::{Attr, DataType};

use DataType::{Bool, F32, I32, I64, String as Text, U8};

/// The element type of each output, `None` for what is no tensor or unknown. Positions past the
/// end of the list are unknown.
///
/// # Errors
/// When an attribute that names a type is malformed.
pub fn of(cx: &Cx) -> Result<Vec<Option<DataType>>> {
    let first = cx.dtype(0);
    let same = |count| vec![first; count];
    let attribute = |name, default| -> Result<Option<DataType>> {
        match cx.node.int(name)? {
            None | Some(0) => Ok(default),
            Some(code) => named(code).map(Some),
        }
    };
    Ok(match cx.node.op.as_str() {
        "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "And" | "Or" | "Xor"
        | "Not" | "IsInf" | "IsNaN" | "RegexFullMatch" | "OptionalHasElement" => vec![Some(Bool)],
        "ArgMax" | "ArgMin" | "NonZero" | "SequenceLength" | "Shape" | "Size"
        | "NonMaxSuppression" => vec![Some(I64)],
        "ConvInteger" | "MatMulInteger" => vec![Some(I32)],
        "ImageDecoder" => vec![Some(U8)],
        "TfIdfVectorizer" => vec![Some(F32)],
        "StringSplit" => vec![Some(Text), Some(I64)],
        "DynamicQuantizeLinear" => vec![Some(U8), Some(F32), Some(U8)],
        "Cast" | "BitCast" => vec![Some(named(cx.int("to", 0)?)?)],
        "CastLike" | "Where" | "RMSNormalization" => vec![cx.dtype(1)],
        "OneHot" => vec![cx.dtype(2)],
        "QLinearConv" | "QLinearMatMul" => vec![cx.dtype(7)],
        "QuantizeLinear" => vec![match cx.has(2) {
            true => cx.dtype(2),
            false => attribute("output_dtype", Some(U8))?,
        }],
        "DequantizeLinear" => vec![attribute("output_dtype", cx.dtype(1))?],
        "BlackmanWindow" | "HammingWindow" | "HannWindow" | "MelWeightMatrix" => {
            vec![attribute("output_datatype", Some(F32))?]
        }
        "Bernoulli" | "EyeLike" | "RandomNormalLike" | "RandomUniformLike" => {
            vec![attribute("dtype", first)?]
        }
        "Multinomial" => vec![attribute("dtype", Some(I32))?],
        "RandomNormal" | "RandomUniform" => vec![attribute("dtype", Some(F32))?],
        "ConstantOfShape" => vec![match cx.node.attr("value") {
            Some(Attr::Tensor(tensor)) => Some(tensor.dtype),
            _ => Some(F32),
        }],
        "Constant" => vec![constant(cx)],
        "MaxPool" | "TopK" => vec![first, Some(I64)],
        "Unique" => vec![first, Some(I64), Some(I64), Some(I64)],
        "Dropout" => vec![first, Some(Bool)],
        "BatchNormalization" => vec![first, cx.dtype(3), cx.dtype(3)],
        "LayerNormalization" => {
            let statistics = attribute("stash_type", Some(F32))?;
            vec![first, statistics, statistics]
        }
        "SimplifiedLayerNormalization" => vec![first, attribute("stash_type", Some(F32))?],
        "LinearAttention" => vec![first, cx.dtype(3).or(first)],
        "Attention" => vec![first, first, cx.dtype(2), first],
        "LSTM" => same(3),
        "GRU" | "RNN" | "SoftmaxCrossEntropyLoss" | "CausalConvWithState" => same(2),
        "Split" => same(cx.node.outputs.len()),
        "If" | "Loop" | "Scan" | "Optional" | "OptionalGetElement" | "SequenceAt"
        | "SequenceConstruct" | "SequenceEmpty" | "SequenceErase" | "SequenceInsert"
        | "SequenceMap" | "SplitToSequence" | "ConcatFromSequence" => vec![],
        _ => same(1),
    })
}

fn named(code: i64) -> Result<DataType> {
    i32::try_from(code)
        .ok()
        .and_then(DataType::from_onnx)
        .ok_or_else(|| Error::unreadable(format!("there is no element type {code}")))
}

fn constant(cx: &Cx) -> Option<DataType> {
    cx.node.attributes.iter().find_map(|attribute| match &attribute.value {
        Attr::Tensor(tensor) => Some(tensor.dtype),
        Attr::Float(_) | Attr::Floats(_) => Some(F32),
        Attr::Int(_) | Attr::Ints(_) => Some(I64),
        Attr::String(_) | Attr::Strings(_) => Some(Text),
        _ => None,
    })
}
