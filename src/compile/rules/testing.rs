//! Cases of one operator, a line each: what its rule says against central differences, in tract or,
//! where it lacks the operator, in Python.
//!
//! `case("Conv").input("x", &[1, 2, 5]).param("w", &[3, 2, 3]).check()` builds the one-node model,
//! and measures it. [`Case::snapshot`] also keeps the ONNX text of the rule's linear steps.

mod bodies;
mod computed;
mod display;
mod jacobian;
mod keep;
mod lowering;
mod outside;
mod shapes;
mod symbolic;
mod tally;
mod values;

use crate::compile::{Options, transform};
use crate::graph::{Attr, DataType, Dim, Graph, Model, Node, STANDARD, Tensor, Value, ValueId};
pub(in crate::compile) use outside::in_onnxruntime;
use values::{grid, scatter};

/// One application of an operator.
pub struct Case {
    op: String,
    opset: i64,
    dtype: DataType,
    slots: Vec<Slot>,
    attributes: Vec<(String, Attr)>,
    /// The positions of the outputs that are there.
    outputs: Vec<usize>,
    engine: Engine,
    /// The slots from here on are no inputs of the node; its subgraphs read them.
    around: Option<usize>,
}

/// What runs the models of a case.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Engine {
    Tract,
    Reference,
    Runtime,
}

/// What stands at one input of the operator.
enum Slot {
    Skipped,
    Constant(String, Tensor),
    Computed(String, Tensor),
    Param(Floats),
    Input(Floats, Vec<Dim>),
}

struct Floats {
    name: String,
    dims: Vec<i64>,
    low: f64,
    high: f64,
    values: Option<Vec<f64>>,
}

/// Which inputs are inputs of the model; the others are initializers.
#[derive(Clone, Copy, PartialEq)]
enum Changing {
    /// This one.
    One(usize),
    /// All, each an input of its own.
    Each,
    /// All, cut out of one flat input.
    Flat,
}

/// One way to pad every axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Padding {
    /// So much before and behind.
    Of(i64, i64),
    /// The value of `auto_pad`.
    Auto(&'static str),
}

/// Every form of padding, with one element at most.
pub const PADDINGS: [Padding; 7] = [
    Padding::Of(0, 0),
    Padding::Of(1, 1),
    Padding::Of(0, 1),
    Padding::Of(1, 0),
    Padding::Auto("SAME_UPPER"),
    Padding::Auto("SAME_LOWER"),
    Padding::Auto("VALID"),
];

/// Whether the environment variable `SLPC_LONG` asks for the larger grids.
pub fn long() -> bool {
    std::env::var_os("SLPC_LONG").is_some()
}

/// The name of the flat input of [`Changing::Flat`].
const FLAT: &str = "flat";

/// A case of `op`, outside the standard `domain.op`, in double precision and the working operator
/// set.
pub fn case(op: &str) -> Case {
    Case {
        op: op.to_owned(),
        opset: crate::compile::normalise::WORKING_OPSET,
        dtype: DataType::F64,
        slots: Vec::new(),
        attributes: Vec::new(),
        outputs: vec![0],
        around: None,
        engine: Engine::Tract,
    }
}

impl Case {
    /// A float input that changes. All values of all inputs differ; they lie in (−2, 2), by 0.05 or
    /// more away from multiples of one half.
    pub fn input(self, name: &str, dims: &[i64]) -> Self {
        let fixed = dims.iter().map(|&d| Dim::Value(d as i32)).collect();
        self.slot(Slot::Input(Floats::new(name, dims, -2.0, 2.0), fixed))
    }

    /// A float initializer of values in (−1.5, 1.5).
    pub fn param(self, name: &str, dims: &[i64]) -> Self {
        self.slot(Slot::Param(Floats::new(name, dims, -1.5, 1.5)))
    }

    /// Other bounds for the values of the float input or initializer added last.
    pub fn within(self, low: f64, high: f64) -> Self {
        self.last_floats(|floats| (floats.low, floats.high) = (low, high))
    }

    /// Positive values for the float input or initializer added last.
    pub fn positive(self) -> Self {
        self.within(0.2, 2.2)
    }

    /// The values of the float input or initializer added last.
    pub fn values(self, values: &[f64]) -> Self {
        self.last_floats(|floats| floats.values = Some(values.to_vec()))
    }

    /// Symbols in place of the declared dimensions of the input added last, which runs with its own;
    /// an empty name leaves the number.
    pub fn dynamic(mut self, names: &[&str]) -> Self {
        let Some(Slot::Input(_, dims)) = self.slots.last_mut() else { panic!("no input to name") };
        for (dim, name) in dims.iter_mut().zip(names).filter(|(_, name)| !name.is_empty()) {
            *dim = Dim::pos_var(name);
        }
        self
    }

