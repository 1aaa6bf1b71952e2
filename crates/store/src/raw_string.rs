//! Strings in allocations of their own, which replies and commands may share with the key.
//!
//! `unsafe` takes the pointer of an entry for what it is.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::sync::Arc;

/// A string in an allocation of its own. Who shares it may go on reading without the shard's lock, and a writer then
/// changes a copy.
#[derive(Clone, Copy, Debug)]
pub struct RawString<'a> {
    /// From [`Arc::into_raw`].
    bytes: *const Vec<u8>,
    borrow: PhantomData<&'a Vec<u8>>,
}

impl<'a> RawString<'a> {
    /// The string that an entry holds.
    ///
    /// # Safety
    /// `bytes` comes from [`Arc::into_raw`], and for `'a` it is held and the string not changed.
    pub(crate) unsafe fn new(bytes: *const Vec<u8>) -> Self {
        RawString { bytes, borrow: PhantomData }
    }

    /// The bytes, to be kept beyond the lock.
    pub fn share(self) -> Arc<Vec<u8>> {
        // SAFETY: the pointer came from an Arc, which its entry holds for the time of the borrow.
        unsafe {
            Arc::increment_strong_count(self.bytes);
            Arc::from_raw(self.bytes)
        }
    }

    /// True if others than its entry hold the bytes.
    pub(crate) fn is_shared(self) -> bool {
        // SAFETY: as in `share`; it is not dropped here.
        Arc::strong_count(&ManuallyDrop::new(unsafe { Arc::from_raw(self.bytes) })) > 1
    }

    /// Bytes that it takes, with its room to grow.
    pub(crate) fn capacity(self) -> usize {
        // SAFETY: as in `bytes`.
        unsafe { (*self.bytes).capacity() }
    }

    /// A copy with the same room to grow.
    pub(crate) fn copied(self) -> Arc<Vec<u8>> {
        let mut copy = Vec::with_capacity(self.capacity());
        copy.extend_from_slice(self.bytes());
        Arc::new(copy)
    }

    /// The bytes, for as long as the lock is held.
    pub fn bytes(self) -> &'a [u8] {
        // SAFETY: as in `share`; nobody changes the bytes while the entry is borrowed.
        unsafe { &*self.bytes }
    }
}
