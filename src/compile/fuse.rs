//! Fewer and smaller linear steps that are the same map.
//!
//! Each rule has its identity as a comment: `c⊙` is a [`Scale`], `W` the [`Winners`] of windows. A rule
//! applies where nothing else reads the variable between its steps and nothing is added to it, or what is
//! added can be added behind them.

use std::any::Any;
use std::rc::Rc;

use super::build::{Emit, Expr};
use super::linear::{
    Concat, Conv, Gated, Linear, Lower, MatMul, Program, Scale, Side, Step, Sum, Var, VarId,
    Winners,
};
use crate::graph::{DataType, Dim, Graph, Node, NodeId, ValueId, fixed};

/// A program with every rule applied.
pub struct Fused {
    /// The program.
    pub program: Program,
    /// What is added to the first variable is to be added to the second, times the coefficient.
    pub moved: Vec<(VarId, VarId, ValueId)>,
}

/// Fuses the steps of a program; the variables of `kept` stay, and those of `added` have constants
/// added to them.
pub fn fuse(
    e: &Emit,
    program: &Program,
    kept: impl IntoIterator<Item = VarId>,
    added: impl IntoIterator<Item = VarId>,
) -> Fused {
    let mut readers = vec![Vec::new(); program.var_count()];
    for (i, step) in program.steps().iter().enumerate() {
        step.inputs.iter().for_each(|v| readers[v.0].push(i));
    }
    let mut free: Vec<bool> = readers.iter().map(|all| all.len() == 1).collect();
    kept.into_iter().for_each(|v| free[v.0] = false);
    let vars: Vec<Var> = (0..program.var_count()).map(|i| program.var(VarId(i)).clone()).collect();
    let mut constant = vec![false; vars.len()];
    added.into_iter().for_each(|v| constant[v.0] = true);
    let producers = vec![None; vars.len()];
    let mut fuse =
        Fuse { e, vars, free, constant, producers, steps: Vec::new(), moved: Vec::new() };
    for step in program.steps() {
        e.scope_of(step.node);
        let next = step.outputs.first().filter(|v| fuse.may_go(**v)).map(|v| readers[v.0][0]);
        let next = next.map(|i| &program.steps()[i]);
        fuse.append(step.clone(), next);
    }
    let steps = fuse.steps.into_iter().flatten().collect();
    Fused { program: Program::of(fuse.vars, steps), moved: fuse.moved }
}

/// The fewest elements of a matrix whose rows are worth choosing from.
const LARGE: i64 = 1 << 18;

struct Fuse<'e> {
    e: &'e Emit,
    vars: Vec<Var>,
    /// Whether one step reads a variable and nothing else asks for it.
    free: Vec<bool>,
    /// Whether something is added to it.
    constant: Vec<bool>,
    /// The step that defines a variable.
    producers: Vec<Option<usize>>,
    /// None where a step was fused with a later one.
    steps: Vec<Option<Step>>,
    moved: Vec<(VarId, VarId, ValueId)>,
}

impl<'e> Fuse<'e> {
    /// Adds a step, fused with those before it; `next` is the only step that reads its output.
    fn append(&mut self, step: Step, next: Option<&Step>) {
        let map: &dyn Any = &*step.map;
        let fused = if let Some(scale) = map.downcast_ref::<Scale>() {
            self.scale(&step, scale.0) || self.gate(&step, scale.0)
        } else if map.is::<Sum>() {
            self.copy(&step)
        } else if map.is::<Winners>() {
            self.winners(&step)
        } else if let Some(concat) = map.downcast_ref::<Concat>() {
            self.concat(&step, concat, next)
        } else {
            false
        };
        if !fused {
            self.push(step);
        }
    }

