//! Which rule each operator has.

use rten_shape_inference::ops;

use super::cx::Cx;
use super::{algebra, contrib, elementwise, layout, neural, select, types, window};
use crate::error::Result;
use crate::graph::{DataType, Facts};

/// Shapes and element types of a node's outputs.
pub type Known = (Vec<Facts>, Vec<Option<DataType>>);

/// What the table says of the node, `None` for operators that are not in it.
///
/// # Errors
/// When the inputs contradict each other or an attribute is malformed.
pub fn look_up(cx: &mut Cx) -> Result<Option<Known>> {
    let facts = match cx.node.domain.as_str() {
        _ if cx.node.is_standard() => standard(cx)?,
        "com.microsoft" => return contrib::microsoft(cx),
        "ai.onnx.preview" => return contrib::preview(cx),
        _ => None,
    };
    match facts {
        Some(facts) => Ok(Some((facts, types::of(cx)?))),
        None => Ok(None),
    }
}

fn standard(cx: &mut Cx) -> Result<Option<Vec<Facts>>> {
    use {algebra as a, elementwise as e, layout as l, neural as n, select as s, window as w};
    Ok(Some(match cx.node.op.as_str() {
        "Add" | "And" | "BitShift" | "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" | "Div"
        | "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Max" | "Mean"
        | "Min" | "Mod" | "Mul" | "Or" | "Pow" | "StringConcat" | "Sub" | "Sum" | "SwiGLU"
        | "Where" | "Xor" => e::broadcast(cx)?,
        "Abs" | "Cast" | "CastLike" | "Identity" | "Neg" | "Not" | "Sign" => e::unary(cx)?,
        "Acos"
        | "Acosh"
        | "Asin"
        | "Asinh"
        | "Atan"
        | "Atanh"
        | "Bernoulli"
        | "BitCast"
        | "BitwiseNot"
        | "Ceil"
        | "Celu"
        | "Clip"
        | "Cos"
        | "Cosh"
        | "CumProd"
        | "CumSum"
        | "DequantizeLinear"
        | "Elu"
        | "Erf"
        | "Exp"
        | "EyeLike"
        | "Floor"
        | "Gelu"
        | "GroupNormalization"
        | "HardSigmoid"
        | "HardSwish"
        | "Hardmax"
        | "InstanceNormalization"
        | "IsInf"
        | "IsNaN"
        | "LRN"
        | "LeakyRelu"
        | "Log"
        | "LogSoftmax"
        | "LpNormalization"
        | "MeanVarianceNormalization"
        | "Mish"
        | "PRelu"
        | "QuantizeLinear"
        | "RMSNormalization"
        | "RandomNormalLike"
        | "RandomUniformLike"
        | "Reciprocal"
        | "RegexFullMatch"
        | "Relu"
        | "ReverseSequence"
        | "RotaryEmbedding"
        | "Round"
        | "ScatterElements"
        | "ScatterND"
        | "Selu"
        | "Shrink"
        | "Sigmoid"
        | "Sin"
        | "Sinh"
        | "Softmax"
        | "Softplus"
        | "Softsign"
        | "Sqrt"
        | "Swish"
        | "Tan"
        | "Tanh"
        | "TensorScatter"
        | "ThresholdedRelu"
        | "Trilu" => e::like_first(cx)?,
        "Dropout" => cx.apply(ops::Dropout, &[0])?,

        "MatMul" | "MatMulInteger" => a::matmul(cx, 0, 1)?,
        "QLinearMatMul" => a::matmul(cx, 0, 3)?,
        "Gemm" => a::gemm(cx)?,
        "Einsum" => a::einsum(cx)?,
        "ReduceL1" | "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceMax"
        | "ReduceMean" | "ReduceMin" | "ReduceProd" | "ReduceSum" | "ReduceSumSquare" => {
            a::reduce(cx)?
        }
        "ArgMax" | "ArgMin" => a::arg_reduce(cx)?,

        "Conv" | "ConvInteger" | "DeformConv" => w::conv(cx, 1)?,
        "QLinearConv" => w::conv(cx, 3)?,
        "ConvTranspose" => w::conv_transpose(cx)?,
        "AveragePool" | "LpPool" | "MaxPool" => w::pool(cx)?,
        "GlobalAveragePool" | "GlobalLpPool" | "GlobalMaxPool" => {
            cx.apply(ops::GlobalPool, &[0])?
        }
        "MaxUnpool" => w::max_unpool(cx)?,
        "Col2Im" => w::col2im(cx)?,

        "CenterCropPad" => l::center_crop_pad(cx)?,
        "Concat" => l::concat(cx)?,
        "DepthToSpace" => l::depth_to_space(cx, false)?,
        "Expand" => l::expand(cx)?,
        "Flatten" => l::flatten(cx)?,
        "Pad" => cx.apply(ops::Pad, &[0, 1, 2, 3])?,
        "Reshape" => l::reshape(cx)?,
        "Shape" => l::shape(cx)?,
        "Size" => l::size(cx)?,
        "SpaceToDepth" => l::depth_to_space(cx, true)?,
        "Split" => l::split(cx)?,
        "Squeeze" => l::squeeze(cx)?,
        "Tile" => l::tile(cx)?,
        "Transpose" => l::transpose(cx)?,
        "Unsqueeze" => l::unsqueeze(cx)?,

        "Compress" => s::compress(cx)?,
        "ConstantOfShape" => s::constant_of_shape(cx)?,
        "Constant" => s::constant(cx)?,
        "Gather" => s::gather(cx)?,
        "GatherElements" => cx.apply(ops::GatherElements, &[0, 1])?,
        "GatherND" => s::gather_nd(cx)?,
        "GridSample" => cx.apply(ops::GridSample, &[0, 1])?,
        "NonMaxSuppression" => cx.apply(ops::NonMaxSuppression, &[0, 1])?,
        "NonZero" => cx.apply(ops::NonZero, &[0])?,
        "OneHot" => s::one_hot(cx)?,
        "Range" => s::arange(cx)?,
        "Resize" => s::resize(cx)?,
        "Slice" => s::slice(cx)?,
        "TopK" => s::top_k(cx)?,
        "Unique" => s::unique(cx)?,

        "AffineGrid" => n::affine_grid(cx)?,
        "Attention" => n::attention(cx)?,
        "BatchNormalization" => n::batch_normalization(cx)?,
        "BlackmanWindow" | "HammingWindow" | "HannWindow" => n::window_function(cx)?,
        "CausalConvWithState" => n::causal_conv(cx)?,
        "DFT" => n::dft(cx)?,
        "Det" => n::determinant(cx)?,
        "DynamicQuantizeLinear" => n::dynamic_quantize(cx)?,
        "GRU" | "LSTM" | "RNN" => n::recurrent(cx)?,
        "ImageDecoder" => n::image_decoder(cx)?,
        "LayerNormalization" => n::layer_normalization(cx)?,
        "SimplifiedLayerNormalization" => n::simplified_layer_normalization(cx)?,
        "LinearAttention" => n::linear_attention(cx)?,
        "MaxRoiPool" => n::max_roi_pool(cx)?,
        "MelWeightMatrix" => n::mel_weight_matrix(cx)?,
        "Multinomial" => n::multinomial(cx)?,
        "NegativeLogLikelihoodLoss" | "SoftmaxCrossEntropyLoss" => n::loss(cx)?,
        "RandomNormal" | "RandomUniform" => n::random(cx)?,
        "RoiAlign" => n::roi_align(cx)?,
        "STFT" => n::stft(cx)?,
        "StringNormalizer" => n::string_normalizer(cx)?,
        "StringSplit" => n::string_split(cx)?,
        "TfIdfVectorizer" => n::tf_idf(cx)?,

        "OptionalHasElement" | "SequenceLength" => vec![Facts::from_shape(vec![])],
        "ConcatFromSequence" | "Optional" | "OptionalGetElement" | "SequenceAt"
        | "SequenceConstruct" | "SequenceEmpty" | "SequenceErase" | "SequenceInsert"
        | "SequenceMap" | "SplitToSequence" => vec![],
        _ => return Ok(None),
    }))
}
