//! What a client has watched and queued, until EXEC runs it or it is given up.

use swytch_store::{Keyspace, LockScope, WatchFlag};

use super::scope;
use crate::clients::{Client, ClientFlags};
use crate::command::CommandError;
use crate::server::Server;

/// Registers a client at keys it watches. The caller holds no locks.
///
/// # Errors
/// If a script has one of the keys for too long.
pub fn watch<'k>(
    server: &Server,
    client: &mut Client,
    keys: impl Iterator<Item = &'k [u8]> + Clone,
    now_ms: u64,
) -> Result<(), CommandError> {
    let db = client.db;
    let scope = LockScope::of(keys.clone().map(|bytes| server.shards.shard_of_name(bytes)).collect());
    let mut keyspace = Keyspace::new(scope::lock_in_time(server, scope)?, now_ms);
    for bytes in keys {
        if client.watched.contains(db, bytes) {
            continue;
        }
        let key = server.shards.key(db, bytes);
        let shard = server.shards.shard_of(&key);
        let was_live = keyspace.is_live(&key);
        keyspace
            .locked_mut()
            .with_observers(shard, |observers| observers.watch(db, bytes, &client.watch_flag, was_live));
        client.watched.insert(db, bytes, was_live);
    }
    Ok(())
}

/// Forgets all watched keys. The caller holds no locks.
pub fn unwatch(server: &Server, client: &mut Client) {
    for (db, bytes, _) in std::mem::take(&mut client.watched).iter() {
        let shard = server.shards.shard_of_name(bytes);
        if let Some(mut locked) = server.shards.lock_one_in_time(shard) {
            locked.with_observers(shard, |observers| observers.unwatch(db, bytes, &client.watch_flag));
            continue;
        }
        let (bytes, flag) = (Box::<[u8]>::from(bytes), WatchFlag::clone(&client.watch_flag));
        server.departures.add(shard, move |observers| observers.unwatch(db, &bytes, &flag));
    }
    // A writer that found the old flag may still raise it: the next WATCH has a new one.
    client.watch_flag = WatchFlag::default();
}

/// Ends the transaction without running it.
pub fn discard(server: &Server, client: &mut Client) {
    client.queue.clear();
    client.queued_bytes = 0;
    client.flags &= !(ClientFlags::MULTI | ClientFlags::DIRTY_EXEC);
    unwatch(server, client);
}
