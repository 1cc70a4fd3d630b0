//! Softmax, LogSoftmax and Hardmax before operator set 13.

use super::known;
use super::steps::Step;
use crate::error::{Error, Result};
use crate::graph::{Node, fixed};

/// Softmax 13: normalises along one axis. Before, the input was seen as a matrix whose rows end
/// where `axis` (1 by default) begins, and each row was normalised.
pub(super) fn flattening(step: &mut Step) -> Result<()> {
    let axis = step.node().int("axis")?.unwrap_or(1);
    if let Some(axis) = single_axis(step, axis)? {
        step.node_mut().set("axis", axis);
        return Ok(());
    }
    let x = step.input(0)?;
    let flatten = Node::new("Flatten", vec![Some(x)], vec![]).with("axis", axis);
    let rows = step.emit("rows", flatten)?;
    step.set_input(0, Some(rows));
    step.node_mut().set("axis", -1);
    let (normal, y) = step.divert(0, "normal")?;
    let shape = step.emit("shape", Node::new("Shape", vec![Some(x)], vec![]))?;
    step.emit_as("reshape", Node::new("Reshape", vec![Some(normal), Some(shape)], vec![]), y)
}

/// The one axis that a row runs along, where the declared shape leaves one only.
fn single_axis(step: &Step, axis: i64) -> Result<Option<i64>> {
    if axis == -1 {
        return Ok(Some(axis));
    }
    let both = [step.node().input(0), step.node().output(0)];
    let declared = both.into_iter().flatten().find_map(|value| step.graph.value(value).dims());
    let known = both.into_iter().flatten().find_map(|value| known::rank(step.graph, value));
    let Some(rank) = declared.as_ref().map(Vec::len).or(known) else { return Ok(None) };
    let first = if axis < 0 { axis + rank as i64 } else { axis };
    if !(0..=rank as i64).contains(&first) {
        return Err(Error::unreadable(format!("axis {axis} is out of range for rank {rank}")));
    }
    if first == rank as i64 - 1 {
        return Ok(Some(-1));
    }
    let Some(dims) = declared else { return Ok(None) };
    let row = dims.iter().enumerate().skip(first as usize);
    let mut long = row.filter(|(_, dim)| fixed(dim) != Some(1)).map(|(index, _)| index as i64);
    Ok(long.next().filter(|_| long.next().is_none()))
}
