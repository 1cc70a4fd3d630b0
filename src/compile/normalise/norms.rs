//! BatchNormalization and MeanVarianceNormalization.

use super::steps::Step;
use crate::error::{Error, Result};

/// BatchNormalization 9: statistics are always per channel; `spatial = 0` had them per element.
pub(super) fn batch_normalization_spatial(step: &mut Step) -> Result<()> {
    if step.node().int("spatial")? == Some(0) {
        return Err(Error::unsupported("spatial = 0 has no equal after operator set 8")
            .help("export the model for operator set 9 or newer"));
    }
    step.node_mut().take("spatial");
    Ok(())
}

/// BatchNormalization 14: an attribute says whether the node trains. Before, further outputs did.
pub(super) fn batch_normalization_mode(step: &mut Step) -> Result<()> {
    if step.node().outputs.iter().skip(1).any(Option::is_some) {
        return Err(Error::unsupported("the node has further outputs, so it is in training mode")
            .help("export the model for inference"));
    }
    Ok(())
}

/// MeanVarianceNormalization 9: axes instead of flags of the experimental operator before.
pub(super) fn mean_variance_axes(step: &mut Step) -> Result<()> {
    if step.node().int("normalize_variance")? == Some(0) {
        return Err(Error::unsupported("normalize_variance = 0 has no equal since operator set 9")
            .help("export the model for operator set 9 or newer"));
    }
    let across = step.node().int("across_channels")? == Some(1);
    step.node_mut().take("normalize_variance");
    step.node_mut().take("across_channels");
    if across {
        step.node_mut().set("axes", vec![0, 1, 2, 3]);
    }
    Ok(())
}
