//! Products with transpositions, factors, sums and activations fused in.
//!
//! `FusedMatMul: α·op(A)·op(B)`, `FusedGemm: σ(α·op(A)·op(B) + β·C)`, `FusedConv: σ(conv(X, W) + B + Z)`.

use super::{DOMAIN, Entry, Rule, plus};
use crate::compile::build::Expr;
use crate::compile::rules::Inputs::All;
use crate::compile::rules::Shape;
use crate::error::{Error, Result};
use crate::graph::{Attr, ValueId};

pub(in crate::compile::rules) const RULES: &[Entry] = &[
    Entry::exact("FusedMatMul", All, fused_matmul).of(DOMAIN).shaped(Shape::Product),
    Entry::smooth("FusedGemm", All, fused_gemm).of(DOMAIN).kink("that of the activation"),
    Entry::smooth("FusedConv", All, fused_conv).of(DOMAIN).kink("that of the activation"),
];

fn fused_matmul(cx: &Rule) -> Result<()> {
    let (a, b) = (operand(cx, 0, "A")?, operand(cx, 1, "B")?);
    let product = a.binary("MatMul", b);
    let alpha = cx.node.float("alpha")?.map_or(1.0, f64::from);
    let y = if alpha == 1.0 { product } else { product * alpha };
    if cx.tangent(0).is_none() || cx.tangent(1).is_none() {
        cx.homogeneous();
    }
    cx.emit(0, cx.through(y)?);
    Ok(())
}

/// An operand of FusedMatMul as MatMul takes it. With `transBatch` its first axis is that of the rows,
/// or of the columns where `trans` is set too.
fn operand<'e>(cx: &Rule<'e>, index: usize, side: &str) -> Result<Expr<'e>> {
    let x = cx.ranked(index, 1)?;
    let flag = |name: String| cx.node.int(&name).map(|v| v.unwrap_or(0) != 0);
    let rank = x.rank();
    let mut axes: Vec<usize> = (0..rank).collect();
    if rank > 2 && flag(format!("transBatch{side}"))? {
        axes[..rank - 1].rotate_left(1);
    }
    if rank > 1 && flag(format!("trans{side}"))? {
        axes.swap(rank - 2, rank - 1);
    }
    Ok(x.transpose(&axes))
}

/// The attributes of the node called so, for another node.
fn attributes<'n>(cx: &Rule, names: &[&'n str]) -> Vec<(&'n str, Attr)> {
    names.iter().filter_map(|&name| Some((name, cx.node.attr(name)?.clone()))).collect()
}

fn fused_gemm(cx: &Rule) -> Result<()> {
    let c = cx.node.input(2).map(|_| cx.x(2)).transpose()?;
    let inputs: Vec<_> = [Some(cx.x(0)?), Some(cx.x(1)?), c].into_iter().flatten().collect();
    let y = cx.e.op("Gemm", &inputs, &attributes(cx, &["alpha", "beta", "transA", "transB"]));
    let names = ["activation_alpha", "activation_beta", "activation_gamma"];
    let parameters = names.map(|name| cx.node.float(name));
    let [alpha, beta, gamma] = parameters;
    emit_activated(cx, y, &[alpha?, beta?, gamma?])
}

fn fused_conv(cx: &Rule) -> Result<()> {
    let bias = cx.node.input(2).map(|_| cx.x(2)).transpose()?;
    let inputs: [Option<ValueId>; 3] = [Some(cx.x(0)?.id), Some(cx.x(1)?.id), bias.map(|b| b.id)];
    let names = ["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"];
    let given = if bias.is_some() { 3 } else { 2 };
    let conv = cx.e.node("Conv", &inputs[..given], &attributes(cx, &names), 1)[0];
    let parameters = match cx.node.attr("activation_params") {
        None => Vec::new(),
        Some(Attr::Floats(list)) => list.iter().copied().map(Some).collect(),
        Some(_) => {
            return Err(Error::unreadable("attribute 'activation_params' is no list of floats"));
        }
    };
    emit_activated(cx, plus(cx, conv, 3)?, &parameters)
}

