use crate::compile::rules::testing::{Case, case, weights_alone};

fn scatter(data: &[i64], indices: &[i64], values: &[i64]) -> Case {
    let it = case("ScatterElements").input("x", data).ints_shaped("i", indices, values);
    it.input("u", indices)
}

fn scatter_nd(data: &[i64], indices: &[i64], values: &[i64], updates: &[i64]) -> Case {
    let it = case("ScatterND").input("x", data).ints_shaped("i", indices, values);
    it.input("u", updates)
}

#[test]
fn gather_elements_along_every_axis() {
    for axis in [-3, -2, -1, 0, 1, 2] {
        for (dims, indices) in [
            ([2, 2, 2], [0, 1, 1, 0, -1, -2, 1, 1]),
            ([1, 2, 2], [1, 1, -1, 0, 0, 0, 0, 0]),
            ([2, 1, 2], [1, 1, -1, 0, 0, 0, 0, 0]),
        ] {
            let count = dims.iter().product::<i64>() as usize;
            case("GatherElements")
                .input("x", &[2, 2, 2])
                .ints_shaped("i", &dims, &indices[..count])
                .int("axis", axis)
                .check();
        }
    }
    let long = case("GatherElements").input("x", &[2, 3]);
    long.ints_shaped("i", &[4, 3], &[0, 1, 1, 0, 0, -1, 1, 1, 0, -2, 0, 1]).check();
}

#[test]
fn gather_nd_by_every_batch_and_length() {
    for (batch, indices, values) in [
        (0, &[2, 1][..], &[0, 1][..]),
        (0, &[2, 2], &[0, 1, 1, 2]),
        (0, &[3, 3], &[0, 2, 1, 1, 2, 0, 0, 2, 1]),
        (0, &[2, 2, 2], &[0, 0, 0, 0, 1, 0, 0, 2]),
        (0, &[1], &[1]),
        (0, &[3], &[1, 2, 0]),
        (1, &[2, 1], &[2, 1]),
        (1, &[2, 2], &[2, 1, 0, 0]),
        (1, &[2, 2, 1], &[2, 2, 0, 1]),
        (1, &[2, 3, 2], &[0, 0, 0, 1, 0, 0, 1, 1, 2, 0, 2, 1]),
        (2, &[2, 3, 1], &[0, 1, 1, 1, 0, 0]),
        (2, &[2, 3, 2, 1], &[0, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0]),
    ] {
        let it = case("GatherND").input("x", &[2, 3, 2]).ints_shaped("i", indices, values);
        it.int("batch_dims", batch).check();
    }
}