    /// b⊙(a⊙x) = (a·b)⊙x, b⊙(a⊙Wx) = (a·b)⊙Wx as one step, and b⊙(k∗x) = (b·k)∗x for a kernel k and one
    /// number b a channel.
    fn scale(&mut self, step: &Step, b: ValueId) -> bool {
        let Some((at, before)) = self.before(step.inputs[0]) else { return false };
        let output = step.outputs[0];
        let map: &dyn Any = &*before.map;
        if let Some(&Scale(a)) = map.downcast_ref::<Scale>() {
            let product = self.factor(a, output) * self.factor(b, output);
            self.steps[at] = None;
            self.scaled(step.node, product, before.inputs[0], output);
            return true;
        }
        if let Some(winners) = map.downcast_ref::<Winners>() {
            let b = self.factor(b, output);
            let factor = winners.factor.map_or(b, |a| self.factor(a, output) * b).id;
            let map = Rc::new(Winners { factor: Some(factor), ..winners.clone() });
            self.steps[at] = None;
            self.push(Step { map, outputs: vec![output], ..before });
            return true;
        }
        let conv = map.downcast_ref::<Conv>();
        let Some((conv, b)) = conv.and_then(|conv| Some((conv, self.channels(b, output)?))) else {
            return false;
        };
        let kernel = (self.e.expr(conv.kernel).cast(b.dtype()) * b).id;
        let map = Rc::new(Conv { kernel, group: conv.group, geometry: conv.geometry.clone() });
        self.steps[at] = None;
        self.push(Step { map, inputs: before.inputs, outputs: vec![output], node: before.node });
        true
    }

    /// A sum of one part is that part.
    fn copy(&mut self, step: &Step) -> bool {
        let [input] = step.inputs[..] else { return false };
        let Some((at, before)) = self.before(input) else { return false };
        if before.outputs.len() != 1 {
            return false;
        }
        self.steps[at] = None;
        self.push(Step { outputs: step.outputs.clone(), ..before });
        true
    }

    /// c⊙(x·A + b) = \[c⊙(x·A)\] + c⊙b for a large A and a c that has zeros.
    fn gate(&mut self, step: &Step, c: ValueId) -> bool {
        let (v, output) = (step.inputs[0], step.outputs[0]);
        let Some((at, before)) = self.only_read(v) else { return false };
        let map: &dyn Any = &*before.map;
        let Some(&product) = map.downcast_ref::<MatMul>() else { return false };
        let units = self.vars[v.0].dims.last().and_then(fixed);
        let size = self.e.expr(product.matrix).dims().iter().map(fixed).product::<Option<i64>>();
        let wide = self.e.expr(c).dims().last().and_then(fixed) == units && units.is_some();
        let large = size.is_some_and(|size| size >= LARGE);
        let right = product.side == Side::Right && self.e.expr(product.matrix).rank() == 2;
        if !(wide && large && right && self.e.graph(|graph| has_zeros(graph, c))) {
            return false;
        }
        if self.constant[v.0] {
            self.moved.push((v, output, c));
            self.constant[output.0] = true;
        }
        self.steps[at] = None;
        let map = Rc::new(Gated { product, factor: c });
        self.push(Step { map, outputs: vec![output], node: step.node, ..before });
        true
    }

    /// W(a⊙x) = (Wa)⊙(Wx): there are fewer winners than elements.
    fn winners(&mut self, step: &Step) -> bool {
        let (v, output) = (step.inputs[0], step.outputs[0]);
        let Some((at, Step { map, inputs, .. })) = self.before(v) else { return false };
        let map: &dyn Any = &*map;
        let Some(&Scale(a)) = map.downcast_ref::<Scale>() else { return false };
        let Some(a) = self.won(step, self.factor(a, v)) else { return false };
        self.steps[at] = None;
        let won = self.var(self.vars[output.0].clone());
        self.push(Step { inputs, outputs: vec![won], ..step.clone() });
        self.scaled(step.node, a, won, output);
        true
    }

