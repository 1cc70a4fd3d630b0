//! What went wrong, where, and what to do about it.

use std::fmt;
use std::path::PathBuf;

/// The result of every fallible operation in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of a failure, which decides the exit code of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The file is not a readable ONNX model (exit code 3).
    Unreadable,
    /// The request cannot be met for this model (exit code 2).
    Request,
    /// An operator, or a form of it, has no rule or cannot be expressed (exit code 2).
    Unsupported,
    /// A file could not be read or written (exit code 2).
    Io,
    /// An execution engine failed (exit code 2).
    Engine,
    /// A check of the promises failed (exit code 1).
    Check,
    /// The user has stopped the work (exit code 130).
    Interrupted,
    /// A defect of this program (exit code 2): please report it.
    Internal,
}

/// The place a failure points at; empty parts are not printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file concerned.
    pub file: Option<PathBuf>,
    /// The node's name, or its first output where it has none.
    pub node: Option<String>,
    /// The node's operator.
    pub operator: Option<String>,
    /// The value concerned.
    pub value: Option<String>,
}

/// One failure: what is wrong, where, and what to do.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Error {
    /// The kind of the failure.
    pub kind: Kind,
    /// What is wrong, as a clause without a final full stop.
    pub what: String,
    /// Where it is wrong.
    pub place: Box<Place>,
    /// What the user can do, as a clause without a final full stop.
    pub help: Option<String>,
}

impl Error {
    /// A failure of `kind` described by `what`.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), place: Box::default(), help: None }
    }

    /// The file is not a readable model.
    pub fn unreadable(what: impl Into<String>) -> Self {
        Self::new(Kind::Unreadable, what)
    }

    /// The request cannot be met.
    pub fn request(what: impl Into<String>) -> Self {
        Self::new(Kind::Request, what)
    }

    /// An operator or a form of it is not supported.
    pub fn unsupported(what: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, what)
    }

    /// A defect of this program.
    pub fn internal(what: impl Into<String>) -> Self {
        Self::new(Kind::Internal, what).help("this is a defect of slpc: please report it")
    }

    /// A failed read or write of `file`.
    pub fn io(file: impl Into<PathBuf>, error: &std::io::Error) -> Self {
        Self::new(Kind::Io, error.to_string()).file(file)
    }

    /// Adds the file, unless one is named already.
    pub fn file(mut self, file: impl Into<PathBuf>) -> Self {
        self.place.file.get_or_insert_with(|| file.into());
        self
    }

    /// Adds the node and its operator, unless they are named already.
    pub fn node(mut self, name: impl Into<String>, operator: impl Into<String>) -> Self {
        if self.place.node.is_none() {
            self.place.node = Some(name.into());
            self.place.operator = Some(operator.into());
        }
        self
    }

    /// Adds the value, unless one is named already.
    pub fn value(mut self, name: impl Into<String>) -> Self {
        self.place.value.get_or_insert_with(|| name.into());
        self
    }

    /// Adds what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The exit code of the command line for this failure.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Check => 1,
            Kind::Unreadable => 3,
            Kind::Interrupted => 130,
            _ => 2,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.place;
        if let Some(file) = &place.file {
            write!(f, "{}: ", file.display())?;
        }
        match (&place.node, &place.operator) {
            (Some(node), Some(operator)) => write!(f, "node '{node}' ({operator}): ")?,
            (Some(node), None) => write!(f, "node '{node}': ")?,
            _ => {}
        }
        if let Some(value) = &place.value {
            write!(f, "value '{value}': ")?;
        }
        write!(f, "{}", self.what)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_what_and_what_to_do() {
        let error = Error::unsupported("no rule for this operator")
            .node("/conv", "Foo")
            .value("y")
            .file("m.onnx")
            .help("choose an earlier layer");
        assert_eq!(
            error.to_string(),
            "m.onnx: node '/conv' (Foo): value 'y': no rule for this operator; choose an earlier layer"
        );
    }

    #[test]
    fn the_innermost_place_wins() {
        let error = Error::request("x").node("inner", "A").node("outer", "B");
        assert_eq!(error.place.node.as_deref(), Some("inner"));
    }
}
