//! One projection on many roads: random graphs and real models, in tract and ONNX Runtime, forward
//! and reverse, in blocks and at once, simplified further and not, and with their weights inside,
//! beside and in the original file.
//!
//! `SLPC_SEED` tries the graph of one seed; `SLPC_LONG=1` tries thousands.

mod common;
mod generate;

use std::collections::HashSet;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use common::{Outputs, data, golden, long, options, towards};
use generate::{Random, generate};
use ndarray::{ArrayD, Axis};
use slpc::compile::plan::Direction::{Forward, Reverse};
use slpc::compile::plan::Limits;
use slpc::compile::{Options, simplify, transform};
use slpc::engine::{Array, Backend, Session, Setup};
use slpc::error::Error;
use slpc::graph::{Attr, DataType, Model, Node, Tensor};
use slpc::onnx::{Weights, emit, load, text, to_bytes};

/// What sums in another order may differ by in single precision, of an output's largest entry.
const ROUNDING: f64 = 2e-4;
/// A graph whose nearest kink is as far as this, of the input's largest entry, may be on its other
/// side in another engine.
const NEAR: f64 = 1e-4;

/// What became of the graphs.
#[derive(Default)]
struct Count {
    graphs: usize,
    comparisons: usize,
    /// Graphs that differ, with an input within rounding of a kink.
    kinks: usize,
    /// Graphs that ONNX Runtime refuses or reads otherwise before anything is added to them.
    foreign: usize,
}

fn onnxruntime() -> Setup {
    let library = Some(common::onnxruntime());
    Setup { backend: Backend::OnnxRuntime, library, ..Setup::default() }
}

fn try_run(bytes: &[u8], setup: &Setup, inputs: &[(String, Array)]) -> Result<Outputs, Error> {
    let outputs = Session::from_bytes(bytes, setup).and_then(|mut session| session.run(inputs));
    Ok(Outputs(outputs?.into_iter().collect()))
}

fn run(bytes: &[u8], setup: &Setup, inputs: &[(String, Array)]) -> Outputs {
    let outputs = try_run(bytes, setup, inputs);
    outputs.unwrap_or_else(|error| panic!("{}: {error}", setup.backend))
}

/// The model in single precision.
fn single(mut model: Model) -> Model {
    let ids: Vec<_> = model.graph.values().map(|(id, _)| id).collect();
    for id in ids {
        let value = model.graph.value_mut(id);
        if value.dtype == Some(DataType::F64) {
            value.dtype = Some(DataType::F32);
        }
        if let Some(tensor) = value.tensor.as_mut().filter(|t| t.dtype == DataType::F64) {
            let floats = tensor.to_floats().unwrap();
            *tensor = Tensor::floats(DataType::F32, tensor.dims.clone(), &floats);
        }
    }
    model
}

/// The names of outputs that differ by more than rounding, each with both numbers at the worst place.
fn differences(found: &Outputs, expected: &Outputs) -> Vec<String> {
    let mut list = Vec::new();
    for (name, array) in &expected.0 {
        let (found, expected) = (found.get(name), array.to_f64());
        if found.shape() != expected.shape() {
            list.push(format!("{name}: {:?} where {:?}", found.shape(), expected.shape()));
            continue;
        }
        let scale = expected.iter().fold(1e-3f64, |m, v| m.max(v.abs()));
        let pairs = found.iter().zip(&expected);
        let worst = pairs.max_by(|a, b| (a.0 - a.1).abs().total_cmp(&(b.0 - b.1).abs()));
        if let Some((found, expected)) = worst
            && ((found - expected).abs() > ROUNDING * scale || found.is_nan() != expected.is_nan())
        {
            list.push(format!("{name}: {found:e} where {expected:e}, of {scale:e}"));
        }
    }
    list
}

