//! `slpc man`: the manual, made from the command line's own descriptions.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man as Page;

use super::Cli;
use super::terminal::{failure, say};
use crate::error::{Error, Result};
use crate::files::write_whole;

/// Print the manual page of slpc or of one of its commands.
#[derive(Args, Debug)]
pub struct Man {
    /// The command [default: slpc as a whole]
    command: Option<String>,
    /// Write all pages into this folder, made where it is missing, instead
    #[arg(short, long, value_name = "FOLDER", conflicts_with = "command")]
    output: Option<PathBuf>,
}

impl Man {
    /// Prints or writes pages in troff, as `man` reads them.
    ///
    /// # Errors
    /// When there is no such command, or something cannot be written.
    pub fn run(&self) -> Result<()> {
        let pages = pages()?;
        let Some(folder) = &self.output else {
            let wanted = self.command.as_ref().map_or("slpc".into(), |name| format!("slpc-{name}"));
            let found = pages.iter().find(|(name, _)| *name == wanted);
            let (_, page) = found.ok_or_else(|| {
                let names = pages.iter().filter_map(|(name, _)| name.strip_prefix("slpc-"));
                Error::request(format!("there is no command '{}'", &wanted["slpc-".len()..]))
                    .help(format!("the commands are {}", names.collect::<Vec<_>>().join(", ")))
            })?;
            return say(&String::from_utf8_lossy(page));
        };
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
        for (name, page) in pages {
            write_whole(&folder.join(format!("{name}.1")), |file| file.write_all(&page))?;
        }
        Ok(())
    }
}

/// Every page with its name, that of slpc first.
fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let mut whole = Cli::command().disable_help_subcommand(true);
    whole.build();
    let commands = [&whole].into_iter().chain(whole.get_subcommands());
    let render = |command: &Command| {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        let page = Page::new(command.clone()).source(concat!("slpc ", env!("CARGO_PKG_VERSION")));
        let mut text = Vec::new();
        page.render(&mut text).map_err(|e| failure(&e))?;
        Ok((name, text))
    };
    commands.map(render).collect()
}
