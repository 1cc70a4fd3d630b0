//! The linear program: what the switched network does to a small change of the input.
//!
//! A [`Program`] is a list of [`Step`]s between variables. A variable stands for the change of one
//! value of the model and has that value's dimensions; a tangent or cotangent of it is a tensor with
//! one more axis in front, the seeds. Each kind of step knows how to write itself as ONNX operators
//! in two directions. Invariants: steps are in topological order, every variable but the seeded one
//! is the output of exactly one step, and no step knows the operator it came from.

mod body;
mod branch;
mod conv;
mod einsum;
mod elements;
mod gated;
mod gather;
mod join;
mod local;
mod matmul;
mod moved;
mod samples;
mod scale;
mod scan;
mod shape;
mod slice;
mod window_sums;
mod winners;

use std::any::Any;
use std::fmt::Debug;
use std::rc::Rc;

use super::build::{Emit, Expr};
use crate::graph::{DataType, Dim, NodeId, ValueId};

pub use body::{Body, capture};
pub use branch::Branch;
pub use conv::{Conv, ConvTranspose, Geometry};
pub use einsum::Einsum;
pub use elements::{CumSum, GatherElements, ScatterElements};
pub use gated::Gated;
pub use gather::Gather;
pub use join::{Concat, Sum, add_all};
pub use local::{Local, Patch, Place, Span, Windows};
pub use matmul::{MatMul, Side};
pub use moved::moved;
pub use samples::{Samples, Spread, place_samples, spread};
pub use scale::{Cast, Scale};
pub use scan::{Scan, Track};
pub use shape::{Broadcast, Reshape, SumTo, Transpose};
pub use slice::{Pad, Reverse, Stride, Window};
pub use window_sums::WindowSums;
pub use winners::Winners;

/// The identity of a variable within its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VarId(pub usize);

/// The change of one value of the model.
#[derive(Clone, Debug)]
pub struct Var {
    /// The dimensions, without the seeds.
    pub dims: Vec<Dim>,
    /// The type in which the change is computed.
    pub dtype: DataType,
}

impl Var {
    /// The dimensions of a tangent with `seeds` seeds.
    pub fn seeded(&self, seeds: &Dim) -> Vec<Dim> {
        std::iter::once(seeds).chain(&self.dims).cloned().collect()
    }
}

/// One kind of linear map, written as ONNX operators in two directions.
pub trait Linear: Debug + Any {
    /// The name of the kind in listings.
    fn name(&self) -> &'static str;

    /// The tangent of the output; `x` has an entry per input, and at least one is there.
    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e>;

    /// The cotangent of each input, given the cotangent of the output.
    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>>;

    /// Where the samples of a batch lie in the output, given where they lie in each input; `None`
    /// where samples are mixed, or can't be shown not to be.
    fn samples(&self, inputs: &[(&Var, &Samples)], output: &Var) -> Option<Samples>;

    /// The step between windows of its variables, where it is local.
    fn local(&self) -> Option<&dyn Local> {
        None
    }

    /// The multiply-adds of one seed, in either direction; `size` counts the elements of dimensions.
    fn products(&self, inputs: &[&Var], output: &Var, size: &dyn Fn(&[Dim]) -> f64) -> f64 {
        let _ = (inputs, output, size);
        0.0
    }

    /// The elements of the weights that are read once for all seeds, counted as in `products`.
    fn weights(&self, inputs: &[&Var], output: &Var, size: &dyn Fn(&[Dim]) -> f64) -> f64 {
        let _ = (inputs, output, size);
        0.0
    }

    /// Whether elements are placed by index, which is dearer than moving them.
    fn scatters(&self) -> bool {
        false
    }
}

/// A linear map of several variables to several, written in two directions. Every [`Linear`] is one.
pub trait Map: Debug + Any {
    /// The name of the kind in listings.
    fn name(&self) -> &'static str;

    /// The tangent of each output; `x` has an entry per input, and at least one is there.
    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Vec<Option<Expr<'e>>>;

    /// The cotangent of each input, given those of some outputs, of which at least one is there.
    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: &[Option<Expr<'e>>]) -> Vec<Option<Expr<'e>>>;

    /// Where the samples lie in each output; `inputs` has an entry for each that changes.
    fn samples(
        &self,
        inputs: &[Option<(&Var, &Samples)>],
        outputs: &[&Var],
    ) -> Vec<Option<Samples>>;

    /// The step between windows of its variables, where it is local.
    fn local(&self) -> Option<&dyn Local> {
        None
    }

    /// The multiply-adds of one seed, in either direction; `size` counts the elements of dimensions.
    fn products(&self, inputs: &[&Var], output: &Var, size: &dyn Fn(&[Dim]) -> f64) -> f64 {
        let _ = (inputs, output, size);
        0.0
    }

    /// The elements of the weights that are read once for all seeds, counted as in `products`.
    fn weights(&self, inputs: &[&Var], output: &Var, size: &dyn Fn(&[Dim]) -> f64) -> f64 {
        let _ = (inputs, output, size);
        0.0
    }

    /// Whether elements are placed by index, which is dearer than moving them.
    fn scatters(&self) -> bool {
        false
    }
}

impl<T: Linear> Map for T {
    fn name(&self) -> &'static str {
        Linear::name(self)
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Vec<Option<Expr<'e>>> {
        vec![Some(Linear::forward(self, at, x))]
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: &[Option<Expr<'e>>]) -> Vec<Option<Expr<'e>>> {
        let dy = dy.iter().flatten().next();
        dy.map_or_else(Vec::new, |&dy| {
            Linear::transposed(self, at, dy).into_iter().map(Some).collect()
        })
    }

    fn samples(
        &self,
        inputs: &[Option<(&Var, &Samples)>],
        outputs: &[&Var],
    ) -> Vec<Option<Samples>> {
        let inputs: Vec<_> = inputs.iter().flatten().copied().collect();
        outputs.iter().map(|output| Linear::samples(self, &inputs, output)).collect()
    }

    fn local(&self) -> Option<&dyn Local> {
        Linear::local(self)
    }

    fn products(&self, inputs: &[&Var], output: &Var, size: &dyn Fn(&[Dim]) -> f64) -> f64 {
        Linear::products(self, inputs, output, size)
    }

    fn weights(&self, inputs: &[&Var], output: &Var, size: &dyn Fn(&[Dim]) -> f64) -> f64 {
        Linear::weights(self, inputs, output, size)
    }

    fn scatters(&self) -> bool {
        Linear::scatters(self)
    }
}

/// What a step may know while it writes itself.
pub struct Lower<'e, 'p> {
    /// Where to.
    pub e: &'e Emit,
    /// The number of seeds.
    pub seeds: Dim,
    /// The variables it reads.
    pub inputs: Vec<&'p Var>,
    /// The variable it defines, the first if there are several.
    pub output: &'p Var,
    /// The variables it defines.
    pub outputs: Vec<&'p Var>,
}

impl<'e> Lower<'e, '_> {
    /// The dimensions of the output's tangent.
    pub fn out_dims(&self) -> Vec<Dim> {
        self.output.seeded(&self.seeds)
    }

