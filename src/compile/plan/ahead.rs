//! What carrying tangents forward to some of the layers takes.

use super::cost::Cost;
use super::{Colours, size};

/// A sweep from the input to some of the layers.
#[derive(Clone, Debug, Default)]
pub struct Ahead {
    /// The number of seeds, where it is known.
    pub seeds: Option<i64>,
    /// Which input components share them; none where each has its own.
    pub colours: Option<Colours>,
    /// The steps up to the last of the layers, for one seed.
    pub sweep: Cost,
    /// The bytes of the layers' tangents, for one seed.
    pub tangents: f64,
}

impl Ahead {
    /// Seconds of a nominal core for `neurons` rows.
    pub fn seconds(&self, neurons: f64) -> f64 {
        let seeds = size(self.seeds) as f64;
        self.sweep.times(seeds).seconds() + self.row().times(neurons).seconds()
    }

    /// What it costs to make one row of the tangents.
    fn row(&self) -> Cost {
        let (products, repeated) = self.colours.as_ref().map_or((0.0, 0.0), Colours::repeated);
        Cost { products, bytes: 2.0 * self.column() + repeated * 4.0, ..Cost::default() }
    }

    /// The bytes of one neuron's tangents.
    pub fn column(&self) -> f64 {
        size(self.seeds) as f64 * 4.0
    }

    /// The bytes that are held by so many seeds at a time, and by the layers' tangents of all, twice, since
    /// these are laid out by neuron.
    pub fn memory(&self, at_a_time: Option<i64>) -> f64 {
        self.sweep.held * size(at_a_time.or(self.seeds)) as f64 + self.kept()
    }

    /// The bytes of the layers' tangents, twice.
    pub fn kept(&self) -> f64 {
        2.0 * self.tangents * size(self.seeds) as f64
    }
}
