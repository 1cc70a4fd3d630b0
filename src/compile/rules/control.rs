//! If, Loop and Scan: the linear program of a body, in a branch or in every round.
//!
//! A body is linearised as a graph of its own, given the changes of its inputs and of the values it
//! reads around it. What a round needs of the states it began with, the loop itself hands out as
//! more results. The rounds of a Loop that were run are then a Scan over those.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::Inputs::All;
use super::{Entry, Rule, Shape, Tangent, linearise_node};
use crate::compile::linear::{Body, Branch, Map, Program, Scan, Track, Var, VarId};
use crate::error::{Error, Result};
use crate::graph::{Attr, DataType, Dim, Graph, Node, Tensor, Value, ValueId, fixed};

pub(super) const RULES: &[Entry] = &[
    Entry::smooth("If", All, branch).with_bodies().form("as its subgraphs", |_| Shape::Smooth),
    Entry::smooth("Loop", All, rounds).with_bodies().form("as its subgraphs", |_| Shape::Smooth),
    Entry::smooth("Scan", All, scan).with_bodies().form("as its subgraphs", |_| Shape::Smooth),
];

/// The switched network of a subgraph whose values `changing` change.
fn linearise(cx: &Rule, graph: Graph, changing: &[ValueId]) -> Result<Body> {
    let e = cx.e.nested(graph, "body");
    let program = RefCell::new(Program::default());
    let start = |&id: &ValueId| {
        let x = e.expr(id);
        let var = Var { dims: x.dims(), dtype: x.dtype().accumulator() };
        program.borrow_mut().add_var(var)
    };
    let inputs: Vec<VarId> = changing.iter().map(start).collect();
    let mut vars: HashMap<ValueId, VarId> =
        changing.iter().copied().zip(inputs.iter().copied()).collect();
    let (order, wanted, outputs) = e.graph(|graph| {
        let wanted = graph.ancestors(graph.outputs.iter().copied());
        graph.topological().map(|order| (order, wanted, graph.outputs.clone()))
    })?;
    for id in order.into_iter().filter(|&id| wanted.has_node(id)) {
        let results = e.graph(|graph| graph.node(id).outputs.clone());
        e.scope_of(id);
        let change = |value| vars.get(&value).copied();
        let linearised = linearise_node(&e, &program, (id, id), change)
            .map_err(|error| e.graph(|graph| graph.at(id, error)))?;
        for (index, var) in linearised.into_iter().flat_map(|it| it.outputs) {
            if let Some(&Some(value)) = results.get(index) {
                vars.insert(value, var);
            }
        }
    }
    let outputs = outputs.iter().map(|value| vars.get(value).copied()).collect();
    Ok(Body { graph: e.finish()?, program: program.into_inner(), inputs, outputs })
}

fn subgraph(node: &Node, name: &str) -> Result<Graph> {
    match node.attr(name) {
        Some(Attr::Graph(graph)) => Ok((**graph).clone()),
        _ => Err(Error::unreadable(format!("attribute '{name}' is no graph"))),
    }
}

/// The captured values that change, by position, each with the body's own value of its name.
fn captured(cx: &Rule, graph: &Graph) -> Vec<(usize, ValueId)> {
    let name = |id: ValueId| cx.e.graph(|outer| outer.value(id).name.clone());
    let inner = |(i, &(id, _)): (usize, &(ValueId, VarId))| {
        let id = graph.find(&name(id))?;
        let free = graph.producer(id).is_none() && !graph.inputs.contains(&id);
        free.then_some((i, id))
    };
    cx.captures.iter().enumerate().filter_map(inner).collect()
}

impl<'e> Rule<'e> {
    fn add_map(
        &self,
        map: impl Map + 'static,
        inputs: Vec<VarId>,
        outputs: Vec<Var>,
    ) -> Vec<Tangent<'_, 'e>> {
        let vars = self.program.borrow_mut().add_map(self.owner, map, inputs, outputs);
        vars.into_iter().map(|var| Tangent { cx: self, var }).collect()
    }
}

fn branch(cx: &Rule) -> Result<()> {
    let condition = cx.raw(0)?.id;
    let body = |name: &str| {
        let graph = subgraph(&cx.node, name)?;
        let (indices, inner): (Vec<_>, Vec<_>) = captured(cx, &graph).into_iter().unzip();
        Ok((Rc::new(linearise(cx, graph, &inner)?), indices))
    };
    let bodies = [body("then_branch")?, body("else_branch")?];
    let changes =
        |&i: &usize| bodies.iter().any(|(body, _)| matches!(body.outputs.get(i), Some(Some(_))));
    let outputs: Vec<usize> = (0..cx.node.outputs.len())
        .filter(|&i| cx.node.output(i).is_some())
        .filter(changes)
        .collect();
    if bodies.iter().any(|(body, _)| body.outputs.len() < cx.node.outputs.len()) {
        return Err(Error::unreadable("a branch has fewer outputs than the operator"));
    }
    let var = |&i: &usize| Ok(Var { dims: cx.y_dims(i)?, dtype: cx.y(i)?.dtype() });
    let vars = outputs.iter().map(var).collect::<Result<Vec<_>>>()?;
    if outputs.is_empty() {
        return Ok(());
    }
    let (values, inputs) = cx.captures.iter().copied().unzip();
    let map = Branch { condition, bodies, captured: values, outputs: outputs.clone() };
    for (i, change) in outputs.into_iter().zip(cx.add_map(map, inputs, vars)) {
        cx.emit(i, change);
    }
    Ok(())
}