/// Emits the activation that the node names, of `y`. An activation's own default takes the place of a
/// parameter that is not given.
fn emit_activated(cx: &Rule, y: Expr, parameters: &[Option<f32>]) -> Result<()> {
    let name = cx.node.text("activation")?.unwrap_or("");
    let names: &[&str] = match name {
        "" | "Relu" | "Sigmoid" | "Softplus" | "Softsign" | "Tanh" => &[],
        "Elu" | "LeakyRelu" | "ThresholdedRelu" => &["alpha"],
        "HardSigmoid" => &["alpha", "beta"],
        "Clip" => {
            let [Some(low), Some(high)] = parameters else {
                return Err(Error::unreadable("Clip needs two parameters"));
            };
            let bounds = [low, high].map(|&bound| y.number(f64::from(bound)));
            cx.emit(0, cx.through(cx.e.op("Clip", &[y, bounds[0], bounds[1]], &[]))?);
            return Ok(());
        }
        other => return cx.refuse(format!("the activation {other:?}")),
    };
    let given = names.iter().zip(parameters).filter_map(|(&name, value)| Some((name, (*value)?)));
    let attributes: Vec<_> = given.map(|(name, value)| (name, Attr::Float(value))).collect();
    let y = if name.is_empty() { y } else { cx.e.op(name, &[y], &attributes) };
    cx.emit(0, cx.through(y)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::compile::rules::testing::{Case, case};

    #[test]
    fn matrix_products_with_every_transposition() {
        for bits in 0..4 {
            let (a, b) = (bits & 1, bits >> 1);
            let of = |dims: &[i64], swap: i64| {
                let mut dims = dims.to_vec();
                let last = dims.len() - 1;
                if swap == 1 {
                    dims.swap(last - 1, last);
                }
                dims
            };
            for (left, right) in
                [(&[2, 3][..], &[3, 4][..]), (&[2, 2, 3], &[2, 3, 1]), (&[2, 3], &[2, 3, 2])]
            {
                let it = || {
                    case("com.microsoft.FusedMatMul")
                        .f32()
                        .ort()
                        .int("transA", a)
                        .int("transB", b)
                        .float("alpha", 0.5)
                };
                let (left, right) = (of(left, a), of(right, b));
                it().input("a", &left).param("b", &right).check();
                it().input("a", &left).input("b", &right).check();
            }
        }
        for (a, b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let it = case("com.microsoft.FusedMatMul").f32().ort();
            let it =
                it.int("transBatchA", 1).int("transBatchB", 1).int("transA", a).int("transB", b);
            let left = if a == 1 { [3, 2, 4] } else { [4, 2, 3] };
            let right = if b == 1 { [5, 2, 3] } else { [3, 2, 5] };
            it.input("a", &left).input("b", &right).check();
        }
        let it = case("com.microsoft.FusedMatMul").f32().ort().int("transB", 1);
        it.input("a", &[2, 3]).dynamic(&["n", ""]).param("b", &[4, 3]).check();
    }

    const ACTIVATIONS: [(&str, &[f32]); 10] = [
        ("Relu", &[]),
        ("Sigmoid", &[]),
        ("Tanh", &[]),
        ("Softplus", &[]),
        ("Softsign", &[]),
        ("LeakyRelu", &[0.2]),
        ("Elu", &[0.5]),
        ("ThresholdedRelu", &[0.3]),
        ("HardSigmoid", &[0.3, 0.4]),
        ("Clip", &[-0.4, 0.7]),
    ];

    #[test]
    fn gemm_with_every_activation() {
        for (name, parameters) in ACTIVATIONS.into_iter().filter(|(name, _)| *name != "Clip") {
            let mut it = case("com.microsoft.FusedGemm").f32().ort().text("activation", name);
            for (attribute, &value) in
                ["activation_alpha", "activation_beta"].iter().zip(parameters)
            {
                it = it.float(attribute, value);
            }
            it.float("alpha", 0.5)
                .float("beta", 2.0)
                .int("transB", 1)
                .input("a", &[2, 3])
                .param("b", &[4, 3])
                .param("c", &[4])
                .check();
        }
        let relu = || case("com.microsoft.FusedGemm").f32().ort().text("activation", "Relu");
        relu().int("transA", 1).input("a", &[3, 2]).input("b", &[3, 4]).check();
        relu().input("a", &[2, 3]).input("b", &[3, 2]).input("c", &[2, 1]).check();
        relu().input("a", &[2, 3]).dynamic(&["n", ""]).param("b", &[3, 2]).check();
    }

    #[test]
    fn convolutions_with_every_activation() {
        let it = || case("com.microsoft.FusedConv").f32().ort();
        for (name, parameters) in ACTIVATIONS {
            let supported = ["Relu", "Sigmoid", "Tanh", "LeakyRelu", "Clip", "HardSigmoid"];
            if supported.contains(&name) {
                let it = it().text("activation", name).numbers("activation_params", parameters);
                it.input("x", &[1, 2, 4, 4]).param("w", &[3, 2, 3, 3]).param("b", &[3]).check();
            }
        }
        let relu = |case: Case| case.text("activation", "Relu");
        let geometry =
            |case: Case| case.ints("pads", &[1, 0, 0, 1]).ints("strides", &[2, 1]).int("group", 2);
        geometry(relu(it())).input("x", &[2, 4, 5, 4]).param("w", &[2, 2, 2, 3]).check();
        relu(it())
            .input("x", &[1, 1, 4, 4])
            .param("w", &[2, 1, 3, 3])
            .param("b", &[2])
            .input("z", &[1, 2, 2, 2])
            .check();
        it().input("x", &[1, 1, 4, 4])
            .dynamic(&["n", "", "h", "w"])
            .param("w", &[2, 1, 3, 3])
            .check();
        let unknown = it().text("activation", "Mystery");
        unknown.input("x", &[1, 1, 4, 4]).param("w", &[2, 1, 3, 3]).refused("Mystery");
    }

    #[test]
    fn snapshots() {
        let it = case("com.microsoft.FusedMatMul").f32().ort().int("transB", 1).float("alpha", 0.5);
        it.input("a", &[2, 3]).param("b", &[4, 3]).snapshot("left");
        let it = case("com.microsoft.FusedGemm").f32().ort().text("activation", "Relu");
        it.input("a", &[2, 3]).param("b", &[3, 4]).param("c", &[4]).snapshot("relu");
        let it = case("com.microsoft.FusedConv").f32().ort().text("activation", "Relu");
        it.input("x", &[1, 1, 4, 4])
            .param("w", &[2, 1, 3, 3])
            .param("b", &[2])
            .input("z", &[1, 2, 2, 2])
            .snapshot("relu");
    }
}
