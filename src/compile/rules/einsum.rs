//! `Einsum: dy = Σ_i E(x_1, …, dx_i, …, x_n)`, one term for each operand that changes, the others
//! fixed.
//!
//! The equation is brought to explicit form first: an ellipsis becomes labels of its own, axes of
//! size 1 that others broadcast against are dropped from fixed operands and repeated in changing
//! ones, and a label that stands twice in a changing operand becomes two labels with the identity
//! matrix between them. Refused: an ellipsis that the output lacks, one whose broadcasting is only
//! known at run time, and implicit outputs whose order the standard leaves open.

use std::collections::BTreeMap;

use super::Inputs::All;
use super::{Entry, Rule, Shape, Tangent};
use crate::compile::build::Expr;
use crate::compile::linear as step;
use crate::error::{Error, Result};
use crate::graph::{Dim, fixed};

pub(super) const RULES: &[Entry] =
    &[Entry::exact("Einsum", All, einsum).shaped(Shape::Multilinear)];

fn einsum(cx: &Rule) -> Result<()> {
    let equation = Equation::read(cx)?;
    let y_dims = cx.y_dims(0)?;
    let parts: Vec<Tangent> = (0..equation.terms.len())
        .filter_map(|index| cx.tangent(index).map(|dx| (index, dx)))
        .map(|(index, dx)| equation.change(cx, index, dx, &y_dims))
        .collect::<Result<_>>()?;
    if parts.len() == 1 {
        cx.homogeneous();
    }
    if let Some(total) = Tangent::sum_of(&parts) {
        cx.emit(0, total);
    }
    Ok(())
}

/// An equation without ellipses, and the size that each label stands for.
struct Equation {
    terms: Vec<Vec<char>>,
    output: Vec<char>,
    sizes: BTreeMap<char, Dim>,
}

/// A term as it is written: the labels before and behind its ellipsis, if it has one.
struct Term {
    before: Vec<char>,
    behind: Option<Vec<char>>,
}

impl Term {
    fn read(text: &str) -> Result<Self> {
        let labels = |part: &str| match part.chars().find(|c| !c.is_ascii_alphabetic()) {
            Some(odd) => Err(Error::unreadable(format!("'{odd}' is no label of an equation"))),
            None => Ok(part.chars().collect()),
        };
        let (before, behind) = match text.split_once("...") {
            Some((before, behind)) => (before, Some(labels(behind)?)),
            None => (text, None),
        };
        Ok(Self { before: labels(before)?, behind })
    }

    fn labels(&self) -> impl Iterator<Item = char> {
        self.before.iter().chain(self.behind.iter().flatten()).copied()
    }

    /// The axes that the ellipsis stands for in an operand of rank `rank`.
    fn hidden(&self, rank: usize) -> Result<usize> {
        let named = self.labels().count();
        match rank.checked_sub(named) {
            Some(hidden) if hidden == 0 || self.behind.is_some() => Ok(hidden),
            _ => Err(Error::unreadable(format!("{named} labels for an operand of rank {rank}"))),
        }
    }

    /// The labels with `hidden` in the place of the ellipsis.
    fn with(&self, hidden: &[char]) -> Vec<char> {
        match &self.behind {
            Some(behind) => [&self.before, hidden, behind].concat(),
            None => self.before.clone(),
        }
    }
}

impl Equation {
    fn read(cx: &Rule) -> Result<Self> {
        let Some(text) = cx.node.text("equation")? else {
            return Err(Error::unreadable("attribute 'equation' is missing"));
        };
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (left, right) = match text.split_once("->") {
            Some((left, right)) => (left, Some(Term::read(right)?)),
            None => (text.as_str(), None),
        };
        let terms = left.split(',').map(Term::read).collect::<Result<Vec<_>>>()?;
        let operands = cx.node.inputs.len();
        if terms.len() != operands {
            return Err(Error::unreadable(format!(
                "{} terms for {operands} operands",
                terms.len()
            )));
        }
        let dims = (0..operands).map(|i| Ok(cx.raw(i)?.dims())).collect::<Result<Vec<_>>>()?;
        let hidden = terms.iter().zip(&dims).map(|(term, dims)| term.hidden(dims.len()));
        let hidden = hidden.collect::<Result<Vec<_>>>()?;
        let mut used: Vec<char> = terms.iter().flat_map(Term::labels).collect();
        let named = used.clone();
        let most = hidden.iter().copied().max().unwrap_or(0);
        let ellipsis = (0..most).map(|_| unused(&mut used)).collect::<Result<Vec<_>>>()?;
        let output = match right {
            Some(right) if right.behind.is_none() && most > 0 => {
                return cx.refuse("the output of the equation lacks the ellipsis of its operands");
            }
            Some(right) => right.with(&ellipsis),
            None => [ellipsis.clone(), implied(cx, &named)?].concat(),
        };
        check_output(&output, &used)?;
        let terms: Vec<_> = terms
            .iter()
            .zip(&hidden)
            .map(|(term, &hidden)| term.with(&ellipsis[most - hidden..]))
            .collect();
        let sizes = sizes(cx, &terms, &dims, &ellipsis)?;
        Ok(Self { terms, output, sizes })
    }

