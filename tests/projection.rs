//! The projection's formulas where they are delicate, and every way to choose layers and neurons.

mod common;

use common::{Outputs, distance, options, run, towards};
use ndarray::{ArrayD, Axis, IxDyn};
use slpc::compile::plan::Direction;
use slpc::compile::select::Batch;
use slpc::compile::{Options, transform};
use slpc::engine::Array;
use slpc::graph::Model;
use slpc::onnx::text::parse;

const DIRECTIONS: [Direction; 2] = [Direction::Reverse, Direction::Forward];
const EVERYTHING: &str = "activity,weights,bias,centre,icd,bias-terms";

/// The projections of all neurons of `y = relu(x·A + a)·B + b` for two inputs and given numbers.
fn small(a: &str, b: &str, direction: Direction, batch: Batch) -> Outputs {
    let text = format!(
        "<ir_version: 8, opset_import: [\"\" : 18]>
         small (float[N, 2] x) => (float[N, 2] y)
         <float[2, 2] A = {{{a}}}, float[2] c = {{0.5, 0.25}}, float[2, 2] B = {{{b}}}, float[2] d = {{1, -1}}>
         {{ p = MatMul (x, A)  u = Add (p, c)  r = Relu (u)  q = MatMul (r, B)  y = Add (q, d) }}"
    );
    let options = towards(direction, Options { batch, ..options(&[], "all", EVERYTHING) });
    let (model, _) = transform(parse(&text).unwrap(), &options).unwrap();
    let x = ArrayD::from_shape_vec(IxDyn(&[1, 2]), vec![2.0f32, -3.0]).unwrap();
    run(&model, &[("x", Array::from(x))])
}

#[test]
fn a_dead_neuron_has_its_centre_at_the_input_and_no_components() {
    for direction in DIRECTIONS {
        let out = small("-1, 0, 0, 1", "1, 2, 3, 4", direction, Batch::Auto);
        assert_eq!(out.of("y", "activity").as_slice().unwrap(), [1.0, -1.0]);
        assert!(out.of("y", "weights").iter().all(|&w| w == 0.0));
        assert!(out.of("y", "icd").iter().all(|&w| w == 0.0));
        assert_eq!(out.of("y", "centre").as_slice().unwrap(), [2.0, -3.0, 2.0, -3.0]);
        assert_eq!(out.of("y", "bias"), out.of("y", "activity"));
    }
}

#[test]
fn weights_too_small_to_square_keep_the_identities() {
    for scale in ["1e-22", "1e-30", "1e-37"] {
        for direction in DIRECTIONS {
            let out =
                small(&format!("{scale}, 0, 0, {scale}"), "1, 2, 3, 4", direction, Batch::Auto);
            let v = out.of("y", "activity");
            assert!(distance(&out.of("y", "icd").sum_axis(Axis(2)), &v) < 1e-6, "{scale}");
            assert!(out.of("y", "weights").iter().any(|&w| w != 0.0), "{scale}");
            for name in ["weights", "bias", "icd", "bias-terms"] {
                assert!(out.of("y", name).iter().all(|v| v.is_finite()), "{scale} {name}");
            }
        }
    }
}

#[test]
fn huge_weights_keep_the_identities() {
    let out = small("1e30, 0, 0, -1e30", "1, 2, 3, 4", Direction::Reverse, Batch::Auto);
    let v = out.of("y", "activity");
    assert!(distance(&out.of("y", "icd").sum_axis(Axis(2)), &v) < 1e-6);
}

#[test]
fn without_a_batch_every_entry_of_the_layer_is_a_neuron() {
    for direction in DIRECTIONS {
        let batched = small("1, 2, 3, -4", "1, 2, 3, 4", direction, Batch::Auto);
        let whole = small("1, 2, 3, -4", "1, 2, 3, 4", direction, Batch::None);
        assert_eq!(whole.of("y", "activity").shape(), [2]);
        assert_eq!(whole.of("y", "weights").shape(), [2, 1, 2]);
        for name in ["activity", "weights", "bias", "icd", "centre", "bias-terms"] {
            assert!(distance(&whole.of("y", name), &batched.of("y", name)) < 1e-6, "{name}");
        }
    }
}

