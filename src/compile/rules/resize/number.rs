//! Numbers known at transform time or computed when the model runs, so that a formula is written once.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::compile::build::Expr;
use crate::graph::DataType;

/// What coordinates and weights are made of.
pub trait Number:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + Add<f64, Output = Self>
    + Sub<f64, Output = Self>
    + Mul<f64, Output = Self>
{
    /// A constant in the precision of this number.
    fn constant(self, value: f64) -> Self;

    /// Rounded down.
    fn floor(self) -> Self;

    /// The magnitude.
    fn abs(self) -> Self;

    /// The larger of two.
    fn max(self, other: Self) -> Self;

    /// The smaller of two.
    fn min(self, other: Self) -> Self;

    /// `then` where the number is above `bound`, `otherwise` elsewhere.
    fn above(self, bound: f64, then: Self, otherwise: Self) -> Self;

    /// In double precision.
    fn wide(self) -> Self;

    /// In the precision of `like`.
    fn narrow(self, like: Self) -> Self;
}

/// A number known at transform time, in single or double precision. Rounding a result in double
/// precision to single gives what the operation in single precision gives.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The number.
    pub value: f64,
    /// Whether it is held in single precision.
    pub single: bool,
}

impl Known {
    /// `value` in the precision that coordinates of a tensor of type `dtype` have.
    pub fn of(value: f64, dtype: DataType) -> Self {
        Self { value, single: false }.rounded(dtype != DataType::F64)
    }

    fn rounded(self, single: bool) -> Self {
        let value = if single { f64::from(self.value as f32) } else { self.value };
        Self { value, single }
    }
}

macro_rules! arithmetic {
    ($($trait:ident $method:ident $op:tt),*) => {$(
        impl $trait for Known {
            type Output = Self;
            fn $method(self, other: Self) -> Self {
                self.constant(self.value $op other.value)
            }
        }
        impl $trait<f64> for Known {
            type Output = Self;
            fn $method(self, other: f64) -> Self {
                self.constant(self.value $op self.constant(other).value)
            }
        }
    )*};
}
arithmetic!(Add add +, Sub sub -, Mul mul *, Div div /);

impl Neg for Known {
    type Output = Self;
    fn neg(self) -> Self {
        self.constant(-self.value)
    }
}

impl Number for Known {
    fn constant(self, value: f64) -> Self {
        Self { value, ..self }.rounded(self.single)
    }

    fn floor(self) -> Self {
        self.constant(self.value.floor())
    }

    fn abs(self) -> Self {
        self.constant(self.value.abs())
    }

    fn max(self, other: Self) -> Self {
        self.constant(self.value.max(other.value))
    }

    fn min(self, other: Self) -> Self {
        self.constant(self.value.min(other.value))
    }

    fn above(self, bound: f64, then: Self, otherwise: Self) -> Self {
        if self.value > self.constant(bound).value { then } else { otherwise }
    }

    fn wide(self) -> Self {
        self.rounded(false)
    }

    fn narrow(self, like: Self) -> Self {
        self.rounded(like.single)
    }
}

impl Number for Expr<'_> {
    fn constant(self, value: f64) -> Self {
        self.number(value)
    }

    fn floor(self) -> Self {
        self.unary("Floor")
    }

    fn abs(self) -> Self {
        self.unary("Abs")
    }

    fn max(self, other: Self) -> Self {
        self.binary("Max", other)
    }

    fn min(self, other: Self) -> Self {
        self.binary("Min", other)
    }

    fn above(self, bound: f64, then: Self, otherwise: Self) -> Self {
        then.where_(self.binary("Greater", self.number(bound)), otherwise)
    }

    fn wide(self) -> Self {
        self.cast(DataType::F64)
    }

    fn narrow(self, like: Self) -> Self {
        self.cast(like.dtype())
    }
}
