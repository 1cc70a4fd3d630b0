//! The quantities, by the names they have in the outputs.

use crate::error::{Error, Result};

/// What can be emitted for a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quantity {
    /// v
    Activity,
    /// ŵ
    Weights,
    /// b̂
    Bias,
    /// ĉ (equation 7)
    Centre,
    /// ν̂ (equation 10)
    Icd,
    /// b̂ by operator.
    BiasTerms,
    /// u (definition 2)
    Patterns,
    /// s (definition 2)
    SingularValues,
    /// α (definition 2)
    Mixing,
    /// R_γ (definition 4)
    Power,
    /// The exact radius of the linear region, and the switch at its border.
    Radius,
    /// Which ReLUs are active and which input won each pooling window.
    State,
}

impl Quantity {
    /// The quantities that are emitted by default.
    pub const DEFAULT: [Self; 5] =
        [Self::Activity, Self::Weights, Self::Bias, Self::Centre, Self::Icd];

    const NAMES: [(&'static str, Self); 12] = [
        ("activity", Self::Activity),
        ("weights", Self::Weights),
        ("bias", Self::Bias),
        ("centre", Self::Centre),
        ("icd", Self::Icd),
        ("bias-terms", Self::BiasTerms),
        ("patterns", Self::Patterns),
        ("singular-values", Self::SingularValues),
        ("mixing", Self::Mixing),
        ("power", Self::Power),
        ("radius", Self::Radius),
        ("state", Self::State),
    ];

    /// The last part of the output's name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, q)| *q == self).map_or("", |(name, _)| name)
    }

    /// Whether the rows of the Jacobian are needed for it.
    pub fn needs_weights(self) -> bool {
        self.is_row() || self.is_singular()
    }

    /// Whether it has a number for each component of the input.
    pub fn is_row(self) -> bool {
        matches!(self, Self::Weights | Self::Centre | Self::Icd)
    }

    /// Whether it has an entry for each neuron that depends on that neuron alone.
    pub fn is_of_neurons(self) -> bool {
        self.is_row() || matches!(self, Self::Activity | Self::Bias | Self::BiasTerms)
    }

    /// Whether it tells of the switches of the model.
    pub fn is_of_switches(self) -> bool {
        matches!(self, Self::Radius | Self::State)
    }

    /// Whether it comes from the singular pattern analysis.
    pub fn is_singular(self) -> bool {
        matches!(self, Self::Patterns | Self::SingularValues | Self::Mixing | Self::Power)
    }
}

impl std::str::FromStr for Quantity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::NAMES.iter().find(|(name, _)| *name == text).map(|(_, q)| *q).ok_or_else(|| {
            let names: Vec<_> = Self::NAMES.iter().map(|(name, _)| *name).collect();
            Error::request(format!("'{text}' can't be emitted"))
                .help(format!("--emit takes a list of {}", names.join(", ")))
        })
    }
}
