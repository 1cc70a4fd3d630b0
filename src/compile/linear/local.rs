//! What a neuron sees: cotangents that are zero outside a window of each variable.
//!
//! The cotangent of one position of a convolution's output is zero outside a small window of every
//! variable before it, so only the windows are computed, each neuron's at its own place. The variables
//! are `[N, C, s…]` with the samples on axis 0 and any number of spatial axes, none for fully connected
//! layers, for whose neurons all of space is one position. Invariant: what a window holds outside its
//! variable is zero.

use std::collections::HashMap;

use super::{Lower, Var, moved};
use crate::compile::build::{Emit, Expr};
use crate::graph::{DataType, Dim, fixed};

/// A window along one axis: the one of a neuron at position `p` begins at `p·stride + start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The distance of the windows of neighbouring positions.
    pub stride: i64,
    /// Where the window of position 0 begins; negative in the padding.
    pub start: i64,
    /// The number of elements.
    pub length: i64,
}

impl Span {
    /// The window that is the position itself.
    pub const POINT: Self = Self { stride: 1, start: 0, length: 1 };

    /// All of an axis of size `size`, whatever the position.
    pub fn all(size: i64) -> Self {
        Self { stride: 0, start: 0, length: size }
    }

    /// Whether it is the first element alone for the neuron of position 0.
    pub fn is_first(&self) -> bool {
        self.start == 0 && self.length == 1
    }

    /// The smallest window around both; none where they move at different rates.
    pub fn union(self, other: Self) -> Option<Self> {
        let start = self.start.min(other.start);
        let end = (self.start + self.length).max(other.start + other.length);
        (self.stride == other.stride).then_some(Self { start, length: end - start, ..self })
    }

    /// The window from the first to the last element once elements lie `step` apart.
    pub fn apart(self, step: i64) -> Option<Self> {
        Some(Self {
            stride: self.stride.checked_mul(step)?,
            start: self.start.checked_mul(step)?,
            length: (self.length - 1).checked_mul(step)?.checked_add(1)?,
        })
    }

    /// Whether the windows of the positions `0..count` all lie within `0..size`.
    fn within(self, count: i64, size: i64) -> bool {
        self.start >= 0 && (count - 1) * self.stride + self.start + self.length <= size
    }
}

/// A cotangent within windows.
#[derive(Clone, Copy)]
pub struct Patch<'e> {
    /// `[K, n, C, w…]`: `n` is 1 where all samples have the same, `K` is 1 where all neurons have.
    pub value: Expr<'e>,
    /// The only channel that is not zero, `[K, 1]` or `[K, N]`; then `C` is 1.
    pub channel: Option<Expr<'e>>,
}

/// The windows of a step's variables, a [`Span`] a spatial axis.
pub struct Windows<'p> {
    /// Those of the output.
    pub output: &'p [Span],
    /// Those of each input that they reach.
    pub inputs: &'p [Vec<Span>],
}

/// A step that maps windows to windows.
pub trait Local {
    /// The windows of each input that the given windows of the output reach; none where they are not
    /// at the same place for every position, or the step is not local along an axis. An element-wise
    /// step reaches the same windows of each.
    fn reach(&self, inputs: &[&Var], output: &Var, windows: &[Span]) -> Option<Vec<Vec<Span>>> {
        let _ = output;
        Some(vec![windows.to_vec(); inputs.len()])
    }

    /// Whether a channel of the output reaches that channel of the input only.
    fn keeps_channels(&self) -> bool {
        true
    }

    /// The cotangents of the inputs' windows, given that of the output's.
    fn pull<'e>(
        &self,
        at: &Lower<'e, '_>,
        place: &Place<'e>,
        windows: &Windows,
        dy: Patch<'e>,
    ) -> Vec<Patch<'e>>;
}

/// Where the chosen neurons of a layer are.
pub struct Place<'e> {
    /// Where to emit.
    pub e: &'e Emit,
    /// The number `K` of neurons.
    pub count: Dim,
    /// The number `N` of samples.
    pub samples: Dim,
    /// The position along each spatial axis of the layer, `[K, m]` with `m` 1 or `N`.
    pub positions: Vec<Expr<'e>>,
    /// The number of positions along each spatial axis of the layer.
    pub counts: Vec<i64>,
    /// Whether there are more neurons than positions, so that many have the same.
    pub crowded: bool,
    /// Whether the neurons are those of the whole layer in their order.
    pub whole: bool,
}

