//! Normalisations by the statistics of the input itself.
//!
//! With `x̂ = (x − μ)·r`, `r = 1/√(σ² + ε)` over some axes:
//! `dx̂ = r·(dx − mean(dx) − x̂·mean(x̂ ⊙ dx))`, and `y = x̂·scale + B` gives
//! `dy = scale·dx̂ + x̂·dscale + dB`. Without the mean (`RMSNormalization`) its term falls away.
//! `MeanVarianceNormalization: y = (x − μ)/(σ + ε)`. `BatchNormalization` in training mode is over the
//! batch.
//! `LpNormalization: y = x/n`, `dy = (dx − y·Σ(g ⊙ dx))/n` with `g = y` for p = 2 and `sign(x)` for
//! p = 1.

use super::Inputs::{All, First};
use super::reduction::average;
use super::{Entry, Rule, Tangent};
use crate::compile::build::Expr;
use crate::error::{Error, Result};
use crate::graph::{Dim, fixed};

pub(super) const RULES: &[Entry] = &[
    Entry::smooth("LayerNormalization", All, layer_normalization),
    Entry::smooth("RMSNormalization", All, rms_normalization),
    Entry::smooth("InstanceNormalization", All, instance_normalization),
    Entry::smooth("GroupNormalization", All, group_normalization),
    Entry::smooth("MeanVarianceNormalization", First, mean_variance_normalization)
        .kink("that of the deviation is 0 where it is 0"),
    Entry::smooth("LpNormalization", First, lp_normalization).kink("0 where the norm is 0"),
];

/// The standardised input, what it was multiplied with, and its change if it has one.
pub(super) struct Standardised<'r, 'e> {
    pub value: Expr<'e>,
    pub root: Expr<'e>,
    pub change: Option<Tangent<'r, 'e>>,
    pub projection: Option<Tangent<'r, 'e>>,
}

/// Standardises `x` over `axes`; `dx` is its change, `centred` whether the mean is subtracted.
pub(super) fn standardise<'r, 'e>(
    cx: &Rule<'e>,
    x: Expr<'e>,
    dx: Option<Tangent<'r, 'e>>,
    axes: &[usize],
    epsilon: f64,
    centred: bool,
) -> Standardised<'r, 'e> {
    let middle = if centred { x - x.reduce("ReduceMean", axes, true) } else { x };
    let power = (middle * middle).reduce("ReduceMean", axes, true);
    let root = (power + epsilon).unary("Sqrt").unary("Reciprocal");
    let value = middle * root;
    let dims = x.dims();
    let projection = dx.map(|dx| average(cx, dx.scale(value), axes, true));
    let change = dx.zip(projection).map(|(dx, projection)| {
        let along = projection.broadcast(&dims).scale(value);
        let free = match centred {
            true => dx - average(cx, dx, axes, true).broadcast(&dims),
            false => dx,
        };
        (free - along).scale(root)
    });
    Standardised { value, root, change, projection }
}

/// Emits `y = x̂·scale + B`, where scale and bias are inputs 1 and 2 under the dimensions `affine`.
fn emit_affine<'r, 'e>(
    cx: &'r Rule<'e>,
    it: &Standardised<'r, 'e>,
    dims: &[Dim],
    affine: &[Dim],
) -> Result<()> {
    emit_affine_of(cx, it, dims, affine, [1, 2])
}

/// [`emit_affine`] where scale and bias are the inputs `scale` and `bias`.
pub(super) fn emit_affine_of<'r, 'e>(
    cx: &'r Rule<'e>,
    it: &Standardised<'r, 'e>,
    dims: &[Dim],
    affine: &[Dim],
    [scale, bias]: [usize; 2],
) -> Result<()> {
    for index in [scale, bias] {
        let used = if index == scale {
            cx.node.input(index).is_some()
        } else {
            cx.tangent(index).is_some()
        };
        if used {
            cx.check_spread(index, affine, dims)?;
        }
    }
    let dtype = it.value.dtype();
    let wide = |change: Tangent<'r, 'e>| change.cast(dtype).reshape(affine).broadcast(dims);
    let mut parts = Vec::new();
    if let Some(change) = it.change {
        parts.push(match cx.node.input(scale) {
            Some(_) => change.scale(cx.x(scale)?.reshape(affine)),
            None => change,
        });
    }
    parts.extend(cx.tangent(scale).map(|dscale| wide(dscale).scale(it.value)));
    parts.extend(cx.tangent(bias).map(wide));
    if let Some(total) = Tangent::sum_of(&parts) {
        cx.emit(0, total.reshape(&cx.y_dims(0)?));
    }
    Ok(())
}

