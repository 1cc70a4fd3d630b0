//! Where ONNX Runtime's library is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::failure;
use crate::error::{Error, Result};

const INSTALL: &str = "install it (pip install onnxruntime), or name its library with \
                       --onnxruntime PATH or ORT_DYLIB_PATH";

/// Prints the folder of the package, without importing it and never from the working folder.
const WHERE: &str = "import sys; sys.path = [p for p in sys.path if p]; import importlib.util as u; \
                     s = u.find_spec('onnxruntime'); print(s.submodule_search_locations[0])";

/// The library that `named` gives, else the variable `ORT_DYLIB_PATH`, else an installed Python
/// package, that of an activated environment first.
pub(super) fn find(named: Option<&Path>) -> Result<PathBuf> {
    search(named, |name| std::env::var_os(name), package)
}

fn search(
    named: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
    package: impl Fn(&Path) -> Option<PathBuf>,
) -> Result<PathBuf> {
    if let Some(path) = named {
        return at(path, "--onnxruntime");
    }
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = set("ORT_DYLIB_PATH") {
        return at(&path, "ORT_DYLIB_PATH");
    }
    let mut interpreters = Vec::new();
    if let Some(home) = set("VIRTUAL_ENV") {
        interpreters.push(home.join(if cfg!(windows) {
            "Scripts/python.exe"
        } else {
            "bin/python"
        }));
    }
    interpreters.extend(["python3", "python"].map(PathBuf::from));
    let packages = interpreters.iter().filter_map(|interpreter| package(interpreter));
    packages.filter_map(|folder| inside(&folder)).next().ok_or_else(|| {
        failure("ONNX Runtime is not installed: no library is named and Python has no such package")
            .help(INSTALL)
    })
}

/// The library that `path` is or holds; an absolute path, since a bare name would be searched for.
fn at(path: &Path, what: &str) -> Result<PathBuf> {
    let whole = std::fs::canonicalize(path).map_err(|e| Error::io(path, &e).help(INSTALL))?;
    if !whole.is_dir() {
        return Ok(whole);
    }
    inside(&whole).ok_or_else(|| {
        failure(format!("{what} names a folder without ONNX Runtime's library"))
            .file(path)
            .help(INSTALL)
    })
}

/// The library in a folder or in `capi` or `lib` below it, as packages have it.
fn inside(folder: &Path) -> Option<PathBuf> {
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let rest = name.strip_prefix("lib").unwrap_or(&name).strip_prefix("onnxruntime");
        rest.is_some_and(|rest| {
            rest == ".dll"
                || rest.starts_with(".so")
                || rest.ends_with(".dylib") && !rest.starts_with('_')
        })
    };
    [folder.to_owned(), folder.join("capi"), folder.join("lib")].iter().find_map(|folder| {
        let entries = std::fs::read_dir(folder).ok()?;
        let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(is_it).collect();
        found.sort();
        found.into_iter().next()
    })
}

/// The folder of the package `onnxruntime` in an interpreter that has it.
fn package(interpreter: &Path) -> Option<PathBuf> {
    let output = Command::new(interpreter).args(["-c", WHERE]).output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    let folder = folder.trim_end_matches(['\r', '\n']);
    (output.status.success() && !folder.is_empty()).then(|| folder.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<OsString> {
        None
    }

    /// A folder with empty files of these names.
    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        folder
    }

    #[test]
    fn libraries_are_told_from_their_neighbours() {
        for name in [
            "libonnxruntime.so",
            "libonnxruntime.so.1.32.0",
            "capi/libonnxruntime.so.1.20.1",
            "capi/libonnxruntime.1.22.0.dylib",
            "libonnxruntime.dylib",
            "capi/onnxruntime.dll",
            "lib/libonnxruntime.so.1",
        ] {
            let folder = folder(&[name]);
            assert_eq!(inside(folder.path()), Some(folder.path().join(name)), "{name}");
        }
        let others = folder(&[
            "capi/libonnxruntime_providers_shared.so",
            "capi/libonnxruntime_providers_shared.dylib",
            "capi/onnxruntime_pybind11_state.so",
            "onnxruntime.py",
        ]);
        assert_eq!(inside(others.path()), None);
    }

    #[test]
    fn the_option_comes_before_the_variable_and_that_before_python() {
        let made =
            folder(&["a/libonnxruntime.so", "b/libonnxruntime.so", "c/capi/libonnxruntime.so"]);
        let root = std::fs::canonicalize(made.path()).unwrap();
        let variable =
            |name: &str| (name == "ORT_DYLIB_PATH").then(|| root.join("b").into_os_string());
        let python = |_: &Path| Some(root.join("c"));
        let named = root.join("a");
        let library = |folder: &str| root.join(folder).join("libonnxruntime.so");
        assert_eq!(search(Some(&named), variable, python).unwrap(), library("a"));
        assert_eq!(search(Some(&library("a")), variable, python).unwrap(), library("a"));
        assert_eq!(search(None, variable, python).unwrap(), library("b"));
        assert_eq!(search(None, |_| Some("".into()), python).unwrap(), library("c/capi"));
    }

    #[test]
    fn an_activated_environment_comes_before_the_system() {
        let made = folder(&["env/capi/libonnxruntime.so", "sys/capi/libonnxruntime.so"]);
        let variable = |name: &str| (name == "VIRTUAL_ENV").then(|| OsString::from("/env"));
        let python = |interpreter: &Path| {
            Some(made.path().join(if interpreter.starts_with("/env") { "env" } else { "sys" }))
        };
        let found = |variable: &dyn Fn(&str) -> Option<OsString>| search(None, variable, python);
        assert_eq!(found(&variable).unwrap(), made.path().join("env/capi/libonnxruntime.so"));
        assert_eq!(found(&nothing).unwrap(), made.path().join("sys/capi/libonnxruntime.so"));
    }

    #[test]
    fn what_is_missing_is_told_how_to_install() {
        let empty = folder(&[]);
        let told = |named: Option<&Path>| search(named, nothing, |_| None).unwrap_err().to_string();
        assert!(told(None).contains("pip install onnxruntime"));
        assert!(told(Some(empty.path())).contains("without ONNX Runtime's library"));
        let none = told(Some(Path::new("/no/such/lib.so")));
        assert!(none.starts_with("/no/such/lib.so: ") && none.contains("pip install"), "{none}");
    }

    #[test]
    fn an_interpreter_that_is_not_there_has_no_package() {
        assert_eq!(package(Path::new("/no/such/python")), None);
    }
}
