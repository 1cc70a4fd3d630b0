//! Attributes that became inputs, and other respellings in place.

use super::steps::Step;
use crate::error::{Error, Result};
use crate::graph::{Attr, DataType, Node, Tensor};

/// Moves a list of integers from attribute `name` to input `index`, where it is given.
fn ints_to_input(step: &mut Step, name: &str, index: usize) -> Result<()> {
    let Some(list) = step.node().ints(name)?.map(<[i64]>::to_vec) else { return Ok(()) };
    step.node_mut().take(name);
    let constant = step.constant(name, Tensor::ints(&list))?;
    step.set_input(index, Some(constant));
    Ok(())
}

/// Squeeze, Unsqueeze and ReduceSum 13, the other reductions 18: `axes` is an input. An empty list
/// means all axes, as none does; Unsqueeze alone must have the input.
pub(super) fn axes(step: &mut Step) -> Result<()> {
    if step.node().op != "Unsqueeze" && step.node().ints("axes")?.is_some_and(<[i64]>::is_empty) {
        step.node_mut().take("axes");
    }
    ints_to_input(step, "axes", 1)
}

/// Split 13: the sizes are an input.
pub(super) fn split(step: &mut Step) -> Result<()> {
    ints_to_input(step, "split", 1)
}

/// Split 18: without sizes the number of equal parts is said by an attribute.
pub(super) fn split_count(step: &mut Step) -> Result<()> {
    if step.node().input(1).is_none() && step.node().attr("num_outputs").is_none() {
        let count = step.node().outputs.len() as i64;
        step.node_mut().set("num_outputs", count);
    }
    Ok(())
}

/// Slice 10: starts, ends and axes are inputs.
pub(super) fn slice(step: &mut Step) -> Result<()> {
    ints_to_input(step, "starts", 1)?;
    ints_to_input(step, "ends", 2)?;
    ints_to_input(step, "axes", 3)
}

/// TopK 10: k is an input.
pub(super) fn top_k(step: &mut Step) -> Result<()> {
    let k = step.node().int("k")?.ok_or_else(|| Error::unreadable("attribute 'k' is missing"))?;
    step.node_mut().take("k");
    let k = step.constant("k", Tensor::ints(&[k]))?;
    step.set_input(1, Some(k));
    Ok(())
}

/// Pad 11: the pads and the value are inputs; the value has the type of the data.
pub(super) fn pad(step: &mut Step) -> Result<()> {
    ints_to_input(step, "pads", 1)?;
    let value = step.node().float("value")?.unwrap_or(0.0);
    step.node_mut().take("value");
    if value != 0.0 {
        let value = step.scalar_like(step.input(0)?, "value", value)?;
        step.set_input(2, Some(value));
    }
    Ok(())
}

/// Clip 11: the bounds are inputs of the type of the data.
pub(super) fn clip_bounds(step: &mut Step) -> Result<()> {
    for (index, name) in [(1, "min"), (2, "max")] {
        if let Some(bound) = step.node().float(name)? {
            step.node_mut().take(name);
            let bound = step.scalar_like(step.input(0)?, name, bound)?;
            step.set_input(index, Some(bound));
        }
    }
    Ok(())
}

/// Dropout 10: the mask is Boolean; it was of the type of the data. Outside training it says that
/// all is kept, as the standard spells out since 12.
pub(super) fn dropout_mask(step: &mut Step) -> Result<()> {
    let used = step.node().output(1).is_some_and(|mask| {
        !step.graph.consumers(mask).is_empty() || step.graph.outputs.contains(&mask)
    });
    if used {
        let data = step.input(0)?;
        let (mask, old) = step.divert(1, "mask")?;
        let cast = Node::new("CastLike", vec![Some(mask), Some(data)], vec![]);
        step.emit_as("mask", cast, old)?;
    }
    Ok(())
}

/// Dropout 12: the ratio is an input; without `training_mode` nothing is dropped.
pub(super) fn dropout_ratio(step: &mut Step) -> Result<()> {
    if let Some(ratio) = step.node().float("ratio")? {
        step.node_mut().take("ratio");
        let ratio = step.constant("ratio", Tensor::float(DataType::F32, ratio.into()))?;
        step.set_input(1, Some(ratio));
    }
    Ok(())
}

/// RoiAlign 16: regions are shifted by half a pixel unless the mode says otherwise; before they
/// never were.
pub(super) fn roi_align_mode(step: &mut Step) -> Result<()> {
    step.node_mut().set("coordinate_transformation_mode", "output_half_pixel");
    Ok(())
}

/// Scatter 11 is called ScatterElements.
pub(super) fn scatter(step: &mut Step) -> Result<()> {
    step.node_mut().op = "ScatterElements".to_owned();
    Ok(())
}

/// Moves the floats of attribute `name` to input `index`.
pub(super) fn floats_to_input(step: &mut Step, name: &str, index: usize) -> Result<()> {
    let list: Vec<f64> = match step.node_mut().take(name) {
        Some(Attr::Floats(list)) => list.into_iter().map(f64::from).collect(),
        _ => return Err(Error::unreadable(format!("attribute '{name}' is no list of floats"))),
    };
    let tensor = Tensor::floats(DataType::F32, vec![list.len() as i64], &list);
    let constant = step.constant(name, tensor)?;
    step.set_input(index, Some(constant));
    Ok(())
}
