//! From the linear program and the plan to the rows of the Jacobian and the switched bias.

mod colours;
mod forward;
mod local;
mod reverse;
mod rows;
mod seeds;

use super::build::{Emit, Expr};
use super::linear::{Samples, VarId};
use super::linearise::Linearised;
use super::plan::{Colours, Direction, Sight};
use super::select::Layer;
use crate::graph::{Dim, NodeId};
pub use forward::tangents;
pub use seeds::{Chosen, choose};

/// What is to be accumulated.
pub struct Task<'e, 'p> {
    /// Where to.
    pub e: &'e Emit,
    /// The switched network.
    pub network: &'p Linearised,
    /// The layers, all of one direction.
    pub targets: &'p [Target<'e, 'p>],
    /// Where the samples lie in each variable; `None` where all is one sample.
    pub samples: Option<&'p [Option<Samples>]>,
    /// Which input components share a tangent; none where each has its own.
    pub colours: Option<&'p Colours>,
    /// The tangent of every variable, where rows are accumulated forward.
    pub tangents: &'p [Option<Expr<'e>>],
    /// Whether the weights are wanted.
    pub weights: bool,
    /// Whether the bias is wanted.
    pub bias: bool,
    /// Whether the bias is wanted by operator.
    pub bias_terms: bool,
}

/// A layer whose rows are wanted.
pub struct Target<'e, 'p> {
    /// In which direction.
    pub direction: Direction,
    /// The layer.
    pub layer: &'p Layer,
    /// Its variable in the network.
    pub var: VarId,
    /// The chosen neurons.
    pub chosen: Chosen<'e>,
    /// What they see of the variables.
    pub sight: &'p Sight,
}

/// What was accumulated of one layer; `N` is 1 where all is one sample.
pub struct Accumulated<'e> {
    /// ŵ as `[N, K, x…]`, `x…` with an axis of size 1 in place of the samples.
    pub weights: Option<Expr<'e>>,
    /// b̂ as `[N, K]`.
    pub bias: Option<Expr<'e>>,
    /// b̂ by operator, each `[N, K]`.
    pub terms: Vec<(NodeId, Expr<'e>)>,
}

/// Emits the nodes that compute rows and biases of layers of one direction.
pub fn accumulate<'e>(task: &Task<'e, '_>) -> Vec<Accumulated<'e>> {
    match task.targets.first().map(|target| target.direction) {
        Some(Direction::Reverse) => reverse::accumulate(task),
        Some(Direction::Forward) => forward::accumulate(task),
        None => Vec::new(),
    }
}

impl<'e> Task<'e, '_> {
    /// Where the samples lie in a variable.
    fn samples_of(&self, var: VarId) -> Option<&Samples> {
        self.samples.and_then(|places| places[var.0].as_ref())
    }

    /// The bias of a layer that no operator adds anything to: zeros `[N, K]`.
    fn no_bias(&self, layer: usize) -> Expr<'e> {
        let chosen = &self.targets[layer].chosen;
        let dtype = self.network.program.var(self.targets[layer].var).dtype;
        Expr::zeros(self.e, dtype, &[chosen.samples.clone(), chosen.count.clone()])
    }

    /// The input as `[N, 1, x…]`, an axis of size 1 in place of the samples.
    pub fn input(&self, value: crate::graph::ValueId) -> Expr<'e> {
        let x = self.e.expr(value).widen();
        let dims: Vec<Dim> = std::iter::once(Dim::Value(1)).chain(x.dims()).collect();
        self.samples_first(x.reshape(&dims), self.samples_of(self.network.input))
    }

    /// `[K, ..dims]` with the samples moved to the front: `[N, K, 1.., ..]` of the same rank plus
    /// one, an axis of size 1 where the samples were; `N` is 1 where all is one sample.
    fn samples_first(&self, x: Expr<'e>, samples: Option<&Samples>) -> Expr<'e> {
        let dims = x.dims();
        let Some(samples) = samples else {
            let mut out = vec![Dim::Value(1)];
            out.extend(dims);
            return x.reshape(&out);
        };
        let axis = samples.axis + 1;
        let mut perm = vec![axis];
        perm.extend((0..dims.len()).filter(|&a| a != axis));
        let moved = x.transpose(&perm);
        let mut out = vec![dims[axis].clone(), dims[0].clone()];
        out.extend(
            dims[1..]
                .iter()
                .enumerate()
                .map(|(i, d)| if i == samples.axis { Dim::Value(1) } else { d.clone() }),
        );
        moved.reshape(&out)
    }
}
