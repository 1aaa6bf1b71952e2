//! Huge pages for the data, small ones for what the server needs to start.
//!
//! A lookup by a random key touches memory that no translation buffer covers with pages of 4 KiB; with pages of 2 MiB
//! a pipelined GET takes two thirds of the time. But what the allocator sets aside for a few small objects at the start
//! would take five of them. So the process starts with huge pages off (mimalloc's `allow_thp`, switched off in
//! `.cargo/config.toml`), and they are switched on once it is up: for all of the heap but its beginning. Nothing is
//! forked, so huge pages cost no copies on write.
//!
//! Advising the kernel about a range of memory is an unsafe call.
//!
//! Source: Linux, Documentation/admin-guide/mm/transhuge.rst.

#[cfg(target_os = "linux")]
pub use linux::switch_on;

/// Elsewhere the system decides.
#[cfg(not(target_os = "linux"))]
pub fn switch_on() {}

#[cfg(target_os = "linux")]
mod linux {
    use std::ops::Range;

    use rustix::mm::{Advice, madvise};

    /// What keeps small pages: the beginning of the heap, where the objects of the start lie.
    const EARLY_BYTES: usize = 8 << 20;

    /// `mi_option_allow_thp`, which the bindings do not name.
    const ALLOW_THP: libmimalloc_sys::mi_option_t = 43;

    /// Switches huge pages on for the heap as it is and as it will grow. Where the system knows none, nothing happens.
    pub fn switch_on() {
        // SAFETY: options are read and set without preconditions. If it is on already, the build left it so.
        unsafe {
            if libmimalloc_sys::mi_option_get(ALLOW_THP) != 0 {
                return;
            }
            libmimalloc_sys::mi_option_set(ALLOW_THP, 1);
        }
        // Refused only by kernels that have no such thing; then the advice below fails too.
        let _ = rustix::thread::disable_transparent_huge_pages(false);
        let object = Box::new(0_u64);
        let Some(heap) = mapping_of(std::ptr::from_ref(&*object).addr()) else { return };
        let later = (heap.start + EARLY_BYTES).min(heap.end);
        advise(heap.start..later, Advice::LinuxNoHugepage);
        advise(later..heap.end, Advice::LinuxHugepage);
    }

    fn advise(range: Range<usize>, advice: Advice) {
        let start = std::ptr::with_exposed_provenance_mut(range.start);
        // SAFETY: the advice changes how memory is backed, not what it holds. A failure leaves it backed as it was.
        let _ = unsafe { madvise(start, range.len(), advice) };
    }

    /// The mapping that holds an address.
    fn mapping_of(address: usize) -> Option<Range<usize>> {
        let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
        maps.lines().find_map(|line| {
            let (start, end) = line.split(' ').next()?.split_once('-')?;
            let mapping = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
            mapping.contains(&address).then_some(mapping)
        })
    }
}
