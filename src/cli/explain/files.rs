//! The report and its pictures on disk.

use std::io::Write;
use std::path::{Path, PathBuf};

use image::RgbImage;

use crate::error::{Error, Result};
use crate::files::write_whole;
use crate::render::save_png;

/// What was written.
pub struct Written {
    /// The report.
    pub report: PathBuf,
    /// Its length.
    pub bytes: usize,
    /// The folder of the pictures.
    pub folder: PathBuf,
    /// Their names.
    pub files: Vec<String>,
}

/// Refuses places that cannot be written to, before the work.
///
/// # Errors
/// When the report has another ending than .html, its folder is missing, or the folder of the
/// pictures is a file.
pub fn check_places(report: &Path, folder: &Path) -> Result<()> {
    let ending = report.extension().map(|e| e.to_string_lossy().to_lowercase());
    if !matches!(ending.as_deref(), Some("html" | "htm")) {
        return Err(Error::request("a report is an HTML file")
            .file(report)
            .help("choose a name that ends in .html"));
    }
    for place in [report, folder] {
        let parent = place.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            std::fs::metadata(parent).map_err(|e| Error::io(parent, &e))?;
        }
    }
    if folder.exists() && !folder.is_dir() {
        return Err(Error::request("the folder for the pictures is a file")
            .file(folder)
            .help("choose another with --png"));
    }
    Ok(())
}

/// Writes the pictures and then the report. Each file is whole or not there; what was written is
/// removed again where one fails.
///
/// # Errors
/// When a file cannot be written.
pub fn write(
    report: &Path,
    html: &str,
    folder: &Path,
    pictures: &[(String, RgbImage)],
) -> Result<Written> {
    let fresh = !folder.exists();
    if fresh {
        std::fs::create_dir(folder).map_err(|e| Error::io(folder, &e))?;
    }
    let files: Vec<String> = pictures.iter().map(|(name, _)| format!("{name}.png")).collect();
    let all = || {
        for ((_, image), file) in pictures.iter().zip(&files) {
            save_png(&folder.join(file), image)?;
        }
        write_whole(report, |file| file.write_all(html.as_bytes()))
    };
    all().inspect_err(|_| {
        if fresh {
            // The failure that is told is the first one.
            let _ = std::fs::remove_dir_all(folder);
        }
    })?;
    let (report, folder) = (report.to_owned(), folder.to_owned());
    Ok(Written { report, bytes: html.len(), folder, files })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_and_its_pictures_are_written_and_replaced() {
        let room = tempfile::tempdir().unwrap();
        let (report, folder) = (room.path().join("r.html"), room.path().join("r"));
        let pictures = [("a".to_owned(), RgbImage::new(2, 2))];
        for _ in 0..2 {
            let written = write(&report, "<p>", &folder, &pictures).unwrap();
            assert_eq!((written.bytes, written.files), (3, vec!["a.png".to_owned()]));
            assert!(report.is_file() && folder.join("a.png").is_file());
        }
    }

    #[test]
    fn a_failure_leaves_nothing() {
        let room = tempfile::tempdir().unwrap();
        let folder = room.path().join("r");
        let pictures = [("a".to_owned(), RgbImage::new(2, 2))];
        assert!(write(&room.path().join("no/r.html"), "", &folder, &pictures).is_err());
        assert_eq!(std::fs::read_dir(room.path()).unwrap().count(), 0);
    }

    #[test]
    fn places_are_checked_before_the_work() {
        let room = tempfile::tempdir().unwrap();
        let at = |name: &str| room.path().join(name);
        std::fs::write(at("file"), "").unwrap();
        let told = |report, folder| check_places(&at(report), &at(folder)).unwrap_err().to_string();
        assert!(check_places(&at("r.html"), &at("r")).is_ok());
        assert!(check_places(Path::new("r.html"), Path::new("r")).is_ok());
        assert!(told("model.onnx", "r").contains("ends in .html"));
        assert!(told("no/r.html", "r").contains("no"));
        assert!(told("r.html", "file").contains("--png"));
    }
}