fn epsilon(cx: &Rule) -> Result<f64> {
    Ok(cx.node.float("epsilon")?.map_or(f64::from(1e-5_f32), f64::from))
}

/// The axes from attribute `axis` on, and the dimensions of scale and bias broadcast to the input.
fn trailing(cx: &Rule, dims: &[Dim]) -> Result<Vec<usize>> {
    let axis = cx.axis(cx.node.int("axis")?.unwrap_or(-1), dims.len())?;
    Ok((axis..dims.len()).collect())
}

fn aligned(cx: &Rule, rank: usize) -> Result<Vec<Dim>> {
    let dims = match cx.node.input(1) {
        Some(_) => cx.x(1)?.dims(),
        None => Vec::new(),
    };
    let missing = rank.saturating_sub(dims.len());
    Ok(std::iter::repeat_n(Dim::Value(1), missing).chain(dims).collect())
}

fn layer_normalization(cx: &Rule) -> Result<()> {
    let x = cx.x(0)?;
    let dims = x.dims();
    let axes = trailing(cx, &dims)?;
    let it = standardise(cx, x, cx.tangent(0), &axes, epsilon(cx)?, true);
    emit_affine(cx, &it, &dims, &aligned(cx, dims.len())?)?;
    if let (Some(dx), Some(projection)) = (cx.tangent(0), it.projection) {
        if cx.node.output(1).is_some() {
            cx.emit(1, average(cx, dx, &axes, true).cast(cx.y(1)?.dtype()));
        }
        if cx.node.output(2).is_some() {
            cx.emit(2, projection.scale(-(it.root * it.root)).cast(cx.y(2)?.dtype()));
        }
    }
    Ok(())
}

fn rms_normalization(cx: &Rule) -> Result<()> {
    let x = cx.x(0)?;
    let dims = x.dims();
    let axes = trailing(cx, &dims)?;
    let it = standardise(cx, x, cx.tangent(0), &axes, epsilon(cx)?, false);
    emit_affine(cx, &it, &dims, &aligned(cx, dims.len())?)
}

/// `[1, C, 1…]` for a vector of `C` channels.
fn by_channel(dims: &[Dim]) -> Vec<Dim> {
    let mut affine = vec![Dim::Value(1); dims.len()];
    affine[1] = dims[1].clone();
    affine
}

fn instance_normalization(cx: &Rule) -> Result<()> {
    let x = cx.ranked(0, 3)?;
    let dims = x.dims();
    let axes: Vec<usize> = (2..dims.len()).collect();
    let it = standardise(cx, x, cx.tangent(0), &axes, epsilon(cx)?, true);
    emit_affine(cx, &it, &dims, &by_channel(&dims))
}

/// GroupNormalization: scale and bias by group before operator set 21, by channel from it on.
fn group_normalization(cx: &Rule) -> Result<()> {
    let x = cx.ranked(0, 2)?;
    let dims = x.dims();
    let groups = cx.node.int("num_groups")?.and_then(|g| i32::try_from(g).ok()).unwrap_or(0);
    if groups < 1 {
        return cx.refuse("attribute 'num_groups' is no positive number");
    }
    if let Some(channels) = fixed(&dims[1]).filter(|channels| channels % i64::from(groups) != 0) {
        return Err(Error::unreadable(format!("{channels} channels in {groups} groups")));
    }
    let depth = (dims[1].clone() / Dim::Value(groups)).simplify();
    let mut grouped = vec![dims[0].clone(), Dim::Value(groups), depth.clone()];
    grouped.extend_from_slice(&dims[2..]);
    let axes: Vec<usize> = (2..grouped.len()).collect();
    let dx = cx.tangent(0).map(|dx| dx.reshape(&grouped));
    let it = standardise(cx, x.reshape(&grouped), dx, &axes, epsilon(cx)?, true);
    let mut affine = vec![Dim::Value(1); grouped.len()];
    affine[1] = Dim::Value(groups);
    if cx.e.opset() >= 21 {
        affine[2] = depth;
    }
    emit_affine(cx, &it, &grouped, &affine)
}

