//! Random piecewise-linear graphs, projected in both directions and checked against differences.

mod common;
mod generate;

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{Outputs, long, options, run, towards};
use generate::{Generated, Made, Random, generate};
use ndarray::{ArrayD, ArrayViewD, Axis, IxDyn, Slice};
use slpc::compile::plan::Direction::{Forward, Reverse};
use slpc::compile::{Options, transform};
use slpc::engine::{Array, tract::Session};
use slpc::graph::{Dim, Model};
use slpc::onnx;

/// The largest error of a slope against differences, of 1 or the largest slope.
const TOLERANCE: f64 = 1e-7;
/// The largest error of what is computed twice, of 1 or the largest entry.
const ROUNDING: f64 = 1e-11;

/// What was compared, and what could not be for a kink between the points of a difference.
#[derive(Default)]
struct Count {
    compared: usize,
    skipped: usize,
}

#[test]
fn random_graphs_are_projected_right() {
    let graphs = if long() { 600 } else { 50 };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let first = std::env::var("SLPC_SEED").ok().map(|seed| seed.parse().expect("a seed"));
    let seeds: Vec<u64> = first.map_or((0..graphs).collect(), |seed| vec![seed]);
    let results: Vec<Result<Count, String>> = std::thread::scope(|scope| {
        let work = |worker| {
            let seeds = seeds.iter().skip(worker).step_by(threads);
            seeds.map(|&seed| check_seed(seed)).collect::<Vec<_>>()
        };
        let workers: Vec<_> = (0..threads).map(|w| scope.spawn(move || work(w))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let mut count = Count::default();
    let mut wrong = String::new();
    let mut failures = 0;
    for result in results {
        match result {
            Ok(one) => {
                count.compared += one.compared;
                count.skipped += one.skipped;
            }
            Err(message) => {
                failures += 1;
                let _ = writeln!(wrong, "{message}");
            }
        }
    }
    println!("{} slopes compared, {} at a kink", count.compared, count.skipped);
    assert!(failures == 0, "{failures} graphs are wrong\n{wrong}");
    assert!(count.compared > 1000 * seeds.len().min(50) / 50);
    assert!(count.skipped * 100 <= count.compared, "{} at a kink", count.skipped);
}

/// Checks the graph of one seed; a failure tells the seed and shows the graph.
fn check_seed(seed: u64) -> Result<Count, String> {
    let mut random = Random::new(seed);
    let batch = random.between(1, 3);
    let dynamic = random.one_in(2);
    let size = random.between(4, 16);
    let kinks = !seed.is_multiple_of(8);
    let made = generate(&mut random, size, batch, dynamic, kinks);
    let text = onnx::text::print_full(&made.model);
    let case = Case::new(made, random, batch, dynamic);
    let feed = || vec![("x".into(), case.x.shape().to_vec(), case.x.iter().copied().collect())];
    let bytes = || onnx::to_bytes(&case.model).unwrap();
    common::corpus::keep(&format!("random-{seed}"), bytes, feed);
    let check = AssertUnwindSafe(|| case.check());
    catch_unwind(check).map_err(|panic| {
        let message = panic.downcast_ref::<String>().cloned();
        let message = message.or_else(|| panic.downcast_ref::<&str>().map(|m| (*m).to_owned()));
        format!("SLPC_SEED={seed}: {}\n{text}", message.unwrap_or_default())
    })
}

struct Case {
    model: Model,
    layers: Vec<Made>,
    /// One input with its samples.
    x: ArrayD<f64>,
    /// Whether all of the input is one sample.
    whole: bool,
    dynamic: bool,
    neurons: String,
}

impl Case {
    fn new(made: Generated, mut random: Random, batch: usize, dynamic: bool) -> Self {
        let Generated { model, input, values } = made;
        let dims = [&[batch], input.as_slice()].concat();
        let x = ArrayD::from_shape_vec(dims.clone(), random.floats(dims.iter().product())).unwrap();
        let mut layers = vec![values.last().unwrap().clone()];
        for _ in 0..random.below(3) {
            let layer = random.pick(&values[1..]);
            if layers.iter().all(|other| other.id != layer.id) {
                layers.push(layer);
            }
        }
        let least = layers.iter().map(|l| l.dims.iter().product()).min().unwrap_or(1);
        let neurons = match random.below(5) {
            0 => format!("top:{}", random.between(1, least)),
            1 => format!("{},0,{}", random.below(least), random.below(least)),
            2 => "runtime".to_owned(),
            _ => "all".to_owned(),
        };
        let whole = !dynamic && random.one_in(4);
        Self { model, layers, x, whole, dynamic, neurons }
    }

    fn options(&self) -> Options {
        let names = self.layers.iter().enumerate();
        let names = names.map(|(i, l)| format!("l{i}={}", self.model.graph.value(l.id).name));
        let names: Vec<_> = names.collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let mut options =
            options(&names, &self.neurons, "activity,weights,bias,centre,icd,bias-terms");
        if self.whole {
            options.batch = slpc::compile::select::Batch::None;
        }
        options
    }

    /// The numbers of neurons that are given at run time.
    fn runtime(&self) -> Vec<(String, Array)> {
        let number = |layer: &Made| layer.dims.iter().product::<usize>() as i64;
        let names = self.layers.iter().enumerate().filter(|_| self.neurons == "runtime");
        names
            .map(|(i, layer)| {
                let list = ndarray::array![0, number(layer) - 1, number(layer) / 2];
                (format!("slp/l{i}/neurons"), list.into())
            })
            .collect()
    }

    fn run(&self, model: &Model, x: &ArrayD<f64>) -> Outputs {
        let runtime = self.runtime();
        let mut inputs: Vec<(&str, Array)> = vec![("x", x.clone().into())];
        inputs.extend(runtime.iter().map(|(name, array)| (name.as_str(), array.clone())));
        run(model, &inputs)
    }

    fn check(&self) -> Count {
        let differences = Differences::new(self);
        let mut count = Count::default();
        let mut runs = Vec::new();
        for direction in [Forward, Reverse] {
            let options = towards(direction, self.options());
            let (augmented, _) = transform(self.model.clone(), &options)
                .unwrap_or_else(|error| panic!("{direction}: {error}"));
            let bytes = onnx::to_bytes(&augmented).unwrap();
            onnx::load_bytes(bytes.into(), None).unwrap();
            let outputs = self.run(&augmented, &self.x);
            self.check_original(&outputs, &differences);
            for layer in 0..self.layers.len() {
                self.check_layer(layer, &outputs, &differences, &mut count);
            }
            if self.dynamic {
                self.check_singles(&augmented, &outputs);
            }
            runs.push(outputs);
        }
        for (name, forward) in &runs[0].0 {
            near(name, &forward.to_f64(), &runs[1].get(name), 1e-9);
        }
        count
    }

    fn check_original(&self, outputs: &Outputs, differences: &Differences) {
        let plain = differences.at(&self.x);
        near("the model's own output", &outputs.get("y"), &plain[0].clone().into_dyn(), ROUNDING);
    }

    /// Each sample by itself gives what it gives among the others.
    fn check_singles(&self, augmented: &Model, outputs: &Outputs) {
        for n in 0..self.x.len_of(Axis(0)) {
            let one = Slice::from(n..n + 1);
            let single = self.run(augmented, &self.x.slice_axis(Axis(0), one).to_owned());
            for (name, array) in &single.0 {
                let part = outputs.get(name);
                let part = part.slice_axis(Axis(0), one).to_owned();
                near(&format!("sample {n} of {name}"), &array.to_f64(), &part, ROUNDING);
            }
        }
    }

    /// Activity, slopes and biases of one layer.
    fn check_layer(&self, layer: usize, outputs: &Outputs, diff: &Differences, count: &mut Count) {
        let alias = format!("l{layer}");
        let [activity, weights, bias] = ["activity", "weights", "bias"].map(|quantity| {
            let array = outputs.of(&alias, quantity);
            if self.whole { array.insert_axis(Axis(0)) } else { array }
        });
        let values = diff.at(&self.x).swap_remove(layer + 1);
        let values = if self.whole {
            let all = values.len();
            values.into_shape_with_order(IxDyn(&[1, all])).unwrap()
        } else {
            let (n, all) = (values.shape()[0], values.len() / values.shape()[0]);
            values.into_shape_with_order(IxDyn(&[n, all])).unwrap()
        };
        let chosen = self.chosen(layer, outputs, &values);
        let samples = values.shape()[0];
        let slopes = diff.slopes(self, layer);
        let inputs = self.x.len() / samples;
        let flat = self.x.as_slice().unwrap();
        assert_eq!(&activity.shape()[..2], [samples, chosen[0].len()]);
        assert_eq!(weights.len(), activity.len() * inputs);
        self.check_derived(&alias, &activity, &weights, &bias, outputs);
        let weights = weights.as_standard_layout();
        let mut rows = weights.as_slice().unwrap().chunks(inputs);
        for n in 0..samples {
            let x = &flat[n * inputs..][..inputs];
            for (k, &neuron) in chosen[n].iter().enumerate() {
                let row = rows.next().unwrap();
                let (v, b) = (activity[[n, k]], bias[[n, k]]);
                close(&format!("{alias} v[{n},{neuron}]"), v, values[[n, neuron]], 1.0, ROUNDING);
                let products = row.iter().zip(x).map(|(w, x)| w * x);
                let scale = products.clone().fold(1f64, |a, p| a + p.abs()) + b.abs();
                close(
                    &format!("{alias} b[{n},{neuron}]"),
                    b,
                    v - products.sum::<f64>(),
                    scale,
                    ROUNDING,
                );
                for (i, &slope) in row.iter().enumerate() {
                    let at = format!("{alias} w[{n},{neuron},{i}]");
                    match slopes[n][neuron * inputs + i] {
                        Some(expected) => {
                            count.compared += 1;
                            close(&at, slope, expected, expected.abs().max(1.0), TOLERANCE);
                        }
                        None => {
                            count.skipped += 1;
                            assert!(slope.is_finite(), "{at} is {slope}");
                        }
                    }
                }
            }
        }
    }

    /// The centre, the decomposition and the bias by operator, against what they are made of.
    fn check_derived(
        &self,
        alias: &str,
        activity: &ArrayD<f64>,
        weights: &ArrayD<f64>,
        bias: &ArrayD<f64>,
        outputs: &Outputs,
    ) {
        let [centre, icd] = ["centre", "icd"].map(|quantity| outputs.of(alias, quantity));
        assert_eq!((centre.len(), icd.len()), (weights.len(), weights.len()));
        let inputs = weights.len() / activity.len();
        let chosen = bias.len() / self.samples();
        let [w, c, i] = [weights, &centre, &icd].map(|a| a.iter().copied().collect::<Vec<_>>());
        let x = self.x.as_slice().unwrap().chunks(inputs);
        for (row, &v) in activity.iter().enumerate() {
            let part = row * inputs..(row + 1) * inputs;
            let (w, c, i) = (&w[part.clone()], &c[part.clone()], &i[part]);
            let x = x.clone().nth(row / chosen).unwrap();
            let total: f64 = i.iter().sum();
            if w.iter().all(|&w| w == 0.0) {
                assert!(total == 0.0 && c == x, "{alias}: row {row} is zero");
                continue;
            }
            close(&format!("{alias} sum of icd, row {row}"), total, v, 1.0, ROUNDING);
            let along: f64 = w.iter().zip(x).zip(c).map(|((w, x), c)| w * (x - c)).sum();
            let scale = w.iter().zip(x).fold(1f64, |a, (w, x)| a + (w * x).abs());
            close(&format!("{alias} (x - c) w, row {row}"), along, v, scale, ROUNDING);
        }
        if let Some(terms) = outputs.0.get(&format!("slp/{alias}/bias-terms")) {
            let terms = terms.to_f64();
            let total = terms.sum_axis(Axis(terms.ndim() - 1));
            let scale = terms.iter().fold(1f64, |a, b| a + b.abs());
            for (total, bias) in total.iter().zip(bias) {
                close(&format!("{alias} sum of bias terms"), *total, *bias, scale, ROUNDING);
            }
        }
    }

    fn samples(&self) -> usize {
        if self.whole { 1 } else { self.x.shape()[0] }
    }

    /// The flat numbers of the chosen neurons of each sample.
    fn chosen(&self, layer: usize, outputs: &Outputs, values: &ArrayD<f64>) -> Vec<Vec<usize>> {
        let (samples, all) = (values.shape()[0], values.shape()[1]);
        let same = |list: Vec<usize>| vec![list; samples];
        match self.neurons.as_str() {
            "all" => same((0..all).collect()),
            "runtime" => {
                let (_, list) = &self.runtime()[layer];
                same(list.to_f64().iter().map(|&k| k as usize).collect())
            }
            top if top.starts_with("top:") => {
                let list = outputs.of(&format!("l{layer}"), "neurons");
                let list: Vec<_> = list.iter().map(|&k| k as usize).collect();
                let rows: Vec<_> = list.chunks(list.len() / samples).map(<[_]>::to_vec).collect();
                for (n, row) in rows.iter().enumerate() {
                    let least = row.iter().map(|&k| values[[n, k]]).fold(f64::MAX, f64::min);
                    let above =
                        values.index_axis(Axis(0), n).iter().filter(|&&v| v > least).count();
                    assert!(above < row.len(), "{top} of sample {n} is {row:?}");
                    let falls = |pair: &[usize]| values[[n, pair[0]]] >= values[[n, pair[1]]];
                    assert!(row.windows(2).all(falls), "{top} of sample {n} rises: {row:?}");
                }
                rows
            }
            list => same(list.split(',').map(|k| k.parse().unwrap()).collect()),
        }
    }
}

/// The original model with its layers as outputs.
struct Differences {
    session: Session,
}

impl Differences {
    fn new(case: &Case) -> Self {
        let mut model = case.model.clone();
        for layer in &case.layers {
            let name = model.graph.free_name("layer");
            let dims = std::iter::once(Dim::Value(case.x.shape()[0] as i32));
            let dims = dims.chain(layer.dims.iter().map(|&n| Dim::Value(n as i32)));
            let dtype = slpc::graph::DataType::F64;
            let value = slpc::graph::Value::typed(name, dtype, dims.collect());
            let output = model.graph.add_value(value).unwrap();
            let copy = slpc::graph::Node::new("Identity", vec![Some(layer.id)], vec![Some(output)]);
            model.graph.add_node(copy).unwrap();
            model.graph.outputs.push(output);
        }
        let bytes = onnx::to_bytes(&model).unwrap();
        let shapes = [("x".to_owned(), case.x.shape().to_vec())];
        Self { session: Session::new(&bytes, &shapes).unwrap_or_else(|e| panic!("plain: {e}")) }
    }

    /// The model's own output and its layers.
    fn at(&self, x: &ArrayD<f64>) -> Vec<ArrayD<f64>> {
        let outputs = self.session.run(&[("x", x.clone().into())]);
        let outputs = outputs.unwrap_or_else(|error| panic!("plain: {error}"));
        outputs.into_iter().map(|(_, array)| array.to_f64()).collect()
    }

    /// By sample, the slope of every neuron in every input component; none at a kink.
    ///
    /// A piecewise-linear function has no second difference but across a kink, so that the step
    /// shrinks until there is none.
    fn slopes(&self, case: &Case, layer: usize) -> Vec<Vec<Option<f64>>> {
        let samples = case.samples();
        let inputs = case.x.len() / samples;
        let neurons =
            case.layers[layer].dims.iter().product::<usize>() * case.x.shape()[0] / samples;
        let mut slopes = vec![vec![None; neurons * inputs]; samples];
        let here = self.at(&case.x).swap_remove(layer + 1);
        for i in 0..inputs {
            for step in [1e-3, 1e-5] {
                let moved = |by: f64| {
                    let mut x = case.x.clone();
                    x.as_slice_mut()
                        .unwrap()
                        .iter_mut()
                        .skip(i)
                        .step_by(inputs)
                        .for_each(|x| *x += by);
                    self.at(&x).swap_remove(layer + 1)
                };
                let (above, below) = (moved(step), moved(-step));
                let part = |a: &ArrayViewD<f64>, n: usize, k: usize| {
                    a.as_slice().map_or_else(
                        || *a.iter().nth(n * neurons + k).unwrap(),
                        |s| s[n * neurons + k],
                    )
                };
                let (above, below, here) = (above.view(), below.view(), here.view());
                for (n, slopes) in slopes.iter_mut().enumerate() {
                    for k in 0..neurons {
                        let (a, b, h) = (part(&above, n, k), part(&below, n, k), part(&here, n, k));
                        let bend = (a - 2.0 * h + b).abs() / step;
                        if bend <= 1e-8 * (1.0 + h.abs()).max((a - b).abs() / step) {
                            slopes[k * inputs + i].get_or_insert((a - b) / (2.0 * step));
                        }
                    }
                }
            }
        }
        slopes
    }
}

fn close(what: &str, found: f64, expected: f64, scale: f64, tolerance: f64) {
    let scale = scale.max(expected.abs());
    assert!(
        (found - expected).abs() <= tolerance * scale,
        "{what}: {found} where {expected} is right"
    );
}

fn near(what: &str, found: &ArrayD<f64>, expected: &ArrayD<f64>, tolerance: f64) {
    assert_eq!(found.shape(), expected.shape(), "{what}");
    let scale = expected.iter().fold(1f64, |a, b| a.max(b.abs()));
    for (found, expected) in found.iter().zip(expected) {
        close(what, *found, *expected, scale, tolerance);
    }
}
