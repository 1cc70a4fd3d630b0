//! tract's passes over a model, but for what they make wrong.
//!
//! tract 0.23 takes a broadcast before a contraction away, and so computes a[m]·b[0,n] where the model
//! has Σₖ a[m]·b[k,n]; such a broadcast is kept here under another operator, which no pass knows. It
//! makes one step in two of a convolution's output, from the second on, a stride of the convolution,
//! which begins at the first; such steps stay where they are. Two of its matrix kernels take a result
//! whose columns are 16 elements apart for one whose rows are side by side, whatever lies between;
//! such a result is made in another order, and then brought into its own.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::MultiBroadcastTo;
use tract_onnx::tract_core::ops::cnn::conv::Conv;
use tract_onnx::tract_core::ops::downsample::Downsample;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::einsum::einsum_matmul::EinSumMatMul;
use tract_onnx::tract_core::ops::scan::Scan;
use tract_onnx::tract_core::optim::{Optimizer, OptimizerSession, TypedPass};
use tract_onnx::tract_core::{as_op, op_as_typed_op, op_out_of_plan};

/// How far apart, in elements, a matrix kernel's columns lie when it takes its rows to be side by side.
const COLUMN: usize = 16;

/// How often a node may be rewritten: tract's rules undo each other's work without end on some models,
/// and every rewrite leaves a model that computes the same.
const REWRITES: usize = 30;

/// The model in its simplest form, as tract's own `into_decluttered`.
pub(super) fn declutter(mut model: TypedModel) -> TractResult<TypedModel> {
    guarded(Optimizer::declutter(), &model).optimize(&mut model)?;
    Ok(model)
}

/// The model ready to run fast, as tract's own `into_optimized`.
pub(super) fn optimize(model: TypedModel) -> TractResult<TypedModel> {
    let mut model = declutter(model)?;
    guarded(Optimizer::codegen(), &model).optimize(&mut model)?;
    Ok(model)
}

/// The same passes over the model, each node rewritten by the rules here, and so often at the most.
fn guarded(mut optimizer: Optimizer, model: &TypedModel) -> Optimizer {
    for pass in &mut optimizer.passes {
        let rule: Option<Rule> = match format!("{pass:?}").as_str() {
            "declutter" => Some(simpler),
            "codegen" => Some(faster),
            _ => None,
        };
        if let Some(rule) = rule {
            *pass = Box::new(EachNode { rule, from: 0 });
        }
    }
    optimizer.stopping_at(REWRITES * (model.nodes().len() + REWRITES))
}

/// What a node is replaced by, if anything.
type Rule =
    fn(&mut OptimizerSession, &TypedModel, &TypedNode) -> TractResult<Option<TypedModelPatch>>;

/// A pass that puts a rule to every node.
#[derive(Debug, Clone)]
struct EachNode {
    rule: Rule,
    /// The node to go on from.
    from: usize,
}

impl TypedPass for EachNode {
    fn reset(&mut self) -> TractResult<()> {
        self.from = 0;
        Ok(())
    }

    fn next(
        &mut self,
        session: &mut OptimizerSession,
        model: &TypedModel,
    ) -> TractResult<Option<TypedModelPatch>> {
        for node in model.nodes().iter().skip(self.from).filter(|node| node.op.name() != "Dummy") {
            if let Some(patch) = (self.rule)(session, model, node)? {
                self.from = node.id + usize::from(patch.dont_apply_twice.is_some());
                return Ok(Some(patch));
            }
        }
        Ok(None)
    }
}

/// What the node's operator makes of itself, but for what would change its values.
fn simpler(
    session: &mut OptimizerSession,
    model: &TypedModel,
    node: &TypedNode,
) -> TractResult<Option<TypedModelPatch>> {
    if let Some(patch) = keep_broadcast(model, node)? {
        return Ok(Some(patch));
    }
    if is_late(model, node)? {
        return Ok(None);
    }
    node.op.declutter_with_session(session, model, node)
}

/// The node's operator made ready to run, but for what a kernel would store in the wrong place.
fn faster(
    _session: &mut OptimizerSession,
    model: &TypedModel,
    node: &TypedNode,
) -> TractResult<Option<TypedModelPatch>> {
    if let Some(scan) = node.op_as::<Scan>() {
        // tract's own passes would be the ones over the body.
        let body = optimize(scan.body.clone())?;
        let ready = Scan { body, ..scan.clone() }.to_codegen_op(false)?;
        return TypedModelPatch::replace_single_op(model, node, &node.inputs, ready).map(Some);
    }
    if let Some(product) =
        node.op_as::<EinSumMatMul>().filter(|product| is_apart(model, node, product))
    {
        return turned(model, node, &product.op);
    }
    node.op.codegen(model, node)
}