/// BatchNormalization by the statistics `μ, σ²` of the batch, and the running ones: with momentum `m`
/// they are `m·mean + (1 − m)·μ` and `m·var + (1 − m)·σ²`, and `dσ² = 2·mean((x − μ) ⊙ dx)`.
pub(super) fn batch_in_training(cx: &Rule) -> Result<()> {
    let x = cx.ranked(0, 2)?;
    let dims = x.dims();
    let axes: Vec<usize> = (0..dims.len()).filter(|&axis| axis != 1).collect();
    let it = standardise(cx, x, cx.tangent(0), &axes, epsilon(cx)?, true);
    emit_affine(cx, &it, &dims, &by_channel(&dims))?;
    let momentum = cx.node.float("momentum")?.map_or(f64::from(0.9_f32), f64::from);
    let mean = cx.tangent(0).map(|dx| average(cx, dx, &axes, false));
    let spread = it.projection.map(|along| along.scale(it.root.number(2.0) / it.root));
    for (output, input, change) in [(1, 3, mean), (2, 4, spread)] {
        if cx.node.output(output).is_none() {
            continue;
        }
        let (dtype, dims) = (cx.y(output)?.dtype(), cx.y_dims(output)?);
        let mut parts = Vec::new();
        parts.extend(cx.tangent(input).map(|running| running.cast(dtype).times(momentum)));
        parts.extend(change.map(|own| own.cast(dtype).reshape(&dims).times(1.0 - momentum)));
        if let Some(total) = Tangent::sum_of(&parts) {
            cx.emit(output, total);
        }
    }
    Ok(())
}

/// MeanVarianceNormalization: `y = (x − μ)/(σ + ε)`, so `dσ = mean((x − μ) ⊙ dx)/σ`.
fn mean_variance_normalization(cx: &Rule) -> Result<()> {
    let (dx, x) = (cx.dx(0)?, cx.x(0)?);
    let dims = x.dims();
    let axes = cx.node.ints("axes")?.unwrap_or(&[0, 2, 3]);
    let mut axes = axes.iter().map(|&a| cx.axis(a, dims.len())).collect::<Result<Vec<_>>>()?;
    axes.sort_unstable();
    axes.dedup();
    if axes.is_empty() {
        return cx.refuse("a normalisation over no axes");
    }
    let middle = x - x.reduce("ReduceMean", &axes, true);
    let deviation = (middle * middle).reduce("ReduceMean", &axes, true).unary("Sqrt");
    let share = (deviation + 1e-9).unary("Reciprocal");
    let zero = x.number(0.0);
    let flat = deviation.binary("Equal", zero);
    let steep = middle * zero.where_(flat, deviation.unary("Reciprocal"));
    let spread = average(cx, dx.scale(steep), &axes, true).broadcast(&dims);
    let free = dx - average(cx, dx, &axes, true).broadcast(&dims);
    cx.emit(0, (free - spread.scale(middle * share)).scale(share));
    Ok(())
}