/// What Loop and Scan have in common.
struct Rounds {
    graph: Graph,
    /// The number of states.
    states: usize,
    /// The first of them among the inputs of the operator, and the inputs and outputs of the body.
    first: [usize; 3],
    /// The sequences among the inputs of the operator, behind the states.
    sequences: Vec<Track>,
    /// The results among the outputs of the operator, behind the states.
    results: Vec<Track>,
    /// The number of rounds.
    length: Dim,
}

/// Entry `index` of an attribute list with an entry a track.
fn entry(node: &Node, name: &str, index: usize) -> Result<i64> {
    Ok(node.ints(name)?.and_then(|list| list.get(index).copied()).unwrap_or(0))
}

fn scan(cx: &Rule) -> Result<()> {
    let node = &cx.node;
    let graph = subgraph(node, "body")?;
    let count = node.int("num_scan_inputs")?.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let states = node.inputs.len().checked_sub(count).filter(|_| count > 0);
    let states = states.ok_or_else(|| Error::unreadable("num_scan_inputs fits no inputs"))?;
    let track = |axes: &str, directions: &str, index: usize, rank: usize| {
        let axis = cx.axis(entry(node, axes, index)?, rank)?;
        Ok::<_, Error>(Track { axis, backward: entry(node, directions, index)? == 1 })
    };
    let mut sequences = Vec::new();
    for i in 0..count {
        let rank = cx.raw(states + i)?.rank();
        sequences.push(track("scan_input_axes", "scan_input_directions", i, rank)?);
    }
    let mut results = Vec::new();
    for (i, &output) in graph.outputs.iter().skip(states).enumerate() {
        let rank = graph.value(output).dims().map_or(0, |dims| dims.len()) + 1;
        results.push(track("scan_output_axes", "scan_output_directions", i, rank)?);
    }
    let length = cx.raw(states)?.dims()[sequences[0].axis].clone();
    emit_rounds(cx, Rounds { graph, states, first: [0, 0, 0], sequences, results, length })
}

fn rounds(cx: &Rule) -> Result<()> {
    let graph = subgraph(&cx.node, "body")?;
    let states = cx.node.inputs.len().saturating_sub(2);
    let forward = Track { axis: 0, backward: false };
    let results = vec![forward; graph.outputs.len().saturating_sub(1 + states)];
    let known = (states..cx.node.outputs.len()).find(|&i| cx.node.output(i).is_some());
    let length = match known {
        Some(i) => cx.y_dims(i)?.first().cloned(),
        None => None,
    };
    let length = length.unwrap_or_else(|| cx.e.unknown());
    emit_rounds(cx, Rounds { graph, states, first: [2, 2, 1], sequences: vec![], results, length })
}