    /// The dimensions of a cotangent of input `index`.
    pub fn in_dims(&self, index: usize) -> Vec<Dim> {
        self.inputs[index].seeded(&self.seeds)
    }

    /// A coefficient in the type in which the output is computed.
    pub fn coefficient(&self, value: ValueId) -> Expr<'e> {
        self.e.expr(value).cast(self.output.dtype)
    }
}

/// One step of the program.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it does.
    pub map: Rc<dyn Map>,
    /// The variables it reads.
    pub inputs: Vec<VarId>,
    /// The variables it defines, at least one.
    pub outputs: Vec<VarId>,
    /// The node of the model it comes from.
    pub node: NodeId,
}

/// The switched network as linear steps.
#[derive(Debug, Default)]
pub struct Program {
    vars: Vec<Var>,
    steps: Vec<Step>,
}

impl Program {
    /// The program of these variables and steps, which are in topological order.
    pub fn of(vars: Vec<Var>, steps: Vec<Step>) -> Self {
        Self { vars, steps }
    }

    /// Adds a variable that no step defines yet.
    pub fn add_var(&mut self, var: Var) -> VarId {
        self.vars.push(var);
        VarId(self.vars.len() - 1)
    }

    /// Adds a step that defines a new variable.
    pub fn add_step(
        &mut self,
        node: NodeId,
        map: impl Linear + 'static,
        inputs: Vec<VarId>,
        output: Var,
    ) -> VarId {
        let output = self.add_var(output);
        self.steps.push(Step { map: Rc::new(map), inputs, outputs: vec![output], node });
        output
    }

    /// Adds a step that defines several new variables.
    pub fn add_map(
        &mut self,
        node: NodeId,
        map: impl Map + 'static,
        inputs: Vec<VarId>,
        outputs: Vec<Var>,
    ) -> Vec<VarId> {
        let outputs: Vec<VarId> = outputs.into_iter().map(|var| self.add_var(var)).collect();
        self.steps.push(Step { map: Rc::new(map), inputs, outputs: outputs.clone(), node });
        outputs
    }

    /// The variable `id`.
    pub fn var(&self, id: VarId) -> &Var {
        &self.vars[id.0]
    }

    /// The number of variables.
    pub fn var_count(&self) -> usize {
        self.vars.len()
    }

    /// The steps in topological order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What a step may know while it writes itself.
    pub fn lower<'e, 'p>(&'p self, e: &'e Emit, step: &Step, seeds: Dim) -> Lower<'e, 'p> {
        Lower {
            e,
            seeds,
            inputs: step.inputs.iter().map(|&v| self.var(v)).collect(),
            output: self.var(step.outputs[0]),
            outputs: step.outputs.iter().map(|&v| self.var(v)).collect(),
        }
    }

    /// Carries tangents of `seeds` seeds through `steps`; `tangents` has an entry per variable.
    pub fn push<'e>(
        &self,
        e: &'e Emit,
        steps: &[Step],
        seeds: &Dim,
        tangents: &mut [Option<Expr<'e>>],
    ) {
        for step in steps {
            let x: Vec<_> = step.inputs.iter().map(|v| tangents[v.0]).collect();
            if x.iter().all(Option::is_none) {
                continue;
            }
            e.scope_of(step.node);
            let y = step.map.forward(&self.lower(e, step, seeds.clone()), &x);
            for (output, y) in step.outputs.iter().zip(y) {
                tangents[output.0] = y;
            }
        }
    }

    /// Carries cotangents of `seeds` seeds back through all steps; `parts` has the summands of each
    /// variable's.
    pub fn pull<'e>(&self, e: &'e Emit, seeds: &Dim, parts: &mut [Vec<Expr<'e>>]) {
        for step in self.steps.iter().rev() {
            let total = |v: &VarId| (!parts[v.0].is_empty()).then(|| add_all(&parts[v.0]));
            e.scope_of(step.node);
            let dy: Vec<_> = step.outputs.iter().map(total).collect();
            if dy.iter().all(Option::is_none) {
                continue;
            }
            let dx = step.map.transposed(&self.lower(e, step, seeds.clone()), &dy);
            for (input, dx) in step.inputs.iter().zip(dx) {
                parts[input.0].extend(dx);
            }
        }
    }
}
