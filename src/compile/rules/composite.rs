//! Operators that are written as expressions of simpler ones.

use std::collections::HashSet;

use super::{Rule, Tangent, find};
use crate::compile::build::Expr;
use crate::compile::linear::VarId;
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
        let (node, entry) = self.e.graph(|graph| {
            let node = graph.node(id);
            (node.clone(), find(node))
        });
        let change = |value: &ValueId| self.composite.borrow().get(value).copied();
        let of = |values: &[Option<ValueId>]| -> Vec<Option<VarId>> {
            values.iter().map(|value| value.as_ref().and_then(change)).collect()
        };
        let tangents = of(&node.inputs);
        let done = of(&node.outputs).iter().any(Option::is_some);
        let captured = node.captures.iter().any(|value| change(value).is_some());
        if done || (!captured && tangents.iter().all(Option::is_none)) {
            return Ok(());
        }
        let unsupported =
            |what: &str| Error::unsupported(format!("{what} of {}, in its definition", node.op));
        let entry = entry.ok_or_else(|| unsupported("there is no rule"))?;
        if entry.rule.is_none() {
            return Ok(());
        }
        let covered = |(i, var): (usize, &Option<VarId>)| var.is_none() || entry.inputs.contains(i);
        if captured || !tangents.iter().enumerate().all(covered) {
            return Err(unsupported("there is no rule for a changing input"));
        }
        let result = Rule::apply_within(self.e, self.program, (id, self.owner), entry, tangents)?;
        for (index, var) in result.outputs {
            if let Some(value) = node.output(index) {
                self.composite.borrow_mut().insert(value, var);
            }
        }
        Ok(())
    }
}