/// One random graph, its request and its input.
struct Case {
    model: Model,
    x: ArrayD<f64>,
    request: Options,
    inputs: Vec<(String, Array)>,
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let batch = random.between(1, 3);
        let dynamic = random.one_in(2);
        let size = random.between(3, 14);
        let made = generate(&mut random, size, batch, dynamic, true);
        let dims = [&[batch], made.input.as_slice()].concat();
        let x = ArrayD::from_shape_vec(dims.clone(), random.floats(dims.iter().product())).unwrap();
        let layers = [made.values.last().unwrap().clone(), random.pick(&made.values[1..])];
        let count = if layers[0].id == layers[1].id { 1 } else { 2 };
        let names = layers[..count].iter().enumerate();
        let names = names.map(|(i, l)| format!("l{i}={}", made.model.graph.value(l.id).name));
        let names: Vec<_> = names.collect();
        let neurons = random.pick(&["all", "0", "runtime"]);
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let request = options(&names, neurons, "activity,weights,bias,centre,icd,bias-terms");
        let mut inputs = vec![("x".to_owned(), Array::from(x.mapv(|v| v as f32)))];
        if neurons == "runtime" {
            inputs.extend(layers[..count].iter().enumerate().map(|(i, layer)| {
                let last = layer.dims.iter().product::<usize>() as i64 - 1;
                (format!("slp/l{i}/neurons"), ndarray::array![last, 0, last / 2].into())
            }));
        }
        Self { model: made.model, x, request, inputs }
    }

    fn augmented(&self, request: &Options) -> Model {
        transform(single(self.model.clone()), request).unwrap_or_else(|e| panic!("{e}")).0
    }

    /// The request with rows in blocks of two.
    fn in_blocks(&self) -> Options {
        let limits = Limits { direction: Some(Reverse), block: Some(2), ..Limits::default() };
        Options { limits, ..self.request.clone() }
    }

    /// Every road's differences from tract's in reverse, and how many roads there are.
    fn check(&self) -> (Vec<String>, usize) {
        let reverse = self.augmented(&towards(Reverse, self.request.clone()));
        let forward = self.augmented(&towards(Forward, self.request.clone()));
        let blocks = self.augmented(&self.in_blocks());
        let mut further = reverse.clone();
        simplify::simplify(&mut further.graph, &HashSet::new());
        let roads = [
            ("forward", &forward, Setup::default()),
            ("blocks", &blocks, Setup::default()),
            ("simplified", &further, Setup::default()),
            ("reverse", &reverse, onnxruntime()),
            ("forward", &forward, onnxruntime()),
            ("blocks", &blocks, onnxruntime()),
        ];
        let plain = run(&to_bytes(&reverse).unwrap(), &Setup::default(), &self.inputs);
        let roads = if self.is_foreign() { &roads[..3] } else { &roads };
        let mut wrong = Vec::new();
        for (name, model, setup) in roads {
            let found = match try_run(&to_bytes(model).unwrap(), setup, &self.inputs) {
                Ok(found) => found,
                Err(error) if self.miscounted(&error) => return (wrong, 3),
                Err(error) => panic!("{name} in {}: {error}", setup.backend),
            };
            let list = differences(&found, &plain).into_iter();
            wrong.extend(list.map(|text| format!("{name} in {}: {text}", setup.backend)));
        }
        (wrong, roads.len())
    }

    /// Whether ONNX Runtime refuses the graph itself or computes something else, as it does dilated
    /// windows with SAME padding.
    fn is_foreign(&self) -> bool {
        let original = to_bytes(&single(self.model.clone())).unwrap();
        let input = &self.inputs[..1];
        let plain = run(&original, &Setup::default(), input);
        try_run(&original, &onnxruntime(), input)
            .map_or(true, |found| !differences(&found, &plain).is_empty())
    }

    /// Whether the shapes that ONNX Runtime infers may not be those it computes: they count a last
    /// window that begins in the padding, which its kernels leave out.
    fn miscounted(&self, error: &Error) -> bool {
        let rounded_up = |node: &Node| matches!(node.attr("ceil_mode"), Some(Attr::Int(1)));
        error.to_string().contains("ShapeInferenceError")
            && self.model.graph.nodes().any(|(_, node)| rounded_up(node))
    }

    /// Whether some kink is within rounding of the input, in double precision.
    fn near_a_kink(&self) -> bool {
        let radius = Options { emit: vec!["radius".parse().unwrap()], ..self.request.clone() };
        let (model, _) = transform(self.model.clone(), &radius).unwrap_or_else(|e| panic!("{e}"));
        let mut inputs = self.inputs.clone();
        inputs[0].1 = self.x.mapv(|v| f64::from(v as f32)).into();
        let outputs = run(&to_bytes(&model).unwrap(), &Setup::default(), &inputs);
        let radii = outputs.0.iter().filter(|(name, _)| name.ends_with("/radius"));
        radii.flat_map(|(_, array)| array.to_f64()).any(|radius| radius < NEAR)
    }
}

