//! The commit that a build is made from, for `slpc --version`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What `folder`, the package, is built from: twelve digits of the commit, with `-modified` where
/// the sources differ from it. A package from a registry says it in `.cargo_vcs_info.json`. None
/// where neither git nor that file knows.
pub fn of(folder: &Path) -> Option<String> {
    checked_out(folder).or_else(|| packaged(folder))
}

/// The files that change with the commit. The index is none of them: looking at it changes it.
pub fn watched(folder: &Path) -> Vec<PathBuf> {
    let branch = git(folder, &["symbolic-ref", "-q", "HEAD"]).unwrap_or_default();
    let names = ["HEAD", "logs/HEAD", "packed-refs", branch.as_str()];
    let path = |name: &str| Some(folder.join(git(folder, &["rev-parse", "--git-path", name])?));
    let paths = names.into_iter().filter(|name| !name.is_empty()).filter_map(path);
    paths.filter(|path| path.is_file()).collect()
}

fn checked_out(folder: &Path) -> Option<String> {
    // An unpacked archive may lie inside somebody else's repository.
    let top = PathBuf::from(git(folder, &["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != folder.canonicalize().ok()? {
        return None;
    }
    let commit = git(folder, &["rev-parse", "--short=12", "HEAD"])?;
    let sources = ["status", "--porcelain", "--untracked-files=no", "--", "src", "proto", "build"];
    let files = ["build.rs", "Cargo.toml", "Cargo.lock"];
    let changes = git(folder, &[&sources[..], &files].concat())?;
    Some(if changes.is_empty() { commit } else { commit + "-modified" })
}

fn packaged(folder: &Path) -> Option<String> {
    let text = std::fs::read_to_string(folder.join(".cargo_vcs_info.json")).ok()?;
    let digits = text.split_once("\"sha1\"")?.1.split('"').nth(1)?;
    let hexadecimal = digits.len() >= 12 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    hexadecimal.then(|| digits[..12].to_owned())
}

fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
