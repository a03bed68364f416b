//! Memory that a burst took, given back to the system.
//!
//! The allocator of glibc returns what is free at the end of its heap and keeps what is free below: one small allocation
//! that lasts is enough to keep the rest of a burst for ever. `malloc_trim` returns every free page.
//!
//! Owns: when that is asked for. Must never know: what the memory was for.

use std::time::Duration;

/// Looks at the allocator from time to time, for as long as the program runs.
pub async fn give_back() {
    let mut resident_after = Resident::default();
    loop {
        tokio::time::sleep(INTERVAL).await;
        if let (Some(free), Some(resident)) = (allocator::free_bytes(), allocator::resident_bytes())
            && resident_after.is_worth_it(free, resident)
        {
            allocator::trim();
            resident_after.0 = allocator::resident_bytes().unwrap_or(resident);
            tracing::debug!(free, resident, "free memory is given back");
        }
    }
}

/// Resident bytes after the last time, or since then if there were fewer. Free bytes alone say too little: the allocator
/// counts them whether their pages have been returned or not, and a burst between two looks leaves as many as there were.
#[derive(Default)]
struct Resident(usize);

impl Resident {
    /// Whether enough has come since then, and may be free. To return pages and to get them again costs time.
    fn is_worth_it(&mut self, free_bytes: usize, resident_bytes: usize) -> bool {
        self.0 = self.0.min(resident_bytes);
        free_bytes >= WORTH_BYTES && resident_bytes - self.0 >= WORTH_BYTES
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod allocator {
    /// Bytes that are free inside the heaps.
    #[expect(unsafe_code, reason = "libc has no safe way to ask its allocator")]
    pub fn free_bytes() -> Option<usize> {
        // SAFETY: it takes no arguments and writes to nothing of ours.
        Some(unsafe { libc::mallinfo2() }.fordblks)
    }

    /// Bytes of the heaps and stacks that are in memory.
    pub fn resident_bytes() -> Option<usize> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<usize>().ok()? << 10)
    }

    /// Returns free pages to the system.
    #[expect(unsafe_code, reason = "libc has no safe way to ask its allocator")]
    pub fn trim() {
        // SAFETY: it may be called at any time, from any thread; what is in use stays where it is.
        unsafe { libc::malloc_trim(0) };
    }
}

/// Other allocators return memory by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod allocator {
    pub const fn free_bytes() -> Option<usize> {
        None
    }

    pub const fn resident_bytes() -> Option<usize> {
        None
    }

    pub const fn trim() {}
}

const INTERVAL: Duration = Duration::from_secs(10);
const WORTH_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_come_since_is_worth_it() {
        const MB: usize = 1 << 20;
        let mut after = Resident::default();
        assert!(!after.is_worth_it(WORTH_BYTES - 1, 100 * MB), "it is in use");
        assert!(!after.is_worth_it(100 * MB, WORTH_BYTES - 1));
        assert!(after.is_worth_it(WORTH_BYTES, 100 * MB));
        after.0 = 20 * MB;
        assert!(!after.is_worth_it(100 * MB, 20 * MB), "it was returned");
        assert!(!after.is_worth_it(100 * MB, 36 * MB - 1) && after.is_worth_it(100 * MB, 36 * MB));
        // A burst between two looks takes pages that had been returned, and leaves as many free bytes as there were.
        assert!(after.is_worth_it(100 * MB, 120 * MB));
        assert!(!after.is_worth_it(100 * MB, 10 * MB) && after.is_worth_it(100 * MB, 26 * MB));
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn what_a_burst_leaves_behind_is_given_back() {
        let resident = || allocator::resident_bytes().unwrap();
        // Small allocations, of which one lasts, above the others.
        let mut burst: Vec<Box<[u8; 1024]>> = (0..64 << 10).map(|n| Box::new([n as u8; 1024])).collect();
        let (last, before) = (burst.pop(), resident());
        drop(burst);
        assert!(allocator::free_bytes() > Some(WORTH_BYTES));
        allocator::trim();
        assert!(resident() + (32 << 20) < before, "{} of {before} bytes are left", resident());
        drop(last);
    }
}
