//! Integers that no run changes: exporters compute pads, shapes and axes from constants, and what
//! depends on them (the widths of a Pad, the dimensions of its output) must be known beforehand.

use super::constants::initializer;
use crate::error::Result;
use crate::graph::{Attr, DataType, Graph, Node, NodeId, Tensor, ValueId};

/// The most elements that are computed here: shapes and pads are short, index tables need not be known.
const MOST: i64 = 256;

/// Makes the integers that follow from constants initializers.
pub(super) fn fold(graph: &mut Graph) -> Result<()> {
    for id in graph.topological()? {
        let Some((output, result)) = computed(graph, id) else { continue };
        graph.remove_node(id);
        let value = graph.value_mut(output);
        *value = initializer(std::mem::take(&mut value.name), result);
    }
    Ok(())
}

/// The output of a node and its contents, where they are few integers known beforehand.
fn computed(graph: &Graph, id: NodeId) -> Option<(ValueId, Tensor)> {
    let node = graph.node(id);
    let output = node.output(0).filter(|output| !graph.outputs.contains(output))?;
    let inputs: Option<Vec<View>> =
        node.inputs.iter().map(|input| View::known(graph, (*input)?)).collect();
    let (inputs, op) = (inputs?, if node.is_standard() { node.op.as_str() } else { "" });
    let view = match (op, inputs.as_slice()) {
        ("Cast", [x]) if node.int("to").ok()? == Some(DataType::I64 as i64) => x.clone(),
        ("Concat", parts) => concat(parts, node.int("axis").ok()??)?,
        ("ConstantOfShape", [shape]) => filled(shape, node)?,
        ("Reshape", [x, to]) => x.reshaped(&to.elements()?)?,
        ("Slice", [x, starts, ends, rest @ ..]) => x.sliced(starts, ends, rest)?,
        ("Transpose", [x]) => x.transposed(node.ints("perm").ok()?)?,
        _ => return None,
    };
    let dims = view.dims.clone();
    Some((output, Tensor { dims, ..Tensor::ints(&view.elements()?) }))
}

/// Integers seen through strides: element `i` of the view is `data[start + Σ i·strides]`.
#[derive(Clone)]
struct View {
    data: Vec<i64>,
    start: i64,
    dims: Vec<i64>,
    strides: Vec<i64>,
}

impl View {
    /// The contents of a value that is no input, whose contents a run may replace.
    fn known(graph: &Graph, value: ValueId) -> Option<Self> {
        let tensor = graph.value(value).tensor.as_ref()?;
        let few = tensor.dtype == DataType::I64 && count(&tensor.dims)? <= MOST;
        let data = tensor.to_ints().ok().filter(|_| few && !graph.inputs.contains(&value))?;
        Self::new(data, tensor.dims.clone())
    }

    /// Elements in row-major order.
    fn new(data: Vec<i64>, dims: Vec<i64>) -> Option<Self> {
        let strides =
            (0..dims.len()).map(|axis| count(&dims[axis + 1..])).collect::<Option<_>>()?;
        (count(&dims)? == data.len() as i64).then_some(Self { data, start: 0, dims, strides })
    }

    /// The elements in row-major order.
    fn elements(&self) -> Option<Vec<i64>> {
        let element = |flat: i64| {
            let (mut at, mut rest) = (self.start, flat);
            for (dim, stride) in self.dims.iter().zip(&self.strides).rev() {
                at += (rest % dim) * stride;
                rest /= dim;
            }
            self.data.get(usize::try_from(at).ok()?).copied()
        };
        (0..count(&self.dims)?).map(element).collect()
    }

    fn reshaped(&self, to: &[i64]) -> Option<Self> {
        let data = self.elements()?;
        let given: Vec<i64> = to.iter().copied().filter(|&d| d != -1).collect();
        let open = to.len() - given.len();
        let rest = (data.len() as i64).checked_div(count(&given)?).filter(|_| open <= 1)?;
        Self::new(data, to.iter().map(|&d| if d == -1 { rest } else { d }).collect())
    }

