//! Files as mapped memory, and messages streamed to a writer: all unsafe code there is.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::buf::UninitSlice;
use bytes::{Buf, BufMut, Bytes};
use memmap2::Mmap;

use crate::error::{Error, Result};

/// How much of a mapped file is in memory at a time while all of it is read.
const WINDOW: usize = 1 << 22;

/// The files that are mapped now.
static MAPS: Mutex<Vec<Weak<Mmap>>> = Mutex::new(Vec::new());

/// A mapped file as the owner of its bytes.
struct Mapped(Arc<Mmap>);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The file as bytes that are read when they are touched.
///
/// # Errors
/// When the file cannot be opened, or is no regular file.
pub fn map(path: &Path) -> Result<Bytes> {
    let fail = |error: io::Error| Error::io(path, &error);
    let file = File::open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    if !metadata.is_file() {
        return Err(fail(io::Error::other("this is no regular file")));
    }
    if metadata.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the map is private and read-only, and `Bytes` owns it for as long as any window of
    // it lives. Another program that truncates the file meanwhile ends this one, as with every
    // memory-mapped reader; this program replaces files by renaming and never truncates one.
    let map = Arc::new(unsafe { Mmap::map(&file) }.map_err(fail)?);
    let mut maps = MAPS.lock().unwrap_or_else(PoisonError::into_inner);
    maps.retain(|map| map.strong_count() > 0);
    maps.push(Arc::downgrade(&map));
    Ok(Bytes::from_owner(Mapped(map)))
}

/// Hands `bytes` on window by window. Those of a mapped file leave the memory of this process again after
/// each, so that reading all of a large file holds little of it.
///
/// # Errors
/// What `take` fails with.
pub fn by_windows<E>(bytes: &[u8], mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    for window in bytes.chunks(WINDOW) {
        take(window)?;
        let_go(window);
    }
    Ok(())
}

/// Takes the pages of `window` out of memory, where it lies in a mapped file; a reader gets them again.
fn let_go(window: &[u8]) {
    #[cfg(unix)]
    {
        let maps = MAPS.lock().unwrap_or_else(PoisonError::into_inner);
        let within = |map: &Arc<Mmap>| {
            let at = (window.as_ptr() as usize).checked_sub(map.as_ptr() as usize)?;
            (at.checked_add(window.len())? <= map.len()).then_some(at)
        };
        let maps = maps.iter().filter_map(Weak::upgrade);
        if let Some((map, at)) = maps.filter_map(|map| within(&map).map(|at| (map, at))).next() {
            // SAFETY: the map is of a file and read-only, so nothing in it is lost: who touches a page again
            // reads it from the file. A kernel that refuses keeps the pages, which does no harm.
            let advice = memmap2::UncheckedAdvice::DontNeed;
            let _ = unsafe { map.unchecked_advise_range(advice, at, window.len()) };
        }
    }
}

/// A buffer that hands everything put into it on to a writer.
///
/// Encoding cannot fail half-way, so the first failure of the writer is kept for [`Self::finish`].
pub struct Through<'a> {
    writer: &'a mut dyn Write,
    chunk: Vec<u8>,
    used: usize,
    written: u64,
    failure: Option<io::Error>,
}

impl<'a> Through<'a> {
    /// A buffer before `writer`.
    pub fn new(writer: &'a mut dyn Write) -> Self {
        Self { writer, chunk: vec![0; 1 << 16], used: 0, written: 0, failure: None }
    }

    /// Hands on what is still buffered, and tells how many bytes there were in all.
    ///
    /// # Errors
    /// The first failure of the writer.
    pub fn finish(mut self) -> io::Result<u64> {
        self.hand_on();
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => self.writer.flush().map(|()| self.written),
        }
    }

    fn hand_on(&mut self) {
        let used = std::mem::take(&mut self.used);
        if self.failure.is_none() {
            self.failure = self.writer.write_all(&self.chunk[..used]).err();
            self.written += used as u64;
        }
    }
}

// SAFETY: `chunk_mut` gives initialised memory of `chunk` past `used`, and never an empty slice;
// `advance_mut` refuses to pass its end.
unsafe impl BufMut for Through<'_> {
    fn remaining_mut(&self) -> usize {
        usize::MAX
    }

    unsafe fn advance_mut(&mut self, count: usize) {
        assert!(count <= self.chunk.len() - self.used, "advanced past the chunk");
        self.used += count;
    }

    fn chunk_mut(&mut self) -> &mut UninitSlice {
        if self.used == self.chunk.len() {
            self.hand_on();
        }
        UninitSlice::new(&mut self.chunk[self.used..])
    }

    fn put_slice(&mut self, bytes: &[u8]) {
        if bytes.len() > self.chunk.len() - self.used {
            self.hand_on();
        }
        if bytes.len() > self.chunk.len() {
            if self.failure.is_none() {
                self.failure = by_windows(bytes, |window| self.writer.write_all(window)).err();
                self.written += bytes.len() as u64;
            }
        } else {
            self.chunk[self.used..][..bytes.len()].copy_from_slice(bytes);
            self.used += bytes.len();
        }
    }

    fn put<T: Buf>(&mut self, mut source: T) {
        while source.has_remaining() {
            let chunk = source.chunk();
            let count = chunk.len();
            self.put_slice(chunk);
            source.advance(count);
        }
    }
}
