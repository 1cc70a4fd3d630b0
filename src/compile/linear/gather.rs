//! Steps that pick elements by index.

use super::scale::only;
use super::{Geometry, Linear, Local, Lower, Patch, Place, Samples, Span, Var, Windows};
use crate::compile::build::Expr;
use crate::graph::{Dim, ValueId};

/// Elements along an axis by index, as the operator Gather: the axes of `indices` take the axis's
/// place. Transposed: each element is added where it was taken from.
#[derive(Debug)]
pub struct Gather {
    /// The axis, without the seeds.
    pub axis: usize,
    /// The integer indices; negative ones count from the end.
    pub indices: ValueId,
}

impl Linear for Gather {
    fn name(&self) -> &'static str {
        "Gather"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        only(x).gather(at.e.expr(self.indices), self.axis + 1).assume(&at.out_dims())
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        vec![scatter(dy, at.e.expr(self.indices), self.axis + 1, &at.in_dims(0))]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], output: &Var) -> Option<Samples> {
        let (input, samples) = inputs[0];
        let axis = match samples.axis.cmp(&self.axis) {
            std::cmp::Ordering::Less => samples.axis,
            std::cmp::Ordering::Equal => return None,
            std::cmp::Ordering::Greater => samples.axis + output.dims.len() - input.dims.len(),
        };
        Some(Samples { axis, ..samples.clone() })
    }

    fn scatters(&self) -> bool {
        true
    }
}

/// The winners of pooling windows: element `i` of the output is element `indices[i]` of the whole
/// input in row-major order, always of the same sample and channel, as MaxPool's `Indices` are.
/// Transposed: each element is added to its winner.
#[derive(Debug)]
pub struct Winners {
    /// The int64 indices, of the output's dimensions.
    pub indices: ValueId,
    /// The windows, where they are known.
    pub geometry: Option<Geometry>,
}

impl Linear for Winners {
    fn name(&self) -> &'static str {
        "Winners"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        let flat = [at.seeds.clone(), at.e.product(&at.inputs[0].dims)];
        let count = at.e.product(&at.output.dims);
        let indices = at.e.expr(self.indices).reshape(&[count]);
        only(x).reshape(&flat).gather(indices, 1).reshape(&at.out_dims())
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        let flat_in = [at.seeds.clone(), at.e.product(&at.inputs[0].dims)];
        let flat_out = [at.seeds.clone(), at.e.product(&at.output.dims)];
        let indices = at.e.expr(self.indices);
        let sum = scatter(dy.reshape(&flat_out), indices, 1, &flat_in);
        vec![sum.reshape(&at.in_dims(0))]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], _: &Var) -> Option<Samples> {
        let samples = inputs[0].1;
        (samples.axis < 2).then(|| samples.clone())
    }

    fn local(&self) -> Option<&dyn Local> {
        Some(self)
    }

    fn scatters(&self) -> bool {
        true
    }
}

impl Local for Winners {
    fn reach(&self, _: &[&Var], _: &Var, windows: &[Span]) -> Option<Vec<Vec<Span>>> {
        self.geometry.as_ref()?.reached(windows).map(|windows| vec![windows])
    }

    fn pull<'e>(
        &self,
        at: &Lower<'e, '_>,
        place: &Place<'e>,
        windows: &Windows,
        dy: Patch<'e>,
    ) -> Vec<Patch<'e>> {
        let (e, input) = (at.e, &windows.inputs[0]);
        let code = within(e.expr(self.indices), at.inputs[0], input);
        let winners = place.patch(code, at.output, windows.output, dy.channel);
        let winners = winners - place.first(input);
        let lengths: Vec<i64> = input.iter().map(|w| w.length).collect();
        let size: i64 = lengths.iter().product();
        // What is outside the output has no winner; it is zero, and zero may be added anywhere.
        let winners = winners.binary("Max", e.int(0)).binary("Min", e.int(size - 1));
        let from = place.all_neurons(dy).value;
        let mut dims = winners.dims();
        let count = e.product(&dims[3..]);
        dims.truncate(3);
        let lead = dims.clone();
        dims.push(count);
        let updates = from.expand(&winners.dims()).reshape(&dims);
        let mut flat = lead.clone();
        flat.push(Dim::Value(size as i32));
        let zeros = Expr::zeros(e, updates.dtype(), &flat);
        let attributes = [("axis", 3.into()), ("reduction", "add".into())];
        let sum = e.op("ScatterElements", &[zeros, winners.reshape(&dims), updates], &attributes);
        let out: Vec<Dim> =
            lead.into_iter().chain(lengths.iter().map(|&n| Dim::Value(n as i32))).collect();
        vec![Patch { value: sum.reshape(&out), ..dy }]
    }
}

/// Row-major numbers within the variable as row-major numbers within windows that begin at 0.
fn within<'e>(indices: Expr<'e>, var: &Var, windows: &[Span]) -> Expr<'e> {
    let e = indices.e;
    let mut rest = indices;
    let mut stride = 1;
    let mut code: Option<Expr> = None;
    for (dim, window) in var.dims[2..].iter().zip(windows).rev() {
        let size = e.extent(dim);
        let digit = rest.binary("Mod", size);
        let part = if stride == 1 { digit } else { digit * e.int(stride) };
        code = Some(code.map_or(part, |sum| sum + part));
        rest = rest / size;
        stride *= window.length;
    }
    code.unwrap_or(indices)
}

/// Adds the elements of `x` into zeros of dimensions `to`: those at position `i` of the axes that
/// stand for the indices go to position `indices[i]` of `axis`.
fn scatter<'e>(x: Expr<'e>, indices: Expr<'e>, axis: usize, to: &[Dim]) -> Expr<'e> {
    let e = x.e;
    let count = e.product(&indices.dims());
    let mut dims = to.to_vec();
    dims[axis] = count.clone();
    let mut aligned = vec![Dim::Value(1); to.len()];
    aligned[axis] = count;
    let indices = indices.reshape(&aligned).expand(&dims);
    let zeros = Expr::zeros(e, x.dtype(), to);
    let attributes = [("axis", (axis as i64).into()), ("reduction", "add".into())];
    e.op("ScatterElements", &[zeros, indices, x.reshape(&dims)], &attributes).assume(to)
}
