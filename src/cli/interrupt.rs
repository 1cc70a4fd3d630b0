//! Ctrl-C: work stops between two steps, and what was half written is removed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use crate::error::{Error, Kind, Result};

static PRESSED: AtomicBool = AtomicBool::new(false);
static SCRATCH: Mutex<Option<PathBuf>> = Mutex::new(None);

/// From now on Ctrl-C is told by [`check`] instead of ending the program; pressed again, when a step
/// takes too long, it removes what [`scratch`] named and ends the program.
pub fn watch() {
    static HANDLER: Once = Once::new();
    // Where no handler can be set, Ctrl-C does what it does without one.
    HANDLER.call_once(|| drop(ctrlc::set_handler(pressed)));
}

fn pressed() {
    if !PRESSED.swap(true, Ordering::Relaxed) {
        return;
    }
    let folder = SCRATCH.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = &*folder {
        // It may be gone already, with the output in its place.
        let _ = std::fs::remove_dir_all(folder);
    }
    std::process::exit(i32::from(error().exit_code()));
}

/// Names the folder with what is half written.
pub fn scratch(folder: &Path) {
    *SCRATCH.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder.to_owned());
}

/// Fails once Ctrl-C was pressed: what is being written is then given up, by leaving with the error.
///
/// # Errors
/// After Ctrl-C.
pub fn check() -> Result<()> {
    if PRESSED.load(Ordering::Relaxed) { Err(error()) } else { Ok(()) }
}

fn error() -> Error {
    Error::new(Kind::Interrupted, "interrupted; nothing was written")
}
