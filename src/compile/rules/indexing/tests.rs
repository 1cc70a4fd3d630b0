use crate::compile::rules::testing::{Case, case};

/// The bounds that slices are tried with: short of, at and past both ends.
const SHORT: [i64; 5] = [0, 1, 3, -1, -2];
const LONG: [i64; 12] = [0, 1, 2, 4, 5, 7, -1, -2, -5, -6, i64::MAX, i64::MIN];

fn bounds() -> &'static [i64] {
    if std::env::var_os("SLPC_LONG").is_some() { &LONG } else { &SHORT }
}

/// A slice along the last of two axes.
fn slice(x: Case, start: i64, end: i64, step: i64) -> Case {
    let x = x.ints_input("starts", &[start]).ints_input("ends", &[end]);
    x.ints_input("axes", &[-1]).ints_input("steps", &[step])
}

/// The number of elements of a slice of `size`, as ONNX counts them.
fn count(size: i64, start: i64, end: i64, step: i64) -> usize {
    let front = |n: i64| if n < 0 { n.saturating_add(size) } else { n };
    let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
    let from = front(start).clamp(low.max(0), high);
    let to = front(end).clamp(low, high);
    let span = if step > 0 { to - from } else { from - to };
    span.max(0).unsigned_abs().div_ceil(step.unsigned_abs()) as usize
}

#[test]
fn slices_of_any_bounds_and_steps() {
    for &start in bounds() {
        for &end in bounds() {
            for step in [1, 2, 3, -1, -2, -4] {
                // Where a reverse slice starts before the first element, the standard and ONNX
                // Runtime take that one, and tract takes none.
                let disputed = step < 0 && start < -5;
                if !disputed && count(5, start, end, step) > 0 {
                    slice(case("Slice").input("x", &[2, 5]), start, end, step).check();
                }
            }
        }
    }
}

#[test]
fn slices_past_the_ends() {
    for (start, end, step) in
        [(-9, 9, 1), (1, i64::MAX, 2), (-1, i64::MIN, -1), (i64::MAX, i64::MIN, -2), (9, -9, -3)]
    {
        slice(case("Slice").input("x", &[2, 5]), start, end, step).check();
    }
}

#[test]
fn slices_of_several_axes() {
    let x = || case("Slice").input("x", &[3, 4, 5]);
    x().ints_input("starts", &[1, 0]).ints_input("ends", &[3, 2]).check();
    let two = || x().ints_input("starts", &[-1, 1]).ints_input("ends", &[-9, 4]);
    two().ints_input("axes", &[2, 0]).ints_input("steps", &[-2, 1]).check();
    two().ints_input("axes", &[-1, -2]).ints_input("steps", &[-1, 2]).check();
    x().ints_input("starts", &[1])
        .ints_input("ends", &[2])
        .skip()
        .ints_input("steps", &[1])
        .check();
    let twice = x().ints_input("starts", &[0, 1]).ints_input("ends", &[2, 2]);
    twice.ints_input("axes", &[1, -2]).refused("the axes [1, -2]");
}

#[test]
fn slices_of_symbolic_axes() {
    let x = || case("Slice").input("x", &[2, 5]).dynamic(&["n", "m"]);
    for (start, end, step) in [
        (0, 3, 1),
        (1, i64::MAX, 1),
        (1, -1, 2),
        (-2, i64::MAX, 1),
        (-9, i64::MAX, 1),
        (-9, 3, 1),
        (-1, i64::MIN, -1),
        (-1, i64::MIN, -2),
        (-2, -4, -1),
        (3, i64::MIN, -1),
        (9, 1, -1),
    ] {
        slice(x(), start, end, step).check();
    }
}

#[test]
fn concatenations() {
    for axis in [0, 1, 2, -1, -3] {
        let dims = |size: i64| {
            let mut dims = [2, 1, 2];
            dims[(axis + 3) as usize % 3] = size;
            dims
        };
        let three = case("Concat").input("a", &dims(1)).param("b", &dims(2)).input("c", &dims(3));
        three.int("axis", axis).check();
        case("Concat").param("a", &dims(2)).input("b", &dims(1)).int("axis", axis).check();
        case("Concat").input("a", &dims(2)).int("axis", axis).check();
    }
    let a = case("Concat").input("a", &[2, 3]).dynamic(&["n", "m"]);
    a.int("axis", -1).check();
}

#[test]
fn splits() {
    for (axis, count) in [(0, 2), (1, 3), (-1, 2)] {
        let x = || case("Split").input("x", &[4, 6]).int("axis", axis);
        x().outputs(count).int("num_outputs", count as i64).check();
    }
    let uneven = |sizes: &[i64]| {
        let x = case("Split").input("x", &[2, 5]).int("axis", -1);
        x.ints_input("split", sizes).outputs(sizes.len())
    };
    uneven(&[1, 4]).check();
    uneven(&[2, 1, 2]).check();
    uneven(&[5]).check();
    case("Split").input("x", &[5]).outputs(3).int("num_outputs", 3).check();
    let x = case("Split").input("x", &[2, 4]).dynamic(&["n", ""]).int("axis", 1);
    x.outputs(2).int("num_outputs", 2).check();
}

#[test]
fn gathers() {
    let indices: [(&[i64], &[i64]); 6] = [
        (&[], &[1]),
        (&[], &[-1]),
        (&[1], &[0]),
        (&[4], &[2, 0, 2, -1]),
        (&[2, 2], &[0, -1, 1, 0]),
        (&[1, 3], &[-3, 2, 1]),
    ];
    for (dims, values) in indices {
        for axis in [0, 1, -1] {
            let x = case("Gather").input("x", &[3, 3, 3]).ints_shaped("i", dims, values);
            x.int("axis", axis).check();
        }
        let x = case("Gather").input("x", &[3, 2]).dynamic(&["n", "m"]);
        x.ints_shaped("i", dims, values).check();
    }
}

#[test]
fn choices() {
    let conditions: [(&[i64], &[bool]); 4] = [
        (&[], &[true]),
        (&[3], &[true, false, true]),
        (&[2, 1], &[false, true]),
        (&[2, 3], &[true, true, false, false, true, false]),
    ];
    for (dims, values) in conditions {
        let c = || case("Where").bools("c", dims, values);
        c().input("a", &[2, 3]).input("b", &[2, 3]).check();
        c().input("a", &[3]).param("b", &[2, 1]).check();
        c().param("a", &[]).input("b", &[2, 3]).check();
        c().input("a", &[1]).input("b", &[]).check();
    }
}

#[test]
fn the_steps_are_these() {
    let two = case("Concat").input("a", &[2, 1]).param("b", &[2, 2]).input("c", &[2, 1]);
    two.int("axis", 1).snapshot("constant");
    let x = || case("Split").input("x", &[5]);
    x().ints_input("split", &[2, 3]).outputs(2).snapshot("uneven");
    for (name, [start, end, step]) in
        [("window", [1, -1, 1]), ("strided", [1, 5, 2]), ("reversed", [-1, i64::MIN, -2])]
    {
        slice(case("Slice").input("x", &[2, 5]), start, end, step).snapshot(name);
    }
    let symbolic = case("Slice").input("x", &[2, 5]).dynamic(&["n", "m"]);
    slice(symbolic, -2, i64::MAX, 1).snapshot("symbolic");
    let gather = case("Gather").input("x", &[3, 2]).ints_shaped("i", &[2, 2], &[0, -1, 1, 0]);
    gather.snapshot("duplicates");
    let where_ = case("Where").bools("c", &[3], &[true, false, true]);
    where_.input("a", &[2, 3]).input("b", &[]).snapshot("broadcast");
}
