//! Fourier transforms, linear in the signal: `y[k] = Σ_n exp(∓2πi·kn/N)·x[n]`, over `N` points of
//! which the input gives the first. Complex numbers are pairs on the last axis, and a real signal
//! has one entry there, so the map is a tensor `F[k, d, n, c]` of cosines and sines, made at run time
//! from whole numbers: `kn mod N` is exact for any length.
//!
//! `DFT` inverse and one-sided takes the first half of a spectrum and gives a real signal: each
//! frequency but the first, and the middle one of an even length, stands for two. `STFT` multiplies
//! the frames of a signal by a window before; it is linear in the window too.

use super::Inputs::{First, Only};
use super::sampling::size_as_int;
use super::{Entry, Rule, Shape};
use crate::compile::build::{Emit, Expr};
use crate::error::{Error, Result};
use crate::graph::{DataType, Dim, fixed};

pub(super) const RULES: &[Entry] = &[
    Entry::exact("DFT", First, dft),
    Entry::exact("STFT", Only(&[0, 2]), stft).shaped(Shape::Multilinear),
];

/// A transform between `frequencies` and `times`, each counted from 0.
struct Transform<'e> {
    e: &'e Emit,
    dtype: DataType,
    /// N, an int64 scalar.
    length: Expr<'e>,
    outputs: Dim,
    inputs: Dim,
    inverse: bool,
    /// The input is half of a spectrum.
    halved: bool,
    /// The input may be longer than N.
    cut: bool,
}

impl<'e> Transform<'e> {
    /// `F` of dimensions `[outputs, parts out, inputs, parts in]`.
    fn map(&self, parts_out: i64, parts_in: i64) -> Result<Expr<'e>> {
        let (e, one) = (self.e, Dim::Value(1));
        let k = e.range(&self.outputs).reshape(&[self.outputs.clone(), one.clone()]);
        let n = e.range(&self.inputs);
        let turn = (k * n).binary("Mod", self.length).cast(self.dtype);
        let length = self.length.cast(self.dtype);
        let angle = turn * std::f64::consts::TAU / length;
        let (mut cos, mut sin) = (angle.unary("Cos"), angle.unary("Sin"));
        if let Some(share) = self.share(n) {
            (cos, sin) = (cos * share, sin * share);
        }
        if self.inverse {
            (cos, sin) = (cos / length, -sin / length);
        }
        // (a + bi)·(cos − i·sin), by part of the output and of the input.
        let part = |out: i64, part: i64| match (out, part) {
            (0, 0) | (1, 1) => Ok(cos),
            (0, 1) => Ok(sin),
            (1, 0) => Ok(-sin),
            _ => Err(Error::unreadable("a complex number has two parts")),
        };
        let dims = [self.outputs.clone(), one.clone(), self.inputs.clone(), one];
        let row = |out: i64| -> Result<Expr<'e>> {
            let parts = (0..parts_in).map(|p| Ok(part(out, p)?.reshape(&dims)));
            Ok(Expr::concat(&parts.collect::<Result<Vec<_>>>()?, 3))
        };
        let rows = (0..parts_out).map(row).collect::<Result<Vec<_>>>()?;
        Ok(Expr::concat(&rows, 1))
    }

    /// How often each input counts, where it is not once.
    fn share(&self, n: Expr<'e>) -> Option<Expr<'e>> {
        let e = self.e;
        let whole = |holds: Expr<'e>| holds.indicator(self.dtype);
        if !self.halved {
            return self.cut.then(|| whole(n.binary("Less", self.length)));
        }
        let twice = n * e.int(2);
        let first = whole(n.binary("Less", e.int(1)));
        let below = whole(twice.binary("Less", self.length)) * 2.0 - first;
        Some(below + whole(twice.binary("Equal", self.length)))
    }
}

/// The sizes of the last axis of an input and an output, 1 or 2.
fn parts(dims: &[Dim]) -> Result<i64> {
    match dims.last().and_then(fixed) {
        Some(n @ (1 | 2)) => Ok(n),
        _ => Err(Error::unsupported("the last axis is not known to have 1 or 2 entries")
            .help("fix that dimension in the model")),
    }
}

/// A scalar int64 input, or what stands for it where it is left out.
fn scalar<'e>(cx: &Rule<'e>, index: usize, default: &Dim) -> Result<(Expr<'e>, Option<i64>)> {
    if cx.node.input(index).is_none() {
        return Ok((size_as_int(cx.e, default), fixed(default)));
    }
    let known = cx.known(index)?.and_then(|values| values.first().copied());
    match known {
        Some(n) => Ok((cx.e.int(n), Some(n))),
        None => Ok((cx.raw(index)?.cast(DataType::I64).reshape(&[]), None)),
    }
}

