//! The forms of operators that their rules refuse, for the table.

/// An operator, its domain in front where that is not the standard's, and the forms of it that are
/// refused, each by name.
pub(super) const REFUSALS: &[(&str, &str)] = &[
    ("AffineGrid", "a grid of one point along an axis, from corner to corner"),
    ("AveragePool", "auto_pad SAME with dilations"),
    ("BitCast", "to another type"),
    ("CausalConvWithState", "an unknown number of channels"),
    ("Col2Im", "sizes known at run time only"),
    ("Conv", "a kernel of unknown size; auto_pad SAME with strides over an unknown size"),
    ("ConvTranspose", "a kernel of unknown size; auto_pad or output_shape over an unknown size"),
    ("CumProd", "an axis known at run time only"),
    ("CumSum", "an axis known at run time only"),
    ("DFT", "an axis known at run time only"),
    ("DeformConv", "an unknown number of channels"),
    ("Det", "matrices of unknown size, or of more than 64 rows"),
    ("Dropout", "training mode, which is random"),
    ("Einsum", "an output left out whose labels mix small and capital letters"),
    ("GatherND", "index tuples of unknown length"),
    ("LinearAttention", "a number of steps unknown or above 512; heads of unknown size"),
    ("Loop", "a state whose shape changes from round to round"),
    ("LpNormalization", "orders other than 1 and 2"),
    ("LpPool", "auto_pad SAME with dilations"),
    ("MaxPool", "auto_pad SAME with dilations"),
    ("MaxUnpool", "an output_shape other than the windows tell"),
    ("Resize", "scales or crops along an axis whose size stays"),
    ("STFT", "frames of unknown length"),
    ("Scan", "a state whose shape changes from round to round"),
    ("ScatterND", "index tuples of unknown length"),
    ("Slice", "steps or axes known at run time only"),
    ("ai.onnx.preview.FlexAttention", "modifiers that are subgraphs"),
    ("com.microsoft.Attention", "past_sequence_length; do_rotary; a shared cache; masks of rank 4"),
    ("com.microsoft.FusedConv", ACTIVATIONS),
    ("com.microsoft.FusedGemm", ACTIVATIONS),
    ("com.microsoft.MultiHeadAttention", "packed inputs; past_sequence_length; cache_indirection"),
    ("com.microsoft.RotaryEmbedding", "is_packed_batching; a scale other than 1"),
];

const ACTIVATIONS: &str = "activations that the runtime does not fuse itself";

/// Operators that exporters and optimisers leave in files and that have no rule, and why.
pub const WITHOUT_RULE: &[(&str, &str)] = &[
    ("ConvInteger", INTEGERS),
    ("DynamicQuantizeLinear", INTEGERS),
    ("MatMulInteger", INTEGERS),
    ("QLinearConv", INTEGERS),
    ("QLinearMatMul", INTEGERS),
    ("SequenceMap", "its sequences are not followed element by element"),
    ("com.microsoft.DecoderMaskedMultiHeadAttention", CACHE),
    ("com.microsoft.DynamicQuantizeLSTM", INTEGERS),
    ("com.microsoft.DynamicQuantizeMatMul", INTEGERS),
    ("com.microsoft.GroupQueryAttention", CACHE),
    ("com.microsoft.MatMulInteger16", INTEGERS),
    ("com.microsoft.MatMulIntegerToFloat", INTEGERS),
    ("com.microsoft.MatMulNBits", "its weights are packed in a layout of the runtime's own"),
    ("com.microsoft.NhwcMaxPool", LAYOUT),
    ("com.microsoft.QAttention", INTEGERS),
    ("com.microsoft.QGemm", INTEGERS),
    ("com.microsoft.QLinearAdd", INTEGERS),
    ("com.microsoft.QLinearAveragePool", INTEGERS),
    ("com.microsoft.QLinearConcat", INTEGERS),
    ("com.microsoft.QLinearGlobalAveragePool", INTEGERS),
    ("com.microsoft.QLinearLeakyRelu", INTEGERS),
    ("com.microsoft.QLinearMul", INTEGERS),
    ("com.microsoft.QLinearSigmoid", INTEGERS),
    ("com.microsoft.QLinearSoftmax", INTEGERS),
    ("com.microsoft.QOrderedAttention", ORDERED),
    ("com.microsoft.QOrderedGelu", ORDERED),
    ("com.microsoft.QOrderedLayerNormalization", ORDERED),
    ("com.microsoft.QOrderedMatMul", ORDERED),
    ("com.microsoft.nchwc.Conv", LAYOUT),
    ("com.ms.internal.nhwc.Conv", LAYOUT),
];

const INTEGERS: &str = "arithmetic of integers; export the quantised model as QDQ";
const CACHE: &str = "it reads a cache of keys and values that the runtime keeps in place";
const LAYOUT: &str = "a layout of one runtime; take the file before its optimiser";
const ORDERED: &str = "arithmetic of integers in an order of one device";

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::{REFUSALS, WITHOUT_RULE};

    #[test]
    fn each_is_of_an_operator_of_the_table() {
        for (op, _) in REFUSALS {
            assert!(table().any(|entry| entry.operator() == *op), "{op}");
        }
        assert!(REFUSALS.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted, each once");
    }

    #[test]
    fn none_without_a_rule_has_one() {
        for (op, _) in WITHOUT_RULE {
            assert!(table().all(|entry| entry.operator() != *op), "{op}");
        }
        assert!(WITHOUT_RULE.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted, each once");
    }
}
