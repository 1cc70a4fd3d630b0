//! Random piecewise-linear graphs in double precision, made from a seed.
#![allow(dead_code, reason = "every test file uses its own part of it")]

mod random;
mod window;

use bytes::Bytes;
pub use random::Random;
use slpc::graph::{Attr, DataType, Dim, Graph, Model, Node, Tensor, Value, ValueId};
use window::Window;

/// A value with samples along axis 0, and the extents behind it.
#[derive(Clone)]
pub struct Made {
    pub id: ValueId,
    pub dims: Vec<usize>,
}

/// A random graph, as far as it is made.
pub struct Generated {
    pub model: Model,
    /// The dimensions of one sample of the input `x`.
    pub input: Vec<usize>,
    /// Every value that changes with the input, in the order of their making.
    pub values: Vec<Made>,
}

/// A graph of about `size` operators for inputs of `batch` samples, or any number where `dynamic`.
/// Without `kinks` every operator is affine.
pub fn generate(
    random: &mut Random,
    size: usize,
    batch: usize,
    dynamic: bool,
    kinks: bool,
) -> Generated {
    let input = match random.below(4) {
        0 => vec![random.between(3, 8)],
        1 => vec![random.between(1, 3), random.between(5, 9)],
        _ => vec![random.between(1, 3), random.between(4, 7), random.between(4, 7)],
    };
    let lead = if dynamic { Dim::pos_var("N") } else { Dim::Value(batch as i32) };
    let dims = std::iter::once(lead).chain(input.iter().map(|&n| Dim::Value(n as i32)));
    let mut graph = Graph::new("random");
    let x = graph.add_value(Value::typed("x", DataType::F64, dims.collect())).unwrap();
    graph.inputs.push(x);
    let values = vec![Made { id: x, dims: input.clone() }];
    let mut maker = Maker { graph, random, values, batch: (!dynamic).then_some(batch), kinks };
    while maker.values.len() <= size {
        maker.step();
    }
    let Maker { mut graph, values, .. } = maker;
    let last = values.last().unwrap();
    let output = graph.add_value(Value { dtype: Some(DataType::F64), ..Value::new("y") }).unwrap();
    graph.add_node(Node::new("Identity", vec![Some(last.id)], vec![Some(output)])).unwrap();
    graph.outputs.push(output);
    let model = Model {
        ir_version: 8,
        opsets: [(String::new(), 18)].into(),
        graph,
        bytes: Bytes::new(),
        ..Model::default()
    };
    Generated { model, input, values }
}

struct Maker<'r> {
    graph: Graph,
    random: &'r mut Random,
    values: Vec<Made>,
    batch: Option<usize>,
    kinks: bool,
}

