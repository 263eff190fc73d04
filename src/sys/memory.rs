//! Memory that the allocator keeps although nothing uses it. glibc gives freed memory back only from the end of each of its heaps:
//! after a flood (thousands of bodies at once) one small block behind them would keep the peak resident for good.

/// Bytes that the allocator has given out. The rest of what is resident is its reserve, and code and stacks. `None` where it cannot be
/// asked.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "calls of the C library")]
pub fn used_bytes() -> Option<u64> {
    // SAFETY: it takes nothing and returns numbers.
    let heaps = unsafe { libc::mallinfo2() };
    Some(heaps.uordblks.saturating_add(heaps.hblkhd) as u64)
}

/// Gives what the allocator does not need back to the system. Takes about a tenth of a millisecond for each MiB, and threads that
/// need new memory meanwhile wait for it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "calls of the C library")]
pub fn give_back() {
    // SAFETY: it may be called at any time, by any thread.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators give memory back by themselves, or do not tell.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn used_bytes() -> Option<u64> {
    None
}

/// … and cannot be asked to.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back() {}

/// When it is worth while to give memory back: two looks in a row find much more unused than the least that was ever left. (What
/// comes and goes within one pause is better kept.)
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryReserve {
    least: Option<u64>,
    was_over: bool,
}

impl MemoryReserve {
    /// More unused bytes than this are given back.
    pub const MOST: u64 = 32 << 20;

    /// So many bytes are unused: are they to be given back?
    pub fn look(&mut self, unused: u64) -> bool {
        let least = self.least.map_or(unused, |least| least.min(unused));
        self.least = Some(least);
        let is_over = unused - least > Self::MOST;
        let is_due = is_over && self.was_over;
        self.was_over = is_over && !is_due;
        is_due
    }

    /// So many were left after that: they cannot be given back.
    pub fn left(&mut self, unused: u64) {
        self.least = Some(unused);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_two_looks_find_unused_is_given_back_once() {
        let mut reserve = MemoryReserve::default();
        assert!(!reserve.look(10 * MIB), "what there is at the start is code and stacks");
        assert!(!reserve.look(200 * MIB));
        assert!(reserve.look(200 * MIB));
        reserve.left(15 * MIB);
        assert!(!reserve.look(16 * MIB));
        assert!(!reserve.look(16 * MIB));
    }

    #[test]
    fn what_is_used_again_is_kept() {
        let mut reserve = MemoryReserve::default();
        for unused in [10, 100, 10, 100, 12, 42, 42] {
            assert!(!reserve.look(unused * MIB));
        }
    }

    #[test]
    fn what_cannot_be_given_back_is_tried_once() {
        let mut reserve = MemoryReserve::default();
        let looks = [10, 100, 100].map(|unused| reserve.look(unused * MIB));
        assert_eq!(looks, [false, false, true]);
        reserve.left(95 * MIB);
        assert!(!reserve.look(100 * MIB) && !reserve.look(100 * MIB));
        // Once it is used the least is lower again.
        assert!(!reserve.look(20 * MIB) && !reserve.look(100 * MIB) && reserve.look(100 * MIB));
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn freed_memory_is_given_back() {
        let process = crate::sys::process::ProcessUsage::now();
        let unused = || process.resident_bytes().unwrap().saturating_sub(used_bytes().unwrap());
        // Below the size that the allocator maps by itself; the last block keeps the heap's end in use.
        let mut blocks: Vec<Vec<u8>> = (0..2_000).map(|_| vec![1; 64 * 1024]).collect();
        let last = blocks.pop();
        drop(blocks);
        let before = unused();
        give_back();
        let after = unused();
        assert!(before > after + 60 * MIB, "{before} and then {after}");
        drop(last);
    }
}
