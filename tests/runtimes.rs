//! Augmented models in ONNX's checker and ONNX Runtime, against what tract gives.

mod common;
mod generate;

use std::path::Path;
use std::process::Command;

use common::jobs::Jobs;
use common::{corpus, data, digit, golden, long, options, python, shipped, towards};
use generate::{Random, generate};
use ndarray::{ArrayD, Axis, concatenate};
use serde_json::json;
use slpc::cli::data::{Dataset, Wanted};
use slpc::compile::Options;
use slpc::compile::plan::Direction::{Forward, Reverse};
use slpc::engine::Array;

/// What float32 sums in another order may differ by, of an output's largest entry.
const ROUNDING: f64 = 1e-4;
/// What rows may differ by, in norm, where the engines round pre-activations to different sides of
/// their kinks; that v = x·ŵ + b̂ holds in each is checked all the same.
const SWITCHES: f64 = 5e-2;
/// As [`SWITCHES`] in half precision, where many pre-activations are within rounding of a kink.
const HALF: f64 = 0.3;

const ALL_FIVE: &str = "activity,weights,bias,centre,icd";

fn digits(count: usize) -> ArrayD<f32> {
    let digits: Vec<_> = (0..count).map(digit).collect();
    let views: Vec<_> = digits.iter().map(|digit| digit.view()).collect();
    concatenate(Axis(0), &views).unwrap()
}

#[test]
fn the_shipped_network_agrees_in_every_selection() {
    let mut jobs = Jobs::new("shipped");
    let model = shipped();
    for direction in [Reverse, Forward] {
        for batch in [1, 2, 7] {
            let name = format!("2conv logits top 3 {direction} batch {batch}");
            let options = towards(direction, options(&["logits"], "top:3", ALL_FIVE));
            let inputs = [("input", digits(batch).into())];
            jobs.add(&name, &model, &options, &inputs, ROUNDING, json!({ "singles": true }));
        }
    }
    let input = || ("input", Array::from(digits(2)));
    let layers = ["a=/conv1/Conv_output_0", "b=/MaxPool_1_output_0", "c=logits"];
    let list = options(&layers, "3,0,7..9", "activity,weights,bias,bias-terms");
    jobs.add("2conv three layers list", &model, &list, &[input()], ROUNDING, json!({}));
    let channel = options(&["/conv2/Conv_output_0"], "[12,:,3..4],[0,0,0]", ALL_FIVE);
    jobs.add("2conv conv2 channel", &model, &channel, &[input()], ROUNDING, json!({}));
    let runtime = options(&["a=/fc1/Gemm_output_0"], "runtime", ALL_FIVE);
    let neurons = ("slp/a/neurons", Array::from(ndarray::array![5i64, 200, 5]));
    jobs.add("2conv fc1 runtime", &model, &runtime, &[input(), neurons], ROUNDING, json!({}));
    let all = options(&["logits"], "all", "weights,bias");
    let whole = Options { batch: slpc::compile::select::Batch::None, ..all };
    let one = ("input", digits(1).into());
    jobs.add("2conv logits all batch none", &model, &whole, &[one], ROUNDING, json!({}));
    jobs.check();
}

/// Singular patterns of all logits, of the neurons of each sample's own, and of one sample alone.
#[test]
fn singular_patterns_agree() {
    let mut jobs = Jobs::new("patterns");
    let emit = "activity,icd,patterns,singular-values,mixing,power";
    let input = || ("input", Array::from(digits(2)));
    for neurons in ["all", "top:2", "5"] {
        let options = options(&["logits"], neurons, emit);
        let name = format!("2conv patterns {neurons}").replace(':', "-");
        let outputs = jobs.add(&name, &shipped(), &options, &[input()], ROUNDING, json!({}));
        let (s, u) = (outputs.of("logits", "singular-values"), outputs.of("logits", "patterns"));
        assert_eq!((s.shape(), u.shape()), (&[2, 3][..], &[2, 3, 1, 28, 28][..]));
        assert_eq!(outputs.of("logits", "power").shape(), [2]);
    }
    let channel = options(&["a=/conv2/Conv_output_0"], "[12,:,:]", emit);
    let one = ("input", digits(1).into());
    let outputs = jobs.add("2conv channel", &shipped(), &channel, &[one], ROUNDING, json!({}));
    assert_eq!(outputs.of("a", "mixing").shape(), [1, 3, 64]);
    jobs.check();
}

