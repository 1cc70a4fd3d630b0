//! Runs files; the only place that sees an execution engine.
//!
//! An engine takes the bytes of a model and named arrays, and gives named arrays. The one built in
//! is tract ([`tract::Session`]).

mod array;
mod defects;
mod guard;
pub mod tract;

pub use array::Array;
