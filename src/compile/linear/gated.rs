//! A fully connected layer behind which units are switched off.

use super::scale::only;
use super::{Linear, Local, Lower, MatMul, Patch, Place, Samples, Scale, Span, Var, Windows};
use crate::compile::build::{Emit, Expr};
use crate::graph::{Attr, Dim, Graph, ValueId, fixed};

/// `y = c ⊙ (x·A)` where many elements of `c` are zero. Transposed: the units that are switched off in
/// every sample take no part, where at run time there are enough of them.
#[derive(Debug)]
pub struct Gated {
    /// `x·A`.
    pub product: MatMul,
    /// `c`, of dimensions that broadcast to those of `y`.
    pub factor: ValueId,
}

/// The fewest seeds whose products are worth gathering a matrix for.
const FEW: i64 = 16;

/// The largest share of active units that are gathered: with more, the copies cost what they save.
const SHARE: f64 = 0.6;

impl Gated {
    /// 1 for units that are active in any sample, else 0: `[units]`.
    fn active<'e>(&self, at: &Lower<'e, '_>) -> Expr<'e> {
        let factor = at.coefficient(self.factor);
        let off = factor.binary("Equal", factor.number(0.0)).unary("Not");
        let on = off.indicator(at.output.dtype);
        let leading: Vec<usize> = (0..on.rank() - 1).collect();
        if leading.is_empty() { on } else { on.reduce("ReduceMax", &leading, false) }
    }

    /// Whether few of `all` units are active.
    fn few<'e>(active: Expr<'e>, all: i64) -> Expr<'e> {
        let most = active.number((all as f64 * SHARE).floor());
        active.reduce("ReduceSum", &[0], false).binary("Less", most)
    }

    /// The product of the active units alone.
    fn gathered<'b>(
        &self,
        b: &'b Emit,
        at: &Lower<'_, '_>,
        dy: ValueId,
        active: ValueId,
    ) -> Expr<'b> {
        let of = |value| b.capture(at.e, value);
        let dtype = at.output.dtype;
        let units = of(active).unary("NonZero").reshape(&[b.unknown()]);
        let dy = of(dy);
        let factor = of(self.factor).cast(dtype);
        let part = |x: Expr<'b>| x.gather(units, x.rank() - 1);
        let matrix = of(self.product.matrix).cast(dtype);
        let rows = matrix.gather(units, usize::from(!self.product.transpose));
        let dy = part(dy) * part(factor);
        self.product.against(dy, rows)
    }
}

impl Linear for Gated {
    fn name(&self) -> &'static str {
        "Gated"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        Linear::forward(&self.product, at, &[Some(only(x))]) * at.coefficient(self.factor)
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        let all = at.output.dims.last().and_then(fixed);
        let Some(all) = all.filter(|_| fixed(&at.seeds).is_none_or(|seeds| seeds >= FEW)) else {
            return Linear::transposed(&self.product, at, dy * at.coefficient(self.factor));
        };
        let active = self.active(at);
        let body = |name: &str, write: &dyn Fn(&Emit)| -> Attr {
            let b = at.e.nested(Graph::new(name), name);
            write(&b);
            Attr::Graph(Box::new(b.finish().unwrap_or_else(|error| {
                at.e.fail(error);
                Graph::default()
            })))
        };
        let few = body("active", &|b| b.result("dx", self.gathered(b, at, dy.id, active.id)));
        let many = body("all", &|b| {
            let [dy, factor, matrix] =
                [dy.id, self.factor, self.product.matrix].map(|value| b.capture(at.e, value));
            let dtype = at.output.dtype;
            b.result("dx", self.product.against(dy * factor.cast(dtype), matrix.cast(dtype)));
        });
        let branches = vec![("then_branch", few), ("else_branch", many)];
        let condition = Self::few(active, all);
        let dx = at.e.control("If", vec![Some(condition.id)], branches, 1)[0];
        vec![dx.assume(&at.in_dims(0))]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], output: &Var) -> Option<Samples> {
        self.product.samples(inputs, output)
    }

    fn local(&self) -> Option<&dyn Local> {
        Some(self)
    }

    fn products(&self, inputs: &[&Var], output: &Var, size: &dyn Fn(&[Dim]) -> f64) -> f64 {
        Linear::products(&self.product, inputs, output, size)
    }

    fn weights(&self, inputs: &[&Var], output: &Var, size: &dyn Fn(&[Dim]) -> f64) -> f64 {
        Linear::weights(&self.product, inputs, output, size)
    }
}

impl Local for Gated {
    fn reach(&self, inputs: &[&Var], output: &Var, windows: &[Span]) -> Option<Vec<Vec<Span>>> {
        self.product.reach(inputs, output, windows)
    }

    fn keeps_channels(&self) -> bool {
        false
    }

    fn pull<'e>(
        &self,
        at: &Lower<'e, '_>,
        place: &Place<'e>,
        windows: &Windows,
        dy: Patch<'e>,
    ) -> Vec<Patch<'e>> {
        let scaled = Local::pull(&Scale(self.factor), at, place, windows, dy);
        scaled.into_iter().flat_map(|dy| self.product.pull(at, place, windows, dy)).collect()
    }
}
