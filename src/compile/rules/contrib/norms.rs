//! Normalisations with the sum before them fused in.
//!
//! With `z` the sum of some inputs: `y = norm(z)·γ + β`, where `norm` is that of LayerNormalization,
//! or of RMSNormalization in the operators called *Simplified*. Mean, inverse deviation and `z` are
//! outputs too.

use super::{DOMAIN, Entry, Rule, plus};
use crate::compile::build::Expr;
use crate::compile::rules::Inputs::{All, Only};
use crate::compile::rules::reduction::average;
use crate::compile::rules::standardisation::{emit_affine_of, standardise};
use crate::error::{Error, Result};
use crate::graph::Dim;

pub(in crate::compile::rules) const RULES: &[Entry] = &[
    Entry::smooth("SimplifiedLayerNormalization", All, simplified),
    Entry::smooth("SkipLayerNormalization", All, skip).of(DOMAIN),
    Entry::smooth("SkipSimplifiedLayerNormalization", All, skip_simplified).of(DOMAIN),
    Entry::smooth("EmbedLayerNormalization", Only(&[2, 3, 4, 5, 6]), embed).of(DOMAIN),
];

/// What is normalised, and where its parts are.
struct Norm<'e> {
    z: Expr<'e>,
    /// The first normalised axis.
    axis: usize,
    epsilon: f64,
    /// Whether the mean is subtracted.
    centred: bool,
    /// The inputs γ and β; one that is not there where there is none.
    affine: [usize; 2],
    /// The outputs of mean and inverse deviation.
    statistics: [Option<usize>; 2],
    /// The output of `z`.
    sum: Option<usize>,
}

/// No input of a node has this position.
const NONE: usize = usize::MAX;

fn emit(cx: &Rule, norm: &Norm) -> Result<()> {
    let (z, dims) = (norm.z, norm.z.dims());
    let axes: Vec<usize> = (norm.axis..dims.len()).collect();
    let change = cx.maybe_through(z)?;
    let it = standardise(cx, z, change, &axes, norm.epsilon, norm.centred);
    let scale = cx.x(norm.affine[0])?.dims();
    let missing = dims.len().saturating_sub(scale.len());
    let spread: Vec<_> = std::iter::repeat_n(Dim::Value(1), missing).chain(scale).collect();
    emit_affine_of(cx, &it, &dims, &spread, norm.affine)?;
    let (Some(dz), Some(projection)) = (change, it.projection) else { return Ok(()) };
    if let Some(output) = norm.statistics[0].filter(|&i| cx.node.output(i).is_some()) {
        cx.emit(output, average(cx, dz, &axes, true));
    }
    if let Some(output) = norm.statistics[1].filter(|&i| cx.node.output(i).is_some()) {
        cx.emit(output, projection.scale(-(it.root * it.root)));
    }
    if let Some(output) = norm.sum {
        cx.emit(output, dz);
    }
    Ok(())
}

fn epsilon(cx: &Rule, default: f64) -> Result<f64> {
    Ok(cx.node.float("epsilon")?.map_or(default, f64::from))
}

/// The last axis of `z`.
fn last(z: Expr) -> Result<usize> {
    z.rank().checked_sub(1).ok_or_else(|| Error::unreadable("a scalar is not normalised"))
}

fn simplified(cx: &Rule) -> Result<()> {
    let z = cx.x(0)?;
    let axis = cx.axis(cx.node.int("axis")?.unwrap_or(-1), z.rank())?;
    let (epsilon, affine, statistics) = (epsilon(cx, 1e-5)?, [1, NONE], [None, Some(1)]);
    emit(cx, &Norm { z, axis, epsilon, centred: false, affine, statistics, sum: None })
}

fn skip(cx: &Rule) -> Result<()> {
    let z = plus(cx, plus(cx, cx.x(0)?, 1)?, 4)?;
    let (axis, epsilon, statistics) = (last(z)?, epsilon(cx, 1e-12)?, [Some(1), Some(2)]);
    emit(cx, &Norm { z, axis, epsilon, centred: true, affine: [2, 3], statistics, sum: Some(3) })
}

fn skip_simplified(cx: &Rule) -> Result<()> {
    let z = plus(cx, plus(cx, cx.x(0)?, 1)?, 3)?;
    let (axis, epsilon, statistics) = (last(z)?, epsilon(cx, 1e-12)?, [None, Some(2)]);
    emit(
        cx,
        &Norm { z, axis, epsilon, centred: false, affine: [2, NONE], statistics, sum: Some(3) },
    )
}

