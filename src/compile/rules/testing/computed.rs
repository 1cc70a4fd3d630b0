//! Constants of a case that are only known when the model runs.

use super::{Case, Slot, constant};
use crate::graph::{DataType, Graph, Node, Tensor, Value, ValueId};

impl Case {
    /// Lets the constant added last be computed by the model, so that no rule can know it.
    pub fn computed(mut self) -> Self {
        match self.slots.pop() {
            Some(Slot::Constant(name, tensor)) => self.slot(Slot::Computed(name, tensor)),
            _ => panic!("the last input is no constant"),
        }
    }
}

/// A value `name` that holds `tensor` once the model runs.
pub(super) fn value(graph: &mut Graph, name: &str, tensor: &Tensor) -> ValueId {
    let numbers = match tensor.to_ints() {
        Ok(integers) => integers.iter().map(|&n| n as f64).collect(),
        Err(_) => tensor.to_floats().expect("a tensor of numbers"),
    };
    let source = Tensor::floats(DataType::F64, tensor.dims.clone(), &numbers);
    let source = constant(graph, &format!("{name}_source"), source);
    let result = super::value(graph, Value::new(name));
    let mut cast = Node::new("Cast", vec![Some(source)], vec![Some(result)]);
    cast.set("to", i64::from(tensor.dtype as i32));
    graph.add_node(cast).expect("the output is new");
    result
}
