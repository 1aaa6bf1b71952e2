//! The files of a log on a disk that tears, forgets, fills up and fails.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use swytch_testkit::Random;

use super::*;
use crate::system::disk::{Disk, DiskFile};
use crate::system::torn_disk::TornDisk;

/// Crashes in one test: each takes some microseconds.
const CRASHES: usize = 10_000;

fn find(disk: &TornDisk) -> std::io::Result<(Files, Found)> {
    Files::find(Arc::new(disk.clone()), PathBuf::from("/data"), OsStr::new("logs"), b"log".to_vec())
}

/// A group says its number, and enough else to be torn.
fn group(number: u64) -> Vec<u8> {
    format!("{number} {}\n", "x".repeat(number as usize % 37)).into_bytes()
}

/// The number of groups that the log has, its base included, and how many bytes of its last file are whole. Before the last
/// file nothing may be torn.
fn read(files: &mut Files) -> (u64, u64) {
    let (mut next, mut whole) = (0, 0);
    let parts = files.parts().expect("every file that the list names is there");
    let last = parts.len().saturating_sub(1);
    for (index, (path, _)) in parts.iter().enumerate() {
        let mut bytes = Vec::new();
        let (mut file, _) = files.disk().open(path).expect("it is there");
        file.read_to_end(&mut bytes).expect("it can be read");
        whole = 0;
        if path.to_string_lossy().contains("base") {
            next = String::from_utf8(bytes).expect("a base is never torn").parse().expect("a number");
            continue;
        }
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if line != group(next) {
                assert_eq!(index, last, "only the end of the log may be torn");
                break;
            }
            next += 1;
            whole += line.len() as u64;
        }
    }
    (next, whole)
}

#[test]
fn any_crash_leaves_every_safe_group_in_order_and_without_a_gap() {
    let mut random = Random::from_environment();
    let disk = TornDisk::default();
    let (mut written, mut safe) = (0, 0);
    for crash in 0..CRASHES {
        let (mut files, _) = find(&disk).unwrap_or_else(|error| panic!("after crash {crash}: {error}"));
        let (found, whole) = read(&mut files);
        assert!(
            (safe..=written).contains(&found),
            "{found} of {safe} to {written} groups after crash {crash}"
        );
        (written, safe) = (found, found);
        let parts = files.parts().expect("they are there");
        if parts.last().is_some_and(|(path, _)| path.to_string_lossy().contains("incr")) {
            files.cut(whole).expect("the disk works");
        }
        files.begin().expect("the disk works");
        let mut base_of = None;
        for _ in 0..random.below(12) {
            match random.below(10) {
                8 => {
                    // What comes from now on is behind the base that is written meanwhile.
                    files.turn().expect("the disk works");
                    (safe, base_of) = (written, Some(written));
                }
                9 => {
                    let Some(groups) = base_of.take() else { continue };
                    let temporary = PathBuf::from("/data/temp-base");
                    let mut file = disk.create(&temporary).expect("the disk works");
                    file.write_all(groups.to_string().as_bytes()).expect("the disk works");
                    file.sync().expect("the disk works");
                    let stops = random.once_in(3);
                    if stops {
                        disk.stop_after(random.below(12));
                    }
                    let keeps = random.once_in(2);
                    let replaced = files.replace_before_last(&temporary, BaseForm::Rdb, keeps);
                    if stops || replaced.is_err() {
                        break;
                    }
                }
                0 => {
                    let text = written.to_string();
                    let base = |file: &mut dyn DiskFile| {
                        file.write_all(text.as_bytes())?;
                        Ok(text.len() as u64)
                    };
                    let mut stops = false;
                    match random.below(4) {
                        // It stops in the middle, and the log is what it was.
                        0 => disk.set_room(Some(random.below(40))),
                        1 => disk.set_sync_fails(true),
                        // The machine stops somewhere on the way.
                        2 => {
                            disk.stop_after(random.below(16));
                            stops = true;
                        }
                        _ => {}
                    }
                    base_of = None;
                    let made = files.begin_anew(BaseForm::Rdb, random.once_in(2), base);
                    disk.set_room(None);
                    disk.set_sync_fails(false);
                    if made.is_ok() {
                        safe = written;
                    }
                    if stops || files.is_broken() && random.once_in(2) {
                        break;
                    } else if files.is_broken() {
                        files.begin_anew(BaseForm::Rdb, false, base).expect("the disk works");
                        safe = written;
                    }
                }
                1 | 2 => {
                    files.sync().expect("the disk works");
                    safe = written;
                }
                3 => {
                    // Full in the middle of a group: nothing of it is there, and the next one follows the last whole one.
                    disk.set_room(Some(random.below(group(written).len())));
                    assert!(files.append(&group(written)).is_err());
                    disk.set_room(None);
                }
                _ => {
                    files.append(&group(written)).expect("the disk works");
                    written += 1;
                }
            }
        }
        disk.crash(|| random.once_in(2));
    }
    assert!(written > CRASHES as u64, "{written} groups");
}

#[test]
fn after_a_sync_that_has_failed_only_a_new_base_makes_anything_safe() {
    let disk = TornDisk::default();
    let (mut files, found) = find(&disk).expect("an empty disk");
    assert_eq!(found, Found::Nothing);
    files.begin().expect("the disk works");
    files.append(&group(0)).expect("the disk works");
    disk.set_sync_fails(true);
    assert!(files.sync().is_err());
    disk.set_sync_fails(false);
    assert!(files.is_broken());
    assert!(files.sync().is_err(), "it may have lost what the first one was about");
    assert!(files.append(&group(1)).is_err());
    let base = |file: &mut dyn DiskFile| file.write_all(b"1").map(|()| 1);
    files.begin_anew(BaseForm::Rdb, false, base).expect("the disk works");
    files.append(&group(1)).expect("the disk works");
    files.sync().expect("the disk works");
    disk.crash(|| false);
    assert_eq!(read(&mut find(&disk).expect("a whole log").0).0, 2);
}

#[test]
fn a_log_of_one_file_becomes_the_base_of_one_with_a_list() {
    let disk = TornDisk::default();
    let name = PathBuf::from("/data/log");
    let mut file = disk.create(&name).expect("the disk works");
    file.write_all(&group(0)).expect("the disk works");
    file.sync().expect("the disk works");
    let (mut files, found) = find(&disk).expect("a log");
    assert_eq!(found, Found::OneFile);
    let parts = files.parts().expect("it was moved");
    assert_eq!(parts, [(PathBuf::from("/data/logs/log"), group(0).len() as u64)]);
    files.begin().expect("the disk works");
    let parts = find(&disk).expect("a log").0.parts().expect("both are there");
    assert_eq!(parts[1].0, PathBuf::from("/data/logs/log.1.incr.aof"));
}
