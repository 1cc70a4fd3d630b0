//! Switches that turn where a value passes one of several levels.

use super::{away, norms, positive};
use crate::compile::build::Expr;
use crate::compile::linear::VarId;
use crate::graph::DataType;

/// A value and its levels.
pub(super) struct Levels<'e> {
    /// The value.
    pub x: Expr<'e>,
    /// Its change.
    pub change: VarId,
    /// The levels, each with whether the position of a value equal to it is the upper one.
    pub levels: Vec<(Expr<'e>, bool)>,
}

impl<'e> Levels<'e> {
    pub(super) fn count(&self) -> usize {
        self.levels.len()
    }

    /// How many levels each element has passed.
    pub(super) fn position(&self) -> Expr<'e> {
        let passed = self.levels.iter().map(|&(level, equal)| {
            let compare = if equal { "GreaterOrEqual" } else { "Greater" };
            self.x.binary(compare, level).cast(DataType::I64)
        });
        passed.reduce(|a, b| a + b).unwrap_or(self.x.e.int(0))
    }

    /// `least |x − level| / ‖∂x‖`; with `beyond`, over the levels on which x does not lie.
    pub(super) fn distance(&self, tangents: &[Option<Expr<'e>>], beyond: bool) -> Expr<'e> {
        let gaps = self.levels.iter().map(|&(level, _)| (self.x - level).unary("Abs"));
        let gaps = gaps.map(|gap| if beyond { positive(gap) } else { gap });
        let least = gaps.reduce(|a, b| a.binary("Min", b)).unwrap_or(self.x);
        match tangents[self.change.0] {
            Some(change) => away(least, norms(change)),
            None => Expr::filled(self.x.e, self.x.dtype(), f64::INFINITY, &self.x.dims()),
        }
    }
}
