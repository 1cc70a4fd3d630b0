//! `docs/cli.md`, from what clap knows of the command line.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory};
use slpc::cli::Cli;

const HEAD: &str = "# Command line\n\n\
    Made from the program's own help by `SLPC_UPDATE=1 cargo test --test docs`. `slpc COMMAND --help` prints the\n\
    same, `slpc man COMMAND` as a manual page, and `slpc completions SHELL` teaches a shell the options.\n\n\
    Messages go to standard error. The exit code is 0 when all was done, 1 when a check failed, 2 when the request\n\
    can't be met (an unknown layer, an unsupported operator, too much memory), 3 when a file is no readable ONNX\n\
    model. An output file appears whole or not at all.\n\n";

/// The page.
pub fn page() -> String {
    let mut whole = Cli::command().disable_help_subcommand(true);
    whole.build();
    let mut text = HEAD.to_owned();
    text.push_str("| command | |\n|---|---|\n");
    for command in whole.get_subcommands() {
        let name = command.get_name();
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(text, "| [`slpc {name}`](#slpc-{name}) | {} |", cell(&about)).unwrap();
    }
    for command in whole.get_subcommands_mut() {
        section(&mut text, command);
    }
    text
}

fn section(text: &mut String, command: &mut Command) {
    let usage = command.render_usage().to_string();
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string);
    let usage = usage.trim_start_matches("Usage: ");
    let about = about.unwrap_or_default();
    let name = command.get_name();
    write!(text, "\n## slpc {name}\n\n{about}\n\n```text\n{usage}\n```\n\n").unwrap();
    text.push_str("| option | meaning |\n|---|---|\n");
    let listed =
        |arg: &&Arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str());
    let (positional, options): (Vec<&Arg>, Vec<&Arg>) =
        command.get_arguments().filter(listed).partition(|arg| arg.is_positional());
    for arg in positional.into_iter().chain(options) {
        writeln!(text, "| {} | {} |", label(arg), meaning(arg)).unwrap();
    }
}

/// How an argument is written: `-o`, `--output FILE`.
fn label(arg: &Arg) -> String {
    let takes = arg.get_action().takes_values();
    let names = arg.get_value_names().unwrap_or_default().join(" ");
    let value = if takes && !names.is_empty() { names } else { String::new() };
    if arg.is_positional() {
        let many = arg.get_num_args().is_some_and(|count| count.max_values() > 1);
        return format!("`{value}{}`", if many { "…" } else { "" });
    }
    let short = arg.get_short().map(|letter| format!("`-{letter}`, ")).unwrap_or_default();
    let long = arg.get_long().unwrap_or_default();
    let value = if value.is_empty() { value } else { format!(" {value}") };
    cell(&format!("{short}`--{long}{value}`"))
}

/// What an argument does, its values and its default.
fn meaning(arg: &Arg) -> String {
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string);
    let mut text = lines(&help.unwrap_or_default());
    let values: Vec<String> = if arg.get_action().takes_values() {
        let shown = arg.get_possible_values().into_iter().filter(|value| !value.is_hide_set());
        shown
            .map(|value| match value.get_help() {
                Some(help) => {
                    format!("`{}` ({})", value.get_name(), begun(&cell(&help.to_string())))
                }
                None => format!("`{}`", value.get_name()),
            })
            .collect()
    } else {
        vec![]
    };
    if !values.is_empty() {
        write!(text, ": {}", values.join(", ")).unwrap();
    }
    let default: Vec<_> = arg.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
    if !default.is_empty() && arg.get_action().takes_values() {
        write!(text, " [default: {}]", cell(&default.join(","))).unwrap();
    }
    text
}

/// Text whose lines stay apart inside a cell.
fn lines(text: &str) -> String {
    let lines = text.lines().map(cell).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("<br>")
}

/// A sentence inside another: its first letter small.
fn begun(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_lowercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

/// Text that stays inside a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
