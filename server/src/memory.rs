//! Memory that a burst took, given back to the system.
//!
//! The allocator of glibc returns what is free at the end of its heap and keeps what is free below: one small allocation
//! that lasts is enough to keep the rest of a burst for ever. `malloc_trim` returns every free page.
//!
//! Owns: when that is asked for. Must never know: what the memory was for.

use std::time::Duration;

/// Looks at the allocator from time to time, for as long as the program runs.
pub async fn give_back() {
    let mut free_after = Free::default();
    loop {
        tokio::time::sleep(INTERVAL).await;
        if let Some(bytes) = allocator::free_bytes()
            && free_after.is_worth_it(bytes)
        {
            allocator::trim();
            free_after.0 = allocator::free_bytes().unwrap_or(bytes);
            tracing::debug!(bytes, "free memory is given back");
        }
    }
}

/// The allocator's free bytes after the last time: it counts them whether their pages have been returned or not.
#[derive(Default)]
struct Free(usize);

impl Free {
    /// Whether enough has become free since then. To return pages and to get them again costs time.
    fn is_worth_it(&mut self, bytes: usize) -> bool {
        self.0 = self.0.min(bytes);
        bytes - self.0 >= WORTH_BYTES
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

    pub const fn trim() {}
}

const INTERVAL: Duration = Duration::from_secs(10);
const WORTH_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_become_free_since_is_worth_it() {
        let mut free = Free::default();
        assert!(!free.is_worth_it(WORTH_BYTES - 1) && free.is_worth_it(WORTH_BYTES));
        free.0 = 100 << 20;
        assert!(!free.is_worth_it(100 << 20));
        assert!(!free.is_worth_it(90 << 20), "some of it is in use again");
        assert!(!free.is_worth_it((106 << 20) - 1) && free.is_worth_it(106 << 20));
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn what_a_burst_leaves_behind_is_given_back() {
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
            line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
        };
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
