//! What a shape rule sees: one node, its attributes and what is known of its inputs.

use rten_shape_inference::{InferShapes, InferShapesContext, SymbolGen};

use super::dim::{self, MOST_DIMS};
use crate::error::{Error, Result};
use crate::graph::{DataType, Dim, Facts, Graph, Node};

/// The node at hand.
pub struct Cx<'a> {
    /// The graph that holds the inputs.
    pub graph: &'a Graph,
    /// The node.
    pub node: &'a Node,
    /// The operator set version of the standard.
    pub opset: i64,
    /// Where new symbols come from.
    pub symbols: &'a mut SymbolGen,
}

impl<'a> Cx<'a> {
    /// Whether input `index` is given.
    pub fn has(&self, index: usize) -> bool {
        self.node.input(index).is_some()
    }

    /// The element type of input `index`.
    pub fn dtype(&self, index: usize) -> Option<DataType> {
        self.node.input(index).and_then(|id| self.graph.value(id).dtype)
    }

    /// What is known of input `index`, `None` where it is left out.
    pub fn facts(&self, index: usize) -> Option<&'a Facts> {
        self.node.input(index).map(|id| &*self.graph.value(id).facts)
    }

    /// What is known of input `index`.
    ///
    /// # Errors
    /// When it is left out.
    pub fn require(&self, index: usize) -> Result<&'a Facts> {
        self.facts(index).ok_or_else(|| Error::unreadable(format!("input {index} is missing")))
    }

    /// The dimensions of input `index`, `None` where its rank is unknown.
    ///
    /// # Errors
    /// When the input is left out.
    pub fn dims(&self, index: usize) -> Result<Option<Vec<Dim>>> {
        let dims = self.require(index)?.shape();
        Ok(dims.filter(|dims| dims.len() <= MOST_DIMS).map(Iterator::collect))
    }

    /// The elements of an integer input of rank 0 or 1, each a number or symbolic.
    pub fn values(&self, index: usize) -> Option<Vec<Dim>> {
        let value = self.graph.value(self.node.input(index)?);
        match (value.facts.values(), &value.tensor) {
            (Some(values), _) => Some(values.to_vec()),
            (None, Some(tensor)) => contents(tensor),
            (None, None) => None,
        }
    }

    /// The elements of an integer input of rank 0 or 1, where all are numbers.
    pub fn ints(&self, index: usize) -> Option<Vec<i64>> {
        dim::numbers(&self.values(index)?)
    }

    /// The elements of a constant float input.
    pub fn floats(&self, index: usize) -> Option<Vec<f64>> {
        let tensor = self.graph.value(self.node.input(index)?).tensor.as_ref()?;
        let small = tensor.byte_len()? <= 8 * dim::MOST_ELEMENTS;
        small.then(|| tensor.to_floats().ok())?
    }

    /// The number of elements of a vector input, where it is known and a rank is meant by it.
    pub fn vector_len(&self, index: usize) -> Option<usize> {
        let mut dims = self.facts(index)?.shape()?;
        let len = usize::try_from(dim::number(&dims.next()?)?).ok()?;
        (dims.next().is_none() && len <= MOST_DIMS).then_some(len)
    }

    /// An integer attribute with its default.
    pub fn int(&self, name: &str, default: i64) -> Result<i64> {
        Ok(self.node.int(name)?.unwrap_or(default))
    }

    /// Whether an integer attribute is set to other than zero.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool> {
        Ok(self.int(name, i64::from(default))? != 0)
    }

    /// An axis attribute counted from the front.
    ///
    /// # Errors
    /// When it is outside of `rank` dimensions.
    pub fn axis(&self, name: &str, default: i64, rank: usize) -> Result<usize> {
        resolve(self.int(name, default)?, rank)
    }

    /// A new symbol for a dimension.
    pub fn fresh(&mut self) -> Dim {
        self.symbols.gen_positive()
    }

    /// A shape of `rank` new symbols.
    pub fn fresh_shape(&mut self, rank: usize) -> Facts {
        Facts::from_shape(self.symbols.gen_shape(rank))
    }

    /// `dim` in simplest form.
    pub fn tidy(&mut self, dim: Dim) -> Dim {
        dim::tidy_dim(&dim, self.symbols)
    }

    /// What the rule `op` of `rten-shape-inference` gives for the inputs `indices`.
    ///
    /// # Errors
    /// When it finds the inputs contradictory.
    pub fn apply(&mut self, op: impl InferShapes, indices: &[usize]) -> Result<Vec<Facts>> {
        let inputs: Vec<_> = indices.iter().map(|&i| self.facts(i).cloned()).collect();
        self.apply_to(op, &inputs)
    }

    /// What the rule `op` of `rten-shape-inference` gives for `inputs`.
    ///
    /// # Errors
    /// When it finds the inputs contradictory.
    pub fn apply_to(
        &mut self,
        op: impl InferShapes,
        inputs: &[Option<Facts>],
    ) -> Result<Vec<Facts>> {
        op.infer_shapes(InferShapesContext::new(inputs), self.symbols)
            .map_err(|error| Error::unreadable(error.to_string()))
    }

    /// The shape that `a` and `b` broadcast to.
    ///
    /// # Errors
    /// When two known dimensions differ and neither is 1.
    pub fn broadcast(&mut self, a: Vec<Dim>, b: Vec<Dim>) -> Result<Vec<Dim>> {
        let (long, short) = if a.len() < b.len() { (b, a) } else { (a, b) };
        let lead = long.len() - short.len();
        let mut dims = long[..lead].to_vec();
        for (x, y) in long[lead..].iter().zip(&short) {
            let both = (dim::number(x), dim::number(y));
            if let (Some(m), Some(n)) = both
                && m != n
                && m != 1
                && n != 1
            {
                return Err(Error::unreadable(format!("{m} and {n} do not broadcast")));
            }
            dims.push(if x == y { x.clone() } else { self.tidy(x.broadcast(y)) });
        }
        Ok(dims)
    }
}

/// The elements of an integer or Boolean tensor that shapes may be made of.
pub fn contents(tensor: &crate::graph::Tensor) -> Option<Vec<Dim>> {
    let small = tensor.dims.len() <= 1 && tensor.byte_len()? <= 8 * MOST_DIMS;
    if !small || !matches!(tensor.dtype, DataType::I64 | DataType::I32 | DataType::Bool) {
        return None;
    }
    Some(tensor.to_ints().ok()?.into_iter().map(dim::num).collect())
}

/// `axis` counted from the front of `rank` dimensions.
///
/// # Errors
/// When it is outside of them.
pub fn resolve(axis: i64, rank: usize) -> Result<usize> {
    let from_front = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(from_front)
        .ok()
        .filter(|&axis| axis < rank)
        .ok_or_else(|| Error::unreadable(format!("axis {axis} of {rank} dimensions")))
}

/// Several axes counted from the front, each once, sorted.
///
/// # Errors
/// When one is outside of `rank` dimensions or given twice.
pub fn resolve_all(axes: &[i64], rank: usize) -> Result<Vec<usize>> {
    let mut list = axes.iter().map(|&axis| resolve(axis, rank)).collect::<Result<Vec<_>>>()?;
    list.sort_unstable();
    if list.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Error::unreadable(format!("axes {axes:?} name a dimension twice")));
    }
    Ok(list)
}
