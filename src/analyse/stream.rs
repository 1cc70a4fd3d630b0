//! The spectrum of a layer whose neurons come in blocks, by whichever Gram matrix is smaller.

use std::ops::Range;

use ndarray::{Array2, Axis, Slice};

use super::gram::{Inner, Outer};
use super::icd::Decomposition;
use super::spectrum::Spectrum;
use crate::error::{Error, Result};

/// Elements of V that are widened at a time.
const AT_A_TIME: usize = 1 << 21;
/// Doubles held for each entry of a Gram matrix: the sum, the solver's copy and its workspace.
const COPIES: u64 = 3;

/// Collects M neurons over d input components; those that never come have no ν̂.
#[derive(Clone, Debug)]
pub struct Stream {
    neurons: usize,
    components: usize,
    seen: usize,
    held: Held,
}

#[derive(Clone, Debug)]
enum Held {
    /// More neurons than components: the sum of outer products.
    Outer(Outer),
    /// At most as many: the rows so far that are not 0, no larger than d × d.
    Rows(Array2<f64>),
    /// All of them came in one block.
    Inner(Inner),
}

impl Stream {
    /// A stream of `neurons` over `components`, of which none came yet.
    pub fn new(neurons: usize, components: usize) -> Self {
        let held = match neurons > components {
            true => Held::Outer(Outer::new(components)),
            false => Held::Rows(Array2::zeros((0, components))),
        };
        Self { neurons, components, seen: 0, held }
    }

    /// The bytes that the spectrum of `neurons` over `components` needs beside a block.
    pub fn bytes(neurons: usize, components: usize) -> u64 {
        let side = neurons.min(components) as u64;
        side.saturating_mul(side).saturating_mul(8 * COPIES)
    }

    /// The most neurons whose spectrum fits into `memory` bytes.
    pub fn most_neurons(memory: u64) -> u64 {
        (memory / (8 * COPIES)).isqrt()
    }

    /// Takes in the next neurons.
    ///
    /// # Errors
    /// When more came than there are, or over other components.
    pub fn add(&mut self, block: &dyn Decomposition) -> Result<()> {
        let (count, components) = block.shape();
        if self.seen + count > self.neurons || components != self.components {
            return Err(Error::internal(format!(
                "{count} neurons over {components} components after {} of {} over {}",
                self.seen, self.neurons, self.components
            )));
        }
        self.seen += count;
        match &mut self.held {
            Held::Outer(outer) => {
                for rows in parts(count, AT_A_TIME / components.max(1)) {
                    outer.add(block.block(rows, 0..components).view())?;
                }
            }
            Held::Rows(_) if count == self.neurons => {
                let mut inner = Inner::new(count);
                for columns in parts(components, AT_A_TIME / count.max(1)) {
                    inner.add(block.block(0..count, columns).view())?;
                }
                self.held = Held::Inner(inner);
            }
            Held::Rows(held) => {
                for row in block.block(0..count, 0..components).rows() {
                    if row.iter().any(|&v| v != 0.0) {
                        held.push(Axis(0), row).map_err(|e| Error::internal(e.to_string()))?;
                    }
                }
            }
            Held::Inner(_) => {}
        }
        Ok(())
    }

    /// The singular values of the neurons that came.
    ///
    /// # Errors
    /// When a value was not finite, or the eigenvalues do not converge.
    pub fn spectrum(&self) -> Result<Spectrum> {
        match &self.held {
            Held::Outer(outer) => Ok(Spectrum { most: self.components, ..outer.spectrum()? }),
            Held::Inner(inner) => inner.spectrum(),
            Held::Rows(rows) => {
                let mut inner = Inner::new(rows.nrows());
                for columns in parts(self.components, AT_A_TIME / rows.nrows().max(1)) {
                    inner.add(rows.slice_axis(Axis(1), Slice::from(columns)))?;
                }
                inner.among(self.neurons).spectrum()
            }
        }
    }
}

fn parts(count: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    let step = step.max(1);
    (0..count).step_by(step).map(move |start| start..(start + step).min(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;

    #[test]
    fn blocks_give_the_spectrum_of_the_whole() {
        for (neurons, components) in [(7, 5), (5, 7), (6, 6), (0, 3)] {
            let mut noise = Noise::new(5);
            let v = Array2::from_shape_fn((neurons, components), |_| noise.normal());
            let mut whole = Stream::new(neurons, components);
            whole.add(&v.view()).unwrap();
            let mut parted = Stream::new(neurons, components);
            for block in v.axis_chunks_iter(Axis(0), 2) {
                parted.add(&block).unwrap();
            }
            let (a, b) = (whole.spectrum().unwrap(), parted.spectrum().unwrap());
            assert_eq!((a.rank(), b.rank()), (neurons.min(components), neurons.min(components)));
            let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12;
            assert!(a.values.iter().zip(&b.values).all(near));
        }
    }

    #[test]
    fn neurons_that_never_come_count_among_those_there_are() {
        for (neurons, components, most) in [(9, 5, 5), (4, 5, 4)] {
            let v = Array2::from_shape_fn((2, components), |(i, j)| f64::from(u8::from(i == j)));
            let mut stream = Stream::new(neurons, components);
            stream.add(&v.view()).unwrap();
            let spectrum = stream.spectrum().unwrap();
            assert_eq!((spectrum.rank(), spectrum.most), (2, most));
        }
    }

    #[test]
    fn more_neurons_than_there_are_make_a_defect() {
        let v = Array2::<f64>::zeros((2, 3));
        let mut stream = Stream::new(3, 3);
        stream.add(&v.view()).unwrap();
        assert!(stream.add(&v.view()).is_err());
        assert!(Stream::new(2, 2).add(&v.view()).is_err());
    }

    #[test]
    fn memory_grows_with_the_square_of_the_smaller_side() {
        assert_eq!(Stream::bytes(1000, 10), 2400);
        assert_eq!(Stream::most_neurons(Stream::bytes(100, 1000)), 100);
    }
}
