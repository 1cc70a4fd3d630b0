//! The chosen neurons of a layer: which they are, their activity, and the seeds that stand for them.

use crate::compile::blocks::Block;
use crate::compile::build::{Emit, Expr};
use crate::compile::linear::{Place, Samples, Var};
use crate::compile::plan;
use crate::compile::select::{Layer, Neurons};
use crate::graph::{DataType, Dim, Value, fixed};

/// The chosen neurons of one layer.
#[derive(Clone)]
pub struct Chosen<'e> {
    /// The number `K` of neurons.
    pub count: Dim,
    /// The number `N` of samples, 1 where all is one sample.
    pub samples: Dim,
    /// v as `[N, K]`.
    pub activity: Expr<'e>,
    /// Which neurons: none for all, `[K]` for every sample, or `[N, K]`.
    pub indices: Option<Expr<'e>>,
    per_sample: bool,
    /// Whether every index is known to count from the front.
    from_front: bool,
    /// How many neurons of the layer are chosen, where that is known.
    among: Option<i64>,
    in_block: bool,
}

/// Chooses the neurons of a layer whose samples lie at `samples`.
pub fn choose<'e>(e: &'e Emit, layer: &Layer, samples: Option<&Samples>) -> Chosen<'e> {
    e.scope(&layer.alias);
    let value = e.expr(layer.value).widen();
    let dims = value.dims();
    let (flat, batch) = match samples {
        None => (value.reshape(&[Dim::Value(1), e.product(&dims)]), Dim::Value(1)),
        Some(samples) => {
            let mut perm = vec![samples.axis];
            perm.extend((0..dims.len()).filter(|&a| a != samples.axis));
            let others: Vec<Dim> = perm[1..].iter().map(|&a| dims[a].clone()).collect();
            let batch = dims[samples.axis].clone();
            (value.transpose(&perm).reshape(&[batch.clone(), e.product(&others)]), batch)
        }
    };
    let all = flat.dims()[1].clone();
    let among = plan::chosen_count(layer).filter(|_| layer.neurons != Neurons::Runtime);
    let chosen = |count, activity, indices: Option<Expr<'e>>, per_sample| Chosen {
        count,
        samples: batch.clone(),
        activity,
        // What the layer chooses itself counts from the front.
        from_front: per_sample
            || indices.is_none_or(|x| x.as_ints().is_some_and(|list| list.iter().all(|&i| i >= 0))),
        indices,
        per_sample,
        among,
        in_block: false,
    };
    let listed = |indices: Expr<'e>, count: Dim| {
        let activity = flat.gather(indices, 1).assume(&[batch.clone(), count.clone()]);
        chosen(count, activity, Some(indices), false)
    };
    match &layer.neurons {
        Neurons::All => chosen(all, flat, None, false),
        Neurons::List(list) => listed(e.ints(list), Dim::Value(list.len() as i32)),
        Neurons::Runtime => {
            let name = format!("slp/{}/neurons", layer.alias);
            let count = Dim::pos_var(&format!("{}_neurons", layer.alias));
            let input = e.input(Value::typed(name, DataType::I64, vec![count.clone()]));
            listed(input, count)
        }
        Neurons::Top(k) => {
            let count = Dim::Value(*k as i32);
            let k = e.ints(&[*k as i64]);
            let top = e.node("TopK", &[Some(flat.id), Some(k.id)], &[("axis", 1.into())], 2);
            let dims = [batch.clone(), count.clone()];
            let [activity, indices] = [top[0], top[1]].map(|x| x.assume(&dims));
            chosen(count, activity, Some(indices), true)
        }
    }
}

