//! Exact arithmetic on symbolic integers.
//!
//! The expressions of `rten-shape-inference` hold `i32` constants and fold them unchecked. Here
//! constants are folded in `i64` first, and what could overflow becomes a new symbol.

use rten_shape_inference::{Symbol, SymbolGen};

use crate::graph::{Dim, Facts};

/// The largest number of terms an expression may have before a symbol takes its place.
const MOST_TERMS: usize = 96;

/// The highest rank that is worked with; above it shapes are unknown.
pub const MOST_DIMS: usize = 64;

/// The longest vector whose contents are followed.
pub const MOST_ELEMENTS: usize = 1024;

/// Marks the name of a symbol that stands for a number beyond `i32`.
const LARGE: &str = "int64 ";

/// The number `n`; beyond `i32` a symbol that only [`number`] sees through.
pub fn num(n: i64) -> Dim {
    match i32::try_from(n) {
        Ok(n) => Dim::Value(n),
        Err(_) => {
            Dim::from(Symbol { name: format!("{LARGE}{n}"), positive: n >= 0, synthetic: true })
        }
    }
}

/// The number `dim` is known to be, large ones included.
pub fn number(dim: &Dim) -> Option<i64> {
    match dim {
        Dim::Value(n) => Some(i64::from(*n)),
        Dim::Var(symbol) => symbol.name.strip_prefix(LARGE)?.parse().ok(),
        _ => None,
    }
}

/// The numbers `dims` are known to be, where all are.
pub fn numbers(dims: &[Dim]) -> Option<Vec<i64>> {
    dims.iter().map(number).collect()
}

/// `dim` in simplest form, `None` when it is undefined, beyond `i32` or has too many terms.
pub fn tidy(dim: &Dim) -> Option<Dim> {
    let mut terms = 0;
    let folded = fold(dim, &mut terms)?;
    match number(&folded) {
        Some(_) => Some(folded),
        None if magnitude(&folded) <= i32::MAX as u64 => Some(folded.simplify()),
        None => None,
    }
}

/// [`tidy`] for a dimension, with a new symbol for what it gives up.
pub fn tidy_dim(dim: &Dim, symbols: &mut SymbolGen) -> Dim {
    tidy(dim).unwrap_or_else(|| symbols.gen_positive())
}

/// [`tidy`] for everything that is known of a value.
pub fn tidy_facts(facts: &Facts, symbols: &mut SymbolGen) -> Facts {
    let mut each = |dim: &Dim| tidy(dim).unwrap_or_else(|| symbols.generate());
    if let Some(value) = facts.as_scalar() {
        return Facts::from_scalar(each(value));
    }
    if let Some(values) = facts.as_vector() {
        return match values.len() {
            0..=MOST_ELEMENTS => Facts::from_vec(values.iter().map(each).collect()),
            len => Facts::from_shape(vec![num(len as i64)]),
        };
    }
    match facts.shape() {
        Some(dims) if dims.len() <= MOST_DIMS => {
            Facts::from_shape(dims.map(|dim| tidy_dim(&dim, symbols)).collect())
        }
        _ => facts.clone(),
    }
}

/// The quotient of two products, with common factors cancelled; `None` when it is undefined, and
/// `Some(Err(_))` when both are numbers that leave a rest.
pub fn ratio(above: &[Dim], below: &[Dim]) -> Option<Result<Dim, (i64, i64)>> {
    let (mut n, mut upper) = factors(above)?;
    let (mut d, mut lower) = factors(below)?;
    if d == 0 {
        return None;
    }
    upper.retain(|factor| match lower.iter().position(|other| other == factor) {
        Some(index) => {
            lower.swap_remove(index);
            false
        }
        None => true,
    });
    let common = gcd(n, d);
    (n, d) = (n / common, d / common);
    if upper.is_empty() && lower.is_empty() && d != 1 {
        return Some(Err((n * common, d * common)));
    }
    let product = |n: i64, list: Vec<Dim>| list.into_iter().fold(num(n), |a, b| a * b);
    let (above, below) = (product(n, upper), product(d, lower));
    tidy(&(above / below)).map(Ok)
}

