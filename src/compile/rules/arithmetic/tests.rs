use crate::compile::rules::testing::{Case, case};
use crate::graph::{DataType, Tensor};

/// Pairs of dimensions that broadcast.
const PAIRS: [[&[i64]; 2]; 9] = [
    [&[2, 3], &[2, 3]],
    [&[2, 3], &[]],
    [&[2, 3], &[1]],
    [&[2, 3], &[3]],
    [&[2, 3], &[2, 1]],
    [&[2, 1, 3], &[4, 1]],
    [&[1, 3], &[2, 1]],
    [&[1], &[]],
    [&[], &[]],
];

/// Whether tract has the operator for operands of these dimensions.
fn runs(op: &str, a: &[i64], b: &[i64]) -> bool {
    op != "Mean" || a.len() >= b.len()
}

/// Pairs, half of them in either order, or all in both orders in the long mode: each operand
/// changing, the other fixed, and both changing.
fn pairs(op: &str, low: f64, high: f64) {
    let long = std::env::var_os("SLPC_LONG").is_some();
    for (index, [a, b]) in PAIRS.into_iter().enumerate() {
        let orders = if index % 2 == 0 { [[a, b], [b, a]] } else { [[b, a], [a, b]] };
        for [a, b] in orders.into_iter().take(1 + usize::from(long)) {
            if runs(op, a, b) {
                let a = |case: Case| case.input("a", a).within(low, high);
                a(case(op)).input("b", b).within(low, high).check();
                a(case(op)).param("b", b).within(low, high).check();
            }
        }
    }
}

/// A float vector.
fn vector(values: &[f64]) -> Tensor {
    Tensor::floats(DataType::F64, vec![values.len() as i64], values)
}

#[test]
fn sums_broadcast() {
    for op in ["Add", "Sub", "Sum", "Mean"] {
        pairs(op, -2.0, 2.0);
    }
}

#[test]
fn products_broadcast() {
    pairs("Mul", -2.0, 2.0);
    pairs("Div", 0.3, 2.0);
    pairs("Div", -2.0, -0.3);
}

#[test]
fn extrema_broadcast() {
    pairs("Max", -2.0, 2.0);
    pairs("Min", -2.0, 2.0);
}

#[test]
fn a_fixed_first_operand_is_the_constant_part() {
    for op in ["Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean"] {
        for (a, b) in
            [(&[3][..], &[][..]), (&[2, 3], &[2, 1]), (&[], &[2, 3]), (&[4, 1, 2], &[3, 1])]
        {
            if runs(op, a, b) {
                case(op).param("a", a).positive().input("b", b).positive().check();
            }
        }
    }
}

#[test]
fn any_number_of_operands() {
    for op in ["Sum", "Mean", "Max", "Min"] {
        case(op).input("a", &[2, 3]).check();
        case(op).input("a", &[2, 3]).param("b", &[3]).input("c", &[2, 1]).check();
        case(op).param("a", &[1, 1]).input("b", &[2]).param("c", &[3, 1]).param("d", &[]).check();
    }
}

#[test]
fn powers_with_one_exponent() {
    for p in [0.0, 1.0, 2.0, 3.0, 0.5, -1.0, 2.5, -0.5] {
        let positive = case("Pow").input("x", &[2, 3]).positive();
        positive.constant("p", Tensor::float(DataType::F64, p)).check();
    }
    for p in [0, 1, 2, 3, -1, -2] {
        let of = |x: Case| x.constant("p", Tensor::int(p));
        of(case("Pow").input("x", &[2, 3]).within(0.3, 2.0)).check();
        of(case("Pow").input("x", &[2, 3]).within(-2.0, -0.3)).check();
    }
}

#[test]
fn powers_with_an_exponent_each() {
    let exponents = [vec![0.0, 1.0, 2.0], vec![3.0, 0.5, -1.0]];
    for p in exponents {
        case("Pow").input("x", &[2, 3]).positive().constant("p", vector(&p)).check();
        case("Pow").input("x", &[2, 1]).positive().constant("p", vector(&p)).check();
        case("Pow").input("x", &[]).positive().constant("p", vector(&p)).check();
    }
    case("Pow").input("x", &[3]).constant("p", Tensor::ints(&[0, 2, 3])).check();
    case("Pow").input("x", &[]).constant("p", Tensor::ints(&[1])).check();
}

#[test]
fn powers_have_no_infinite_slope_at_zero() {
    let at = |p: Tensor| case("Pow").input("x", &[2]).values(&[0.0, 4.0]).constant("p", p);
    at(Tensor::float(DataType::F64, 0.5)).jacobian(&[&[0.0, 0.0], &[0.0, 0.25]]);
    at(vector(&[0.5, 0.5])).jacobian(&[&[0.0, 0.0], &[0.0, 0.25]]);
    at(vector(&[0.0, 0.0])).jacobian(&[&[0.0, 0.0], &[0.0, 0.0]]);
    at(vector(&[1.0, 2.0])).jacobian(&[&[1.0, 0.0], &[0.0, 8.0]]);
}

#[test]
fn exponents_may_change() {
    for [a, b] in PAIRS {
        case("Pow").param("x", a).positive().input("p", b).check();
        case("Pow").input("x", a).positive().input("p", b).check();
        case("Pow").input("x", b).positive().input("p", a).check();
    }
    let sized = case("Pow").input("x", &[2, 3]).positive().dynamic(&["n", ""]);
    sized.input("p", &[3]).check();
    case("Pow").f32().param("x", &[3]).positive().input("p", &[2, 1]).check();
}

