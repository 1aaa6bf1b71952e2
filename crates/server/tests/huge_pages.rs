//! Huge pages: off for the objects of the start, on for the data, also for what the heap grows by.
#![cfg(target_os = "linux")]

use swytch_testkit::{Reply, ours};

/// Bytes by which the allocator grows (`MI_DEFAULT_ARENA_RESERVE` in `.cargo/config.toml`), and keeps small at first.
const ARENA_BYTES: usize = 128 << 20;
const EARLY_BYTES: usize = 8 << 20;

/// Bytes of anonymous memory of a process that are advised to be huge (`hg`), or not to be (`nh`).
fn advised(pid: u32, flag: &str) -> usize {
    let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).expect("a running process");
    let mut size = 0;
    let mut sum = 0;
    for line in smaps.lines() {
        if let Some(kilobytes) = line.strip_prefix("Size:") {
            let digits = kilobytes.trim().trim_end_matches(" kB");
            size = digits.parse::<usize>().expect("a number of kB") << 10;
        } else if let Some(flags) = line.strip_prefix("VmFlags:")
            && flags.split_whitespace().any(|word| word == flag)
        {
            sum += size;
        }
    }
    sum
}

#[test]
fn the_heap_is_huge_but_for_its_beginning() {
    // A kernel without transparent huge pages has no flags to look at.
    if !std::path::Path::new("/sys/kernel/mm/transparent_hugepage/enabled").exists() {
        return;
    }
    let mut server = ours!().start("huge-pages", "threads 1\n");
    // It listens before it looks after its memory, but answers after.
    assert_eq!(server.say("PING"), Reply::simple("PONG"));
    // The C library may advise the same for the threads' stacks.
    assert!(advised(server.pid(), "nh") >= EARLY_BYTES);
    assert_eq!(advised(server.pid(), "hg"), ARENA_BYTES - EARLY_BYTES);
    // More than an arena, in pieces that are taken from one.
    let piece = vec![b'x'; 1 << 20];
    for number in 0..(ARENA_BYTES >> 20) + 16 {
        let key = format!("key:{number}");
        assert_eq!(server.call(&[b"SET", key.as_bytes(), &piece]), Reply::ok());
    }
    assert!(advised(server.pid(), "hg") >= 2 * ARENA_BYTES - EARLY_BYTES);
}
