//! What the engine computes for a report.

use ndarray::{Array1, Array2, Axis, concatenate};

use super::layers::{Layer, Layers};
use crate::analyse::{self, Misses, Parts, Power, Projected, Rule, Spa, largest, strongest, wins};
use crate::cli::probe::{self, Outputs, Probe};
use crate::cli::study::{Common, Study};
use crate::cli::sweep::Sweep;
use crate::compile::project::Quantity;
use crate::compile::select::Choice;
use crate::compile::{LayerRequest, Options};
use crate::engine::Array;
use crate::error::{Error, Result};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// How many output neurons are explained one by one.
    pub top: usize,
    /// The most neurons that are analysed together.
    pub most: usize,
    /// What makes a neuron active.
    pub rule: Rule,
    /// γ
    pub gamma: f64,
    /// Whether the radius of the linear region is wanted.
    pub radius: bool,
}

/// What was found out about one picture.
pub struct Finding {
    /// The scores of all classes.
    pub scores: Vec<f64>,
    /// The neurons of largest score, the winner first.
    pub top: Vec<Neuron>,
    /// The operators that the terms of the bias come from.
    pub operators: Vec<String>,
    /// The patterns of the output layer.
    pub output: Analysed,
    /// The parts of the hidden layers.
    pub hidden: Vec<Hidden>,
    /// The nearest border of the linear region, where it was wanted.
    pub border: Option<Border>,
}

/// The nearest border of a linear region.
pub struct Border {
    /// Its distance from the input; infinite where nothing switches.
    pub radius: f64,
    /// The distance of the nearest border on which the input does not lie.
    pub beyond: f64,
    /// What switches there.
    pub switch: Option<String>,
}

/// One output neuron.
pub struct Neuron {
    /// Its flat number.
    pub number: usize,
    /// v
    pub activity: f64,
    /// b̂
    pub bias: f64,
    /// ‖ŵ‖
    pub norm: f64,
    /// ŵ
    pub weights: Array1<f64>,
    /// ν̂
    pub icd: Array1<f64>,
    /// b̂ by operator.
    pub terms: Vec<f64>,
    /// By how much its identities miss.
    pub misses: Misses,
}

/// The patterns of some neurons.
pub struct Analysed {
    /// Their flat numbers.
    pub numbers: Vec<usize>,
    /// How many there are of their kind.
    pub of: usize,
    /// The analysis.
    pub spa: Spa,
    /// R_γ
    pub power: Power,
}

/// The parts of a hidden layer.
pub struct Hidden {
    /// The active neurons.
    pub active: Analysed,
    /// The others.
    pub inactive: Analysed,
}

/// The patterns that are shown of the parts of a hidden layer.
const SHOWN: usize = 3;

/// The sessions of a report.
pub struct Gatherer<'a> {
    layers: &'a Layers,
    request: Request,
    activities: Probe,
    tops: Probe,
    region: Option<Probe>,
    output: Sweep,
    /// A sweep over all neurons of a hidden layer, where they are few enough.
    hidden: Vec<Option<Sweep>>,
}

impl<'a> Gatherer<'a> {
    /// Transforms the model for every part of the report.
    ///
    /// # Errors
    /// When a layer cannot be projected, or the engine refuses the model.
    pub fn new(
        study: &Study,
        common: &Common,
        layers: &'a Layers,
        request: Request,
    ) -> Result<Self> {
        let probe = |names: Vec<&str>, neurons, emit: &[Quantity]| {
            let named = |name: &str| LayerRequest { alias: None, what: name.to_owned() };
            let layers = names.into_iter().map(named).collect();
            let (input, batch) = (common.input.as_deref(), common.batch);
            Probe::new(
                study,
                &probe::Request { input, batch, layers, neurons, emit, direction: None },
            )
        };
        let mut names = vec![layers.output.name.as_str()];
        for layer in &layers.hidden {
            let entering = layer.pooling.iter().map(|(input, _)| input.as_str());
            names.extend([layer.name.as_str()].into_iter().chain(entering));
        }
        names.sort_unstable();
        names.dedup();
        let activities = probe(names, Choice::All, &[Quantity::Activity])?;
        let top = Choice::Top(request.top.min(layers.output.neurons()).max(1));
        let all = [&Quantity::DEFAULT[..], &[Quantity::BiasTerms]].concat();
        let tops = probe(vec![&layers.output.name], top, &all)?;
        let region = request.radius.then(|| region(study, common, &layers.output)).transpose()?;
        let sweep = |layer: &Layer, choice| Sweep::new(study, common, named(layer), Some(&choice));
        let fits = |layer: &Layer| layer.neurons() <= request.most;
        let output = match fits(&layers.output) {
            true => sweep(&layers.output, Choice::All)?,
            false => sweep(&layers.output, Choice::Top(request.most))?,
        };
        let hidden = layers.hidden.iter();
        let hidden = hidden.map(|layer| fits(layer).then(|| sweep(layer, Choice::All)).transpose());
        let hidden = hidden.collect::<Result<_>>()?;
        Ok(Self { layers, request, activities, tops, region, output, hidden })
    }