/// States and radii of the shipped network, of a batch and of one sample alone.
#[test]
fn states_and_radii_agree() {
    let mut jobs = Jobs::new("regions");
    let request = options(&["a=/conv2/Conv_output_0", "b=logits"], "0", "activity,state,radius");
    for count in [1, 2] {
        let input = [("input", Array::from(digits(count)))];
        let name = format!("2conv regions {count}");
        let outputs = jobs.add(&name, &shipped(), &request, &input, ROUNDING, json!({}));
        let radius = |layer: &str| outputs.of(layer, "radius");
        assert!(radius("a").iter().zip(&radius("b")).all(|(a, b)| b <= a && *b >= 0.0));
        let width = |layer: &str| outputs.of(layer, "state").shape()[1];
        assert!(width("a") < width("b"));
    }
    jobs.check();
}

/// 4096 neurons in both directions.
#[test]
fn every_neuron_of_a_convolution_agrees_in_both_directions() {
    let mut jobs = Jobs::new("conv2");
    let request = || options(&["a=/conv2/Conv_output_0"], "all", "weights,bias");
    let input = [("input", Array::from(digit(4)))];
    let mut forward = || {
        let options = towards(Forward, request());
        jobs.add("conv2 forward", &shipped(), &options, &input, ROUNDING, json!({}))
    };
    let forward = forward();
    let same = json!({ "same_as": "conv2 forward" });
    let options = towards(Reverse, request());
    let reverse = jobs.add("conv2 reverse", &shipped(), &options, &input, ROUNDING, same);
    for quantity in ["weights", "bias"] {
        let (a, b) = (forward.of("a", quantity), reverse.of("a", quantity));
        let distance = common::distance(&a, &b);
        println!("conv2 all, forward against reverse, {quantity}: {distance:.1e}");
        assert!(distance < 1e-5);
    }
    jobs.check();
}

#[test]
fn real_models_agree() {
    let Some(folder) = data() else { return };
    let mut jobs = Jobs::new("real");
    let models = [
        ("2conv_cifar10_true", "input", ROUNDING),
        ("resnet20_cifar10", "input", ROUNDING),
        ("mlperf_resnet8_cifar10", "input", ROUNDING),
        ("mnist_cntk_ort", "Input3", ROUNDING),
        ("mobilenetv1_025_224_imagenet", "input", SWITCHES),
        ("mobilenetv2_100_224_imagenet_w8", "input", SWITCHES),
    ];
    for (name, input, tolerance) in models {
        let model = folder.join(format!("models/{name}.onnx"));
        let (x, _) = golden(&folder.join(format!("golden/{name}.npz")));
        let x = [(input, Array::from(x))];
        let more = || json!({ "switches": tolerance == SWITCHES });
        let top = options(&["logits"], "top:3", ALL_FIVE);
        jobs.add(&format!("{name} top 3"), &model, &top, &x, tolerance, more());
        let list = options(&["logits"], "7,0..1", "activity,weights,bias");
        jobs.add(&format!("{name} list"), &model, &list, &x, tolerance, more());
        if name == "mnist_cntk_ort" || long() && name == "resnet20_cifar10" {
            let forward = towards(Forward, list);
            jobs.add(&format!("{name} forward"), &model, &forward, &x, tolerance, more());
        }
    }
    jobs.check();
}

