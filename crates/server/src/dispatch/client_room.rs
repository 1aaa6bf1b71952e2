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

/// Those who stay.
const SPARED: ClientFlags = ClientFlags::NO_EVICT.union(ClientFlags::FOLLOWER);

/// A client holds something else than before.
#[cold]
pub fn count(server: &Server, client: &ClientShared) {
    if client.killed.load(Ordering::Relaxed) {
        return;
    }
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
    make(server, |_, client| {
        if client.id == call.client.id() {
            call.close_after_reply();
        } else {
            conditions::kill_for(call, client);
        }
    });
}

/// The running sum says when to look. What is too much is added up anew, of those who are still there: one that was closed
/// holds its memory for a moment more.
fn make(server: &Server, mut close: impl FnMut(&Server, &Arc<ClientShared>)) {
    let memory = &server.client_memory;
    let _closing = memory.begin_to_close();
    let mut clients: Vec<(u64, Arc<ClientShared>)> = Vec::new();
    // Who leaves meanwhile is forgotten behind this.
    server.clients.for_each(|client| clients.push((memory.count(client), Arc::clone(client))));
    let mut total_bytes = clients.iter().map(|(held_bytes, _)| held_bytes).sum();
    clients.retain(|(_, client)| !client.flags().intersects(SPARED));
    clients.sort_by_key(|(held_bytes, _)| Reverse(*held_bytes));
    for (held_bytes, client) in clients {
        if !memory.is_too_much(total_bytes) {
            return;
        }
        limited!(warn, "evicted clients", client = client.id, address = %client.address, held_bytes,
            "closing a client because all of them hold more than maxmemory-clients"
        );
        close(server, &client);
        memory.forget(&client);
        memory.evicted.fetch_add(1, Ordering::Relaxed);
        total_bytes -= held_bytes;
    }
    if memory.is_too_much(total_bytes) {
        memory.note_futile();
    }
}