fn lp_normalization(cx: &Rule) -> Result<()> {
    let (dx, x, y) = (cx.dx(0)?, cx.x(0)?, cx.y(0)?);
    let axis = cx.axis(cx.node.int("axis")?.unwrap_or(-1), dx.rank())?;
    let (norm, gradient) = match cx.node.int("p")?.unwrap_or(2) {
        1 => (x.unary("Abs").reduce("ReduceSum", &[axis], true), x.unary("Sign")),
        2 => ((x * x).reduce("ReduceSum", &[axis], true).unary("Sqrt"), y),
        p => return cx.refuse(format!("a norm of order {p}")),
    };
    let none = norm.binary("Equal", norm.number(0.0));
    let share = norm.number(0.0).where_(none, norm.unary("Reciprocal"));
    let pull = dx.scale(gradient).sum(&[axis], true).broadcast(&dx.dims()).scale(y);
    cx.emit(0, (dx - pull).scale(share));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::compile::rules::testing::case;

    #[test]
    fn layer_normalization_over_every_axis_and_output() {
        for axis in [-3, -2, -1, 0, 1, 2] {
            let from = if axis < 0 { axis + 3 } else { axis };
            let scale = &[2, 3, 4][from as usize..];
            let layer = || case("LayerNormalization").f32().int("axis", axis);
            layer().input("x", &[2, 3, 4]).param("scale", scale).check();
            layer().input("x", &[2, 3, 4]).input("scale", scale).input("b", scale).check();
        }
        case("LayerNormalization")
            .f32()
            .outputs(3)
            .input("x", &[3, 4])
            .param("s", &[4])
            .float("epsilon", 0.5)
            .check();
    }

    #[test]
    fn instance_and_group_normalization() {
        let instance = || case("InstanceNormalization").f32();
        instance().input("x", &[2, 3, 4]).param("s", &[3]).param("b", &[3]).check();
        instance().input("x", &[1, 2, 3, 2]).input("s", &[2]).input("b", &[2]).check();
        for (opset, size) in [(18, 2), (21, 4)] {
            let group = || case("GroupNormalization").f32().opset(opset).int("num_groups", 2);
            group().input("x", &[2, 4, 3]).param("s", &[size]).param("b", &[size]).check();
            group().input("x", &[1, 4, 2, 2]).input("s", &[size]).input("b", &[size]).check();
        }
    }

    #[test]
    fn rms_and_lp_normalization() {
        for axis in [-1, 1, -2] {
            let scale: &[i64] = if axis == -2 || axis == 1 { &[3, 4] } else { &[4] };
            let rms = || case("RMSNormalization").f32().opset(23).int("axis", axis);
            rms().input("x", &[2, 3, 4]).param("s", scale).check();
            rms().input("x", &[2, 3, 4]).input("s", scale).check();
        }
        for axis in [-1, 0, 1] {
            for p in [1, 2] {
                case("LpNormalization")
                    .f32()
                    .input("x", &[2, 3])
                    .int("axis", axis)
                    .int("p", p)
                    .check();
            }
        }
    }

    #[test]
    fn scales_and_biases_alone() {
        for (x, scale) in [(&[2, 3, 4][..], &[4][..]), (&[2, 3], &[1]), (&[2, 3], &[])] {
            let of = |op: &str| case(op).f32().param("x", x).input("s", scale);
            of("LayerNormalization").input("b", scale).reference().check();
            of("RMSNormalization").opset(23).reference().check();
        }
        for op in ["InstanceNormalization", "GroupNormalization"] {
            let it = case(op).f32().param("x", &[2, 4, 3]).input("s", &[4]).input("b", &[4]);
            if op == "GroupNormalization" { it.int("num_groups", 2).opset(21) } else { it }.check();
        }
        let last = case("LayerNormalization").f32().input("x", &[2, 3]).param("s", &[3]);
        last.param("b", &[3]).outputs(3).check();
    }

    #[test]
    fn another_runtime_agrees() {
        let mean = case("MeanVarianceNormalization").f32().input("x", &[2, 3, 2, 2]);
        mean.ort().check();
        let layer = case("LayerNormalization").f32().input("x", &[2, 3, 4]).input("s", &[4]);
        layer.input("b", &[4]).ort().check();
    }

    #[test]
    fn mean_variance_normalization_over_every_axis() {
        let of =
            |dims: &[i64]| case("MeanVarianceNormalization").f32().input("x", dims).reference();
        of(&[2, 3, 2, 2]).check();
        of(&[1, 2, 3, 2]).check();
        for axes in [&[0][..], &[1], &[-1], &[0, 2], &[2, 1], &[0, 1, 2]] {
            of(&[3, 4, 3]).ints("axes", axes).check();
            of(&[3, 3, 4]).dynamic(&["n", "", "t"]).ints("axes", axes).check();
        }
        of(&[2, 3]).refused("axis 2");
        of(&[2, 3]).ints("axes", &[]).refused("over no axes");
        let flat = of(&[1, 2]).values(&[1.5, 1.5]).ints("axes", &[1]);
        flat.jacobian(&[&[5e8, -5e8], &[-5e8, 5e8]]);
    }

    #[test]
    fn malformed_inputs_are_refused() {
        let of = |op: &str, dims: &[i64]| case(op).input("x", dims).param("s", &[2]);
        for op in ["InstanceNormalization", "GroupNormalization"] {
            let groups = |it: crate::compile::rules::testing::Case| it.int("num_groups", 1);
            groups(of(op, &[3]).param("b", &[2])).refused("rank 1");
            groups(of(op, &[]).param("b", &[2])).refused("rank 0");
        }
        of("InstanceNormalization", &[2, 2]).param("b", &[2]).refused("rank 2, 3 is needed");
        let uneven = of("GroupNormalization", &[1, 5, 2]).param("b", &[2]).int("num_groups", 2);
        uneven.refused("5 channels in 2 groups");
        of("InstanceNormalization", &[2, 3, 2]).param("b", &[2]).refused("over a tensor");
        of("LayerNormalization", &[2, 3]).refused("over a tensor");
    }

    #[test]
    fn snapshots() {
        case("LayerNormalization").f32().input("x", &[2, 3]).param("s", &[3]).snapshot("plain");
        case("RMSNormalization")
            .f32()
            .opset(23)
            .input("x", &[2, 3])
            .param("s", &[3])
            .snapshot("plain");
        case("LpNormalization").f32().input("x", &[2, 3]).snapshot("plain");
        let mean = case("MeanVarianceNormalization").f32().input("x", &[2, 3]);
        mean.reference().ints("axes", &[1]).snapshot("plain");
        for op in ["InstanceNormalization", "GroupNormalization"] {
            let it = case(op).f32().input("x", &[2, 2, 3]).param("s", &[2]).param("b", &[2]);
            if op == "GroupNormalization" { it.int("num_groups", 2) } else { it }.snapshot("plain");
        }
    }
}
