//! What the operating system says about this process and its machine.
//!
//! Where a figure is not to be had (other systems than Linux), it is 0.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// In the program.
    pub user: Duration,
    /// In the kernel, for the program.
    pub system: Duration,
}

/// CPU time of the whole process.
pub fn cpu_time() -> CpuTime {
    split(ClockId::ProcessCPUTime, "/proc/self/stat")
}

/// CPU time of the calling thread.
pub fn thread_cpu_time() -> CpuTime {
    split(ClockId::ThreadCPUTime, "/proc/thread-self/stat")
}

/// CPU time of children that have ended.
pub fn children_cpu_time() -> CpuTime {
    let [.., user, system] = stat_ticks("/proc/self/stat");
    CpuTime { user: from_ticks(user), system: from_ticks(system) }
}

/// Bytes of memory that are resident.
pub fn resident_bytes() -> u64 {
    std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok())
        .map_or(0, |pages| pages * rustix::param::page_size() as u64)
}

/// Bytes of memory of the machine.
pub fn system_memory_bytes() -> u64 {
    std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok())
        .map_or(0, |kilobytes| kilobytes * 1024)
}

/// The clock's sum is exact to the nanosecond; how it divides is known in ticks of 10 ms.
fn split(clock: ClockId, stat: &str) -> CpuTime {
    let total = clock_gettime(clock);
    let total = Duration::new(total.tv_sec.try_into().unwrap_or(0), total.tv_nsec.try_into().unwrap_or(0));
    let [user, system, ..] = stat_ticks(stat);
    let share = if user + system == 0 { 1.0 } else { user as f64 / (user + system) as f64 };
    let user = total.mul_f64(share);
    CpuTime { user, system: total.saturating_sub(user) }
}

fn from_ticks(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second().max(1) as f64)
}

/// Fields 14 to 17 of proc(5)'s stat: user and system ticks of the process, then of its children.
fn stat_ticks(path: &str) -> [u64; 4] {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The second field, in parentheses, may hold spaces.
    let behind_name = text.rsplit(')').next().unwrap_or_default();
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    std::array::from_fn(|_| fields.next().and_then(|field| field.parse().ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_memory_are_counted() {
        let before = cpu_time();
        let begin = std::time::Instant::now();
        while begin.elapsed() < Duration::from_millis(30) {
            std::hint::black_box(0);
        }
        let after = cpu_time();
        let used = (after.user + after.system).saturating_sub(before.user + before.system);
        assert!(used >= Duration::from_millis(1), "{used:?}");
        let thread = thread_cpu_time();
        assert!(thread.user + thread.system <= after.user + after.system + Duration::from_millis(100));
        if cfg!(target_os = "linux") {
            assert!(resident_bytes() > 100_000 && resident_bytes() < system_memory_bytes());
        }
    }
}