    fn transposed(&self, perm: Option<&[i64]>) -> Option<Self> {
        let rank = self.dims.len() as i64;
        let perm = perm.map_or_else(|| (0..rank).rev().collect(), <[i64]>::to_vec);
        let mut sorted = perm.clone();
        sorted.sort_unstable();
        let picked = |from: &[i64]| perm.iter().map(|&p| from[p as usize]).collect();
        sorted.into_iter().eq(0..rank).then(|| Self {
            dims: picked(&self.dims),
            strides: picked(&self.strides),
            ..self.clone()
        })
    }

    /// `rest` are the axes and the steps, where they are given.
    fn sliced(&self, starts: &Self, ends: &Self, rest: &[Self]) -> Option<Self> {
        let (starts, ends) = (starts.elements()?, ends.elements()?);
        let or =
            |index: usize, default: Vec<i64>| rest.get(index).map_or(Some(default), Self::elements);
        let axes = or(0, (0..starts.len() as i64).collect())?;
        let steps = or(1, vec![1; starts.len()])?;
        let mut y = self.clone();
        for (i, &start) in starts.iter().enumerate() {
            let axis = place(*axes.get(i)?, self.dims.len())?;
            y.cut(axis, start, *ends.get(i)?, *steps.get(i)?)?;
        }
        Some(y)
    }

    fn cut(&mut self, axis: usize, start: i64, end: i64, step: i64) -> Option<()> {
        let dim = self.dims[axis];
        let (least, most) = if step > 0 { (0, dim) } else { (-1, dim - 1) };
        let inside =
            |at: i64| if at < 0 { at.saturating_add(dim).max(least) } else { at.min(most) };
        let (start, end) = (inside(start), inside(end));
        let reach = if step > 0 { end - start } else { start - end };
        if reach <= 0 || start < 0 {
            return None;
        }
        self.dims[axis] = (reach - 1) / step.checked_abs().filter(|&s| s > 0)? + 1;
        self.start += start * self.strides[axis];
        self.strides[axis] = self.strides[axis].checked_mul(step)?;
        Some(())
    }
}

fn concat(parts: &[View], axis: i64) -> Option<View> {
    let axis = place(axis, parts.first()?.dims.len())?;
    let mut dims = parts[0].dims.clone();
    dims[axis] = 0;
    let outer = count(&dims[..axis])? as usize;
    let mut lists = Vec::new();
    for part in parts {
        let fits = |(i, (a, b)): (usize, (&i64, &i64))| i == axis || a == b;
        let same =
            part.dims.len() == dims.len() && part.dims.iter().zip(&dims).enumerate().all(fits);
        dims[axis] += part.dims.get(axis).filter(|_| same)?;
        lists.push((part.elements()?, count(&part.dims[axis..])? as usize));
    }
    let rows =
        (0..outer).flat_map(|o| lists.iter().filter_map(move |(l, n)| l.get(o * n..(o + 1) * n)));
    View::new(rows.flatten().copied().collect(), dims)
}

/// As many copies of the attribute's value as the shape says.
fn filled(shape: &View, node: &Node) -> Option<View> {
    let Some(Attr::Tensor(value)) = node.attr("value") else { return None };
    let dims = shape.elements()?;
    let number = count(&dims).filter(|&n| n <= MOST && value.dtype == DataType::I64)?;
    let value = *value.to_ints().ok()?.first()?;
    View::new(vec![value; usize::try_from(number).ok()?], dims)
}

/// The number of elements of a tensor; none for dimensions that are no sizes.
fn count(dims: &[i64]) -> Option<i64> {
    dims.iter().try_fold(1i64, |n, &d| n.checked_mul(d).filter(|_| d >= 0))
}

fn place(axis: i64, rank: usize) -> Option<usize> {
    let from_front = if axis < 0 { axis.checked_add(rank as i64)? } else { axis };
    usize::try_from(from_front).ok().filter(|&axis| axis < rank)
}
