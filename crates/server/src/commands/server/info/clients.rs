//! Section Clients.

use std::sync::atomic::Ordering::Relaxed;

use swytch_store::Keyspace;

use super::text::Text;
use crate::clients::ClientFlags;
use crate::command::ShardSteps;
use crate::command::prelude::*;
use crate::dispatch::park;

pub(super) fn clients(text: &mut Text, call: &Call<'_>, steps: &mut ShardSteps<'_>) {
    let server = call.server;
    let (mut input_max, mut output_max) = (0, 0);
    let (mut blocked, mut watching) = (server.parked_clients.load(Relaxed), 0);
    server.clients.for_each(|client| {
        input_max = input_max.max(client.query_bytes.load(Relaxed) + client.argument_bytes.load(Relaxed));
        output_max = output_max.max(client.output_bytes.load(Relaxed));
        let flags = ClientFlags::from_bits_retain(client.flags.load(Relaxed));
        blocked += usize::from(flags.contains(ClientFlags::POSTPONED));
        watching += usize::from(client.watched.load(Relaxed) > 0);
    });
    let timed: u64 = server.workers.iter().map(|worker| worker.deadlines.load(Relaxed)).sum();
    let (mut awaited, mut awaited_absent, mut watched) = (0, 0, 0);
    for shard in 0..server.shards.count() as u16 {
        steps.with_shard(shard, &mut |keyspace: &Keyspace<'_>| {
            let observers = keyspace.locked().observers(shard);
            let (waiting, watching) = observers.key_counts();
            awaited_absent += observers.count_awaited(park::awaits_absence);
            awaited += waiting;
            watched += watching;
        });
    }
    text.section("Clients");
    text.fields(&[
        ("connected_clients", &server.clients.connected()),
        ("cluster_connections", &0),
        ("maxclients", &server.config.maxclients()),
        ("client_recent_max_input_buffer", &input_max),
        ("client_recent_max_output_buffer", &output_max),
        ("blocked_clients", &blocked),
        ("tracking_clients", &server.trackers.count()),
        ("pubsub_clients", &server.channels.subscribers()),
        ("watching_clients", &watching),
        ("clients_in_timeout_table", &timed),
        ("total_watched_keys", &watched),
        ("total_blocking_keys", &awaited),
        ("total_blocking_keys_on_nokey", &awaited_absent),
    ]);
}
