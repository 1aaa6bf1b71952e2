//! How threads share processors with others.
//!
//! The call of the system for that is unsafe, and no library of ours has it.

/// Nanoseconds that a thread of the background may compute in one go, if nobody else wants its processor.
#[cfg(target_os = "linux")]
const BATCH_NS: u64 = 100_000_000;

/// The calling thread computes without a pause, and nobody waits for that: whoever wakes meanwhile has its processor at once.
///
/// Its part of the processor stays what it was, but it takes it in long pieces, which the system breaks off for shorter ones of
/// others (Linux 6.12; before that they may wait a few milliseconds). Where that is refused all is as it was.
#[cfg(target_os = "linux")]
pub fn compute_in_background() {
    // SAFETY: all zeros are values of plain numbers.
    let mut wanted: libc::sched_attr = unsafe { std::mem::zeroed() };
    wanted.size = size_of::<libc::sched_attr>() as u32;
    wanted.sched_policy = libc::SCHED_BATCH as u32;
    wanted.sched_nice = rustix::process::getpriority_process(None).unwrap_or(0);
    wanted.sched_runtime = BATCH_NS;
    let (own, no_flags) = (0, 0);
    // SAFETY: the system reads what it is shown, which is alive and as long as it says.
    let _ = unsafe { libc::syscall(libc::SYS_sched_setattr, own, &raw const wanted, no_flags) };
}

/// Elsewhere threads share processors as the system sees fit.
#[cfg(not(target_os = "linux"))]
pub fn compute_in_background() {}
