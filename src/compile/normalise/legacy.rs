//! Operators that went before operator set 10.

use super::steps::Step;
use crate::error::{Error, Result};
use crate::graph::{Attr, DataType, Node, Tensor, ValueId};

/// Lets `op` of the node's input and `operand` take the node's place.
fn replace(step: &mut Step, op: &str, operand: ValueId) {
    let node = step.node_mut();
    node.op = op.to_owned();
    node.attributes.clear();
    step.set_input(1, Some(operand));
}

/// Multiplies the node's input by a scalar.
fn scale_input(step: &mut Step, role: &str, scalar: f32) -> Result<()> {
    let x = step.input(0)?;
    let scalar = step.scalar_like(x, role, scalar)?;
    let result = step.emit("scaled", Node::new("Mul", vec![Some(x), Some(scalar)], vec![]))?;
    step.set_input(0, Some(result));
    Ok(())
}

fn float(step: &Step, name: &str, default: f32) -> Result<f32> {
    Ok(step.node().float(name)?.unwrap_or(default))
}

/// Affine is alpha · x + beta.
pub(super) fn affine(step: &mut Step) -> Result<()> {
    let (alpha, beta) = (float(step, "alpha", 1.0)?, float(step, "beta", 0.0)?);
    scale_input(step, "alpha", alpha)?;
    let beta = step.scalar_like(step.input(0)?, "beta", beta)?;
    replace(step, "Add", beta);
    Ok(())
}

/// Scale is scale · x.
pub(super) fn scale(step: &mut Step) -> Result<()> {
    let scale = float(step, "scale", 1.0)?;
    let scale = step.scalar_like(step.input(0)?, "scale", scale)?;
    replace(step, "Mul", scale);
    Ok(())
}

/// ScaledTanh is alpha · tanh(beta · x).
pub(super) fn scaled_tanh(step: &mut Step) -> Result<()> {
    scaled_outside(step, "Tanh")
}

/// ParametricSoftplus is alpha · ln(1 + exp(beta · x)).
pub(super) fn parametric_softplus(step: &mut Step) -> Result<()> {
    scaled_outside(step, "Softplus")
}

/// alpha · op(beta · x).
fn scaled_outside(step: &mut Step, op: &str) -> Result<()> {
    let (alpha, beta) = (float(step, "alpha", 1.0)?, float(step, "beta", 1.0)?);
    scale_input(step, "beta", beta)?;
    let inner = Node::new(op, vec![Some(step.input(0)?)], vec![]);
    let inner = step.emit("inner", inner)?;
    step.set_input(0, Some(inner));
    let alpha = step.scalar_like(inner, "alpha", alpha)?;
    replace(step, "Mul", alpha);
    Ok(())
}

/// ImageScaler is scale · x + bias, one bias a channel of an image.
pub(super) fn image_scaler(step: &mut Step) -> Result<()> {
    let bias: Vec<f64> = match step.node().attr("bias") {
        Some(Attr::Floats(bias)) => bias.iter().map(|&b| b.into()).collect(),
        _ => return Err(Error::unreadable("attribute 'bias' is no list of floats")),
    };
    let scale = float(step, "scale", 1.0)?;
    scale_input(step, "scale", scale)?;
    let x = step.input(0)?;
    let dims = vec![bias.len() as i64, 1, 1];
    let bias = step.constant("bias", Tensor::floats(DataType::F32, dims, &bias))?;
    let cast = Node::new("CastLike", vec![Some(bias), Some(x)], vec![]);
    let bias = step.emit("bias/cast", cast)?;
    replace(step, "Add", bias);
    Ok(())
}

/// Scan 9 has no batch axis and no sequence lengths; the Scan before had both.
pub(super) fn batched_scan(_: &mut Step) -> Result<()> {
    Err(Error::unsupported("the batched Scan of operator set 8 has no equal in newer ones")
        .help("export the model for operator set 9 or newer"))
}
