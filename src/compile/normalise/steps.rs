//! The table of upgrades, and what an upgrade can do to a graph.

use std::collections::HashSet;

use super::{attributes, legacy, newer, norms, resize, softmax};
use crate::error::{Error, Result};
use crate::graph::{DataType, Graph, Node, NodeId, Tensor, Value, ValueId};

type Upgrade = fn(&mut Step) -> Result<()>;

/// Every operator whose spelling or meaning changed: the operator, the operator set that brought
/// the change, and the step from the spelling before. Changes that left old nodes valid with their
/// old meaning (new types, new optional inputs and attributes) need none.
const UPGRADES: &[(&str, i64, Upgrade)] = &[
    ("Affine", 10, legacy::affine),
    ("BatchNormalization", 9, norms::batch_normalization_spatial),
    ("BatchNormalization", 14, norms::batch_normalization_mode),
    ("Clip", 11, attributes::clip_bounds),
    ("DFT", 20, newer::dft_axis),
    ("Dropout", 10, attributes::dropout_mask),
    ("Dropout", 12, attributes::dropout_ratio),
    ("GridSample", 20, newer::grid_sample_mode),
    ("GroupNormalization", 21, newer::group_normalization),
    ("Hardmax", 13, softmax::flattening),
    ("ImageScaler", 10, legacy::image_scaler),
    ("LogSoftmax", 13, softmax::flattening),
    ("MeanVarianceNormalization", 9, norms::mean_variance_axes),
    ("Pad", 11, attributes::pad),
    ("ParametricSoftplus", 10, legacy::parametric_softplus),
    ("ReduceL1", 18, attributes::axes),
    ("ReduceL2", 18, attributes::axes),
    ("ReduceLogSum", 18, attributes::axes),
    ("ReduceLogSumExp", 18, attributes::axes),
    ("ReduceMax", 18, attributes::axes),
    ("ReduceMean", 18, attributes::axes),
    ("ReduceMin", 18, attributes::axes),
    ("ReduceProd", 18, attributes::axes),
    ("ReduceSum", 13, attributes::axes),
    ("ReduceSumSquare", 18, attributes::axes),
    ("Resize", 11, resize::asymmetric),
    ("Resize", 13, resize::half_pixel_for_nearest),
    ("RoiAlign", 16, attributes::roi_align_mode),
    ("Scale", 10, legacy::scale),
    ("ScaledTanh", 10, legacy::scaled_tanh),
    ("Scan", 9, legacy::batched_scan),
    ("Scatter", 11, attributes::scatter),
    ("Slice", 10, attributes::slice),
    ("Softmax", 13, softmax::flattening),
    ("Split", 13, attributes::split),
    ("Split", 18, attributes::split_count),
    ("Squeeze", 13, attributes::axes),
    ("TopK", 10, attributes::top_k),
    ("Unsqueeze", 13, attributes::axes),
    ("Upsample", 9, resize::upsample_scales),
    ("Upsample", 11, resize::upsample),
];

/// Applies to one node the upgrades after operator set `from` up to `to`, in order.
pub(super) fn raise_node(
    graph: &mut Graph,
    id: NodeId,
    (from, to): (i64, i64),
    names: &mut Names,
) -> Result<()> {
    let mut step = Step::new(graph, id, names);
    let mut at = from;
    while let Some((since, upgrade)) = next_upgrade(&step.node().op, at, to) {
        let operator = step.node().op.clone();
        upgrade(&mut step).map_err(|error| error.node(&step.label, operator))?;
        at = since;
    }
    Ok(())
}

fn next_upgrade(op: &str, after: i64, to: i64) -> Option<(i64, Upgrade)> {
    UPGRADES
        .iter()
        .filter(|(name, since, _)| *name == op && (after + 1..=to).contains(since))
        .map(|&(_, since, upgrade)| (since, upgrade))
        .min_by_key(|&(since, _)| since)
}

/// Every name of a model, so that new ones differ from those of subgraphs and outer graphs too.
pub(super) struct Names(HashSet<String>);

impl Names {
    /// The names of the graph and its subgraphs.
    pub(super) fn of(graph: &Graph) -> Self {
        let mut names = Self(HashSet::new());
        names.gather(graph);
        names
    }

