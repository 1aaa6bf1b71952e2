//! Section Memory.

use std::sync::atomic::Ordering::Relaxed;

use super::text::human;
use super::{Facts, Visitor};
use crate::persistence::replicate;
use crate::system::allocator;
use crate::system::process;

pub(super) fn memory(info: &mut dyn Visitor, facts: &Facts<'_>) {
    let server = facts.server;
    // What is kept for followers is told behind what was answered.
    replicate::catch_up(server);
    let used = facts.used_bytes;
    let peak = allocator::peak_bytes();
    let resident = process::resident_bytes();
    let [client_bytes, follower_bytes] = server.clients.memory_bytes();
    let net = used.saturating_sub(server.startup_bytes);
    let percent = |part: u64, whole: u64| part as f64 * 100.0 / whole.max(1) as f64;
    let ratio = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    info.section("Memory");
    info.bytes("used_memory", used);
    info.bytes("used_memory_rss", resident);
    info.bytes("used_memory_peak", peak);
    info.field("used_memory_peak_time", &allocator::note_peak(facts.now_ms / 1000));
    info.field("used_memory_peak_perc", &format_args!("{:.2}%", percent(used, peak)));
    info.field("used_memory_startup", &server.startup_bytes);
    if let Some(totals) = &facts.totals {
        let overhead = (server.startup_bytes + client_bytes + follower_bytes + totals.table_bytes).min(used);
        let dataset = used - overhead;
        info.field("used_memory_overhead", &overhead);
        info.field("used_memory_dataset", &dataset);
        info.field("used_memory_dataset_perc", &format_args!("{:.2}%", percent(dataset, net).min(100.0)));
    }
    // The allocator does not tell what it holds back: only what is used and what is resident are known.
    info.field("allocator_allocated", &used);
    info.field("allocator_active", &resident);
    info.field("allocator_resident", &resident);
    info.field("allocator_muzzy", &0);
    info.bytes("total_system_memory", process::system_memory_bytes());
    let (scripts, libraries) = (&server.scripts, server.scripts.libraries());
    let [eval_vm, functions_vm] = scripts.interpreter_bytes();
    let (script_count, script_bytes) = scripts.figures();
    info.field("used_memory_lua", &eval_vm);
    info.field("used_memory_vm_eval", &eval_vm);
    info.field("used_memory_lua_human", &human(eval_vm));
    info.field("used_memory_scripts_eval", &script_bytes);
    info.field("number_of_cached_scripts", &script_count);
    info.field("number_of_functions", &libraries.functions());
    info.field("number_of_libraries", &libraries.len());
    info.field("used_memory_vm_functions", &functions_vm);
    info.bytes("used_memory_vm_total", eval_vm + functions_vm);
    info.field("used_memory_functions", &libraries.bytes());
    info.bytes("used_memory_scripts", (script_bytes + libraries.bytes()) as u64);
    info.bytes("maxmemory", server.config.maxmemory());
    info.field("maxmemory_policy", &server.config.maxmemory_policy().name());
    if server.is_adaptive() {
        info.field("adaptive_half_life", &server.shards.half_life());
    }
    info.decimal("allocator_frag_ratio", 1.0);
    info.field("allocator_frag_bytes", &0);
    info.decimal("allocator_rss_ratio", 1.0);
    info.field("allocator_rss_bytes", &0);
    info.decimal("rss_overhead_ratio", 1.0);
    info.field("rss_overhead_bytes", &0);
    info.decimal("mem_fragmentation_ratio", ratio(resident, used));
    info.field("mem_fragmentation_bytes", &(resident as i64 - used as i64));
    let for_followers = server.stream_held_for_followers();
    let stream_bytes = server.replication.held_bytes().max(for_followers);
    let log_bytes = if server.log.state.is_on.load(Relaxed) { server.effects.held_bytes() } else { 0 };
    info.fields(&[
        ("mem_not_counted_for_evict", &server.uncounted_bytes()),
        ("mem_replication_backlog", &(stream_bytes - for_followers)),
        ("mem_total_replication_buffers", &stream_bytes),
        ("mem_replica_full_sync_buffer", &0),
        ("mem_clients_slaves", &(for_followers as u64 + follower_bytes)),
        ("mem_clients_normal", &client_bytes),
        // No slot moves to or from this server.
        ("mem_cluster_slot_migration_output_buffer", &0),
        ("mem_cluster_slot_migration_input_buffer", &0),
        ("mem_cluster_slot_migration_input_buffer_peak", &0),
        ("mem_cluster_links", &0),
        ("mem_aof_buffer", &log_bytes),
        ("mem_allocator", &"mimalloc"),
        ("mem_overhead_db_hashtable_rehashing", &0),
        ("active_defrag_running", &u8::from(server.compaction.running.load(Relaxed))),
        ("lazyfree_pending_objects", &server.reclaimer.pending()),
        ("lazyfreed_objects", &server.reclaimer.freed()),
    ]);
}
