//! Singular pattern analysis (definitions 2 and 3).

use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView1, Axis, concatenate};

use super::gram::{Axes, Inner, Outer};
use super::icd::Decomposition;
use super::spectrum::Spectrum;
use crate::error::{Error, Result};

/// The singular patterns of some neurons' decompositions: `V = U Σ H`.
///
/// R is the rank, or the number of patterns that were asked for where that is less. Patterns of
/// singular values below about 1e-6 s₁ are orthogonal to each other only to ε (s₁/s)².
#[derive(Clone, Debug)]
pub struct Spa {
    /// All singular values that differ from 0, largest first.
    pub spectrum: Spectrum,
    /// The patterns u_j as rows in the order of broad significance, `[R, d]`.
    pub patterns: Array2<f64>,
    /// The mixing coefficients `α_{m,j} = s_j H[j,m]`, `[M, R]`.
    pub mixing: Array2<f64>,
}

/// One pattern's place in the narrow significance of a neuron.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Narrow {
    /// j, counted from 0.
    pub pattern: usize,
    /// |α_{m,j}|
    pub magnitude: f64,
    /// The sign of α_{m,j}, with which the pattern is shown: `μ = sign u_j`.
    pub sign: f64,
}

/// Elements of V that are held at a time.
const AT_A_TIME: usize = 1 << 22;
/// The share of Σ|u_i| that Σ u_i must exceed to decide a pattern's sign.
const BALANCED: f64 = 1e-5;
/// How near to the largest magnitude an entry must be to count as one of the largest.
const LARGEST: f64 = 1.0 - 1e-6;

impl Spa {
    /// The patterns of largest singular value, at most `most` of them.
    ///
    /// # Errors
    /// When a value is not finite, or the eigenvalues do not converge.
    pub fn of(v: &dyn Decomposition, most: usize) -> Result<Self> {
        let (neurons, components) = v.shape();
        let mut spa =
            if neurons <= components { Self::inner(v, most)? } else { Self::outer(v, most)? };
        spa.orient();
        Ok(spa)
    }

    /// Through `VᵀV`: `u_j = V h_j / ‖V h_j‖`, where `‖V h_j‖` is s_j with less rounding than the
    /// root of the eigenvalue has.
    fn inner(v: &dyn Decomposition, most: usize) -> Result<Self> {
        let (neurons, components) = v.shape();
        let mut gram = Inner::new(neurons);
        let width = (AT_A_TIME / neurons.max(1)).max(1);
        for part in parts(components, width) {
            gram.add(v.block(0..neurons, part).view())?;
        }
        let (mut spectrum, mut h) = gram.mixtures()?;
        let rows = most.min(h.nrows());
        h.slice_axis_inplace(Axis(0), (..rows).into());
        let images: Vec<_> =
            parts(components, width).map(|part| h.dot(&v.block(0..neurons, part))).collect();
        let views: Vec<_> = images.iter().map(|image| image.view()).collect();
        let mut patterns = match views.is_empty() {
            true => Array2::zeros((rows, components)),
            false => concatenate(Axis(1), &views).map_err(|e| Error::internal(e.to_string()))?,
        };
        let mut mixing = h.reversed_axes();
        for (j, mut pattern) in patterns.rows_mut().into_iter().enumerate() {
            let norm = pattern.dot(&pattern).sqrt();
            pattern /= norm;
            mixing.column_mut(j).mapv_inplace(|h| h * norm);
            spectrum.values[j] = norm;
        }
        let mut spa = Self { spectrum, patterns, mixing: mixing.as_standard_layout().into_owned() };
        spa.sort();
        Ok(spa)
    }

    /// Through `VVᵀ`, with a second pass for the mixing coefficients.
    fn outer(v: &dyn Decomposition, most: usize) -> Result<Self> {
        let (neurons, components) = v.shape();
        let height = (AT_A_TIME / components.max(1)).max(1);
        let mut gram = Outer::new(components);
        for part in parts(neurons, height) {
            gram.add(v.block(part, 0..components).view())?;
        }
        let mut axes = gram.axes()?;
        axes.keep(most);
        let mut mixing = Array2::zeros((neurons, axes.patterns.nrows()));
        for part in parts(neurons, height) {
            let block = axes.mixing(v.block(part.clone(), 0..components).view())?;
            mixing.slice_axis_mut(Axis(0), part.into()).assign(&block);
        }
        let Axes { spectrum, patterns } = axes;
        Ok(Self { spectrum, patterns, mixing })
    }

    /// The patterns found by [`Outer::axes`] with the mixing coefficients `[M, R]` of a second pass
    /// over the neurons; the sign rule is applied here.
    pub fn joined(axes: Axes, mixing: Array2<f64>) -> Self {
        let mut spa = Self { spectrum: axes.spectrum, patterns: axes.patterns, mixing };
        spa.orient();
        spa
    }

    /// Brings the patterns back in order where the better singular values differ in it.
    fn sort(&mut self) {
        let kept = self.patterns.nrows();
        let mut order: Vec<usize> = (0..kept).collect();
        order.sort_by(|&a, &b| self.spectrum.values[b].total_cmp(&self.spectrum.values[a]));
        if order.is_sorted() {
            return;
        }
        self.patterns = self.patterns.select(Axis(0), &order);
        self.mixing = self.mixing.select(Axis(1), &order);
        self.spectrum.values[..kept].sort_by(|a, b| b.total_cmp(a));
    }

    /// Turns each pattern so that its entries add up to at least 0, and where that sum is within
    /// rounding of 0, so that the first of its entries of largest magnitude is positive.
    fn orient(&mut self) {
        for (j, mut pattern) in self.patterns.rows_mut().into_iter().enumerate() {
            if is_turned(pattern.view()) {
                pattern.mapv_inplace(|u| -u);
                self.mixing.column_mut(j).mapv_inplace(|a| -a);
            }
        }
    }

    /// The patterns in the order of their narrow significance for one neuron, patterns without any
    /// share left out.
    pub fn narrow(&self, neuron: usize) -> Vec<Narrow> {
        let Some(row) = self.mixing.outer_iter().nth(neuron) else { return Vec::new() };
        let shares = row.iter().enumerate().filter(|(_, a)| **a != 0.0);
        let mut order: Vec<_> = shares
            .map(|(pattern, &a)| Narrow { pattern, magnitude: a.abs(), sign: a.signum() })
            .collect();
        order.sort_by(|a, b| b.magnitude.total_cmp(&a.magnitude));
        order
    }

    /// `μ_{m,i}`: the pattern of the `place`th largest narrow significance for a neuron, with the
    /// sign of its share; `None` where there are fewer.
    pub fn mu(&self, neuron: usize, place: usize) -> Option<Array1<f64>> {
        let narrow = *self.narrow(neuron).get(place)?;
        Some(self.patterns.row(narrow.pattern).mapv(|u| narrow.sign * u))
    }
}

fn is_turned(pattern: ArrayView1<'_, f64>) -> bool {
    let sum: f64 = pattern.sum();
    let size: f64 = pattern.iter().map(|u| u.abs()).sum();
    if sum.abs() > BALANCED * size {
        return sum < 0.0;
    }
    let peak = pattern.iter().fold(0f64, |peak, u| peak.max(u.abs()));
    pattern.iter().find(|u| u.abs() >= LARGEST * peak).is_some_and(|&u| u < 0.0)
}

fn parts(count: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(step).map(move |start| start..(start + step).min(count))
}

#[cfg(test)]
#[path = "spa_tests.rs"]
mod tests;