fn emit_rounds(cx: &Rule, it: Rounds) -> Result<()> {
    let [first, inner, outer] = it.first;
    if it.graph.inputs.len() < inner + it.states + it.sequences.len()
        || it.graph.outputs.len() < outer + it.states + it.results.len()
    {
        return Err(Error::unreadable("the body does not fit the operator"));
    }
    for s in 0..it.states {
        let (start, round) =
            (cx.raw(first + s)?.dims(), it.graph.value(it.graph.inputs[inner + s]));
        if round.dims().as_ref() != Some(&start) {
            return cx.refuse(format!("state {s} may change its shape from round to round"));
        }
    }
    let captured = captured(cx, &it.graph);
    let sequences: Vec<usize> =
        (0..it.sequences.len()).filter(|i| cx.tangent(first + it.states + i).is_some()).collect();
    let mut changing: Vec<bool> = (0..it.states).map(|s| cx.tangent(first + s).is_some()).collect();
    // A state changes too if a round makes it depend on one that does.
    let (states, mut body) = loop {
        let states: Vec<usize> = (0..it.states).filter(|&s| changing[s]).collect();
        let inputs = states.iter().map(|s| it.graph.inputs[inner + s]);
        let elements = sequences.iter().map(|i| it.graph.inputs[inner + it.states + i]);
        let around = captured.iter().map(|&(_, id)| id);
        let all: Vec<_> = inputs.chain(elements).chain(around).collect();
        let body = linearise(cx, it.graph.clone(), &all)?;
        let more = |s: &usize| !changing[*s] && body.outputs[outer + s].is_some();
        let more: Vec<usize> = (0..it.states).filter(more).collect();
        if more.is_empty() {
            break (states, body);
        }
        more.into_iter().for_each(|s| changing[s] = true);
    };
    let results: Vec<usize> =
        (0..it.results.len()).filter(|i| body.outputs[outer + it.states + i].is_some()).collect();
    let ends = states.iter().map(|s| outer + s);
    let ends = ends.chain(results.iter().map(|i| outer + it.states + i));
    body.outputs = ends.map(|i| body.outputs[i]).collect();
    let primal = hand_out(cx, &it, &mut body.graph)?;

    let vars = output_vars(cx, &it, &states, &results)?;
    let starts = states.iter().filter_map(|s| cx.tangent(first + s));
    let elements = sequences.iter().filter_map(|i| cx.tangent(first + it.states + i));
    let inputs = starts.chain(elements).map(|change| change.var);
    let inputs = inputs.chain(captured.iter().map(|&(i, _)| cx.captures[i].1)).collect();
    let map = Scan {
        body: Rc::new(body),
        primal,
        initial: states.iter().map(|s| cx.tangent(first + s).is_some()).collect(),
        sequences: sequences.iter().map(|&i| it.sequences[i]).collect(),
        captured: captured.iter().map(|&(i, _)| cx.captures[i].0).collect(),
        results: results.iter().map(|&i| it.results[i]).collect(),
        may_be_empty: inner > 0 && fixed(&it.length).is_none(),
    };
    let places = states.into_iter().chain(results.iter().map(|i| it.states + i));
    for (i, change) in places.zip(cx.add_map(map, inputs, vars)) {
        cx.emit(i, change);
    }
    Ok(())
}

/// The changes of the states and results that change.
fn output_vars(cx: &Rule, it: &Rounds, states: &[usize], results: &[usize]) -> Result<Vec<Var>> {
    let [first, _, outer] = it.first;
    let mut vars = Vec::new();
    for s in states {
        let x = cx.raw(first + s)?;
        vars.push(Var { dims: x.dims(), dtype: x.dtype().accumulator() });
    }
    for &i in results {
        let value = it.graph.value(it.graph.outputs[outer + it.states + i]);
        let (Some(mut dims), Some(dtype)) = (value.dims(), value.dtype) else {
            return cx.refuse(format!("the shape of result {i} of a round is not known"));
        };
        dims.insert(it.results[i].axis, it.length.clone());
        vars.push(Var { dims, dtype: dtype.accumulator() });
    }
    Ok(vars)
}

/// Makes the operator hand out what each round began with; gives where each input of the body's
/// graph is then found.
fn hand_out(cx: &Rule, it: &Rounds, graph: &mut Graph) -> Result<Vec<(ValueId, Track)>> {
    let [first, inner, _] = it.first;
    let forward = Track { axis: 0, backward: false };
    let mut primal = Vec::new();
    if inner > 0 {
        // The rounds of a Loop that are run are those whose condition holds.
        let condition = graph.inputs.remove(1);
        graph.value_mut(condition).tensor =
            Some(Tensor::new(DataType::Bool, vec![], vec![1u8]).into());
        primal.push((stack(cx, it, 0)?, forward));
    }
    for s in 0..it.states {
        primal.push((stack(cx, it, inner + s)?, forward));
    }
    for (i, &track) in it.sequences.iter().enumerate() {
        primal.push((cx.raw(first + it.states + i)?.id, track));
    }
    Ok(primal)
}

/// Input `index` of the body in every round, a further result of the operator.
fn stack(cx: &Rule, it: &Rounds, index: usize) -> Result<ValueId> {
    let input = it.graph.value(it.graph.inputs[index]);
    let (Some(mut dims), Some(dtype)) = (input.dims(), input.dtype) else {
        return cx.refuse("the shape of a state is not known");
    };
    dims.insert(0, it.length.clone());
    let [_, _, outer] = it.first;
    let place = cx.e.graph_mut(|graph| {
        let node = graph.node_mut(cx.id);
        for name in ["scan_output_axes", "scan_output_directions"] {
            if let Some(Attr::Ints(list)) = node.attr(name) {
                let list = [list.as_slice(), &[0]].concat();
                node.set(name, list);
            }
        }
        let body =
            node.subgraphs_mut().next().ok_or_else(|| Error::internal("a loop lost its body"))?;
        let source = body.inputs[index];
        let wish = format!("slp/{}/start", body.value(source).name);
        let copy =
            Value { name: body.free_name(&wish), tensor: None, ..body.value(source).clone() };
        let copy = body.add_value(copy)?;
        body.outputs.push(copy);
        body.add_node(Node::new("Identity", vec![Some(source)], vec![Some(copy)]))?;
        Ok::<_, Error>(body.outputs.len() - 1 - outer)
    })?;
    cx.add_output(place, "start", dtype, dims)
}

#[cfg(test)]
mod tests;
