//! The process's allocator: mimalloc, with a count of the bytes in use.
//!
//! `maxmemory` and INFO need that count on every write, and memory can be freed by another thread than
//! allocated it. Each thread keeps its own balance and hands it to the global counter when it has grown
//! by [`FLUSH_BYTES`], so the count is exact to that many bytes per thread and costs an addition. Threads that come
//! round also do so then ([`settle`]): where nothing happens the count is exact.
//!
//! What is freed goes back to the system when the thread that allocated it collects its heap, and only then: blocks that
//! another thread has freed lie in that heap until it looks. So each worker calls [`give_back`] at its ticks, and collects
//! when the memory in use has fallen.
//!
//! Large blocks are not mimalloc's, but mappings of their own: a block's size says whose it is.
//!
//! A global allocator is an unsafe trait to implement; every call is handed on unchanged.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mimalloc::MiMalloc;

use super::large_blocks::{self, ALIGNMENT, LARGE_BYTES_MIN};

/// How far a thread's own balance may drift from the global count.
const FLUSH_BYTES: i64 = 32 * 1024;

static USED: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicU64 = AtomicU64::new(0);
/// The highest that [`note_peak`] has seen, and when.
static NOTED_PEAK: AtomicU64 = AtomicU64::new(0);
static NOTED_PEAK_S: AtomicU64 = AtomicU64::new(0);
/// What is in use beyond so many bytes raises the alarm.
static LIMIT: AtomicU64 = AtomicU64::new(u64::MAX);
static ALARM: OnceLock<Alarm> = OnceLock::new();

/// What is done when more is in use than the limit. Called inside of allocations: it takes no locks.
type Alarm = Box<dyn Fn() + Send + Sync>;

thread_local! {
    static BALANCE: Cell<i64> = const { Cell::new(0) };
    /// What this thread has told the others in all.
    static PUBLISHED: Cell<i64> = const { Cell::new(0) };
}

/// Bytes allocated and not freed, as the program requested them.
pub fn used_bytes() -> u64 {
    USED.load(Ordering::Relaxed).max(0) as u64
}

/// As [`used_bytes`], with what this thread has not told the others yet.
pub fn used_bytes_here() -> u64 {
    let balance = BALANCE.try_with(Cell::get).unwrap_or(0);
    (USED.load(Ordering::Relaxed) + balance).max(0) as u64
}

/// How many bytes more this thread has when `act` is done than before; less than none where it has freed more.
pub fn growth<R>(act: impl FnOnce() -> R) -> (R, i64) {
    let held = || PUBLISHED.with(Cell::get) + BALANCE.with(Cell::get);
    let before = held();
    let result = act();
    (result, held() - before)
}

/// Has an alarm raised, again and again, while more than this is in use; at `u64::MAX` never.
pub fn set_limit(bytes: u64) {
    LIMIT.store(bytes, Ordering::Relaxed);
}

/// Sets what the alarm does. It takes no locks.
pub fn on_limit(alarm: impl Fn() + Send + Sync + 'static) {
    // There is one server in a process, but for tests, which do without.
    let _ = ALARM.set(Box::new(alarm));
}

/// Hands this thread's balance to the global counter.
pub fn settle() {
    let balance = BALANCE.with(Cell::take);
    if balance != 0 {
        publish(balance);
    }
}

/// [`used_bytes`], after [`settle`].
pub fn settled_bytes() -> u64 {
    settle();
    used_bytes()
}

/// The highest value of [`used_bytes`] that any thread has seen.
pub fn peak_bytes() -> u64 {
    PEAK.load(Ordering::Relaxed).max(used_bytes())
}

/// Notes that [`peak_bytes`] is what it is now, unless that was noted before: when it was, in Unix seconds.
pub fn note_peak(now_s: u64) -> u64 {
    let peak = peak_bytes();
    if NOTED_PEAK.fetch_max(peak, Ordering::Relaxed) < peak {
        NOTED_PEAK_S.store(now_s, Ordering::Relaxed);
    }
    NOTED_PEAK_S.load(Ordering::Relaxed)
}

