//! Large blocks of memory: each a mapping of its own.
//!
//! A long string grows while it arrives, and by APPEND and SETRANGE. A mapping grows by moving its pages, where an
//! allocator copies what is there and has the system clear new pages for all of it. And it goes back to the system when it
//! is freed, whoever frees it.
//!
//! Mappings are made, moved and ended by unsafe calls.

use std::ptr::null_mut;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Blocks of at least this many bytes are mappings of their own.
pub const LARGE_BYTES_MIN: usize = 4 << 20;

/// What a mapping is aligned to, at least.
pub const ALIGNMENT: usize = 4096;

/// A new block, all zeros; null when there is no memory.
pub fn allocate(bytes: usize) -> *mut u8 {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the system chooses a place where nothing is.
    unsafe { mmap_anonymous(null_mut(), bytes, access, MapFlags::PRIVATE) }.map_or(null_mut(), |at| at.cast())
}

/// The block with another size; null when there is no memory, and it is then as it was.
///
/// # Safety
/// `block` comes from this module, has `bytes` bytes, and is not used after success.
#[cfg(target_os = "linux")]
pub unsafe fn resize(block: *mut u8, bytes: usize, new_bytes: usize) -> *mut u8 {
    use rustix::mm::{MremapFlags, mremap};
    // SAFETY: by the contract; what the pages hold moves with them.
    unsafe { mremap(block.cast(), bytes, new_bytes, MremapFlags::MAYMOVE) }.map_or(null_mut(), |at| at.cast())
}

/// As on Linux, with a copy.
///
/// # Safety
/// The same.
#[cfg(not(target_os = "linux"))]
pub unsafe fn resize(block: *mut u8, bytes: usize, new_bytes: usize) -> *mut u8 {
    let new = allocate(new_bytes);
    if !new.is_null() {
        // SAFETY: by the contract; what is copied lies in both blocks.
        unsafe {
            std::ptr::copy_nonoverlapping(block, new, bytes.min(new_bytes));
            free(block, bytes);
        }
    }
    new
}

/// Frees a block.
///
/// # Safety
/// `block` comes from this module, has `bytes` bytes, and is not used any more.
pub unsafe fn free(block: *mut u8, bytes: usize) {
    // SAFETY: by the contract. A failure, which only a lack of kernel memory can cause, leaves it mapped.
    let _ = unsafe { munmap(block.cast(), bytes) };
}
