//! A random graph with what is asked of it, in a type of float.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ndarray::{ArrayD, Axis};
use slpc::compile::plan::Direction::Reverse;
use slpc::compile::target::Target;
use slpc::compile::{Options, transform};
use slpc::engine::{Array, Backend, Setup};
use slpc::error::Error;
use slpc::graph::{Attr, DataType, Model, Node, Tensor};
use slpc::onnx::{text, to_bytes};

use crate::common::{Outputs, long, options, towards};
use crate::generate::{Random, generate};
use crate::roads::{Road, TARGETS, differences, onnxruntime, roads, run, try_run};

/// The model with the floats of one type in another.
pub fn converted(model: &Model, from: DataType, to: DataType) -> Model {
    let mut model = model.clone();
    let ids: Vec<_> = model.graph.values().map(|(id, _)| id).collect();
    for id in ids {
        let value = model.graph.value_mut(id);
        if value.dtype == Some(from) {
            value.dtype = Some(to);
        }
        if let Some(tensor) = value.tensor.as_mut().filter(|t| t.dtype == from) {
            let floats = tensor.to_floats().unwrap();
            **tensor = Tensor::floats(to, tensor.dims.clone(), &floats);
        }
    }
    model
}

/// The type that the roads compute in, and what it may round off.
#[derive(Clone, Copy)]
pub struct Precision {
    pub dtype: DataType,
    /// The type of the road that the others are compared with.
    pub truth: DataType,
    /// What they may differ by, of an output's largest entry.
    pub rounding: f64,
    /// A graph whose nearest kink is as far as this, of the input's largest entry, may be on its other
    /// side in another engine.
    pub near: f64,
    /// How many inputs are tried for one that is farther than this from every kink.
    pub tries: usize,
}

impl Precision {
    /// Sums in another order are rounded otherwise.
    pub const SINGLE: Self =
        Self { dtype: DataType::F32, truth: DataType::F32, rounding: 2e-4, near: 1e-4, tries: 1 };

    /// The bound that `verify` has, sixteen roundings, and twice as many for a kink.
    pub const HALF: Self = Self {
        dtype: DataType::F16,
        truth: DataType::F64,
        rounding: 7.8e-3,
        near: 1.6e-2,
        tries: 16,
    };

    fn rounded(self, values: ArrayD<f64>) -> Array {
        Array::floats(self.dtype, values).unwrap()
    }
}

/// What became of the graphs.
#[derive(Clone, Copy, Default)]
pub struct Count {
    pub graphs: usize,
    pub comparisons: usize,
    /// Graphs that differ, with an input within rounding of a kink.
    pub kinks: usize,
    /// Graphs that ONNX Runtime refuses or reads otherwise before anything is added to them.
    pub foreign: usize,
}

/// One random graph, its request and its input.
pub struct Case {
    /// In double precision, with numbers that the roads' type has.
    model: Model,
    precision: Precision,
    request: Options,
    inputs: Vec<(String, Array)>,
}

impl Case {
    fn new(seed: u64, precision: Precision) -> Self {
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
        let mut inputs = vec![("x".to_owned(), precision.rounded(x))];
        if neurons == "runtime" {
            inputs.extend(layers[..count].iter().enumerate().map(|(i, layer)| {
                let last = layer.dims.iter().product::<usize>() as i64 - 1;
                (format!("slp/l{i}/neurons"), ndarray::array![last, 0, last / 2].into())
            }));
        }
        let model = converted(&made.model, DataType::F64, precision.dtype);
        let model = converted(&model, precision.dtype, DataType::F64);
        Self { model, precision, request, inputs }
    }

    /// Takes other samples for those within rounding of a kink, as far as there are any.
    fn leave_kinks(&mut self, random: &mut Random) {
        for _ in 1..self.precision.tries {
            let radii = self.radii();
            let mut x = self.inputs[0].1.to_f64();
            let near = radii.iter().map(|&radius| radius < self.precision.near);
            let near: Vec<_> = near.enumerate().filter(|(_, near)| *near).map(|(n, _)| n).collect();
            if near.is_empty() {
                return;
            }
            for sample in near {
                x.index_axis_mut(Axis(0), sample).mapv_inplace(|_| random.float());
            }
            self.inputs[0].1 = self.precision.rounded(x);
        }
    }

    /// The distance of each sample to the nearest kink, in double precision.
    fn radii(&self) -> Vec<f64> {
        let radius = Options { emit: vec!["radius".parse().unwrap()], ..self.request.clone() };
        let outputs = self.reversed(&radius, DataType::F64);
        let names = outputs.0.keys().filter(|name| name.ends_with("/radius"));
        let layers: Vec<_> = names.map(|name| outputs.get(name)).collect();
        let least = |n: usize| {
            let of = layers.iter().flat_map(|radii| radii.index_axis(Axis(0), n).to_owned());
            of.fold(f64::INFINITY, f64::min)
        };
        (0..self.inputs[0].1.shape()[0]).map(least).collect()
    }

