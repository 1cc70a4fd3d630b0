//! Operators of a few integers that are known: computed, not emitted.
//!
//! Positions and numbers of chosen neurons follow from constants. Runtimes fold them when they load a
//! model, but not all do, and a reader of the graph is spared them.

use super::{Emit, Expr};
use crate::graph::{Attr, DataType, Tensor, ValueId, View, count};

/// The most elements that are written down rather than computed.
const MOST: i64 = 1024;

impl Emit {
    /// The constant that an operator of known integers gives; none where it is to be emitted.
    pub(super) fn computed(
        &self,
        op: &str,
        inputs: &[Expr<'_>],
        attributes: &[(&str, Attr)],
    ) -> Option<Expr<'_>> {
        let inputs: Vec<View<i64>> =
            inputs.iter().map(|x| self.known(x.id)).collect::<Option<_>>()?;
        let int = |name: &str| match attributes.iter().find(|(n, _)| *n == name) {
            Some((_, Attr::Int(value))) => Some(*value),
            _ => None,
        };
        let view = match (op, inputs.as_slice()) {
            ("Add" | "Sub" | "Mul" | "Div" | "Mod" | "Max" | "Min", [a, b]) => pairwise(op, a, b)?,
            ("Concat", parts) => View::concat(parts, int("axis")?)?,
            ("Range", [from, to, step]) => range(from, to, step)?,
            ("Reshape", [x, to]) if int("allowzero").is_none() => x.reshaped(&to.elements()?)?,
            ("Gather", [x, at]) if int("axis") == Some(0) => gathered(x, at)?,
            _ => return None,
        };
        count(view.dims()).filter(|&n| n <= MOST)?;
        let dims = view.dims().to_vec();
        Some(self.constant(Tensor { dims, ..Tensor::ints(&view.elements()?) }))
    }

    /// The contents of a constant that no run may replace.
    fn known(&self, value: ValueId) -> Option<View<i64>> {
        self.graph(|graph| {
            let tensor = graph.value(value).tensor.as_ref()?;
            let few = tensor.dtype == DataType::I64 && count(&tensor.dims)? <= MOST;
            let data = tensor.to_ints().ok().filter(|_| few && !graph.inputs.contains(&value))?;
            View::new(data, tensor.dims.clone())
        })
    }
}

/// An element-wise operator whose shorter operand broadcasts to the other. Divisions round down, and are
/// left to the runtime where operators disagree on the sign.
fn pairwise(op: &str, a: &View<i64>, b: &View<i64>) -> Option<View<i64>> {
    let rank = a.dims().len().max(b.dims().len());
    let size = |x: &View<i64>, axis: usize| {
        (axis + x.dims().len()).checked_sub(rank).map_or(1, |axis| x.dims()[axis])
    };
    let larger = |axis| if size(a, axis) == 1 { size(b, axis) } else { size(a, axis) };
    let dims: Vec<i64> = (0..rank).map(larger).collect();
    count(&dims).filter(|&n| n <= MOST)?;
    let divisible = |a: i64, b: i64| a >= 0 && b > 0;
    let each = |(a, b): (i64, i64)| match op {
        "Add" => a.checked_add(b),
        "Sub" => a.checked_sub(b),
        "Mul" => a.checked_mul(b),
        "Max" => Some(a.max(b)),
        "Min" => Some(a.min(b)),
        "Div" => divisible(a, b).then(|| a / b),
        _ => divisible(a, b).then(|| a % b),
    };
    let pairs = a.expanded(&dims)?.elements()?.into_iter().zip(b.expanded(&dims)?.elements()?);
    View::new(pairs.map(each).collect::<Option<_>>()?, dims)
}

fn range(from: &View<i64>, to: &View<i64>, step: &View<i64>) -> Option<View<i64>> {
    let only = |x: &View<i64>| x.elements()?.first().copied().filter(|_| x.dims().is_empty());
    let (from, to) = (only(from)?, only(to).filter(|_| only(step) == Some(1))?);
    let length = to.checked_sub(from).filter(|n| (0..=MOST).contains(n))?;
    View::new((from..to).collect(), vec![length])
}

