//! Shared by all properties: cuts, a seed, and an allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what each thread allocates.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    static TOTAL: Cell<usize> = const { Cell::new(0) };
}

#[allow(unsafe_code, reason = "an allocator is unsafe to implement")]
// SAFETY: every call goes to the system's allocator with the layout it came with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has no counters any more.
        let _ = HELD.try_with(|held| {
            let now = held.get().wrapping_add(layout.size());
            held.set(now);
            TOTAL.with(|total| total.set(total.get().wrapping_add(layout.size())));
            PEAK.with(|peak| peak.set(peak.get().max(now)));
        });
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        let _ = HELD.try_with(|held| held.set(held.get().wrapping_sub(layout.size())));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a piece of work took, on this thread.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "the fuzz targets look at the peak alone")]
pub struct Used {
    /// The most bytes that it held at once.
    pub peak: usize,
    /// All bytes that it allocated.
    pub total: usize,
}

/// Does it, and says what it took.
pub fn measured<T>(work: impl FnOnce() -> T) -> (T, Used) {
    // An anchor far from zero: memory that was taken elsewhere and is freed here must not go below it.
    HELD.set(1 << 40);
    PEAK.set(1 << 40);
    TOTAL.set(0);
    let done = work();
    (done, Used { peak: PEAK.get() - (1 << 40), total: TOTAL.get() })
}

/// Does it within a bound of memory held at once.
#[track_caller]
pub fn bounded<T>(most: usize, work: impl FnOnce() -> T) -> T {
    let (done, used) = measured(work);
    assert!(used.peak <= most, "{} bytes were held at once, {most} are allowed", used.peak);
    done
}

/// A number that depends on every byte of the input: it chooses the options.
pub fn seed(input: &[u8]) -> u64 {
    let hash =
        input.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    Rng(hash | 1).next()
}

/// xorshift64: the same numbers everywhere.
pub struct Rng(pub u64);

impl Rng {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The next one below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end
    }
}

/// Cuts the input into pieces whose sizes depend on the seed.
pub fn cut(seed: u64, mut input: &[u8]) -> Vec<&[u8]> {
    let mut rng = Rng(seed | 1);
    let mut pieces = Vec::new();
    while !input.is_empty() {
        let most = [1, 2, 3, 8, 40, 300, 2047, 2049][rng.below(8)];
        let (piece, rest) = input.split_at((1 + rng.below(most)).min(input.len()));
        pieces.push(piece);
        input = rest;
    }
    pieces
}

/// Ways to cut the input: byte by byte, and two by the seed.
pub fn cuts(seed: u64, input: &[u8]) -> [Vec<&[u8]>; 3] {
    [input.chunks(1).collect(), cut(seed, input), cut(seed >> 7, input)]
}

/// Bytes for messages.
pub fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Reads a structure out of an input: what is not there is zero.
pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// One of these.
    pub fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()].clone()
    }

    /// So many bytes at most, up to the next newline.
    pub fn text(&mut self, most: usize) -> Vec<u8> {
        let length = self.0.iter().take(most).position(|byte| *byte == b'\n').unwrap_or(self.0.len().min(most));
        let (text, rest) = self.0.split_at(length);
        self.0 = rest.strip_prefix(b"\n").unwrap_or(rest);
        text.to_vec()
    }
}
