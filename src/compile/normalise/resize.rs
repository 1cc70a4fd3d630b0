//! Upsample and the old forms of Resize.

use super::attributes::floats_to_input;
use super::steps::Step;
use crate::error::{Error, Result};
use crate::graph::{DataType, Node, Tensor, ValueId};

/// Upsample 9: the scales are an input.
pub(super) fn upsample_scales(step: &mut Step) -> Result<()> {
    floats_to_input(step, "scales", 1)
}

/// Upsample is gone: Resize with coordinates scaled about 0 and, since it only ever enlarged,
/// the nearest element at or before.
pub(super) fn upsample(step: &mut Step) -> Result<()> {
    step.node_mut().op = "Resize".to_owned();
    spell_out(step, "floor")
}

/// Resize 11: the modes are attributes. Before, coordinates were scaled about 0, and the nearest
/// element was the one at or before when enlarging, at or after when shrinking.
///
/// The standard left the rounding open; this is what ONNX Runtime does. With scales that are
/// known at run time only, the resize is one that enlarges followed by one that shrinks.
pub(super) fn asymmetric(step: &mut Step) -> Result<()> {
    let nearest = step.node().text("mode")?.is_none_or(|mode| mode == "nearest");
    let scales = step.input(1)?;
    let known = match &step.graph.value(scales).tensor {
        Some(tensor) if !step.graph.inputs.contains(&scales) => Some(tensor.to_floats()?),
        _ => None,
    };
    match known {
        _ if !nearest => spell_out(step, "floor"),
        Some(scales) if scales.iter().all(|&s| s >= 1.0) => spell_out(step, "floor"),
        Some(scales) if scales.iter().all(|&s| s <= 1.0) => spell_out(step, "ceil"),
        _ => enlarge_then_shrink(step, scales),
    }
}

fn enlarge_then_shrink(step: &mut Step, scales: ValueId) -> Result<()> {
    let one = step.constant("one", Tensor::float(DataType::F32, 1.0))?;
    let binary = |op| Node::new(op, vec![Some(scales), Some(one)], vec![]);
    let more = step.emit("enlarge", binary("Max"))?;
    let less = step.emit("shrink", binary("Min"))?;
    let mut enlarge = step.node().clone();
    enlarge.inputs = vec![Some(step.input(0)?), None, Some(more)];
    set_modes(&mut enlarge, "floor");
    let larger = step.emit("enlarged", enlarge)?;
    step.set_input(0, Some(larger));
    step.set_input(1, Some(less));
    spell_out(step, "ceil")
}

/// Moves the scales behind the region input that Resize 11 brought, and names the modes.
fn spell_out(step: &mut Step, nearest: &str) -> Result<()> {
    let scales = step.input(1)?;
    step.set_input(1, None);
    step.set_input(2, Some(scales));
    set_modes(step.node_mut(), nearest);
    Ok(())
}

fn set_modes(node: &mut Node, nearest: &str) {
    node.set("coordinate_transformation_mode", "asymmetric");
    node.set("nearest_mode", nearest);
}

/// Resize 13: region and scales may be left out, which an empty tensor said before, and the
/// coordinate mode `tf_half_pixel_for_nn`, (x + ½)/s, is gone. Rounding that down is rounding
/// half_pixel's (x + ½)/s − ½ to the nearest, halves up.
pub(super) fn half_pixel_for_nearest(step: &mut Step) -> Result<()> {
    for index in [1, 2] {
        let value = step.node().input(index).map(|id| step.graph.value(id));
        if value.and_then(|value| value.tensor.as_deref()).is_some_and(Tensor::is_empty) {
            step.set_input(index, None);
        }
    }
    if step.node().text("coordinate_transformation_mode")? != Some("tf_half_pixel_for_nn") {
        return Ok(());
    }
    if step.node().text("nearest_mode")? != Some("floor") {
        return Err(Error::unsupported(
            "'tf_half_pixel_for_nn' has an equal in newer operator sets only with nearest_mode \
             'floor'",
        )
        .help("export the model for operator set 13 or newer"));
    }
    step.node_mut().set("coordinate_transformation_mode", "half_pixel");
    step.node_mut().set("nearest_mode", "round_prefer_ceil");
    Ok(())
}
