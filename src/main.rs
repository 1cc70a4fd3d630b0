//! Errors to exit codes, and nothing else.
#![forbid(unsafe_code)]

use std::panic;
use std::process::ExitCode;

use clap::Parser;
use slpc::cli::{Cli, complain, run};

fn main() -> ExitCode {
    let cli = Cli::parse();
    panic::set_hook(Box::new(|defect| {
        complain(&format!("{defect}; this is a defect of slpc: please report it"));
    }));
    match panic::catch_unwind(|| run(&cli)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            complain(&error.to_string());
            ExitCode::from(error.exit_code())
        }
        Err(_) => ExitCode::from(2),
    }
}
