//! Section Memory.

use std::sync::atomic::Ordering::Relaxed;

use swytch_store::Keyspace;

use super::text::{Text, human};
use crate::command::ShardSteps;
use crate::command::prelude::*;
use crate::system::allocator;
use crate::system::process;

pub(super) fn memory(text: &mut Text, call: &Call<'_>, steps: &mut ShardSteps<'_>) {
    let server = call.server;
    allocator::settle();
    let used = allocator::used_bytes();
    let peak = allocator::peak_bytes();
    let resident = process::resident_bytes();
    let mut client_bytes = 0;
    server.clients.for_each(|client| client_bytes += client.memory_bytes());
    let overhead = (server.startup_bytes + client_bytes + table_bytes(call, steps)).min(used);
    let dataset = used - overhead;
    let net = used.saturating_sub(server.startup_bytes);
    let percent = |part: u64, whole: u64| part as f64 * 100.0 / whole.max(1) as f64;
    let ratio = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    text.section("Memory");
    text.bytes("used_memory", used);
    text.bytes("used_memory_rss", resident);
    text.bytes("used_memory_peak", peak);
    text.field("used_memory_peak_perc", format_args!("{:.2}%", percent(used, peak)));
    text.field("used_memory_overhead", overhead);
    text.field("used_memory_startup", server.startup_bytes);
    text.field("used_memory_dataset", dataset);
    text.field("used_memory_dataset_perc", format_args!("{:.2}%", percent(dataset, net).min(100.0)));
    // The allocator does not tell what it holds back: only what is used and what is resident are known.
    text.field("allocator_allocated", used);
    text.field("allocator_active", resident);
    text.field("allocator_resident", resident);
    text.field("allocator_muzzy", 0);
    text.bytes("total_system_memory", process::system_memory_bytes());
    let (scripts, libraries) = (&server.scripts, server.scripts.libraries());
    let [eval_vm, functions_vm] = scripts.interpreter_bytes();
    let (script_count, script_bytes) = scripts.figures();
    text.field("used_memory_lua", eval_vm);
    text.field("used_memory_vm_eval", eval_vm);
    text.field("used_memory_lua_human", human(eval_vm));
    text.field("used_memory_scripts_eval", script_bytes);
    text.field("number_of_cached_scripts", script_count);
    text.field("number_of_functions", libraries.functions());
    text.field("number_of_libraries", libraries.len());
    text.field("used_memory_vm_functions", functions_vm);
    text.bytes("used_memory_vm_total", eval_vm + functions_vm);
    text.field("used_memory_functions", libraries.bytes());
    text.bytes("used_memory_scripts", (script_bytes + libraries.bytes()) as u64);
    text.bytes("maxmemory", server.config.maxmemory());
    text.field("maxmemory_policy", server.config.maxmemory_policy().name());
    text.decimal("allocator_frag_ratio", 1.0);
    text.field("allocator_frag_bytes", 0);
    text.decimal("allocator_rss_ratio", 1.0);
    text.field("allocator_rss_bytes", 0);
    text.decimal("rss_overhead_ratio", 1.0);
    text.field("rss_overhead_bytes", 0);
    text.decimal("mem_fragmentation_ratio", ratio(resident, used));
    text.field("mem_fragmentation_bytes", resident as i64 - used as i64);
    text.fields(&[
        ("mem_not_counted_for_evict", &server.uncounted_bytes()),
        ("mem_replication_backlog", &0),
        ("mem_total_replication_buffers", &0),
        ("mem_replica_full_sync_buffer", &0),
        ("mem_clients_slaves", &0),
        ("mem_clients_normal", &client_bytes),
        ("mem_cluster_links", &0),
        ("mem_aof_buffer", &0),
        ("mem_allocator", &"mimalloc"),
        ("mem_overhead_db_hashtable_rehashing", &0),
        ("active_defrag_running", &u8::from(server.compaction.running.load(Relaxed))),
        ("lazyfree_pending_objects", &server.reclaimer.pending()),
        ("lazyfreed_objects", &server.reclaimer.freed()),
    ]);
}

/// Bytes of the hash tables, entries excluded.
fn table_bytes(call: &Call<'_>, steps: &mut ShardSteps<'_>) -> u64 {
    let mut bytes = 0;
    for shard in 0..call.server.shards.count() as u16 {
        steps.with_shard(shard, &mut |keyspace: &Keyspace<'_>| {
            bytes +=
                (0..keyspace.databases()).map(|db| keyspace.shard_table_bytes(shard, db) as u64).sum::<u64>();
        });
    }
    bytes
}
