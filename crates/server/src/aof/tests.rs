//! The files of a log, and who writes them, on a disk that tears, forgets, fills up and fails.

use std::ffi::OsStr;
use std::io::{Cursor, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use swytch_testkit::Random;

use super::reader::CommandReader;
use super::*;
use crate::config::AppendFsync;
use crate::effects::Recorder;
use crate::effects::order::{Lane, Order};
use crate::system::disk::{self, Disk, DiskFile};
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
        files.begin(0).expect("the disk works");
        let mut base_of = None;
        for _ in 0..random.below(12) {
            match random.below(10) {
                8 => {
                    // What comes from now on is behind the base that is written meanwhile.
                    files.turn(0).expect("the disk works");
                    (safe, base_of) = (written, Some(written));
                }
                9 => {
                    let Some(groups) = base_of.take() else { continue };
                    let temporary = PathBuf::from("/data/temp-base");
                    let text = groups.to_string();
                    let write = |file: &mut dyn DiskFile| file.write_all(text.as_bytes());
                    disk::put_in_place(&disk, &temporary, write, |()| Ok(())).expect("the disk works");
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
                    let made = files.begin_anew(BaseForm::Rdb, random.once_in(2), 0, base);
                    disk.set_room(None);
                    disk.set_sync_fails(false);
                    if made.is_ok() {
                        safe = written;
                    }
                    if stops || files.is_broken() && random.once_in(2) {
                        break;
                    } else if files.is_broken() {
                        files.begin_anew(BaseForm::Rdb, false, 0, base).expect("the disk works");
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

/// What `everysec` promises.
const SECOND: Duration = Duration::from_secs(1);

/// A process that writes a log: its groups say their numbers.
struct Life {
    order: Arc<Order>,
    lanes: Vec<Arc<Lane>>,
    writer: Writer,
    turn: Arc<Turn>,
    policy: Policy,
    /// The number of its first group.
    first: u64,
    /// When each of its groups was published.
    published: Vec<Instant>,
    /// The groups before this number were acknowledged.
    acknowledged: u64,
    /// When the next round is, and whether something that is published makes it earlier.
    next_round: Instant,
    waits_for_news: bool,
}

impl Life {
    /// It has loaded the log that there is, and goes on with it or begins another one aside.
    fn begin(disk: &TornDisk, policy: Policy, next_number: u64, aside: bool) -> std::io::Result<Life> {
        let (mut files, _) = find(disk)?;
        let whole = numbers(&mut files).1;
        let parts = files.parts()?;
        if parts.last().is_some_and(|(path, _)| path.to_string_lossy().contains("incr")) {
            files.cut(whole)?;
        }
        if aside {
            files.begin_aside()?
        } else {
            files.begin(0)?
        }
        let lanes: Vec<Arc<Lane>> = (0..3).map(|_| Arc::default()).collect();
        let order = Arc::new(Order::new(lanes.clone()));
        let turn = Arc::<Turn>::default();
        Ok(Life {
            writer: Writer::new(files, &order, &turn),
            order,
            lanes,
            turn,
            policy,
            first: next_number,
            published: Vec::new(),
            acknowledged: next_number,
            next_round: policy.now,
            waits_for_news: true,
        })
    }

    fn next_number(&self) -> u64 {
        self.first + self.published.len() as u64
    }

    fn publish(&mut self, random: &mut Random) {
        let lane = &self.lanes[random.below(self.lanes.len())];
        let mut group = Recorder::of_thread();
        let number = self.next_number();
        let filling = "x".repeat(number as usize % 37);
        group.command(&[b"SET", number.to_string().as_bytes(), filling.as_bytes()]);
        self.order.publish(lane, group);
        self.published.push(self.policy.now);
        if self.waits_for_news {
            self.next_round = self.policy.now;
        }
    }

    fn pass(&mut self, time: Duration) -> std::io::Result<()> {
        let until = self.policy.now + time;
        while self.next_round <= until {
            self.policy.now = self.next_round;
            let round = self.writer.round(self.policy);
            // Replies leave whether it has succeeded or not.
            if !self.writer.files().is_aside() {
                self.acknowledged = self.first + self.writer.acknowledged(self.policy);
            }
            let has_written = round?;
            let (rest, waits_for_news) = match self.writer.rest(self.policy, has_written) {
                Rest::For(time) => (time, false),
                Rest::UntilNews(time) => (time, true),
            };
            (self.next_round, self.waits_for_news) = (self.policy.now + rest, waits_for_news);
        }
        self.policy.now = until;
        Ok(())
    }

    /// The moment of the data that a base is written from.
    fn mark_turn(&self) -> u64 {
        self.order.boundary(|place| self.turn.want(place, 0))
    }

    /// Puts the base of a moment in its place, if its increment has begun.
    fn put_base(&mut self, disk: &TornDisk, place: u64, keeps_history: bool) -> std::io::Result<()> {
        if self.writer.turned_at() != Some(place) {
            return Ok(());
        }
        let (temporary, text) = (PathBuf::from("/data/temp-base"), (self.first + place).to_string());
        let write = |file: &mut dyn DiskFile| file.write_all(text.as_bytes());
        disk::put_in_place(disk, &temporary, write, |()| {
            self.writer.put_base(&temporary, BaseForm::Rdb, keeps_history)
        })
    }

    /// The groups before this number have to be there after a crash now.
    fn promised(&mut self) -> u64 {
        match self.policy.sync {
            _ if self.writer.files().is_aside() => self.first,
            AppendFsync::Always => self.acknowledged,
            AppendFsync::Everysec => {
                let is_old = |at: &&Instant| **at + SECOND <= self.policy.now;
                self.first + self.published.iter().take_while(is_old).count() as u64
            }
            AppendFsync::No => self.first,
        }
    }
}

/// The number behind the last group that the log has, its base included, and how many bytes of its last file are whole.
fn numbers(files: &mut Files) -> (u64, u64) {
    let (mut next, mut whole) = (0, 0);
    for (path, _) in files.parts().expect("every file that the list names is there") {
        let mut bytes = Vec::new();
        let (mut file, _) = files.disk().open(&path).expect("it is there");
        file.read_to_end(&mut bytes).expect("it can be read");
        if path.to_string_lossy().contains("base") {
            next = String::from_utf8(bytes).expect("a base is never torn").parse().expect("a number");
            continue;
        }
        let mut reader = CommandReader::new(Cursor::new(bytes), 0);
        whole = 0;
        while reader.next().is_ok_and(|more| more) && reader.command().get(1) == next.to_string().as_bytes() {
            next += 1;
            whole = reader.offset();
        }
    }
    (next, whole)
}

#[test]
fn what_was_acknowledged_is_there_after_any_crash_and_under_everysec_all_but_a_second() {
    let mut random = Random::from_environment();
    let disk = TornDisk::default();
    let mut policy = Policy { sync: AppendFsync::Always, annotate_s: None, now: Instant::now() };
    let mut next_number = 0;
    for crash in 0..CRASHES {
        policy.sync = [AppendFsync::Always, AppendFsync::Everysec, AppendFsync::No][random.below(3_usize)];
        let aside = random.once_in(4);
        let begun = Life::begin(&disk, policy, next_number, aside);
        let mut life = begun.unwrap_or_else(|error| panic!("after crash {crash}: {error}"));
        let (mut base_of, mut works) = (aside.then_some(0), Ok(()));
        for _ in 0..random.below(30) {
            match random.below(12) {
                0 => base_of = Some(life.mark_turn()),
                1 => {
                    let Some(place) = base_of.take() else { continue };
                    if random.once_in(3) {
                        disk.stop_after(random.below(12));
                    }
                    works = life.put_base(&disk, place, random.once_in(2));
                }
                2 | 3 => works = life.pass(Duration::from_millis(random.below(600))),
                4 if random.once_in(8) => disk.stop_after(random.below(12)),
                _ => life.publish(&mut random),
            }
            if works.is_err() {
                break;
            }
        }
        let (promised, published) = (life.promised(), life.next_number());
        policy.now = life.policy.now;
        drop(life);
        disk.crash(|| random.once_in(2));
        let (mut files, _) = find(&disk).unwrap_or_else(|error| panic!("after crash {crash}: {error}"));
        next_number = numbers(&mut files).0;
        assert!(
            (promised..=published).contains(&next_number),
            "{next_number} of {promised} to {published} groups after crash {crash} under {:?}",
            policy.sync
        );
    }
    assert!(next_number > CRASHES as u64, "{next_number} groups");
}

#[test]
fn after_a_sync_that_has_failed_only_a_new_base_makes_anything_safe() {
    let disk = TornDisk::default();
    let (mut files, found) = find(&disk).expect("an empty disk");
    assert_eq!(found, Found::Nothing);
    files.begin(0).expect("the disk works");
    files.append(&group(0)).expect("the disk works");
    disk.set_sync_fails(true);
    assert!(files.sync().is_err());
    disk.set_sync_fails(false);
    assert!(files.is_broken());
    assert!(files.sync().is_err(), "it may have lost what the first one was about");
    assert!(files.append(&group(1)).is_err());
    let base = |file: &mut dyn DiskFile| file.write_all(b"1").map(|()| 1);
    files.begin_anew(BaseForm::Rdb, false, 0, base).expect("the disk works");
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
    files.begin(0).expect("the disk works");
    let parts = find(&disk).expect("a log").0.parts().expect("both are there");
    assert_eq!(parts[1].0, PathBuf::from("/data/logs/log.1.incr.aof"));
}
