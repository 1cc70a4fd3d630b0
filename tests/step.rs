//! A step that changes no ReLU and no pooling is predicted exactly (theorem 1).

mod common;

use std::path::Path;

use common::states::{same_state, watch, widen};
use common::{data, digit, golden, long, options, run, shipped};
use ndarray::ArrayD;
use slpc::compile::transform;
use slpc::engine::{Array, tract::Session};
use slpc::graph::{DataType, Model};
use slpc::onnx;

/// A network at an input, with the projections of its three largest outputs there.
struct Network {
    watched: Session,
    states: Vec<common::states::Watched>,
    layer: String,
    input: String,
    dtype: DataType,
    x: ArrayD<f64>,
    neurons: Vec<usize>,
    weights: ArrayD<f64>,
    bias: Vec<f64>,
    /// The largest difference of the accumulated bias and v − x·ŵ, of the largest part of it.
    remainder: f64,
}

impl Network {
    fn new(model: &Model, layer: &str, x: &ArrayD<f32>, dtype: DataType) -> Self {
        let model = if dtype == DataType::F64 { widen(model) } else { model.clone() };
        let request = options(&[&format!("a={layer}")], "top:3", "activity,weights,bias");
        let (augmented, summary) = transform(model.clone(), &request).unwrap();
        let x = x.mapv(f64::from);
        let array = Array::floats(dtype, x.clone()).unwrap();
        let outputs = run(&augmented, &[(&summary.input, array)]);
        let (v, weights, bias) =
            (outputs.of("a", "activity"), outputs.of("a", "weights"), outputs.of("a", "bias"));
        let size = x.len();
        let mut remainder = 0f64;
        for ((row, v), b) in
            weights.as_standard_layout().as_slice().unwrap().chunks(size).zip(&v).zip(&bias)
        {
            let products = row.iter().zip(&x).map(|(w, x)| w * x);
            let scale = products.clone().map(f64::abs).sum::<f64>().max(v.abs()).max(b.abs());
            remainder = remainder.max((v - products.sum::<f64>() - b).abs() / scale);
        }
        let mut model = model;
        let value = model.graph.find(layer).unwrap();
        if !model.graph.outputs.contains(&value) {
            model.graph.outputs.insert(0, value);
        }
        let (watched, states) = watch(&model, dtype);
        let shapes = [(summary.input.clone(), x.shape().to_vec())];
        let watched = Session::new(&onnx::to_bytes(&watched).unwrap(), &shapes).unwrap();
        let neurons = outputs.of("a", "neurons").iter().map(|&k| k as usize).collect();
        let bias = bias.iter().copied().collect();
        let (layer, input) = (layer.to_owned(), summary.input);
        Self { watched, states, layer, input, dtype, x, neurons, weights, bias, remainder }
    }

    fn at(&self, x: &ArrayD<f64>) -> common::Outputs {
        let array = Array::floats(self.dtype, x.clone()).unwrap();
        let outputs = self.watched.run(&[(&self.input, array)]).unwrap();
        common::Outputs(outputs.into_iter().collect())
    }

    /// Takes `count` random steps; gives the largest error of a predicted activity and the smallest
    /// change of one, both as shares of its largest part, and how many steps were halved for a
    /// switch.
    fn steps(&self, count: usize, mut size: f64) -> (f64, f64, usize) {
        let here = self.at(&self.x);
        let activities = |outputs: &common::Outputs| {
            let v = outputs.get(&self.layer);
            let v: Vec<f64> = v.iter().copied().collect();
            self.neurons.iter().map(|&k| v[k]).collect::<Vec<_>>()
        };
        let weights = self.weights.as_standard_layout();
        let (mut worst, mut least, mut halved) = (0f64, f64::MAX, 0);
        for number in 0..count {
            let direction = directions(number as u64, self.x.len());
            let (x, after) = loop {
                let mut x = self.x.clone();
                x.iter_mut().zip(&direction).for_each(|(x, d)| *x += size * d);
                // The step that is taken is the one that is left after rounding.
                if self.dtype == DataType::F32 {
                    x.mapv_inplace(|x| f64::from(x as f32));
                }
                let after = self.at(&x);
                if same_state(&self.states, &here, &after) {
                    break (x, activities(&after));
                }
                size /= 2.0;
                halved += 1;
                assert!(size > 1e-12, "every step changes a state");
            };
            assert!(x != self.x, "the step is lost in rounding");
            for (k, row) in weights.as_slice().unwrap().chunks(x.len()).enumerate() {
                let products = row.iter().zip(&x).map(|(w, x)| w * x);
                let scale = products.clone().map(f64::abs).sum::<f64>() + self.bias[k].abs();
                let predicted = products.sum::<f64>() + self.bias[k];
                worst = worst.max((predicted - after[k]).abs() / scale);
                let moved = x.iter().zip(&self.x).zip(row).map(|((x, old), w)| (x - old) * w);
                least = least.min(moved.map(f64::abs).sum::<f64>() / scale);
            }
        }
        (worst, least, halved)
    }
}

/// Numbers from −1 to 1.
fn directions(seed: u64, count: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Checks that predictions are right to `rounding`, and that steps are far longer than that.
fn check(name: &str, network: &Network, count: usize, size: f64, rounding: f64) {
    let (worst, least, halved) = network.steps(count, size);
    println!(
        "{name}: {count} steps ({halved} halved) of at least {least:.1e}, predicted to {worst:.1e}, \
         bias the remainder to {:.1e}",
        network.remainder
    );
    assert!(worst <= rounding && network.remainder <= rounding);
    assert!(network.dtype == DataType::F32 || least > 1e4 * rounding, "the steps are too short");
}

/// The input off the grid: where pixels are equal, a pooling's inputs are, a kink by themselves.
fn off_the_grid(mut x: ArrayD<f32>, size: f64) -> ArrayD<f32> {
    let noise = directions(1000, x.len());
    x.iter_mut().zip(noise).for_each(|(x, noise)| *x += (size * noise) as f32);
    x
}

#[test]
fn steps_of_the_shipped_network_are_predicted() {
    let model = onnx::load(&shipped()).unwrap();
    for number in [3, 8] {
        let x = off_the_grid(digit(number), 0.05);
        let single = Network::new(&model, "logits", &x, DataType::F32);
        check(&format!("2CONV, digit {number}, float32"), &single, 100, 1e-3, 1e-6);
        let double = Network::new(&model, "logits", &x, DataType::F64);
        check(&format!("2CONV, digit {number}, float64"), &double, 100, 1e-3, 1e-14);
    }
}

#[test]
fn steps_of_squeezenet_are_predicted() {
    let Some(folder) = data() else { return };
    let model = load(&folder, "squeezenet11_imagenet");
    let (x, _) = golden(&folder.join("golden/squeezenet11_imagenet.npz"));
    let x = off_the_grid(x, 2.0);
    let single = Network::new(&model, "pool10_1", &x, DataType::F32);
    check("SqueezeNet, float32", &single, 10, 1e-3, 1e-6);
    let count = if long() { 100 } else { 10 };
    let double = Network::new(&model, "pool10_1", &x, DataType::F64);
    check("SqueezeNet, float64", &double, count, 1e-6, 1e-15);
}

fn load(folder: &Path, name: &str) -> Model {
    onnx::load(&folder.join(format!("models/{name}.onnx"))).unwrap()
}
