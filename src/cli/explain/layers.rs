//! Which layers a report is about.

use crate::analyse::{Link, Windows};
use crate::cli::stats::windows;
use crate::cli::study::{Common, Study, extents};
use crate::compile::select::{self, LayerInfo, Path};
use crate::error::Result;
use crate::graph::{Graph, ValueId};

/// One layer.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The value's name.
    pub name: String,
    /// The extents of one sample.
    pub shape: Vec<usize>,
    /// The value that enters the max pooling behind it, and the windows, where one follows.
    pub pooling: Option<(String, Windows)>,
}

/// The layers of a report.
pub struct Layers {
    /// The scores of classes.
    pub output: Layer,
    /// What makes probabilities of them, and the operator's name where the model has it.
    pub link: (Link, Option<String>),
    /// Hidden layers whose parts are analysed.
    pub hidden: Vec<Layer>,
    /// The extents of a sample of the input.
    pub input: Vec<usize>,
    /// The input's name.
    pub input_name: String,
    /// Whether theorem 1 holds exactly for the output layer.
    pub exact: bool,
}

impl Layer {
    /// The number of neurons.
    pub fn neurons(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Layers {
    /// The output layer, and the hidden layers that are `wanted`; without any, the convolution of
    /// fewest neurons and the last fully connected layer that an activation follows.
    ///
    /// # Errors
    /// When a layer is unknown, or extents are only known at run time.
    pub fn find(study: &Study, common: &Common, wanted: &[String]) -> Result<Self> {
        let graph = &study.prepared.graph;
        let input = select::input(graph, common.input.as_deref())?;
        let path = select::path(graph, &graph.topological()?, input);
        let (logits, enters) = select::logits(graph, &path)?;
        let axis = |value| select::batch_axis(graph, input, &[value], common.batch);
        let layer = |value: ValueId| {
            let shape = extents(graph, value, axis(value)?)?;
            let pooled = select::pooled(graph, value)?;
            let pooling = pooled.map(|p| (graph.value(p.input).name.clone(), windows(&p)));
            Ok(Layer { name: graph.value(value).name.clone(), shape, pooling })
        };
        let hidden = match wanted {
            [only] if only == "none" => Vec::new(),
            [] => defaults(graph, &path, logits, layer)?,
            _ => wanted
                .iter()
                .map(|what| select::find(graph, &path, what).and_then(layer))
                .collect::<Result<_>>()?,
        };
        let link = match enters.as_deref() {
            Some("Sigmoid") => Link::Sigmoid,
            _ => Link::Softmax,
        };
        Ok(Self {
            output: layer(logits)?,
            link: (link, enters),
            hidden,
            input: extents(graph, input, axis(logits)?)?,
            input_name: graph.value(input).name.clone(),
            exact: select::is_exact(graph, &path, logits),
        })
    }

    /// The most neurons that one of the layers has.
    pub fn largest(&self) -> usize {
        self.hidden.iter().map(Layer::neurons).fold(self.output.neurons(), usize::max)
    }

    /// The number of input components.
    pub fn components(&self) -> usize {
        self.input.iter().product()
    }
}

/// One hidden convolution and one hidden fully connected layer, as far as there are some whose
/// extents are known.
fn defaults(
    graph: &Graph,
    path: &Path,
    logits: ValueId,
    layer: impl Fn(ValueId) -> Result<Layer>,
) -> Result<Vec<Layer>> {
    let bends = |info: &LayerInfo| {
        let links = ["Softmax", "LogSoftmax", "Sigmoid", "Hardmax"];
        info.value != logits
            && info.activation.as_deref().is_some_and(|activation| !links.contains(&activation))
            && path.uncovered(graph, &[info.value]).is_empty()
    };
    let found = select::layers(graph, path).into_iter().filter(bends);
    let known: Vec<Layer> = found.filter_map(|info| layer(info.value).ok()).collect();
    let convolution = known.iter().filter(|l| l.shape.len() > 1).min_by_key(|l| l.neurons());
    let connected = known.iter().rfind(|l| l.shape.len() == 1);
    Ok(convolution.into_iter().chain(connected).cloned().collect())
}
