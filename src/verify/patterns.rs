//! The singular pattern analysis of one run, against the input component decompositions it is of.

use faer::Mat;

use super::feed::floats;
use super::promises::{Rows, dot};
use super::report::{Promise, Tally};

/// The largest smaller side of V whose singular values are computed again.
pub const LARGEST: usize = 512;

/// Measures the patterns of every sample.
pub fn measure(rows: &Rows<'_>, tally: &mut Tally) {
    let k = rows.per_sample;
    for sample in 0..rows.x.len() {
        let list = (0..k).map(|i| rows.map("icd", sample * k + i));
        let Some(v) = list.collect::<Option<Vec<_>>>() else { return };
        let spectrum = singular_values(&v);
        // As large as the largest singular value, and known where that is not.
        let size = v.iter().map(|row| dot(row, row).0).sum::<f64>().sqrt();
        let part = |quantity: &str| {
            let array = rows.get(quantity)?;
            let count = array.len() / rows.x.len().max(1);
            Some(floats(array, sample * count, count))
        };
        if let (Some(u), Some(alpha)) = (part("patterns"), part("mixing")) {
            let d = v.first().map_or(0, Vec::len).max(1);
            let u: Vec<&[f64]> = u.chunks(d).collect();
            let alpha: Vec<&[f64]> = alpha.chunks(k.max(1)).collect();
            bases(&u, &alpha, &v, size, tally);
        }
        let Some(spectrum) = spectrum else { continue };
        let first = spectrum.first().copied().unwrap_or(0.0);
        for (j, s) in part("singular-values").into_iter().flatten().enumerate() {
            let truth = spectrum.get(j).copied().unwrap_or(0.0);
            tally.see(Promise::Singular, s - truth, first);
        }
        if let (Some(power), Some(gamma)) = (part("power"), rows.layer.gamma) {
            power_of(&spectrum, power.first().copied().unwrap_or(f64::NAN), gamma, tally);
        }
    }
}

/// Patterns are orthonormal, or zero beyond the rank, as far as rounding of V lets them: a pattern of
/// small singular value is as inexact as that is small. Their α are the coordinates of the rows of V.
fn bases(u: &[&[f64]], alpha: &[&[f64]], v: &[Vec<f64>], size: f64, tally: &mut Tally) {
    let norm = |v: &[f64]| dot(v, v).0.sqrt();
    let largest = alpha.iter().map(|a| norm(a)).fold(0.0, f64::max);
    for (j, (a, mixed)) in u.iter().zip(alpha).enumerate() {
        let share = if largest > 0.0 { norm(mixed) / largest } else { 0.0 };
        let length = norm(a);
        let wanted = if share > 0.0 { 1.0 } else { 0.0 };
        tally.see(Promise::Patterns, length - wanted, 1.0);
        for b in &u[..j] {
            tally.see(Promise::Patterns, dot(a, b).0 * share, 1.0);
        }
        for (row, coordinate) in v.iter().zip(*mixed) {
            tally.see(Promise::Patterns, dot(row, a).0 - coordinate, size);
        }
    }
}

/// `found` patterns reach γ of all, and one fewer does not.
fn power_of(spectrum: &[f64], found: f64, gamma: f64, tally: &mut Tally) {
    let total: f64 = spectrum.iter().sum();
    let whole = found.fract() == 0.0 && (0.0..=spectrum.len() as f64).contains(&found);
    if !whole || (found == 0.0) != (total == 0.0) {
        return tally.see(Promise::Power, f64::NAN, 1.0);
    }
    let reached = |k: usize| spectrum[..k].iter().sum::<f64>() / total;
    let found = found as usize;
    tally.see(Promise::Power, 0.0, 1.0);
    if found > 0 {
        tally.see(Promise::Power, (gamma - reached(found)).max(0.0), 1.0);
        tally.see(Promise::Power, (reached(found - 1) - gamma).max(0.0), 1.0);
    }
}

/// The singular values of the matrix of these rows in falling order; `None` where both its sides are
/// larger than [`LARGEST`], or something is not finite.
fn singular_values(rows: &[Vec<f64>]) -> Option<Vec<f64>> {
    let (k, d) = (rows.len(), rows.first().map_or(0, Vec::len));
    if k.min(d) > LARGEST || k == 0 || d == 0 || rows.iter().flatten().any(|v| !v.is_finite()) {
        return None;
    }
    let matrix = Mat::from_fn(k, d, |i, j| rows[i].get(j).copied().unwrap_or(0.0));
    matrix.singular_values().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::DataType;
    use crate::verify::report::Outcome;

    fn worst(tally: &Tally, promise: Promise) -> f64 {
        match tally.outcome(promise, DataType::F64) {
            Some(Outcome::Measured { worst, .. }) => worst,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_power_is_the_least_that_reaches_its_share() {
        for (found, right) in [(0.0, false), (1.0, false), (2.0, true), (3.0, false), (2.5, false)]
        {
            let mut tally = Tally::default();
            power_of(&[5.0, 3.0, 2.0], found, 0.75, &mut tally);
            assert_eq!(worst(&tally, Promise::Power) < 1e-9, right, "{found}");
        }
        for (found, right) in [(0.0, true), (1.0, false)] {
            let mut tally = Tally::default();
            power_of(&[0.0, 0.0], found, 0.9, &mut tally);
            assert_eq!(worst(&tally, Promise::Power) < 1e-9, right, "{found}");
        }
    }

    #[test]
    fn patterns_that_lean_are_seen() {
        let v = vec![vec![3.0, 0.0], vec![0.0, 1.0]];
        let right: [&[f64]; 2] = [&[1.0, 0.0], &[0.0, 1.0]];
        let alpha: [&[f64]; 2] = [&[3.0, 0.0], &[0.0, 1.0]];
        let cases: [(&[f64], f64); 3] =
            [(&[0.0, 1.0], 0.0), (&[0.6, 0.8], 0.19), (&[0.0, 2.0], 0.3)];
        for (second, least) in cases {
            let mut tally = Tally::default();
            bases(&[right[0], second], &alpha, &v, 3.0, &mut tally);
            assert!(worst(&tally, Promise::Patterns) >= least, "{second:?}");
            assert_eq!(worst(&tally, Promise::Patterns) < 1e-12, least == 0.0, "{second:?}");
        }
        assert_eq!(singular_values(&v), Some(vec![3.0, 1.0]));
    }
}
