//! What linear map each ONNX operator applies to a small change of its inputs.
//!
//! One [`Entry`] an operator, in a file by family. A rule reads the operator's inputs, outputs and
//! attributes, and describes the change of each output as linear steps from the changes of its
//! inputs. It knows nothing of direction, seeds or blocks.

mod activation;
mod arithmetic;
mod attention;
mod composite;
mod constant;
mod contrib;
mod control;
mod convolution;
mod deformable;
mod determinant;
mod einsum;
mod elements;
mod elementwise;
mod entry;
mod enumeration;
mod folding;
mod indexing;
mod layout;
mod linear_algebra;
mod linear_attention;
mod losses;
mod normalisation;
mod norms;
mod padding;
mod picking;
mod pool_norms;
mod pooling;
mod quantisation;
mod recurrent;
mod reduction;
mod refusals;
mod regions;
mod resize;
mod rotary;
mod sampling;
mod scatter;
#[cfg(test)]
mod singular;
mod spectral;
mod standardisation;
mod tangent;
#[cfg(test)]
pub(in crate::compile) mod testing;
mod trigonometry;
mod unpooling;
mod walk;
mod window;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::OnceLock;

use super::build::{Emit, Expr};
use super::linear::{Program, Var, VarId};
use crate::error::{Error, Result};
use crate::graph::{DataType, Dim, Node, NodeId, Value, ValueId, fixed};
pub use entry::{Entry, Form, Inputs, Shape};
pub use quantisation::{Passage, gives_integers, is_integer_arithmetic, passage};
pub use refusals::WITHOUT_RULE;
pub use tangent::Tangent;
pub use walk::linearise_node;

/// Every entry.
pub fn table() -> impl Iterator<Item = &'static Entry> {
    const FAMILIES: &[&[Entry]] = &[
        arithmetic::RULES,
        activation::RULES,
        attention::RULES,
        constant::RULES,
        contrib::activation::RULES,
        contrib::attention::RULES,
        contrib::norms::RULES,
        contrib::products::RULES,
        control::RULES,
        convolution::RULES,
        deformable::RULES,
        determinant::RULES,
        einsum::RULES,
        elementwise::RULES,
        elements::RULES,
        folding::RULES,
        indexing::RULES,
        layout::RULES,
        linear_algebra::RULES,
        linear_attention::RULES,
        losses::RULES,
        normalisation::RULES,
        norms::RULES,
        padding::RULES,
        picking::RULES,
        pool_norms::RULES,
        pooling::RULES,
        quantisation::RULES,
        recurrent::RULES,
        reduction::RULES,
        resize::RULES,
        rotary::RULES,
        regions::RULES,
        sampling::RULES,
        scatter::RULES,
        spectral::RULES,
        standardisation::RULES,
        trigonometry::RULES,
        unpooling::RULES,
    ];
    FAMILIES.iter().copied().flatten()
}

/// The entry of a node's operator.
pub fn find(node: &Node) -> Option<&'static Entry> {
    static INDEX: OnceLock<HashMap<(&'static str, &'static str), &'static Entry>> = OnceLock::new();
    let index =
        INDEX.get_or_init(|| table().map(|entry| ((entry.domain, entry.op), entry)).collect());
    let domain = if node.is_standard() { "" } else { node.domain.as_str() };
    index.get(&(domain, node.op.as_str())).copied()
}

/// Why a node's operator has no rule, where that is known.
pub fn why_without(node: &Node) -> Option<&'static str> {
    let name = node.operator();
    WITHOUT_RULE.iter().find(|(op, _)| *op == name).map(|&(_, why)| why)
}

/// The part of an output that does not come from the changing inputs by the linear map.
#[derive(Clone, Copy, Debug)]
pub enum Constant {
    /// Nothing: the operator is homogeneous in its state.
    Zero,
    /// This value, whose dimensions broadcast to the output's.
    Value(crate::graph::ValueId),
    /// What is left of the output when the linear map of the inputs is subtracted.
    Remainder,
}

/// What linearising one node gave.
pub struct Linearised {
    /// The change of each output that has one.
    pub outputs: Vec<(usize, VarId)>,
    /// The constant part of each of them.
    pub constants: Vec<Constant>,
}

/// What a rule sees of its node, and where it says what the node does.
pub struct Rule<'e> {
    /// Where primal nodes are emitted.
    pub e: &'e Emit,
    /// The node.
    pub node: Node,
    id: NodeId,
    /// The node of the model that the steps come from; not `id` itself in a composite.
    owner: NodeId,
    program: &'e RefCell<Program>,
    tangents: Vec<Option<VarId>>,
    /// The changes of the values that the node's subgraphs read around them.
    captures: Vec<(ValueId, VarId)>,
    outputs: RefCell<Vec<(usize, VarId)>>,
    constants: RefCell<HashMap<usize, Constant>>,
    homogeneous: Cell<bool>,
    /// The changes of what [`Rule::through`] went through.
    composite: RefCell<HashMap<ValueId, VarId>>,
}