    /// A constant tensor at the next input.
    pub fn constant(self, name: &str, tensor: Tensor) -> Self {
        self.slot(Slot::Constant(name.to_owned(), tensor))
    }

    /// A constant int64 vector at the next input.
    pub fn ints_input(self, name: &str, values: &[i64]) -> Self {
        self.constant(name, Tensor::ints(values))
    }

    /// A constant int64 tensor at the next input.
    pub fn ints_shaped(self, name: &str, dims: &[i64], values: &[i64]) -> Self {
        self.constant(name, Tensor { dims: dims.to_vec(), ..Tensor::ints(values) })
    }

    /// A constant int32 tensor at the next input.
    pub fn ints32(self, name: &str, dims: &[i64], values: &[i32]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(name, Tensor::new(DataType::I32, dims.to_vec(), bytes))
    }

    /// A constant Boolean tensor at the next input.
    pub fn bools(self, name: &str, dims: &[i64], values: &[bool]) -> Self {
        let bytes: Vec<u8> = values.iter().map(|&v| v.into()).collect();
        self.constant(name, Tensor::new(DataType::Bool, dims.to_vec(), bytes))
    }

    /// Leaves the next input out.
    pub fn skip(self) -> Self {
        self.slot(Slot::Skipped)
    }

    /// An integer attribute.
    pub fn int(self, name: &str, value: i64) -> Self {
        self.attribute(name, value)
    }

    /// A float attribute.
    pub fn float(self, name: &str, value: f32) -> Self {
        self.attribute(name, value)
    }

    /// The attributes that ask for `padding` along each of `rank` axes.
    pub fn padding(self, rank: usize, padding: Padding) -> Self {
        match padding {
            Padding::Auto(mode) => self.text("auto_pad", mode),
            Padding::Of(0, 0) => self,
            Padding::Of(begin, end) => {
                self.ints("pads", &[vec![begin; rank], vec![end; rank]].concat())
            }
        }
    }

    /// A text attribute.
    pub fn text(self, name: &str, value: &str) -> Self {
        self.attribute(name, value)
    }

    /// A list of integers as an attribute.
    pub fn ints(self, name: &str, values: &[i64]) -> Self {
        self.attribute(name, values.to_vec())
    }

    /// A list of floats as an attribute.
    pub fn numbers(self, name: &str, values: &[f32]) -> Self {
        self.attribute(name, Attr::Floats(values.to_vec()))
    }

    /// The number of outputs, 1 unless said.
    pub fn outputs(mut self, count: usize) -> Self {
        self.outputs = (0..count).collect();
        self
    }

    /// The outputs that are there by position; those between are left out.
    pub fn outputs_at(mut self, positions: &[usize]) -> Self {
        self.outputs = positions.to_vec();
        self
    }

    /// Single precision, for what tract only has in that.
    pub fn f32(mut self) -> Self {
        self.dtype = DataType::F32;
        self
    }

    /// Another operator.
    pub fn of(self, op: &str) -> Self {
        Self { op: op.to_owned(), ..self }
    }

    /// Inputs of another type.
    pub fn of_type(mut self, dtype: DataType) -> Self {
        self.dtype = dtype;
        self
    }

    /// Another operator set.
    pub fn opset(mut self, opset: i64) -> Self {
        self.opset = opset;
        self
    }

    /// Asserts that the model is refused with an error that contains `text` and names the node.
    #[track_caller]
    pub fn refused(self, text: &str) {
        for index in self.inputs() {
            let options = Options { layers: vec![layer("y0")], ..jacobian::options() };
            let error = match transform(self.model(Changing::One(index)), &options) {
                Ok(_) => panic!("{self} was not refused"),
                Err(error) => error,
            };
            assert!(error.to_string().contains(text), "{self}: {error}");
            assert_eq!(error.place.operator.as_deref(), Some(self.op.as_str()), "{self}: {error}");
            self.note("refused");
        }
    }

    fn slot(mut self, slot: Slot) -> Self {
        self.slots.push(slot);
        self
    }

    /// An attribute of any kind.
    pub fn attribute(mut self, name: &str, value: impl Into<Attr>) -> Self {
        self.attributes.push((name.to_owned(), value.into()));
        self
    }

