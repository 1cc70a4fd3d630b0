//! The roads to one projection, and what may differ between them.

use std::collections::HashSet;
use std::num::NonZeroUsize;

use slpc::compile::plan::Direction::{Forward, Reverse};
use slpc::compile::plan::Limits;
use slpc::compile::target::Target;
use slpc::compile::{Options, prepare, simplify, transform};
use slpc::engine::{Array, Backend, Session, Setup};
use slpc::error::Error;
use slpc::graph::{DataType, Model};
use slpc::onnx::to_bytes;

use crate::common::states::watch;
use crate::common::{self, Outputs, towards};

/// Every runtime that the command line names.
pub const TARGETS: [Target; 5] =
    [Target::Any, Target::OnnxRuntime, Target::Tract, Target::OpenVino, Target::Web];

/// One way to a projection: a file and the engine that runs it.
pub struct Road {
    pub name: String,
    pub model: Model,
    pub setup: Setup,
}

/// ONNX Runtime on one thread: graphs are tried at once, and its threads would wait for each other.
pub fn onnxruntime() -> Setup {
    let (library, threads) = (Some(common::onnxruntime()), Some(NonZeroUsize::MIN));
    Setup { backend: Backend::OnnxRuntime, library, threads, ..Setup::default() }
}

pub fn try_run(bytes: &[u8], setup: &Setup, inputs: &[(String, Array)]) -> Result<Outputs, Error> {
    let outputs = Session::from_bytes(bytes, setup).and_then(|mut session| session.run(inputs));
    Ok(Outputs(outputs?.into_iter().collect()))
}

pub fn run(bytes: &[u8], setup: &Setup, inputs: &[(String, Array)]) -> Outputs {
    let outputs = try_run(bytes, setup, inputs);
    outputs.unwrap_or_else(|error| panic!("{}: {error}", setup.backend))
}

/// The request with rows in blocks of two.
fn in_blocks(request: &Options) -> Options {
    let limits = Limits { direction: Some(Reverse), block: Some(2), ..Limits::default() };
    Options { limits, ..request.clone() }
}

/// The roads to what is requested of a model: against the edges first, in tract, which the others are
/// compared with; then along them where that is wanted, with colours, in blocks and without, in blocks,
/// simplified further, and for each of the targets, in tract what is for tract and in ONNX Runtime what is for others.
pub fn roads(model: &Model, request: &Options, forward: bool, targets: &[Target]) -> Vec<Road> {
    let augmented = |request: &Options| {
        transform(model.clone(), request).unwrap_or_else(|error| panic!("{error}")).0
    };
    let mut list = Vec::new();
    let mut add = |name: &str, model: &Model, setup: Setup| {
        list.push(Road { name: name.to_owned(), model: model.clone(), setup });
    };
    let reverse = augmented(&towards(Reverse, request.clone()));
    let blocks = augmented(&in_blocks(request));
    let mut further = reverse.clone();
    simplify::simplify(&mut further.graph, &HashSet::new());
    add("reverse", &reverse, Setup::default());
    add("blocks", &blocks, Setup::default());
    add("simplified", &further, Setup::default());
    add("reverse", &reverse, onnxruntime());
    add("blocks", &blocks, onnxruntime());
    if forward {
        let forward = augmented(&towards(Forward, request.clone()));
        add("forward", &forward, Setup::default());
        add("forward", &forward, onnxruntime());
        let mut request = towards(Forward, in_blocks(request));
        add("forward in blocks", &augmented(&request), onnxruntime());
        request.limits = Limits { direction: Some(Forward), dense: true, ..Limits::default() };
        add("forward without colours", &augmented(&request), Setup::default());
    }
    for &target in targets {
        let setup = if target == Target::Tract { Setup::default() } else { onnxruntime() };
        // A target asks most where there is a Scan over the blocks.
        let request = Options { target, ..in_blocks(request) };
        add(&format!("blocks for {target:?}"), &augmented(&request), setup.clone());
        if forward {
            let request = towards(Forward, request);
            add(&format!("forward in blocks for {target:?}"), &augmented(&request), setup);
        }
    }
    list
}

/// The names of outputs that differ by more than `rounding` of their largest entry, each with both
/// numbers at the worst place.
pub fn differences(found: &Outputs, expected: &Outputs, rounding: f64) -> Vec<String> {
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
            && ((found - expected).abs() > rounding * scale || found.is_nan() != expected.is_nan())
        {
            list.push(format!("{name}: {found:e} where {expected:e}, of {scale:e}"));
        }
    }
    list
}

/// The worst remainder of v = x·ŵ + b̂, of the magnitudes that are summed.
pub fn remainder(outputs: &Outputs, layer: &str, x: &Array) -> f64 {
    let (v, w, b) =
        (outputs.of(layer, "activity"), outputs.of(layer, "weights"), outputs.of(layer, "bias"));
    let (x, neurons) = (x.to_f64(), v.len() / x.shape()[0]);
    let size = x.len() / x.shape()[0];
    let (x, w): (Vec<f64>, Vec<f64>) = (x.into_iter().collect(), w.into_iter().collect());
    let rest = v.iter().zip(&b).enumerate().map(|(row, (v, b))| {
        let x = &x[row / neurons * size..][..size];
        let products = || w[row * size..][..size].iter().zip(x).map(|(w, x)| w * x);
        let scale = products().fold(v.abs() + b.abs(), |sum, p| sum + p.abs());
        (v - products().sum::<f64>() - b).abs() / scale.max(f64::MIN_POSITIVE)
    });
    rest.fold(0.0, f64::max)
}

/// The elements of a model that tract and ONNX Runtime put on two sides of their kinks, each with how
/// far it is from the kink, of the largest magnitude among its neighbours.
pub fn switches(model: &Model, dtype: DataType, inputs: &[(String, Array)]) -> Vec<f64> {
    // Only a newer MaxPool than the model's may tell its winners.
    let model = prepare(model.clone()).unwrap();
    let (model, watched) = watch(&model, dtype);
    let bytes = to_bytes(&model).unwrap();
    let [a, b] = [Setup::default(), onnxruntime()].map(|setup| run(&bytes, &setup, inputs));
    let flips = watched.iter().flat_map(|watched| {
        let scale = a.get(&watched.output).iter().fold(0f64, |m, v| m.max(v.abs()));
        watched.flips(&a, &b).into_iter().map(move |(_, away)| away / scale)
    });
    flips.collect()
}