/// Tries a graph; an error tells the seed and shows the graph.
fn try_seed(seed: u64) -> Result<Count, String> {
    let case = Case::new(seed);
    let work = AssertUnwindSafe(|| {
        let (wrong, comparisons) = case.check();
        let near = !wrong.is_empty() && case.near_a_kink();
        if near { (Vec::new(), comparisons, true) } else { (wrong, comparisons, false) }
    });
    let (wrong, comparisons, near) = catch_unwind(work).unwrap_or_else(|panic| {
        (vec![panic.downcast_ref::<String>().cloned().unwrap_or_default()], 0, false)
    });
    if !wrong.is_empty() {
        let graph = text::print_full(&case.model);
        return Err(format!("SLPC_SEED={seed}:\n{}\n{graph}", wrong.join("\n")));
    }
    let foreign = usize::from(comparisons < 6);
    Ok(Count { graphs: 1, comparisons, kinks: usize::from(near), foreign })
}

#[test]
fn random_graphs_agree_on_every_road() {
    let graphs = if long() { 5000 } else { 100 };
    let one = std::env::var("SLPC_SEED").ok().map(|seed| seed.parse().expect("a seed"));
    let seeds: Vec<u64> = one.map_or((10_000..10_000 + graphs).collect(), |seed| vec![seed]);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<_> = std::thread::scope(|scope| {
        let work = |worker| {
            let seeds = seeds.iter().skip(worker).step_by(threads);
            seeds.map(|&seed| try_seed(seed)).collect::<Vec<_>>()
        };
        let workers: Vec<_> = (0..threads).map(|w| scope.spawn(move || work(w))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let (mut all, mut wrong, mut failures) = (Count::default(), String::new(), 0);
    for result in results {
        match result {
            Ok(count) => {
                all.graphs += count.graphs;
                all.comparisons += count.comparisons;
                all.kinks += count.kinks;
                all.foreign += count.foreign;
            }
            Err(message) => {
                failures += 1;
                let _ = writeln!(wrong, "{message}");
            }
        }
    }
    println!(
        "{} graphs, {} comparisons; {} graphs differ within rounding of a kink; {} that ONNX Runtime \
         reads otherwise were compared in tract alone",
        all.graphs, all.comparisons, all.kinks, all.foreign
    );
    assert!(failures == 0, "{failures} graphs disagree\n{wrong}");
    assert!(all.foreign * 4 <= all.graphs, "{} graphs in tract alone", all.foreign);
    assert!(all.kinks * 50 <= all.graphs.max(50), "too many at a kink");
}

/// The augmented model's outputs where its weights are in each place, from files.
fn placed(folder: &Path, original: &Path, request: &Options, inputs: &[(String, Array)]) {
    let (augmented, _) = load(original).and_then(|model| transform(model, request)).unwrap();
    let whole = to_bytes(&augmented).unwrap();
    let plain = run(&whole, &Setup::default(), inputs);
    for weights in [Weights::Keep, Weights::External, Weights::Reference] {
        let path = folder.join(format!("{weights:?}.onnx"));
        emit(&augmented, &path, weights).unwrap();
        for setup in [Setup::default(), onnxruntime()] {
            let outputs = Session::open(&path, &setup).and_then(|mut s| s.run(inputs));
            let outputs = outputs.unwrap_or_else(|e| panic!("{weights:?}: {e}"));
            let found = Outputs(outputs.into_iter().collect());
            let wrong = differences(&found, &plain);
            let name = original.display();
            assert!(wrong.is_empty(), "{name}, {weights:?} in {}: {wrong:?}", setup.backend);
        }
    }
}

#[test]
fn weights_are_the_same_wherever_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let request = options(&["logits"], "top:2", "activity,weights,bias");
    let shipped = folder.path().join("original.onnx");
    std::fs::copy(common::shipped(), &shipped).unwrap();
    let x = [("input".to_owned(), Array::from(common::digit(3)))];
    placed(folder.path(), &shipped, &request, &x);
    let Some(data) = data() else { return };
    for name in ["resnet20_cifar10", "mnist_cntk_ort"] {
        let (x, _) = golden(&data.join(format!("golden/{name}.npz")));
        let first = x.slice_axis(Axis(0), (0..1).into()).to_owned();
        let original = folder.path().join(format!("{name}.onnx"));
        std::fs::copy(data.join(format!("models/{name}.onnx")), &original).unwrap();
        let input = load(&original).unwrap();
        let input = input.graph.value(input.graph.inputs[0]).name.clone();
        placed(folder.path(), &original, &request, &[(input, first.into())]);
    }
}