fn flag(cx: &Rule, name: &str, default: i64) -> Result<bool> {
    Ok(cx.node.int(name)?.unwrap_or(default) != 0)
}

fn dft(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let (x, y_dims) = (cx.ranked(0, 2)?, cx.y_dims(0)?);
    let x_dims = x.dims();
    let axis = match cx.node.input(2) {
        Some(_) => match cx.known(2)?.as_deref() {
            Some(&[axis]) => axis,
            _ => return cx.refuse("the axis of the transform is only known at run time"),
        },
        None if cx.e.opset() >= 20 => -2,
        None => cx.node.int("axis")?.unwrap_or(1),
    };
    let axis = cx.axis(axis, x_dims.len())?;
    if axis + 1 == x_dims.len() || y_dims.len() != x_dims.len() {
        return Err(Error::unreadable("the last axis holds the parts of complex numbers"));
    }
    let (inverse, onesided) = (flag(cx, "inverse", 0)?, flag(cx, "onesided", 0)?);
    let inputs = x_dims[axis].clone();
    let halved = inverse && onesided;
    let default = match halved {
        true => ((inputs.clone() - Dim::Value(1)) * Dim::Value(2)).simplify(),
        false => inputs.clone(),
    };
    let (length, known) = scalar(cx, 1, &default)?;
    if known.is_some_and(|n| n < 1) {
        return Err(Error::unreadable("the length of the transform is not positive"));
    }
    let outputs = y_dims[axis].clone();
    let dtype = x.dtype();
    let cut = cx.node.input(1).is_some()
        && fixed(&inputs).zip(known).is_none_or(|(inputs, length)| inputs > length);
    let transform = Transform { e: cx.e, dtype, length, outputs, inputs, inverse, halved, cut };
    let map = transform.map(parts(&y_dims)?, parts(&x_dims)?)?;
    let mut letters = 'a'..='z';
    let mut labels: Vec<char> = letters.by_ref().take(x_dims.len()).collect();
    let rest: Vec<char> = letters.collect();
    let &[k, d, ..] = &rest[..] else { return cx.refuse("a signal of so many axes") };
    let (n, c) = (labels[axis], labels[x_dims.len() - 1]);
    let from: String = labels.iter().collect();
    labels[axis] = k;
    labels.pop();
    labels.push(d);
    let to: String = labels.iter().collect();
    let equation = format!("{from},{k}{d}{n}{c}->{to}");
    let y = cx.e.op("Einsum", &[x, map], &[("equation", equation.as_str().into())]);
    cx.emit(0, cx.through(y.assume(&y_dims))?);
    Ok(())
}