/// EmbedLayerNormalization: `z` is a row of each table of embeddings, by word, position and segment.
fn embed(cx: &Rule) -> Result<()> {
    let words = cx.raw(0)?;
    let positions = match cx.node.input(8) {
        Some(_) => cx.raw(8)?,
        None => match words.dims().last() {
            Some(steps) => cx.e.range(steps),
            None => return Err(Error::unreadable("the words need rank 2")),
        },
    };
    let mut z = cx.ranked(2, 2)?.gather(words, 0) + cx.ranked(3, 2)?.gather(positions, 0);
    if cx.node.input(1).is_some() && cx.node.input(4).is_some() {
        z = z + cx.ranked(4, 2)?.gather(cx.raw(1)?, 0);
    }
    let (axis, epsilon, statistics) = (last(z)?, epsilon(cx, 1e-12)?, [None, None]);
    emit(cx, &Norm { z, axis, epsilon, centred: true, affine: [5, 6], statistics, sum: Some(2) })
}

#[cfg(test)]
mod tests {
    use crate::compile::rules::testing::{Case, case};

    #[test]
    fn simplified_over_every_axis() {
        for axis in [-2, -1, 1, 2] {
            let it = || case("SimplifiedLayerNormalization").f32().ort().int("axis", axis);
            let scale: &[i64] = if axis == -2 || axis == 1 { &[3, 4] } else { &[4] };
            it().input("x", &[2, 3, 4]).param("s", scale).check();
            it().input("x", &[2, 3, 4]).input("s", scale).check();
            it().input("x", &[2, 3, 4]).param("s", scale).outputs(2).check();
        }
        let it = case("SimplifiedLayerNormalization").f32().ort().float("epsilon", 0.5);
        it.input("x", &[2, 4]).dynamic(&["n", ""]).param("s", &[4]).check();
    }

    /// The case with the sum as its fourth output, where `every` is set.
    fn finish(case: Case, every: bool) {
        if every { case.float("epsilon", 0.25).outputs_at(&[0, 3]) } else { case }.check();
    }

    #[test]
    fn sums_with_skipped_inputs() {
        for skip in [&[2, 3, 4][..], &[1, 3, 4], &[3, 4]] {
            for every in [false, true] {
                let it = || case("com.microsoft.SkipLayerNormalization").f32().ort();
                let whole = || it().input("x", &[2, 3, 4]).input("skip", skip);
                finish(whole().param("g", &[4]), every);
                finish(whole().param("g", &[4]).param("b", &[4]), every);
                finish(whole().param("g", &[4]).param("b", &[4]).param("c", &[4]), every);
                whole().input("g", &[4]).input("b", &[4]).input("c", &[4]).check();
                finish(it().param("x", &[2, 3, 4]).input("skip", skip).param("g", &[4]), every);
            }
        }
        for every in [false, true] {
            for dims in [&[2, 3, 4][..], &[3, 4]] {
                let it = || case("com.microsoft.SkipSimplifiedLayerNormalization").f32().ort();
                let whole = || it().input("x", dims).input("skip", dims);
                finish(whole().param("g", &[4]), every);
                finish(whole().param("g", &[4]).param("c", &[4]), every);
                whole().input("g", &[4]).input("c", &[4]).check();
                finish(whole().param("g", &[4]).input("c", &[4]), every);
            }
        }
        let it = case("com.microsoft.SkipLayerNormalization").f32().ort();
        it.input("x", &[2, 3, 4])
            .dynamic(&["n", "t", ""])
            .param("skip", &[2, 3, 4])
            .param("g", &[4])
            .check();
    }

    #[test]
    fn embeddings() {
        let words = |case: Case| case.ints32("words", &[2, 3], &[0, 4, 1, 2, 2, 3]);
        let it = || words(case("com.microsoft.EmbedLayerNormalization").f32().ort());
        let segments = |case: Case| case.ints32("segments", &[2, 3], &[0, 1, 1, 0, 0, 1]);
        let plain = || it().skip().input("w", &[5, 4]).input("p", &[3, 4]).skip();
        plain().param("g", &[4]).param("b", &[4]).outputs(3).check();
        plain().input("g", &[4]).input("b", &[4]).outputs(2).check();
        let all = || segments(it()).input("w", &[5, 4]).input("p", &[3, 4]).input("s", &[2, 4]);
        all().param("g", &[4]).param("b", &[4]).outputs(2).check();
        let placed = all().param("g", &[4]).param("b", &[4]).skip();
        placed.ints32("at", &[2, 3], &[2, 1, 0, 0, 0, 1]).outputs(2).check();
    }

    #[test]
    fn snapshots() {
        let of = |op: &str| case(op).f32().ort().input("x", &[1, 2, 3]);
        of("SimplifiedLayerNormalization").param("s", &[3]).snapshot("plain");
        let skip = |op: &str| of(op).input("skip", &[1, 2, 3]).param("g", &[3]);
        skip("com.microsoft.SkipLayerNormalization").snapshot("plain");
        skip("com.microsoft.SkipSimplifiedLayerNormalization").snapshot("plain");
        let embed = case("com.microsoft.EmbedLayerNormalization").f32().ort();
        let embed = embed.ints32("words", &[1, 2], &[1, 0]).skip().input("w", &[2, 3]);
        let embed = embed.param("p", &[2, 3]).skip().param("g", &[3]).param("b", &[3]);
        embed.outputs(2).snapshot("plain");
    }
}
