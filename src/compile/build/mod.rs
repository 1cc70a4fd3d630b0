//! The builder that every stage emits nodes through.
//!
//! Each emitted node is typed by inference as it is emitted, equal nodes and equal constants are
//! emitted once, and shapes are written as constants where they are known and computed from the
//! shape of a value where they are not. An error of emission is kept, work goes on with values of
//! unknown shape, and [`Emit::finish`] gives the first error.

mod expr;
mod known;
mod nested;

use std::cell::RefCell;
use std::hash::BuildHasher;

use bytes::Bytes;
use foldhash::fast::FixedState;
use rten_shape_inference::SymbolGen;

use super::infer;
use crate::error::{Error, Result};
use crate::graph::{
    Alike, Attr, DataType, Dim, Facts, Graph, Map, Node, NodeId, Tensor, Value, ValueId, fixed,
};

pub use expr::Expr;

/// Emits nodes into a graph.
pub struct Emit(RefCell<Builder>);

struct Builder {
    graph: Graph,
    opset: i64,
    prefix: String,
    scope: String,
    constants: Map<(DataType, Vec<i64>, Bytes), ValueId>,
    emitted: Alike,
    extents: Map<Dim, (ValueId, usize)>,
    /// How often each name was wished for, by its hash, which is the same in every run.
    counters: Map<u64, u32>,
    symbols: SymbolGen,
    error: Option<Error>,
}

impl Emit {
    /// A builder that adds to `graph`, whose values are typed, in operator set `opset`.
    pub fn new(graph: Graph, opset: i64) -> Self {
        let symbols = infer::symbols(&graph);
        let mut extents = Map::default();
        let inputs = graph.inputs.iter().map(|&id| (id, graph.value(id)));
        for (id, value) in inputs.chain(graph.values()) {
            note_extents(&mut extents, id, &value.facts);
        }
        Self(RefCell::new(Builder {
            graph,
            opset,
            prefix: "slp".to_owned(),
            scope: String::new(),
            constants: Map::default(),
            emitted: Alike::default(),
            extents,
            counters: Map::default(),
            symbols,
            error: None,
        }))
    }

    /// The finished graph.
    ///
    /// # Errors
    /// The first error that emission met.
    pub fn finish(self) -> Result<Graph> {
        let builder = self.0.into_inner();
        match builder.error {
            Some(error) => Err(error),
            None => Ok(builder.graph),
        }
    }

    /// The first error so far.
    ///
    /// # Errors
    /// That error.
    pub fn check(&self) -> Result<()> {
        self.0.borrow().error.clone().map_or(Ok(()), Err)
    }

    /// Keeps `error` unless there was one before.
    pub fn fail(&self, error: Error) {
        self.0.borrow_mut().error.get_or_insert(error);
    }

    /// Names what is emitted next after `scope`: `slp/scope/Operator`.
    pub fn scope(&self, scope: &str) {
        self.0.borrow_mut().scope = scope.trim_start_matches('/').to_owned();
    }

    /// Names what is emitted next after a node of the model.
    pub fn scope_of(&self, node: NodeId) {
        let Builder { graph, scope, .. } = &mut *self.0.borrow_mut();
        scope.clear();
        scope.push_str(graph.label(node).trim_start_matches('/'));
    }

    /// Reads the graph.
    pub fn graph<T>(&self, read: impl FnOnce(&Graph) -> T) -> T {
        read(&self.0.borrow().graph)
    }

    /// Changes the graph.
    pub fn graph_mut<T>(&self, change: impl FnOnce(&mut Graph) -> T) -> T {
        change(&mut self.0.borrow_mut().graph)
    }

    /// The operator set of the graph.
    pub fn opset(&self) -> i64 {
        self.0.borrow().opset
    }