/// Whether rows and columns of the product both have something between their elements, and one of
/// them what a kernel takes for a column.
fn is_apart(model: &TypedModel, node: &TypedNode, product: &EinSumMatMul) -> bool {
    let Ok(fact) = model.outlet_fact(node.id.into()) else { return false };
    let step = |place: usize| {
        fact.shape
            .iter()
            .skip(place + 1)
            .map(|extent| extent.to_usize().ok())
            .product::<Option<_>>()
    };
    match (product.c_m().map(step), product.c_n().map(step)) {
        (Some(m), Some(n)) => {
            ![m, n].contains(&Some(1)) && [m, n].iter().any(|s| s.is_none_or(|s| s == COLUMN))
        }
        _ => false,
    }
}

/// The contraction with the last axis of its result first, and then brought back.
fn turned(
    model: &TypedModel,
    node: &TypedNode,
    contraction: &EinSum,
) -> TractResult<Option<TypedModelPatch>> {
    let last = model.outlet_fact(node.id.into())?.rank() - 1;
    let axes = contraction.axes.change_axis_sink(InOut::Out(0), &AxisOp::Move(last, 0))?;
    let Some(axes) = axes else { return Ok(None) };
    let mut patch = TypedModelPatch::default();
    let wires = patch.taps(model, &node.inputs)?;
    let made = EinSum { axes, ..contraction.clone() };
    let made = patch.wire_node(format!("{}.turned", node.name), made, &wires)?;
    let back = patch.wire_node(&node.name, AxisOp::Move(0, last), &made)?[0];
    patch.shunt_outside(model, node.id.into(), back)?;
    Ok(Some(patch))
}

/// Whether `node` takes every so many elements of a convolution's output, but not the first.
fn is_late(model: &TypedModel, node: &TypedNode) -> TractResult<bool> {
    let late = node.op_as::<Downsample>().is_some_and(|steps| steps.modulo != 0);
    Ok(late && model.linear_prec(node.id)?.is_some_and(|before| before.op_is::<Conv>()))
}

/// The contraction `node` reading a [`Widen`] where it reads a broadcast that it needs.
fn keep_broadcast(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let Some(contraction) = node.op_as::<EinSum>() else { return Ok(None) };
    for (slot, outlet) in node.inputs.iter().enumerate() {
        let before = model.node(outlet.node);
        let Some(broadcast) = before.op_as::<MultiBroadcastTo>() else { continue };
        let narrow = &model.outlet_fact(before.inputs[0])?.shape;
        let others = model.node_input_facts(node.id)?;
        if is_implied(contraction, slot, narrow, &broadcast.shape, &others) {
            continue;
        }
        let mut patch = TypedModelPatch::default();
        let mut wires = patch.taps(model, &node.inputs)?;
        let source = patch.tap_model(model, before.inputs[0])?;
        let name = format!("{}.widened-{slot}", node.name);
        wires[slot] = patch.wire_node(name, Widen(broadcast.clone()), &[source])?[0];
        let made = patch.wire_node(&node.name, contraction.clone(), &wires)?[0];
        patch.shunt_outside(model, node.id.into(), made)?;
        return Ok(Some(patch));
    }
    Ok(None)
}

/// Whether the contraction is the same without the broadcast of `narrow` to `wide` before its input
/// `slot`: every axis made longer stays in the output and is as long in another input.
fn is_implied(
    contraction: &EinSum,
    slot: usize,
    narrow: &ShapeFact,
    wide: &ShapeFact,
    facts: &[&TypedFact],
) -> bool {
    let kept = |axis: &Axis, place: usize| {
        narrow[place] == wide[place]
            || !axis.outputs[0].is_empty()
                && facts.iter().enumerate().any(|(other, fact)| {
                    let place_there = axis.inputs[other].first();
                    other != slot && place_there.is_some_and(|&p| fact.shape[p] == wide[place])
                })
    };
    narrow.rank() == wide.rank()
        && contraction
            .axes
            .iter_all_axes()
            .all(|axis| axis.inputs[slot].iter().all(|&place| kept(axis, place)))
}

/// A broadcast that stays where it is.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Widen(MultiBroadcastTo);

impl Op for Widen {
    fn name(&self) -> StaticName {
        "Widen".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Widen {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.0.eval(context, inputs)
    }
}

impl TypedOp for Widen {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }

    as_op!();
}