/// The product of `dims`.
pub fn product(dims: &[Dim]) -> Option<Dim> {
    ratio(dims, &[])?.ok()
}

/// The interval a symbolic integer lies in, its ends included.
pub fn range(dim: &Dim) -> (i64, i64) {
    const FAR: i64 = i64::MAX;
    let corners = |a: &Dim, b: &Dim, op: &dyn Fn(i64, i64) -> i64| {
        let ((a, b), (c, d)) = (range(a), range(b));
        let all = [op(a, c), op(a, d), op(b, c), op(b, d)];
        (all.into_iter().min().unwrap_or(-FAR), all.into_iter().max().unwrap_or(FAR))
    };
    if let Some(n) = number(dim) {
        return (n, n);
    }
    match dim {
        Dim::Value(n) => (i64::from(*n), i64::from(*n)),
        Dim::Var(symbol) if symbol.positive => (0, FAR),
        Dim::Var(_) => (-FAR, FAR),
        Dim::Neg(a) => corners(&Dim::Value(0), a, &i64::saturating_sub),
        Dim::Add(a, b) => corners(a, b, &i64::saturating_add),
        Dim::Sub(a, b) => corners(a, b, &i64::saturating_sub),
        Dim::Mul(a, b) => corners(a, b, &i64::saturating_mul),
        Dim::Max(a, b) | Dim::Broadcast(a, b) => corners(a, b, &i64::max),
        Dim::Min(a, b) => corners(a, b, &i64::min),
        Dim::Div(a, b) | Dim::DivCeil(a, b) => match (range(a), range(b)) {
            ((low, high), (1.., _)) if low >= 0 => (0, high),
            _ => (-FAR, FAR),
        },
    }
}

/// One dimension that equals both `a` and `b`: a number where one is, else the one with a name.
pub fn unify(a: &Dim, b: &Dim) -> Option<Dim> {
    match (number(a), number(b)) {
        (Some(x), Some(y)) => (x == y).then(|| a.clone()),
        (None, Some(_)) => Some(b.clone()),
        (None, None) if is_synthetic(a) => Some(b.clone()),
        _ => Some(a.clone()),
    }
}

fn is_synthetic(dim: &Dim) -> bool {
    matches!(dim, Dim::Var(symbol) if symbol.synthetic)
}

/// The constant factor and the symbolic factors of a product; `None` past `i64`.
fn factors(dims: &[Dim]) -> Option<(i64, Vec<Dim>)> {
    let mut constant = 1i64;
    let mut symbolic = Vec::new();
    let mut open: Vec<Dim> = dims.iter().rev().cloned().collect();
    while let Some(dim) = open.pop() {
        match (number(&dim), dim) {
            (Some(n), _) => constant = constant.checked_mul(n)?,
            (None, Dim::Mul(a, b)) => open.extend([(*b).clone(), (*a).clone()]),
            (None, dim) => symbolic.push(dim),
        }
    }
    if constant == 0 {
        symbolic.clear();
    }
    Some((constant, symbolic))
}

fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.saturating_abs(), b.saturating_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

