use crate::compile::rules::testing::{Case, case};
use crate::graph::{DataType, Tensor};

fn yes(value: bool) -> Tensor {
    Tensor::new(DataType::Bool, vec![], vec![u8::from(value)])
}

fn int(value: i64) -> Tensor {
    Tensor::int(value)
}

/// Two branches that read `a` and `b`, `[2, 3]` each.
fn branch(taken: bool, then: &str, otherwise: &str) -> Case {
    let case = case("If").constant("c", yes(taken)).around();
    let case = case.input("a", &[2, 3]).input("b", &[2, 3]);
    let body = |name: &str, nodes: &str| format!("{name} = g () => (double[2,3] r) {{ {nodes} }}");
    let bodies = [body("then_branch", then), body("else_branch", otherwise)];
    case.bodies(&bodies.join(", ")).ort()
}

#[test]
fn branches_are_those_taken() {
    for taken in [true, false] {
        branch(taken, "r = Mul (a, b)", "r = Relu (a)").check();
        branch(taken, "s = Tanh (b) r = Mul (s, s)", "r = Identity (a)").check();
        let constant = "r = Constant <value = double[2,3] {1,2,3,4,5,6}> ()";
        branch(taken, "r = Div (a, b)", constant).check();
        let nested = "n = Constant <value = bool {0}> () \
            r = If (n) <then_branch = t () => (double[2,3] u) { u = Relu (b) }, \
                else_branch = f () => (double[2,3] v) { w = Mul (a, b) v = Sin (w) }>";
        branch(taken, nested, "r = Add (a, b)").check();
    }
}

#[test]
fn branches_with_several_outputs() {
    for taken in [true, false] {
        let case = case("If").constant("c", yes(taken)).around().input("a", &[2, 3]).outputs(2);
        let then = "t () => (double[2,3] r, double[2] s) { r = Exp (a) k = Constant <value = \
            int64[1] {1}> () s = ReduceSum <keepdims = 0> (r, k) }";
        let other = "f () => (double[2,3] p, double[2] q) { p = Neg (a) \
            q = Constant <value = double[2] {1, 2}> () }";
        case.bodies(&format!("then_branch = {then}, else_branch = {other}")).ort().check();
    }
}

/// A loop of `count` rounds over the state `x`, `[2, 3]`, that reads `w`, `[3, 3]`.
fn rounds(count: i64, nodes: &str, results: &str) -> Case {
    let case = case("Loop").constant("n", int(count)).constant("c", yes(true));
    let case = case.input("x", &[2, 3]).around().input("w", &[3, 3]);
    let outputs = 1 + results.matches("double").count();
    let head = format!("(int64 i, bool go, double[2,3] s) => (bool on, double[2,3] t{results})");
    case.bodies(&format!("body = g {head} {{ {nodes} }}")).outputs(outputs).ort()
}

#[test]
fn rounds_of_a_loop() {
    let more = "on = Identity (go)";
    for count in [0, 1, 3] {
        rounds(count, &format!("{more} m = MatMul (s, w) t = Tanh (m)"), "").check();
        rounds(count, &format!("{more} t = MatMul (s, w)"), "").check();
        let part = "m = MatMul (s, w) t = Relu (m) r = Sin (s)";
        if count > 0 {
            rounds(count, &format!("{more} {part}"), ", double[2,3] r").check();
        }
        let round = "f = Cast <to = 11> (i) m = Mul (s, f) k = MatMul (m, w) t = Sigmoid (k)";
        rounds(count, &format!("{more} {round}"), "").check();
    }
    let stop =
        "m = MatMul (s, w) t = Tanh (m) k = Constant <value = int64 {1}> () on = Less (i, k)";
    rounds(9, stop, "").check();
}