impl<'e> Rule<'e> {
    /// Runs the rule of `entry` on node `id`, whose inputs change by `tangents` and whose captured
    /// values by `captures`. The steps are told as those of `owner`.
    ///
    /// # Errors
    /// What the rule refuses.
    pub fn apply(
        e: &'e Emit,
        program: &'e RefCell<Program>,
        (id, owner): (NodeId, NodeId),
        entry: &Entry,
        tangents: Vec<Option<VarId>>,
        captures: Vec<(ValueId, VarId)>,
    ) -> Result<Linearised> {
        let cx = Self {
            e,
            node: e.graph(|graph| graph.node(id).clone()),
            id,
            owner,
            program,
            tangents,
            captures,
            outputs: RefCell::default(),
            constants: RefCell::default(),
            homogeneous: Cell::new(false),
            composite: RefCell::default(),
        };
        let rule = entry.rule.ok_or_else(|| Error::internal("this operator's derivative is zero"));
        rule.and_then(|rule| rule(&cx)).and_then(|()| e.check())?;
        let outputs = cx.outputs.into_inner();
        let constants = cx.constants.into_inner();
        let default = if cx.homogeneous.get() { Constant::Zero } else { Constant::Remainder };
        let constants =
            outputs.iter().map(|(i, _)| constants.get(i).copied().unwrap_or(default)).collect();
        Ok(Linearised { outputs, constants })
    }

    /// The change of input `index`, if it has one.
    pub fn tangent(&self, index: usize) -> Option<Tangent<'_, 'e>> {
        let var = self.tangents.get(index).copied().flatten()?;
        Some(Tangent { cx: self, var })
    }

    /// The change of input `index`.
    ///
    /// # Errors
    /// When the input does not change: the table promises that it does.
    pub fn dx(&self, index: usize) -> Result<Tangent<'_, 'e>> {
        self.tangent(index).ok_or_else(|| Error::internal(format!("input {index} has no tangent")))
    }

