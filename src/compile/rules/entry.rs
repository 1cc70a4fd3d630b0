//! What the table says of one operator.

use super::Rule;
use super::refusals::REFUSALS;
use crate::error::Result;
use crate::graph::Node;

/// The rule of one operator.
pub struct Entry {
    /// The operator.
    pub op: &'static str,
    /// Its domain; empty for the ONNX standard.
    pub domain: &'static str,
    /// The inputs that may depend on the projected input.
    pub inputs: Inputs,
    /// Whether the switched network computes the operator exactly, or only its tangent.
    pub shape: Shape,
    /// The forms of the operator that are not of that shape.
    pub form: Option<Form>,
    /// Whether its subgraphs may read values that depend on the projected input.
    pub bodies: bool,
    /// What is taken where there is no derivative; empty where there always is one.
    pub kink: &'static str,
    /// The rule; none where the derivative is zero almost everywhere.
    pub rule: Option<fn(&Rule<'_>) -> Result<()>>,
}

/// Forms of an operator whose shape depends on attributes.
pub struct Form {
    /// What the table says of them.
    pub text: &'static str,
    /// The shape of a node.
    pub shape: fn(&Node) -> Shape,
}

/// Inputs by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// Every one.
    All,
    /// The first.
    First,
    /// These.
    Only(&'static [usize]),
}

/// What an operator is as a function of the inputs that may depend on the projected input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// Affine or piecewise affine: theorem 1 holds exactly.
    Piecewise,
    /// A product: exact where at most one of inputs 0 and 1 changes.
    Product,
    /// A product of every input: exact where at most one changes.
    Multilinear,
    /// A quotient: exact where input 1 does not change.
    Quotient,
    /// Exact where none of these inputs changes.
    Unless(&'static [usize]),
    /// Curved: corollary 1.1 gives the tangent.
    Smooth,
}

/// More inputs than an operator of [`Shape::Multilinear`] can have.
const MOST_FACTORS: usize = 64;

impl Shape {
    /// Whether theorem 1 holds exactly when the inputs that `changes` tells change.
    pub fn is_exact(self, changes: impl Fn(usize) -> bool) -> bool {
        match self {
            Self::Piecewise => true,
            Self::Product => !(changes(0) && changes(1)),
            Self::Multilinear => (0..MOST_FACTORS).filter(|&i| changes(i)).nth(1).is_none(),
            Self::Quotient => !changes(1),
            Self::Unless(inputs) => !inputs.iter().any(|&i| changes(i)),
            Self::Smooth => false,
        }
    }
}

impl Inputs {
    /// Whether input `index` is among them.
    pub fn contains(self, index: usize) -> bool {
        match self {
            Self::All => true,
            Self::First => index == 0,
            Self::Only(list) => list.contains(&index),
        }
    }
}

impl Entry {
    pub(super) const fn exact(
        op: &'static str,
        inputs: Inputs,
        rule: fn(&Rule<'_>) -> Result<()>,
    ) -> Self {
        Self {
            op,
            domain: "",
            inputs,
            shape: Shape::Piecewise,
            form: None,
            bodies: false,
            kink: "",
            rule: Some(rule),
        }
    }

    pub(super) const fn smooth(
        op: &'static str,
        inputs: Inputs,
        rule: fn(&Rule<'_>) -> Result<()>,
    ) -> Self {
        Self::exact(op, inputs, rule).shaped(Shape::Smooth)
    }

    pub(super) const fn shaped(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }

    pub(super) const fn with_bodies(mut self) -> Self {
        self.bodies = true;
        self
    }

    pub(super) const fn zero(op: &'static str) -> Self {
        let (shape, kink) = (Shape::Piecewise, "0 everywhere");
        Self {
            op,
            domain: "",
            inputs: Inputs::All,
            shape,
            form: None,
            bodies: false,
            kink,
            rule: None,
        }
    }

    pub(super) const fn form(mut self, text: &'static str, shape: fn(&Node) -> Shape) -> Self {
        self.form = Some(Form { text, shape });
        self
    }

    /// The forms of the operator that the rule refuses; empty where it takes all.
    pub fn refusals(&self) -> &'static str {
        let name = self.operator();
        let listed = REFUSALS.iter().find(|(op, _)| *op == name);
        listed.map_or("", |(_, forms)| forms)
    }

    /// Whether theorem 1 holds exactly for a node when the inputs that `changes` tells change.
    pub fn is_exact(&self, node: &Node, changes: impl Fn(usize) -> bool) -> bool {
        self.form.as_ref().map_or(self.shape, |form| (form.shape)(node)).is_exact(changes)
    }

    pub(super) const fn kink(mut self, kink: &'static str) -> Self {
        self.kink = kink;
        self
    }

    pub(super) const fn of(mut self, domain: &'static str) -> Self {
        self.domain = domain;
        self
    }

    /// The operator as people name it: `domain.op` outside the standard.
    pub fn operator(&self) -> String {
        if self.domain.is_empty() {
            self.op.to_owned()
        } else {
            format!("{}.{}", self.domain, self.op)
        }
    }
}