    /// What is requested, against the edges in tract.
    fn reversed(&self, request: &Options, dtype: DataType) -> Outputs {
        let model = converted(&self.model, DataType::F64, dtype);
        let (model, _) = transform(model, &towards(Reverse, request.clone()))
            .unwrap_or_else(|error| panic!("{error}"));
        let mut inputs = self.inputs.clone();
        inputs[0].1 = Array::floats(dtype, inputs[0].1.to_f64()).unwrap();
        run(&to_bytes(&model).unwrap(), &Setup::default(), &inputs)
    }

    /// Every road's differences from the truth, and what was compared.
    fn check(&self, targets: &[Target]) -> (Vec<String>, Count) {
        let Precision { dtype, truth, rounding, .. } = self.precision;
        let model = converted(&self.model, DataType::F64, dtype);
        let mut roads = roads(&model, &self.request, true, targets);
        let mut count = Count { graphs: 1, ..Count::default() };
        if self.is_foreign() {
            count.foreign = 1;
            roads.retain(|road| road.setup.backend == Backend::Tract);
        }
        if truth == dtype {
            roads.remove(0);
        }
        let plain = self.reversed(&self.request, truth);
        let mut wrong = Vec::new();
        for Road { name, model, setup } in roads {
            let found = match try_run(&to_bytes(&model).unwrap(), &setup, &self.inputs) {
                Ok(found) => found,
                Err(error) if self.miscounted(&error) => continue,
                Err(error) => panic!("{name} in {}: {error}", setup.backend),
            };
            count.comparisons += 1;
            let list = differences(&found, &plain, rounding).into_iter();
            wrong.extend(list.map(|text| format!("{name} in {}: {text}", setup.backend)));
        }
        if !wrong.is_empty() && self.radii().iter().any(|&radius| radius < self.precision.near) {
            count.kinks = 1;
            wrong.clear();
        }
        (wrong, count)
    }

    /// Whether ONNX Runtime refuses the graph itself or computes something else, as it does dilated
    /// windows with SAME padding.
    fn is_foreign(&self) -> bool {
        let Precision { dtype, rounding, .. } = self.precision;
        let original = to_bytes(&converted(&self.model, DataType::F64, dtype)).unwrap();
        let input = &self.inputs[..1];
        let plain = run(&original, &Setup::default(), input);
        try_run(&original, &onnxruntime(), input)
            .map_or(true, |found| !differences(&found, &plain, rounding).is_empty())
    }

    /// Whether the shapes that ONNX Runtime infers may not be those it computes: they count a last
    /// window that begins in the padding, which its kernels leave out.
    fn miscounted(&self, error: &Error) -> bool {
        let rounded_up = |node: &Node| matches!(node.attr("ceil_mode"), Some(Attr::Int(1)));
        let told = ["ShapeInferenceError", "Shape mismatch attempting to re-use buffer"];
        told.iter().any(|told| error.to_string().contains(told))
            && self.model.graph.nodes().any(|(_, node)| rounded_up(node))
    }
}

/// Tries a graph; an error tells the seed and shows the graph.
fn try_seed(seed: u64, precision: Precision) -> Result<Count, String> {
    let mut case = Case::new(seed, precision);
    // In the short form each graph is for one of the targets that are not the default.
    let one = 1 + seed as usize % (TARGETS.len() - 1);
    let targets = if long() { TARGETS.to_vec() } else { vec![TARGETS[one]] };
    let work = AssertUnwindSafe(|| {
        case.leave_kinks(&mut Random::new(!seed));
        case.check(&targets)
    });
    let (wrong, count) = catch_unwind(work).unwrap_or_else(|panic| {
        let told = panic.downcast_ref::<String>().cloned();
        (vec![told.unwrap_or_else(|| "it panicked".to_owned())], Count::default())
    });
    if wrong.is_empty() {
        return Ok(count);
    }
    let graph = text::print_full(&case.model);
    Err(format!("SLPC_SEED={seed}:\n{}\n{graph}", wrong.join("\n")))
}

/// Tries the graphs of these seeds, on every processor; tells what became of them, and of each that
/// disagrees.
pub fn try_seeds(seeds: &[u64], precision: Precision) -> (Count, Vec<String>) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<_> = std::thread::scope(|scope| {
        let work = |worker| {
            let seeds = seeds.iter().skip(worker).step_by(threads);
            seeds.map(|&seed| try_seed(seed, precision)).collect::<Vec<_>>()
        };
        let workers: Vec<_> = (0..threads).map(|w| scope.spawn(move || work(w))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let (mut all, mut wrong) = (Count::default(), Vec::new());
    for result in results {
        match result {
            Ok(count) => {
                all.graphs += count.graphs;
                all.comparisons += count.comparisons;
                all.kinks += count.kinks;
                all.foreign += count.foreign;
            }
            Err(message) => wrong.push(message),
        }
    }
    println!(
        "{:?}: {} graphs, {} comparisons; {} graphs differ within rounding of a kink; {} that ONNX \
         Runtime reads otherwise were compared in tract alone",
        precision.dtype, all.graphs, all.comparisons, all.kinks, all.foreign
    );
    (all, wrong)
}
