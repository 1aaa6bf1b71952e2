//! What the kernel says about a running process: CPU time, resident memory; and on which cores it may run.
//!
//! Everything is read from `/proc`, so this works on Linux alone; measuring elsewhere fails with an error and
//! never with a made-up figure.
use std::time::Duration;

use anyhow::{Context, Result};

/// Length of one clock tick in `/proc/PID/stat`. Linux exports 100 ticks a second on every platform we run on.
const TICK: Duration = Duration::from_millis(10);

/// User plus system CPU time the process has used so far, in nanoseconds where the kernel keeps scheduler
/// statistics (threads that ended are missing then) and in clock ticks where not.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    if let Some(exact) = threads_time(pid, |_| true).ok().filter(|time| !time.is_zero()) {
        return Ok(exact);
    }
    let text =
        std::fs::read_to_string(format!("/proc/{pid}/stat")).context("reading the CPU time of a process")?;
    parse_cpu_time(&text).with_context(|| format!("unexpected /proc/{pid}/stat: {text}"))
}

/// Resident set size of the process in bytes.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmRSS:")
}

/// The resident memory of the process in bytes that no file holds: its data without its code, which a build that is
/// not optimised has several times as much of.
pub fn private_bytes(pid: u32) -> Result<u64> {
    status_bytes(pid, "RssAnon:")
}

/// The highest resident set size of the process in bytes, since its start or the last [`forget_peak`].
pub fn peak_bytes(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmHWM:")
}

/// Begins the peak of [`peak_bytes`] anew.
pub fn forget_peak(pid: u32) -> Result<()> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context("forgetting the peak of a process")
}

fn status_bytes(pid: u32, field: &str) -> Result<u64> {
    let text =
        std::fs::read_to_string(format!("/proc/{pid}/status")).context("reading the memory of a process")?;
    status_field(&text, field)
        .and_then(|value| value.trim_end_matches("kB").trim().parse::<u64>().ok())
        .map(|kibibytes| kibibytes * 1024)
        .with_context(|| format!("no {field} in /proc/{pid}/status"))
}

/// The cores this process may use, in ascending order.
pub fn allowed_cores() -> Result<Vec<usize>> {
    let text = std::fs::read_to_string("/proc/self/status").context("reading the allowed cores")?;
    status_field(&text, "Cpus_allowed_list:")
        .and_then(parse_core_list)
        .context("no Cpus_allowed_list in /proc/self/status")
}

/// The processor's model name, for the head of a report.
pub fn processor_model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(':'))
        .map_or_else(|| "unknown processor".to_owned(), |(_, model)| model.trim().to_owned())
}

/// The time on a core of all threads of a process whose names are wanted.
///
/// # Errors
/// Where the kernel keeps no scheduler statistics.
pub fn threads_time(pid: u32, wants: impl Fn(&str) -> bool) -> Result<Duration> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).context("listing the threads of a process")?;
    let mut nanoseconds = 0;
    for task in tasks {
        let path = task?.path();
        let read = |file| std::fs::read_to_string(path.join(file));
        if wants(read("comm")?.trim_end()) {
            // The first number is the time on a core.
            let text = read("schedstat")?;
            let time = text.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
            nanoseconds += time.context("schedstat has no time")?;
        }
    }
    Ok(Duration::from_nanos(nanoseconds))
}

fn status_field<'text>(text: &'text str, name: &str) -> Option<&'text str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// The command name stands in parentheses and may hold spaces, so fields are counted from the last one.
fn parse_cpu_time(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * (user + system))
}

fn parse_core_list(list: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cores.extend(first.trim().parse::<usize>().ok()?..=last.trim().parse::<usize>().ok()?);
    }
    Some(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_counted_behind_a_name_with_spaces() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 1 1 1";
        assert_eq!(parse_cpu_time(stat), Some(Duration::from_secs(2)));
    }

    #[test]
    fn core_lists_are_ranges_and_single_cores() {
        assert_eq!(parse_core_list("0-2,5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(parse_core_list("x"), None);
    }

    #[test]
    fn this_process_has_memory() {
        assert!(resident_bytes(std::process::id()).expect("this process exists") > 1024 * 1024);
    }
}
