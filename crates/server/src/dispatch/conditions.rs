//! The server's conditions: who sets them, and when they hold.
//!
//! A condition is one bit that every command looks at. It is set before the command that sets it is answered, but other
//! threads may have looked just before and take their locks only now. So nobody is answered who has changed conditions
//! before [`wait_for_holders`] has had each shard's lock once: whoever got a lock earlier is done, and whoever gets one
//! later sees the bit behind it, where `admit` asks again. That costs a running command nothing, since it looks
//! at the conditions behind its lock anyway, to know whether anybody listens.
//!
//! | condition | asked before the locks | asked again behind them |
//! |---|---|---|
//! | a client was killed | every command | every write, EXEC |
//! | a pause of writes | every command | every write, EXEC; expiry |
//! | memory over its limit | every command | every write, EXEC |
//! | somebody monitors | | every command, to be shown in order |
//! | effects are recorded, keyspace events published, or names of all keys that change | | every change |
//! | those who read effects lag behind | every write, expiry | never: a group more does no harm |
//! | the data is being loaded | every command | never: whoever loads knows of what was there before |
//! | a save point's save has failed | every write | never: it may have failed a moment later |
//! | the log cannot be written | every write | never: what comes now waits for it |
//! | data is imported | expiry | never: what goes now would have gone before |
//! | too few followers keep up | every write | never: they may have fallen behind a moment later |
//! | replies wait for the log | | when they are to leave |
//! | the data was saved for the last time | every command | every write, EXEC |
//! | keys must be in one slot, or it is counted that they are not | every command | never: it holds from the start, or nothing comes of it |
//! | a script runs for too long | every command | never: whoever waits for one of its locks finds it overdue |
//! | the rights of a user | every command | every write, EXEC |
//! | authentication, a monitor's rights | every command | never: only the client's own commands change them |
//!
//! A command that only reads is not asked again: run behind the condition or before, nobody can tell. What is to come
//! (read-only replicas) is another row: its bit is set
//! while it changes or as long as it holds, and `admit` asks.

use std::sync::Arc;

use super::tracking;
use crate::clients::{ClientFlags, ClientShared};
use crate::command::Call;
use crate::observe::monitor::Monitor;
use crate::server::pause::Why;
use crate::server::{Conditions, Mail, Server};
use crate::system::clock::MonotonicMs;

/// What a write asks about once it has its locks.
pub const BEHIND_LOCKS: Conditions = Conditions::LISTENED
    .union(Conditions::MONITORED)
    .union(Conditions::PAUSED)
    .union(Conditions::OUT_OF_MEMORY)
    .union(Conditions::KILLING)
    .union(Conditions::STOPPING);

/// The call has changed conditions: it is answered when they hold.
pub fn changed(call: &mut Call<'_>) {
    call.client.flags |= ClientFlags::CHANGED_CONDITIONS;
}

/// Waits until everybody who took a lock before conditions were changed has released it. The caller holds none.
#[cold]
pub fn wait_for_holders(call: &mut Call<'_>) {
    call.client.flags -= ClientFlags::CHANGED_CONDITIONS;
    await_holders(call.server);
}

fn await_holders(server: &Server) {
    let shards = &server.shards;
    // A script that has one for too long asks at each of its commands.
    (0..shards.count()).for_each(|shard| drop(shards.lock_one_in_time(shard as u16)));
}

/// CLIENT PAUSE, until a time in Unix milliseconds.
pub fn pause(call: &mut Call<'_>, until: MonotonicMs, writes_only: bool) {
    let server = call.server;
    server.pause.begin(Why::Client, until, writes_only, || server.set_conditions(Conditions::PAUSED, true));
    changed(call);
}

/// CLIENT UNPAUSE.
pub fn unpause(server: &Server) {
    server.end_pause(MonotonicMs::now(), Some(Why::Client));
}

/// Nothing changes any more, because the server is to end. The caller holds no locks.
pub fn hold_writes(server: &Server) {
    let never = MonotonicMs::NEVER;
    server.pause.begin(Why::Ending, never, true, || server.set_conditions(Conditions::PAUSED, true));
    await_holders(server);
}

/// The server goes on after all.
pub fn release_writes(server: &Server) {
    server.end_pause(MonotonicMs::now(), Some(Why::Ending));
}

/// MONITOR: the call's client sees every command from now on.
pub fn begin_monitoring(call: &mut Call<'_>) {
    let server = call.server;
    let monitor = Monitor { client: call.client.id(), worker: call.client.shared.worker };
    server.monitors.add(monitor, || server.set_conditions(Conditions::MONITORED, true));
    changed(call);
}

/// The client sees no more commands.
pub fn end_monitoring(server: &Server, client: u64) {
    server.monitors.remove(client, || server.set_conditions(Conditions::MONITORED, false));
}

/// CLIENT KILL: the client is gone for everybody once the call is answered.
pub fn kill_for(call: &mut Call<'_>, client: &Arc<ClientShared>) {
    kill(call.server, client);
    changed(call);
}

/// The client is gone; its worker closes the connection.
pub fn kill(server: &Server, client: &Arc<ClientShared>) {
    server.clients.kill(client, |dying| server.set_conditions(Conditions::KILLING, dying));
    leave(server, client);
    server.workers[client.worker].mailbox.send(Mail::Close(client.id));
}

/// The same of all clients that are such; how many that were. The call's own is answered first.
pub fn kill_all(call: &mut Call<'_>, is_such: impl Fn(&ClientShared) -> bool) -> usize {
    let mut clients = call.server.clients.snapshot();
    clients.retain(|client| is_such(client));
    for client in &clients {
        if client.id == call.client.id() {
            call.close_after_reply();
        } else {
            kill_for(call, client);
        }
    }
    clients.len()
}

/// The connection of a client is closed.
pub fn closed(server: &Server, client: &ClientShared) {
    leave(server, client);
    server.clients.close(client, |dying| server.set_conditions(Conditions::KILLING, dying));
    server.client_memory.forget(client);
}

/// Nobody tells the client anything any more.
fn leave(server: &Server, client: &ClientShared) {
    tracking::leave(server, client.id);
    if let Some(subscriber) = client.subscriber.get() {
        server.channels.leave(subscriber, true);
    }
}
