//! Operators through which no change passes, beside those that stand with their family.
//!
//! The outputs of most hold no floats, or their inputs don't. The others are steps: they are constant
//! almost everywhere, as random draws are where the random numbers are held fixed.

use super::Entry;

pub(super) const RULES: &[Entry] = &[
    Entry::zero("Bernoulli").kink("0 everywhere, the random numbers held fixed"),
    Entry::zero("MelWeightMatrix"),
    without_floats("And"),
    without_floats("ArgMax"),
    without_floats("ArgMin"),
    without_floats("BitShift"),
    without_floats("BitwiseAnd"),
    without_floats("BitwiseNot"),
    without_floats("BitwiseOr"),
    without_floats("BitwiseXor"),
    without_floats("Equal"),
    without_floats("Greater"),
    without_floats("GreaterOrEqual"),
    without_floats("ImageDecoder"),
    without_floats("IsInf"),
    without_floats("IsNaN"),
    without_floats("Less"),
    without_floats("LessOrEqual"),
    without_floats("Multinomial"),
    without_floats("NonMaxSuppression"),
    without_floats("NonZero"),
    without_floats("Not"),
    without_floats("Or"),
    without_floats("RegexFullMatch"),
    without_floats("Shape"),
    without_floats("Size"),
    without_floats("StringConcat"),
    without_floats("StringNormalizer"),
    without_floats("StringSplit"),
    without_floats("Xor"),
    of_no_floats("BlackmanWindow"),
    of_no_floats("Constant"),
    of_no_floats("ConstantOfShape"),
    of_no_floats("HammingWindow"),
    of_no_floats("HannWindow"),
    of_no_floats("RandomNormal"),
    of_no_floats("RandomUniform"),
    of_no_floats("TfIdfVectorizer"),
];

const fn without_floats(op: &'static str) -> Entry {
    Entry::zero(op).kink("its outputs are no floats")
}

const fn of_no_floats(op: &'static str) -> Entry {
    Entry::zero(op).kink("its inputs are no floats")
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, table};
    use crate::compile::{Options, transform};

    /// Every operator of the standard up to operator set 28.
    const STANDARD: &str = "Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool \
        BatchNormalization Bernoulli BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor \
        BlackmanWindow Cast CastLike CausalConvWithState Ceil Celu CenterCropPad Clip Col2Im Compress \
        Concat ConcatFromSequence Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh \
        CumProd CumSum DFT DeformConv DepthToSpace DequantizeLinear Det Div Dropout \
        DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather \
        GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater \
        GreaterOrEqual GridSample GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish \
        Hardmax Identity If ImageDecoder InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization \
        LeakyRelu Less LessOrEqual LinearAttention Log LogSoftmax Loop LpNormalization LpPool MatMul \
        MatMulInteger Max MaxPool MaxRoiPool MaxUnpool Mean MeanVarianceNormalization MelWeightMatrix \
        Min Mish Mod Mul Multinomial Neg NegativeLogLikelihoodLoss NonMaxSuppression NonZero Not OneHot \
        Optional OptionalGetElement OptionalHasElement Or PRelu Pad Pow QLinearConv QLinearMatMul \
        QuantizeLinear RMSNormalization RNN RandomNormal RandomNormalLike RandomUniform \
        RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax \
        ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare RegexFullMatch Relu Reshape Resize \
        ReverseSequence RoiAlign RotaryEmbedding Round STFT Scan Scatter ScatterElements ScatterND Selu \
        SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength \
        SequenceMap Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax SoftmaxCrossEntropyLoss \
        Softplus Softsign SpaceToDepth Split SplitToSequence Sqrt Squeeze StringConcat StringNormalizer \
        StringSplit Sub Sum SwiGLU Swish Tan Tanh TensorScatter TfIdfVectorizer ThresholdedRelu Tile \
        TopK Transpose Trilu Unique Unsqueeze Upsample Where Xor";

    /// Those that are read as others, before the rules.
    const REWRITTEN: [&str; 2] = ["Scatter", "Upsample"];

    /// Those that are refused where a change would pass, since no rule covers them.
    const REFUSED: &[&str] = &[
        "ConcatFromSequence",
        "ConvInteger",
        "DynamicQuantizeLinear",
        "MatMulInteger",
        "Optional",
        "OptionalGetElement",
        "OptionalHasElement",
        "QLinearConv",
        "QLinearMatMul",
        "SequenceAt",
        "SequenceConstruct",
        "SequenceEmpty",
        "SequenceErase",
        "SequenceInsert",
        "SequenceLength",
        "SequenceMap",
        "SplitToSequence",
    ];

    #[test]
    fn every_operator_of_the_standard_is_in_the_table() {
        let known = |op: &&str| {
            table().any(|entry| entry.operator() == **op)
                || REWRITTEN.contains(op)
                || REFUSED.contains(op)
        };
        let missing: Vec<&str> = STANDARD.split_whitespace().filter(|op| !known(op)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(REFUSED.iter().all(|op| table().all(|entry| entry.op != *op)));
    }

    #[test]
    fn no_change_passes() {
        for node in ["Bernoulli (x)", "Floor (x)", "RandomNormalLike (x)", "Multinomial (x)"] {
            let text = "<ir_version: 8, opset_import: [\"\" : 18]>";
            let nodes = format!("i = {node} y = Cast <to = 1> (i)");
            let text = format!("{text} g (float[2, 3] x) => (float[2, 3] y) {{ {nodes} }}");
            let model = crate::onnx::text::parse(&text).expect("a model");
            let error = transform(model, &Options::default()).expect_err("no change arrives");
            assert!(error.to_string().contains("no output of the model changes"), "{error}");
        }
    }

    #[test]
    fn no_operator_has_two_entries() {
        let mut ops: Vec<String> = table().map(Entry::operator).collect();
        ops.sort_unstable();
        assert!(ops.windows(2).all(|pair| pair[0] != pair[1]), "{ops:?}");
    }
}
