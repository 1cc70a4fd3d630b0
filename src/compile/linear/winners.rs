//! The winners of pooling windows.

use super::gather::scatter;
use super::scale::only;
use super::{Geometry, Linear, Local, Lower, Patch, Place, Samples, Span, Var, Windows};
use crate::compile::build::Expr;
use crate::graph::{Dim, ValueId, fixed};

/// The winners of pooling windows: element `i` of the output is element `indices[i]` of the whole
/// input in row-major order, always of the same sample and channel, as MaxPool's `Indices` are.
/// Transposed: each element is added to its winner.
#[derive(Clone, Debug)]
pub struct Winners {
    /// The int64 indices, of the output's dimensions.
    pub indices: ValueId,
    /// The windows, where they are known.
    pub geometry: Option<Geometry>,
    /// What the winners are multiplied by, of dimensions that broadcast to those of the output.
    pub factor: Option<ValueId>,
}

impl Linear for Winners {
    fn name(&self) -> &'static str {
        "Winners"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        let flat = [at.seeds.clone(), at.e.product(&at.inputs[0].dims)];
        let count = at.e.product(&at.output.dims);
        let indices = at.e.expr(self.indices).reshape(&[count]);
        self.scaled(at, only(x).reshape(&flat).gather(indices, 1).reshape(&at.out_dims()))
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        let many = fixed(&at.seeds).is_none_or(|seeds| seeds >= FEW);
        if let Some(strides) = self.apart(at).filter(|_| many) {
            return vec![cut(dy.repeat(strides), &at.in_dims(0)) * self.mask(at)];
        }
        let flat_in = [at.seeds.clone(), at.e.product(&at.inputs[0].dims)];
        let flat_out = [at.seeds.clone(), at.e.product(&at.output.dims)];
        let indices = at.e.expr(self.indices);
        let sum = scatter(self.scaled(at, dy).reshape(&flat_out), indices, 1, &flat_in);
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

/// The fewest seeds for which a mask, made once for all of them, is worth its making.
const FEW: i64 = 3;

impl Winners {
    /// The strides of windows that tile the input from its beginning on, so that an element is in one
    /// window at most.
    fn apart(&self, at: &Lower) -> Option<&[i64]> {
        let it = self.geometry.as_ref()?;
        let tiles = it.kernel == it.strides && it.begin.iter().all(|&p| p == 0);
        let known = at.inputs[0].dims[2..].iter().chain(&at.output.dims[2..]);
        let known = known.into_iter().all(|d| fixed(d).is_some());
        let near = it.kernel.iter().zip(&it.dilations).all(|(&k, &d)| k == 1 || d == 1);
        (tiles && known && near).then_some(&it.strides)
    }

    /// A tangent or cotangent of the output times the factor.
    fn scaled<'e>(&self, at: &Lower<'e, '_>, y: Expr<'e>) -> Expr<'e> {
        self.factor.map_or(y, |factor| y * at.coefficient(factor))
    }

    /// The factors at the winners and 0 elsewhere, of the input's dimensions.
    fn mask<'e>(&self, at: &Lower<'e, '_>) -> Expr<'e> {
        let one = Dim::Value(1);
        let [flat_in, flat_out] = [at.inputs[0], at.output].map(|v| at.e.product(&v.dims));
        let flat = [one.clone(), flat_out];
        let factors = match self.factor {
            Some(factor) => at.coefficient(factor).expand(&at.output.dims).reshape(&flat),
            None => Expr::filled(at.e, at.output.dtype, 1.0, &flat),
        };
        let mask = scatter(factors, at.e.expr(self.indices), 1, &[one, flat_in]);
        mask.reshape(&at.inputs[0].dims)
    }

    /// The indices as patches of the input's windows, and those moved to the winners.
    fn scattered<'e>(
        &self,
        at: &Lower<'e, '_>,
        place: &Place<'e>,
        windows: &Windows,
        dy: Patch<'e>,
    ) -> Expr<'e> {
        let (e, input) = (at.e, &windows.inputs[0]);
        let code = within(e.expr(self.indices), at.inputs[0], input);
        let winners = place.patch(code, at.output, windows.output, dy.channel);
        let winners = winners - place.first(input);
        let lengths: Vec<i64> = input.iter().map(|w| w.length).collect();
        let size: i64 = lengths.iter().product();
        // What is outside the output has no winner; it is zero, and zero may be added anywhere.
        let winners = winners.binary("Max", e.int(0)).binary("Min", e.int(size - 1));
        let mut from = place.all_neurons(dy).value;
        if let Some(factor) = self.factor {
            let factor = at.coefficient(factor);
            from = from * place.patch(factor, at.output, windows.output, dy.channel);
        }
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
        sum.reshape(&out)
    }
}

/// Patches or whole variables with the sizes `to`, cut or filled with zeros at the ends.
fn cut<'e>(mut x: Expr<'e>, to: &[Dim]) -> Expr<'e> {
    let dims = x.dims();
    let ends = |axis: usize| Some((fixed(&dims[axis])?, fixed(&to[axis])?));
    for axis in 3..dims.len() {
        if ends(axis).is_some_and(|(from, to)| from > to) {
            x = x.slice(axis, &Dim::Value(0), &to[axis]);
        }
    }
    let short = |axis| ends(axis).map_or(0, |(from, to)| (to - from).max(0));
    let pads: Vec<i64> =
        (0..2 * dims.len()).map(|i| i.checked_sub(dims.len()).map_or(0, short)).collect();
    if pads.iter().all(|&p| p == 0) {
        return x.assume(to);
    }
    x.e.op("Pad", &[x, x.e.ints(&pads)], &[]).assume(to)
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
        let input = &windows.inputs[0];
        let Some(strides) = self.apart(at) else {
            return vec![Patch { value: self.scattered(at, place, windows, dy), ..dy }];
        };
        let mask = place.patch(self.mask(at), at.inputs[0], input, dy.channel);
        let value = dy.value.repeat(strides) * mask;
        vec![place.masked(Patch { value, ..dy }, input, at.inputs[0])]
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
