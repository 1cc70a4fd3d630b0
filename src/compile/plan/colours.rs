//! Colours of the input: components of which no neuron sees two share a tangent.
//!
//! A row is zero outside its neuron's window of the input. Of `L` neighbours along an axis each leaves
//! another remainder by `L`, so components of one channel whose places leave the same remainders by the
//! lengths of the largest windows never meet in a row. One tangent carries all of them (Curtis, Powell and
//! Reid, 1974), and the place of a neuron's window tells which one an entry belongs to.

use std::borrow::Borrow;

use super::super::linear::{Program, VarId};
use super::windows::Sight;
use crate::graph::fixed;

/// The colours of an input `[N, C, s…]`, one for each channel and remainder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Colours {
    /// The number of channels.
    pub channels: i64,
    /// The size of each spatial axis.
    pub sizes: Vec<i64>,
    /// By what the places along each spatial axis are divided.
    pub periods: Vec<i64>,
}

impl Colours {
    /// The number of colours.
    pub fn count(&self) -> i64 {
        self.periods.iter().fold(self.channels, |n, &period| n.saturating_mul(period))
    }

    /// Colours for what sees the input as either says; none where there would be no fewer than components.
    pub(super) fn join(&self, other: &Self) -> Option<Self> {
        let pairs = self.periods.iter().zip(&other.periods);
        let periods = pairs.map(|(&a, &b)| a.max(b)).collect();
        let joint = Self { periods, ..self.clone() };
        (joint.count() < joint.components()).then_some(joint)
    }

    /// The multiply-adds and the elements moved while one row is made of its colours, an axis after another.
    pub(super) fn repeated(&self) -> (f64, f64) {
        let mut elements = self.count() as f64;
        let (mut products, mut moved) = (0.0, 0.0);
        for (&size, &period) in self.sizes.iter().zip(&self.periods).rev().filter(|(s, p)| s > p) {
            products += elements * size as f64;
            moved += elements;
            elements *= size as f64 / period as f64;
            moved += elements;
        }
        (products, moved)
    }

    /// The number of input components.
    fn components(&self) -> i64 {
        self.sizes.iter().fold(self.channels, |n, &size| n.saturating_mul(size))
    }
}

/// The colours of `input` for layers whose neurons see it as `sights` say; none where some layer sees all
/// of it, after which no more are looked at, or where there would be no fewer colours than components.
pub fn colours<S: Borrow<Sight>>(
    program: &Program,
    input: VarId,
    sights: impl IntoIterator<Item = S>,
) -> Option<Colours> {
    let dims = &program.var(input).dims;
    let sizes: Vec<i64> = dims.get(2..)?.iter().map(fixed).collect::<Option<_>>()?;
    let (mut periods, mut any) = (vec![1; sizes.len()], false);
    for sight in sights {
        any = true;
        let windows = sight.borrow().windows(input)?;
        for ((period, &size), window) in periods.iter_mut().zip(&sizes).zip(windows) {
            *period = size.min(window.length).max(*period);
        }
    }
    let colours = Colours { channels: fixed(&dims[1])?, sizes, periods };
    (any && colours.count() < colours.components()).then_some(colours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_made_an_axis_after_another() {
        let colours = Colours { channels: 2, sizes: vec![6, 8], periods: vec![3, 4] };
        assert_eq!((colours.count(), colours.components()), (24, 96));
        // 24 elements become 48, and these 96.
        assert_eq!(colours.repeated(), (24.0 * 8.0 + 48.0 * 6.0, 24.0 + 48.0 + 48.0 + 96.0));
        let line = Colours { sizes: vec![3, 8], ..colours };
        assert_eq!(line.repeated(), (24.0 * 8.0, 24.0 + 48.0));
    }
}