    /// The winners of a coefficient; the coefficient itself where it is the same all over space.
    fn won(&self, step: &Step, a: Expr<'e>) -> Option<Expr<'e>> {
        let (input, output) = (&self.vars[step.inputs[0].0], &self.vars[step.outputs[0].0]);
        let own = a.dims();
        let spatial = input.dims.len().saturating_sub(2);
        if own[own.len().saturating_sub(spatial)..].iter().all(|d| fixed(d) == Some(1)) {
            return Some(a);
        }
        let map: &dyn Any = &*step.map;
        let winners = Winners { factor: None, ..map.downcast_ref::<Winners>()?.clone() };
        if let Some(pooled) = self.e.graph(|graph| pooled_sign(graph, winners.indices, a.id)) {
            return Some(self.e.expr(pooled).unary("Sign"));
        }
        let seeds = Dim::Value(1);
        let x = a.expand(&input.dims).reshape(&input.seeded(&seeds));
        let at = Lower { e: self.e, seeds, inputs: vec![input], output, outputs: vec![output] };
        Some(Linear::forward(&winners, &at, &[Some(x)]).reshape(&output.dims))
    }

    /// \[a⊙x, b⊙y] = \[a, b]⊙\[x, y], where another rule takes it from there, or where a and b are the
    /// signs of what the model joins: then \[a, b] is the sign of that.
    fn concat(&mut self, step: &Step, concat: &Concat, next: Option<&Step>) -> bool {
        let scale = |&v: &VarId| {
            let (at, before) = self.before(v)?;
            let map: &dyn Any = &*before.map;
            Some((at, before.inputs[0], map.downcast_ref::<Scale>()?.0))
        };
        let Some(scales) = step.inputs.iter().map(scale).collect::<Option<Vec<_>>>() else {
            return false;
        };
        let output = step.outputs[0];
        let own: Vec<ValueId> = scales.iter().map(|(_, _, a)| *a).collect();
        let fuses = next.is_some_and(|next| {
            let next: &dyn Any = &*next.map;
            next.is::<Scale>() || next.is::<Winners>()
        });
        let factor = match self.e.graph(|graph| joined_signs(graph, step.node, &own)) {
            Some(joined) => self.e.expr(joined).unary("Sign"),
            None if fuses => {
                let whole = |(&a, &v)| self.factor(a, v).expand(&self.vars[v.0].dims);
                let factors: Vec<_> = own.iter().zip(&step.inputs).map(whole).collect();
                Expr::concat(&factors, concat.axis).assume(&self.vars[output.0].dims)
            }
            None => return false,
        };
        scales.iter().for_each(|(at, _, _)| self.steps[*at] = None);
        let inputs = scales.iter().map(|(_, x, _)| *x).collect();
        let joined = self.var(self.vars[output.0].clone());
        self.push(Step { inputs, outputs: vec![joined], ..step.clone() });
        self.scaled(step.node, factor, joined, output);
        true
    }

    /// Adds a step that scales, fused with those before it.
    fn scaled(&mut self, node: NodeId, factor: Expr<'e>, input: VarId, output: VarId) {
        let map = Rc::new(Scale(factor.id));
        self.append(Step { map, inputs: vec![input], outputs: vec![output], node }, None);
    }

    /// Whether a variable may go.
    fn may_go(&self, v: VarId) -> bool {
        self.free[v.0] && !self.constant[v.0]
    }

    /// The step that defines a variable which may go.
    fn before(&self, v: VarId) -> Option<(usize, Step)> {
        self.only_read(v).filter(|_| self.may_go(v))
    }

    /// The step that defines a variable which one step reads.
    fn only_read(&self, v: VarId) -> Option<(usize, Step)> {
        let at = self.producers[v.0].filter(|_| self.free[v.0])?;
        Some((at, self.steps[at].clone()?))
    }

    /// A coefficient in the type of a variable.
    fn factor(&self, value: ValueId, var: VarId) -> Expr<'e> {
        self.e.expr(value).cast(self.vars[var.0].dtype)
    }