/// Gives memory that is not used back to the system: what this thread has allocated now, and what others have when they
/// call [`give_back`] next.
pub fn purge() {
    PURGES.fetch_add(1, Ordering::Relaxed);
    collect();
}

/// Gives what this thread has allocated and somebody has freed back to the system, if that is much; looks at a counter
/// otherwise. [`settle`]s as well.
pub fn give_back() {
    settle();
    TIDE.with(|tide| {
        let mut now = tide.get();
        if now.has_fallen(used_bytes()) || now.purges != PURGES.load(Ordering::Relaxed) {
            let began = Instant::now();
            if now.rests_until.is_none_or(|until| began >= until) {
                now.purges = PURGES.load(Ordering::Relaxed);
                now.high_bytes = used_bytes();
                collect();
                now.rests_until = Some(Instant::now() + REST.max(began.elapsed() * REST_FACTOR));
            }
        }
        tide.set(now);
    });
}

fn collect() {
    // SAFETY: collecting has no preconditions.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

/// Times that [`purge`] was called.
static PURGES: AtomicU64 = AtomicU64::new(0);

/// How far the memory in use must fall before a thread collects: so many bytes, and this part of what it was.
const FALL_BYTES_MIN: u64 = 2 << 20;
const FALL_PART: u64 = 16;
/// Pause between two collections of a thread, and how often longer than the last one it is at least: a heap of many
/// gigabytes takes time to look through.
const REST: Duration = Duration::from_millis(500);
const REST_FACTOR: u32 = 50;

thread_local! {
    static TIDE: Cell<Tide> = const { Cell::new(Tide { high_bytes: 0, purges: 0, rests_until: None }) };
}

/// What a thread knows of the memory in use since it has collected.
#[derive(Clone, Copy, Debug)]
struct Tide {
    high_bytes: u64,
    purges: u64,
    rests_until: Option<Instant>,
}

impl Tide {
    fn has_fallen(&mut self, used_bytes: u64) -> bool {
        self.high_bytes = self.high_bytes.max(used_bytes);
        self.high_bytes - used_bytes >= FALL_BYTES_MIN.max(self.high_bytes / FALL_PART)
    }
}

#[inline]
fn count(bytes: i64) {
    // A thread that is being torn down has no balance any more: count globally.
    let flushed = BALANCE.try_with(|balance| {
        let sum = balance.get() + bytes;
        if sum.unsigned_abs() < FLUSH_BYTES as u64 {
            balance.set(sum);
            return 0;
        }
        balance.set(0);
        sum
    });
    let flushed = flushed.unwrap_or(bytes);
    if flushed != 0 {
        publish(flushed);
    }
}

#[cold]
fn publish(bytes: i64) {
    // Nobody asks a thread that is being torn down.
    let _ = PUBLISHED.try_with(|published| published.set(published.get() + bytes));
    let used = USED.fetch_add(bytes, Ordering::Relaxed) + bytes;
    if bytes > 0 {
        let used = used.max(0) as u64;
        PEAK.fetch_max(used, Ordering::Relaxed);
        if used > LIMIT.load(Ordering::Relaxed)
            && let Some(alarm) = ALARM.get()
        {
            alarm();
        }
    }
}

/// What every block of mimalloc is aligned to, however it was requested (MI_MAX_ALIGN_SIZE in `.cargo/config.toml`).
const ALIGNED_ANYHOW: usize = 8;

/// mimalloc with the count.
#[derive(Debug)]
pub struct CountingAllocator;

/// True for blocks that are mappings of their own.
#[inline]
fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE_BYTES_MIN && layout.align() <= ALIGNMENT
}

