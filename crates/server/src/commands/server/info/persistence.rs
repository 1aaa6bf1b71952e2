//! Section Persistence: the data's file and the append-only log; for what a fork does elsewhere, the values of a server that does
//! nothing.

use std::sync::atomic::Ordering;

use super::{Facts, Visitor};
use crate::server::Conditions;
use crate::server::background::Task;

pub(super) fn persistence(info: &mut dyn Visitor, facts: &Facts<'_>) {
    info.section("Persistence");
    let saves = &facts.server.saves;
    let (loading, load) = (facts.server.conditions().contains(Conditions::LOADING), &saves.loading);
    let log = &facts.server.log.state;
    let (log_is_on, failed_rewrites) =
        (log.is_on.load(Ordering::Relaxed), log.failed_rewrites.load(Ordering::Relaxed));
    let now_s = facts.now_ms / 1000;
    let seconds = |seconds: Option<u64>| seconds.map_or(-1, |seconds| seconds as i64);
    let background = &facts.server.background;
    // First, because what is scheduled comes to be running.
    let scheduled = background.is_scheduled(Task::Rewrite);
    let [saving_s, rewriting_s, sending_s] = [Task::Save, Task::Rewrite, Task::Sync]
        .map(|task| background.since_s(task).map(|since_s| now_s.saturating_sub(since_s)));
    // What followers are sent is to Redis a save as well.
    let saving_s = saving_s.or(sending_s);
    let [written, total] = match background.running() {
        Some(_) => [&background.keys, &background.keys_total].map(|keys| keys.load(Ordering::Relaxed)),
        None => [0, 0],
    };
    info.fields(&[
        ("loading", &u8::from(loading)),
        ("async_loading", &0),
        ("current_cow_peak", &0),
        ("current_cow_size", &0),
        ("current_cow_size_age", &0),
        ("current_fork_perc", &format!("{:.2}", written as f64 * 100.0 / total.max(1) as f64)),
        ("current_save_keys_processed", &written),
        ("current_save_keys_total", &total),
        ("rdb_changes_since_last_save", &facts.server.dirty()),
        ("rdb_bgsave_in_progress", &u8::from(saving_s.is_some())),
        ("rdb_last_save_time", &saves.last_s()),
        ("rdb_last_bgsave_status", &if saves.has_failed() { "err" } else { "ok" }),
        ("rdb_last_bgsave_time_sec", &seconds(saves.last_took_s())),
        ("rdb_current_bgsave_time_sec", &seconds(saving_s)),
        ("rdb_saves", &saves.count()),
        ("rdb_saves_consecutive_failures", &saves.failures()),
        ("rdb_last_cow_size", &0),
        ("rdb_last_load_keys_expired", &load.expired.load(Ordering::Relaxed)),
        ("rdb_last_load_keys_loaded", &load.keys.load(Ordering::Relaxed)),
        ("aof_enabled", &u8::from(log_is_on)),
        ("aof_rewrite_in_progress", &u8::from(rewriting_s.is_some())),
        ("aof_rewrite_scheduled", &u8::from(scheduled)),
        ("aof_last_rewrite_time_sec", &seconds(log.rewrite_took_s())),
        ("aof_current_rewrite_time_sec", &seconds(rewriting_s)),
        ("aof_last_bgrewrite_status", &if failed_rewrites > 0 { "err" } else { "ok" }),
        ("aof_rewrites", &log.rewrites.load(Ordering::Relaxed)),
        ("aof_rewrites_consecutive_failures", &failed_rewrites),
        ("aof_last_write_status", &if log.has_failed() { "err" } else { "ok" }),
        ("aof_last_cow_size", &0),
        ("module_fork_in_progress", &0),
        ("module_fork_last_cow_size", &0),
    ]);
    if log_is_on {
        let [bytes, base, unsynced, age_ms, late] =
            [&log.bytes, &log.base_bytes, &log.unsynced_bytes, &log.unsynced_ms, &log.late_syncs]
                .map(|number| number.load(Ordering::Relaxed));
        let groups = facts.server.effects.next().saturating_sub(log.safe_until.load(Ordering::Relaxed));
        info.fields(&[
            ("aof_current_size", &bytes),
            ("aof_base_size", &base),
            ("aof_pending_rewrite", &u8::from(scheduled)),
            ("aof_buffer_length", &facts.server.effects.waiting_bytes()),
            ("aof_pending_bio_fsync", &u8::from(unsynced > 0)),
            ("aof_delayed_fsync", &late),
            ("aof_unsynced_bytes", &unsynced),
            ("aof_unsynced_groups", &groups),
            ("aof_unsynced_ms", &age_ms),
        ]);
    }
    if loading {
        let [began_s, total, bytes] =
            [&load.began_s, &load.bytes_total, &load.bytes].map(|number| number.load(Ordering::Relaxed));
        let share = if total == 0 { 1.0 } else { bytes as f64 / total as f64 };
        let left_s = now_s.saturating_sub(began_s) as f64 * (1.0 - share) / share.max(1e-9);
        info.fields(&[
            ("loading_start_time", &began_s),
            ("loading_total_bytes", &total),
            ("loading_rdb_used_mem", &0),
            ("loading_loaded_bytes", &bytes),
            ("loading_loaded_perc", &format!("{:.2}", share * 100.0)),
            ("loading_eta_seconds", &(left_s as u64)),
        ]);
    }
}
