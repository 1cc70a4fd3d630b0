use crate::compile::rules::testing::{Case, case};
use crate::graph::{Attr, Tensor};

/// The gates of a cell.
fn gates(op: &str) -> i64 {
    match op {
        "RNN" => 1,
        "GRU" => 3,
        _ => 4,
    }
}

const OPS: [&str; 3] = ["RNN", "GRU", "LSTM"];
const DIRECTIONS: [(&str, i64); 3] = [("forward", 1), ("reverse", 1), ("bidirectional", 2)];
const H: i64 = 2;
const N: i64 = 2;
const T: i64 = 3;

/// A cell over `x`, with inputs up to the weights; what runs it works in single precision.
fn cell(op: &str, (direction, count): (&str, i64)) -> Case {
    let outputs = if op == "LSTM" { 3 } else { 2 };
    let case = case(op).f32().ort().text("direction", direction).int("hidden_size", H);
    let case = case.outputs(outputs).input("x", &[T, N, 2]).param("w", &[count, gates(op) * H, 2]);
    case.param("r", &[count, gates(op) * H, H])
}

#[test]
fn directions_with_and_without_biases() {
    for op in OPS {
        for direction in DIRECTIONS {
            cell(op, direction).check();
            cell(op, direction).param("b", &[direction.1, 2 * gates(op) * H]).check();
        }
    }
}

#[test]
fn states_and_lengths_that_are_given() {
    for op in OPS {
        for direction in DIRECTIONS {
            let case = cell(op, direction).param("b", &[direction.1, 2 * gates(op) * H]);
            let case = case.constant("lengths", int32(&[3, 2])).input("h", &[direction.1, N, H]);
            let case = if op == "LSTM" { case.input("c", &[direction.1, N, H]) } else { case };
            case.check();
        }
    }
}

fn int32(values: &[i32]) -> Tensor {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Tensor::new(crate::graph::DataType::I32, vec![values.len() as i64], bytes)
}

#[test]
fn weights_may_change() {
    for op in OPS {
        let outputs = if op == "LSTM" { 3 } else { 2 };
        let case = case(op).f32().ort().int("hidden_size", H).outputs(outputs);
        let case = case.param("x", &[T, N, 2]).input("w", &[1, gates(op) * H, 2]);
        case.input("r", &[1, gates(op) * H, H]).input("b", &[1, 2 * gates(op) * H]).check();
    }
}

#[test]
fn forms_of_cells() {
    let gru = |direction| cell("GRU", direction).param("b", &[direction.1, 12]);
    for direction in DIRECTIONS {
        gru(direction).int("linear_before_reset", 1).check();
        cell("GRU", direction).int("linear_before_reset", 1).check();
        let lstm = cell("LSTM", direction).param("b", &[direction.1, 16]).skip().skip().skip();
        lstm.param("p", &[direction.1, 6]).check();
    }
    cell("LSTM", DIRECTIONS[0]).int("input_forget", 1).check();
    for op in OPS {
        cell(op, DIRECTIONS[0]).float("clip", 0.8).check();
    }
}

#[test]
fn activations_by_name() {
    let named = |op: &str, direction, names: &[&str]| {
        let names = names.iter().map(|name| name.as_bytes().to_vec().into()).collect();
        cell(op, direction).attribute("activations", Attr::Strings(names))
    };
    for name in ["Relu", "Softsign", "Softplus", "Sigmoid", "LeakyRelu", "Elu", "HardSigmoid"] {
        let case = named("RNN", DIRECTIONS[0], &[name]);
        let case = case.attribute("activation_alpha", Attr::Floats(vec![0.1]));
        case.attribute("activation_beta", Attr::Floats(vec![0.4])).check();
    }
    named("GRU", DIRECTIONS[2], &["Sigmoid", "Relu", "Tanh", "Tanh"]).check();
    named("LSTM", DIRECTIONS[0], &["sigmoid", "tanh", "Softsign"]).check();
    named("LSTM", DIRECTIONS[0], &["Sigmoid"]).refused("3 are needed");
    named("RNN", DIRECTIONS[0], &["Swish"]).refused("no activation 'Swish'");
}

#[test]
fn inputs_of_another_rank_are_refused() {
    for op in OPS {
        cell(op, DIRECTIONS[0]).param("b", &[]).refused("rank 0, 2 is needed");
        let plain = cell(op, DIRECTIONS[0]).skip().skip();
        plain.param("h", &[N, H]).refused("rank 2, 3 is needed");
    }
    let lstm = cell("LSTM", DIRECTIONS[0]).skip().skip().skip().skip();
    lstm.param("p", &[]).refused("rank 0, 2 is needed");
}

#[test]
fn sequences_and_batches_known_at_run_time() {
    for op in OPS {
        let case = case(op).f32().ort().int("hidden_size", H);
        let case = case.input("x", &[T, N, 2]).dynamic(&["t", "n", ""]);
        let case = case.param("w", &[1, gates(op) * H, 2]).param("r", &[1, gates(op) * H, H]);
        case.outputs(if op == "LSTM" { 3 } else { 2 }).check();
    }
}

#[test]
fn snapshots() {
    for op in OPS {
        let case = case(op).f32().int("hidden_size", 1).input("x", &[2, 1, 1]);
        let case = case.param("w", &[1, gates(op), 1]).param("r", &[1, gates(op), 1]);
        case.show("plain");
    }
}
