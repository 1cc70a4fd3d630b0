//! The rule of dependencies: rooms and stages import one way only, and files stay short.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The rooms that each room may import.
const ROOMS: [(&str, &[&str]); 11] = [
    ("error", &[]),
    ("graph", &["error"]),
    ("files", &["error"]),
    ("noise", &[]),
    ("onnx", &["error", "graph", "files"]),
    ("engine", &["error", "graph"]),
    ("compile", &["error", "graph", "noise"]),
    ("verify", &["error", "graph", "onnx", "engine", "noise"]),
    ("analyse", &["error", "graph", "noise"]),
    ("render", &["error", "graph", "files", "analyse"]),
    (
        "cli",
        &[
            "error", "graph", "files", "noise", "onnx", "engine", "compile", "verify", "analyse",
            "render",
        ],
    ),
];

/// The stages of the compiler that each stage may import: none that comes after it.
const STAGES: [(&str, &[&str]); 17] = [
    ("normalise", &[]),
    ("infer", &[]),
    ("build", &["infer"]),
    ("linear", &["build", "infer"]),
    ("rules", &["build", "linear", "infer"]),
    ("select", &["rules"]),
    ("fuse", &["build", "linear"]),
    ("linearise", &["build", "linear", "rules", "fuse"]),
    ("plan", &["linear", "select", "linearise"]),
    ("simplify", &["infer"]),
    ("blocks", &["build", "simplify"]),
    ("target", &["infer", "simplify"]),
    ("accumulate", &["build", "linear", "select", "linearise", "plan", "blocks"]),
    ("switches", &["build", "linear", "rules", "linearise", "plan", "accumulate"]),
    ("project", &["build", "select", "accumulate", "switches"]),
    ("summary", &["build", "linearise", "plan", "select"]),
    (
        "layers",
        &[
            "build",
            "linear",
            "linearise",
            "plan",
            "select",
            "blocks",
            "accumulate",
            "switches",
            "project",
            "summary",
        ],
    ),
];

/// The most lines of a file.
const LINES: usize = 500;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The modules that a file stands for, from the crate down: `compile`, `rules`, `pooling`.
fn modules(file: &Path) -> Vec<String> {
    let path = file.strip_prefix(src()).unwrap().with_extension("");
    let mut parts: Vec<String> =
        path.components().map(|c| c.as_os_str().to_str().unwrap().to_owned()).collect();
    if parts.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// Whether the file holds tests only, which may use what they like.
fn is_test(file: &Path) -> bool {
    let within = file.strip_prefix(src()).unwrap();
    within.components().any(|c| {
        let name = c.as_os_str().to_str().unwrap();
        let stem = name.strip_suffix(".rs").unwrap_or(name);
        stem == "tests" || stem == "test" || stem == "testing" || stem.ends_with("_tests")
    })
}

/// The file without its comments and its tests.
fn code(text: &str) -> String {
    let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    let lines = lines.map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Every module path that the code names through `crate::` or `super::`, from the crate down;
/// groups in braces are taken apart.
fn imports(at: &[String], code: &str) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for (start, _) in code.match_indices("crate::") {
        paths(&code[start + 7..], &[], &mut found);
    }
    let mut rest = code;
    while let Some(start) = rest.find("super::") {
        let mut up = 0;
        rest = &rest[start..];
        while let Some(after) = rest.strip_prefix("super::") {
            (rest, up) = (after, up + 1);
        }
        let base = at.len().saturating_sub(up);
        paths(rest, &at[..base], &mut found);
    }
    found
}

/// The first two steps of the paths that `text` begins with, below `base`.
fn paths(text: &str, base: &[String], found: &mut BTreeSet<Vec<String>>) {
    if let Some(group) = text.strip_prefix('{') {
        let (mut depth, mut start) = (0, 0);
        for (i, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    paths(group[start..i].trim(), base, found);
                    start = i + 1;
                    if letter == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
        return;
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    if word.is_empty() || word == "self" {
        found.insert(base.to_vec());
        return;
    }
    let path = [base, &[word.to_owned()]].concat();
    match rest.strip_prefix("::") {
        Some(rest) if path.len() < 2 => paths(rest, &path, found),
        _ => drop(found.insert(path)),
    }
}

fn allowed<'a>(table: &'a [(&str, &'a [&'a str])], name: &str) -> Option<&'a [&'a str]> {
    table.iter().find(|(entry, _)| *entry == name).map(|(_, list)| *list)
}

#[test]
fn rooms_and_stages_import_one_way() {
    let mut breaches = Vec::new();
    for file in sources(&src()).iter().filter(|file| !is_test(file)) {
        let at = modules(file);
        let Some(room) = at.first() else { continue };
        let mine = allowed(&ROOMS, room).unwrap_or_else(|| panic!("the room '{room}' is unknown"));
        let stage = at.get(1).filter(|_| room == "compile");
        for path in imports(&at, &code(&std::fs::read_to_string(file).unwrap())) {
            let Some(other) = path.first() else { continue };
            let is_room = allowed(&ROOMS, other).is_some();
            if is_room && other != room && !mine.contains(&other.as_str()) {
                breaches.push(format!("{}: {room} imports {other}", file.display()));
            }
            let (Some(stage), Some(part)) = (stage, path.get(1).filter(|_| other == "compile"))
            else {
                continue;
            };
            let list = allowed(&STAGES, stage)
                .unwrap_or_else(|| panic!("the stage '{stage}' is unknown: add it to the table"));
            if part != stage && allowed(&STAGES, part).is_some() && !list.contains(&part.as_str()) {
                breaches.push(format!("{}: {stage} imports {part}", file.display()));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn no_stage_may_import_a_later_one() {
    for (index, (stage, list)) in STAGES.iter().enumerate() {
        for other in *list {
            let earlier = STAGES[..index].iter().any(|(name, _)| name == other);
            assert!(earlier, "the table lets {stage} import {other}");
        }
    }
}

#[test]
fn imports_are_read_in_every_form() {
    let at = ["compile", "rules", "pooling"].map(str::to_owned);
    let text = "use super::{Entry, window::{Windows, geometry}};\nuse crate::graph::Dim;\n\
                use super::super::plan::Plan; crate::{error::Error, compile::{build, linear::Conv}}";
    let found: Vec<String> = imports(&at, text).iter().map(|path| path.join("::")).collect();
    let expected = [
        "compile::build",
        "compile::linear",
        "compile::plan",
        "compile::rules::Entry",
        "compile::rules::window",
        "error::Error",
        "graph::Dim",
    ];
    assert_eq!(found, expected);
}

#[test]
fn files_are_short() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut long = Vec::new();
    for file in sources(&src()).into_iter().chain(sources(&tests)) {
        let lines = std::fs::read_to_string(&file).unwrap().lines().count();
        if lines > LINES {
            long.push(format!("{}: {lines} lines", file.display()));
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}
