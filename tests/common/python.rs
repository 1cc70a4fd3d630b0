//! A Python of the tests' own, with the packages of `python/requirements.txt`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The interpreter; made once, in the target folder.
pub fn interpreter() -> PathBuf {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/requirements.txt");
    let wanted = fs::read(&requirements).unwrap();
    let executable = std::env::current_exe().unwrap();
    // Test executables lie in target/profile/deps.
    let target = executable.ancestors().nth(3).unwrap();
    let home = target.join("python");
    let (python, made) = (home.join("bin/python"), home.join("made-from.txt"));
    let lock = File::create(target.join("python.lock")).unwrap();
    lock.lock().unwrap();
    if fs::read(&made).is_ok_and(|made| made == wanted) {
        return python;
    }
    let help = "these tests need Python 3.10 or newer with venv, and the package index once";
    let run = |command: &mut Command| {
        let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}; {help}"));
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?} failed: {told}\n{help}");
    };
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home));
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    run(Command::new(&python).args(install).arg(&requirements));
    fs::write(&made, wanted).unwrap();
    python
}
