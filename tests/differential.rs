//! One projection on many roads: random graphs and real models, in tract and ONNX Runtime, forward
//! and reverse, in blocks and at once, simplified further and not, for every target, and with their
//! weights inside, beside and in the original file.
//!
//! `SLPC_SEED` tries the graphs of one seed or of a range `FIRST..LAST`; `SLPC_LONG=1` tries thousands,
//! and every real model.

mod common;
mod generate;
#[path = "differential/real.rs"]
mod real;
#[path = "differential/roads.rs"]
mod roads;

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use common::{Outputs, data, long, options};
use generate::{Random, generate};
use ndarray::ArrayD;
use real::Real;
use roads::{Road, TARGETS, differences, onnxruntime, roads, run, switches, try_run};
use slpc::compile::target::Target;
use slpc::compile::{Options, transform};
use slpc::engine::{Array, Backend, Session, Setup};
use slpc::error::Error;
use slpc::graph::{Attr, DataType, Model, Node, Tensor};
use slpc::onnx::{Weights, emit, load, text, to_bytes};

/// A graph whose nearest kink is as far as this, of the input's largest entry, may be on its other
/// side in another engine.
const NEAR: f64 = 1e-4;

/// Graphs that disagreed once: tract took a broadcast before a contraction away, and the beginning from
/// steps behind a convolution, or stored a product in the wrong places; one layer's blocks read an extent
/// off another's; an axis of one element was reversed.
const FOUND: [u64; 10] =
    [11_626, 11_792, 12_214, 12_260, 12_378, 13_133, 13_209, 13_378, 13_395, 14_628];

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
            **tensor = Tensor::floats(DataType::F32, tensor.dims.clone(), &floats);
        }
    }
    model
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

    /// Every road's differences from the first, and how many roads there are.
    fn check(&self, targets: &[Target]) -> (Vec<String>, usize) {
        let mut roads = roads(&single(self.model.clone()), &self.request, true, targets);
        if self.is_foreign() {
            roads.retain(|road| road.setup.backend == Backend::Tract);
        }
        let first = roads.remove(0);
        let plain = run(&to_bytes(&first.model).unwrap(), &first.setup, &self.inputs);
        let (mut wrong, mut compared) = (Vec::new(), 0);
        for Road { name, model, setup } in roads {
            let found = match try_run(&to_bytes(&model).unwrap(), &setup, &self.inputs) {
                Ok(found) => found,
                Err(error) if self.miscounted(&error) => continue,
                Err(error) => panic!("{name} in {}: {error}", setup.backend),
            };
            compared += 1;
            let list = differences(&found, &plain).into_iter();
            wrong.extend(list.map(|text| format!("{name} in {}: {text}", setup.backend)));
        }
        (wrong, compared)
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
        let told = ["ShapeInferenceError", "Shape mismatch attempting to re-use buffer"];
        told.iter().any(|told| error.to_string().contains(told))
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
    // In the short form each graph is for one of the targets that are not the default.
    let one = 1 + seed as usize % (TARGETS.len() - 1);
    let targets = if long() { TARGETS.to_vec() } else { vec![TARGETS[one]] };
    let work = AssertUnwindSafe(|| {
        let (wrong, comparisons) = case.check(&targets);
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
    let foreign = usize::from(comparisons < 5);
    Ok(Count { graphs: 1, comparisons, kinks: usize::from(near), foreign })
}

#[test]
fn random_graphs_agree_on_every_road() {
    let graphs = if long() { 5000 } else { 100 };
    let wanted = std::env::var("SLPC_SEED").ok().map(|text| {
        let (first, last) = text.split_once("..").unwrap_or((&text, ""));
        let first = first.parse().expect("a seed");
        let last = if last.is_empty() { first + 1 } else { last.parse().expect("a seed") };
        first..last
    });
    let usual = || (10_000..10_000 + graphs).chain(FOUND).collect();
    let seeds: Vec<u64> = wanted.map_or_else(usual, Iterator::collect);
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
    assert!(all.foreign * 4 <= all.graphs.max(4), "{} graphs in tract alone", all.foreign);
    assert!(all.kinks * 50 <= all.graphs.max(50), "too many at a kink");
}

/// What is compared of real models.
const QUANTITIES: &str = "activity,weights,bias,centre,icd,bias-terms";

/// Tries a real model; tells how many roads agree, and how many more do but for elements that two
/// engines put on the two sides of a kink, each within rounding of it.
fn try_real(folder: &Path, name: &str) -> (usize, usize) {
    let real = Real::open(folder, name);
    let model = load(&real.path).unwrap();
    let request = options(&[&format!("l={}", real.layer)], real.neurons, QUANTITIES);
    // The roads along the edges carry a seed for each component of the input.
    let forward = real.size() < if long() { 10_000 } else { 1000 };
    let targets = if long() { &TARGETS[..] } else { &[Target::OpenVino] };
    let mut roads = roads(&model, &request, forward, targets);
    let first = roads.remove(0);
    let plain = run(&to_bytes(&first.model).unwrap(), &first.setup, &real.inputs);
    let (mut equal, mut switched) = (0, 0);
    for Road { name: road, model: augmented, setup } in roads {
        let found = run(&to_bytes(&augmented).unwrap(), &setup, &real.inputs);
        let wrong = differences(&found, &plain);
        if wrong.is_empty() {
            equal += 1;
            continue;
        }
        assert!(setup.backend != Backend::Tract, "{name}, {road} in tract: {wrong:?}");
        let away = switches(&model, real.dtype, &real.inputs);
        let within = !away.is_empty() && away.iter().all(|&away| away < 1e-5);
        assert!(within, "{name}, {road} in {}: {wrong:?}, kinks {away:?}", setup.backend);
        println!("{name}, {road} in {}: {} elements switch", setup.backend, away.len());
        switched += 1;
    }
    (equal, switched)
}

#[test]
fn real_models_agree_on_every_road() {
    let Some(folder) = data() else { return };
    let names = if long() { &real::NAMES[..] } else { &real::NAMES[..2] };
    let wanted = std::env::var("SLPC_MODEL").ok();
    for name in names.iter().filter(|name| wanted.as_ref().is_none_or(|wanted| wanted == *name)) {
        let (equal, switched) = try_real(&folder, name);
        println!("{name}: {equal} roads agree, {switched} more but for kinks");
        assert!(equal >= 3, "{name}: the roads in tract");
    }
}

/// The augmented model's outputs where its weights are in each place, from files.
fn placed(folder: &Path, original: &Path, request: &Options, inputs: &[(String, Array)]) {
    let (augmented, _) = load(original).and_then(|model| transform(model, request)).unwrap();
    let whole = to_bytes(&augmented).unwrap();
    let files = [Weights::Keep, Weights::External, Weights::Reference].map(|weights| {
        let path = folder.join(format!("{weights:?}.onnx"));
        emit(&augmented, &path, weights).unwrap();
        (weights, path)
    });
    for setup in [Setup::default(), onnxruntime()] {
        let plain = run(&whole, &setup, inputs);
        for (weights, path) in &files {
            let outputs = Session::open(path, &setup).and_then(|mut s| s.run(inputs));
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
    let names = if long() { &real::NAMES[..] } else { &["resnet20_cifar10", "mnist_cntk_ort"] };
    for name in names {
        let real = Real::open(&data, name);
        let original = folder.path().join(format!("{name}.onnx"));
        std::fs::copy(&real.path, &original).unwrap();
        let request = options(&[real.layer], real.neurons, "activity,weights,bias");
        placed(folder.path(), &original, &request, &real.inputs);
    }
}
