use crate::compile::rules::find;
use crate::compile::rules::testing::{Case, case};
use crate::graph::{DataType, Node, Tensor};

const REDUCTIONS: [&str; 5] = ["none", "add", "mul", "max", "min"];

fn scatter(data: &[i64], indices: &[i64], values: &[i64]) -> Case {
    let it = case("ScatterElements").input("x", data).ints_shaped("i", indices, values);
    it.input("u", indices)
}

fn scatter_nd(data: &[i64], indices: &[i64], values: &[i64], updates: &[i64]) -> Case {
    let it = case("ScatterND").input("x", data).ints_shaped("i", indices, values);
    it.input("u", updates)
}

#[test]
fn scatter_elements_along_every_axis() {
    for axis in [-2, -1, 0, 1] {
        for reduction in REDUCTIONS {
            for (indices, values) in [
                (&[1, 2][..], &[0, -1][..]),
                (&[2, 2], &[1, 0, -1, 1]),
                (&[2, 2], &[1, 1, 1, 1]),
                (&[2, 1], &[-2, 1]),
            ] {
                let it = scatter(&[2, 2], indices, values).int("axis", axis);
                it.text("reduction", reduction).check();
            }
        }
    }
    for reduction in REDUCTIONS {
        scatter(&[5], &[7], &[4, 0, 4, -1, 2, 0, 4]).text("reduction", reduction).check();
        scatter(&[3, 2, 2], &[2, 1, 2], &[0, 1, 2, -1]).text("reduction", reduction).check();
    }
}

#[test]
fn scatter_elements_with_one_operand_fixed() {
    for reduction in REDUCTIONS {
        let it = || case("ScatterElements").text("reduction", reduction);
        it().input("x", &[3, 2]).ints_shaped("i", &[1, 2], &[2, 0]).param("u", &[1, 2]).check();
        let twice = it().param("x", &[3, 2]).ints_shaped("i", &[2, 2], &[2, 0, 2, 1]);
        twice.input("u", &[2, 2]).check();
    }
}

#[test]
fn scatter_nd_by_every_length() {
    for reduction in REDUCTIONS {
        for (indices, values, updates) in [
            (&[2, 1][..], &[0, 1][..], &[2, 3, 2][..]),
            (&[2, 1], &[1, 1], &[2, 3, 2]),
            (&[3, 2], &[0, 2, 1, 0, 1, 0], &[3, 2]),
            (&[2, 3], &[0, 2, 1, 1, 2, 0], &[2]),
            (&[2, 2, 2], &[0, 0, 1, 1, 0, 0, 0, 2], &[2, 2, 2]),
            (&[1], &[1], &[3, 2]),
            (&[3], &[1, 2, 0], &[]),
        ] {
            scatter_nd(&[2, 3, 2], indices, values, updates).text("reduction", reduction).check();
        }
    }
}

/// Five updates of which three go to place 1 and one to place 0 of three.
fn many(reduction: &str) -> Case {
    case("ScatterElements").text("reduction", reduction)
}

const PLACES: [i64; 5] = [1, 0, 1, 1, -1];

fn values(values: &[f64]) -> Tensor {
    Tensor::floats(DataType::F64, vec![values.len() as i64], values)
}

#[test]
fn products_with_zeros() {
    let data = |updates: &[f64], x: &[f64], rows: &[&[f64]]| {
        let it = many("mul").input("x", &[3]).values(x);
        it.ints_input("i", &PLACES).constant("u", values(updates)).jacobian(rows);
    };
    data(
        &[2.0, 0.0, 3.0, 0.5, 4.0],
        &[0.0, 5.0, 7.0],
        &[&[0.0, 0.0, 0.0], &[0.0, 3.0, 0.0], &[0.0, 0.0, 4.0]],
    );
    let updates = |x: &[f64], updates: &[f64], rows: &[&[f64]]| {
        let it = many("mul").constant("x", values(x)).ints_input("i", &PLACES);
        it.input("u", &[5]).values(updates).jacobian(rows);
    };
    let last = &[0.0, 0.0, 0.0, 0.0, 7.0];
    let first = &[0.0, 6.0, 0.0, 0.0, 0.0];
    let at = |update: usize, slope: f64| {
        let mut row = vec![0.0; 5];
        row[update] = slope;
        row
    };
    let x = &[6.0, 5.0, 7.0];
    updates(x, &[2.0, 1.0, 0.0, 0.5, 4.0], &[first, &at(2, 5.0), last]);
    updates(x, &[0.0, 1.0, 0.0, 0.5, 4.0], &[first, &[0.0; 5], last]);
    updates(x, &[2.0, 1.0, 4.0, 0.5, 0.0], &[first, &[10.0, 0.0, 5.0, 40.0, 0.0], last]);
    let none = &[6.0, 0.0, 7.0];
    updates(none, &[2.0, 1.0, 4.0, 0.5, 4.0], &[first, &[0.0; 5], last]);
}