    /// Explains one sample.
    ///
    /// # Errors
    /// When a run fails, or a value is not finite.
    pub fn explain(&mut self, study: &Study, common: &Common, sample: usize) -> Result<Finding> {
        let data = study.samples(sample, 1)?;
        let one = |probe: &mut Probe| {
            let mut outputs = probe.run(&data, None).map_err(|e| study.at(e))?;
            outputs.pop().ok_or_else(|| Error::internal("an empty run"))
        };
        let activities = one(&mut self.activities)?;
        let scores = activities.activity(&self.layers.output.name, 0)?;
        let tops = one(&mut self.tops)?;
        let x = Array1::from_iter(study.sample(sample)?);
        let top = top_neurons(&tops, &self.layers.output.name, &x)?;
        let operators = self.tops.noted(&self.layers.output.name, "bias-terms");
        let output = Rows::of(&mut self.output, study, &data)?;
        let (of, gamma) = (self.layers.output.neurons(), self.request.gamma);
        let output = output.analysed(None, of, usize::MAX, gamma).map_err(|e| study.at(e))?;
        let mut hidden = Vec::new();
        for (index, layer) in self.layers.hidden.iter().enumerate() {
            let parts = parts(layer, &activities, self.request.rule)?;
            hidden.push(self.parts(study, common, &data, (index, layer), &parts, &activities)?);
        }
        let alias = &self.layers.output.name;
        let border = match &mut self.region {
            Some(region) => Some(border(&one(region)?, region, alias)?),
            None => None,
        };
        Ok(Finding { scores, top, operators, output, hidden, border })
    }

    /// The patterns of both parts of a hidden layer.
    fn parts(
        &mut self,
        study: &Study,
        common: &Common,
        data: &Array,
        (index, layer): (usize, &Layer),
        parts: &Parts,
        activities: &Outputs,
    ) -> Result<Hidden> {
        let Request { most, gamma, .. } = self.request;
        if let Some(Some(sweep)) = self.hidden.get_mut(index) {
            let rows = Rows::of(sweep, study, data)?;
            let part = |chosen: &[usize]| {
                rows.analysed(Some(chosen), chosen.len(), SHOWN, gamma).map_err(|e| study.at(e))
            };
            return Ok(Hidden { active: part(&parts.active)?, inactive: part(&parts.inactive)? });
        }
        let values = activities.activity(&layer.name, 0)?;
        let part = |chosen: &[usize]| {
            let taken = strongest(&values, chosen, most);
            let rows = match taken.is_empty() {
                true => Rows::none(self.layers.components()),
                false => {
                    let list: Vec<String> = taken.iter().map(usize::to_string).collect();
                    let choice: Choice = list.join(",").parse()?;
                    let mut sweep = Sweep::new(study, common, named(layer), Some(&choice))?;
                    Rows::of(&mut sweep, study, data)?
                }
            };
            rows.analysed(None, chosen.len(), SHOWN, gamma).map_err(|e| study.at(e))
        };
        Ok(Hidden { active: part(&parts.active)?, inactive: part(&parts.inactive)? })
    }
}

fn named(layer: &Layer) -> LayerRequest {
    LayerRequest { alias: None, what: layer.name.clone() }
}

/// What tells the radius of the linear region around a sample.
fn region(study: &Study, common: &Common, output: &Layer) -> Result<Probe> {
    let mut options = Options {
        input: common.input.clone(),
        layers: vec![named(output)],
        neurons: Some(Choice::Top(1)),
        emit: vec![Quantity::Radius],
        batch: common.batch,
        ..Options::default()
    };
    options.limits.memory = Some(study.memory);
    Probe::asked(&study.model, study, &options).map_err(|e| study.at(e))
}

