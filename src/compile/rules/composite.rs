//! Operators that are written as expressions of simpler ones.

use std::collections::HashSet;

use super::{Rule, Tangent, linearise_node};
use crate::compile::build::Expr;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, ValueId};

impl<'e> Rule<'e> {
    /// The change of an expression of the node's inputs, by the rules of the operators in it.
    ///
    /// # Errors
    /// When a rule refuses, or the expression does not change with the inputs that do.
    pub fn through(&self, y: Expr<'e>) -> Result<Tangent<'_, 'e>> {
        let tangent = self.maybe_through(y)?;
        tangent.ok_or_else(|| Error::internal("this expression does not change with the inputs"))
    }

    /// [`Rule::through`], or none where the expression does not change.
    ///
    /// # Errors
    /// When a rule refuses.
    pub fn maybe_through(&self, y: Expr<'e>) -> Result<Option<Tangent<'_, 'e>>> {
        self.e.check()?;
        for (&input, &var) in self.node.inputs.iter().zip(&self.tangents) {
            if let (Some(input), Some(var)) = (input, var) {
                self.composite.borrow_mut().entry(input).or_insert(var);
            }
        }
        self.composite.borrow_mut().extend(self.captures.iter().copied());
        for id in self.e.graph(|graph| self.between(graph, y.id))? {
            self.linearise(id)?;
        }
        let var = self.composite.borrow().get(&y.id).copied();
        Ok(var.map(|var| Tangent { cx: self, var }))
    }

    /// The nodes from what has a change, and the node's other inputs, to `value`, each after those
    /// it reads. What is no float has no change, and nothing before it matters.
    fn between(&self, graph: &Graph, value: ValueId) -> Result<Vec<NodeId>> {
        let composite = self.composite.borrow();
        let is_leaf = |value: ValueId| {
            let float = graph.value(value).dtype.is_none_or(|t| t.is_float());
            !float || composite.contains_key(&value) || self.node.inputs.contains(&Some(value))
        };
        let mut seen = HashSet::new();
        let mut order = Vec::new();
        let mut stack = vec![(value, false)];
        while let Some((value, inputs_done)) = stack.pop() {
            let Some(id) = graph.producer(value).filter(|_| !is_leaf(value)) else { continue };
            if id == self.id {
                return Err(Error::internal("a composite reads its own node's output"));
            }
            if inputs_done {
                order.push(id);
            } else if seen.insert(id) {
                stack.push((value, true));
                let node = graph.node(id);
                stack.extend(
                    node.inputs.iter().flatten().chain(&node.captures).map(|&v| (v, false)),
                );
            }
        }
        Ok(order)
    }

    /// Adds the steps of an emitted node.
    fn linearise(&self, id: NodeId) -> Result<()> {
        let change = |value: ValueId| self.composite.borrow().get(&value).copied();
        let outputs = self.e.graph(|graph| graph.node(id).outputs.clone());
        if outputs.iter().flatten().any(|&value| change(value).is_some()) {
            return Ok(());
        }
        let result = linearise_node(self.e, self.program, (id, self.owner), change)?;
        for (index, var) in result.into_iter().flat_map(|result| result.outputs) {
            if let Some(&Some(value)) = outputs.get(index) {
                self.composite.borrow_mut().insert(value, var);
            }
        }
        Ok(())
    }
}
