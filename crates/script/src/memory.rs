//! How much memory an interpreter has, and how much it may have.
//!
//! The bound is the allocator's: a script that asks for more is told that there is none, which to it is an error like any
//! other. A native function of ours must not be torn in its middle by that error, so it is given what it asks for; the
//! next allocation of the script itself then fails.
//!
//! The file is unsafe because an allocator is.

use std::alloc::Layout;
use std::cell::Cell;
use std::ffi::c_void;

/// Memory of one interpreter.
#[derive(Debug)]
pub(crate) struct Memory {
    used: Cell<usize>,
    max: usize,
    /// Native functions under way.
    natives: Cell<u32>,
}

impl Memory {
    pub(crate) fn new(max: usize) -> Memory {
        Memory { used: Cell::new(0), max, natives: Cell::new(0) }
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> usize {
        self.used.get()
    }

    /// Bytes that a script may still take.
    pub(crate) fn left(&self) -> usize {
        self.max.saturating_sub(self.used.get())
    }

    /// A native function begins.
    #[inline]
    pub(crate) fn enter(&self) {
        self.natives.set(self.natives.get() + 1);
    }

    /// A native function ends.
    #[inline]
    pub(crate) fn leave(&self) {
        self.natives.set(self.natives.get() - 1);
    }

    /// A native function runs what may fail for want of memory; what is returned is for [`Memory::resume`].
    #[inline]
    pub(crate) fn suspend(&self) -> u32 {
        self.natives.replace(0)
    }

    #[inline]
    pub(crate) fn resume(&self, natives: u32) {
        self.natives.set(natives);
    }
}

/// Alignment of every block: that of what the interpreter keeps in one (LUAI_USER_ALIGNMENT_T).
const ALIGN: usize = 8;

/// The interpreter's allocator; `memory` is a [`Memory`]. What it takes is the process's, and counted there as well.
///
/// # Safety
/// As the interpreter calls it: `block` is null, or its own and of `before` bytes.
pub(crate) unsafe extern "C" fn allocate(
    memory: *mut c_void,
    block: *mut c_void,
    before: usize,
    size: usize,
) -> *mut c_void {
    // SAFETY: the interpreter was made with it, and it outlives the interpreter.
    let memory = unsafe { &*memory.cast::<Memory>() };
    let before = if block.is_null() { 0 } else { before };
    let used = memory.used.get();
    if size > before && memory.natives.get() == 0 && used - before + size > memory.max {
        return std::ptr::null_mut();
    }
    let layout = |size| Layout::from_size_align(size, ALIGN).expect("no block is half of the address space");
    // SAFETY: the block came from here with that size, and sizes are not zero where one is asked for.
    let result: *mut u8 = unsafe {
        match (before, size) {
            (0, 0) => std::ptr::null_mut(),
            (0, size) => std::alloc::alloc(layout(size)),
            (before, 0) => {
                std::alloc::dealloc(block.cast(), layout(before));
                std::ptr::null_mut()
            }
            (before, size) => std::alloc::realloc(block.cast(), layout(before), size),
        }
    };
    if size == 0 || !result.is_null() {
        memory.used.set(used - before + size);
    }
    result.cast()
}
