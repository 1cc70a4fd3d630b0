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
    without_floats("ConvInteger"),
    without_floats("Equal"),
    without_floats("Greater"),
    without_floats("GreaterOrEqual"),
    without_floats("ImageDecoder"),
    without_floats("IsInf"),
    without_floats("IsNaN"),
    without_floats("Less"),
    without_floats("LessOrEqual"),
    without_floats("MatMulInteger"),
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
