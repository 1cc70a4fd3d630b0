//! The code blocks of the documents that are marked `run` do what the text says.
//!
//! The blocks of a document run in order, in a folder of its own that holds `examples/` with the shipped network
//! and pictures. A block ```` ```text output ```` after one tells what it prints: every line must be a line of
//! the output, `…` standing for anything.

mod common;
#[path = "docs/links.rs"]
#[allow(dead_code, reason = "the links themselves are checked elsewhere")]
mod links;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::python;

/// A fenced block: what is said behind the fence, its first line, and what it holds.
struct Block {
    kind: String,
    line: usize,
    code: String,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut open = false;
    for (number, line) in text.lines().enumerate() {
        if let Some(kind) = line.strip_prefix("```") {
            open = !open;
            if open {
                let (kind, code) = (kind.trim().to_owned(), String::new());
                found.push(Block { kind, line: number + 2, code });
            }
        } else if let Some(block) = found.last_mut().filter(|_| open) {
            block.code.push_str(line);
            block.code.push('\n');
        }
    }
    assert!(!open, "a block is not closed");
    found
}

/// Whether a line of an output is what the text says, `…` standing for anything.
fn fits(told: &str, line: &str) -> bool {
    let mut rest = line;
    for (index, part) in told.split('…').enumerate() {
        match rest.find(part) {
            Some(0) => rest = &rest[part.len()..],
            Some(place) if index > 0 => rest = &rest[place + part.len()..],
            _ => return false,
        }
    }
    rest.is_empty() || told.ends_with('…')
}

/// The folder that the blocks of a document run in.
fn room() -> tempfile::TempDir {
    let room = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(room.path().join("examples/digits")).unwrap();
    let digits = (0..10).map(|digit| format!("examples/digits/{digit}.png"));
    for file in digits.chain(["examples/2conv_mnist.onnx".to_owned()]) {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join(&file);
        std::fs::copy(shipped, room.path().join(file)).unwrap();
    }
    room
}

/// Runs the marked blocks of a document.
fn run(document: &str, text: &str) {
    let interpreter = python::interpreter();
    let slpc = Path::new(env!("CARGO_BIN_EXE_slpc"));
    let mut path: Vec<PathBuf> =
        [slpc, &interpreter].map(|program| program.parent().unwrap().to_owned()).to_vec();
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let path = std::env::join_paths(path).unwrap();
    let (room, mut printed) = (room(), String::new());
    for Block { kind, line, code } in blocks(text) {
        let mut command = match kind.as_str() {
            "sh run" => Command::new("bash"),
            "python run" => Command::new(&interpreter),
            "text output" => {
                for told in code.lines().filter(|told| !told.trim().is_empty()) {
                    let there = printed.lines().any(|line| fits(told.trim_end(), line.trim_end()));
                    assert!(there, "{document}:{line}: '{told}' is not in:\n{printed}");
                }
                continue;
            }
            _ => continue,
        };
        let strict = if kind == "sh run" { format!("set -eu\n{code}") } else { code };
        command.current_dir(room.path()).env("PATH", &path).env("PYTHONUTF8", "1");
        let output = command.args(["-c", &strict]).output().unwrap();
        printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{document}:{line}:\n{printed}{wrong}");
    }
}

#[test]
fn the_blocks_of_the_documents_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let texts = links::documents(root).into_iter().map(|path| {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        (name, std::fs::read_to_string(path).unwrap())
    });
    let marked = |text: &str| blocks(text).iter().any(|block| block.kind.ends_with(" run"));
    let handles = texts
        .filter(|(_, text)| marked(text))
        .map(|(name, text)| (name.clone(), std::thread::spawn(move || run(&name, &text))));
    let handles: Vec<_> = handles.collect();
    let names: Vec<_> = handles.iter().map(|(name, _)| name.clone()).collect();
    for main in ["README.md", "docs/tutorial.md"] {
        assert!(names.iter().any(|name| name == main), "{main} has no block to run: {names:?}");
    }
    for (name, handle) in handles {
        handle.join().unwrap_or_else(|_| panic!("a block of {name} failed"));
    }
}

#[test]
fn blocks_and_outputs_are_told_apart() {
    let text = "a\n```sh run\nls\n```\nb\n```text output\nx … z\n```\n";
    let found = blocks(text);
    let kinds: Vec<_> = found.iter().map(|block| (block.kind.as_str(), block.line)).collect();
    assert_eq!(kinds, [("sh run", 3), ("text output", 7)]);
    let cases = [
        ("x … z", "x y z", true),
        ("x … z", "x z", false),
        ("x…", "xyz", true),
        ("…z", "xyz", true),
        ("x", "xy", false),
        ("y", "xy", false),
    ];
    for (told, line, wanted) in cases {
        assert_eq!(fits(told, line), wanted, "'{told}' '{line}'");
    }
}
