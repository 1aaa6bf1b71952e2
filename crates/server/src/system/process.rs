//! What the operating system says about this process and its machine.
//!
//! Where a figure is not to be had (other systems than Linux), it is 0.

use std::path::{Path, PathBuf};
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

fn cpu_clock(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// CPU time of the calling thread.
pub fn own_cpu_time() -> Duration {
    cpu_clock(ClockId::ThreadCPUTime)
}

/// CPU time of the whole process.
pub fn cpu_time() -> CpuTime {
    // The clock's sum is exact to the nanosecond; how it divides is known in ticks of 10 ms.
    let total = cpu_clock(ClockId::ProcessCPUTime);
    let [user, system, ..] = stat_ticks("/proc/self/stat");
    let share = if user + system == 0 { 1.0 } else { user as f64 / (user + system) as f64 };
    let user = total.mul_f64(share);
    CpuTime { user, system: total.saturating_sub(user) }
}

/// The system's number of the calling thread.
pub fn thread_id() -> u32 {
    std::fs::read_link("/proc/thread-self")
        .ok()
        .and_then(|path| path.file_name()?.to_str()?.parse().ok())
        .unwrap_or(0)
}

/// CPU time of the thread with this number.
pub fn thread_cpu_time(thread_id: u32) -> CpuTime {
    let [user, system, ..] = stat_ticks(&format!("/proc/self/task/{thread_id}/stat"));
    CpuTime { user: from_ticks(user), system: from_ticks(system) }
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

/// Bytes of memory that this process may come to have: the machine's, or fewer where its control group has a limit.
pub fn memory_limit_bytes() -> u64 {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&groups)
        .into_iter()
        .filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    limits.fold(system_memory_bytes(), u64::min)
}

/// The files that may have a limit for a process with this /proc/self/cgroup: those of its group and of all that this one
/// is part of. A container may see its own group as the root.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let ancestors = Path::new(group.trim_start_matches('/')).ancestors();
        files.extend(ancestors.map(|group| Path::new(root).join(group).join(file)));
    }
    files
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
    fn limits_are_those_of_all_groups_above() {
        let files = |groups| -> Vec<String> {
            limit_files(groups).iter().map(|path| path.display().to_string()).collect()
        };
        let root = "/sys/fs/cgroup/memory.max";
        assert_eq!(files("0::/\n"), [root]);
        assert_eq!(
            files("0::/a.slice/b.scope\n"),
            ["/sys/fs/cgroup/a.slice/b.scope/memory.max", "/sys/fs/cgroup/a.slice/memory.max", root]
        );
        assert_eq!(
            files("4:cpu:/x\n3:memory:/docker/y\n"),
            [
                "/sys/fs/cgroup/memory/docker/y/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes"
            ]
        );
        assert!(memory_limit_bytes() <= system_memory_bytes());
    }

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
        if cfg!(target_os = "linux") {
            let of_thread = || thread_cpu_time(thread_id());
            while of_thread() == CpuTime::default() {
                std::hint::black_box(0);
            }
            let process = cpu_time();
            let thread = of_thread();
            assert!(
                thread.user + thread.system <= process.user + process.system + Duration::from_millis(100)
            );
            assert!(resident_bytes() > 100_000 && resident_bytes() < system_memory_bytes());
        }
    }
}
