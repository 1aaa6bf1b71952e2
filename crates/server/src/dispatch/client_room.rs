//! Clients that are closed because all of them together hold more than `maxmemory-clients`: those that hold most go first.
//!
//! A worker says what a connection holds when the connection's turn ends, so the limit is passed by no more than what
//! arrives in one turn. Who lists clients has it kept before he looks. Clients that are spared (CLIENT NO-EVICT) count but stay;
//! followers neither count nor go. Without the limit nothing of this runs.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::conditions;
use crate::clients::{ClientFlags, ClientShared};
use crate::command::Call;
use crate::observe::logging::limited;
use crate::server::Server;

/// Those who stay: they are not to be closed, do not count, or are being closed already.
const SPARED: ClientFlags =
    ClientFlags::NO_EVICT.union(ClientFlags::FOLLOWER).union(ClientFlags::CLOSE_AFTER_REPLY);

/// A client holds something else than before.
#[cold]
pub fn count(server: &Server, client: &ClientShared) {
    server.client_memory.count(client);
    if server.client_memory.wants_room() {
        make(server, conditions::kill);
    }
}

/// From time to time: somebody may be there now who can be closed.
pub fn look_again(server: &Server) {
    server.client_memory.look_again();
    if server.client_memory.wants_room() {
        make(server, conditions::kill);
    }
}

/// The limit holds for whoever looks at all clients.
pub fn make_before_looking(call: &mut Call<'_>) {
    let server = call.server;
    if !server.client_memory.is_limited() {
        return;
    }
    server.clients.for_each(|client| server.client_memory.count(client));
    make(server, |_, client| {
        if client.id == call.client.id() {
            call.close_after_reply();
        } else {
            conditions::kill_for(call, client);
        }
    });
}

fn make(server: &Server, mut close: impl FnMut(&Server, &Arc<ClientShared>)) {
    let memory = &server.client_memory;
    let _closing = memory.begin_to_close();
    if !memory.is_over() {
        return;
    }
    let mut clients = server.clients.snapshot();
    clients.retain(|client| {
        memory.count(client);
        !client.flags().intersects(SPARED)
    });
    clients.sort_by_cached_key(|client| Reverse(client.counted_bytes.load(Ordering::Relaxed)));
    for client in clients {
        if !memory.is_over() {
            return;
        }
        let held_bytes = client.memory_bytes();
        limited!(warn, "evicted clients", client = client.id, address = %client.address, held_bytes,
            "closing a client because all of them hold more than maxmemory-clients"
        );
        close(server, &client);
        memory.forget(&client);
        memory.evicted.fetch_add(1, Ordering::Relaxed);
    }
    if memory.is_over() {
        memory.note_futile();
    }
}