    /// A value of the graph as an expression.
    pub fn expr(&self, id: ValueId) -> Expr<'_> {
        Expr { e: self, id }
    }

    /// Adds a graph input.
    pub fn input(&self, value: Value) -> Expr<'_> {
        let mut builder = self.0.borrow_mut();
        let builder = &mut *builder;
        let name = builder.graph.free_name(&value.name);
        let id = builder.graph.add_value(Value { name, ..value }).expect("the name is free");
        builder.graph.inputs.push(id);
        note_extents(&mut builder.extents, id, &builder.graph.value(id).facts);
        Expr { e: self, id }
    }

    /// Adds a graph output called `name` with this value. It is a copy, since some runtimes refuse
    /// outputs that are inputs or other outputs too.
    pub fn output(&self, name: &str, value: Expr<'_>) {
        let mut builder = self.0.borrow_mut();
        let graph = &mut builder.graph;
        let source = graph.value(value.id);
        let copy =
            Value { tensor: None, carry: Box::default(), name: name.to_owned(), ..source.clone() };
        let added = graph.add_value(copy).and_then(|id| {
            graph.outputs.push(id);
            let node = Node::new("Identity", vec![Some(value.id)], vec![Some(id)]);
            graph.add_node(Node { name: name.to_owned(), ..node })
        });
        if let Err(error) = added {
            let error = Error { kind: crate::error::Kind::Request, ..error };
            builder.error.get_or_insert(error.help("choose another alias: --layer ALIAS=WHAT"));
        }
    }

    /// A constant tensor, emitted once for equal contents.
    pub fn constant(&self, tensor: Tensor) -> Expr<'_> {
        let mut builder = self.0.borrow_mut();
        let key = (tensor.dtype, tensor.dims.clone(), tensor.bytes().clone());
        if let Some(&id) = builder.constants.get(&key) {
            return Expr { e: self, id };
        }
        let wish = format!("{}/constant", builder.prefix);
        let name = builder.name_for(&wish);
        let value = Value {
            dtype: Some(tensor.dtype),
            facts: infer::of_tensor(&tensor).into(),
            tensor: Some(tensor.into()),
            ..Value::new(name)
        };
        let id = builder.graph.add_value(value).expect("the name is free");
        builder.constants.insert(key, id);
        Expr { e: self, id }
    }

    /// A float constant of rank 0.
    pub fn float(&self, dtype: DataType, value: f64) -> Expr<'_> {
        self.floats(dtype, vec![], &[value])
    }

    /// A constant of floats; of float32, and an error kept, where the type is no float.
    pub fn floats(&self, dtype: DataType, dims: Vec<i64>, values: &[f64]) -> Expr<'_> {
        self.constant(Tensor::floats(self.float_type(dtype), dims, values))
    }

    /// The type itself; float32, and an error kept, where it is no float.
    fn float_type(&self, dtype: DataType) -> DataType {
        if dtype.is_float() {
            return dtype;
        }
        self.fail(Error::internal(format!("a float constant of type {}", dtype.name())));
        DataType::F32
    }

    /// An int64 vector.
    pub fn ints(&self, values: &[i64]) -> Expr<'_> {
        self.constant(Tensor::ints(values))
    }

    /// An int64 scalar.
    pub fn int(&self, value: i64) -> Expr<'_> {
        self.constant(Tensor::int(value))
    }

    /// Emits a node with one output, unless it is a constant known beforehand.
    pub fn op(&self, op: &str, inputs: &[Expr<'_>], attributes: &[(&str, Attr)]) -> Expr<'_> {
        if let Some(known) = self.computed(op, inputs, attributes) {
            return known;
        }
        let inputs: Vec<_> = inputs.iter().map(|x| Some(x.id)).collect();
        self.node(op, &inputs, attributes, 1)[0]
    }

    /// Emits a node with `outputs` outputs; a node equal to an earlier one is not emitted again.
    pub fn node(
        &self,
        op: &str,
        inputs: &[Option<ValueId>],
        attributes: &[(&str, Attr)],
        outputs: usize,
    ) -> Vec<Expr<'_>> {
        let mut node = Node::new(op, inputs.to_vec(), vec![None; outputs]);
        for (name, value) in attributes {
            node.set(name, value.clone());
        }
        let builder = &mut *self.0.borrow_mut();
        let known = builder.emitted.find(&builder.graph, &node);
        let ids = match known {
            Some(id) => builder.graph.node(id).outputs.iter().flatten().copied().collect(),
            None => builder.add(node),
        };
        ids.into_iter().map(|id| Expr { e: self, id }).collect()
    }

    /// The product of dimensions.
    pub fn product(&self, dims: &[Dim]) -> Dim {
        let known: Option<i64> =
            dims.iter().filter_map(fixed).try_fold(1i64, |product, n| product.checked_mul(n));
        let Some(known) = known.and_then(|n| i32::try_from(n).ok()) else {
            self.fail(Error::request(format!("a tensor of {dims:?} elements is too large")));
            return Dim::Value(0);
        };
        let symbols = dims.iter().filter(|d| fixed(d).is_none()).cloned();
        symbols.fold(Dim::Value(known), |product, d| product * d).simplify()
    }

    /// The result of `work`. Nothing emitted later reads an extent off what `work` emits, and so what
    /// depends on that is only what takes part of its values.
    pub fn apart<T>(&self, work: impl FnOnce() -> T) -> T {
        let extents = self.0.borrow().extents.clone();
        let result = work();
        self.0.borrow_mut().extents = extents;
        result
    }

    /// The dimensions as an int64 vector: a constant where all are known.
    pub fn shape(&self, dims: &[Dim]) -> Expr<'_> {
        if let Some(known) = dims.iter().map(fixed).collect::<Option<Vec<_>>>() {
            return self.ints(&known);
        }
        let parts: Vec<_> = dims.iter().map(|d| self.extent(d)).collect();
        if parts.len() == 1 { parts[0] } else { self.op("Concat", &parts, &[("axis", 0.into())]) }
    }

    /// `0, 1, …` up to the dimension, as an int64 vector.
    pub fn range(&self, count: &Dim) -> Expr<'_> {
        let limit = match fixed(count) {
            Some(n) => self.int(n),
            None => self.op("Squeeze", &[self.extent(count), self.ints(&[0])], &[]),
        };
        let count = std::slice::from_ref(count);
        self.op("Range", &[self.int(0), limit, self.int(1)], &[]).assume(count)
    }

    /// One dimension as an int64 vector of length 1.
    pub fn extent(&self, dim: &Dim) -> Expr<'_> {
        if let Some(n) = fixed(dim) {
            return self.ints(&[n]);
        }
        let source = self.0.borrow().extents.get(dim).copied();
        if let Some((value, axis)) = source {
            let shape = self.op("Shape", &[self.expr(value)], &[]);
            return self.op("Gather", &[shape, self.ints(&[axis as i64])], &[("axis", 0.into())]);
        }
        let two = |op: &str, a: &Dim, b: &Dim| self.op(op, &[self.extent(a), self.extent(b)], &[]);
        match dim {
            Dim::Add(a, b) => two("Add", a, b),
            Dim::Sub(a, b) => two("Sub", a, b),
            Dim::Mul(a, b) => two("Mul", a, b),
            Dim::Div(a, b) => two("Div", a, b),
            Dim::Max(a, b) | Dim::Broadcast(a, b) => two("Max", a, b),
            Dim::Min(a, b) => two("Min", a, b),
            Dim::DivCeil(a, b) => {
                let divisor = self.extent(b);
                (self.extent(a) + divisor - self.ints(&[1])) / divisor
            }
            Dim::Neg(a) => self.op("Neg", &[self.extent(a)], &[]),
            Dim::Value(_) | Dim::Var(_) => {
                self.fail(
                    Error::unsupported(format!("no value has the dimension {dim} to take it from"))
                        .help("fix that dimension in the model"),
                );
                self.ints(&[0])
            }
        }
    }
}

