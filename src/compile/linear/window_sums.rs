//! Sums over windows, each channel for itself.

use super::conv::{gather_windows, spread_windows};
use super::scale::only;
use super::{Geometry, Linear, Local, Lower, Patch, Place, Samples, Span, Var, Windows};
use crate::compile::build::Expr;
use crate::graph::{Dim, ValueId};

/// The sum of each window of each channel: the cross-correlation of single channels with a kernel of
/// ones. Transposed: each sum to every element of its window.
#[derive(Debug)]
pub struct WindowSums {
    /// Ones `[1, 1, k…]`.
    pub ones: ValueId,
    /// The windows.
    pub geometry: Geometry,
}

impl Linear for WindowSums {
    fn name(&self) -> &'static str {
        "WindowSums"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        let (x, to) = (only(x), at.out_dims());
        let x = x.reshape(&single(at, &x.dims()));
        gather_windows(at, self.ones, 1, &self.geometry, x, &single(at, &to)).reshape(&to)
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        vec![spread(at, self.ones, &self.geometry, dy, &at.in_dims(0))]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], _: &Var) -> Option<Samples> {
        (inputs[0].1.axis < 2).then(|| inputs[0].1.clone())
    }

    fn local(&self) -> Option<&dyn Local> {
        Some(self)
    }

    fn products(&self, _: &[&Var], output: &Var, size: &dyn Fn(&[Dim]) -> f64) -> f64 {
        size(&output.dims) * self.geometry.elements()
    }
}

impl Local for WindowSums {
    fn reach(&self, _: &[&Var], _: &Var, windows: &[Span]) -> Option<Vec<Vec<Span>>> {
        self.geometry.reached(windows).map(|windows| vec![windows])
    }

    fn pull<'e>(
        &self,
        at: &Lower<'e, '_>,
        place: &Place<'e>,
        windows: &Windows,
        dy: Patch<'e>,
    ) -> Vec<Patch<'e>> {
        let mut to = dy.value.dims();
        for (dim, window) in to[3..].iter_mut().zip(&windows.inputs[0]) {
            *dim = Dim::Value(window.length as i32);
        }
        let value = spread(at, self.ones, &self.geometry.unpadded(), dy.value, &to);
        vec![place.masked(Patch { value, ..dy }, &windows.inputs[0], at.inputs[0])]
    }
}

fn spread<'e>(
    at: &Lower<'e, '_>,
    ones: ValueId,
    geometry: &Geometry,
    dy: Expr<'e>,
    to: &[Dim],
) -> Expr<'e> {
    let dy = dy.reshape(&single(at, &dy.dims()));
    spread_windows(at, ones, 1, geometry, dy, &single(at, to)).reshape(to)
}

/// `[K, N, C, s…]` as images of one channel.
fn single(at: &Lower, dims: &[Dim]) -> Vec<Dim> {
    let images = at.e.product(&dims[..3]);
    [images, Dim::Value(1)].into_iter().chain(dims[3..].iter().cloned()).collect()
}