    fn last_floats(mut self, change: impl FnOnce(&mut Floats)) -> Self {
        match self.slots.last_mut() {
            Some(Slot::Input(floats, _) | Slot::Param(floats)) => change(floats),
            _ => panic!("the last input is no float tensor"),
        }
        self
    }

    /// The positions of the inputs that change.
    fn inputs(&self) -> Vec<usize> {
        let changes = |&i: &usize| matches!(self.slots[i], Slot::Input(..));
        (0..self.slots.len()).filter(changes).collect()
    }

    /// The float tensor at a position.
    fn floats(&self, index: usize) -> &Floats {
        match &self.slots[index] {
            Slot::Input(floats, _) | Slot::Param(floats) => floats,
            _ => panic!("input {index} is no float tensor"),
        }
    }

    /// The values of the float tensor at a position; those of inputs are one grid, shuffled.
    fn values_of(&self, index: usize) -> Vec<f64> {
        let floats = self.floats(index);
        if let Some(values) = &floats.values {
            return values.clone();
        }
        let scaled = |v: f64| floats.low + (v + 2.0) / 4.0 * (floats.high - floats.low);
        if matches!(self.slots[index], Slot::Param(_)) {
            return (0..floats.len()).map(|i| scaled(scatter(31 * index + i))).collect();
        }
        let lengths: Vec<usize> = self.inputs().iter().map(|&i| self.floats(i).len()).collect();
        let before = self.inputs().iter().take_while(|&&i| i != index).count();
        let start: usize = lengths[..before].iter().sum();
        let total = lengths.iter().sum();
        (start..start + floats.len()).map(|i| scaled(grid(i, total))).collect()
    }

    /// The model whose inputs are those of `changing`, its outputs `y0`, `y1`, ….
    fn model(&self, changing: Changing) -> Model {
        let mut graph = Graph::new(&self.op);
        let flat = (changing == Changing::Flat).then(|| {
            let total: usize = self.inputs().iter().map(|&i| self.floats(i).len()).sum();
            let dims = vec![Dim::Value(total as i32)];
            input(&mut graph, Value::typed(FLAT, self.dtype, dims))
        });
        let mut start = 0;
        let mut inputs = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            inputs.push(match (slot, flat) {
                (Slot::Skipped, _) => None,
                (Slot::Constant(name, t), _) => Some(constant(&mut graph, name, t.clone())),
                (Slot::Computed(name, t), _) => Some(computed::value(&mut graph, name, t)),
                (Slot::Input(floats, _), Some(flat)) => {
                    let cut = [start, start + floats.len() as i64];
                    start = cut[1];
                    Some(part(&mut graph, flat, cut, floats))
                }
                (Slot::Input(floats, dims), None)
                    if changing == Changing::Each || changing == Changing::One(index) =>
                {
                    let value = Value::typed(&floats.name, self.dtype, dims.clone());
                    Some(input(&mut graph, value))
                }
                (Slot::Input(floats, _) | Slot::Param(floats), _) => {
                    let dims = floats.dims.clone();
                    let tensor = Tensor::floats(self.dtype, dims, &self.values_of(index));
                    Some(constant(&mut graph, &floats.name, tensor))
                }
            });
        }
        let mut outputs = vec![None; self.outputs.iter().max().map_or(0, |last| last + 1)];
        for &i in &self.outputs {
            outputs[i] = Some(value(&mut graph, Value::new(format!("y{i}"))));
        }
        graph.outputs = outputs.iter().flatten().copied().collect();
        let (domain, op) = self.op.rsplit_once('.').unwrap_or(("", &self.op));
        let captures = inputs.split_off(self.around.unwrap_or(inputs.len()));
        let mut node = Node::new(op, inputs, outputs);
        node.captures = captures.into_iter().flatten().collect();
        node.domain = domain.to_owned();
        for (name, value) in &self.attributes {
            node.set(name, value.clone());
        }
        graph.add_node(node).expect("the outputs are new");
        let opsets = [(domain.to_owned(), 1), (STANDARD.to_owned(), self.opset)].into();
        Model { ir_version: 8, opsets, graph, ..Model::default() }
    }
}

impl Floats {
    fn new(name: &str, dims: &[i64], low: f64, high: f64) -> Self {
        Self { name: name.to_owned(), dims: dims.to_vec(), low, high, values: None }
    }

    fn len(&self) -> usize {
        self.dims.iter().product::<i64>() as usize
    }
}

fn value(graph: &mut Graph, value: Value) -> ValueId {
    graph.add_value(value).expect("the names of a case differ")
}

fn input(graph: &mut Graph, typed: Value) -> ValueId {
    let id = value(graph, typed);
    graph.inputs.push(id);
    id
}

