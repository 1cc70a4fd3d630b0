//! The active and the inactive part of a layer (section 6).

use std::str::FromStr;

use crate::error::{Error, Result};

/// When a neuron counts as active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// v > 0 and, where a pooling follows, it wins a window.
    #[default]
    State,
    /// v > 0.
    Sign,
}

impl FromStr for Rule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "state" => Ok(Self::State),
            "sign" => Ok(Self::Sign),
            _ => Err(Error::request(format!("'{text}' is no rule of activity"))
                .help("state: v > 0 and, where a pooling follows, it wins a window; sign: v > 0")),
        }
    }
}

/// The neurons of a layer by their part, rising.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Those that pass their activity on.
    pub active: Vec<usize>,
    /// The others.
    pub inactive: Vec<usize>,
}

impl Parts {
    /// The parts of a layer with the activities `v`; `wins` says of each neuron whether it wins a
    /// window of the pooling that follows, where one does.
    pub fn of(v: &[f64], wins: Option<&[bool]>, rule: Rule) -> Self {
        let wins = wins.filter(|_| rule == Rule::State);
        let wins = |neuron: usize| wins.is_none_or(|wins| wins.get(neuron) == Some(&true));
        let (active, inactive) = (0..v.len()).partition(|&neuron| v[neuron] > 0.0 && wins(neuron));
        Self { active, inactive }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losers_of_a_pooling_are_inactive_by_state_and_active_by_sign() {
        let v = [1.0, 2.0, -1.0, 0.0];
        let wins = [false, true, true, true];
        let active = |wins, rule| Parts::of(&v, wins, rule).active;
        assert_eq!(active(Some(&wins[..]), Rule::State), [1]);
        assert_eq!(active(Some(&wins[..]), Rule::Sign), [0, 1]);
        assert_eq!(active(None, Rule::State), [0, 1]);
        assert_eq!(Parts::of(&v, None, Rule::Sign).inactive, [2, 3]);
    }

    #[test]
    fn rules_are_read() {
        assert_eq!("state".parse::<Rule>().unwrap(), Rule::State);
        assert_eq!("sign".parse::<Rule>().unwrap(), Rule::Sign);
        assert!("on".parse::<Rule>().is_err());
    }
}
