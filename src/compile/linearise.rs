//! From the typed graph to the linear program: each rule on the path, once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

use super::build::{Emit, Expr};
use super::fuse::{Fused, fuse};
use super::infinities::Infinities;
use super::linear::{Program, Step, Sum, Var, VarId};
use super::rules::{self, Constant};
use crate::error::{Error, Result};
use crate::graph::{Dim, NodeId, Reach, ValueId};

/// The switched network of a graph, from one input to some layers.
pub struct Linearised {
    /// Its steps.
    pub program: Program,
    /// The change of the projected input.
    pub input: VarId,
    /// The change of each layer.
    pub layers: Vec<VarId>,
    /// The change of each value of the model that has one.
    pub vars: HashMap<ValueId, VarId>,
    affine: Vec<Affine>,
    infinities: Infinities,
    /// The steps of every operator, before any were fused.
    operators: Option<Program>,
}

/// What an operator adds to its linear map.
struct Affine {
    node: NodeId,
    steps: Range<usize>,
    inputs: Vec<(VarId, ValueId)>,
    output: VarId,
    value: ValueId,
    constant: Constant,
    /// The variable it is added to once steps are fused, and the factor it then has.
    moved: Option<(VarId, ValueId)>,
}

/// One operator's constant part.
pub struct Term<'e> {
    /// The operator's node.
    pub node: NodeId,
    /// The variable it is added to.
    pub output: VarId,
    /// Its value, whose dimensions broadcast to the variable's.
    pub value: Expr<'e>,
}

/// Linearises everything between `input` and `layers`; `order` is topological.
///
/// # Errors
/// When a rule refuses, or no change of the input reaches a layer.
pub fn linearise(
    e: &Emit,
    order: &[NodeId],
    input: ValueId,
    layers: &[ValueId],
) -> Result<Linearised> {
    let program = RefCell::new(Program::default());
    let x = e.expr(input);
    let var = Var { dims: x.dims(), dtype: x.dtype().accumulator() };
    let start = program.borrow_mut().add_var(var);
    let mut vars = HashMap::from([(input, start)]);
    let mut affine = Vec::new();
    let wanted = e.graph(|graph| graph.ancestors(layers.iter().copied()));
    for &node in order.iter().filter(|&&node| wanted.has_node(node)) {
        linearise_node(e, &program, node, &wanted, &mut vars, &mut affine)?;
    }
    let reached = |&layer: &ValueId| {
        vars.get(&layer).copied().ok_or_else(|| {
            let name = |id| e.graph(|graph| graph.value(id).name.clone());
            Error::request(format!("this layer does not change with the input '{}'", name(input)))
                .value(name(layer))
        })
    };
    let layers = layers.iter().map(reached).collect::<Result<_>>()?;
    e.check()?;
    Ok(Linearised {
        program: program.into_inner(),
        input: start,
        layers,
        vars,
        affine,
        infinities: e.graph(Infinities::of),
        operators: None,
    })
}

fn linearise_node(
    e: &Emit,
    program: &RefCell<Program>,
    node: NodeId,
    wanted: &Reach,
    vars: &mut HashMap<ValueId, VarId>,
    affine: &mut Vec<Affine>,
) -> Result<()> {
    let (read, outputs, integers) = e.graph(|graph| {
        let it = graph.node(node);
        let read: Vec<ValueId> = it.inputs.iter().flatten().chain(&it.captures).copied().collect();
        (read, it.outputs.clone(), rules::gives_integers(it))
    });
    let passes = integers
        || outputs.iter().flatten().any(|&y| {
            wanted.has_value(y)
                && e.graph(|graph| graph.value(y).dtype.is_none_or(|t| t.is_float()))
        });
    if !passes {
        return Ok(());
    }
    let from = program.borrow().steps().len();
    e.scope_of(node);
    let change = |value| vars.get(&value).copied();
    let result = rules::linearise_node(e, program, (node, node), change)
        .map_err(|error| e.graph(|graph| graph.at(node, error)))?;
    let Some(result) = result else { return Ok(()) };
    let changing: Vec<_> =
        read.into_iter().filter_map(|value| Some((change(value)?, value))).collect();
    for (&(index, mut output), &constant) in result.outputs.iter().zip(&result.constants) {
        let Some(value) = outputs[index] else { continue };
        let affine_part = !matches!(constant, Constant::Zero);
        let mut program = program.borrow_mut();
        let reads = |step: &Step| step.inputs.contains(&output);
        let elsewhere = changing.iter().any(|&(input, _)| input == output)
            || program.steps()[from..].iter().any(reads)
            || result.outputs.iter().any(|&(other, var)| other != index && var == output);
        if affine_part && elsewhere {
            // What else reads the variable must not see this output's constant.
            let var = program.var(output).clone();
            output = program.add_step(node, Sum, vec![output], var);
        }
        vars.insert(value, output);
        if affine_part {
            let steps = from..program.steps().len();
            let inputs = changing.clone();
            affine.push(Affine { node, steps, inputs, output, value, constant, moved: None });
        }
    }
    Ok(())
}

