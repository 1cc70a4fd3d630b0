use crate::compile::rules::testing::{Case, case};
use crate::graph::DataType;

fn code(dtype: DataType) -> i64 {
    i64::from(dtype as i32)
}

fn x(op: &str) -> Case {
    case(op).input("x", &[2, 3, 4])
}

#[test]
fn identities() {
    x("Identity").check();
    x("Dropout").check();
    x("Dropout").outputs(2).check();
    x("Dropout").param("ratio", &[]).bools("training_mode", &[], &[false]).check();
    x("Cast").int("to", code(DataType::F64)).check();
}

#[test]
fn dropout_in_training_is_refused() {
    x("Dropout").param("ratio", &[]).bools("t", &[], &[true]).refused("draws random numbers");
}

#[test]
fn flatten_at_every_axis() {
    x("Flatten").check();
    for axis in -3..=3 {
        x("Flatten").int("axis", axis).check();
    }
}

#[test]
fn reshapes() {
    let shapes: [&[i64]; 7] =
        [&[24], &[-1], &[0, -1], &[4, 3, 2], &[0, 0, 4, 1], &[2, -1, 2], &[6, 4]];
    for shape in shapes {
        x("Reshape").ints_input("shape", shape).check();
    }
    x("Reshape").ints_input("shape", &[6, 4]).int("allowzero", 1).check();
    case("Reshape").input("x", &[1]).ints_input("shape", &[]).check();
    case("Reshape").input("x", &[]).ints_input("shape", &[1, 1]).check();
}

#[test]
fn squeezes() {
    let squeezed = || case("Squeeze").input("x", &[1, 2, 1, 3, 1]);
    squeezed().check();
    let axes: [&[i64]; 5] = [&[0], &[-1], &[0, 2], &[0, 2, 4], &[-5, -3]];
    for axes in axes {
        squeezed().ints_input("axes", axes).check();
    }
    let axes: [&[i64]; 5] = [&[0], &[-1], &[3], &[0, 4], &[1, -1, 2]];
    for axes in axes {
        x("Unsqueeze").ints_input("axes", axes).check();
    }
}

#[test]
fn every_order_of_axes() {
    x("Transpose").check();
    for perm in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        x("Transpose").ints("perm", &perm).check();
    }
}

#[test]
fn expands_both_ways() {
    let cases: [(&[i64], &[i64]); 7] = [
        (&[2, 3], &[2, 3]),
        (&[2, 1], &[2, 3]),
        (&[2, 3], &[1, 1]),
        (&[1, 3], &[4, 2, 1]),
        (&[], &[2, 2]),
        (&[1], &[3]),
        (&[2, 1, 2], &[3, 1]),
    ];
    for (dims, shape) in cases {
        case("Expand").input("x", dims).ints_input("shape", shape).check();
    }
}

#[test]
fn blocks() {
    for mode in ["DCR", "CRD"] {
        for (dims, size) in [([1, 8, 2, 3], 2), ([2, 9, 1, 2], 3), ([1, 3, 2, 2], 1)] {
            case("DepthToSpace")
                .input("x", &dims)
                .int("blocksize", size)
                .text("mode", mode)
                .check();
        }
    }
    case("DepthToSpace").input("x", &[1, 8, 2, 1]).int("blocksize", 2).check();
    for (dims, size) in [([1, 2, 4, 6], 2), ([2, 1, 3, 6], 3), ([1, 3, 2, 2], 1)] {
        case("SpaceToDepth").input("x", &dims).int("blocksize", size).check();
        for mode in ["DCR", "CRD"] {
            let newest = case("SpaceToDepth").opset(28).reference().input("x", &dims);
            newest.int("blocksize", size).text("mode", mode).check();
        }
    }
}

#[test]
fn sizes_may_be_symbols() {
    let x = |op: &str| x(op).dynamic(&["n", "", "m"]);
    x("Identity").check();
    x("Transpose").ints("perm", &[2, 0, 1]).check();
    x("Flatten").check();
    x("Flatten").int("axis", 2).check();
    x("Unsqueeze").ints_input("axes", &[1]).check();
    let shapes: [&[i64]; 4] = [&[0, -1], &[-1], &[0, 3, 1, -1], &[-1, 3]];
    for shape in shapes {
        x("Reshape").ints_input("shape", shape).check();
    }
    let image = |op: &str, dims: &[i64]| {
        case(op).input("x", dims).dynamic(&["n", "", "h", "w"]).int("blocksize", 2)
    };
    image("DepthToSpace", &[2, 4, 2, 3]).check();
    image("DepthToSpace", &[2, 4, 2, 3]).text("mode", "CRD").check();
    image("SpaceToDepth", &[2, 1, 2, 4]).check();
    case("Squeeze")
        .input("x", &[2, 1, 3])
        .dynamic(&["n", "", "m"])
        .ints_input("axes", &[1])
        .check();
    let expand = case("Expand").input("x", &[2, 1, 3]).dynamic(&["n", "", "m"]);
    expand.ints_input("shape", &[1, 4, 1]).check();
}

#[test]
fn sizes_that_only_the_run_tells() {
    for size in [1, 4] {
        let x = case("Expand").input("x", &[size, 3]).dynamic(&["n", ""]);
        x.ints_input("shape", &[4, 3]).check();
    }
    for shape in [[1, 3], [4, 3], [2, 1]] {
        let x = case("Expand").input("x", &[1, 3]).ints_input("shape", &shape).computed();
        x.reference().check();
        let x = case("Expand").input("x", &[3]).ints_input("shape", &shape).computed();
        x.reference().check();
    }
}

#[test]
fn the_steps_are_these() {
    x("Identity").snapshot("plain");
    x("Dropout").snapshot("inference");
    x("Flatten").snapshot("plain");
    x("Reshape").ints_input("shape", &[4, -1]).snapshot("plain");
    case("Squeeze").input("x", &[1, 2, 1]).snapshot("all");
    x("Unsqueeze").ints_input("axes", &[1, -1]).snapshot("two");
    x("Transpose").ints("perm", &[1, 2, 0]).snapshot("turned");
    case("Expand").input("x", &[2, 1]).ints_input("shape", &[4, 1, 3]).snapshot("new-axis");
    case("SpaceToDepth").input("x", &[1, 1, 2, 4]).int("blocksize", 2).snapshot("plain");
    for mode in ["DCR", "CRD"] {
        let case = case("DepthToSpace").input("x", &[1, 4, 1, 2]).int("blocksize", 2);
        case.text("mode", mode).snapshot(mode);
    }
    let reshape = x("Reshape").dynamic(&["n", "", "m"]);
    reshape.ints_input("shape", &[0, -1]).snapshot("symbolic");
    x("Cast").int("to", code(DataType::F64)).snapshot("same");
}