/// Rows of axis 0.
fn gathered(x: &View<i64>, at: &View<i64>) -> Option<View<i64>> {
    let rows = *x.dims().first()?;
    let size = count(&x.dims()[1..])?;
    let data = x.elements()?;
    let row = |i: i64| {
        let first = if i < 0 { i + rows } else { i } * size;
        data.get(usize::try_from(first).ok()?..usize::try_from(first + size).ok()?)
    };
    let taken: Vec<&[i64]> = at.elements()?.into_iter().map(row).collect::<Option<_>>()?;
    View::new(taken.concat(), [at.dims(), &x.dims()[1..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Dim, Graph, Value};

    const A: &[i64] = &[7, 2, 9];

    /// What the operator of these integers is: its contents, or that it is emitted.
    fn is<const N: usize>(
        op: &str,
        inputs: [&[i64]; N],
        attributes: &[(&str, Attr)],
    ) -> Option<Vec<i64>> {
        let e = Emit::new(Graph::new("g"), 18);
        let inputs = inputs.map(|list| match list {
            [one] => e.int(*one),
            list => e.ints(list),
        });
        e.op(op, &inputs, attributes).as_ints()
    }

    #[test]
    fn operators_of_known_integers_are_constants() {
        assert_eq!(is("Add", [A, &[1]], &[]), Some(vec![8, 3, 10]));
        assert_eq!(is("Sub", [&[1], A], &[]), Some(vec![-6, -1, -8]));
        assert_eq!(is("Mul", [A, A], &[]), Some(vec![49, 4, 81]));
        assert_eq!(is("Div", [A, &[4]], &[]), Some(vec![1, 0, 2]));
        assert_eq!(is("Mod", [A, &[4]], &[]), Some(vec![3, 2, 1]));
        assert_eq!(is("Max", [A, &[5]], &[]), Some(vec![7, 5, 9]));
        assert_eq!(is("Min", [A, &[5]], &[]), Some(vec![5, 2, 5]));
        assert_eq!(is("Range", [&[0], &[3], &[1]], &[]), Some(vec![0, 1, 2]));
        let axis = [("axis", Attr::Int(0))];
        assert_eq!(is("Concat", [A, &[1, 4]], &axis), Some(vec![7, 2, 9, 1, 4]));
        assert_eq!(is("Gather", [A, &[2, -3]], &axis), Some(vec![9, 7]));
        let e = Emit::new(Graph::new("g"), 18);
        let column = e.ints(A).reshape(&[Dim::Value(3), Dim::Value(1)]);
        let table = column * e.int(10) + e.ints(&[1, 2]);
        assert_eq!(table.as_ints(), Some(vec![71, 72, 21, 22, 91, 92]));
        assert_eq!(table.dims().len(), 2);
    }

    #[test]
    fn others_are_emitted() {
        // Operators disagree on the sign of the remainder, and what overflows is the runtime's.
        assert_eq!(is("Mod", [&[-7, 2], &[4]], &[]), None);
        assert_eq!(is("Div", [A, &[0]], &[]), None);
        assert_eq!(is("Mul", [&[i64::MAX, 1], &[2]], &[]), None);
        assert_eq!(is("Range", [&[0], &[MOST + 1], &[1]], &[]), None);
        assert_eq!(is("Range", [&[0], &[6], &[2]], &[]), None);
        assert_eq!(is("Gather", [A, &[1, 3]], &[("axis", Attr::Int(0))]), None);
        let e = Emit::new(Graph::new("g"), 18);
        let open = Value::typed("x", DataType::I64, vec![Dim::Value(3)]);
        assert_eq!((e.input(open) + e.ints(A)).as_ints(), None);
    }
}