    fn gather(&mut self, graph: &Graph) {
        self.0.extend(graph.values().map(|(_, value)| value.name.clone()));
        for (_, node) in graph.nodes() {
            node.subgraphs().for_each(|body| self.gather(body));
        }
    }

    /// `wish`, or `wish~2`, `wish~3` and so on where it is taken; taken from now on.
    pub(super) fn fresh(&mut self, wish: &str) -> String {
        let mut name = wish.to_owned();
        let mut count = 1;
        while self.0.contains(&name) {
            count += 1;
            name = format!("{wish}~{count}");
        }
        self.0.insert(name.clone());
        name
    }
}

/// One node under upgrade, and the graph around it.
pub(super) struct Step<'a> {
    pub(super) graph: &'a mut Graph,
    pub(super) names: &'a mut Names,
    pub(super) id: NodeId,
    label: String,
}

impl<'a> Step<'a> {
    /// The node `id` of `graph`.
    pub(super) fn new(graph: &'a mut Graph, id: NodeId, names: &'a mut Names) -> Self {
        Self { label: graph.label(id).to_owned(), graph, names, id }
    }

    /// The node.
    pub(super) fn node(&self) -> &Node {
        self.graph.node(self.id)
    }

    /// The node, to be changed; inputs and outputs change by the methods below.
    pub(super) fn node_mut(&mut self) -> &mut Node {
        self.graph.node_mut(self.id)
    }

    /// An input that the operator must have.
    pub(super) fn input(&self, index: usize) -> Result<ValueId> {
        let missing = || Error::unreadable(format!("input {index} is missing"));
        self.node().input(index).ok_or_else(missing)
    }

    /// Gives the node another input.
    pub(super) fn set_input(&mut self, index: usize, value: Option<ValueId>) {
        self.graph.set_input(self.id, index, value);
    }

    /// A new initializer.
    pub(super) fn constant(&mut self, role: &str, tensor: Tensor) -> Result<ValueId> {
        let name = self.fresh(role);
        self.graph.add_value(super::constants::initializer(name, tensor))
    }

    /// A float scalar of the type that `like` has, converted at run time where that is unknown.
    pub(super) fn scalar_like(&mut self, like: ValueId, role: &str, value: f32) -> Result<ValueId> {
        match super::known::dtype(self.graph, like) {
            Some(dtype) if dtype.is_float() => {
                self.constant(role, Tensor::float(dtype, value.into()))
            }
            _ => {
                let scalar = self.constant(role, Tensor::float(DataType::F32, value.into()))?;
                let cast = Node::new("CastLike", vec![Some(scalar), Some(like)], vec![]);
                self.emit(&format!("{role}/cast"), cast)
            }
        }
    }

    /// A new node, and the value it computes.
    pub(super) fn emit(&mut self, role: &str, node: Node) -> Result<ValueId> {
        let name = self.fresh(role);
        let output = self.graph.add_value(Value::new(&name))?;
        self.graph.add_node(Node { name, outputs: vec![Some(output)], ..node })?;
        Ok(output)
    }

    /// A new node that computes a value that has no producer yet.
    pub(super) fn emit_as(&mut self, role: &str, node: Node, output: ValueId) -> Result<()> {
        let name = self.fresh(role);
        self.graph.add_node(Node { name, outputs: vec![Some(output)], ..node })?;
        Ok(())
    }

    /// Lets the node compute a new value in place of output `index`; gives the new value and the
    /// old one, which another node must compute now.
    pub(super) fn divert(&mut self, index: usize, role: &str) -> Result<(ValueId, ValueId)> {
        let mut node = self.node().clone();
        let slot = node.outputs.get_mut(index);
        let (slot, old) = slot
            .and_then(|slot| slot.map(|old| (slot, old)))
            .ok_or_else(|| Error::unreadable(format!("output {index} is missing")))?;
        let name = self.fresh(role);
        let new = self.graph.add_value(Value::new(name))?;
        *slot = Some(new);
        self.graph.remove_node(self.id);
        self.id = self.graph.add_node(node)?;
        Ok((new, old))
    }

    fn fresh(&mut self, role: &str) -> String {
        self.names.fresh(&format!("slp/norm/{}/{role}", self.label))
    }
}
