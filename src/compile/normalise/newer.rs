//! Changes after the working operator set, for models that mix operator sets.

use super::steps::Step;
use crate::error::{Error, Result};
use crate::graph::Tensor;

/// DFT 20: the axis is an input, and its default is another.
pub(super) fn dft_axis(step: &mut Step) -> Result<()> {
    let axis = step.node().int("axis")?.unwrap_or(1);
    step.node_mut().take("axis");
    let axis = step.constant("axis", Tensor::int(axis))?;
    step.set_input(2, Some(axis));
    Ok(())
}

/// GridSample 20: the modes lost their "bi".
pub(super) fn grid_sample_mode(step: &mut Step) -> Result<()> {
    let mode = match step.node().text("mode")? {
        Some("bilinear") => "linear",
        Some("bicubic") => "cubic",
        _ => return Ok(()),
    };
    step.node_mut().set("mode", mode);
    Ok(())
}

/// GroupNormalization 21: scale and bias are per channel; they were per group.
pub(super) fn group_normalization(_: &mut Step) -> Result<()> {
    Err(Error::unsupported(
        "the model mixes operator sets before and after 21, where this operator changed",
    )
    .help("export the model and its functions for one operator set"))
}