#[test]
fn exponents_of_bases_that_are_not_positive_have_slope_0() {
    let of = |x: &[f64], p: &[f64]| {
        let base = case("Pow").constant("x", vector(x));
        base.input("p", &[p.len() as i64]).values(p)
    };
    let zeros = of(&[0.0, 0.0, 0.0], &[0.0, 1.0, 2.5]);
    zeros.jacobian(&[&[0.0; 3], &[0.0; 3], &[0.0; 3]]);
    let negative = of(&[-2.0, -2.0, -1.0], &[2.0, 3.0, -1.0]);
    negative.jacobian(&[&[0.0; 3], &[0.0; 3], &[0.0; 3]]);
    of(&[f64::INFINITY, 1.0], &[-1.0, 3.0]).jacobian(&[&[0.0, 0.0], &[0.0, 0.0]]);
    let tiny = of(&[1e-200, 1.0], &[2.0, 0.0]);
    tiny.jacobian(&[&[0.0, 0.0], &[0.0, 0.0]]);
}

#[test]
fn bases_may_be_negative_or_zero_under_exponents_of_their_own() {
    let at = |p: &[f64]| {
        let x = case("Pow").input("x", &[3]).values(&[-2.0, 0.0, 4.0]);
        x.constant("p", vector(p))
    };
    at(&[3.0, 1.0, 0.5]).jacobian(&[&[12.0, 0.0, 0.0], &[0.0, 1.0, 0.0], &[0.0, 0.0, 0.25]]);
    at(&[0.0, 0.0, 0.0]).jacobian(&[&[0.0; 3], &[0.0; 3], &[0.0; 3]]);
    at(&[-1.0, 0.25, -2.0]).jacobian(&[&[-0.25, 0.0, 0.0], &[0.0; 3], &[0.0, 0.0, -0.03125]]);
    let x = case("Pow").input("x", &[2]).values(&[-2.0, 0.0]);
    x.constant("p", Tensor::ints(&[3, 0])).jacobian(&[&[12.0, 0.0], &[0.0, 0.0]]);
}

#[test]
fn base_and_exponent_may_differ_in_type() {
    let single = Tensor::floats(DataType::F32, vec![2], &[1.0, 2.0]);
    let it = case("Pow").reference().constant("x", single).input("p", &[1]).values(&[1.0]);
    it.jacobian(&[&[0.0], &[f64::from(2.0 * 2f32.ln())]]);
    let single = Tensor::floats(DataType::F32, vec![2], &[2.0, 0.5]);
    case("Pow").reference().input("x", &[2]).positive().constant("p", single).check();
    let whole = Tensor { dims: vec![1], ..Tensor::ints(&[3]) };
    case("Pow").reference().input("x", &[2]).constant("p", whole).check();
}

#[test]
fn signs() {
    for op in ["Neg", "Abs"] {
        case(op).input("x", &[2, 5]).check();
        case(op).input("x", &[]).check();
    }
    let abs = case("Abs").input("x", &[3]).values(&[-1.0, 0.0, 1.0]);
    abs.jacobian(&[&[-1.0, 0.0, 0.0], &[0.0; 3], &[0.0, 0.0, 1.0]]);
}

#[test]
fn equals_go_to_the_first_operand() {
    let x = |op: &str| case(op).input("x", &[2]).values(&[1.0, 2.0]);
    let other = |op: &str| case(op).constant("c", vector(&[1.0, 2.0]));
    for op in ["Max", "Min"] {
        x(op).constant("c", vector(&[1.0, 2.0])).jacobian(&[&[1.0, 0.0], &[0.0, 1.0]]);
        let last = other(op).input("x", &[2]).values(&[1.0, 2.0]);
        last.jacobian(&[&[0.0, 0.0], &[0.0, 0.0]]);
    }
    x("Max").constant("c", vector(&[0.0, 3.0])).jacobian(&[&[1.0, 0.0], &[0.0, 0.0]]);
}

#[test]
fn sizes_may_be_symbols() {
    for op in ["Add", "Sub", "Mul", "Div", "Max", "Mean"] {
        let x = |dims: &[&str]| case(op).input("x", &[2, 3]).positive().dynamic(dims);
        x(&["n", ""]).param("c", &[3]).positive().check();
        x(&["n", ""]).param("c", &[]).positive().check();
        x(&["n", "m"]).param("c", &[1, 1]).positive().check();
    }
}

#[test]
fn a_size_that_may_be_broadcast_is_refused() {
    for op in ["Add", "Mul", "Max"] {
        let x = case(op).input("x", &[1, 3]).dynamic(&["n", ""]);
        x.param("c", &[4, 3]).refused("an axis of size n is broadcast");
    }
}

#[test]
fn the_steps_are_these() {
    for op in ["Add", "Sub", "Mul", "Div"] {
        case(op).input("a", &[2, 3]).positive().input("b", &[3]).positive().snapshot("both");
    }
    for op in ["Add", "Max"] {
        case(op).input("a", &[]).param("b", &[3]).snapshot("wider");
    }
    for op in ["Sum", "Mean", "Max", "Min"] {
        case(op).input("a", &[2]).param("b", &[2]).input("c", &[2]).snapshot("three");
    }
    for op in ["Neg", "Abs"] {
        case(op).input("x", &[2, 3]).snapshot("plain");
    }
    let pow = |p| case("Pow").input("x", &[3]).positive().constant("p", p);
    for p in [2, 3] {
        pow(Tensor::int(p)).snapshot(&p.to_string());
    }
    pow(vector(&[0.0, 0.5, 2.0])).snapshot("each");
    case("Pow").param("x", &[3]).positive().input("p", &[3]).snapshot("exponent");
}
