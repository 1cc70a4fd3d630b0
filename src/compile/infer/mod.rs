//! Element type and symbolic shape of every value.
//!
//! The shape algebra and many rules come from `rten-shape-inference`; the dispatch, the element
//! types, and the rules that crate lacks or has for part of the cases only are here. Dimensions
//! stay symbolic, and the contents of small integer vectors are followed, so that shapes computed
//! inside the graph become shapes known here.

mod algebra;
mod contrib;
mod cx;
mod dim;
mod elementwise;
mod flow;
mod layout;
mod neural;
mod numbers;
mod select;
mod table;
mod types;
mod window;

use std::sync::Arc;

use rten_shape_inference::SymbolGen;

use crate::error::{Error, Result};
use crate::graph::{DataType, Dim, Facts, Graph, Node, NodeId, Tensor, Value};
use cx::Cx;
pub use dim::{ratio, tidy};

/// What is known of one output of a node.
#[derive(Clone, Debug)]
pub struct Inferred {
    /// The element type, where it is a tensor's and known.
    pub dtype: Option<DataType>,
    /// The symbolic shape, and the contents of small integer values.
    pub facts: Facts,
}

impl Inferred {
    /// Nothing known.
    fn nothing() -> Self {
        Self { dtype: None, facts: Facts::unknown("there is no rule for this") }
    }
}

/// What is known of each output of `node`, those left out included; `node` itself need not be in
/// `graph`. Subgraphs are taken as they stand.
///
/// # Errors
/// When the inputs contradict each other or the operator, or an attribute is malformed. The
/// caller names the node.
pub fn node(
    graph: &Graph,
    node: &Node,
    opset: i64,
    symbols: &mut SymbolGen,
) -> Result<Vec<Inferred>> {
    let mut cx = Cx { graph, node, opset, symbols };
    let known = match flow::outputs(&mut cx) {
        Ok(Some(known)) => Ok(Some(known)),
        Ok(None) => table::look_up(&mut cx),
        Err(error) => Err(error),
    };
    let Some((mut facts, dtypes)) = known.map_err(|error| with_inputs(error, graph, node))? else {
        return Ok(vec![Inferred::nothing(); node.outputs.len()]);
    };
    let followed = facts.first().is_some_and(|facts| facts.values().is_some());
    let traced = if followed { None } else { numbers::contents(&cx) };
    if let (Some(first), Some(traced)) = (facts.first_mut(), traced) {
        *first = traced;
    }
    let mut facts = facts.into_iter();
    let mut dtypes = dtypes.into_iter();
    node.outputs
        .iter()
        .map(|_| {
            let Some(facts) = facts.next() else {
                return Ok(Inferred { dtype: dtypes.next().flatten(), ..Inferred::nothing() });
            };
            let facts = dim::tidy_facts(&facts, symbols);
            if let Some(bad) = facts.shape().and_then(|mut dims| dims.find(is_negative)) {
                let error = Error::unreadable(format!("a dimension of its output would be {bad}"));
                return Err(with_inputs(error, graph, node));
            }
            Ok(Inferred { dtype: dtypes.next().flatten(), facts })
        })
        .collect()
}

fn is_negative(dim: &Dim) -> bool {
    dim::number(dim).is_some_and(|n| n < 0)
}

/// `error` with the shapes of the node's inputs added.
fn with_inputs(mut error: Error, graph: &Graph, node: &Node) -> Error {
    const MOST: usize = 8;
    let shapes: Vec<_> = node
        .inputs
        .iter()
        .flatten()
        .take(MOST)
        .filter_map(|&id| graph.value(id).dims())
        .map(|dims| layout::show(&dims))
        .collect();
    if !shapes.is_empty() && error.place.node.is_none() {
        error.what = format!("{} (the inputs are {})", error.what, shapes.join(", "));
    }
    error
}

/// Sets element type and facts of every initializer and every produced value, in subgraphs too.
///
/// Declared shapes of produced values are not trusted; they stay where nothing is inferred.
///
/// # Errors
/// When the graph has a cycle or a node's inputs contradict each other; the error names the node.
pub fn infer(graph: &mut Graph, opset: i64) -> Result<()> {
    let mut symbols = symbols(graph);
    graph_at(graph, opset, &mut symbols, 0)
}

/// A source of symbols that no value of `graph` has so far.
pub fn symbols(graph: &Graph) -> SymbolGen {
    let mut names = Vec::new();
    collect_names(graph, &mut names);
    let free = |prefix: &String| !names.iter().any(|name| name.starts_with(prefix.as_str()));
    let prefix = (1..).map(|n| format!("unknown{n}")).find(free);
    SymbolGen::with_prefix(prefix.unwrap_or_default().into())
}

fn collect_names(graph: &Graph, names: &mut Vec<String>) {
    for (_, value) in graph.values() {
        let dims = value.facts.shape().into_iter().flatten();
        for dim in dims.chain(value.facts.values().unwrap_or_default().iter().cloned()) {
            names.extend(dim.iter().filter_map(|part| match part {
                Dim::Var(symbol) => Some(symbol.name.clone()),
                _ => None,
            }));
        }
    }
    for (_, node) in graph.nodes() {
        for body in node.subgraphs() {
            collect_names(body, names);
        }
    }
}

/// [`infer`] for a graph `depth` levels down.
fn graph_at(graph: &mut Graph, opset: i64, symbols: &mut SymbolGen, depth: usize) -> Result<()> {
    let initializers: Vec<_> =
        graph.values().filter(|(_, value)| value.tensor.is_some()).map(|(id, _)| id).collect();
    for id in initializers {
        from_tensor(graph.value_mut(id));
    }
    for id in graph.topological()? {
        flow::enter(graph, id, opset, symbols, depth).map_err(|error| graph.at(id, error))?;
        record(graph, id, opset, symbols).map_err(|error| graph.at(id, error))?;
    }
    Ok(())
}

fn record(graph: &mut Graph, id: NodeId, opset: i64, symbols: &mut SymbolGen) -> Result<()> {
    let known = node(graph, graph.node(id), opset, symbols)?;
    let outputs = graph.node(id).outputs.clone();
    for (output, Inferred { dtype, facts }) in outputs.into_iter().zip(known) {
        let Some(output) = output else { continue };
        let facts = shared(graph, graph.node(id), facts);
        let value = graph.value_mut(output);
        value.dtype = dtype.or(value.dtype);
        if facts.ndim().is_some() {
            value.facts = facts;
        }
    }
    Ok(())
}

/// `facts` of an output of `node`, held once where an input has the same.
pub fn shared(graph: &Graph, node: &Node, facts: Facts) -> Arc<Facts> {
    let mut inputs = node.inputs.iter().flatten().map(|&input| &graph.value(input).facts);
    inputs.find(|held| ***held == facts).cloned().unwrap_or_else(|| facts.into())
}

fn from_tensor(value: &mut Value) {
    if let Some(tensor) = &value.tensor {
        value.dtype = Some(tensor.dtype);
        value.facts = of_tensor(tensor).into();
    }
}

/// What is known of a constant.
pub fn of_tensor(tensor: &Tensor) -> Facts {
    match (tensor.dims.len(), cx::contents(tensor)) {
        (0, Some(mut values)) if values.len() == 1 => Facts::from_scalar(values.remove(0)),
        (1, Some(values)) => Facts::from_vec(values),
        _ => Facts::from_shape(tensor.dims.iter().map(|&n| dim::num(n)).collect()),
    }
}

#[cfg(test)]
mod tests;
