//! Names of classes.

use std::path::Path;

use crate::error::{Error, Result};

/// The names of a model's classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels(Vec<String>);

impl Labels {
    /// Reads a text file whose line `i` (from 0) is the name of class `i` of `classes`; empty lines
    /// at the end do not count.
    ///
    /// # Errors
    /// When the file cannot be read, is no UTF-8 text, or has another number of lines.
    pub fn read(path: &Path, classes: usize) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, &e))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).trim_end();
        let names: Vec<_> = text.lines().map(|line| line.trim().to_owned()).collect();
        if names.len() != classes {
            let what =
                format!("the file names {} classes where the model has {classes}", names.len());
            return Err(Error::request(what).file(path).help("give one line for each class"));
        }
        Ok(Self(names))
    }

    /// The name of a class; its number where there is no such class or its line is empty.
    pub fn name(&self, class: usize) -> String {
        let name = self.0.get(class).filter(|name| !name.is_empty());
        name.cloned().unwrap_or_else(|| class.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: impl AsRef<[u8]>, classes: usize) -> Result<Labels> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names.txt");
        std::fs::write(&path, text).unwrap();
        Labels::read(&path, classes)
    }

    #[test]
    fn a_line_is_a_class() {
        let labels = read("\u{feff}tench\r\n goldfish \n\nshark\n\n", 4).unwrap();
        let names: Vec<_> = (0..5).map(|class| labels.name(class)).collect();
        assert_eq!(names, ["tench", "goldfish", "2", "shark", "4"]);
    }

    #[test]
    fn files_that_do_not_fit_are_refused() {
        let told = |result: Result<Labels>| result.unwrap_err().to_string();
        for (text, classes) in [("a\nb\n", 3), ("a\nb", 1), ("", 1)] {
            let error = told(read(text, classes));
            assert!(
                error.contains("names.txt") && error.contains("where the model has"),
                "{error}"
            );
        }
        assert!(told(read(b"\xff\xfe", 1)).contains("names.txt"));
        assert!(told(Labels::read(Path::new("no/such/file"), 1)).starts_with("no/such/file: "));
    }
}