    /// A coefficient that is one number for each channel of an image, as `[M, 1, 1…]`.
    fn channels(&self, value: ValueId, var: VarId) -> Option<Expr<'e>> {
        let (factor, var) = (self.factor(value, var), &self.vars[var.0]);
        let (own, rank) = (factor.dims(), var.dims.len());
        let one = |d: &Dim| fixed(d) == Some(1);
        let channel = (own.len() + 1).checked_sub(rank)?;
        let single = own.iter().enumerate().all(|(i, d)| i == channel || one(d));
        let mut dims = vec![Dim::Value(1); rank];
        dims[0] = own.get(channel)?.clone();
        (single && own.len() <= rank && dims[0] == var.dims[1]).then(|| factor.reshape(&dims))
    }

    fn push(&mut self, step: Step) {
        step.outputs.iter().for_each(|v| self.producers[v.0] = Some(self.steps.len()));
        self.steps.push(Some(step));
    }

    /// A new variable that the next step alone reads.
    fn var(&mut self, var: Var) -> VarId {
        self.vars.push(var);
        self.free.push(true);
        self.constant.push(false);
        self.producers.push(None);
        VarId(self.vars.len() - 1)
    }
}

/// The output of the pooling that gives `indices`, where `a` is the sign of what it pools: a winner's sign
/// is that of the output.
fn pooled_sign(graph: &Graph, indices: ValueId, a: ValueId) -> Option<ValueId> {
    let pool = graph.node(graph.producer(indices)?);
    let of_input = pool.is("MaxPool") && is_sign(graph, a, pool.input(0)?);
    pool.output(0).filter(|_| of_input)
}

/// The output of a Concat of the model, where `factors` are the signs of its inputs, one for each.
fn joined_signs(graph: &Graph, concat: NodeId, factors: &[ValueId]) -> Option<ValueId> {
    let concat = graph.node(concat);
    let inputs: Vec<ValueId> = concat.inputs.iter().copied().collect::<Option<_>>()?;
    let is_of = |(&a, x): (&ValueId, ValueId)| {
        let sign = graph.producer(a).map(|id| graph.node(id));
        sign.is_some_and(|sign| sign.is("Sign") && sign.input(0) == Some(x))
    };
    let all = inputs.len() == factors.len() && factors.iter().zip(inputs).all(is_of);
    concat.output(0).filter(|_| all && concat.is("Concat"))
}

/// Whether `a` is the sign of `x`, or both are joined in the same way of such parts.
fn is_sign(graph: &Graph, a: ValueId, x: ValueId) -> bool {
    let Some(node) = graph.producer(a).map(|id| graph.node(id)) else { return false };
    if node.is("Sign") {
        return node.input(0) == Some(x);
    }
    let Some(join) = graph.producer(x).map(|id| graph.node(id)) else { return false };
    let rank = graph.value(x).dims().map_or(0, |dims| dims.len() as i64);
    let axis = |node: &Node| Some(node.int("axis").ok()??.rem_euclid(rank.max(1)));
    let parts = || node.inputs.iter().flatten().zip(join.inputs.iter().flatten());
    node.is("Concat")
        && join.is("Concat")
        && node.inputs.len() == join.inputs.len()
        && axis(node) == axis(join)
        && parts().all(|(&a, &x)| is_sign(graph, a, x))
}

/// Whether a coefficient is made of truth values or signs, so that some of it may be zero.
fn has_zeros(graph: &Graph, value: ValueId) -> bool {
    let Some(node) = graph.producer(value).map(|id| graph.node(id)) else { return false };
    let dtype = |input: ValueId| graph.value(input).dtype;
    let inputs = || node.inputs.iter().flatten().copied();
    match node.op.as_str() {
        "Sign" => true,
        "Cast" => inputs().any(|x| dtype(x) == Some(DataType::Bool)),
        "Mul" | "Reshape" | "Expand" => inputs().any(|x| has_zeros(graph, x)),
        _ => false,
    }
}
