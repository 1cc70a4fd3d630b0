//! The command line: one file a subcommand; no mathematics, no graph surgery.

pub mod data;
mod preprocess;

pub use preprocess::{Channels, Layout, Preprocess};
