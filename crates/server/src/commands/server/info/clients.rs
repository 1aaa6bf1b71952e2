//! Section Clients.

use std::sync::atomic::Ordering::Relaxed;

use super::{Facts, Visitor};
use crate::clients::ClientFlags;

pub(super) fn clients(info: &mut dyn Visitor, facts: &Facts<'_>) {
    let server = facts.server;
    let (mut input_max, mut output_max) = (0, 0);
    let (mut blocked, mut watching) = (server.parked_clients.load(Relaxed), 0);
    server.clients.for_each(|client| {
        input_max = input_max.max(client.query_bytes.load(Relaxed) + client.argument_bytes.load(Relaxed));
        output_max = output_max.max(client.output_bytes.load(Relaxed));
        let flags = client.flags();
        blocked += usize::from(flags.contains(ClientFlags::POSTPONED));
        watching += usize::from(client.watched.load(Relaxed) > 0);
    });
    let timed: u64 = server.workers.iter().map(|worker| worker.deadlines.load(Relaxed)).sum();
    info.section("Clients");
    info.fields(&[
        (
            "connected_clients",
            &server.clients.connected().saturating_sub(server.replication.followers().len()),
        ),
        ("cluster_connections", &0),
        ("maxclients", &server.config.maxclients()),
        ("client_recent_max_input_buffer", &input_max),
        ("client_recent_max_output_buffer", &output_max),
        ("blocked_clients", &blocked),
        ("tracking_clients", &server.trackers.count()),
        ("pubsub_clients", &server.channels.subscribers()),
        ("watching_clients", &watching),
        ("clients_in_timeout_table", &timed),
    ]);
    if let Some(totals) = &facts.totals {
        info.fields(&[
            ("total_watched_keys", &totals.watched),
            ("total_blocking_keys", &totals.awaited),
            ("total_blocking_keys_on_nokey", &totals.awaited_absent),
        ]);
    }
}
