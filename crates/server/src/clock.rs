//! Time: Unix milliseconds, and a cheap monotonic counter for measuring commands.
//!
//! A pipelined command takes some hundred nanoseconds, and asking the kernel's clock twice would be a
//! tenth of that. Where the processor has an invariant time-stamp counter it is read instead, once per
//! command: the end of one is the beginning of the next.
//!
//! Reading that counter is an unsafe intrinsic without preconditions.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch.
pub fn unix_ms() -> u64 {
    since_epoch().as_millis() as u64
}

/// Microseconds since the Unix epoch.
pub fn unix_us() -> u64 {
    since_epoch().as_micros() as u64
}

fn since_epoch() -> Duration {
    // A clock before 1970 is not worth an error on every command.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A reading of the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticks(u64);

impl Ticks {
    /// Reads the counter.
    #[inline]
    pub fn now() -> Ticks {
        Ticks(counter::read())
    }

    /// Ticks between an earlier reading and this one.
    #[inline]
    pub fn since(self, earlier: Ticks) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Converts ticks to nanoseconds.
#[inline]
pub fn ticks_to_ns(ticks: u64) -> u64 {
    ((u128::from(ticks) * u128::from(ns_per_tick())) >> FRACTION_BITS) as u64
}

/// Converts microseconds to ticks, for thresholds.
pub fn us_to_ticks(us: u64) -> u64 {
    ((u128::from(us) * 1000) << FRACTION_BITS).div_ceil(u128::from(ns_per_tick())) as u64
}

/// Bits behind the point of [`ns_per_tick`].
const FRACTION_BITS: u32 = 32;

/// Nanoseconds of a tick, in fixed point; 0 until measured.
static NS_PER_TICK: AtomicU64 = AtomicU64::new(0);

/// Nanoseconds of a tick, in fixed point with [`FRACTION_BITS`]. Measured over two milliseconds at the first use; the
/// server calls it at start.
#[inline]
pub fn ns_per_tick() -> u64 {
    match NS_PER_TICK.load(Ordering::Relaxed) {
        0 => measure(),
        known => known,
    }
}

#[cold]
fn measure() -> u64 {
    let (begin, first) = both_clocks();
    while begin.elapsed() < Duration::from_millis(2) {
        std::hint::spin_loop();
    }
    let (end, last) = both_clocks();
    let elapsed_ns = end.duration_since(begin).as_nanos();
    let ns_per_tick = ((elapsed_ns << FRACTION_BITS) / u128::from(last.since(first).max(1))).max(1) as u64;
    NS_PER_TICK.store(ns_per_tick, Ordering::Relaxed);
    ns_per_tick
}

/// Both clocks at one moment. A thread may lose its processor between reading the one and the other, which would
/// spoil the ratio for good: of several attempts the one with the shortest gap counts.
fn both_clocks() -> (Instant, Ticks) {
    const ATTEMPTS: usize = 16;
    let read = || {
        let before = Ticks::now();
        let time = Instant::now();
        let gap = Ticks::now().since(before);
        (gap, time, Ticks(before.0.wrapping_add(gap / 2)))
    };
    let (_, time, ticks) =
        (0..ATTEMPTS).map(|_| read()).min_by_key(|(gap, ..)| *gap).expect("there are attempts");
    (time, ticks)
}

/// What [`Ticks`] counts, as INFO names it.
pub const SOURCE: &str = counter::SOURCE;

#[cfg(target_arch = "x86_64")]
mod counter {
    pub(super) const SOURCE: &str = "X86 TSC";

    #[inline]
    pub(super) fn read() -> u64 {
        // SAFETY: RDTSC exists on every x86-64 processor and has no preconditions.
        unsafe { std::arch::x86_64::_rdtsc() }
    }
}

#[cfg(target_arch = "aarch64")]
mod counter {
    pub(super) const SOURCE: &str = "ARM CNTVCT";

    #[inline]
    pub(super) fn read() -> u64 {
        let ticks: u64;
        // SAFETY: the virtual counter is readable from user space on Linux and macOS.
        unsafe { std::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack)) };
        ticks
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod counter {
    use std::sync::OnceLock;
    use std::time::Instant;

    pub(super) const SOURCE: &str = "POSIX clock_gettime";

    pub(super) fn read() -> u64 {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        ORIGIN.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_measure_time() {
        ns_per_tick();
        let (before, begin, after) = (Instant::now(), Ticks::now(), Instant::now());
        std::thread::sleep(Duration::from_millis(20));
        let least_ms = after.elapsed().as_millis() as u64;
        let ms = ticks_to_ns(Ticks::now().since(begin)) / 1_000_000;
        let most_ms = before.elapsed().as_millis() as u64;
        // A hundredth for the clock's measure.
        let expected = least_ms * 99 / 100..=most_ms * 101 / 100 + 1;
        assert!(expected.contains(&ms), "{ms} ms, not in {expected:?}");
        let us = ticks_to_ns(us_to_ticks(1000)) / 1000;
        assert!((998..=1000).contains(&us), "{us} us");
    }
}
