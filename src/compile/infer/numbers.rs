//! Contents of integer vectors that come by way of a matrix or of floats, as exporters compute the
//! widths of a Pad: the producers are followed back to what is known.

use super::cx::Cx;
use super::dim::{num, number, numbers};
use crate::graph::{DataType, Dim, Facts, Graph, Node, Tensor, ValueId, View, count};

/// The most elements that are followed.
const MOST: i64 = 64;

/// The most values that are looked at on the way to one result.
const LONGEST: usize = 256;

/// Beyond this floats are not taken for sizes.
const LARGEST: f64 = i32::MAX as f64;

/// The integers that the node computes, where its operator's own rule does not tell them.
pub fn contents(cx: &Cx) -> Option<Facts> {
    if !matches!(cx.node.op.as_str(), "Cast" | "Reshape") {
        return None;
    }
    let view = Trail { graph: cx.graph, left: LONGEST }.computed(cx.node)?;
    let mut elements = view.elements()?;
    match view.dims() {
        [] => elements.pop().map(Facts::from_scalar),
        [_] => Some(Facts::from_vec(elements)),
        _ => None,
    }
}

struct Trail<'a> {
    graph: &'a Graph,
    left: usize,
}

impl Trail<'_> {
    /// The contents of an integer value.
    fn integers(&mut self, value: ValueId) -> Option<View<Dim>> {
        let facts = &self.graph.value(value).facts;
        if let Some(values) = facts.values() {
            let dims = if facts.as_scalar().is_some() { vec![] } else { vec![values.len() as i64] };
            return View::new(values.to_vec(), dims);
        }
        self.left = self.left.checked_sub(1)?;
        self.computed(self.graph.node(self.graph.producer(value)?))
    }

    /// The integers that a node computes.
    fn computed(&mut self, node: &Node) -> Option<View<Dim>> {
        let x = node.input(0).filter(|_| node.is_standard())?;
        let view = match node.op.as_str() {
            "Identity" => self.integers(x)?,
            "Cast" if node.int("to").ok()? == Some(DataType::I64 as i64) => self.converted(x)?,
            "Reshape" => self.integers(x)?.reshaped(&self.list(node.input(1)?)?)?,
            "Transpose" => self.integers(x)?.transposed(node.ints("perm").ok()?)?,
            "Slice" => {
                let places: Option<Vec<_>> =
                    node.inputs[1..].iter().map(|&input| self.list(input?)).collect();
                let places = places?;
                let ([starts, ends], rest) = places.split_first_chunk()?;
                self.integers(x)?.sliced(starts, ends, rest)?
            }
            "Concat" => {
                let parts: Option<Vec<_>> =
                    node.inputs.iter().map(|&part| self.integers(part?)).collect();
                View::concat(&parts?, node.int("axis").ok()??)?
            }
            _ => return None,
        };
        count(view.dims()).filter(|&n| n <= MOST).map(|_| view)
    }

    /// The numbers of an integer vector.
    fn list(&self, value: ValueId) -> Option<Vec<i64>> {
        numbers(self.graph.value(value).facts.values()?)
    }

    /// A value's elements as int64, floats without what is behind the point.
    fn converted(&mut self, value: ValueId) -> Option<View<Dim>> {
        let held = self.graph.value(value);
        match held.dtype? {
            DataType::I64 | DataType::I32 => self.integers(value),
            dtype if dtype.is_float() => {
                let dims = numbers(&held.dims()?)?;
                let floats = self.floats(value)?;
                let whole = |x: &f64| (x.abs() < LARGEST).then(|| num(x.trunc() as i64));
                View::new(floats.iter().map(whole).collect::<Option<_>>()?, dims)
            }
            _ => None,
        }
    }

    /// The elements of a float scalar or vector, each as its type holds it.
    fn floats(&mut self, value: ValueId) -> Option<Vec<f64>> {
        let held = self.graph.value(value);
        let dims = numbers(&held.dims()?)?;
        if dims.len() > 1 || count(&dims)? > MOST {
            return None;
        }
        let elements = match &held.tensor {
            Some(_) if self.graph.inputs.contains(&value) => return None,
            Some(tensor) => tensor.to_floats().ok()?,
            None => {
                self.left = self.left.checked_sub(1)?;
                self.arithmetic(self.graph.node(self.graph.producer(value)?))?
            }
        };
        let length = count(&dims)?;
        let dtype = held.dtype.filter(|dtype| dtype.is_float())?;
        let held = Tensor::floats(dtype, dims, &elements).to_floats().ok()?;
        (held.len() as i64 == length && held.iter().all(|x| x.is_finite())).then_some(held)
    }

    /// The floats that a node computes.
    fn arithmetic(&mut self, node: &Node) -> Option<Vec<f64>> {
        let x = node.input(0).filter(|_| node.is_standard())?;
        let op = node.op.as_str();
        match op {
            "Cast" if !self.graph.value(x).dtype?.is_float() => {
                let exact = |dim: &Dim| Some(number(dim)? as f64);
                self.integers(x)?.elements()?.iter().map(exact).collect()
            }
            "Cast" | "Identity" | "Squeeze" | "Unsqueeze" | "Reshape" => self.floats(x),
            "Concat" => {
                let parts: Option<Vec<_>> =
                    node.inputs.iter().map(|&part| self.floats(part?)).collect();
                Some(parts?.concat())
            }
            "Ceil" => Some(self.floats(x)?.iter().map(|x| x.ceil()).collect()),
            "Floor" => Some(self.floats(x)?.iter().map(|x| x.floor()).collect()),
            "Neg" => Some(self.floats(x)?.iter().map(|x| -x).collect()),
            "Add" | "Sub" | "Mul" | "Div" | "Max" | "Min" => self.joined(op, &node.inputs),
            "Clip" => {
                let above = self.joined("Max", node.inputs.get(..2).unwrap_or(&node.inputs))?;
                match node.input(2) {
                    Some(most) => pairs("Min", &above, &self.floats(most)?),
                    None => Some(above),
                }
            }
            _ => None,
        }
    }

    /// The operands that are there, joined from left to right.
    fn joined(&mut self, op: &str, operands: &[Option<ValueId>]) -> Option<Vec<f64>> {
        let mut lists = operands.iter().flatten().map(|&operand| self.floats(operand));
        let first = lists.next()??;
        let rest: Vec<_> = lists.collect::<Option<_>>()?;
        rest.iter().try_fold(first, |a, b| pairs(op, &a, b))
    }
}

/// An operator on each pair of elements; one element stands for as many as the other side has.
fn pairs(op: &str, a: &[f64], b: &[f64]) -> Option<Vec<f64>> {
    let one = |a: f64, b: f64| match op {
        "Add" => a + b,
        "Sub" => a - b,
        "Mul" => a * b,
        "Div" => a / b,
        "Max" => a.max(b),
        _ => a.min(b),
    };
    match (a, b) {
        (a, &[b]) => Some(a.iter().map(|&a| one(a, b)).collect()),
        (&[a], b) => Some(b.iter().map(|&b| one(a, b)).collect()),
        _ if a.len() == b.len() => Some(a.iter().zip(b).map(|(&a, &b)| one(a, b)).collect()),
        _ => None,
    }
}
