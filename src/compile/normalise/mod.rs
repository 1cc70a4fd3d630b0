//! Any operator set from 7 up, rewritten to the working one.

/// The operator set that models are raised to; newer models stay at their own.
pub const WORKING_OPSET: i64 = 18;
