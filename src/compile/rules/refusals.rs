//! The forms of operators that their rules refuse, for the table.

/// An operator and the forms of it that are refused, each by name.
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
    ("FlexAttention", "modifiers that are subgraphs"),
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
];

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::REFUSALS;

    #[test]
    fn each_is_of_an_operator_of_the_table() {
        for (op, _) in REFUSALS {
            assert!(table().any(|entry| entry.op == *op), "{op}");
        }
        assert!(REFUSALS.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted, each once");
    }
}