/// A photograph as a model takes it.
fn photo(folder: &Path, name: &str, input: &str, preprocess: &str, channels: usize) -> Array {
    let sample = Some([channels, 224, 224].map(Some).to_vec());
    let wanted = Wanted { name: input.into(), sample };
    let path = folder.join("images").join(name);
    let preprocess = format!("{preprocess},crop=224").parse().unwrap();
    Dataset::open(&[path], Some(&preprocess), wanted).unwrap().all().unwrap().values
}

#[test]
fn models_of_photographs_agree() {
    let Some(folder) = data() else { return };
    let mut jobs = Jobs::new("photographs");
    let model = |name: &str| folder.join(format!("models/{name}.onnx"));
    let top = options(&["a=logits"], "top:3", ALL_FIVE);
    let goldfish = photo(&folder, "goldfish.jpg", "data_0", "caffe", 3);
    let x = [("data_0", goldfish.clone())];
    let squeezenet = model("squeezenet11_imagenet");
    let outputs = jobs.add("squeezenet goldfish", &squeezenet, &top, &x, ROUNDING, json!({}));
    assert_eq!(outputs.of("a", "neurons")[[0, 0]], 1.0, "class 1 is the goldfish");

    let half = Array::floats(slpc::graph::DataType::F16, goldfish.to_f64()).unwrap();
    let x = [("data_0", half)];
    let squeezenet = model("squeezenet_imagenet_fp16");
    let more = json!({ "switches": true, "identity": 1e-4 });
    let outputs = jobs.add("squeezenet fp16 goldfish", &squeezenet, &top, &x, HALF, more);
    assert_eq!(outputs.of("a", "neurons")[[0, 0]], 1.0, "class 1 is the goldfish");

    let pixels = options(&["a=output"], "[0,10,20],[0,336,335],451583", ALL_FIVE);
    let x = [("input", photo(&folder, "chelsea.png", "input", "unit,channels=grey", 1))];
    let resolution = model("super_resolution");
    jobs.add("super resolution pixels", &resolution, &pixels, &x, ROUNDING, json!({}));
    jobs.check();
}

/// The matrix of `docs/runtimes.md` in short: random graphs and square weights in tract, ONNX Runtime
/// and the reference evaluator, against float64.
#[test]
fn every_runtime_that_tests_have_agrees_with_float64() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    // The reference evaluator miscounts Indices of one-dimensional poolings, which these graphs lack.
    for seed in [0, 1, 3, 4, 6, 7] {
        let mut random = Random::new(seed);
        let (batch, dynamic) = (random.between(1, 3), random.one_in(2));
        let made = generate(&mut random, 10, batch, dynamic, true);
        let dims = [&[batch], made.input.as_slice()].concat();
        let x = random.floats(dims.iter().product());
        let model = slpc::onnx::to_bytes(&made.model).unwrap();
        corpus::write(&models, &format!("random-{seed}"), &model, vec![("x".into(), dims, x)]);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/runtimes/run.py");
    let mut command = Command::new(python::interpreter());
    command.arg(script).args(["--short", "--groups", "random,square", "--slpc"]);
    command.arg(env!("CARGO_BIN_EXE_slpc")).arg("--models").arg(&models);
    let output = command.arg("--keep").arg(folder.path().join("files")).output().unwrap();
    let (told, wrong) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{told}{wrong}");
    assert!(output.status.success(), "{told}\n{wrong}");
}

/// The recipe of `docs/recipes.md` whose exporter the tests have: the shipped network, quantised.
#[test]
fn a_quantised_model_is_explained_as_the_recipe_says() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/recipes/run.py");
    let mut command = Command::new(python::interpreter());
    command.arg(script).args(["quantised", "--slpc", env!("CARGO_BIN_EXE_slpc")]);
    let output = command.output().unwrap();
    let (told, wrong) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{wrong}");
    assert!(told.contains("'DequantizeLinear': 16") && told.contains("Gemm"), "{told}");
}