/// The nearest border, in words.
fn border(outputs: &Outputs, region: &Probe, alias: &str) -> Result<Border> {
    let number = |name| outputs.number(alias, name, 0);
    let (radius, beyond) = (number("radius")?, number("radius-beyond")?);
    let mut place = number("radius-neuron")? as i64;
    let mut switch = None;
    for operator in region.noted::<serde_json::Value>(alias, "state") {
        let count = operator["count"].as_i64().unwrap_or(i64::MAX);
        if (0..count).contains(&place) {
            let text = |key: &str| operator[key].as_str().unwrap_or_default().to_owned();
            switch = Some(format!("element {place} of {} ({})", text("node"), text("operator")));
            break;
        }
        place -= count;
    }
    Ok(Border { radius, beyond, switch })
}

/// The active and inactive neurons of a layer.
fn parts(layer: &Layer, activities: &Outputs, rule: Rule) -> Result<Parts> {
    let values = activities.activity(&layer.name, 0)?;
    let winners = match &layer.pooling {
        None => None,
        Some((input, windows)) => {
            let entering = activities.activity(input, 0)?;
            Some(wins(&windows.winners(&entering), entering.len()))
        }
    };
    Ok(Parts::of(&values, winners.as_deref(), rule))
}

/// The output neurons of largest activity with all that the transformed model says of them.
fn top_neurons(outputs: &Outputs, alias: &str, x: &Array1<f64>) -> Result<Vec<Neuron>> {
    let get = |quantity: &str| outputs.get(alias, quantity, 0);
    let numbers = outputs.numbers(alias, 0)?;
    let (v, b, terms) = (get("activity")?, get("bias")?, get("bias-terms")?);
    let (weights, centre, icd) = (get("weights")?, get("centre")?, get("icd")?);
    let mut neurons = Vec::new();
    for (place, &number) in numbers.iter().enumerate() {
        let row = |rows: &ndarray::ArrayD<f64>| {
            Array1::from_iter(rows.index_axis(Axis(0), place).iter().copied())
        };
        let first = |rows: &ndarray::ArrayD<f64>| row(rows).first().copied().unwrap_or(0.0);
        let (weights, centre, icd) = (row(&weights), row(&centre), row(&icd));
        let (activity, bias) = (first(&v), first(&b));
        let projected = Projected {
            x: x.view(),
            activity,
            weights: weights.view(),
            bias,
            centre: centre.view(),
            icd: icd.view(),
        };
        let (misses, norm) = (projected.misses(), projected.norm());
        let terms = row(&terms).to_vec();
        let number = usize::try_from(number)
            .map_err(|_| Error::internal("the number of a neuron is negative").value(alias))?;
        neurons.push(Neuron { number, activity, bias, norm, weights, icd, terms, misses });
    }
    Ok(neurons)
}

/// Weights `[M, d]` and activities `[M]` of some neurons.
struct Rows {
    numbers: Vec<usize>,
    weights: Array2<f64>,
    activity: Array1<f64>,
}

impl Rows {
    fn none(components: usize) -> Self {
        let (weights, activity) = (Array2::zeros((0, components)), Array1::zeros(0));
        Self { numbers: Vec::new(), weights, activity }
    }

    /// The neurons of a sweep at one sample.
    fn of(sweep: &mut Sweep, study: &Study, data: &Array) -> Result<Self> {
        let (mut numbers, mut activity, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        sweep.each(study, data, |piece| {
            numbers.extend(piece.numbers.iter().filter_map(|&n| usize::try_from(n).ok()));
            activity.extend(piece.rows.activity());
            weights.push(piece.rows.weights());
            Ok(())
        })?;
        let views: Vec<_> = weights.iter().map(|rows| rows.view()).collect();
        let weights = concatenate(Axis(0), &views).map_err(|e| Error::internal(e.to_string()))?;
        Ok(Self { numbers, weights, activity: activity.into() })
    }

    /// The patterns of the neurons at the places `chosen`, of all where none are named; `of` is how
    /// many there are of their kind.
    fn analysed(
        &self,
        chosen: Option<&[usize]>,
        of: usize,
        most: usize,
        gamma: f64,
    ) -> Result<Analysed> {
        let v = match chosen {
            None => analyse::icd(self.weights.view(), self.activity.view())?,
            Some(places) => analyse::icd(
                self.weights.select(Axis(0), places).view(),
                self.activity.select(Axis(0), places).view(),
            )?,
        };
        let spa = Spa::of(&v.view(), most)?;
        let power = Power::of(&spa.spectrum, gamma)?;
        let numbers = match chosen {
            None => self.numbers.clone(),
            Some(places) => {
                places.iter().filter_map(|&place| self.numbers.get(place).copied()).collect()
            }
        };
        Ok(Analysed { numbers, of, spa, power })
    }
}

impl Finding {
    /// The classes of largest score.
    pub fn best(&self, most: usize) -> Vec<usize> {
        largest(&self.scores, most)
    }
}
