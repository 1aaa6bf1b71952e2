//! Section Persistence: the data's file; the values of a Redis without snapshots in the background and append-only file.

use std::sync::atomic::Ordering;

use super::text::Text;
use crate::command::ShardSteps;
use crate::command::prelude::*;
use crate::server::Conditions;

pub(super) fn persistence(text: &mut Text, call: &Call<'_>, _: &mut ShardSteps<'_>) {
    text.section("Persistence");
    let saves = &call.server.saves;
    let (loading, load) = (call.server.conditions().contains(Conditions::LOADING), &saves.loading);
    let now_s = call.now_ms / 1000;
    let seconds = |seconds: Option<u64>| seconds.map_or(-1, |seconds| seconds as i64);
    let running_s = saves.running_since_s().map(|since_s| now_s.saturating_sub(since_s));
    text.fields(&[
        ("loading", &u8::from(loading)),
        ("async_loading", &0),
        ("current_cow_peak", &0),
        ("current_cow_size", &0),
        ("current_cow_size_age", &0),
        ("current_fork_perc", &"0.00"),
        ("current_save_keys_processed", &0),
        ("current_save_keys_total", &0),
        ("rdb_changes_since_last_save", &call.server.dirty()),
        ("rdb_bgsave_in_progress", &u8::from(running_s.is_some())),
        ("rdb_last_save_time", &saves.last_s()),
        ("rdb_last_bgsave_status", &if saves.has_failed() { "err" } else { "ok" }),
        ("rdb_last_bgsave_time_sec", &seconds(saves.last_took_s())),
        ("rdb_current_bgsave_time_sec", &seconds(running_s)),
        ("rdb_saves", &saves.count()),
        ("rdb_last_cow_size", &0),
        ("rdb_last_load_keys_expired", &load.expired.load(Ordering::Relaxed)),
        ("rdb_last_load_keys_loaded", &load.keys.load(Ordering::Relaxed)),
        ("aof_enabled", &0),
        ("aof_rewrite_in_progress", &0),
        ("aof_rewrite_scheduled", &0),
        ("aof_last_rewrite_time_sec", &-1),
        ("aof_current_rewrite_time_sec", &-1),
        ("aof_last_bgrewrite_status", &"ok"),
        ("aof_rewrites", &0),
        ("aof_rewrites_consecutive_failures", &0),
        ("aof_last_write_status", &"ok"),
        ("aof_last_cow_size", &0),
        ("module_fork_in_progress", &0),
        ("module_fork_last_cow_size", &0),
    ]);
    if loading {
        let [began_s, total, bytes] =
            [&load.began_s, &load.bytes_total, &load.bytes].map(|number| number.load(Ordering::Relaxed));
        let share = if total == 0 { 1.0 } else { bytes as f64 / total as f64 };
        let left_s = now_s.saturating_sub(began_s) as f64 * (1.0 - share) / share.max(1e-9);
        text.fields(&[
            ("loading_start_time", &began_s),
            ("loading_total_bytes", &total),
            ("loading_rdb_used_mem", &0),
            ("loading_loaded_bytes", &bytes),
            ("loading_loaded_perc", &format!("{:.2}", share * 100.0)),
            ("loading_eta_seconds", &(left_s as u64)),
        ]);
    }
}
