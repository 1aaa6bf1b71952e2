//! What clients are told of keys that are evicted, in bytes, until their workers have taken it out of their inboxes.
//!
//! `maxmemory` is not about it: each key that goes adds as much for everybody who hears of it, which may be more than the key
//! was, and so the next key would go for it, and in the end all. Who does not read what he is told has it in his output, and
//! that counts.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::system::allocator;

static ON_THE_WAY: AtomicI64 = AtomicI64::new(0);

thread_local! {
    /// Where this thread evicts: what it tells belongs to this.
    static NEWS: RefCell<Option<Arc<News>>> = const { RefCell::new(None) };
}

/// Bytes that are on their way.
pub fn bytes() -> u64 {
    ON_THE_WAY.load(Ordering::Relaxed).max(0) as u64
}

/// Tells clients something: where this thread evicts, what that takes is counted.
pub fn tell<R>(act: impl FnOnce() -> R) -> R {
    let Some(news) = news() else { return act() };
    let (result, bytes) = allocator::growth(act);
    news.add(bytes);
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
    bytes: AtomicI64,
}

impl News {
    fn add(&self, bytes: i64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        ON_THE_WAY.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for News {
    fn drop(&mut self) {
        ON_THE_WAY.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

/// This thread evicts, for as long as this lives.
#[derive(Debug)]
pub struct Evicting(());

impl Evicting {
    /// It begins to.
    pub fn begin() -> Evicting {
        NEWS.set(Some(Arc::default()));
        Evicting(())
    }
}

impl Drop for Evicting {
    fn drop(&mut self) {
        NEWS.set(None);
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
        news().expect("it evicts").add(100_000);
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
