//! The command line: one file a subcommand; no mathematics, no graph surgery.

mod capacity;
mod completions;
pub mod data;
pub mod engine;
mod explain;
mod given;
mod inspect;
pub mod interrupt;
pub mod labels;
mod man;
mod preprocess;
mod probe;
pub mod results;
mod run;
mod samples;
mod sanity;
mod size;
mod spa;
mod stats;
mod study;
mod summary;
mod sweep;
mod terminal;
mod transform;
mod verify;

use clap::{Parser, Subcommand};

pub use preprocess::{Channels, Layout, Preprocess};
pub use terminal::complain;

use crate::error::Result;

/// The version, and the commit that it was built from.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SLPC_BUILD"), ")");

/// Makes ONNX models compute their own switched linear projections.
#[derive(Debug, Parser)]
#[command(version = VERSION, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Transform(transform::Transform),
    Inspect(inspect::Inspect),
    Verify(verify::Verify),
    Run(run::Run),
    Explain(explain::Explain),
    Spa(spa::Spa),
    Capacity(capacity::Capacity),
    Stats(stats::Stats),
    Sanity(sanity::Sanity),
    Completions(completions::Completions),
    Man(man::Man),
}

/// Does what the command line says.
///
/// # Errors
/// As the commands say; the error's exit code is the program's.
pub fn run(cli: &Cli) -> Result<()> {
    match &cli.command {
        Command::Transform(command) => command.run(),
        Command::Inspect(command) => command.run(),
        Command::Verify(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Spa(command) => command.run(),
        Command::Capacity(command) => command.run(),
        Command::Stats(command) => command.run(),
        Command::Sanity(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    }
}