#[test]
fn of_equals_the_data_wins_and_then_the_first_update() {
    for (reduction, sign) in [("max", 1.0), ("min", -1.0)] {
        let x = [1.0, 2.0, 3.0].map(|x| x * sign);
        let u = [2.5, 1.0, 2.5, 2.0, 4.0].map(|u| u * sign);
        let updates = |x: &[f64], rows: &[&[f64]]| {
            let it = many(reduction).constant("x", values(x)).ints_input("i", &PLACES);
            it.input("u", &[5]).values(&u).jacobian(rows);
        };
        updates(&x, &[&[0.0; 5], &[1.0, 0.0, 0.0, 0.0, 0.0], &[0.0, 0.0, 0.0, 0.0, 1.0]]);
        updates(&x.map(|x| x + sign * 2.0), &[&[0.0; 5], &[0.0; 5], &[0.0; 5]]);
        let data = many(reduction).input("x", &[3]).values(&[sign, sign * 2.5, sign * 9.0]);
        let data = data.ints_input("i", &PLACES).constant("u", values(&u));
        data.jacobian(&[&[1.0, 0.0, 0.0], &[0.0, 1.0, 0.0], &[0.0, 0.0, 1.0]]);
    }
}

#[test]
fn the_older_scatter() {
    for axis in [0, 1] {
        let it = case("Scatter").opset(10).input("x", &[2, 2]);
        it.ints_shaped("i", &[1, 2], &[1, 0]).input("u", &[1, 2]).int("axis", axis).check();
    }
}

#[test]
fn malformed_indices_are_refused() {
    scatter(&[2, 2], &[1, 1], &[0]).int("axis", 2).refused("axis 2");
    scatter_nd(&[2], &[1, 2], &[0, 0], &[1]).refused("do not fit data of rank 1");
    scatter(&[3], &[1], &[0]).text("reduction", "median").refused("reduction");
    scatter_nd(&[3], &[1, 1], &[0], &[1]).text("reduction", "median").refused("reduction");
    let tensor = || case("TensorScatter").opset(24).input("x", &[2, 3]).param("u", &[2, 1]);
    tensor().int("axis", 0).refused("axis 0");
    tensor().int("axis", 1).text("mode", "mirrored").refused("mode");
    case("TensorScatter").opset(24).input("x", &[2, 3]).param("u", &[2]).refused("rank");
}

#[test]
fn negative_index_tuples_count_from_the_end() {
    for reduction in REDUCTIONS {
        let of = |it: Case| it.text("reduction", reduction).reference();
        of(scatter_nd(&[2, 3], &[2, 2], &[-1, 0, 1, -2], &[2])).check();
        of(scatter_nd(&[3, 2], &[2, 1], &[-1, -3], &[2, 2])).check();
    }
}

fn tensor_scatter(data: &[i64], updates: &[i64]) -> Case {
    let it = case("TensorScatter").opset(24).reference();
    it.input("x", data).input("u", updates)
}

#[test]
fn slices_are_written_from_an_index_on() {
    for axis in [1, 2, -1, -2] {
        let updates = if axis == 1 || axis == -2 { [2, 2, 3] } else { [2, 4, 2] };
        let of = || tensor_scatter(&[2, 4, 3], &updates).int("axis", axis);
        of().check();
        of().ints_input("at", &[1, 0]).check();
        of().ints_input("at", &[1, 0]).text("mode", "linear").check();
        for at in [[0, 1], [2, 3], [7, 4]] {
            of().ints_input("at", &at).text("mode", "circular").check();
        }
    }
    tensor_scatter(&[2, 3, 2], &[2, 3, 2]).check();
    tensor_scatter(&[1, 2, 4, 2], &[1, 2, 1, 2]).ints_input("at", &[3]).check();
    let fixed = case("TensorScatter").opset(24).reference().param("x", &[2, 3, 2]);
    fixed.input("u", &[2, 1, 2]).ints_input("at", &[2, 0]).check();
    let sized = case("TensorScatter").opset(24).reference().input("x", &[2, 3, 2]);
    let sized = sized.dynamic(&["n", "t", ""]).param("u", &[2, 2, 2]);
    sized.ints_input("at", &[2, 1]).text("mode", "circular").check();
}

#[test]
fn products_are_exact_while_the_updates_stay() {
    for (reduction, exact) in [("none", true), ("max", true), ("mul", false)] {
        let mut node = Node::new("ScatterND", vec![], vec![]);
        node.set("reduction", reduction);
        let entry = find(&node).expect("the operator has a rule");
        assert!(entry.is_exact(&node, |input| input == 0), "{reduction}");
        assert_eq!(entry.is_exact(&node, |input| input == 2), exact, "{reduction}");
    }
}

#[test]
fn another_runtime_agrees() {
    for reduction in REDUCTIONS {
        let it = scatter(&[3, 2], &[3, 2], &[0, 1, 0, 1, -1, -1]);
        it.f32().text("reduction", reduction).ort().check();
        let it = scatter_nd(&[3, 2], &[3, 1], &[0, 2, 0], &[3, 2]);
        it.f32().text("reduction", reduction).ort().check();
    }
}

#[test]
fn symbolic_sizes() {
    for reduction in REDUCTIONS {
        let it = case("ScatterND").input("x", &[3, 2]).dynamic(&["n", ""]);
        let it = it.ints_shaped("i", &[2, 1], &[2, 0]).param("u", &[2, 2]);
        it.text("reduction", reduction).check();
    }
}

#[test]
fn snapshots() {
    for reduction in REDUCTIONS {
        let name = if reduction == "none" { "plain" } else { reduction };
        let it = scatter(&[3, 2], &[2, 2], &[0, 1, 2, -1]);
        it.text("reduction", reduction).snapshot(name);
    }
    let nd = || scatter_nd(&[3, 2], &[2, 1], &[0, 2], &[2, 2]);
    nd().snapshot("plain");
    nd().text("reduction", "add").snapshot("add");
    let tensor = tensor_scatter(&[2, 4, 2], &[2, 2, 2]).ints_input("at", &[1, 3]);
    tensor.text("mode", "circular").snapshot("circular");
}
