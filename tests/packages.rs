//! What packages are made of: the version and its commit, completions, manual pages.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

#[path = "../build/commit.rs"]
mod commit;

fn slpc(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_slpc")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn done(arguments: &[&str]) -> String {
    let (code, told, wrong) = slpc(arguments);
    assert_eq!((code, wrong.as_str()), (0, ""), "{arguments:?}");
    told
}

fn git(folder: &Path, arguments: &[&str]) {
    let mut git = Command::new("git");
    git.arg("-C").arg(folder).args(["-c", "user.name=A", "-c", "user.email=a@example.org"]);
    let output = git.args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A folder with a source file, committed.
fn repository() -> TempDir {
    let room = tempfile::tempdir().unwrap();
    std::fs::create_dir(room.path().join("src")).unwrap();
    std::fs::write(room.path().join("src/lib.rs"), "//! A library.\n").unwrap();
    git(room.path(), &["init", "-q"]);
    git(room.path(), &["add", "."]);
    git(room.path(), &["commit", "-q", "-m", "Begin"]);
    room
}

#[test]
fn a_checkout_names_its_commit_and_says_when_the_sources_differ() {
    let room = repository();
    let named = commit::of(room.path()).unwrap();
    assert!(named.len() == 12 && named.bytes().all(|b| b.is_ascii_hexdigit()), "{named}");
    assert!(commit::watched(room.path()).iter().any(|path| path.ends_with("HEAD")));
    std::fs::write(room.path().join("src/lib.rs"), "//! Another.\n").unwrap();
    assert_eq!(commit::of(room.path()), Some(format!("{named}-modified")));
    // A package unpacked inside somebody else's repository is not that repository's.
    assert_eq!(commit::of(&room.path().join("src")), None);
}

#[test]
fn a_package_says_its_commit_and_what_says_none_has_none() {
    let room = tempfile::tempdir().unwrap();
    assert_eq!(commit::of(room.path()), None);
    let file = room.path().join(".cargo_vcs_info.json");
    let digits = "0123456789abcdef0123456789abcdef01234567";
    std::fs::write(&file, format!("{{\n \"git\": {{ \"sha1\": \"{digits}\" }} }}")).unwrap();
    assert_eq!(commit::of(room.path()).as_deref(), Some("0123456789ab"));
    for wrong in ["{\"git\": {\"sha1\": \"short\"}}", "{\"git\": {\"sha1\": 7}}", ""] {
        std::fs::write(&file, wrong).unwrap();
        assert_eq!(commit::of(room.path()), None, "{wrong}");
    }
}

#[test]
fn the_version_says_what_was_built() {
    let version = done(&["--version"]);
    let build = if cfg!(debug_assertions) { " (debug build)\n" } else { " (commit " };
    let wanted = format!("slpc {}{build}", env!("CARGO_PKG_VERSION"));
    assert!(version.starts_with(&wanted), "{version}");
}

#[test]
fn every_shell_gets_completions_that_know_the_options() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = done(&["completions", shell]);
        assert!(script.contains("transform") && script.contains("neurons"), "{shell}");
    }
    let (code, _, wrong) = slpc(&["completions", "tcsh"]);
    assert!(code == 2 && wrong.contains("bash"), "{wrong}");
}

#[test]
fn bash_takes_the_completions() {
    let script = done(&["completions", "bash"]);
    let ask = "COMP_WORDS=(slpc transform --neu); COMP_CWORD=2\n\
               _slpc slpc --neu transform\necho \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").arg("-c").arg(script + "\n" + ask).output();
    let Ok(output) = output else { return eprintln!("SKIPPED: there is no bash") };
    assert_eq!(String::from_utf8_lossy(&output.stdout), "--neurons\n");
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let whole = done(&["man"]);
    assert!(whole.contains(".TH slpc 1") && whole.contains("slpc\\-transform(1)"), "{whole}");
    assert!(done(&["man", "verify"]).contains(".TH slpc-verify 1"));
    let (code, _, wrong) = slpc(&["man", "nothing"]);
    assert!(code == 2 && wrong.contains("the commands are transform"), "{wrong}");
    let room = tempfile::tempdir().unwrap();
    let folder = room.path().join("man1");
    done(&["man", "--output", folder.to_str().unwrap()]);
    let commands = whole.lines().filter(|line| line.starts_with("slpc\\-")).count();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1 + commands);
    assert!(commands >= 10 && folder.join("slpc.1").is_file());
}
