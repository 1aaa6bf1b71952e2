//! Section Keyspace.

use swytch_store::Keyspace;

use super::text::Text;
use crate::command::ShardSteps;
use crate::command::prelude::*;

pub(super) fn keyspace(text: &mut Text, call: &Call<'_>, steps: &mut ShardSteps<'_>) {
    let mut sizes = vec![(0, 0); call.server.shards.databases()];
    for shard in 0..call.server.shards.count() as u16 {
        steps.with_shard(shard, &mut |keyspace: &Keyspace<'_>| {
            for (db, size) in sizes.iter_mut().enumerate() {
                let (keys, expiring, _) = keyspace.shard_sizes(shard, db as u32);
                size.0 += keys;
                size.1 += expiring;
            }
        });
    }
    text.section("Keyspace");
    for (db, (keys, expiring)) in sizes.into_iter().enumerate().filter(|(_, size)| size.0 > 0) {
        text.field(&format!("db{db}"), format_args!("keys={keys},expires={expiring},avg_ttl=0,subexpiry=0"));
    }
}
