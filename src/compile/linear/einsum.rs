//! Einstein sums of one changing operand and any number of fixed ones.

use super::scale::only;
use super::{Linear, Lower, Samples, Var};
use crate::compile::build::Expr;
use crate::graph::{Dim, ValueId};

/// `y[output] = Σ x[input]·Π c[labels]` over the labels that `output` lacks, as the operator Einsum.
/// Transposed: the roles of input and output exchanged; along a label that only the input has, the
/// result is repeated.
#[derive(Debug)]
pub struct Einsum {
    /// The label of the seeds, not in use elsewhere.
    pub seeds: char,
    /// The labels of the changing operand's axes, all different and of the labels' full sizes.
    pub input: Vec<char>,
    /// The fixed operands and the labels of their axes.
    pub fixed: Vec<(ValueId, Vec<char>)>,
    /// The labels of the output's axes, all different.
    pub output: Vec<char>,
}

impl Linear for Einsum {
    fn name(&self) -> &'static str {
        "Einsum"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Expr<'e> {
        self.write(at, only(x), &self.input, &self.output).assume(&at.out_dims())
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: Expr<'e>) -> Vec<Expr<'e>> {
        let met = |label: &char| {
            self.output.contains(label) || self.fixed.iter().any(|(_, with)| with.contains(label))
        };
        let full = at.in_dims(0);
        let mut dims = full.clone();
        for (dim, _) in dims[1..].iter_mut().zip(&self.input).filter(|(_, label)| !met(label)) {
            *dim = Dim::Value(1);
        }
        let labels: Vec<char> = self.input.iter().copied().filter(met).collect();
        let narrow: Vec<Dim> = std::iter::once(&full[0])
            .chain(full[1..].iter().zip(&self.input).filter(|(_, l)| met(l)).map(|(dim, _)| dim))
            .cloned()
            .collect();
        let sums = self.write(at, dy, &self.output, &labels).assume(&narrow);
        vec![sums.reshape(&dims).expand(&full)]
    }

    fn samples(&self, inputs: &[(&Var, &Samples)], output: &Var) -> Option<Samples> {
        let (input, samples) = inputs[0];
        let label = self.input.get(samples.axis)?;
        let axis = self.output.iter().position(|l| l == label)?;
        (output.dims[axis] == input.dims[samples.axis]).then(|| Samples { axis, ..samples.clone() })
    }

    fn products(&self, inputs: &[&Var], output: &Var, size: &dyn Fn(&[Dim]) -> f64) -> f64 {
        let summed = self.input.iter().zip(&inputs[0].dims);
        let summed: Vec<Dim> =
            summed.filter(|(l, _)| !self.output.contains(l)).map(|(_, d)| d.clone()).collect();
        size(&output.dims) * size(&summed)
    }
}

impl Einsum {
    fn write<'e>(&self, at: &Lower<'e, '_>, x: Expr<'e>, from: &[char], to: &[char]) -> Expr<'e> {
        if self.fixed.is_empty() && from == to {
            return x;
        }
        let term = |labels: &[char]| labels.iter().collect::<String>();
        let mut terms = vec![format!("{}{}", self.seeds, term(from))];
        let mut operands = vec![x];
        for (value, labels) in &self.fixed {
            terms.push(term(labels));
            operands.push(at.coefficient(*value));
        }
        let equation = format!("{}->{}{}", terms.join(","), self.seeds, term(to));
        at.e.op("Einsum", &operands, &[("equation", equation.as_str().into())])
    }
}