#[test]
fn scatter_elements_along_every_axis() {
    for axis in [-2, -1, 0, 1] {
        for reduction in ["none", "add"] {
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
    scatter(&[5], &[7], &[4, 0, 4, -1, 2, 0, 4]).check();
    scatter(&[5], &[7], &[4, 0, 4, -1, 2, 0, 4]).text("reduction", "add").check();
    scatter(&[3, 2, 2], &[2, 1, 2], &[0, 1, 2, -1]).check();
}

#[test]
fn scatter_elements_with_one_operand_fixed() {
    let it = || case("ScatterElements").input("x", &[3, 2]);
    it().ints_shaped("i", &[1, 2], &[2, 0]).param("u", &[1, 2]).check();
    let it = case("ScatterElements").param("x", &[3, 2]).ints_shaped("i", &[2, 2], &[2, 0, 2, 1]);
    it.input("u", &[2, 2]).check();
}

#[test]
fn scatter_nd_by_every_length() {
    for reduction in ["none", "add"] {
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

#[test]
fn other_reductions_are_refused() {
    for reduction in ["mul", "max", "min", "median"] {
        let text = format!("scattering with reduction '{reduction}'");
        scatter(&[3], &[1], &[0]).text("reduction", reduction).refused(&text);
        scatter_nd(&[3], &[1, 1], &[0], &[1]).text("reduction", reduction).refused(&text);
    }
}

#[test]
fn malformed_indices_are_refused() {
    case("GatherElements").input("x", &[2, 2]).ints_input("i", &[0]).refused("rank 1");
    let nd = |dims: &[i64], values: &[i64]| {
        case("GatherND").input("x", &[2, 2]).ints_shaped("i", dims, values)
    };
    nd(&[1, 3], &[0, 0, 0]).refused("");
    nd(&[], &[0]).refused("");
    nd(&[1, 0], &[]).refused("");
    nd(&[2, 1], &[0, 0]).int("batch_dims", 2).refused("");
    nd(&[2, 1], &[0, 0]).int("batch_dims", -1).refused("batch_dims");
    nd(&[2, 1], &[0, 0]).int("batch_dims", i64::MAX).refused("batch_dims");
    scatter(&[2, 2], &[1, 1], &[0]).int("axis", 2).refused("axis 2");
    scatter_nd(&[2], &[1, 2], &[0, 0], &[1]).refused("do not fit data of rank 1");
}

#[test]
fn top_k_follows_its_indices() {
    for axis in [-2, -1, 0, 1] {
        for largest in [0, 1] {
            for k in [1, 2] {
                case("TopK")
                    .input("x", &[2, 3])
                    .ints_input("k", &[k])
                    .int("axis", axis)
                    .int("largest", largest)
                    .outputs(2)
                    .check();
            }
        }
    }
    case("TopK").input("x", &[4]).ints_input("k", &[1]).int("axis", 1).refused("");
}

/// Asserts that element `i` of `y = node` is element `taken[i]` of `double x`, of dimensions `dims`.
#[track_caller]
fn takes(constants: &str, node: &str, dims: &[usize], taken: &[Option<usize>]) {
    let count: usize = dims.iter().product();
    let column = |from: Option<usize>| (0..count).map(move |i| from == Some(i));
    let wanted = taken.iter().flat_map(|&from| column(from));
    let wanted: Vec<f64> = wanted.map(|is| f64::from(u8::from(is))).collect();
    assert_eq!(weights_alone(constants, node, dims), wanted, "{node}");
}

#[test]
fn compress_takes_where_the_condition_holds() {
    let constants = "bool[3] c = {1, 0, 1}, bool[1] one = {1}";
    let of = |places: &[usize]| places.iter().copied().map(Some).collect::<Vec<_>>();
    takes(constants, "Compress <axis = 1> (x, c)", &[2, 3], &of(&[0, 2, 3, 5]));
    takes(constants, "Compress <axis = -1> (x, c)", &[2, 3], &of(&[0, 2, 3, 5]));
    takes(constants, "Compress <axis = 0> (x, one)", &[2, 3], &of(&[0, 1, 2]));
    takes(constants, "Compress (x, c)", &[2, 3], &of(&[0, 2]));
    case("Compress").input("x", &[2]).bools("c", &[1], &[true]).int("axis", 1).refused("axis 1");
    case("Compress").input("x", &[3]).bools("c", &[3], &[true, false, true]).show("plain");
}

#[test]
fn negative_index_tuples_count_from_the_end() {
    let constants =
        "int64[2, 2] i = {-1, 0, 1, -3}, int64[2, 1] j = {-1, -3}, double[2] u = {1, 2}";
    let of = |places: &[usize]| places.iter().copied().map(Some).collect::<Vec<_>>();
    takes(constants, "GatherND (x, i)", &[2, 3], &of(&[3, 3]));
    takes(constants, "GatherND <batch_dims = 1> (x, j)", &[2, 3], &of(&[2, 3]));
    let kept = [0, 1, 2, 3, 4, 5].map(|place| (place != 3).then_some(place));
    takes(constants, "ScatterND (x, i, u)", &[2, 3], &kept);
    takes(
        "int64[2, 1] i = {-1, -3}, double[3] d = {1, 2, 3}",
        "ScatterND (d, i, x)",
        &[2],
        &[Some(1), None, Some(0)],
    );
}

#[test]
fn triangles() {
    for upper in [0, 1] {
        for dims in [&[3, 3][..], &[2, 4], &[2, 3, 2], &[4, 1]] {
            case("Trilu").input("x", dims).int("upper", upper).check();
            for k in [-5, -1, 0, 1, 2, 7] {
                let it = case("Trilu").input("x", dims).ints_shaped("k", &[], &[k]);
                it.int("upper", upper).check();
            }
        }
    }
    case("Trilu").input("x", &[3]).refused("rank 1");
}

#[test]
fn tiles_by_every_repeat() {
    for repeats in [[1, 1, 1], [2, 1, 1], [1, 3, 1], [1, 1, 2], [2, 1, 3], [2, 2, 2]] {
        case("Tile").input("x", &[2, 1, 3]).ints_input("r", &repeats).check();
    }
    case("Tile").input("x", &[3]).ints_input("r", &[4]).check();
    case("Tile").input("x", &[2]).dynamic(&["n"]).ints_input("r", &[3]).check();
    case("Tile").input("x", &[2, 2]).dynamic(&["n", "m"]).ints_input("r", &[1, 2]).check();
    case("Tile").input("x", &[3]).ints_input("r", &[2, 2]).refused("");
    case("Tile").input("x", &[3]).ints_input("r", &[-1]).refused("");
}

#[test]
fn running_sums() {
    for axis in [-2, -1, 0, 1] {
        for (exclusive, reverse) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            case("CumSum")
                .input("x", &[2, 3])
                .ints_shaped("axis", &[], &[axis])
                .int("exclusive", exclusive)
                .int("reverse", reverse)
                .check();
        }
    }
    case("CumSum").input("x", &[3]).ints_shaped("axis", &[], &[1]).refused("axis 1");
    case("CumSum").input("x", &[3]).ints_input("axis", &[0, 0]).refused("axis");
}

#[test]
fn symbolic_sizes() {
    let it = case("GatherElements").input("x", &[2, 3]).dynamic(&["n", ""]);
    it.ints_shaped("i", &[2, 2], &[0, 1, -1, 2]).int("axis", 1).check();
    let it = case("ScatterND").input("x", &[3, 2]).dynamic(&["n", ""]);
    it.ints_shaped("i", &[2, 1], &[2, 0]).param("u", &[2, 2]).check();
    let it = case("GatherND").input("x", &[2, 3]).dynamic(&["n", "m"]);
    it.ints_shaped("i", &[2, 1], &[1, 0]).check();
    let it = case("TopK").input("x", &[2, 3]).dynamic(&["n", "m"]).ints_input("k", &[2]);
    it.outputs(2).check();
    let it = case("CumSum").input("x", &[2, 3]).dynamic(&["n", "m"]);
    it.ints_shaped("axis", &[], &[1]).check();
    case("Trilu").input("x", &[2, 3]).dynamic(&["n", "m"]).check();
}

#[test]
fn snapshots() {
    let indices = |it: Case| it.ints_shaped("i", &[2, 2], &[0, 1, 1, -1]);
    indices(case("GatherElements").input("x", &[2, 2])).int("axis", 1).snapshot("plain");
    let nd = || case("GatherND").input("x", &[2, 3, 2]).ints_shaped("i", &[2, 2], &[0, 1, 1, 1]);
    nd().snapshot("plain");
    nd().int("batch_dims", 1).snapshot("batch");
    scatter(&[3, 2], &[2, 2], &[0, 1, 2, -1]).snapshot("plain");
    scatter(&[3, 2], &[2, 2], &[0, 1, 2, -1]).text("reduction", "add").snapshot("add");
    scatter_nd(&[3, 2], &[2, 1], &[0, 2], &[2, 2]).snapshot("plain");
    scatter_nd(&[3, 2], &[2, 1], &[0, 2], &[2, 2]).text("reduction", "add").snapshot("add");
    let top = case("TopK").input("x", &[2, 3]).ints_input("k", &[2]);
    top.outputs(2).snapshot("plain");
    case("Trilu").input("x", &[2, 2, 3]).int("upper", 0).snapshot("plain");
    case("Tile").input("x", &[2, 3]).ints_input("r", &[1, 2]).snapshot("plain");
    let sums = case("CumSum").input("x", &[2, 3]).ints_shaped("axis", &[], &[1]);
    sums.int("exclusive", 1).snapshot("plain");
}