impl<'e> Chosen<'e> {
    /// The neurons of one block, which an input of the graph stands for.
    pub fn block(&self, e: &'e Emit, block: &Block) -> Self {
        let count = Dim::Value(block.size as i32);
        let lead = [self.samples.clone(), count.clone()];
        let part = |what: &str, all: Expr<'e>| {
            block.element(e, what, all.transpose(&[1, 0])).transpose(&[1, 0]).assume(&lead)
        };
        let numbers = self.indices.unwrap_or_else(|| e.range(&self.count));
        let indices = match self.per_sample {
            true => part("neurons", numbers),
            false => block.element(e, "neurons", numbers),
        };
        Chosen {
            samples: self.samples.clone(),
            activity: part("activity", self.activity),
            indices: Some(indices),
            per_sample: self.per_sample,
            from_front: self.from_front,
            among: self.among,
            in_block: true,
            count,
        }
    }

    /// Whether each sample has neurons of its own.
    pub fn is_per_sample(&self) -> bool {
        self.per_sample
    }

    /// Where the neurons are in the layer's variable `[N, C, s…]`, and the channel of each, `[K, m]`
    /// with `m` 1 where all samples have the same neurons and `N` where each has its own.
    pub fn place(&self, e: &'e Emit, var: &Var) -> (Place<'e>, Expr<'e>) {
        let one = Dim::Value(1);
        let size = e.product(&var.dims[1..]);
        let numbers = match self.indices {
            None => e.range(&size).reshape(&[size.clone(), one]),
            Some(indices) if self.per_sample => indices.transpose(&[1, 0]),
            Some(indices) => self.counted(indices, &size).reshape(&[self.count.clone(), one]),
        };
        let counts: Vec<i64> = var.dims[2..].iter().map(|d| fixed(d).unwrap_or(1)).collect();
        let mut rest = numbers;
        let mut positions: Vec<Expr> = Vec::new();
        for &count in counts.iter().rev() {
            positions.insert(0, rest.binary("Mod", e.int(count)));
            rest = rest / e.int(count);
        }
        let (count, samples) = (self.count.clone(), self.samples.clone());
        // Of a block it is the whole choice that counts.
        let crowded = self.among.is_some_and(|chosen| chosen > counts.iter().product());
        let whole = self.indices.is_none();
        (Place { e, count, samples, positions, counts, crowded, whole }, rest)
    }

    /// Indices that count from the end, which Gather knows and a comparison does not, counted from the
    /// front.
    fn counted(&self, indices: Expr<'e>, size: &Dim) -> Expr<'e> {
        if self.from_front {
            return indices;
        }
        let shifted = indices + indices.e.extent(size);
        shifted.where_(indices.binary("Less", indices.e.int(0)), indices)
    }

    /// One-hot cotangents `[K, ..dims]` of the layer's variable, 1 at the neuron in every sample.
    pub fn cotangent(&self, e: &'e Emit, var: &Var, samples: Option<&Samples>) -> Expr<'e> {
        let one = Dim::Value(1);
        let own: Vec<Dim> = var
            .dims
            .iter()
            .enumerate()
            .map(
                |(i, d)| if samples.is_some_and(|s| s.axis == i) { one.clone() } else { d.clone() },
            )
            .collect();
        let size = e.product(&own);
        let range = e.range(&size);
        let (wanted, batch) = match self.indices {
            None => (range.reshape(&[size.clone(), one.clone(), one.clone()]), one.clone()),
            Some(indices) if self.per_sample => {
                let dims = [self.count.clone(), self.samples.clone(), one.clone()];
                (indices.transpose(&[1, 0]).reshape(&dims), self.samples.clone())
            }
            Some(indices) => {
                let dims = [self.count.clone(), one.clone(), one.clone()];
                (self.counted(indices, &size).reshape(&dims), one.clone())
            }
        };
        let hot = wanted.binary("Equal", range).indicator(var.dtype);
        let target = var.seeded(&self.count);
        let Some(samples) = samples.filter(|_| fixed(&batch) != Some(1)) else {
            let dims: Vec<Dim> = std::iter::once(self.count.clone()).chain(own).collect();
            return hot.reshape(&dims).expand(&target);
        };
        // [K, N, others…] with N moved to where the samples lie.
        let mut dims = vec![self.count.clone(), batch];
        dims.extend(
            own.iter().enumerate().filter(|(i, _)| *i != samples.axis).map(|(_, d)| d.clone()),
        );
        let mut perm: Vec<usize> = std::iter::once(0).chain(2..dims.len()).collect();
        perm.insert(samples.axis + 1, 1);
        hot.reshape(&dims).transpose(&perm).assume(&target)
    }

    /// The chosen neurons of `[N, S, ..layer]` tangents of the whole layer, as `[N, K, S]`.
    pub fn pick(&self, x: Expr<'e>) -> Expr<'e> {
        let dims = x.dims();
        let size = x.e.product(&dims[2..]);
        let flat = x.reshape(&[dims[0].clone(), dims[1].clone(), size]);
        let target = [self.samples.clone(), self.count.clone(), dims[1].clone()];
        let rows = || flat.transpose(&[0, 2, 1]);
        let picked = match self.indices {
            None => rows(),
            Some(indices) if self.per_sample => {
                let each = [self.samples.clone(), self.count.clone(), Dim::Value(1)];
                let indices = indices.reshape(&each).expand(&target);
                x.e.op("GatherElements", &[rows(), indices], &[("axis", 1.into())])
            }
            // All blocks together take every row: those are laid out once, around the blocks.
            Some(indices) if self.in_block => rows().gather(indices, 1),
            Some(indices) => flat.gather(indices, 2).transpose(&[0, 2, 1]),
        };
        picked.assume(&target)
    }
}
