//! From switched linear projections to what the paper reads off them: singular patterns,
//! representational power, active and inactive parts, state statistics, rank correlations.
//!
//! Arrays in, arrays out, in double precision. A matrix of a layer holds *a row a neuron*: `[M, d]`
//! for M neurons and d input components, the transpose of the paper's V.

pub mod correlation;
mod eigenvalues;
mod gram;
mod icd;
mod identities;
mod maps;
mod parts;
mod path;
mod pooling;
mod power;
mod reflection;
mod region;
mod scores;
mod spa;
mod spectrum;
mod state;
mod stream;
mod summary;

pub use gram::{Axes, Inner, Outer};
pub use icd::{Chosen, Decomposition, Icds, icd};
pub use identities::{Misses, Projected};
pub use maps::{Explained, Method, winner};
pub use parts::{Parts, Rule};
pub use path::{MeanWeights, along, contrast, noisy};
pub use pooling::{Windows, wins};
pub use power::{Power, check_gamma};
pub use region::{Borders, Crossing, Sensitivity, crossings, overtakings};
pub use scores::{Link, largest, strongest};
pub use spa::{Narrow, Spa};
pub use spectrum::Spectrum;
pub use state::{Census, State};
pub use stream::Stream;
pub use summary::{Moments, Summary};
