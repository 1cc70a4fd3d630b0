//! What was found: the arrays of a sample, and all analyses as rows and JSON.

use ndarray::{Array1, Array2, ArrayD, Axis};
use serde_json::{Value, json};

use super::gather::Gathered;
use crate::analyse::{Parts, Power, Spa};
use crate::engine::Array;
use crate::error::{Error, Result};

/// The analyses of all samples, and the arrays of the current one.
pub struct Findings {
    input: Vec<usize>,
    patterns: usize,
    gamma: f64,
    samples: usize,
    arrays: Vec<(String, Array)>,
    lines: Vec<Line>,
}

struct Line {
    sample: usize,
    part: &'static str,
    neurons: usize,
    power: Power,
    largest: Vec<f64>,
    floor: f64,
}

impl Findings {
    /// Nothing yet, for samples of the extents `input`.
    pub fn new(input: Vec<usize>, patterns: usize, gamma: f64) -> Self {
        Self { input, patterns, gamma, samples: 0, arrays: Vec::new(), lines: Vec::new() }
    }

    /// Begins the next sample; with `icd`, weights and decompositions are kept too.
    ///
    /// # Errors
    /// When shapes contradict each other, which is a defect.
    pub fn begin(&mut self, gathered: &Gathered, icd: Option<&Array2<f64>>) -> Result<()> {
        self.samples += 1;
        self.arrays.clear();
        let numbers = Array1::from(gathered.numbers.clone());
        self.arrays.push(("neurons".to_owned(), numbers.insert_axis(Axis(0)).into()));
        let neurons = gathered.numbers.len();
        self.push("activity", &[neurons], gathered.activity.iter())?;
        if let Some(icd) = icd {
            let shape = [&[neurons], &self.input[..]].concat();
            self.push("weights", &shape, gathered.weights.iter())?;
            self.push("icd", &shape, icd.iter())?;
        }
        Ok(())
    }

    /// An array of one sample, in single precision.
    fn push<'a>(
        &mut self,
        name: &str,
        shape: &[usize],
        values: impl Iterator<Item = &'a f64>,
    ) -> Result<()> {
        let values: Vec<f32> = values.map(|&value| value as f32).collect();
        let array = ArrayD::from_shape_vec([&[1], shape].concat(), values);
        let array = array.map_err(|e| Error::internal(e.to_string()))?;
        self.arrays.push((name.to_owned(), array.into()));
        Ok(())
    }

    /// The arrays of the current sample, along a first axis of extent 1.
    pub fn arrays(&self) -> &[(String, Array)] {
        &self.arrays
    }

    /// Notes who is active at this sample.
    pub fn mark_active(&mut self, parts: &Parts, neurons: usize) {
        let mut active = vec![false; neurons];
        parts.active.iter().for_each(|&neuron| active[neuron] = true);
        let active = Array1::from(active).insert_axis(Axis(0));
        self.arrays.push(("active".to_owned(), active.into()));
    }

    /// Analyses the decompositions of the neurons at `places` and keeps what is found under names
    /// that begin with `part`.
    ///
    /// # Errors
    /// When a value is not finite.
    pub fn add(&mut self, part: &'static str, v: &Array2<f64>, places: &[usize]) -> Result<()> {
        let most = self.patterns.min(v.nrows()).min(v.ncols());
        let chosen = v.select(Axis(0), places);
        let spa = Spa::of(&chosen.view(), most)?;
        let power = Power::of(&spa.spectrum, self.gamma)?;
        let found = spa.patterns.nrows();

        let mut patterns = Array2::zeros((most, v.ncols()));
        let mut mixing = Array2::zeros((most, v.nrows()));
        for j in 0..found {
            patterns.row_mut(j).assign(&spa.patterns.row(j));
            for (&place, &share) in places.iter().zip(spa.mixing.column(j)) {
                mixing[[j, place]] = share;
            }
        }
        let shape = [&[most], &self.input[..]].concat();
        self.push(&format!("{part}patterns"), &shape, patterns.iter())?;
        self.push(&format!("{part}mixing"), &[most, v.nrows()], mixing.iter())?;
        let mut values = spa.spectrum.values.clone();
        values.resize(v.nrows().min(v.ncols()), 0.0);
        let row = Array1::from(values.clone()).insert_axis(Axis(0));
        self.arrays.push((format!("{part}singular-values"), row.into()));
        let power_row = Array1::from(vec![power.patterns as i64]);
        self.arrays.push((format!("{part}power"), power_row.into()));
        self.lines.push(Line {
            sample: self.samples - 1,
            part: part.strip_suffix('/').unwrap_or("all"),
            neurons: places.len(),
            power,
            largest: values.iter().take(3).copied().collect(),
            floor: spa.spectrum.floor,
        });
        Ok(())
    }

    /// The table, a row an analysis; `plain` with every digit.
    pub fn rows(&self, plain: bool) -> Vec<Vec<String>> {
        let head = ["sample", "part", "neurons", "s1", "s2", "s3", "rank", "R", "proportion"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for line in &self.lines {
            let mut row = vec![line.sample.to_string(), line.part.to_owned()];
            row.push(line.neurons.to_string());
            for place in 0..3 {
                row.push(match line.largest.get(place) {
                    Some(value) if plain => value.to_string(),
                    Some(value) => format!("{value:.4e}"),
                    None => "-".to_owned(),
                });
            }
            row.extend([line.power.rank.to_string(), line.power.patterns.to_string()]);
            row.push(match plain {
                true => line.power.proportion.to_string(),
                false => format!("{:.4}", line.power.proportion),
            });
            rows.push(row);
        }
        rows
    }

    /// The same for programs.
    pub fn as_json(&self) -> Value {
        let entry = |line: &Line| {
            json!({
                "sample": line.sample,
                "part": line.part,
                "neurons": line.neurons,
                "singular_values": line.largest,
                "floor": line.floor,
                "power": line.power,
            })
        };
        json!({
            "gamma": self.gamma,
            "analyses": self.lines.iter().map(entry).collect::<Vec<_>>(),
        })
    }
}