impl Maker<'_> {
    /// Adds an operator on earlier values, the later the likelier; none where it does not fit.
    fn step(&mut self) {
        let back = self.random.below(self.values.len()).min(self.random.below(self.values.len()));
        let x = self.values[self.values.len() - 1 - back].clone();
        let spatial = x.dims.len() >= 2;
        match self.random.below(if self.kinks { 34 } else { 24 }) {
            0 | 1 if spatial => self.conv(&x),
            2 if spatial => self.conv_transpose(&x),
            3 | 4 if spatial => self.average_pool(&x),
            5 if spatial => self.reduce(&x, "GlobalAveragePool"),
            6 if spatial => self.batch_normalization(&x),
            7 => self.pad(&x),
            8 => self.slice(&x),
            9 if spatial => self.transpose(&x),
            10 => self.concat(&x),
            11 => self.split(&x),
            12 => self.reshape(&x),
            13 if spatial => self.rearrange(&x),
            14 => self.gather(&x),
            15 => self.select(&x),
            16 | 17 => self.matmul(&x),
            18 => self.combine(&x, &["Add", "Sub", "Sum", "Mean"]),
            19 => self.combine(&x, &["Add"]),
            20 => self.scale(&x),
            21 if spatial => self.reduce(&x, "ReduceSum"),
            22 if spatial => self.reduce(&x, "ReduceMean"),
            23 => self.unary(&x, "Neg", &[]),
            24..=27 => self.unary(&x, "Relu", &[]),
            28 | 29 if spatial => self.max_pool(&x),
            30 => self.combine(&x, &["Max", "Min"]),
            31 => self.clip(&x),
            32 => self.prelu(&x),
            33 if spatial => {
                let op = self.random.pick(&["ReduceMax", "GlobalMaxPool"]);
                self.reduce(&x, op);
            }
            33 => self.unary(&x, "Abs", &[]),
            _ => {}
        }
    }

    /// A node whose output of these extents joins the values.
    fn add(&mut self, op: &str, inputs: &[ValueId], attributes: &[(&str, Attr)], dims: Vec<usize>) {
        self.add_all(op, inputs, attributes, vec![dims]);
    }

    fn add_all(
        &mut self,
        op: &str,
        inputs: &[ValueId],
        attributes: &[(&str, Attr)],
        dims: Vec<Vec<usize>>,
    ) {
        let outputs: Vec<_> = dims
            .iter()
            .map(|_| {
                let name = self.graph.free_name(&format!("v{}", self.graph.values().count()));
                self.graph.add_value(Value::new(name)).unwrap()
            })
            .collect();
        let mut node = Node::new(
            op,
            inputs.iter().copied().map(Some).collect(),
            outputs.iter().copied().map(Some).collect(),
        );
        for (name, value) in attributes {
            node.set(name, value.clone());
        }
        self.graph.add_node(node).unwrap();
        self.values.extend(outputs.into_iter().zip(dims).map(|(id, dims)| Made { id, dims }));
    }

    fn constant(&mut self, tensor: Tensor) -> ValueId {
        let name = self.graph.free_name(&format!("c{}", self.graph.values().count()));
        self.graph.add_value(Value { tensor: Some(tensor.into()), ..Value::new(name) }).unwrap()
    }

    fn weights(&mut self, dims: &[usize]) -> ValueId {
        let count = dims.iter().product();
        let values = self.random.floats(count);
        let dims = dims.iter().map(|&n| n as i64).collect();
        self.constant(Tensor::floats(DataType::F64, dims, &values))
    }

    fn ints(&mut self, values: &[i64]) -> ValueId {
        self.constant(Tensor::ints(values))
    }

    fn unary(&mut self, x: &Made, op: &str, attributes: &[(&str, Attr)]) {
        self.add(op, &[x.id], attributes, x.dims.clone());
    }

    fn conv(&mut self, x: &Made) {
        let Some(window) = Window::fit(self.random, &x.dims[1..], false) else { return };
        let channels = x.dims[0];
        let groups = if self.random.one_in(3) { channels } else { 1 };
        let out = groups * self.random.between(1, 2);
        let mut dims = vec![out, channels / groups];
        dims.extend(window.kernel.iter().map(|&k| k as usize));
        let mut inputs = vec![x.id, self.weights(&dims)];
        if self.random.one_in(2) {
            inputs.push(self.weights(&[out]));
        }
        let dims = [&[out], window.dims.as_slice()].concat();
        let mut attributes = window.attributes(&["strides", "dilations"]);
        attributes.push(("group", (groups as i64).into()));
        self.add("Conv", &inputs, &attributes, dims);
    }

    fn conv_transpose(&mut self, x: &Made) {
        let (mut kernel, mut strides, mut dims) = (vec![], vec![], vec![self.random.between(1, 2)]);
        for &extent in &x.dims[1..] {
            kernel.push(self.random.between(1, 3));
            strides.push(self.random.between(1, 2) as i64);
            dims.push(
                (extent - 1) * strides[strides.len() - 1] as usize + kernel[kernel.len() - 1],
            );
        }
        if dims.iter().product::<usize>() > 100 {
            return;
        }
        let filter = [&[x.dims[0], dims[0]], kernel.as_slice()].concat();
        let filter = self.weights(&filter);
        self.add("ConvTranspose", &[x.id, filter], &[("strides", strides.into())], dims);
    }

    fn max_pool(&mut self, x: &Made) {
        let Some(window) = Window::fit(self.random, &x.dims[1..], true) else { return };
        let dims = [&x.dims[..1], window.dims.as_slice()].concat();
        let attributes = window.attributes(&["kernel_shape", "strides", "dilations", "ceil_mode"]);
        self.add("MaxPool", &[x.id], &attributes, dims);
    }

    fn average_pool(&mut self, x: &Made) {
        let Some(window) = Window::fit(self.random, &x.dims[1..], true) else { return };
        // The attribute came with opset 19.
        if window.dilations.iter().any(|&d| d > 1) {
            return;
        }
        let dims = [&x.dims[..1], window.dims.as_slice()].concat();
        let mut attributes = window.attributes(&["kernel_shape", "strides", "ceil_mode"]);
        attributes.push(("count_include_pad", (self.random.below(2) as i64).into()));
        self.add("AveragePool", &[x.id], &attributes, dims);
    }

    fn reduce(&mut self, x: &Made, op: &str) {
        let mut dims = x.dims.clone();
        if op.starts_with("Global") {
            dims[1..].fill(1);
            return self.add(op, &[x.id], &[], dims);
        }
        let axis = self.random.between(1, x.dims.len());
        let keep = self.random.one_in(2) || dims.len() == 1;
        dims[axis - 1] = 1;
        if !keep {
            dims.remove(axis - 1);
        }
        let axis =
            if self.random.one_in(2) { axis as i64 - x.dims.len() as i64 - 1 } else { axis as i64 };
        let axes = self.ints(&[axis]);
        self.add(op, &[x.id, axes], &[("keepdims", i64::from(keep).into())], dims);
    }

    fn batch_normalization(&mut self, x: &Made) {
        let channels = [x.dims[0]];
        let mut inputs = vec![x.id];
        inputs.extend((0..3).map(|_| self.weights(&channels)));
        let variance: Vec<_> = self.random.floats(channels[0]).iter().map(|v| v.abs()).collect();
        let variance = Tensor::floats(DataType::F64, vec![channels[0] as i64], &variance);
        inputs.push(self.constant(variance));
        self.add("BatchNormalization", &inputs, &[], x.dims.clone());
    }

    fn pad(&mut self, x: &Made) {
        let mode = self.random.pick(&["constant"]);
        let rank = x.dims.len() + 1;
        let mut pads = vec![0; 2 * rank];
        let mut dims = x.dims.clone();
        for (axis, extent) in dims.iter_mut().enumerate() {
            let most = if mode == "reflect" { 2.min(*extent - 1) } else { 2 };
            let (begin, end) = (self.random.between(0, most), self.random.between(0, most));
            pads[axis + 1] = begin as i64;
            pads[axis + 1 + rank] = end as i64;
            *extent += begin + end;
        }
        if dims.iter().product::<usize>() > 120 {
            return;
        }
        let mut inputs = vec![x.id, self.ints(&pads)];
        if mode == "constant" {
            inputs.push(self.weights(&[]));
        }
        self.add("Pad", &inputs, &[("mode", mode.into())], dims);
    }

    fn slice(&mut self, x: &Made) {
        let axis = self.random.below(x.dims.len());
        let extent = x.dims[axis] as i64;
        let begin = self.random.below(x.dims[axis]) as i64;
        let (start, end, step, count) = match self.random.below(3) {
            0 => (begin, i64::MAX, 1, extent - begin),
            1 => (begin - extent, extent, 2, (extent - begin + 1) / 2),
            _ => (begin, -extent - 1, -1, begin + 1),
        };
        let mut dims = x.dims.clone();
        dims[axis] = count as usize;
        let inputs = [&[start][..], &[end], &[axis as i64 + 1], &[step]].map(|v| self.ints(v));
        let inputs = [&[x.id], inputs.as_slice()].concat();
        self.add("Slice", &inputs, &[], dims);
    }

    /// A permutation behind the samples, or one that moves them, an operator, and the way back.
    fn transpose(&mut self, x: &Made) {
        let rank = x.dims.len() + 1;
        if self.random.one_in(3) {
            let to: Vec<i64> = (1..rank as i64).chain([0]).collect();
            let back: Vec<i64> = [rank as i64 - 1].into_iter().chain(0..rank as i64 - 1).collect();
            self.add("Transpose", &[x.id], &[("perm", to.into())], x.dims.clone());
            let moved = self.values.pop().unwrap();
            let op = if self.kinks { "Relu" } else { "Neg" };
            self.unary(&moved, op, &[]);
            let moved = self.values.pop().unwrap();
            return self.add("Transpose", &[moved.id], &[("perm", back.into())], x.dims.clone());
        }
        let mut perm: Vec<usize> = (0..rank - 1).collect();
        perm.rotate_left(self.random.between(1, rank - 2));
        let dims = perm.iter().map(|&axis| x.dims[axis]).collect();
        let perm: Vec<i64> = [0].into_iter().chain(perm.iter().map(|&p| p as i64 + 1)).collect();
        self.add("Transpose", &[x.id], &[("perm", perm.into())], dims);
    }

    /// Another value of the same rank that differs from `x` along `axis` at most.
    fn partner(&mut self, x: &Made, axis: Option<usize>) -> Option<Made> {
        let fits = |other: &&Made| {
            other.dims.len() == x.dims.len()
                && (0..x.dims.len()).all(|a| Some(a) == axis || other.dims[a] == x.dims[a])
        };
        let list: Vec<Made> = self.values.iter().filter(fits).cloned().collect();
        (!list.is_empty()).then(|| self.random.pick(&list))
    }

    fn concat(&mut self, x: &Made) {
        let axis = self.random.below(x.dims.len());
        let Some(other) = self.partner(x, Some(axis)) else { return };
        let mut dims = x.dims.clone();
        dims[axis] += other.dims[axis];
        let mut inputs = vec![x.id, other.id];
        if self.batch.is_some() && self.random.one_in(3) {
            let lead = self.batch.unwrap_or(1);
            inputs.push(self.weights(&[&[lead], x.dims.as_slice()].concat()));
            dims[axis] += x.dims[axis];
        }
        if dims.iter().product::<usize>() <= 120 {
            self.add("Concat", &inputs, &[("axis", (axis as i64 + 1).into())], dims);
        }
    }

    fn split(&mut self, x: &Made) {
        let axis = self.random.below(x.dims.len());
        if x.dims[axis] < 2 {
            return;
        }
        let first = self.random.between(1, x.dims[axis] - 1);
        let sizes = [first, x.dims[axis] - first];
        let part = |size| {
            let mut dims = x.dims.clone();
            dims[axis] = size;
            dims
        };
        let dims = sizes.map(part).to_vec();
        let sizes = self.ints(&sizes.map(|n| n as i64));
        let axis = ("axis", Attr::from(axis as i64 + 1));
        self.add_all("Split", &[x.id, sizes], &[axis], dims);
    }

    fn reshape(&mut self, x: &Made) {
        let count: usize = x.dims.iter().product();
        match self.random.below(4) {
            0 => self.add("Flatten", &[x.id], &[], vec![count]),
            1 => {
                let shape = self.ints(&[0, 1, -1]);
                self.add("Reshape", &[x.id, shape], &[], vec![1, count]);
            }
            2 => {
                let axes = self.ints(&[1]);
                let dims = [&[1], x.dims.as_slice()].concat();
                if dims.len() < 4 {
                    self.add("Unsqueeze", &[x.id, axes], &[], dims);
                }
            }
            _ => {
                let Some(half) = (2..=3).find(|n| count.is_multiple_of(*n)) else { return };
                let shape = self.ints(&[-1, half as i64, (count / half) as i64]);
                self.add("Reshape", &[x.id, shape], &[], vec![half, count / half]);
            }
        }
    }

    /// Blocks of pixels to channels and back, or a squeezed axis.
    fn rearrange(&mut self, x: &Made) {
        if let Some(axis) = x.dims.iter().position(|&n| n == 1) {
            let axes = self.ints(&[axis as i64 + 1]);
            let mut dims = x.dims.clone();
            dims.remove(axis);
            return self.add("Squeeze", &[x.id, axes], &[], dims);
        }
        let &[channels, height, width] = x.dims.as_slice() else { return };
        let block = [("blocksize", Attr::from(2))];
        if height % 2 == 0 && width % 2 == 0 {
            self.add("SpaceToDepth", &[x.id], &block, vec![4 * channels, height / 2, width / 2]);
        } else if channels % 4 == 0 {
            let mode = self.random.pick(&["DCR", "CRD"]);
            let attributes = [&block[..], &[("mode", mode.into())]].concat();
            self.add(
                "DepthToSpace",
                &[x.id],
                &attributes,
                vec![channels / 4, 2 * height, 2 * width],
            );
        }
    }

    fn gather(&mut self, x: &Made) {
        let axis = self.random.below(x.dims.len());
        let extent = x.dims[axis] as i64;
        let count = self.random.between(1, 3);
        let picks: Vec<i64> =
            (0..count).map(|_| self.random.below(2 * extent as usize) as i64 - extent).collect();
        let mut dims = x.dims.clone();
        dims[axis] = count;
        let picks = self.ints(&picks);
        self.add("Gather", &[x.id, picks], &[("axis", (axis as i64 + 1).into())], dims);
    }

    /// Entries of one value or another, by a constant condition.
    fn select(&mut self, x: &Made) {
        let Some(other) = self.partner(x, None) else { return };
        let count: usize = x.dims.iter().product();
        let bits: Vec<u8> = (0..count).map(|_| self.random.below(2) as u8).collect();
        let dims = x.dims.iter().map(|&n| n as i64).collect();
        let condition = self.constant(Tensor::new(DataType::Bool, dims, bits));
        self.add("Where", &[condition, x.id, other.id], &[], x.dims.clone());
    }

    fn matmul(&mut self, x: &Made) {
        let (&last, out) = (x.dims.last().unwrap(), self.random.between(1, 5));
        let mut dims = x.dims.clone();
        *dims.last_mut().unwrap() = out;
        if x.dims.len() == 1 && self.random.one_in(2) {
            let filter = self.weights(&[out, last]);
            // tract takes neither alpha nor C in double precision.
            return self.add("Gemm", &[x.id, filter], &[("transB", 1.into())], dims);
        }
        if x.dims.len() > 1 && self.random.one_in(2) {
            let row = x.dims.len() - 2;
            let filter = self.weights(&[out, x.dims[row]]);
            let mut dims = x.dims.clone();
            dims[row] = out;
            return self.add("MatMul", &[filter, x.id], &[], dims);
        }
        let filter = self.weights(&[last, out]);
        self.add("MatMul", &[x.id, filter], &[], dims.clone());
        let (sum, bias) = (self.values.last().unwrap().id, self.weights(&[out]));
        self.add("Add", &[bias, sum], &[], dims);
    }

    /// Two values, a value with itself, or a value with a constant that broadcasts.
    fn combine(&mut self, x: &Made, ops: &[&str]) {
        let op = self.random.pick(ops);
        let partner = self.partner(x, None).unwrap_or_else(|| x.clone());
        let mut inputs = vec![x.id, partner.id];
        // tract takes no Mean of operands of different ranks.
        let mean = op == "Mean";
        if !mean && self.random.one_in(3) {
            let dims = x.dims.clone();
            let last = self.random.below(dims.len());
            inputs[1] = self.weights(&dims[last..]);
        }
        if self.random.one_in(2) {
            inputs.reverse();
        }
        if matches!(op, "Sum" | "Max" | "Min") && self.random.one_in(2) {
            inputs.push(self.weights(&[]));
        }
        self.add(op, &inputs, &[], x.dims.clone());
    }

    /// A product or quotient with a constant.
    fn scale(&mut self, x: &Made) {
        let factor = self.weights(&x.dims[x.dims.len() - 1..]);
        if self.random.one_in(2) {
            self.add("Mul", &[factor, x.id], &[], x.dims.clone());
        } else {
            self.add("Div", &[x.id, factor], &[], x.dims.clone());
        }
    }

    fn clip(&mut self, x: &Made) {
        let bounds = [-0.4, 0.7].map(|v| self.constant(Tensor::float(DataType::F64, v)));
        self.add("Clip", &[x.id, bounds[0], bounds[1]], &[], x.dims.clone());
    }

    fn prelu(&mut self, x: &Made) {
        let mut slope = x.dims.clone();
        if slope.len() > 1 {
            slope[1..].fill(1);
        }
        let slope = self.weights(&slope);
        self.add("PRelu", &[x.id, slope], &[], x.dims.clone());
    }
}
