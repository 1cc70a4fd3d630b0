//! The measurements as the lines of a report.

use super::report::{Outcome, Promise, Row};
use super::subject::Layer;
use super::{Check, patterns};
use crate::graph::DataType;

impl Check<'_> {
    pub(super) fn dtype(&self, layer: &Layer) -> DataType {
        let graph = &self.subject.model.graph;
        graph.find(&layer.value).and_then(|id| graph.value(id).dtype).unwrap_or(DataType::F32)
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        let graph = &self.subject.model.graph;
        let dtypes = graph.outputs.iter().filter_map(|&id| graph.value(id).dtype);
        let coarse = dtypes.filter(|t| t.is_float()).min_by_key(|t| t.bits());
        let coarse = coarse.unwrap_or(DataType::F32);
        for promise in [Promise::Outputs, Promise::Source] {
            let (outcome, note) = match self.whole.outcome(promise, coarse) {
                Some(outcome) => (outcome, String::new()),
                None if promise == Promise::Source => {
                    (Outcome::NotMeasured, "no source model given".to_owned())
                }
                None => (Outcome::NotMeasured, "the model has no output of its own".to_owned()),
            };
            rows.push(Row { layer: String::new(), promise, outcome, note });
        }
        for (index, layer) in self.subject.layers.iter().enumerate() {
            rows.extend(self.layer_rows(index, layer));
        }
        rows
    }

    fn layer_rows(&self, index: usize, layer: &Layer) -> Vec<Row> {
        let (tally, kept) = (&self.tallies[index], self.kept[index]);
        let emitted = |quantities: &[&str]| {
            let graph = &self.subject.model.graph;
            quantities.iter().all(|q| graph.find(&layer.name(q)).is_some())
        };
        let list: [(Promise, &[&str]); 12] = [
            (Promise::Activity, &["activity"]),
            (Promise::Projection, &["activity", "weights", "bias"]),
            (Promise::Centre, &["activity", "weights", "centre"]),
            (Promise::Decomposition, &["activity", "icd"]),
            (Promise::BiasTerms, &["bias-terms", "bias"]),
            (Promise::Patterns, &["icd", "patterns", "mixing"]),
            (Promise::Singular, &["icd", "singular-values"]),
            (Promise::Power, &["icd", "power"]),
            (Promise::Step, &["activity", "weights", "bias"]),
            (Promise::Slope, &["weights"]),
            (Promise::Region, &["radius", "state"]),
            (Promise::Batch, &[]),
        ];
        list.into_iter()
            .map(|(promise, needs)| {
                let dtype = self.dtype(layer);
                let note = match promise {
                    Promise::Decomposition if tally.unattributed > 0 => {
                        format!("{} of {} rows unattributed", tally.unattributed, tally.rows)
                    }
                    Promise::Singular | Promise::Power
                        if tally.outcome(promise, dtype).is_none() =>
                    {
                        format!("V is larger than {} on both sides", patterns::LARGEST)
                    }
                    Promise::Region if tally.outcome(promise, dtype).is_none() => {
                        "the radius is no more than rounding of the input".to_owned()
                    }
                    Promise::Slope if dtype.bits() < 32 => {
                        "differences of half precision show no slope".to_owned()
                    }
                    Promise::Step if !layer.exact => "tangent: the slope is checked".to_owned(),
                    Promise::Step => format!("{} of {} steps kept it", kept.kept, kept.tried),
                    Promise::Batch if tally.outcome(promise, dtype).is_none() => {
                        "the batch is fixed, or there was one sample".to_owned()
                    }
                    _ => String::new(),
                };
                let outcome = match tally.outcome(promise, dtype) {
                    _ if !emitted(needs) => Outcome::NotEmitted,
                    Some(outcome) => outcome,
                    None => Outcome::NotMeasured,
                };
                Row { layer: layer.alias.clone(), promise, outcome, note }
            })
            .collect()
    }
}