    /// Input `index`, floats in the type in which changes are computed.
    ///
    /// # Errors
    /// When the input is left out.
    pub fn x(&self, index: usize) -> Result<Expr<'e>> {
        self.raw(index).map(|x| if x.dtype().is_float() { x.widen() } else { x })
    }

    /// Input `index` as it is.
    ///
    /// # Errors
    /// When the input is left out.
    pub fn raw(&self, index: usize) -> Result<Expr<'e>> {
        let id = self
            .node
            .input(index)
            .ok_or_else(|| Error::unreadable(format!("input {index} is required and left out")))?;
        Ok(self.e.expr(id))
    }

    /// [`Rule::x`] of an input with `least` axes or more.
    ///
    /// # Errors
    /// When the input is left out or has fewer.
    pub fn ranked(&self, index: usize, least: usize) -> Result<Expr<'e>> {
        let x = self.x(index)?;
        if x.rank() >= least {
            return Ok(x);
        }
        let what = format!("input {index} has rank {}, {least} is needed", x.rank());
        Err(Error::unreadable(what))
    }

    /// Checks that input `index` broadcasts to `dims` once it is spread to `under`, its own
    /// dimensions with axes of size 1 put in.
    ///
    /// # Errors
    /// When the sizes contradict that.
    pub fn check_spread(&self, index: usize, under: &[Dim], dims: &[Dim]) -> Result<()> {
        let own = self.raw(index)?.dims();
        let same = |a: &Dim, b: &Dim| fixed(a).zip(fixed(b)).is_none_or(|(a, b)| a == b);
        let elements = same(&self.e.product(&own), &self.e.product(under));
        let aligned = dims.len().checked_sub(under.len()).is_some_and(|missing| {
            let pairs = under.iter().zip(&dims[missing..]);
            pairs.into_iter().all(|(a, b)| fixed(a) == Some(1) || same(a, b))
        });
        if elements && aligned {
            return Ok(());
        }
        Err(Error::unreadable(format!("input {index} is {own:?}, over a tensor {dims:?}")))
    }

    /// Output `index`, floats in the type in which changes are computed.
    ///
    /// # Errors
    /// When the node has no such output.
    pub fn y(&self, index: usize) -> Result<Expr<'e>> {
        let y = self.e.expr(self.output(index)?);
        Ok(if y.dtype().is_float() { y.widen() } else { y })
    }

    /// The dimensions of output `index`.
    ///
    /// # Errors
    /// When the node has no such output.
    pub fn y_dims(&self, index: usize) -> Result<Vec<Dim>> {
        Ok(self.e.expr(self.output(index)?).dims())
    }

    fn output(&self, index: usize) -> Result<ValueId> {
        self.node.output(index).ok_or_else(|| {
            Error::unsupported(format!("output {index} is left out, and the rule needs it"))
                .help("give that output a name")
        })
    }

    /// Says how output `index` changes. Does nothing for an output that is left out.
    pub fn emit(&self, index: usize, change: Tangent<'_, 'e>) {
        if self.node.output(index).is_some() {
            self.outputs.borrow_mut().push((index, change.var));
        }
    }

    /// Says that every output is its linear map applied to the inputs, without a constant part.
    pub fn homogeneous(&self) {
        self.homogeneous.set(true);
    }

    /// Gives the constant part of output `index`; its dimensions broadcast to the output's.
    pub fn constant_part(&self, index: usize, value: Expr<'e>) {
        self.constants.borrow_mut().insert(index, Constant::Value(value.id));
    }

    /// An axis attribute counted from the front.
    ///
    /// # Errors
    /// When it lies outside `-rank..rank`.
    pub fn axis(&self, axis: i64, rank: usize) -> Result<usize> {
        let front = if axis < 0 { axis + rank as i64 } else { axis };
        usize::try_from(front).ok().filter(|&a| a < rank).ok_or_else(|| {
            Error::unreadable(format!("axis {axis} lies outside a tensor of rank {rank}"))
        })
    }

    /// The integers of input `index`, where they are known, and symbols for what shapes they hold.
    ///
    /// # Errors
    /// When the input is left out.
    pub fn symbolic(&self, index: usize) -> Result<Option<Vec<Dim>>> {
        let id = self.raw(index)?.id;
        Ok(self.e.graph(|graph| graph.value(id).facts.values().map(<[Dim]>::to_vec)))
    }

    /// The integers of input `index`, where all are known.
    ///
    /// # Errors
    /// When the input is left out.
    pub fn known(&self, index: usize) -> Result<Option<Vec<i64>>> {
        if let Some(values) = self.raw(index)?.as_ints() {
            return Ok(Some(values));
        }
        Ok(self.symbolic(index)?.and_then(|values| values.iter().map(fixed).collect()))
    }

    /// A change of zero of input `index`, which does not depend on the projected input.
    ///
    /// # Errors
    /// When the input is left out.
    pub fn no_change(&self, index: usize) -> Result<Tangent<'_, 'e>> {
        let x = self.x(index)?;
        let var = Var { dims: x.dims(), dtype: tangent_type(x.dtype()) };
        Ok(Tangent { cx: self, var: self.program.borrow_mut().add_var(var) })
    }

    /// Adds output `index`, so far left out, to the node.
    ///
    /// # Errors
    /// Never for a name that is free, which the one chosen is.
    pub fn add_output(
        &self,
        index: usize,
        name: &str,
        dtype: DataType,
        dims: Vec<Dim>,
    ) -> Result<ValueId> {
        let output = self.e.graph_mut(|graph| {
            let label = graph.label(self.id).trim_start_matches('/').trim_start_matches("slp/");
            let name = graph.free_name(&format!("slp/{label}/{name}"));
            let output = graph.add_value(Value::typed(name, dtype, dims))?;
            graph.set_output(self.id, index, output);
            Ok::<_, Error>(output)
        })?;
        self.e.know(output);
        Ok(output)
    }

    /// A refusal of this form of the operator.
    pub fn refuse<T>(&self, what: impl Into<String>) -> Result<T> {
        Err(Error::unsupported(what).help("choose a layer before this node, or --input another"))
    }

    /// `dx` through a step of one input that keeps its type.
    fn step<'r>(
        &self,
        map: impl super::linear::Linear + 'static,
        dx: Tangent<'r, 'e>,
        dims: &[Dim],
    ) -> Tangent<'r, 'e> {
        dx.cx.add_step(map, vec![dx.var], dims.to_vec(), dx.dtype())
    }

    fn add_step(
        &self,
        map: impl super::linear::Linear + 'static,
        inputs: Vec<VarId>,
        dims: Vec<Dim>,
        dtype: DataType,
    ) -> Tangent<'_, 'e> {
        let output = Var { dims, dtype };
        let var = self.program.borrow_mut().add_step(self.owner, map, inputs, output);
        Tangent { cx: self, var }
    }
}

/// The type in which the change of a value of type `dtype` is computed; integers that stand for floats
/// change as those do.
pub fn tangent_type(dtype: DataType) -> DataType {
    if dtype.is_float() { dtype.accumulator() } else { DataType::F32 }
}
