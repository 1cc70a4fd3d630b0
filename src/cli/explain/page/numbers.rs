//! What a report says in numbers: singular values, bias, region, checks.

use super::{DIGITS, Pages};
use crate::cli::explain::gather::{Analysed, Border, Finding, Neuron};
use crate::cli::explain::layers::Layer;
use crate::render::report::{Block, Curve, Section, number};

/// The operators whose shares of the bias are listed.
const TERMS: usize = 12;

impl Pages<'_> {
    pub(super) fn spectra(&self, finding: &Finding) -> Section {
        let (spectrum, power) = (&finding.output.spa.spectrum, finding.output.power);
        let shares = spectrum.shares();
        let mark = shares.get(power.patterns.saturating_sub(1)).map(|_| {
            let text = format!("R at γ = {} is {}", self.gamma, power.patterns);
            (power.patterns, self.gamma, text)
        });
        let horizontal = "patterns by singular value".to_owned();
        let curves = vec![
            Curve {
                title: "Singular values, s / s₁".into(),
                horizontal: horizontal.clone(),
                values: spectrum.falls(),
                logarithmic: true,
                mark: None,
            },
            Curve {
                title: "Their share, added up".into(),
                horizontal,
                values: shares,
                logarithmic: false,
                mark,
            },
        ];
        let heads = ["layer", "part", "neurons", "rank", "R", "R / min(d, M)"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        let mut row = |layer: &Layer, part: &str, of: &Analysed| {
            let taken = of.numbers.len();
            let neurons =
                if taken == of.of { taken.to_string() } else { format!("{taken} of {}", of.of) };
            let power = of.power;
            rows.push(vec![
                layer.name.clone(),
                part.into(),
                neurons,
                power.rank.to_string(),
                power.patterns.to_string(),
                number(power.proportion, 3),
            ]);
        };
        row(&self.layers.output, "all", &finding.output);
        for (layer, hidden) in self.layers.hidden.iter().zip(&finding.hidden) {
            row(layer, "active", &hidden.active);
            row(layer, "inactive", &hidden.inactive);
        }
        let text = format!(
            "R, the representational power, counts the patterns whose singular values make up {} of \
             their sum (γ). The curves are those of the output layer.",
            self.gamma
        );
        let blocks = vec![Block::Text(text), Block::Curves(curves), Block::Table(rows)];
        Section { title: "Singular values".into(), slug: "spectra".into(), blocks }
    }

    pub(super) fn bias(&self, winner: &Neuron, operators: &[String]) -> Section {
        let mut terms: Vec<(String, f64)> =
            operators.iter().cloned().zip(winner.terms.iter().copied()).collect();
        terms.retain(|(_, term)| *term != 0.0);
        terms.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        let rest = terms.split_off(terms.len().min(TERMS));
        if !rest.is_empty() {
            let sum = rest.iter().map(|(_, term)| term).sum();
            terms.push((format!("{} other operators", rest.len()), sum));
        }
        let text = format!(
            "b̂ of {} is {}: what each operator adds on the way, carried to the neuron by the same maps \
             that carry ŵ. The operators of largest share:",
            self.short(winner.number),
            number(winner.bias, DIGITS)
        );
        let blocks = vec![Block::Text(text), Block::Shares(terms)];
        Section { title: "Where the bias comes from".into(), slug: "bias".into(), blocks }
    }

    pub(super) fn checks(&self, top: &[Neuron]) -> Section {
        let heads = ["neuron", "v", "b̂", "v − (x·ŵ + b̂)", "v − Σν̂", "v − (x − ĉ)·ŵ", "Σ|xŵ| + |b̂|"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        for neuron in top {
            let (misses, error) = (neuron.misses, |v: f64| number(v, 2));
            rows.push(vec![
                self.short(neuron.number),
                number(neuron.activity, DIGITS),
                number(neuron.bias, DIGITS),
                error(misses.projection),
                error(misses.decomposition),
                error(misses.centre),
                number(misses.size, 3),
            ]);
        }
        let text = "What is left of each identity, summed in double precision over what the engine gave; \
                    it should be rounding, which grows with the magnitudes in the last column.";
        let blocks = vec![Block::Text(text.into()), Block::Table(rows)];
        Section { title: "How exactly the identities hold".into(), slug: "checks".into(), blocks }
    }
}

/// How far the linear region reaches.
pub fn region(border: &Border) -> Section {
    let switch = border.switch.as_deref().unwrap_or_default();
    let text = match border.radius {
        r if r.is_infinite() => "Nothing switches: the network is affine everywhere.".to_owned(),
        0.0 => format!(
            "The picture lies on the border of its linear region: two candidates of a pooling window \
             are tied, or a neuron is at exactly zero. The first is {switch}. The nearest border on \
             which it does not lie is at a distance of {}.",
            number(border.beyond, 3)
        ),
        r => format!(
            "Within a distance of {} of the picture, in the units of the model's input, no ReLU and no \
             pooling window changes its state, and v = x·ŵ + b̂ holds with the same ŵ and b̂. At that \
             distance {switch} switches. A distance below about a millionth of ‖x‖ is rounding.",
            number(r, 3)
        ),
    };
    let blocks = vec![Block::Text(text)];
    Section { title: "How far this holds".into(), slug: "region".into(), blocks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_told_in_words() {
        let told = |radius| {
            let switch = Some("element 3 of a (Relu)".to_owned());
            let section = region(&Border { radius, beyond: 0.5, switch });
            format!("{:?}", section.blocks)
        };
        assert!(told(f64::INFINITY).contains("affine everywhere"));
        assert!(told(0.0).contains("element 3 of a (Relu)") && told(0.0).contains("0.500"));
        assert!(told(0.25).contains("distance of 0.250"));
    }
}