// SAFETY: every call goes to mimalloc or the system, by the block's size alone; counting has no influence on what is
// returned. Blocks of both of mimalloc's ways to allocate are freed and resized alike.
unsafe impl GlobalAlloc for CountingAllocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        if is_large(layout) {
            return large_blocks::allocate(layout.size());
        }
        // SAFETY: the caller's contract is mimalloc's. An aligned allocation may take a block of the next size class,
        // so what needs no alignment is requested without one.
        unsafe {
            if layout.align() <= ALIGNED_ANYHOW {
                libmimalloc_sys::mi_malloc(layout.size()).cast()
            } else {
                MiMalloc.alloc(layout)
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        if is_large(layout) {
            return large_blocks::allocate(layout.size());
        }
        // SAFETY: as above.
        unsafe {
            if layout.align() <= ALIGNED_ANYHOW {
                libmimalloc_sys::mi_zalloc(layout.size()).cast()
            } else {
                MiMalloc.alloc_zeroed(layout)
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: as above; a block of this size came from where it goes.
        unsafe {
            if is_large(layout) {
                large_blocks::free(block, layout.size());
            } else {
                libmimalloc_sys::mi_free(block.cast());
            }
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: a size that the caller may ask for with this alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: as above.
        unsafe {
            if is_large(layout) != is_large(new_layout) {
                return self.replace(block, layout, new_layout);
            }
            count(new_size as i64 - layout.size() as i64);
            if is_large(layout) {
                large_blocks::resize(block, layout.size(), new_size)
            } else if layout.align() <= ALIGNED_ANYHOW {
                libmimalloc_sys::mi_realloc(block.cast(), new_size).cast()
            } else {
                MiMalloc.realloc(block, layout, new_size)
            }
        }
    }
}

impl CountingAllocator {
    /// Another block in place of one, which becomes large or ceases to be.
    ///
    /// # Safety
    /// That of [`GlobalAlloc::realloc`].
    #[cold]
    unsafe fn replace(&self, block: *mut u8, layout: Layout, new_layout: Layout) -> *mut u8 {
        // SAFETY: by the contract; the two do not overlap, and what is copied lies in both.
        unsafe {
            let new = self.alloc(new_layout);
            if !new.is_null() {
                std::ptr::copy_nonoverlapping(block, new, layout.size().min(new_layout.size()));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_keeps_its_content_whatever_size_it_takes() {
        const SIZES: [usize; 7] = [
            100,
            LARGE_BYTES_MIN - 1,
            LARGE_BYTES_MIN,
            3 * LARGE_BYTES_MIN + 5,
            LARGE_BYTES_MIN + 1,
            4096,
            10,
        ];
        for align in [1, 8, 64] {
            let layout = |size| Layout::from_size_align(size, align).expect("a valid layout");
            // SAFETY: each block is used with the size that it has, and freed once.
            unsafe {
                let mut block = CountingAllocator.alloc_zeroed(layout(SIZES[0]));
                block.write_bytes(7, SIZES[0]);
                let mut kept = SIZES[0];
                for sizes in SIZES.windows(2) {
                    block = CountingAllocator.realloc(block, layout(sizes[0]), sizes[1]);
                    assert!(!block.is_null() && block.addr() % align == 0);
                    kept = kept.min(sizes[1]);
                    let content = std::slice::from_raw_parts(block, kept);
                    assert!(content.iter().all(|byte| *byte == 7), "{} to {}", sizes[0], sizes[1]);
                }
                CountingAllocator.dealloc(block, layout(SIZES[6]));
                let large = CountingAllocator.alloc_zeroed(layout(LARGE_BYTES_MIN));
                assert!(std::slice::from_raw_parts(large, LARGE_BYTES_MIN).iter().all(|byte| *byte == 0));
                CountingAllocator.dealloc(large, layout(LARGE_BYTES_MIN));
            }
        }
    }

    #[test]
    fn a_fall_counts_from_the_highest_and_must_be_a_good_part() {
        const MIB: u64 = 1 << 20;
        let mut tide = Tide { high_bytes: 0, purges: 0, rests_until: None };
        assert!(!tide.has_fallen(0) && !tide.has_fallen(160 * MIB));
        assert!(!tide.has_fallen(151 * MIB) && tide.has_fallen(150 * MIB));
        tide.high_bytes = 10 * MIB;
        assert!(!tide.has_fallen(9 * MIB) && tide.has_fallen(8 * MIB));
    }
}
