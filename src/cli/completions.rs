//! `slpc completions`: what lets a shell complete the command line.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::Cli;
use super::terminal::say;
use crate::error::Result;

/// Print the completions for a shell.
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the script, which the shell reads where its manual says.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn run(&self) -> Result<()> {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "slpc", &mut script);
        say(&String::from_utf8_lossy(&script))
    }
}