/// A small network of the paper's kind: conv, relu, pool, conv, relu, fc, relu, fc.
fn network() -> Model {
    let mut state = 1u32;
    let mut numbers = |count: usize| -> String {
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            format!("{:.4}", f64::from(state >> 8) / f64::from(1 << 23) - 1.0)
        };
        (0..count).map(next).collect::<Vec<_>>().join(", ")
    };
    let (a, b, c, d) = (numbers(36), numbers(108), numbers(162), numbers(30));
    parse(&format!(
        "<ir_version: 8, opset_import: [\"\" : 18]>
         network (float[N, 1, 8, 8] x) => (float[N, 5] logits)
         <float[4, 1, 3, 3] A = {{{a}}}, float[4] a = {{0.1, -0.2, 0.3, 0.05}},
          float[3, 4, 3, 3] B = {{{b}}}, float[3] b = {{0.2, 0.1, -0.1}},
          float[6, 27] C = {{{c}}}, float[5, 6] D = {{{d}}}>
         {{ conv1 = Conv (x, A, a)  r1 = Relu (conv1)
            pool = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r1)
            conv2 = Conv <pads = [1, 1, 1, 1]> (pool, B, b)  r2 = Relu (conv2)
            flat = Flatten (r2)  fc1 = Gemm <transB = 1> (flat, C)  r3 = Relu (fc1)
            logits = Gemm <transB = 1> (r3, D) }}"
    ))
    .unwrap()
}

/// Three samples that no two of the network's units tie on.
fn samples() -> ArrayD<f32> {
    ArrayD::from_shape_fn(IxDyn(&[3, 1, 8, 8]), |i| {
        ((i[0] * 64 + i[2] * 8 + i[3]) as f32 * 2.399).sin() + 0.3
    })
}

fn project(options: &Options, inputs: &[(&str, Array)]) -> Outputs {
    run(&transform(network(), options).unwrap().0, inputs)
}

#[test]
fn several_layers_in_one_pass_are_what_each_is_alone() {
    let x = samples();
    // One of them twice.
    let layers = ["a=#1", "b=#2", "c=#3", "d=#4", "e=#3"];
    for direction in DIRECTIONS {
        let at = |layers: &[&str]| {
            let options = towards(direction, options(layers, "0,3..5", EVERYTHING));
            project(&options, &[("x", Array::from(x.clone()))])
        };
        let together = at(&layers);
        for layer in layers {
            let alone = at(&[layer]);
            let alias = &layer[..1];
            for name in EVERYTHING.split(',') {
                let apart = distance(&together.of(alias, name), &alone.of(alias, name));
                assert!(apart < 1e-6, "{direction} {layer} {name}: {apart:e}");
            }
        }
    }
}

#[test]
fn directions_agree_for_every_choice_of_neurons() {
    let x = samples();
    for (layer, neurons) in [
        ("#1", "[2,3,4],[0,:,0]"),
        ("#2", "top:3"),
        ("#3", "[2,:,:]"),
        ("#4", "top:5"),
        ("logits", "all"),
        ("logits", "3,1,3"),
    ] {
        let [reverse, forward] = DIRECTIONS.map(|direction| {
            let options =
                towards(direction, options(&[&format!("it={layer}")], neurons, EVERYTHING));
            project(&options, &[("x", Array::from(x.clone()))])
        });
        for name in EVERYTHING.split(',') {
            let apart = distance(&reverse.of("it", name), &forward.of("it", name));
            assert!(apart < 1e-5, "{layer} {neurons} {name}: {apart:e}");
        }
    }
}

#[test]
fn neurons_given_at_run_time_are_those_of_a_list() {
    let x = samples();
    let listed = options(&["it=#3"], "3,20,17,17", EVERYTHING);
    let listed = project(&listed, &[("x", Array::from(x.clone()))]);
    // From the end, too.
    let given = ndarray::Array1::from_vec(vec![3i64, 20, -10, 17]).into_dyn();
    for direction in DIRECTIONS {
        let options = towards(direction, options(&["it=#3"], "runtime", EVERYTHING));
        let inputs =
            [("x", Array::from(x.clone())), ("slp/it/neurons", Array::from(given.clone()))];
        let out = project(&options, &inputs);
        for name in EVERYTHING.split(',') {
            assert!(
                distance(&out.of("it", name), &listed.of("it", name)) < 1e-5,
                "{direction} {name}"
            );
        }
    }
}

#[test]
fn top_neurons_come_in_falling_order_and_say_which_they_are() {
    let x = samples();
    let with = |neurons| {
        let options = options(&[], neurons, "activity,weights");
        project(&options, &[("x", Array::from(x.clone()))])
    };
    let (all, top) = (with("all"), with("top:4"));
    let neurons = top.get("slp/logits/neurons");
    let (v, every) = (top.of("logits", "activity"), all.of("logits", "activity"));
    let row = |of: &Outputs, sample: usize, k: usize| {
        of.of("logits", "weights").index_axis_move(Axis(0), sample).index_axis_move(Axis(0), k)
    };
    for sample in 0..3 {
        for k in 0..4 {
            let neuron = neurons[[sample, k]] as usize;
            assert_eq!(v[[sample, k]], every[[sample, neuron]]);
            assert!(k == 0 || v[[sample, k - 1]] >= v[[sample, k]]);
            assert!(distance(&row(&top, sample, k), &row(&all, sample, neuron)) < 1e-6);
        }
    }
}