/// The most elements of the windows of all positions together that are worth keeping.
const TABLE: i64 = 1 << 24;

impl<'e> Place<'e> {
    /// The position along a spatial axis, the only one where the layer has no such axis.
    fn position(&self, axis: usize) -> Expr<'e> {
        let only = || self.e.int(0).reshape(&[Dim::Value(1), Dim::Value(1)]);
        self.positions.get(axis).copied().unwrap_or_else(only)
    }

    /// The number of positions along a spatial axis.
    fn count_along(&self, axis: usize) -> i64 {
        self.counts.get(axis).copied().unwrap_or(1)
    }

    /// `[K, m, length]`: the elements of each window along an axis of size `size`; those outside are
    /// moved to the border if `clamp`.
    fn coordinates(&self, axis: usize, span: Span, clamp: Option<i64>) -> Expr<'e> {
        let e = self.e;
        let position = self.position(axis);
        let mut dims = position.dims();
        dims.push(Dim::Value(1));
        let offsets: Vec<i64> = (span.start..span.start + span.length).collect();
        let all = position.reshape(&dims) * e.int(span.stride) + e.ints(&offsets);
        match clamp.filter(|&size| !span.within(self.count_along(axis), size)) {
            Some(size) => all.binary("Max", e.int(0)).binary("Min", e.int(size - 1)),
            None => all,
        }
    }

    /// `x`, of dimensions `[K, m, length]`, along spatial axis `axis` of `rank` behind `between` axes.
    fn along(x: Expr<'e>, axis: usize, rank: usize, between: usize) -> Expr<'e> {
        let dims = x.dims();
        let mut aligned = dims[..2].to_vec();
        aligned.extend(std::iter::repeat_n(Dim::Value(1), between + rank));
        aligned[2 + between + axis] = dims[2].clone();
        x.reshape(&aligned)
    }

    /// The row-major number of every element of the windows in space, `[K, m, L]`.
    fn numbers(&self, windows: &[Span], sizes: &[i64]) -> Expr<'e> {
        let e = self.e;
        let rank = windows.len();
        let mut stride: i64 = sizes.iter().product();
        let mut total: Option<Expr> = None;
        for (axis, (&span, &size)) in windows.iter().zip(sizes).enumerate() {
            stride /= size;
            let own = self.coordinates(axis, span, Some(size));
            let own = Self::along(own, axis, rank, 0);
            let own = if stride == 1 { own } else { own * e.int(stride) };
            total = Some(total.map_or(own, |sum| sum + own));
        }
        let lead = self.positions.first().map_or(vec![Dim::Value(1); 2], |p| p.dims());
        let count = windows.iter().map(|w| w.length).product::<i64>();
        let total = total.unwrap_or_else(|| e.int(0));
        total.reshape(&[lead[0].clone(), lead[1].clone(), Dim::Value(count as i32)])
    }

    /// Where the windows begin, as a row-major number in windows of their size: `[K, m, 1, 1…]`.
    pub fn first(&self, windows: &[Span]) -> Expr<'e> {
        let e = self.e;
        let mut stride: i64 = windows.iter().map(|w| w.length).product();
        let axis = |(axis, window): (usize, &Span)| {
            stride /= window.length;
            self.position(axis) * e.int(window.stride * stride) + e.int(window.start * stride)
        };
        let sum = windows.iter().enumerate().map(axis).reduce(|a, b| a + b);
        let sum = sum.unwrap_or_else(|| e.int(0));
        let mut dims = sum.dims();
        dims.resize(windows.len() + 3, Dim::Value(1));
        sum.reshape(&dims)
    }

    /// 1 inside the variable and 0 outside, `[K, m, 1, w…]`; none where all windows are inside.
    fn inside(&self, windows: &[Span], sizes: &[i64], dtype: DataType) -> Option<Expr<'e>> {
        let axis = |(axis, (&span, &size)): (usize, (&Span, &i64))| {
            if span.within(self.count_along(axis), size) {
                return None;
            }
            let x = self.coordinates(axis, span, None);
            let low = x.binary("GreaterOrEqual", self.e.int(0));
            let inside = low.binary("And", x.binary("Less", self.e.int(size)));
            Some(Self::along(inside.indicator(dtype), axis, windows.len(), 1))
        };
        windows.iter().zip(sizes).enumerate().filter_map(axis).reduce(|a, b| a * b)
    }

    /// Which elements of an axis of size `size` lie in the window, `[K, m, size]`.
    pub fn covers(&self, axis: usize, span: Span, size: i64) -> Expr<'e> {
        let e = self.e;
        let position = self.position(axis);
        let mut dims = position.dims();
        dims.push(Dim::Value(1));
        let first = position.reshape(&dims) * e.int(span.stride) + e.int(span.start);
        let elements = e.range(&Dim::Value(size as i32));
        let low = elements.binary("GreaterOrEqual", first);
        low.binary("And", elements.binary("Less", first + e.int(span.length)))
    }

    /// The patch with zeros outside the variable.
    pub fn masked(&self, patch: Patch<'e>, windows: &[Span], var: &Var) -> Patch<'e> {
        let inside = self.inside(windows, &sizes(var), patch.value.dtype());
        Patch { value: inside.map_or(patch.value, |mask| patch.value * mask), ..patch }
    }

    /// Whether the window is all of an axis of size `size` for every neuron.
    fn is_all(&self, span: Span, axis: usize, size: i64) -> bool {
        let still = span.stride == 0 || self.count_along(axis) == 1;
        still && span.start == 0 && span.length == size
    }

    /// The positions that neurons have, each once, and which of them each neuron has, `[K]`; none where
    /// few neurons share one.
    fn table(&self) -> Option<(Self, Expr<'e>)> {
        let same = self.positions.iter().all(|p| fixed(&p.dims()[1]) == Some(1));
        if !same || self.positions.is_empty() {
            return None;
        }
        let known: Option<Vec<Vec<i64>>> = self.positions.iter().map(|p| p.as_ints()).collect();
        let (positions, number) = match known {
            Some(known) => self.distinct(&known)?,
            None => self.every().filter(|_| self.crowded)?,
        };
        let all = Self {
            e: self.e,
            count: positions[0].dims()[0].clone(),
            samples: self.samples.clone(),
            positions,
            counts: self.counts.clone(),
            crowded: false,
            whole: false,
        };
        Some((all, number))
    }

    /// The distinct ones of positions that are known, an entry an axis, and the number of each neuron's.
    fn distinct(&self, known: &[Vec<i64>]) -> Option<(Vec<Expr<'e>>, Expr<'e>)> {
        let count = known[0].len();
        let own = |k: usize| known.iter().map(|axis| axis[k]).collect::<Vec<i64>>();
        let mut first = HashMap::new();
        let mut found: Vec<Vec<i64>> = Vec::new();
        let mut numbers = Vec::new();
        for position in (0..count).map(own) {
            let number = *first.entry(position.clone()).or_insert(found.len());
            if number == found.len() {
                found.push(position);
            }
            numbers.push(number as i64);
        }
        let dims = [Dim::Value(found.len() as i32), Dim::Value(1)];
        let along = |axis: usize| {
            let list: Vec<i64> = found.iter().map(|position| position[axis]).collect();
            self.e.ints(&list).reshape(&dims)
        };
        let shared = 2 * found.len() <= count;
        shared.then(|| ((0..known.len()).map(along).collect(), self.e.ints(&numbers)))
    }

    /// Every position of the layer, one after another, and the number of each neuron's.
    fn every(&self) -> Option<(Vec<Expr<'e>>, Expr<'e>)> {
        let e = self.e;
        let count = Dim::Value(self.counts.iter().product::<i64>() as i32);
        let mut rest = e.range(&count).reshape(&[count, Dim::Value(1)]);
        let (mut positions, mut number, mut stride) = (Vec::new(), None, 1);
        for (&position, &size) in self.positions.iter().zip(&self.counts).rev() {
            positions.insert(0, rest.binary("Mod", e.int(size)));
            rest = rest / e.int(size);
            let part = position * e.int(stride);
            number = Some(number.map_or(part, |sum: Expr<'e>| sum + part));
            stride *= size;
        }
        Some((positions, number?.reshape(std::slice::from_ref(&self.count))))
    }

    /// What the windows hold of a value that broadcasts to the variable: `[K, n, C, w…]`, of size 1
    /// along axes where it is the same, and of `channel` alone where there is one.
    pub fn patch(
        &self,
        value: Expr<'e>,
        var: &Var,
        windows: &[Span],
        channel: Option<Expr<'e>>,
    ) -> Expr<'e> {
        let one = Dim::Value(1);
        let mut own = value.dims();
        let missing = var.dims.len().saturating_sub(own.len());
        own.splice(..0, std::iter::repeat_n(one.clone(), missing));
        let flat = own[2..].iter().all(|d| fixed(d) == Some(1));
        let channel = channel.filter(|_| fixed(&own[1]) != Some(1));
        let sizes = sizes(var);
        let all = || {
            let axes = windows.iter().zip(&sizes).enumerate();
            axes.into_iter().all(|(axis, (&span, &size))| self.is_all(span, axis, size))
        };
        if channel.is_none() && (flat || all()) {
            own.insert(0, one);
            return value.reshape(&own);
        }
        let elements = windows.iter().map(|w| w.length);
        let elements = elements.fold(fixed(&own[1]).unwrap_or(1), i64::saturating_mul);
        if channel.is_none()
            && let Some((all, number)) = self.table()
            && fixed(&all.count).is_some_and(|count| elements.saturating_mul(count) <= TABLE)
        {
            let patches = all.patch(value, var, windows, None);
            return if fixed(&all.count) == Some(1) { patches } else { patches.gather(number, 0) };
        }
        let mut out: Vec<Dim> = vec![one.clone(); own.len() - 2];
        let (numbers, space) = if flat {
            (self.e.int(0).reshape(&[one.clone(), one.clone(), one.clone()]), 1)
        } else {
            own[2..].clone_from_slice(&var.dims[2..]);
            out = windows.iter().map(|w| Dim::Value(w.length as i32)).collect();
            (self.numbers(windows, &sizes), sizes.iter().product())
        };
        let full = value.expand(&own);
        let table = full.reshape(&[own[0].clone(), own[1].clone(), Dim::Value(space as i32)]);
        let taken = match channel {
            None => self.take(table.transpose(&[0, 2, 1]), numbers).transpose(&[0, 1, 3, 2]),
            Some(channel) => {
                let mut dims = channel.dims();
                dims.push(one.clone());
                let places = channel.reshape(&dims) * self.e.int(space) + numbers;
                let rows = self.e.product(&[own[1].clone(), Dim::Value(space as i32)]);
                let taken = self.take(table.reshape(&[own[0].clone(), rows, one]), places);
                taken.transpose(&[0, 1, 3, 2])
            }
        };
        let dims: Vec<Dim> = taken.dims()[..3].iter().cloned().chain(out).collect();
        taken.reshape(&dims)
    }

    /// Rows of a table `[n, S, C]` by their numbers `[K, m, L]`: `[K, n, L, C]`.
    fn take(&self, table: Expr<'e>, numbers: Expr<'e>) -> Expr<'e> {
        let (from, at) = (table.dims(), numbers.dims());
        let (rows, channels) = (from[1].clone(), from[2].clone());
        if fixed(&from[0]) == Some(1) {
            return table.reshape(&[rows, channels]).gather(numbers, 0);
        }
        if fixed(&at[1]) == Some(1) {
            let flat = numbers.reshape(&[self.e.product(&at)]);
            let dims = [from[0].clone(), at[0].clone(), at[2].clone(), channels];
            return table.gather(flat, 1).reshape(&dims).transpose(&[1, 0, 2, 3]);
        }
        let column = [self.samples.clone(), Dim::Value(1)];
        let first = self.e.range(&self.samples).reshape(&column) * self.e.extent(&rows);
        let all = self.e.product(&[from[0].clone(), rows]);
        table.reshape(&[all, channels]).gather(numbers + first, 0)
    }

    /// The patch with all channels of the variable.
    pub fn all_channels(&self, patch: Patch<'e>, var: &Var) -> Patch<'e> {
        let Some(channel) = patch.channel else { return patch };
        let mut dims = channel.dims();
        dims.push(Dim::Value(1));
        let hot = channel.reshape(&dims).binary("Equal", self.e.range(&var.dims[1]));
        dims[2] = var.dims[1].clone();
        dims.extend(std::iter::repeat_n(Dim::Value(1), var.dims.len() - 2));
        let hot = hot.indicator(patch.value.dtype()).reshape(&dims);
        Patch { value: hot * patch.value, channel: None }
    }

    /// The patch with an axis of `K` neurons, where all had the same.
    pub fn all_neurons(&self, patch: Patch<'e>) -> Patch<'e> {
        let mut dims = patch.value.dims();
        dims[0] = self.count.clone();
        Patch { value: patch.value.expand(&dims), ..patch }
    }

    /// The patch in wider windows.
    pub fn widened(&self, patch: Patch<'e>, from: &[Span], to: &[Span]) -> Patch<'e> {
        if from == to {
            return patch;
        }
        let rank = from.len() + 3;
        let mut pads = vec![0; 2 * rank];
        let mut dims = patch.value.dims();
        for (axis, (from, to)) in from.iter().zip(to).enumerate() {
            let before = from.start - to.start;
            pads[axis + 3] = before;
            pads[rank + axis + 3] = to.length - from.length - before;
            dims[axis + 3] = Dim::Value(to.length as i32);
        }
        let value = self.e.op("Pad", &[patch.value, self.e.ints(&pads)], &[]).assume(&dims);
        Patch { value, ..patch }
    }

    /// The cotangent of the whole variable, `[K, N, C, s…]`.
    ///
    /// Each axis is a product with the matrix that is 1 where an element of the window comes to lie,
    /// whose columns are zero for what lies outside.
    pub fn embed(&self, patch: Patch<'e>, windows: &[Span], var: &Var) -> Expr<'e> {
        let patch = self.all_neurons(self.all_channels(patch, var));
        let sizes = sizes(var);
        let axes = windows.iter().zip(&sizes).enumerate();
        let (wide, groups): (Vec<Span>, Vec<i64>) =
            axes.map(|(axis, (&window, &size))| self.grouped(axis, window, size)).unzip();
        let mut x = self.widened(patch, windows, &wide).value;
        // Groups of the last axis are cheapest while the other axes are short.
        let mut order: Vec<usize> = (0..wide.len()).collect();
        if groups.last().is_some_and(|&group| group > 1) {
            order.reverse();
        }
        for axis in order {
            x = self.spread(x, axis, wide[axis], (sizes[axis], groups[axis]));
        }
        x.expand(&var.seeded(&self.count))
    }

    /// The window in groups of elements that come to lie together, and their size: windows a multiple of `g`
    /// apart, widened to begin and end at multiples of `g`, move by whole groups of `g`.
    fn grouped(&self, axis: usize, span: Span, size: i64) -> (Span, i64) {
        let group = common_divisor(span.stride, size);
        let small = span.length.saturating_mul(size) < MATRIX;
        if span.stride == 0 || group <= 1 || small || self.is_all(span, axis, size) {
            return (span, 1);
        }
        let before = span.start.rem_euclid(group);
        let length = (before + span.length + group - 1) / group * group;
        (Span { start: span.start - before, length, ..span }, group)
    }

    /// `[K, n, C, …, length, …]` with the windows of one axis, in groups of `group`, in their places among
    /// zeros.
    fn spread(&self, x: Expr<'e>, axis: usize, span: Span, (size, group): (i64, i64)) -> Expr<'e> {
        if self.is_all(span, axis, size) {
            return x;
        }
        let size = size / group;
        let [stride, start, length] = [span.stride, span.start, span.length].map(|n| n / group);
        let span = Span { stride, start, length };
        let (one, wide) = (Dim::Value(1), Dim::Value(size as i32));
        let places = self.coordinates(axis, span, None);
        let range = self.e.range(&wide);
        let at = places.dims();
        let matrix = |range: Expr<'e>, shape: &[Dim]| {
            let shape: Vec<Dim> = at[..2].iter().chain(shape).cloned().collect();
            places.reshape(&shape).binary("Equal", range).indicator(x.dtype())
        };
        moved(x, axis, (length, size, group), |last| match last {
            true => matrix(range, &[at[2].clone(), one.clone()]),
            false => {
                let range = range.reshape(&[wide.clone(), one.clone()]);
                matrix(range, &[one.clone(), one.clone(), at[2].clone()])
            }
        })
    }
}

/// The fewest elements of a matrix that places windows for which groups pay: runtimes take longer to begin
/// many small products than to compute one of that size.
const MATRIX: i64 = 1 << 14;

/// The greatest common divisor of numbers that are not negative.
fn common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// The sizes of the spatial axes.
fn sizes(var: &Var) -> Vec<i64> {
    var.dims[2..].iter().map(|d| fixed(d).unwrap_or(1)).collect()
}