/// Folds constants and spreads negation over sums, so that equal terms cancel.
fn fold(dim: &Dim, terms: &mut usize) -> Option<Dim> {
    *terms += 1;
    if *terms > MOST_TERMS {
        return None;
    }
    match dim {
        Dim::Value(_) | Dim::Var(_) => Some(dim.clone()),
        Dim::Neg(a) => Some(negative(fold(a, terms)?)),
        Dim::Add(a, b) => Some(sum(fold(a, terms)?, fold(b, terms)?)?),
        Dim::Sub(a, b) => Some(sum(fold(a, terms)?, negative(fold(b, terms)?))?),
        Dim::Mul(a, b) => times(fold(a, terms)?, fold(b, terms)?),
        Dim::Div(a, b) => quotient(fold(a, terms)?, fold(b, terms)?, i64::checked_div, Dim::Div),
        Dim::DivCeil(a, b) => quotient(fold(a, terms)?, fold(b, terms)?, div_ceil, Dim::DivCeil),
        Dim::Max(a, b) => Some(extreme(fold(a, terms)?, fold(b, terms)?, true)),
        Dim::Min(a, b) => Some(extreme(fold(a, terms)?, fold(b, terms)?, false)),
        Dim::Broadcast(a, b) => {
            let (a, b) = (fold(a, terms)?, fold(b, terms)?);
            Some(match (number(&a), number(&b)) {
                (Some(1), _) => b,
                (Some(_), _) => a,
                (None, Some(1)) => a,
                (None, Some(_)) => b,
                _ => a.broadcast(&b),
            })
        }
    }
}

fn negative(dim: Dim) -> Dim {
    match (number(&dim), dim) {
        (Some(n), dim) if n == i64::MIN => -dim,
        (Some(n), _) => num(-n),
        (None, Dim::Add(a, b)) => negative((*a).clone()) + negative((*b).clone()),
        (None, Dim::Neg(a)) => (*a).clone(),
        (None, dim) => -dim,
    }
}

fn sum(a: Dim, b: Dim) -> Option<Dim> {
    Some(match (number(&a), number(&b)) {
        (Some(x), Some(y)) => num(x.checked_add(y)?),
        (Some(0), None) => b,
        (None, Some(0)) => a,
        _ => a + b,
    })
}

fn times(a: Dim, b: Dim) -> Option<Dim> {
    Some(match (number(&a), number(&b)) {
        (Some(x), Some(y)) => num(x.checked_mul(y)?),
        (Some(0), None) | (None, Some(0)) => num(0),
        (Some(1), None) => b,
        (None, Some(1)) => a,
        _ => a * b,
    })
}

fn quotient(
    a: Dim,
    b: Dim,
    divide: impl Fn(i64, i64) -> Option<i64>,
    keep: impl Fn(std::sync::Arc<Dim>, std::sync::Arc<Dim>) -> Dim,
) -> Option<Dim> {
    match (number(&a), number(&b)) {
        (_, Some(0)) => None,
        (Some(x), Some(y)) => divide(x, y).map(num),
        (None, Some(1)) => Some(a),
        _ => Some(keep(a.into(), b.into())),
    }
}

fn div_ceil(a: i64, b: i64) -> Option<i64> {
    let (quotient, rest) = (a.checked_div(b)?, a.checked_rem(b)?);
    Some(quotient + i64::from(rest != 0 && (rest > 0) == (b > 0)))
}

/// The greater or lesser of two, decided by their intervals where those settle it.
fn extreme(a: Dim, b: Dim, greater: bool) -> Dim {
    let ((a_low, a_high), (b_low, b_high)) = (range(&a), range(&b));
    match (a_low >= b_high, b_low >= a_high) {
        (true, _) if greater => a,
        (true, _) => b,
        (_, true) if greater => b,
        (_, true) => a,
        _ if greater => a.max(&b),
        _ => a.min(&b),
    }
}

/// A bound of every constant that simplification can make of `dim`.
fn magnitude(dim: &Dim) -> u64 {
    match dim {
        Dim::Value(n) => u64::from(n.unsigned_abs()).max(1),
        Dim::Var(_) => 1,
        Dim::Neg(a) => magnitude(a),
        Dim::Mul(a, b) | Dim::Div(a, b) | Dim::DivCeil(a, b) => {
            magnitude(a).saturating_mul(magnitude(b))
        }
        Dim::Add(a, b)
        | Dim::Sub(a, b)
        | Dim::Max(a, b)
        | Dim::Min(a, b)
        | Dim::Broadcast(a, b) => magnitude(a).saturating_add(magnitude(b)),
    }
}
