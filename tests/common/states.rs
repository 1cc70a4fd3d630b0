//! The state of a network at an input: the side of its kink on which each element is.

use slpc::engine::Array;
use slpc::graph::{DataType, Model, Node, NodeId, Tensor, Value, ValueId};

use super::Outputs;

/// A node with kinks, whose pre-activations or winners are an output of the watched model.
pub struct Watched {
    /// The output.
    pub output: String,
    /// The node, as messages call it.
    pub node: String,
    /// The values at which the slope changes; none where the output names winners.
    pub kinks: Vec<f64>,
}

/// The model with the pre-activations of its ReLUs and the winners of its poolings as outputs.
pub fn watch(model: &Model, dtype: DataType) -> (Model, Vec<Watched>) {
    let mut model = model.clone();
    let nodes: Vec<(NodeId, Node)> =
        model.graph.nodes().map(|(id, node)| (id, node.clone())).collect();
    let mut watched = Vec::new();
    for (id, node) in nodes {
        let constant = |index: usize, default: f64| match node.input(index) {
            None => default,
            Some(bound) => {
                let tensor = model.graph.value(bound).tensor.as_ref();
                tensor.expect("a bound that is a constant").to_floats().unwrap()[0]
            }
        };
        let kinks = match node.op.as_str() {
            "Relu" => vec![0.0],
            "Clip" => vec![constant(1, f64::MIN), constant(2, f64::MAX)],
            "MaxPool" => vec![],
            "PRelu" | "LeakyRelu" | "Abs" | "Max" | "Min" | "GlobalMaxPool" | "ReduceMax" => {
                panic!("the kinks of {} are not watched", node.op)
            }
            _ => continue,
        };
        let (value, dtype) = match node.op.as_str() {
            "MaxPool" => (winners(&mut model, id), DataType::I64),
            _ => (node.input(0).unwrap(), dtype),
        };
        let output = format!("state/{}", watched.len());
        let copy = Value { dtype: Some(dtype), ..Value::new(&output) };
        let copy = model.graph.add_value(copy).unwrap();
        let identity = Node::new("Identity", vec![Some(value)], vec![Some(copy)]);
        model.graph.add_node(identity).unwrap();
        model.graph.outputs.push(copy);
        watched.push(Watched { output, node: model.graph.label(id).to_owned(), kinks });
    }
    assert!(!watched.is_empty());
    (model, watched)
}

fn winners(model: &mut Model, pool: NodeId) -> ValueId {
    assert!(model.graph.node(pool).output(1).is_none());
    let name = model.graph.free_name("winners");
    let value = Value { dtype: Some(DataType::I64), ..Value::new(name) };
    let indices = model.graph.add_value(value).unwrap();
    model.graph.set_output(pool, 1, indices);
    indices
}

impl Watched {
    /// For each element, how many kinks it is above, or its winner.
    pub fn state(&self, outputs: &Outputs) -> Vec<i64> {
        let values = &outputs.0[&self.output];
        match values {
            Array::I64(winners) => winners.iter().copied().collect(),
            _ => {
                let above = |v: &f64| self.kinks.iter().filter(|&kink| v > kink).count() as i64;
                values.to_f64().iter().map(above).collect()
            }
        }
    }

    /// The elements whose state differs: where, and how far they are from the nearest kink in `a`,
    /// 0 for winners.
    pub fn flips(&self, a: &Outputs, b: &Outputs) -> Vec<(usize, f64)> {
        let values = a.get(&self.output);
        let away = |v: f64| self.kinks.iter().map(|kink| (v - kink).abs()).fold(f64::MAX, f64::min);
        let away = |v: f64| if self.kinks.is_empty() { 0.0 } else { away(v) };
        let states = self.state(a).into_iter().zip(self.state(b));
        let elements = states.zip(&values).enumerate();
        elements.filter(|(_, ((a, b), _))| a != b).map(|(i, (_, &v))| (i, away(v))).collect()
    }
}

/// Whether two runs of a watched model are in one state.
pub fn same_state(watched: &[Watched], a: &Outputs, b: &Outputs) -> bool {
    watched.iter().all(|w| w.state(a) == w.state(b))
}

/// The float32 model in double precision: the same network, its weights exactly as they are.
pub fn widen(model: &Model) -> Model {
    let mut model = model.clone();
    let scales: Vec<ValueId> = nodes_of(&model, "DequantizeLinear")
        .iter()
        .flat_map(|(_, node)| node.inputs.iter().flatten().copied().collect::<Vec<_>>())
        .collect();
    let values: Vec<ValueId> = model.graph.values().map(|(id, _)| id).collect();
    for id in values.into_iter().filter(|id| !scales.contains(id)) {
        let value = model.graph.value_mut(id);
        if value.dtype == Some(DataType::F32) {
            value.dtype = Some(DataType::F64);
        }
        if let Some(tensor) = value.tensor.as_mut().filter(|t| t.dtype == DataType::F32) {
            let values = tensor.to_floats().unwrap();
            **tensor = Tensor::floats(DataType::F64, tensor.dims.clone(), &values);
        }
    }
    for (id, node) in nodes_of(&model, "DequantizeLinear") {
        let output = node.output(0).unwrap();
        let name = model.graph.free_name("narrow");
        let narrow = model.graph.add_value(Value::new(name)).unwrap();
        model.graph.remove_node(id);
        let narrowed = Node { outputs: vec![Some(narrow)], ..node };
        model.graph.add_node(narrowed).unwrap();
        let cast = Node::new("Cast", vec![Some(narrow)], vec![Some(output)]);
        model.graph.add_node(cast.with("to", DataType::F64 as i64)).unwrap();
    }
    separate_bias(&mut model);
    model
}

/// Adds C of a Gemm behind it: tract takes none but in single precision.
pub fn separate_bias(model: &mut Model) {
    for (id, node) in nodes_of(model, "Gemm") {
        let (Some(bias), output) = (node.input(2), node.output(0)) else { continue };
        assert!(node.attr("beta").is_none_or(|beta| matches!(beta, slpc::graph::Attr::Float(1.0))));
        let name = model.graph.free_name("product");
        let product = model.graph.add_value(Value::new(name)).unwrap();
        model.graph.remove_node(id);
        let mut gemm = Node { outputs: vec![Some(product)], ..node };
        gemm.inputs.truncate(2);
        gemm.take("beta");
        model.graph.add_node(gemm).unwrap();
        let sum = Node::new("Add", vec![Some(product), Some(bias)], vec![output]);
        model.graph.add_node(sum).unwrap();
    }
}

fn nodes_of(model: &Model, op: &str) -> Vec<(NodeId, Node)> {
    let nodes = model.graph.nodes().filter(|(_, node)| node.op == op);
    nodes.map(|(id, node)| (id, node.clone())).collect()
}