fn constant(graph: &mut Graph, name: &str, tensor: Tensor) -> ValueId {
    value(graph, Value { tensor: Some(tensor.into()), ..Value::new(name) })
}

/// `flat[start..end]` in the shape of `floats`.
fn part(graph: &mut Graph, flat: ValueId, cut: [i64; 2], floats: &Floats) -> ValueId {
    let name = &floats.name;
    let mut int = |what, values: &[i64]| {
        Some(constant(graph, &format!("{name}_{what}"), Tensor::ints(values)))
    };
    let (start, end) = (int("start", &cut[..1]), int("end", &cut[1..]));
    let shape = int("shape", &floats.dims);
    let cut = Some(value(graph, Value::new(format!("{name}_flat"))));
    let whole = value(graph, Value::new(name));
    let slice = Node::new("Slice", vec![Some(flat), start, end], vec![cut]);
    graph.add_node(slice).expect("the outputs are new");
    let mut reshape = Node::new("Reshape", vec![cut, shape], vec![Some(whole)]);
    if floats.len() == 0 {
        reshape.set("allowzero", 1);
    }
    graph.add_node(reshape).expect("the outputs are new");
    whole
}

fn layer(output: &str) -> crate::compile::LayerRequest {
    crate::compile::LayerRequest { alias: Some(output.to_owned()), what: output.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn cases_take_every_kind_of_input_and_attribute() {
        case("Clip")
            .input("x", &[7])
            .skip()
            .constant("max", Tensor::float(DataType::F64, 0.7))
            .check();
        case("Where")
            .bools("c", &[3], &[true, false, true])
            .input("a", &[3])
            .param("b", &[3])
            .check();
        case("Gather")
            .input("x", &[3, 2])
            .ints_shaped("i", &[2, 1], &[2, -1])
            .int("axis", 0)
            .check();
        case("Slice").input("x", &[7]).ints_input("from", &[1]).ints_input("to", &[5]).check();
        case("Log").input("x", &[5]).positive().check();
        case("LeakyRelu").input("x", &[9]).float("alpha", 0.2).f32().check();
        case("Split").input("x", &[4]).outputs(2).opset(13).check();
        case("Relu").input("x", &[2, 3]).dynamic(&["n", ""]).check();
        let conv = case("Conv").input("x", &[1, 1, 4]).param("w", &[1, 1, 2]);
        conv.text("auto_pad", "NOTSET").ints("strides", &[2]).check();
        case("Mul").input("a", &[2, 2]).input("b", &[2]).check();
    }

    #[test]
    #[should_panic(expected = "Relu")]
    fn a_wrong_jacobian_is_found() {
        case("Relu").input("x", &[2]).values(&[1.0, -1.0]).jacobian(&[&[1.0, 0.0], &[0.0, 1.0]]);
    }

    #[test]
    #[should_panic(expected = "d y0/d x reverse: weights: entry [0, 0] is 0")]
    fn a_difference_across_a_kink_is_found() {
        case("Relu").input("x", &[2]).values(&[0.0, -1.0]).check();
    }

    #[test]
    fn refusals_name_the_node() {
        let case = case("Dropout").input("x", &[2, 2]).skip().bools("training", &[], &[true]);
        case.refused("draws random numbers");
    }

    #[test]
    fn values_differ_and_keep_away_from_halves() {
        for total in [1, 2, 5, 36, 97, 360] {
            let mut values: Vec<f64> = (0..total).map(|i| grid(i, total)).collect();
            values.sort_by(f64::total_cmp);
            assert!(values.windows(2).all(|pair| pair[1] - pair[0] > 2e-3));
            assert!(values.iter().all(|v| (2.0 * v - (2.0 * v).round()).abs() > 0.09));
        }
    }

    #[test]
    fn every_rule_has_a_snapshot_and_every_snapshot_a_rule() {
        let files = std::fs::read_dir(lowering::FOLDER).expect("the folder is there");
        let names =
            files.map(|file| file.expect("a file").file_name().into_string().expect("UTF-8"));
        let of = |name: String| name.split('-').next().map(str::to_owned);
        let shown: BTreeSet<String> =
            names.filter(|n| n.ends_with(".snap")).filter_map(of).collect();
        let entries = crate::compile::rules::table().filter(|entry| entry.rule.is_some());
        let wanted: BTreeSet<String> = entries.map(|entry| entry.operator()).collect();
        let missing: Vec<_> = wanted.symmetric_difference(&shown).collect();
        assert!(missing.is_empty(), "without a snapshot, or without a rule: {missing:?}");
    }
}
