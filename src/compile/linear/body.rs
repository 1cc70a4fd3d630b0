//! Subgraphs of control flow as linear programs of their own.

use std::collections::HashSet;

use super::{Program, Samples, Spread, VarId, spread};
use crate::compile::build::{Emit, Expr};
use crate::graph::{Dim, Graph, ValueId};

/// The switched network of one subgraph.
#[derive(Debug)]
pub struct Body {
    /// The subgraph, with what the steps need of it.
    pub graph: Graph,
    /// Its steps, whose coefficients are values of `graph`.
    pub program: Program,
    /// The changes of the inputs and captured values that change.
    pub inputs: Vec<VarId>,
    /// The changes of the outputs, none where an output does not change.
    pub outputs: Vec<Option<VarId>>,
}

impl Body {
    /// A subgraph of the graph of `outer` that computes what `write` adds, beside the body's own
    /// nodes that this needs. Inputs of the body that are not needed stay.
    pub fn write(&self, outer: &Emit, name: &str, write: impl FnOnce(&Emit)) -> Graph {
        let mut graph = self.graph.clone();
        graph.outputs.clear();
        let e = outer.nested(graph, name);
        write(&e);
        match e.finish() {
            Ok(mut graph) => {
                graph.prune();
                graph
            }
            Err(error) => {
                outer.fail(error);
                Graph::default()
            }
        }
    }

    /// The tangent of each output, given those of some inputs.
    pub fn forward<'e>(
        &self,
        e: &'e Emit,
        seeds: &Dim,
        x: &[Option<Expr<'e>>],
    ) -> Vec<Option<Expr<'e>>> {
        let mut tangents = vec![None; self.program.var_count()];
        for (var, x) in self.inputs.iter().zip(x) {
            tangents[var.0] = *x;
        }
        self.program.push(e, self.program.steps(), seeds, &mut tangents);
        self.outputs.iter().map(|var| tangents[var.as_ref()?.0]).collect()
    }

    /// The cotangent of each input, given those of some outputs.
    pub fn transposed<'e>(
        &self,
        e: &'e Emit,
        seeds: &Dim,
        dy: &[Option<Expr<'e>>],
    ) -> Vec<Option<Expr<'e>>> {
        let mut parts = vec![Vec::new(); self.program.var_count()];
        for (var, dy) in self.outputs.iter().zip(dy) {
            if let Some(var) = var {
                parts[var.0].extend(*dy);
            }
        }
        self.program.pull(e, seeds, &mut parts);
        let total = |var: &VarId| (!parts[var.0].is_empty()).then(|| super::add_all(&parts[var.0]));
        self.inputs.iter().map(total).collect()
    }

    /// Where the samples lie in each output that changes; `None` where they are mixed, and no entry
    /// where the output does not change with the inputs that `starts` has.
    pub fn samples(&self, starts: &[Option<Option<Samples>>]) -> Vec<Option<Option<Samples>>> {
        let starts: Vec<_> = self
            .inputs
            .iter()
            .zip(starts)
            .filter_map(|(var, s)| Some((*var, s.clone()?)))
            .collect();
        let Spread { places, changes, .. } = spread(&self.program, &starts);
        let place = |var: &VarId| changes[var.0].then(|| places[var.0].clone());
        self.outputs.iter().map(|var| place(var.as_ref()?)).collect()
    }
}

/// A value of the graph around, as an expression within a subgraph.
pub fn capture<'b>(b: &'b Emit, outer: &Emit, value: ValueId) -> Expr<'b> {
    b.capture(outer, value)
}

/// The inputs that nothing in the subgraph reads, by position, taken out of it; at least one of
/// those in `keep_one` stays.
pub fn drop_unused(graph: &mut Graph, keep_one: std::ops::Range<usize>) -> HashSet<usize> {
    let unused = |i: &usize| {
        let input = graph.inputs[*i];
        graph.consumers(input).is_empty() && !graph.outputs.contains(&input)
    };
    let mut gone: HashSet<usize> = keep_one.clone().filter(unused).collect();
    if gone.len() == keep_one.len() {
        gone.remove(&keep_one.start);
    }
    let kept = graph.inputs.iter().enumerate().filter(|(i, _)| !gone.contains(i));
    graph.inputs = kept.map(|(_, &input)| input).collect();
    gone
}