fn stft(cx: &Rule) -> Result<()> {
    let (e, x, y_dims) = (cx.e, cx.x(0)?, cx.y_dims(0)?);
    let x_dims = x.dims();
    let ([batch, signal, _], [_, frames, outputs, _]) = (&x_dims[..], &y_dims[..]) else {
        return Err(Error::unreadable(format!("a signal {x_dims:?}, its frames {y_dims:?}")));
    };
    let window = cx.node.input(2).map(|_| cx.x(2)).transpose()?;
    let inputs = match (cx.node.input(3), window) {
        (Some(_), _) => match cx.known(3)?.as_deref() {
            Some(&[n]) => Dim::Value(i32::try_from(n).unwrap_or(0)),
            _ => return cx.refuse("the length of the frames is only known at run time"),
        },
        (None, Some(window)) => window.dims().first().cloned().unwrap_or(Dim::Value(0)),
        (None, None) => signal.clone(),
    };
    if fixed(&inputs).is_some_and(|n| n < 1) {
        return Err(Error::unreadable("the length of the frames is not positive"));
    }
    let (step, _) = scalar(cx, 1, &inputs)?;
    let starts = (e.range(frames) * step).reshape(&[frames.clone(), Dim::Value(1)]);
    let cut = x.gather(starts + e.range(&inputs), 1);
    let parts = [parts(&y_dims)?, parts(&x_dims)?];
    let cut =
        cut.assume(&[batch.clone(), frames.clone(), inputs.clone(), Dim::Value(parts[1] as i32)]);
    let map = Transform {
        e,
        dtype: x.dtype(),
        length: size_as_int(e, &inputs),
        outputs: outputs.clone(),
        inputs,
        inverse: false,
        halved: false,
        cut: false,
    };
    let map = map.map(parts[0], parts[1])?;
    let mut operands = vec![cut, map];
    operands.extend(window.map(|window| window.cast(x.dtype())));
    let equation = if window.is_some() { "bfnc,kdnc,n->bfkd" } else { "bfnc,kdnc->bfkd" };
    let y = e.op("Einsum", &operands, &[("equation", equation.into())]);
    if !(cx.tangent(0).is_some() && cx.tangent(2).is_some()) {
        cx.homogeneous();
    }
    cx.emit(0, cx.through(y.assume(&y_dims))?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::compile::rules::testing::{Case, case};
    use crate::graph::Tensor;

    fn signal(opset: i64, dims: &[i64]) -> Case {
        case("DFT").opset(opset).reference().input("x", dims)
    }

    /// The axis as operator set 18 and as 20 spell it.
    fn along(dims: &[i64], length: Option<i64>, axis: i64) -> [Case; 2] {
        [18, 20].map(|opset| {
            let it = signal(opset, dims);
            let it = match length {
                Some(n) => it.ints_shaped("length", &[], &[n]),
                None if opset == 18 => it,
                None => it.skip(),
            };
            if opset == 18 { it.int("axis", axis) } else { it.ints_shaped("axis", &[], &[axis]) }
        })
    }

    #[test]
    fn every_axis_and_length() {
        for parts in [1, 2] {
            for axis in [0, 1, -2, -3] {
                for length in [None, Some(1), Some(2), Some(3), Some(6)] {
                    for inverse in [0, 1] {
                        for it in along(&[2, 3, parts], length, axis) {
                            it.int("inverse", inverse).check();
                        }
                    }
                }
            }
        }
        signal(18, &[2, 3, 1]).check();
        signal(20, &[3, 2, 1]).check();
        signal(20, &[1, 2, 3, 1]).check();
    }

    #[test]
    fn one_sided() {
        for size in 2..=5 {
            for length in [None, Some(4), Some(5), Some(8)] {
                for it in along(&[2, size, 1], length, 1) {
                    it.int("onesided", 1).check();
                }
                let [_, it] = along(&[2, size, 2], length, 1);
                it.int("onesided", 1).int("inverse", 1).check();
            }
        }
    }

    #[test]
    fn as_a_runtime_reads_them() {
        for (inverse, onesided) in [(0, 0), (1, 0), (0, 1)] {
            let [it, newer] = along(&[2, 5, 1], Some(4), 1);
            it.ort().int("inverse", inverse).int("onesided", onesided).check();
            newer.ort().int("inverse", inverse).int("onesided", onesided).check();
        }
        let it = frames(&[2, 7, 1]).ints_shaped("step", &[], &[2]);
        it.ort().param("window", &[4]).check();
    }

    #[test]
    fn symbolic_sizes() {
        for (inverse, onesided) in [(0, 0), (1, 0), (0, 1)] {
            let it = signal(20, &[2, 5, 1]).dynamic(&["n", "t", ""]);
            it.int("inverse", inverse).int("onesided", onesided).check();
            let it = signal(20, &[2, 5, 1]).dynamic(&["n", "t", ""]);
            let it = it.ints_shaped("length", &[], &[4]);
            it.int("inverse", inverse).int("onesided", onesided).check();
        }
        let it = frames(&[2, 7, 1]).dynamic(&["n", "t", ""]).ints_shaped("step", &[], &[2]);
        it.param("window", &[4]).check();
    }

    #[test]
    fn malformed_transforms_are_refused() {
        signal(20, &[3, 1]).skip().ints_shaped("axis", &[], &[-1]).refused("");
        signal(20, &[3, 1]).skip().ints_shaped("axis", &[], &[5]).refused("");
        signal(20, &[3, 3]).refused("");
        signal(20, &[3, 1]).ints_shaped("length", &[], &[0]).refused("");
    }

    fn frames(dims: &[i64]) -> Case {
        case("STFT").opset(18).reference().input("x", dims)
    }

    #[test]
    fn frames_and_windows() {
        for onesided in [0, 1] {
            for step in [1, 2, 3] {
                let it = || frames(&[2, 7, 1]).ints_shaped("step", &[], &[step]);
                it().param("window", &[4]).int("onesided", onesided).check();
                it().input("window", &[3]).int("onesided", onesided).check();
                let both = it().param("window", &[4]).ints_shaped("length", &[], &[4]);
                both.int("onesided", onesided).check();
                let plain = it().skip().ints_shaped("length", &[], &[5]);
                plain.int("onesided", onesided).check();
            }
        }
        let complex = frames(&[1, 6, 2]).ints_shaped("step", &[], &[2]).param("window", &[3]);
        complex.int("onesided", 0).check();
        let fixed = case("STFT").opset(18).reference().param("x", &[1, 6, 1]);
        let fixed = fixed.constant("step", Tensor::int(2));
        fixed.input("window", &[3]).check();
    }

    #[test]
    fn snapshots() {
        signal(20, &[1, 3, 1]).int("onesided", 1).snapshot("onesided");
        let half = signal(20, &[1, 3, 2]).int("onesided", 1).int("inverse", 1);
        half.snapshot("half");
        let it = frames(&[1, 5, 1]).ints_shaped("step", &[], &[2]);
        it.param("window", &[3]).snapshot("window");
    }
}
