//! Which values are computed from constants with infinite elements, such as attention masks, or through
//! a function of the model that may overflow.

use std::cell::RefCell;

use crate::graph::{Attr, Graph, Map, Node, NodeId, Set, Tensor, ValueId};

/// The largest constant that is searched for infinities, in bytes: masks are smaller, and weights
/// have none.
const LARGEST_MASK: usize = 1 << 26;

/// Functions that are infinite at inputs that a model may well have, and that others bring back into
/// the range, as `1/(1 + exp(−x))` does.
const OVERFLOWING: [&str; 4] = ["Cosh", "Exp", "Log", "Sinh"];

/// What is known of the infinities in a graph. They are looked for where they are asked after: most models
/// have all their weights behind operators whose constant parts need none of them.
pub(super) struct Infinities {
    /// The initializers that may have infinite elements.
    masks: Set<ValueId>,
    known: RefCell<Map<ValueId, bool>>,
}

impl Infinities {
    /// Those of `graph`; constants that it is given later count as finite.
    pub fn of(graph: &Graph) -> Self {
        let small = |tensor: &Tensor| tensor.dtype.is_float() && may_be_mask(tensor);
        let masks = graph.values().filter(|(_, v)| v.tensor.as_deref().is_some_and(small));
        let made = graph.nodes().filter(|(_, node)| makes_infinities(graph, node));
        let made = made.filter_map(|(_, node)| Some((node.output(0)?, true)));
        Self { masks: masks.map(|(id, _)| id).collect(), known: RefCell::new(made.collect()) }
    }

    /// Whether `value`, maybe one added since, is computed from an infinite constant or what may overflow.
    pub fn reach(&self, graph: &Graph, value: ValueId) -> bool {
        let known = &mut *self.known.borrow_mut();
        let mut open = vec![value];
        while let Some(&at) = open.last() {
            if known.contains_key(&at) {
                open.pop();
                continue;
            }
            let found = match graph.producer(at) {
                Some(producer) => behind(graph, producer, known, &mut open),
                None => Some(self.masks.contains(&at) && has_infinity(graph, at)),
            };
            known.extend(found.map(|found| (at, found)));
        }
        known.get(&value).copied().unwrap_or_default()
    }
}

/// Whether what a node reads reaches an infinity; none, and what is to be answered before, where that
/// is not known yet.
fn behind(
    graph: &Graph,
    node: NodeId,
    known: &Map<ValueId, bool>,
    open: &mut Vec<ValueId>,
) -> Option<bool> {
    let node = graph.node(node);
    let read = || node.inputs.iter().flatten().chain(&node.captures);
    if read().any(|value| known.get(value) == Some(&true)) {
        return Some(true);
    }
    let before = open.len();
    open.extend(read().filter(|value| !known.contains_key(value)));
    (open.len() == before).then_some(false)
}

/// Whether a node repeats an infinite constant, or may overflow and is the model's own.
fn makes_infinities(graph: &Graph, node: &Node) -> bool {
    if let Some(Attr::Tensor(tensor)) = node.attr("value") {
        return is_infinite(tensor);
    }
    let emitted = |y: ValueId| graph.value(y).name.starts_with("slp/");
    OVERFLOWING.contains(&node.op.as_str()) && node.output(0).is_some_and(|y| !emitted(y))
}

fn has_infinity(graph: &Graph, value: ValueId) -> bool {
    graph.value(value).tensor.as_deref().is_some_and(is_infinite)
}

fn is_infinite(tensor: &Tensor) -> bool {
    may_be_mask(tensor) && tensor.has_infinity()
}

fn may_be_mask(tensor: &Tensor) -> bool {
    tensor.bytes().len() <= LARGEST_MASK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::text::parse;

    #[test]
    fn infinities_reach_what_is_computed_from_them() {
        let model = parse(
            "<ir_version: 8, opset_import: [\"\" : 18]> g (float[2] x) => (float[2] y)
             <float[2] mask = {0, -inf}, float[2] w = {1, 2}>
             { a = Mul (x, w)  b = Add (a, mask)  c = Softmax (b)  d = Relu (a)
               s = Shape (x)  f = ConstantOfShape <value = float[1] {inf}> (s)
               h = Min (d, f)  e = Exp (a)  k = Add (e, w)  y = Add (c, h) }",
        );
        let graph = model.unwrap().graph;
        let infinities = Infinities::of(&graph);
        let cases = [
            ("y", true),
            ("x", false),
            ("w", false),
            ("mask", true),
            ("a", false),
            ("b", true),
            ("c", true),
            ("d", false),
            ("f", true),
            ("s", false),
            ("h", true),
            ("e", true),
            ("k", true),
        ];
        for (name, expected) in cases {
            let value = graph.find(name).unwrap();
            assert_eq!(infinities.reach(&graph, value), expected, "{name}");
        }
    }
}
