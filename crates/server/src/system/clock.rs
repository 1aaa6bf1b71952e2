//! Time: the wall clock, the monotonic clock, and a cheap counter for measuring commands.
//!
//! What a user wrote down as a date (a key's expiry) and what is shown to users as one is on the wall clock, which can be
//! set. Everything else (timeouts, deadlines, rounds of work, idle times, pauses) is on the monotonic clock, as
//! [`MonotonicMs`], so that setting the clock neither stops nor hurries it; the types keep the two apart. [`JumpWatch`]
//! notices that the wall clock was set.
//!
//! A pipelined command takes some hundred nanoseconds, and asking the kernel's clock twice would be a
//! tenth of that. Where the processor has an invariant time-stamp counter it is read instead, once per
//! command: the end of one is the beginning of the next.
//!
//! Reading that counter is an unsafe intrinsic without preconditions.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What DEBUG SHIFT-CLOCK has added to the wall clock, in microseconds.
static SHIFT_US: AtomicI64 = AtomicI64::new(0);

/// Milliseconds since the Unix epoch.
pub fn unix_ms() -> u64 {
    unix_us() / 1000
}

/// Microseconds since the Unix epoch.
pub fn unix_us() -> u64 {
    // A clock before 1970 is not worth an error on every command.
    let us = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
    us.saturating_add_signed(SHIFT_US.load(Ordering::Relaxed))
}

/// Sets this process's wall clock forward or, by a negative number, back, as setting the system's would.
pub fn shift_wall_clock(by_ms: i64) {
    SHIFT_US.fetch_add(by_ms.saturating_mul(1000), Ordering::Relaxed);
}

/// A moment on the monotonic clock, in milliseconds since some moment at the process's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MonotonicMs(u64);

impl MonotonicMs {
    /// Later than every moment that comes.
    pub const NEVER: MonotonicMs = MonotonicMs(u64::MAX);

    /// This moment.
    pub fn now() -> MonotonicMs {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        MonotonicMs(ORIGIN.get_or_init(Instant::now).elapsed().as_millis() as u64)
    }

    /// The moment `ms` milliseconds later.
    pub const fn after(self, ms: u64) -> MonotonicMs {
        MonotonicMs(self.0.saturating_add(ms))
    }

    /// Milliseconds from an earlier moment to this one; 0 when that is still to come.
    pub const fn since(self, earlier: MonotonicMs) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A [`MonotonicMs`] that threads share.
#[derive(Debug, Default)]
pub struct AtomicMonotonicMs(AtomicU64);

impl AtomicMonotonicMs {
    /// Holds `moment`.
    pub const fn new(moment: MonotonicMs) -> AtomicMonotonicMs {
        AtomicMonotonicMs(AtomicU64::new(moment.0))
    }

    /// The moment; orders nothing else.
    #[inline]
    pub fn get(&self) -> MonotonicMs {
        MonotonicMs(self.0.load(Ordering::Relaxed))
    }

    /// Replaces the moment; orders nothing else.
    #[inline]
    pub fn set(&self, moment: MonotonicMs) {
        self.0.store(moment.0, Ordering::Relaxed);
    }
}

/// How far the wall clock may drift from the monotonic one between two looks, in milliseconds: far more than a time
/// daemon lets it run fast or slow, and than a thread waits between reading the one and the other.
const DRIFT_MS_MAX: u64 = 1000;

/// Notices that the wall clock was set.
#[derive(Debug)]
pub struct JumpWatch {
    wall_ms: u64,
    monotonic: MonotonicMs,
}

impl JumpWatch {
    /// Compares from now on.
    pub fn new() -> JumpWatch {
        JumpWatch { wall_ms: unix_ms(), monotonic: MonotonicMs::now() }
    }

    /// By how much the wall clock was set forward (or back, when negative) since the last look, in milliseconds.
    pub fn look(&mut self) -> Option<i64> {
        self.look_at(unix_ms(), MonotonicMs::now())
    }

    fn look_at(&mut self, wall_ms: u64, monotonic: MonotonicMs) -> Option<i64> {
        let expected_ms = self.wall_ms.saturating_add(monotonic.since(self.monotonic));
        let jump_ms = wall_ms as i64 - expected_ms as i64;
        *self = JumpWatch { wall_ms, monotonic };
        (jump_ms.unsigned_abs() > DRIFT_MS_MAX).then_some(jump_ms)
    }
}

impl Default for JumpWatch {
    fn default() -> JumpWatch {
        JumpWatch::new()
    }
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
    fn moments_do_not_follow_the_wall_clock() {
        let (wall_ms, moment) = (unix_ms(), MonotonicMs::now());
        shift_wall_clock(-3_600_000);
        assert!(unix_ms() < wall_ms - 3_000_000);
        let later = MonotonicMs::now();
        assert!(later >= moment && later.since(moment) < 60_000);
        shift_wall_clock(3_600_000);
        assert!(unix_ms() >= wall_ms);
        assert_eq!(moment.since(moment.after(5)), 0);
        assert_eq!(moment.after(5).since(moment), 5);
        assert!(MonotonicMs::NEVER.after(1) > later);
    }

    #[test]
    fn only_jumps_are_noticed() {
        let mut watch = JumpWatch { wall_ms: 1_000_000, monotonic: MonotonicMs(500) };
        assert_eq!(watch.look_at(1_000_100, MonotonicMs(600)), None);
        assert_eq!(watch.look_at(1_000_900, MonotonicMs(700)), None, "slewed");
        assert_eq!(watch.look_at(1_010_000, MonotonicMs(800)), Some(9_000));
        assert_eq!(watch.look_at(1_010_100, MonotonicMs(900)), None, "known");
        assert_eq!(watch.look_at(10_200, MonotonicMs(1_000)), Some(-1_000_000));
    }

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
