//! What a model declares of its inputs and outputs.

use std::collections::HashMap;
use std::fmt;

use super::failure;
use crate::error::{Error, Result};
use crate::graph::DataType;

/// The extent of one axis as a model declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A number.
    Fixed(usize),
    /// A symbol: axes of one name have one extent in a run.
    Named(String),
    /// Anything.
    Open,
}

impl Extent {
    /// The number, where it is one.
    pub fn fixed(&self) -> Option<usize> {
        match self {
            Self::Fixed(n) => Some(*n),
            Self::Named(_) | Self::Open => None,
        }
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(n) => write!(f, "{n}"),
            Self::Named(name) => f.write_str(name),
            Self::Open => f.write_str("?"),
        }
    }
}

/// An input or output of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The name.
    pub name: String,
    /// The element type, where it is declared and the value is a tensor.
    pub dtype: Option<DataType>,
    /// The axes, where the rank is declared.
    pub dims: Option<Vec<Extent>>,
}

/// The numbers that symbolic extents take in a run.
pub(super) type Symbols = HashMap<String, usize>;

impl Port {
    /// The shape, where every axis is a number.
    pub fn fixed_shape(&self) -> Option<Vec<usize>> {
        self.dims.as_ref()?.iter().map(Extent::fixed).collect()
    }

    /// The port with the extents that `symbols` gives a number.
    pub(super) fn bound(&self, symbols: &Symbols) -> Self {
        let number = |extent: &Extent| match extent {
            Extent::Named(name) => {
                symbols.get(name).map_or_else(|| extent.clone(), |&n| Extent::Fixed(n))
            }
            _ => extent.clone(),
        };
        let dims = self.dims.as_ref().map(|dims| dims.iter().map(number).collect());
        Self { dims, ..self.clone() }
    }

    /// Checks that an array of `dtype` and `shape` fits, and learns what its symbols stand for.
    pub(super) fn bind(
        &self,
        dtype: DataType,
        shape: &[usize],
        symbols: &mut Symbols,
    ) -> Result<()> {
        if let Some(wanted) = self.dtype.filter(|&wanted| wanted != dtype) {
            let (found, wanted) = (dtype.name(), wanted.name());
            let what = format!("the array is of {found} where the model takes {wanted}");
            return Err(failure(what).value(&self.name));
        }
        self.bind_shape(shape, symbols)
    }

    /// As [`Port::bind`], for a shape alone.
    pub(super) fn bind_shape(&self, shape: &[usize], symbols: &mut Symbols) -> Result<()> {
        self.check_shape(shape)?;
        for (extent, &n) in self.dims.iter().flatten().zip(shape) {
            let Extent::Named(symbol) = extent else { continue };
            let before = *symbols.entry(symbol.clone()).or_insert(n);
            if before != n {
                let what = format!("the axis '{symbol}' is {n} here and {before} in another place");
                return Err(failure(what).value(&self.name));
            }
        }
        Ok(())
    }

    /// Checks that `shape` has the declared rank and numbers.
    pub(super) fn check_shape(&self, shape: &[usize]) -> Result<()> {
        let Some(dims) = &self.dims else { return Ok(()) };
        let fits = dims.len() == shape.len()
            && dims.iter().zip(shape).all(|(dim, &n)| dim.fixed().is_none_or(|dim| dim == n));
        if fits {
            return Ok(());
        }
        let dims: Vec<_> = dims.iter().map(Extent::to_string).collect();
        let what = format!("the shape is {shape:?} where [{}] is expected", dims.join(", "));
        Err(failure(what).value(&self.name))
    }
}

/// The place of the port called `name`.
pub(super) fn known(name: &str, ports: &[Port]) -> Result<usize> {
    ports.iter().position(|port| port.name == name).ok_or_else(|| unknown(name, ports))
}

fn unknown(name: &str, ports: &[Port]) -> Error {
    let names: Vec<_> = ports.iter().map(|port| &*port.name).collect();
    failure("the model has no such input")
        .value(name)
        .help(format!("its inputs are: {}", names.join(", ")))
}

/// For each port the place of its array in the list `names`.
pub(super) fn matched<'a>(
    ports: &[Port],
    names: impl Iterator<Item = &'a str> + Clone,
) -> Result<Vec<usize>> {
    for name in names.clone() {
        known(name, ports)?;
    }
    let place = |port: &Port| {
        names
            .clone()
            .position(|name| name == port.name)
            .ok_or_else(|| failure("the input was given no array").value(&port.name))
    };
    ports.iter().map(place).collect()
}
