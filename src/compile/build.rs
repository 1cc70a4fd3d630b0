//! The builder that every stage emits nodes through.
//!
//! Each emitted node is typed by inference as it is emitted, equal nodes and equal constants are
//! emitted once, and shapes are written as constants where they are known and computed from the
//! shape of a value where they are not. An error of emission is kept, work goes on with values of
//! unknown shape, and [`Emit::finish`] gives the first error.

use std::cell::RefCell;
use std::collections::HashMap;

use bytes::Bytes;
use rten_shape_inference::SymbolGen;

use super::infer;
use crate::error::{Error, Result};
use crate::graph::{Attr, DataType, Dim, Facts, Graph, Node, Tensor, Value, ValueId, fixed};

/// Emits nodes into a graph.
pub struct Emit(RefCell<Builder>);

struct Builder {
    graph: Graph,
    opset: i64,
    scope: String,
    constants: HashMap<(DataType, Vec<i64>, Bytes), ValueId>,
    emitted: HashMap<String, Vec<ValueId>>,
    extents: HashMap<Dim, (ValueId, usize)>,
    counters: HashMap<String, usize>,
    symbols: SymbolGen,
    error: Option<Error>,
}

/// A value of the graph being built, with arithmetic.
#[derive(Clone, Copy)]
pub struct Expr<'e> {
    /// Where the value is built.
    pub e: &'e Emit,
    /// The value.
    pub id: ValueId,
}

impl Emit {
    /// A builder that adds to `graph`, whose values are typed, in operator set `opset`.
    pub fn new(graph: Graph, opset: i64) -> Self {
        let symbols = infer::symbols(&graph);
        let mut extents = HashMap::new();
        let inputs = graph.inputs.iter().map(|&id| (id, graph.value(id)));
        for (id, value) in inputs.chain(graph.values()) {
            note_extents(&mut extents, id, &value.facts);
        }
        Self(RefCell::new(Builder {
            graph,
            opset,
            scope: String::new(),
            constants: HashMap::new(),
            emitted: HashMap::new(),
            extents,
            counters: HashMap::new(),
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
            Value { tensor: None, carry: Bytes::new(), name: name.to_owned(), ..source.clone() };
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
        let name = builder.name_for("slp/constant");
        let value = Value {
            dtype: Some(tensor.dtype),
            facts: infer::of_tensor(&tensor),
            tensor: Some(tensor),
            ..Value::new(name)
        };
        let id = builder.graph.add_value(value).expect("the name is free");
        builder.constants.insert(key, id);
        Expr { e: self, id }
    }

    /// A float constant of rank 0.
    pub fn float(&self, dtype: DataType, value: f64) -> Expr<'_> {
        if !dtype.is_float() {
            self.fail(Error::internal(format!("a float constant of type {}", dtype.name())));
            return self.constant(Tensor::float(DataType::F32, value));
        }
        self.constant(Tensor::float(dtype, value))
    }

    /// An int64 vector.
    pub fn ints(&self, values: &[i64]) -> Expr<'_> {
        self.constant(Tensor::ints(values))
    }

    /// An int64 scalar.
    pub fn int(&self, value: i64) -> Expr<'_> {
        self.constant(Tensor::int(value))
    }

