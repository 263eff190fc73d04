//! An allocator that counts, per thread: what a piece of work allocates, and how much of it is held at once.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// See the module.
pub struct Counting;

/// What a piece of work allocated.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// Allocations and reallocations.
    pub calls: usize,
    /// Most bytes that were held at once.
    pub peak: usize,
}

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// Runs `work` on this thread and counts.
pub fn used<T>(work: impl FnOnce() -> T) -> (T, Used) {
    let (calls, held) = (CALLS.get(), HELD.get());
    PEAK.set(held);
    let done = work();
    let peak = usize::try_from(PEAK.get() - held).unwrap_or(0);
    (done, Used { calls: CALLS.get() - calls, peak })
}

fn note(calls: usize, bytes: isize) {
    // (A thread that ends has no counters any more.)
    let _ = CALLS.try_with(|count| count.set(count.get() + calls));
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

#[allow(unsafe_code, reason = "an allocator is unsafe to implement")]
// SAFETY: each call is passed on to the system's allocator as it came; the counters do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, -(layout.size() as isize));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, size as isize - layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