impl Builder {
    /// `wish`, from the second time on numbered.
    fn name_for(&mut self, wish: &str) -> String {
        let count = self.counters.entry(FixedState::default().hash_one(wish)).or_insert(0);
        *count += 1;
        match *count {
            1 => self.graph.free_name(wish),
            count => self.graph.free_name(&format!("{wish}.{count}")),
        }
    }

    /// A wish for a name in the present scope.
    fn scoped(&self, name: &str) -> String {
        if self.scope.is_empty() {
            format!("{}/{name}", self.prefix)
        } else {
            format!("{}/{}/{name}", self.prefix, self.scope)
        }
    }

    /// Adds a node, as many outputs named and typed as it has places for.
    fn add(&mut self, mut node: Node) -> Vec<ValueId> {
        let wish = self.scoped(&node.op);
        let name = self.name_for(&wish);
        let ids: Vec<_> = (0..node.outputs.len())
            .map(|index| {
                let wish = if index == 0 { name.clone() } else { format!("{name}:{index}") };
                let wish = self.graph.free_name(&wish);
                self.graph.add_value(Value::new(wish)).expect("the name is free")
            })
            .collect();
        node.outputs = ids.iter().copied().map(Some).collect();
        node.name = name;
        match infer::node(&self.graph, &node, self.opset, &mut self.symbols) {
            Ok(inferred) => {
                for (&id, inferred) in ids.iter().zip(inferred) {
                    note_extents(&mut self.extents, id, &inferred.facts);
                    let facts = infer::shared(&self.graph, &node, inferred.facts);
                    let value = self.graph.value_mut(id);
                    value.dtype = inferred.dtype;
                    value.facts = facts;
                }
            }
            Err(error) => {
                // The rules are tested, so a model that contradicts itself is the likelier cause.
                let what = format!("what follows from the model cannot be: {}", error.what);
                let error = Error::unsupported(what).node(&node.name, &node.op).help(
                    "check that the model runs as it is; if it does, this is a defect of slpc: please \
                     report it",
                );
                self.error.get_or_insert(error);
            }
        }
        match self.graph.add_node(node) {
            Ok(id) => self.emitted.add(&self.graph, id),
            Err(error) => drop(self.error.get_or_insert(error)),
        }
        ids
    }
}

fn note_extents(extents: &mut Map<Dim, (ValueId, usize)>, id: ValueId, facts: &Facts) {
    for (axis, dim) in facts.shape().into_iter().flatten().enumerate() {
        if fixed(&dim).is_none() {
            extents.entry(dim).or_insert((id, axis));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn float_constants_of_other_types_are_an_error_that_is_kept() {
        let dims = [Dim::Value(2)];
        type Make = for<'e> fn(&'e Emit, &[Dim]) -> Expr<'e>;
        let makes: [Make; 3] = [
            |e, _| e.float(DataType::I64, 1.0),
            |e, dims| Expr::ones(e, DataType::Bool, dims),
            |e, dims| Expr::zeros(e, DataType::I32, dims),
        ];
        for make in makes {
            let e = Emit::new(Graph::new("g"), 18);
            make(&e, &dims);
            let error = e.check().unwrap_err().to_string();
            assert!(error.contains("a float constant of type"), "{error}");
        }
    }
}