    /// Emits a node with one output.
    pub fn op(&self, op: &str, inputs: &[Expr<'_>], attributes: &[(&str, Attr)]) -> Expr<'_> {
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
        let key = format!("{op} {inputs:?} {attributes:?} {outputs}");
        let known = self.0.borrow().emitted.get(&key).cloned();
        let ids = known.unwrap_or_else(|| {
            let mut builder = self.0.borrow_mut();
            let ids = builder.emit(op, inputs, attributes, outputs);
            builder.emitted.insert(key, ids.clone());
            ids
        });
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
    fn name_for(&mut self, wish: &str) -> String {
        let count = self.counters.entry(wish.to_owned()).or_insert(0);
        *count += 1;
        let wish = if *count == 1 { wish.to_owned() } else { format!("{wish}.{count}") };
        self.graph.free_name(&wish)
    }

    fn emit(
        &mut self,
        op: &str,
        inputs: &[Option<ValueId>],
        attributes: &[(&str, Attr)],
        outputs: usize,
    ) -> Vec<ValueId> {
        let wish = if self.scope.is_empty() {
            format!("slp/{op}")
        } else {
            format!("slp/{}/{op}", self.scope)
        };
        let name = self.name_for(&wish);
        let ids: Vec<_> = (0..outputs)
            .map(|index| {
                let wish = if index == 0 { name.clone() } else { format!("{name}:{index}") };
                let wish = self.graph.free_name(&wish);
                self.graph.add_value(Value::new(wish)).expect("the name is free")
            })
            .collect();
        let mut node = Node::new(op, inputs.to_vec(), ids.iter().copied().map(Some).collect());
        node.name = name;
        for (name, value) in attributes {
            node.set(name, value.clone());
        }
        match infer::node(&self.graph, &node, self.opset, &mut self.symbols) {
            Ok(inferred) => {
                for (&id, inferred) in ids.iter().zip(inferred) {
                    note_extents(&mut self.extents, id, &inferred.facts);
                    let value = self.graph.value_mut(id);
                    value.dtype = inferred.dtype;
                    value.facts = inferred.facts;
                }
            }
            Err(error) => {
                let error = Error::internal(format!("emitted an impossible node: {}", error.what))
                    .node(&node.name, op);
                self.error.get_or_insert(error);
            }
        }
        if let Err(error) = self.graph.add_node(node) {
            self.error.get_or_insert(error);
        }
        ids
    }
}

fn note_extents(extents: &mut HashMap<Dim, (ValueId, usize)>, id: ValueId, facts: &Facts) {
    for (axis, dim) in facts.shape().into_iter().flatten().enumerate() {
        if fixed(&dim).is_none() {
            extents.entry(dim).or_insert((id, axis));
        }
    }
}

impl<'e> Expr<'e> {
    /// The element type; float32 where it is unknown.
    pub fn dtype(self) -> DataType {
        self.e.graph(|graph| graph.value(self.id).dtype).unwrap_or(DataType::F32)
    }

    /// The dimensions; none, and an error kept, where the rank is unknown.
    pub fn dims(self) -> Vec<Dim> {
        let (dims, name) =
            self.e.graph(|graph| (graph.value(self.id).dims(), graph.value(self.id).name.clone()));
        dims.unwrap_or_else(|| {
            self.e.fail(
                Error::unsupported("the rank of this value cannot be inferred")
                    .value(name)
                    .help("give the model's inputs shapes"),
            );
            Vec::new()
        })
    }

    /// The number of dimensions.
    pub fn rank(self) -> usize {
        self.dims().len()
    }

    /// The elements as integers, where the value is an initializer of integers.
    pub fn as_ints(self) -> Option<Vec<i64>> {
        self.e.graph(|graph| graph.value(self.id).tensor.as_ref().and_then(|t| t.to_ints().ok()))
    }

    /// The elements as floats, where the value is an initializer of floats.
    pub fn as_floats(self) -> Option<Vec<f64>> {
        self.e.graph(|graph| graph.value(self.id).tensor.as_ref().and_then(|t| t.to_floats().ok()))
    }

    /// An operator of one input.
    pub fn unary(self, op: &str) -> Self {
        self.e.op(op, &[self], &[])
    }

    /// An operator of two inputs.
    pub fn binary(self, op: &str, other: Self) -> Self {
        self.e.op(op, &[self, other], &[])
    }

    /// A constant of this value's type.
    pub fn number(self, value: f64) -> Self {
        self.e.float(self.dtype(), value)
    }

    /// The value in type `dtype`.
    pub fn cast(self, dtype: DataType) -> Self {
        if self.dtype() == dtype {
            return self;
        }
        self.e.op("Cast", &[self], &[("to", i64::from(dtype as i32).into())])
    }

    /// The value in the type in which sums of it are accumulated.
    pub fn widen(self) -> Self {
        self.cast(self.dtype().accumulator())
    }

    /// 1 where the Boolean value holds, 0 elsewhere, in type `dtype`.
    pub fn indicator(self, dtype: DataType) -> Self {
        self.cast(dtype)
    }

    /// The elements in row-major order under other dimensions.
    pub fn reshape(self, dims: &[Dim]) -> Self {
        let old = self.dims();
        if old == dims {
            return self;
        }
        // At most one dimension may be left to the runtime (-1); an equal one at the same place
        // can be copied (0). Dimensions that are zero allow neither.
        let empty = dims.iter().chain(&old).any(|d| fixed(d) == Some(0));
        let mut wildcard = false;
        let spec: Option<Vec<i64>> = dims
            .iter()
            .enumerate()
            .map(|(i, d)| match fixed(d) {
                Some(n) => Some(n),
                None if empty => None,
                None if old.get(i) == Some(d) => Some(0),
                None => (!std::mem::replace(&mut wildcard, true)).then_some(-1),
            })
            .collect();
        let (shape, zero) = match spec {
            Some(spec) if !empty => (self.e.ints(&spec), 0),
            _ => (self.e.shape(dims), i64::from(empty)),
        };
        let attributes: &[(&str, Attr)] =
            if zero == 1 { &[("allowzero", Attr::Int(1))] } else { &[] };
        let result = self.e.op("Reshape", &[self, shape], attributes);
        result.assume(dims)
    }

    /// Notes dimensions that are known to hold but were not inferred.
    pub fn assume(self, dims: &[Dim]) -> Self {
        self.e.graph_mut(|graph| {
            let value = graph.value_mut(self.id);
            if value.dims().is_none_or(|old| old != dims) {
                value.facts = Facts::from_shape(dims.to_vec());
            }
        });
        self
    }

    /// The value repeated along axes of size 1 to the dimensions `dims`.
    pub fn expand(self, dims: &[Dim]) -> Self {
        let old = self.dims();
        if old == dims {
            return self;
        }
        // Expand broadcasts both ways, so an axis that stays can be asked for with size 1.
        let new = dims.len().saturating_sub(old.len());
        let stays = |i: usize| i.checked_sub(new).is_some_and(|i| old[i] == dims[i + new]);
        let asked: Vec<Dim> = dims
            .iter()
            .enumerate()
            .map(|(i, d)| if stays(i) { Dim::Value(1) } else { d.clone() })
            .collect();
        self.e.op("Expand", &[self, self.e.shape(&asked)], &[]).assume(dims)
    }

    /// The axes in another order.
    pub fn transpose(self, perm: &[usize]) -> Self {
        if perm.iter().enumerate().all(|(i, &p)| i == p) {
            return self;
        }
        let perm: Vec<i64> = perm.iter().map(|&p| p as i64).collect();
        self.e.op("Transpose", &[self], &[("perm", perm.into())])
    }

    /// Axes of size 1 inserted at `axes` of the result.
    pub fn unsqueeze(self, axes: &[i64]) -> Self {
        self.e.op("Unsqueeze", &[self, self.e.ints(axes)], &[])
    }

    /// A reduction over `axes`, which stay with size 1 if `keep`.
    pub fn reduce(self, op: &str, axes: &[usize], keep: bool) -> Self {
        let axes: Vec<i64> = axes.iter().map(|&a| a as i64).collect();
        let keep = i64::from(keep).into();
        self.e.op(op, &[self, self.e.ints(&axes)], &[("keepdims", keep)])
    }

    /// Elements by index along an axis.
    pub fn gather(self, indices: Self, axis: usize) -> Self {
        self.e.op("Gather", &[self, indices], &[("axis", (axis as i64).into())])
    }

    /// `start..end` along an axis.
    pub fn slice(self, axis: usize, start: &Dim, end: &Dim) -> Self {
        if fixed(start) == Some(0) && self.dims().get(axis) == Some(end) {
            return self;
        }
        let (start, end) = (self.e.extent(start), self.e.extent(end));
        self.e.op("Slice", &[self, start, end, self.e.ints(&[axis as i64])], &[])
    }

    /// Values one after another along an axis.
    pub fn concat(parts: &[Self], axis: usize) -> Self {
        match parts {
            [one] => *one,
            _ => parts[0].e.op("Concat", parts, &[("axis", (axis as i64).into())]),
        }
    }

    /// Zeros of the given type and dimensions.
    pub fn zeros(e: &'e Emit, dtype: DataType, dims: &[Dim]) -> Self {
        Self::filled(e, dtype, 0.0, dims)
    }

    /// One number at every place of the given dimensions.
    pub fn filled(e: &'e Emit, dtype: DataType, number: f64, dims: &[Dim]) -> Self {
        let number = Tensor::floats(dtype, vec![1], &[number]);
        e.op("ConstantOfShape", &[e.shape(dims)], &[("value", number.into())]).assume(dims)
    }

    /// `self` where the Boolean `condition` holds, `other` elsewhere.
    pub fn where_(self, condition: Self, other: Self) -> Self {
        self.e.op("Where", &[condition, self, other], &[])
    }
}

macro_rules! arithmetic {
    ($($trait:ident $method:ident $op:literal),*) => {$(
        impl<'e> std::ops::$trait for Expr<'e> {
            type Output = Expr<'e>;
            fn $method(self, other: Self) -> Self {
                self.binary($op, other)
            }
        }
        impl<'e> std::ops::$trait<f64> for Expr<'e> {
            type Output = Expr<'e>;
            fn $method(self, other: f64) -> Self {
                self.binary($op, self.number(other))
            }
        }
    )*};
}
arithmetic!(Add add "Add", Sub sub "Sub", Mul mul "Mul", Div div "Div");

impl std::ops::Neg for Expr<'_> {
    type Output = Self;
    fn neg(self) -> Self {
        self.unary("Neg")
    }
}
