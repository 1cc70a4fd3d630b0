//! The memory of a thread, counted by the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// No single request above this is met, so that a defect ends the test and not the machine.
const MOST: usize = 4 << 30;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator with a count for each thread.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn grow(by: isize) {
    let live = LIVE.get() + by;
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
    LARGEST.set(LARGEST.get().max(by.max(0) as usize));
}

// SAFETY: every request goes to the system's allocator as it is, or is refused; the cells need no
// memory of their own and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > MOST {
            return std::ptr::null_mut();
        }
        grow(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size() as isize);
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What the memory of a thread did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// The most bytes held at once, above those held at the start.
    pub peak: usize,
    /// The largest single request.
    pub largest: usize,
}

/// Runs `work` and tells what memory this thread took for it.
pub fn counted<T>(work: impl FnOnce() -> T) -> (T, Memory) {
    let before = LIVE.get();
    PEAK.set(before);
    LARGEST.set(0);
    let result = work();
    let peak = usize::try_from(PEAK.get() - before).unwrap_or_default();
    (result, Memory { peak, largest: LARGEST.get() })
}
