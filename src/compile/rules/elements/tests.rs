use crate::compile::rules::testing::{Case, case};
use crate::graph::{DataType, Tensor};

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

#[test]
fn compress_takes_where_the_condition_holds() {
    let under = |dims: &[i64], holds: &[bool]| {
        let it = case("Compress").input("x", dims).reference();
        it.bools("c", &[holds.len() as i64], holds)
    };
    for axis in [1, -1] {
        under(&[2, 3], &[true, false, true]).int("axis", axis).check();
    }
    for axis in [-2, 0] {
        under(&[2, 3], &[true]).int("axis", axis).check();
        under(&[2, 3], &[false, true]).int("axis", axis).check();
    }
    under(&[2, 3], &[true, false, true]).check();
    under(&[2, 3], &[false, false, true, false, true, true]).check();
    under(&[2], &[true]).int("axis", 1).refused("axis 1");
}

#[test]
fn negative_index_tuples_count_from_the_end() {
    let gather = |dims: &[i64], values: &[i64]| {
        let it = case("GatherND").input("x", &[2, 3]).reference();
        it.ints_shaped("i", dims, values)
    };
    gather(&[2, 2], &[-1, 0, 1, -3]).check();
    gather(&[2, 1], &[-1, -2]).check();
    gather(&[2, 1], &[-1, -3]).int("batch_dims", 1).check();
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
    for repeats in [[2, 1], [1, 3], [2, 2]] {
        let x = case("Tile").input("x", &[2, 3]).ints_input("r", &repeats).computed();
        x.reference().check();
    }
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
fn ranges() {
    let number = |it: Case, name: &str, value: f64| it.input(name, &[]).values(&[value]);
    for (start, limit, delta) in [(0.3, 2.6, 0.5), (1.2, -2.1, -0.7), (0.3, 0.4, 1.0)] {
        let of = || case("Range").reference();
        number(number(of(), "start", start).constant("limit", float(limit)), "delta", delta)
            .check();
        number(of(), "start", start)
            .constant("limit", float(limit))
            .constant("delta", float(delta))
            .check();
        let by = of().constant("start", float(start)).constant("limit", float(limit));
        number(by, "delta", delta).check();
    }
}

fn float(value: f64) -> Tensor {
    Tensor::float(DataType::F64, value)
}

#[test]
fn symbolic_sizes() {
    let it = case("GatherElements").input("x", &[2, 3]).dynamic(&["n", ""]);
    it.ints_shaped("i", &[2, 2], &[0, 1, -1, 2]).int("axis", 1).check();
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
    let kept = case("Compress").input("x", &[3]).bools("c", &[3], &[true, false, true]);
    kept.reference().snapshot("plain");
    let top = case("TopK").input("x", &[2, 3]).ints_input("k", &[2]);
    top.outputs(2).snapshot("plain");
    case("Trilu").input("x", &[2, 2, 3]).int("upper", 0).snapshot("plain");
    case("Tile").input("x", &[2, 3]).ints_input("r", &[1, 2]).snapshot("plain");
    let sums = case("CumSum").input("x", &[2, 3]).ints_shaped("axis", &[], &[1]);
    sums.int("exclusive", 1).snapshot("plain");
    let range = case("Range").reference().input("start", &[]).values(&[0.3]);
    let range = range.constant("limit", float(2.6)).input("delta", &[]).values(&[0.5]);
    range.snapshot("plain");
}