#[test]
fn loops_in_loops() {
    let inner = "on = Identity (go) k = Constant <value = int64 {2}> () \
        u = Loop (k, go, s) <body = h (int64 j, bool gone, double[2,3] p) => (bool ok, double[2,3] q) \
            { ok = Identity (gone) m = MatMul (p, w) q = Tanh (m) }> \
        t = If (go) <then_branch = a () => (double[2,3] y) { y = Mul (u, s) }, \
            else_branch = b () => (double[2,3] z) { z = Identity (s) }>";
    rounds(2, inner, "").check();
}

/// A scan of `x`, four elements along `axis`, with the state `h`, `[3]`, reading `w`, `[3]`.
fn scan(axis: usize, nodes: &str, results: &str) -> Case {
    let dims = if axis == 0 { [4, 3] } else { [3, 4] };
    let case = case("Scan").input("h", &[3]).input("x", &dims).int("num_scan_inputs", 1);
    let case = case.ints("scan_input_axes", &[axis as i64]).around().input("w", &[3]);
    let outputs = 1 + results.matches("double").count();
    let head = format!("(double[3] s, double[3] e) => (double[3] t{results})");
    case.bodies(&format!("body = g {head} {{ {nodes} }}")).outputs(outputs).ort()
}

#[test]
fn scans_along_any_axis_in_both_directions() {
    let nodes = "a = Mul (s, w) b = Add (a, e) t = Tanh (b) r = Mul (t, e)";
    for axis in [0, 1] {
        for backward in [0, 1] {
            for out in [0, 1] {
                let case = scan(axis, nodes, ", double[3] r").ints("scan_output_axes", &[out]);
                let case = case.ints("scan_input_directions", &[backward]);
                case.ints("scan_output_directions", &[(out + backward) % 2]).check();
            }
        }
    }
}

#[test]
fn states_that_begin_fixed() {
    let nodes = "a = Mul (s, w) t = Add (a, e) r = Relu (e)";
    let case = case("Scan").param("h", &[3]).input("x", &[4, 3]).int("num_scan_inputs", 1);
    let head = "(double[3] s, double[3] e) => (double[3] t, double[3] r)";
    let body = format!("body = g {head} {{ {nodes} }}");
    case.around().param("w", &[3]).bodies(&body).outputs(2).ort().check();
}

#[test]
fn a_state_that_forgets() {
    let case = case("Scan").param("h", &[3]).input("x", &[4, 3]).int("num_scan_inputs", 1);
    let head = "(double[3] s, double[3] e) => (double[3] t, double[3] r)";
    let body = format!("body = g {head} {{ t = Mul (e, w) r = Mul (s, e) }}");
    case.around().input("w", &[3]).bodies(&body).outputs(2).ort().check();
}

#[test]
fn lengths_known_at_run_time() {
    let nodes = "a = Mul (s, w) b = Add (a, e) t = Tanh (b) r = Mul (t, e)";
    let case = case("Scan").param("h", &[3]).input("x", &[4, 3]).dynamic(&["t", ""]);
    let case = case.int("num_scan_inputs", 1).around().param("w", &[3]);
    let head = "(double[3] s, double[3] e) => (double[3] t, double[3] r)";
    case.bodies(&format!("body = g {head} {{ {nodes} }}")).outputs(2).ort().check();
}

#[test]
fn states_that_change_their_shape_are_refused() {
    let case = case("Loop").constant("n", int(2)).constant("c", yes(true)).input("x", &[1]);
    let head = "(int64 i, bool go, double[K] s) => (bool on, double[M] t)";
    let nodes = "on = Identity (go) t = Concat <axis = 0> (s, s)";
    case.bodies(&format!("body = g {head} {{ {nodes} }}")).ort().refused("may change its shape");
}

#[test]
fn snapshots() {
    branch(true, "r = Mul (a, b)", "r = Relu (a)").snapshot("two");
    rounds(2, "on = Identity (go) m = MatMul (s, w) t = Tanh (m)", "").snapshot("state");
    let nodes = "a = Mul (s, w) b = Add (a, e) t = Tanh (b) r = Mul (t, e)";
    scan(0, nodes, ", double[3] r").snapshot("results");
}
