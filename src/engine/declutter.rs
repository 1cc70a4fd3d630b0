//! tract's passes over a model, but for two rewrites that change what it computes.
//!
//! tract 0.23 takes a broadcast before a contraction away, and so computes a[m]·b[0,n] where the model
//! has Σₖ a[m]·b[k,n]; such a broadcast is kept here under another operator, which no pass knows. It
//! makes one step in two of a convolution's output, from the second on, a stride of the convolution,
//! which begins at the first; such steps stay where they are.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::MultiBroadcastTo;
use tract_onnx::tract_core::ops::cnn::conv::Conv;
use tract_onnx::tract_core::ops::downsample::Downsample;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::optim::{Optimizer, OptimizerSession, TypedPass};
use tract_onnx::tract_core::{as_op, op_as_typed_op, op_out_of_plan};

/// The model in its simplest form, as tract's own `into_decluttered`.
pub(super) fn declutter(mut model: TypedModel) -> TractResult<TypedModel> {
    guarded(Optimizer::declutter()).optimize(&mut model)?;
    Ok(model)
}

/// The model ready to run fast, as tract's own `into_optimized`.
pub(super) fn optimize(model: TypedModel) -> TractResult<TypedModel> {
    let mut model = declutter(model)?;
    model.optimize_with_session(&mut guarded(Optimizer::codegen()).session())?;
    Ok(model)
}

/// The same passes with [`Declutter`] in the place of tract's.
fn guarded(mut optimizer: Optimizer) -> Optimizer {
    for pass in &mut optimizer.passes {
        if format!("{pass:?}") == "declutter" {
            *pass = Box::new(Declutter { from: 0 });
        }
    }
    optimizer
}

/// tract's pass that lets every operator rewrite itself, but for what would change its values.
#[derive(Debug, Clone)]
struct Declutter {
    /// The node to go on from.
    from: usize,
}

impl TypedPass for Declutter {
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
            let patch = match keep_broadcast(model, node)? {
                Some(patch) => Some(patch),
                None if is_late(model, node)? => None,
                None => node.op.declutter_with_session(session, model, node)?,
            };
            if let Some(patch) = patch {
                self.from = node.id + usize::from(patch.dont_apply_twice.is_some());
                return Ok(Some(patch));
            }
        }
        Ok(None)
    }
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
