//! What people read: standard output and standard error, whoever still listens.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use crate::error::{Error, Kind, Result};

/// Standard output for which a reader that has gone away is no error.
pub struct Output(io::StdoutLock<'static>);

impl Output {
    /// Standard output.
    pub fn new() -> Self {
        Self(io::stdout().lock())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

/// Prints `text` on standard output.
///
/// # Errors
/// When it cannot be written there, for other reasons than that nobody reads it.
pub fn say(text: &str) -> Result<()> {
    let mut output = Output::new();
    let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    written.map_err(|error| failure(&error))
}

/// A failed write to standard output.
pub fn failure(error: &io::Error) -> Error {
    Error::new(Kind::Io, format!("standard output cannot be written: {error}"))
}

/// Prints `text` on standard error, where nothing can be done about a failure.
pub fn note(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Prints an error message on standard error.
pub fn complain(text: &str) {
    note(&format!("error: {text}\n"));
}

/// A bar of `total` samples on standard error: shown on a terminal, unless all should be quiet.
pub fn progress(total: usize, quiet: bool) -> ProgressBar {
    if quiet || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total as u64);
    let template = "{bar:40} {pos} of {len} samples, {eta} left";
    bar.set_style(
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}

/// Whether `path` stands for standard output.
pub fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// How many columns of a terminal `text` takes: accents that join the letter before take none.
fn cells(text: &str) -> usize {
    text.chars().filter(|c| !('\u{300}'..='\u{36f}').contains(c)).count()
}

/// Rows of cells as lines, the cells of a column below each other.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cells(cell)).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let padded = row.iter().zip(&widths).map(|(cell, &width)| {
            format!("{cell}{}", " ".repeat(width.saturating_sub(cells(cell))))
        });
        let line = padded.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_not_padded() {
        let row = |cells: &[&str]| cells.iter().map(|&c| c.to_owned()).collect::<Vec<_>>();
        let text = table(&[row(&["a", "b\u{302}", "x"]), row(&["long", "bb", "y"]), row(&[])]);
        assert_eq!(text, "a     b\u{302}   x\nlong  bb  y\n\n");
    }
}