impl Linearised {
    /// Fuses steps. Where `all` is asked for, every value of the model keeps its variable.
    pub fn fuse(&mut self, e: &Emit, all: bool) {
        let kept = self.layers.iter().copied().chain([self.input]);
        let kept = kept.chain(self.vars.values().copied().filter(|_| all));
        let added = self.affine.iter().map(|affine| affine.output);
        let Fused { program, moved } = fuse(e, &self.program, kept, added);
        let moved: HashMap<_, _> =
            moved.into_iter().map(|(from, to, factor)| (from, (to, factor))).collect();
        for affine in &mut self.affine {
            affine.moved = moved.get(&affine.output).copied();
        }
        self.operators = Some(std::mem::replace(&mut self.program, program));
    }

    /// The constant part of every operator that has one, in topological order.
    pub fn terms<'e>(&self, e: &'e Emit) -> Vec<Term<'e>> {
        let program = self.operators.as_ref().unwrap_or(&self.program);
        let mut values = vec![None; program.var_count()];
        self.affine
            .iter()
            .map(|affine| {
                e.scope(&e.graph(|graph| graph.label(affine.node).to_owned()));
                let value = match affine.constant {
                    Constant::Value(value) => e.expr(value),
                    Constant::Zero | Constant::Remainder => {
                        self.remainder(e, affine, program, &mut values)
                    }
                };
                let dtype = self.program.var(affine.output).dtype;
                let value = self.finite(value.cast(dtype));
                match affine.moved {
                    None => Term { node: affine.node, output: affine.output, value },
                    Some((output, factor)) => {
                        let value = value * e.expr(factor).cast(dtype);
                        Term { node: affine.node, output, value }
                    }
                }
            })
            .collect()
    }

    /// The value with 0 for its infinities, where it may have any: whatever masks with an infinity
    /// gives it the weight 0, and 0·∞ would be no number.
    fn finite<'e>(&self, value: Expr<'e>) -> Expr<'e> {
        let may = value.e.graph(|graph| self.infinities.reach(graph, value.id));
        if may { value.finite() } else { value }
    }

    /// `y − L(x)`: the operator's linear map, applied to its own inputs, taken from its output.
    ///
    /// `values` has an entry per variable of `program`, none before and after.
    fn remainder<'e>(
        &self,
        e: &'e Emit,
        affine: &Affine,
        program: &Program,
        values: &mut [Option<Expr<'e>>],
    ) -> Expr<'e> {
        let one = Dim::Value(1);
        for &(var, value) in &affine.inputs {
            let dims = program.var(var).seeded(&one);
            let x = e.expr(value).cast(program.var(var).dtype);
            values[var.0] = Some(self.finite(x).reshape(&dims));
        }
        let steps = &program.steps()[affine.steps.clone()];
        program.push(e, steps, &one, values);
        let linear = values[affine.output.0];
        let set = affine.inputs.iter().map(|(var, _)| var);
        set.chain(steps.iter().flat_map(|step| &step.outputs)).for_each(|v| values[v.0] = None);
        let var = program.var(affine.output);
        let y = e.expr(affine.value).cast(var.dtype);
        match linear {
            Some(linear) => y - linear.reshape(&var.dims),
            None => y,
        }
    }
}
