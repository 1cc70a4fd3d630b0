use crate::compile::rules::testing::{Case, case, long};
use crate::graph::{DataType, Tensor};

const MODES: [&str; 3] = ["reflect", "edge", "wrap"];

fn pad(x: Case, pads: &[i64]) -> Case {
    x.ints_input("pads", pads)
}

fn x(dims: &[i64]) -> Case {
    case("Pad").input("x", dims)
}

fn value(case: Case, value: f64) -> Case {
    case.constant("value", Tensor::float(DataType::F64, value))
}

#[test]
fn pads_with_a_constant() {
    let cases: [&[i64]; 4] = [&[0, 1, 0, 0], &[1, 0, 0, 2], &[1, 2, 3, 0], &[0, 0, 0, 0]];
    for pads in cases {
        pad(x(&[2, 3]), pads).check();
        for number in [0.0, 0.75, -1e3] {
            value(pad(x(&[2, 3]), pads), number).check();
        }
    }
}

#[test]
fn pads_of_symbolic_axes() {
    let x = || x(&[2, 3]).dynamic(&["n", "m"]);
    pad(x(), &[0, 1, 0, 2]).check();
    pad(x(), &[0, 0, 1, 0]).check();
    for mode in MODES {
        pad(x(), &[0, 1, 0, 2]).text("mode", mode).opset(19).reference().check();
    }
}

#[test]
fn pads_that_repeat_elements() {
    for mode in MODES {
        for before in 0..=2 {
            for after in 0..=2 {
                let x = pad(x(&[2, 3]), &[1, before, 0, after]);
                x.text("mode", mode).opset(19).reference().check();
            }
        }
    }
    for mode in ["reflect", "edge"] {
        pad(x(&[3, 4]), &[1, 2, 0, 1]).text("mode", mode).check();
        pad(x(&[1, 2, 3, 4]), &[0, 0, 1, 2, 0, 0, 2, 3]).text("mode", mode).check();
    }
}

#[test]
fn pads_wider_than_the_tensor() {
    for mode in MODES {
        for size in [2, 3] {
            pad(x(&[size]), &[5, 7]).text("mode", mode).opset(19).reference().check();
        }
        pad(x(&[1]), &[2, 1]).text("mode", mode).opset(19).reference().check();
    }
}

#[test]
fn negative_pads_cut() {
    let cases: [&[i64]; 4] = [&[0, -1, 0, 0], &[-1, 0, 0, -2], &[0, -1, 1, 2], &[1, 2, -1, -2]];
    for pads in cases {
        pad(x(&[3, 5]), pads).f32().ort().check();
        value(pad(x(&[3, 5]), pads), 0.75).ort().check();
        for mode in MODES {
            pad(x(&[3, 5]), pads).text("mode", mode).opset(19).f32().ort().check();
        }
    }
}

#[test]
fn chosen_axes() {
    let axes: [&[i64]; 4] = [&[1], &[-1, 0], &[2, 1], &[0, 1, -1]];
    for axes in axes {
        for mode in ["constant", "reflect", "edge", "wrap"] {
            let count = axes.len() as i64;
            let pads: Vec<i64> = (0..2 * count).map(|i| (i + 1) % 2).collect();
            let x = pad(x(&[2, 3, 2]), &pads);
            let x = if mode == "constant" {
                x.constant("value", Tensor::float(DataType::F64, 0.75))
            } else {
                x.skip()
            };
            x.ints_input("axes", axes).text("mode", mode).opset(19).reference().check();
        }
    }
}

#[test]
fn the_constant_may_change() {
    for dims in [&[][..], &[1]] {
        let cases: [&[i64]; 3] = [&[0, 1, 0, 0], &[1, 2, 3, 0], &[0, 0, 0, 0]];
        for pads in cases {
            pad(x(&[2, 3]), pads).input("value", dims).reference().check();
            let fixed = case("Pad").param("x", &[2, 3]);
            pad(fixed, pads).input("value", dims).reference().check();
        }
    }
    pad(x(&[3, 3]), &[0, 1, 1, -1]).input("value", &[1]).f32().ort().check();
}

#[test]
fn pads_known_at_run_time() {
    for mode in ["constant", "reflect", "edge", "wrap"] {
        for pads in [[0, 1, 0, 2], [1, 0, 1, 0], [0, -1, 1, 2], [-1, 2, 0, -2]] {
            let x = || pad(x(&[3, 5]), &pads).computed().opset(19);
            let x = || x().text("mode", mode).f32().ort();
            x().check();
            let value = Tensor::float(DataType::F32, 0.75);
            x().constant("value", value).check();
        }
        let x = pad(x(&[2, 4]).dynamic(&["n", "m"]), &[1, 2]).computed().skip();
        x.ints_input("axes", &[1]).opset(19).text("mode", mode).f32().ort().check();
    }
}

#[test]
fn an_infinite_border_leaves_no_nan() {
    let x = value(pad(x(&[2]), &[1, 0]), f64::NEG_INFINITY);
    x.jacobian(&[&[0.0, 0.0], &[1.0, 0.0], &[0.0, 1.0]]);
}

#[test]
fn centers() {
    let sizes = if long() { 1..=8 } else { 3..=6 };
    for size in sizes {
        for target in [1, 2, 3, 4, 5, 8] {
            let x = || case("CenterCropPad").input("x", &[2, size]);
            x().ints_input("shape", &[2, target]).reference().check();
            x().ints_input("shape", &[target]).ints("axes", &[-1]).reference().check();
            let symbolic = x().dynamic(&["n", "m"]).ints_input("shape", &[target]);
            symbolic.ints("axes", &[1]).reference().check();
        }
    }
    let x = case("CenterCropPad").input("x", &[4, 3]).ints_input("shape", &[2, 6]).computed();
    x.reference().check();
    let x = case("CenterCropPad").input("x", &[3, 4, 5]).ints_input("shape", &[6, 2]);
    x.ints("axes", &[2, 0]).reference().check();
}

#[test]
fn malformed_pads_are_refused() {
    pad(x(&[2, 3]), &[1, 1]).refused("invalid value");
    pad(x(&[3]), &[-2, -2]).refused("would be -1");
    pad(x(&[3]), &[-3, 1]).text("mode", "edge").refused("around 3 elements");
}

#[test]
fn the_steps_are_these() {
    value(pad(x(&[2, 3]), &[0, 1, 2, 0]), 0.5).snapshot("constant");
    pad(x(&[2]), &[1, 2]).input("value", &[]).reference().snapshot("changing-constant");
    pad(x(&[1, 4]), &[0, 2, 0, 1]).text("mode", "reflect").snapshot("reflect");
    let symbolic = x(&[1, 4]).dynamic(&["n", "m"]);
    let symbolic = pad(symbolic, &[0, 2, 0, 1]).text("mode", "reflect");
    symbolic.reference().snapshot("symbolic-reflect");
    let x = case("CenterCropPad").input("x", &[3, 4]).ints_input("shape", &[2, 5]);
    x.reference().snapshot("both");
}
