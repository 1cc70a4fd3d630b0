//! The links of the Markdown files.

use std::path::{Path, PathBuf};

/// Folders that hold no documents of ours.
const APART: [&str; 3] = ["target", ".git", "node_modules"];

/// The Markdown files under a folder.
pub fn documents(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !APART.contains(&name.as_str()) {
            found.extend(documents(&path));
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The text without fenced blocks and without code in it.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut kept = String::new();
    for line in text.lines() {
        let fence = line.trim_start().starts_with("```");
        if !fence && !fenced {
            let parts = line.split('`').step_by(2);
            kept.push_str(&parts.collect::<Vec<_>>().join("code"));
        }
        fenced ^= fence;
        kept.push('\n');
    }
    kept
}

/// What the links of a text lead to.
fn targets(text: &str) -> Vec<String> {
    let prose = prose(text);
    let mut found = Vec::new();
    let mut rest = prose.as_str();
    while let Some((_, after)) = rest.split_once("](") {
        let end = after.find(')').expect("a link ends");
        found.push(after[..end].trim().to_owned());
        rest = &after[end..];
    }
    found
}

/// The anchors of the headings, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let heading = line.trim_start_matches('#');
        if fenced || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = heading.trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        found.push(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
    }
    found
}

/// What is wrong with the links of a document.
pub fn broken(document: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(document).unwrap();
    let mut wrong = Vec::new();
    for target in targets(&text) {
        if target.starts_with("https://") || target.starts_with("http://localhost") {
            continue;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
        let file =
            if path.is_empty() { document.to_owned() } else { document.with_file_name(path) };
        let there = file.exists() && !path.starts_with('/');
        let anchored =
            || anchors(&std::fs::read_to_string(&file).unwrap()).contains(&anchor.to_owned());
        if !there || !(anchor.is_empty() || anchored()) {
            wrong.push(format!("{}: {target}", document.display()));
        }
    }
    wrong
}

#[test]
fn broken_links_are_found() {
    let room = tempfile::tempdir().unwrap();
    let at = |name: &str| room.path().join(name);
    std::fs::write(at("b.md"), "# Two Words, *slanted*\n```sh\n# no heading\n```\n").unwrap();
    let text = "[a](b.md) [b](b.md#two-words-slanted) ![c](no.png) [d](#none) [e](b.md#no-heading)\n\
                `[f](code)` [g](https://example.org)\n```\n[h](fenced)\n```\n# None at all\n";
    std::fs::write(at("a.md"), text).unwrap();
    let wrong: Vec<_> = broken(&at("a.md"));
    let ends: Vec<_> = wrong.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(ends, ["no.png", "#none", "b.md#no-heading"]);
    assert_eq!(documents(room.path()).len(), 2);
}
