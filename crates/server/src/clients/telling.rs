//! What clients are told of keys that are evicted, in bytes, until their workers have taken it out of their inboxes.
//!
//! `maxmemory` is not about it: each key that goes adds as much for everybody who hears of it, which may be more than the key
//! was, and so the next key would go for it, and in the end all. Who does not read what he is told has it in his output, and
//! that counts.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::system::allocator;

static ON_THE_WAY: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Where this thread evicts: what it tells belongs to this.
    static NEWS: RefCell<Option<Arc<News>>> = const { RefCell::new(None) };
    /// Bytes by which memory has grown that are not yet the news'.
    static TOLD: Cell<i64> = const { Cell::new(0) };
}

/// Bytes that are on their way.
pub fn bytes() -> u64 {
    ON_THE_WAY.load(Ordering::Relaxed)
}

/// Tells clients something: where this thread evicts, what that takes is counted.
pub fn tell<R>(act: impl FnOnce() -> R) -> R {
    if NEWS.with_borrow(Option::is_none) {
        return act();
    }
    let (result, bytes) = allocator::growth(act);
    TOLD.set(TOLD.get() + bytes);
    result
}

/// What the messages belong to that are put into inboxes now, if to anything. They are on their way while an inbox has it.
#[inline]
pub fn news() -> Option<Arc<News>> {
    NEWS.with_borrow(Option::clone)
}

/// What is told of the keys that a thread evicts at once.
#[derive(Debug, Default)]
pub struct News {
    bytes: AtomicU64,
}

impl Drop for News {
    fn drop(&mut self) {
        ON_THE_WAY.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

/// This thread evicts, for as long as this lives.
#[derive(Debug)]
pub struct Evicting(Arc<News>);

impl Evicting {
    /// It begins to.
    pub fn begin() -> Evicting {
        let news = Arc::<News>::default();
        NEWS.set(Some(Arc::clone(&news)));
        Evicting(news)
    }

    /// A key has gone: what was told is on its way.
    pub fn note(&self) {
        if let Ok(bytes @ 1..) = u64::try_from(TOLD.take()) {
            self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
            ON_THE_WAY.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Evicting {
    fn drop(&mut self) {
        NEWS.set(None);
        TOLD.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_counts_until_the_last_inbox_is_rid_of_it() {
        assert!(news().is_none());
        let evicting = Evicting::begin();
        let inboxes = [news(), news()];
        TOLD.set(100_000);
        evicting.note();
        assert_eq!(bytes(), 100_000);
        drop(evicting);
        assert!(news().is_none());
        let [first, second] = inboxes;
        drop(first);
        assert_eq!(bytes(), 100_000);
        drop(second);
        assert_eq!(bytes(), 0);
    }
}
