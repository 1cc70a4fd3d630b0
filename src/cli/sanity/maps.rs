//! The maps that one model gives, as ranks.

use ndarray::{Array1, Array2};

use crate::analyse::correlation::{channel_sums, ranks};
use crate::analyse::{Explained, Method, along, winner};
use crate::cli::probe::{Probe, Request};
use crate::cli::study::{Common, Study, extents, layer_request};
use crate::compile::plan::{Direction, bytes};
use crate::compile::project::Quantity;
use crate::compile::select::{self, Choice};
use crate::engine::Array;
use crate::error::{Error, Result};
use crate::graph::Model;

/// The ranks of every method's map, in the order of [`Method::all`].
pub type Ranks = Vec<Option<Vec<f64>>>;

/// A model that explains.
pub struct Explainer {
    layer: Probe,
    path: Probe,
    input: Vec<usize>,
    channels: usize,
    neurons: usize,
    steps: usize,
}

impl Explainer {
    /// An explainer for `model`, which takes the samples of `study`.
    ///
    /// # Errors
    /// When the layer cannot be projected, or the engine refuses the model.
    pub fn new(
        study: &Study,
        common: &Common,
        model: &Model,
        layer: &str,
        steps: usize,
    ) -> Result<Self> {
        let graph = &study.prepared.graph;
        let request = |neurons, emit| Request {
            input: common.input.as_deref(),
            batch: common.batch,
            layers: vec![layer_request(graph, layer)],
            neurons,
            emit,
            direction: Some(Direction::Reverse),
        };
        let both: &[Quantity] = &[Quantity::Activity, Quantity::Weights];
        let value = select::input(graph, common.input.as_deref())?;
        let whole = Probe::of(model, study, &request(Choice::All, both))?;
        let path = Probe::of(model, study, &request(Choice::Runtime, &[Quantity::Weights]))?;
        let input = extents(graph, value, whole.summary.batch)?;
        let neurons = whole.summary.layers.first().and_then(|layer| layer.neurons).unwrap_or(0);
        let neurons = usize::try_from(neurons).unwrap_or(0);
        if neurons == 0 {
            return Err(
                Error::request("the number of the layer's neurons must be known").value(layer)
            );
        }
        let channels = common.channel_axis(&input);
        Ok(Self { layer: whole, path, input, channels, neurons, steps })
    }

    /// The extents of a sample, and the number of neurons.
    pub fn shape(&self) -> (Vec<usize>, usize) {
        (self.input.clone(), self.neurons)
    }

    /// Refuses more samples than the ranks of fit into the memory.
    ///
    /// # Errors
    /// When they do not.
    pub fn check_memory(&self, study: &Study) -> Result<()> {
        let components: usize = self.input.iter().product();
        let channels = self.input.get(self.channels).copied().unwrap_or(1).max(1);
        let one = (components / channels * Method::all().len() * size_of::<f64>()) as u64;
        let rows = (self.neurons * components * 8 * 4) as u64;
        let need = one.saturating_mul(study.count() as u64).saturating_add(rows);
        if need <= study.memory {
            return Ok(());
        }
        Err(Error::request(format!(
            "the maps of {} samples need {}, more than --memory {}",
            study.count(),
            bytes(need),
            bytes(study.memory)
        ))
        .help(format!(
            "--limit {} would fit, or --memory {need}",
            study.memory.saturating_sub(rows) / one.max(1)
        )))
    }

    /// The neuron explained, the winner if none is named, and the ranks of its maps.
    ///
    /// # Errors
    /// When a run fails, or gives a value that is not finite.
    pub fn explain(
        &mut self,
        study: &Study,
        sample: usize,
        neuron: Option<usize>,
    ) -> Result<(usize, Ranks)> {
        let at = |e: Error| study.at(e);
        let alias = self.layer.summary.layers.first().map(|l| l.alias.clone()).unwrap_or_default();
        let outputs = self.layer.run(&study.samples(sample, 1)?, None).map_err(at)?;
        let outputs = outputs.first().ok_or_else(|| Error::internal("a run gave nothing"))?;
        let activity = Array1::from(outputs.activity(&alias, 0)?);
        let weights = outputs.rows(&alias, 0)?.weights();
        let neuron = neuron.or_else(|| winner(activity.iter().copied())).unwrap_or(0);

        let x = Array1::from_iter(study.sample(sample)?);
        let baseline = Array1::zeros(x.len());
        let way =
            self.path_weights(study, &along(baseline.view(), x.view(), self.steps), neuron)?;
        let explained =
            Explained::new(x, (&weights, activity.view()), neuron, (&way, baseline.view()))
                .map_err(at)?;
        let rank = |method: Method| {
            let map = explained.map(method)?;
            Some(ranks(&channel_sums(&map.to_vec(), &self.input, self.channels)))
        };
        Ok((neuron, Method::all().into_iter().map(rank).collect()))
    }

    /// The weights of one neuron at the inputs `[steps, d]`.
    fn path_weights(
        &mut self,
        study: &Study,
        inputs: &Array2<f64>,
        neuron: usize,
    ) -> Result<Array2<f64>> {
        let alias = self.path.summary.layers.first().map(|l| l.alias.clone()).unwrap_or_default();
        let mut shape = vec![inputs.nrows()];
        shape.extend(&self.input);
        let lost = |e: ndarray::ShapeError| Error::internal(e.to_string());
        let shaped = inputs.clone().into_shape_with_order(shape).map_err(lost)?;
        let number = [i64::try_from(neuron).unwrap_or(0)];
        let runs = self.path.run(&Array::F64(shaped), Some(&number)).map_err(|e| study.at(e))?;
        let mut values = Vec::with_capacity(inputs.len());
        for run in &runs {
            for sample in 0..run.samples {
                values.extend(run.get(&alias, "weights", sample)?);
            }
        }
        Array2::from_shape_vec(inputs.dim(), values).map_err(lost)
    }
}
