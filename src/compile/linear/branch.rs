//! The linear map of a taken branch.

use std::rc::Rc;

use super::body::{Body, capture};
use super::{Lower, Map, Samples, Var};
use crate::compile::build::{Emit, Expr};
use crate::graph::{Attr, Graph, ValueId};

/// One of two linear maps of captured values, chosen at run time. Transposed: the same one,
/// transposed.
#[derive(Debug)]
pub struct Branch {
    /// Whether the first is taken: a Boolean value.
    pub condition: ValueId,
    /// The bodies, and which of `captured` each input of a body is.
    pub bodies: [(Rc<Body>, Vec<usize>); 2],
    /// The outer values whose changes the step reads.
    pub captured: Vec<ValueId>,
    /// The outputs of the operator that change.
    pub outputs: Vec<usize>,
}

impl Branch {
    /// Emits the choice between what `write` makes of each body, `count` outputs.
    fn choose<'e>(
        &self,
        at: &Lower<'e, '_>,
        count: usize,
        write: impl Fn(&Body, &[usize], &Emit),
    ) -> Vec<Expr<'e>> {
        let graph = |(body, inputs): &(Rc<Body>, Vec<usize>)| -> Graph {
            body.write(at.e, "branch", |b| write(body, inputs, b))
        };
        let [then, otherwise] = self.bodies.each_ref().map(graph);
        let attributes = vec![
            ("then_branch", Attr::Graph(Box::new(then))),
            ("else_branch", Attr::Graph(Box::new(otherwise))),
        ];
        at.e.control("If", vec![Some(self.condition)], attributes, count)
    }
}

impl Map for Branch {
    fn name(&self) -> &'static str {
        "If"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Vec<Option<Expr<'e>>> {
        let y = self.choose(at, self.outputs.len(), |body, inputs, b| {
            let x: Vec<_> = inputs.iter().map(|&i| x[i].map(|x| capture(b, at.e, x.id))).collect();
            let y = body.forward(b, &at.seeds, &x);
            for (&output, var) in self.outputs.iter().zip(&at.outputs) {
                let zero = || {
                    let dims = b.expr(body.graph.outputs[output]).dims();
                    Expr::zeros(b, var.dtype, &Var { dims, dtype: var.dtype }.seeded(&at.seeds))
                };
                b.result("y", y[output].unwrap_or_else(zero));
            }
        });
        let dims = at.outputs.iter().map(|var| var.seeded(&at.seeds));
        y.into_iter().zip(dims).map(|(y, dims)| Some(y.assume(&dims))).collect()
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: &[Option<Expr<'e>>]) -> Vec<Option<Expr<'e>>> {
        let dx = self.choose(at, self.captured.len(), |body, inputs, b| {
            let mut all = vec![None; body.outputs.len()];
            for (&output, dy) in self.outputs.iter().zip(dy) {
                all[output] = dy.map(|dy| capture(b, at.e, dy.id));
            }
            let dx = body.transposed(b, &at.seeds, &all);
            for (i, var) in at.inputs.iter().enumerate() {
                let found = inputs.iter().position(|&input| input == i).and_then(|at| dx[at]);
                b.result(
                    "dx",
                    found.unwrap_or_else(|| {
                        capture(b, at.e, self.captured[i]);
                        Expr::zeros(b, var.dtype, &var.seeded(&at.seeds))
                    }),
                );
            }
        });
        dx.into_iter().enumerate().map(|(i, dx)| Some(dx.assume(&at.in_dims(i)))).collect()
    }

    fn samples(&self, inputs: &[Option<(&Var, &Samples)>], _: &[&Var]) -> Vec<Option<Samples>> {
        let places = self.bodies.each_ref().map(|(body, indices)| {
            let start = |&i: &usize| inputs[i].map(|(_, place)| Some(place.clone()));
            body.samples(&indices.iter().map(start).collect::<Vec<_>>())
        });
        let agreed = |&output: &usize| match [&places[0][output], &places[1][output]] {
            [Some(a), Some(b)] => a.clone().filter(|_| a == b),
            [Some(one), None] | [None, Some(one)] => one.clone(),
            [None, None] => None,
        };
        self.outputs.iter().map(agreed).collect()
    }
}
