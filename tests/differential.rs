//! One projection on many roads: random graphs and real models, in tract and ONNX Runtime, forward
//! and reverse, in blocks and at once, simplified further and not, for every target, and with their
//! weights inside, beside and in the original file.
//!
//! In half precision the same is compared with double precision.
//!
//! `SLPC_SEED` tries the graphs of one seed or of a range `FIRST..LAST`; `SLPC_LONG=1` tries thousands,
//! and every real model.

#[path = "differential/case.rs"]
mod case;
mod common;
mod generate;
#[path = "differential/real.rs"]
mod real;
#[path = "differential/roads.rs"]
mod roads;

use std::path::Path;

use case::{Precision, converted, try_seeds};
use common::states::separate_bias;
use common::{Outputs, data, long, options};
use real::Real;
use roads::{Road, TARGETS, differences, onnxruntime, remainder, roads, run, switches};
use slpc::compile::target::Target;
use slpc::compile::{Options, prepare, transform};
use slpc::engine::{Array, Session, Setup};
use slpc::graph::{DataType, Model};
use slpc::onnx::{Weights, emit, load, to_bytes};

/// Graphs that disagreed once: tract took a broadcast before a contraction away, and the beginning from
/// steps behind a convolution, or stored a product in the wrong places; one layer's blocks read an extent
/// off another's; an axis of one element was reversed.
const FOUND: [u64; 10] =
    [11_626, 11_792, 12_214, 12_260, 12_378, 13_133, 13_209, 13_378, 13_395, 14_628];

/// The same in half precision: Max and Min had no winner in ONNX Runtime, which rounded their result and
/// not their operands.
const FOUND_IN_HALF: [u64; 6] = [20_197, 20_242, 20_309, 20_328, 20_358, 20_364];

/// Tries the graphs that are asked for, or the `usual` ones.
fn try_graphs(usual: impl Iterator<Item = u64>, precision: Precision) {
    let wanted = std::env::var("SLPC_SEED").ok().map(|text| {
        let (first, last) = text.split_once("..").unwrap_or((&text, ""));
        let first = first.parse().expect("a seed");
        let last = if last.is_empty() { first + 1 } else { last.parse().expect("a seed") };
        first..last
    });
    let seeds: Vec<u64> = wanted.map_or_else(|| usual.collect(), Iterator::collect);
    let (all, wrong) = try_seeds(&seeds, precision);
    assert!(wrong.is_empty(), "{} graphs disagree\n{}", wrong.len(), wrong.join("\n"));
    assert!(all.foreign * 4 <= all.graphs.max(4), "{} graphs in tract alone", all.foreign);
    assert!(all.kinks * 50 <= all.graphs.max(50), "too many at a kink");
}

#[test]
fn random_graphs_agree_on_every_road() {
    let graphs = if long() { 5000 } else { 200 };
    try_graphs((10_000..10_000 + graphs).chain(FOUND), Precision::SINGLE);
}

#[test]
fn random_graphs_agree_in_half_precision() {
    let graphs = if long() { 500 } else { 40 };
    try_graphs((20_000..20_000 + graphs).chain(FOUND_IN_HALF), Precision::HALF);
}

/// What is compared of real models.
const QUANTITIES: &str = "activity,weights,bias,centre,icd,bias-terms";

/// Tries a real model; tells how many roads agree with the first. Those that don't agree with the first
/// in their own engine, and the two engines put elements on two sides of a kink, each within rounding
/// of it.
fn try_real(real: &Real, model: &Model, precision: Precision) -> usize {
    let name = real.path.display();
    let request = options(&[&format!("l={}", real.layer)], real.neurons, QUANTITIES);
    // The roads along the edges carry a seed for each component of the input.
    let forward = real.size() < if long() { 10_000 } else { 1000 };
    let targets = if long() { &TARGETS[..] } else { &[Target::OpenVino] };
    let roads = roads(model, &request, forward, targets);
    let outputs = roads.iter().map(|road| {
        let found = run(&to_bytes(&road.model).unwrap(), &road.setup, &real.inputs);
        let rest = remainder(&found, "l", &real.inputs[0].1);
        assert!(rest < precision.rounding, "{name}, {}: v − x·ŵ − b̂ = {rest:e}", road.name);
        found
    });
    let outputs: Vec<_> = outputs.collect();
    let mut switched = 0;
    for (Road { name: road, setup, .. }, found) in roads.iter().zip(&outputs) {
        let own = roads.iter().position(|other| other.setup.backend == setup.backend).unwrap();
        let apart = differences(found, &outputs[own], precision.rounding);
        assert!(apart.is_empty(), "{name}, {road} in {}: {apart:?}", setup.backend);
        switched += usize::from(!differences(found, &outputs[0], precision.rounding).is_empty());
    }
    if switched > 0 {
        let away = switches(model, precision.dtype, &real.inputs);
        let farthest = away.iter().fold(0.0, |farthest: f64, &away| farthest.max(away));
        println!("{name}: {} elements switch, up to {farthest:.1e} from a kink", away.len());
        assert!(!away.is_empty() && farthest < precision.near, "{name}: {farthest:e}");
    }
    roads.len() - 1 - switched
}

/// Whether the model is asked for.
fn is_wanted(name: &str) -> bool {
    std::env::var("SLPC_MODEL").ok().is_none_or(|wanted| wanted == name)
}

#[test]
fn real_models_agree_on_every_road() {
    let Some(folder) = data() else { return };
    let names = if long() { &real::NAMES[..] } else { &real::NAMES[..2] };
    for name in names.iter().filter(|name| is_wanted(name)) {
        let real = Real::open(&folder, name);
        let precision = Precision { dtype: real.dtype, near: 1e-5, ..Precision::SINGLE };
        let equal = try_real(&real, &load(&real.path).unwrap(), precision);
        println!("{name}: {equal} roads agree with the first, the others with their engine's");
        assert!(equal >= 3, "{name}: the roads in tract");
    }
}

/// Those that are in single precision are brought to half.
#[test]
fn real_models_agree_in_half_precision() {
    let Some(folder) = data() else { return };
    let names = if long() { &real::HALF[..] } else { &real::HALF[..2] };
    for name in names.iter().filter(|name| is_wanted(name)) {
        let real = Real::open(&folder, name).in_half();
        let mut model = prepare(load(&real.path).unwrap()).unwrap();
        separate_bias(&mut model);
        let model = converted(&model, DataType::F32, DataType::F16);
        let precision = Precision { near: Precision::HALF.rounding, ..Precision::HALF };
        let equal = try_real(&real, &model, precision);
        println!("{name}: {equal} roads agree with the first, the others with their engine's");
        assert!(equal >= 2, "{name}: the roads in tract");
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
            let wrong = differences(&found, &plain, Precision::SINGLE.rounding);
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
