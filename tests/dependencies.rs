//! What the program is built of: licences that fit its own, crates.io alone, and no crate that needs a
//! newer Rust than the one promised. Read from `cargo metadata`, offline. What is fuzzed is built of the
//! same.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn metadata() -> Value {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let words = ["metadata", "--format-version", "1", "--locked", "--offline", "--manifest-path"];
    let output = Command::new(env!("CARGO")).args(words).arg(manifest).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn packages(metadata: &Value) -> Vec<&Value> {
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "the dependencies are missing");
    packages.iter().collect()
}

fn text<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

/// The strings of the list that follows `key` in deny.toml.
fn list(key: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
    let file = std::fs::read_to_string(path).unwrap();
    let (_, rest) = file.split_once(key).unwrap_or_else(|| panic!("no {key} in deny.toml"));
    let (list, _) = rest.split_once(']').unwrap();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether one way to take a licence expression needs allowed licences only.
fn allowed(expression: &str, list: &[String]) -> bool {
    // Old crates write a slash for OR; parentheses stand around alternatives only.
    let expression = expression.replace('/', " OR ").replace(" AND ", " & ");
    let parts = expression.split(" & ");
    let fits = |part: &str| {
        let part = part.trim().trim_matches(['(', ')']);
        part.split(" OR ").any(|name| list.iter().any(|allowed| allowed == name.trim()))
    };
    parts.into_iter().all(fits)
}

#[test]
fn licences_fit() {
    let (list, exceptions) = (list("[licenses]"), list("[[licenses.exceptions]]\nallow = "));
    assert!(list.len() > 5 && exceptions == ["MPL-2.0"]);
    let metadata = metadata();
    let wrong = packages(&metadata).into_iter().filter(|package| {
        let licence = text(package, "license");
        let excepted = text(package, "name") == "onnx-protobuf" && licence == exceptions[0];
        !excepted && !allowed(licence, &list)
    });
    let wrong: Vec<_> =
        wrong.map(|p| format!("{}: '{}'", text(p, "name"), text(p, "license"))).collect();
    assert!(wrong.is_empty(), "licences that deny.toml does not allow: {wrong:?}");
}

#[test]
fn licence_expressions_are_understood() {
    let list = ["MIT", "Unicode-3.0"].map(str::to_owned);
    for fine in ["MIT", "MIT OR GPL-3.0", "GPL-2.0/MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
        assert!(allowed(fine, &list), "{fine}");
    }
    for wrong in ["", "GPL-3.0", "MIT AND GPL-3.0", "(GPL-3.0 OR MPL-2.0) AND MIT"] {
        assert!(!allowed(wrong, &list), "{wrong}");
    }
}

#[test]
fn the_exception_is_for_tests_alone() {
    let metadata = metadata();
    let own = packages(&metadata).into_iter().find(|p| text(p, "name") == "slpc").unwrap();
    let uses = own["dependencies"].as_array().unwrap().iter();
    let uses: Vec<_> = uses.filter(|d| text(d, "name") == "onnx-protobuf").collect();
    assert!(!uses.is_empty() && uses.iter().all(|d| text(d, "kind") == "dev"));
}

#[test]
fn every_crate_is_from_crates_io() {
    let metadata = metadata();
    for package in packages(&metadata) {
        let (name, source) = (text(package, "name"), text(package, "source"));
        let fine = source == "registry+https://github.com/rust-lang/crates.io-index";
        assert!(fine || (source.is_empty() && name == "slpc"), "{name} is from '{source}'");
    }
}

#[test]
fn no_crate_needs_a_newer_rust_than_is_promised() {
    let number = |version: &str| -> Vec<u32> {
        let mut parts: Vec<u32> = version.split('.').map(|part| part.parse().unwrap()).collect();
        parts.resize(3, 0);
        parts
    };
    let promised = number(env!("CARGO_PKG_RUST_VERSION"));
    let metadata = metadata();
    for package in packages(&metadata) {
        let needed = package["rust_version"].as_str();
        let fits = needed.is_none_or(|needed| number(needed) <= promised);
        assert!(fits, "{} needs Rust {needed:?}, {promised:?} is promised", text(package, "name"));
    }
}

/// The lines under `[dependencies]`, each with the crate's name in front.
fn dependencies(manifest: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(manifest);
    let text = fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once("\n[dependencies]\n").unwrap();
    let lines = rest.lines().take_while(|line| !line.starts_with('['));
    let parts = lines.filter_map(|line| line.split_once(" = "));
    parts.map(|(name, what)| (name.to_owned(), what.to_owned())).collect()
}

/// The text of a source file, or of all below a folder, but for tests.
fn sources(path: &Path) -> String {
    if ["tests", "tests.rs", "testing"].iter().any(|name| path.ends_with(name)) {
        return String::new();
    }
    if path.is_file() {
        let text = fs::read_to_string(path).unwrap();
        let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
        return text[..end].to_owned();
    }
    let entries = path.read_dir().unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| sources(&path)).collect()
}

/// Whether a path in the text begins with the crate.
fn names(text: &str, name: &str) -> bool {
    let path = format!("{}::", name.replace('-', "_"));
    let inside = |at: usize| {
        let before = text[..at].chars().next_back();
        before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    };
    text.match_indices(&path).any(|(at, _)| !inside(at))
}

/// The fuzzing crate is no part of the build: it would not tell that it lacks a crate.
#[test]
fn what_is_fuzzed_is_built_of_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rooms = fs::read_to_string(root.join("fuzz/src/lib.rs")).unwrap();
    let paths = rooms.lines().filter_map(|line| line.strip_prefix("#[path = \"../../"));
    let paths = paths.map(|path| path.trim_end_matches("\"]").trim_end_matches("/mod.rs"));
    let text: String = paths.map(|path| sources(&root.join(path))).collect();
    let own = dependencies("Cargo.toml");
    let used: Vec<_> = own.into_iter().filter(|(name, _)| names(&text, name)).collect();
    assert!(used.len() > 8, "{used:?}");
    let fuzzed = dependencies("fuzz/Cargo.toml");
    let missing: Vec<_> = used.iter().filter(|line| !fuzzed.contains(line)).collect();
    assert!(missing.is_empty(), "fuzz/Cargo.toml lacks {missing:?}");
}
