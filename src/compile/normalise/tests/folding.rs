use super::{model, raised};

/// What a Reshape of `x` is given as its shape after folding the node `op` over constants.
#[track_caller]
fn folds(constants: &str, op: &str, wanted: &str) {
    let body = format!("{constants} s = {op} y = Reshape(x, s)");
    assert_eq!(raised(18, &body), format!("y = Reshape(x, [{wanted}])"), "{op}");
}

#[track_caller]
fn stays(constants: &str, op: &str) {
    let body = format!("{constants} s = {op} y = Reshape(x, s)");
    assert!(raised(18, &body).contains("s = "), "{op}");
}

const TABLE: &str = "a = Constant<value = int64[2, 3] {1, 2, 3, 4, 5, 6}>()";

fn ints(name: &str, values: &[i64]) -> String {
    let list: Vec<_> = values.iter().map(i64::to_string).collect();
    format!("{name} = Constant<value = int64[{}] {{{}}}>() ", values.len(), list.join(", "))
}

#[test]
fn integers_that_follow_from_constants_become_constants() {
    folds(TABLE, "Transpose<perm = [1, 0]>(a)", "1, 4, 2, 5, 3, 6");
    folds(TABLE, "Transpose(a)", "1, 4, 2, 5, 3, 6");
    folds(TABLE, "Concat<axis = 0>(a, a)", "1, 2, 3, 4, 5, 6, 1, 2, 3");
    folds(TABLE, "Concat<axis = -1>(a, a)", "1, 2, 3, 1, 2, 3, 4, 5, 6");
    folds(TABLE, "Cast<to = 7>(a)", "1, 2, 3, 4, 5, 6");
    let filled = "ConstantOfShape<value = int64[1] {4}>(n)";
    folds(&ints("n", &[3]), filled, "4, 4, 4");
    folds(&(TABLE.to_owned() + &ints("n", &[3, -1])), "Reshape(a, n)", "1, 2, 3, 4, 5, 6");
}

#[test]
fn slices_of_integers_follow_the_standard() {
    for (start, end, axis, step, wanted) in [
        (1, 2, 0, 1, "4, 5, 6"),
        (-1, i64::MAX, 0, 1, "4, 5, 6"),
        (-1, i64::MIN + 1, 0, -1, "4, 5, 6, 1, 2, 3"),
        (9, -9, -1, -2, "3, 1, 6, 4"),
        (0, 3, 1, 2, "1, 3, 4, 6"),
        (-9, -1, 1, 1, "1, 2, 4, 5"),
        (0, 2, 1, 7, "1, 4"),
    ] {
        let at = [("b", start), ("c", end), ("d", axis), ("e", step)].map(|(n, v)| ints(n, &[v]));
        folds(&(TABLE.to_owned() + &at.concat()), "Slice(a, b, c, d, e)", wanted);
    }
    let ends = ints("b", &[1, 1]) + &ints("c", &[2, 3]);
    folds(&(TABLE.to_owned() + &ends), "Slice(a, b, c)", "5, 6");
}

#[test]
fn what_is_no_sum_of_known_integers_stays() {
    stays(TABLE, "Cast<to = 6>(a)");
    stays(TABLE, "Transpose<perm = [1, 1]>(a)");
    stays(TABLE, "Concat<axis = 2>(a, a)");
    stays(&(TABLE.to_owned() + &ints("n", &[4, -1])), "Reshape(a, n)");
    stays(&(TABLE.to_owned() + &ints("n", &[0, -1])), "Reshape(a, n)");
    stays(&ints("n", &[-1, -1]), "Reshape(n, n)");
    stays(&ints("n", &[3]), "ConstantOfShape(n)");
    stays(&ints("n", &[i64::MAX, 2]), "ConstantOfShape<value = int64[1] {4}>(n)");
    stays(&ints("n", &[-3]), "ConstantOfShape<value = int64[1] {4}>(n)");
    for (start, end, axis, step) in [(0, 1, 0, 0), (0, 0, 0, 1), (0, 1, 2, 1), (2, 0, 0, i64::MIN)]
    {
        let at = [("b", start), ("c", end), ("d", axis), ("e", step)].map(|(n, v)| ints(n, &[v]));
        stays(&(TABLE.to_owned() + &at.concat()), "Slice(a, b, c, d, e)");
    }
}

#[test]
fn the_pads_that_pytorch_computes_are_known() {
    let body = ints("k", &[2, 0])
        + &ints("n", &[4])
        + &ints("m", &[-1, 2])
        + &ints("l", &[-1])
        + &ints("b", &[-1])
        + &ints("c", &[i64::MIN + 1])
        + &ints("d", &[0])
        + "z = ConstantOfShape<value = int64[1] {0}>(n) p = Concat<axis = 0>(k, z) \
           q = Reshape(p, m) r = Slice(q, b, c, d, b) t = Transpose<perm = [1, 0]>(r) \
           u = Reshape(t, l) v = Cast<to = 7>(u) y = Pad(x, v)";
    assert_eq!(raised(18, &body), "y = Pad(x, [0, 0, 2, 0, 0, 0])");
}

#[test]
fn integers_that_a_run_may_replace_stay() {
    let text = "<ir_version: 8, opset_import: [\"\" : 18]> g (float[6] x, int64[2, 3] a = {1, 2, 3, 4, 5, 6}) \
                => (y) { s = Transpose(a) y = Reshape(x, s) }";
    let Ok(mut replaced) = crate::onnx::text::parse(text) else { panic!("{text}") };
    super::normalise(&mut replaced).unwrap();
    assert_eq!(replaced.graph.node_count(), 2);
    assert!(model(18, "y = Identity(x)").graph.node_count() == 1);
}