    /// The change of the output by that of operand `index`.
    fn change<'r, 'e>(
        &self,
        cx: &Rule<'e>,
        index: usize,
        dx: Tangent<'r, 'e>,
        y_dims: &[Dim],
    ) -> Result<Tangent<'r, 'e>> {
        let mut used: Vec<char> = self.sizes.keys().copied().collect();
        let seeds = unused(&mut used)?;
        let mut fixed = Vec::new();
        for (other, labels) in self.terms.iter().enumerate().filter(|&(other, _)| other != index) {
            let (operand, labels) = self.narrowed(cx.x(other)?, labels);
            fixed.push((operand.id, labels));
        }
        let mut input: Vec<char> = Vec::new();
        for &label in &self.terms[index] {
            if input.contains(&label) {
                let twin = unused(&mut used)?;
                let identity = identity(cx, &self.sizes[&label], dx);
                fixed.push((identity.id, vec![label, twin]));
                input.push(twin);
            } else {
                input.push(label);
            }
        }
        let full: Vec<Dim> = dx
            .dims()
            .into_iter()
            .zip(&self.terms[index])
            .map(|(dim, label)| if is_one(&dim) { self.sizes[label].clone() } else { dim })
            .collect();
        let wide = dx.broadcast(&full);
        let map = step::Einsum { seeds, input, fixed, output: self.output.clone() };
        Ok(cx.step(map, wide, y_dims))
    }

    /// A fixed operand without the axes of size 1 that others broadcast against.
    fn narrowed<'e>(&self, operand: Expr<'e>, labels: &[char]) -> (Expr<'e>, Vec<char>) {
        let axes = operand.dims().into_iter().zip(labels.iter().copied());
        let stays = |(dim, label): &(Dim, char)| !is_one(dim) || is_one(&self.sizes[label]);
        let (dims, labels): (Vec<Dim>, Vec<char>) = axes.filter(stays).unzip();
        (operand.reshape(&dims), labels)
    }
}

fn is_one(dim: &Dim) -> bool {
    fixed(dim) == Some(1)
}

/// A label that is not in use, and from now on is.
fn unused(used: &mut Vec<char>) -> Result<char> {
    let free = ('a'..='z').chain('A'..='Z').find(|label| !used.contains(label));
    let free = free.ok_or_else(|| Error::unsupported("the equation leaves no letter unused"))?;
    used.push(free);
    Ok(free)
}

/// The labels of an implicit output: those that stand once, in alphabetical order.
fn implied(cx: &Rule, named: &[char]) -> Result<Vec<char>> {
    let once = |label: &&char| named.iter().filter(|other| other == label).count() == 1;
    let mut labels: Vec<char> = named.iter().filter(once).copied().collect();
    labels.sort_unstable();
    if labels.iter().any(char::is_ascii_lowercase) && labels.iter().any(char::is_ascii_uppercase) {
        return cx.refuse("the order of small and capital labels in an implicit output");
    }
    Ok(labels)
}

fn check_output(output: &[char], used: &[char]) -> Result<()> {
    for (i, label) in output.iter().enumerate() {
        if output[..i].contains(label) || !used.contains(label) {
            return Err(Error::unreadable(format!(
                "label '{label}' of the output stands there twice or in no operand"
            )));
        }
    }
    Ok(())
}

/// The size of each label: that of its axes that are not broadcast, a known one where there is one.
fn sizes(
    cx: &Rule,
    terms: &[Vec<char>],
    dims: &[Vec<Dim>],
    ellipsis: &[char],
) -> Result<BTreeMap<char, Dim>> {
    let mut sizes: BTreeMap<char, Dim> = BTreeMap::new();
    for (&label, dim) in terms.iter().flatten().zip(dims.iter().flatten()) {
        let size = sizes.entry(label).or_insert_with(|| dim.clone());
        if is_one(size) {
            *size = dim.clone();
        }
        if is_one(dim) || size == dim {
            continue;
        }
        match (fixed(size), fixed(dim)) {
            (Some(a), Some(b)) => {
                return Err(Error::unreadable(format!("label '{label}' has sizes {a} and {b}")));
            }
            _ if ellipsis.contains(&label) => {
                return cx.refuse(format!(
                    "whether axes of sizes {size} and {dim} broadcast is only known at run time"
                ));
            }
            (None, Some(_)) => *size = dim.clone(),
            _ => {}
        }
    }
    Ok(sizes)
}

fn identity<'e>(cx: &Rule<'e>, size: &Dim, dx: Tangent) -> Expr<'e> {
    let range = cx.e.range(size);
    let column = range.reshape(&[size.clone(), Dim::Value(1)]);
    column.binary("Equal", range).indicator(dx.dtype())
}

#[cfg(test)]
mod tests;
