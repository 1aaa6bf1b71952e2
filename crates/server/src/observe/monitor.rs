//! MONITOR: clients that see every command.

use std::borrow::Cow;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::clients::{Client, ClientFlags, ClientShared};
use crate::command::Args;
use crate::command::redact;
use crate::server::Mail;
use crate::server::{Conditions, Server};

/// The monitoring clients.
#[derive(Debug, Default)]
pub struct Monitors(RwLock<Vec<Arc<ClientShared>>>);

impl Server {
    /// Adds a monitoring client.
    pub fn add_monitor(&self, client: &Arc<ClientShared>) {
        let mut monitors = self.monitors.0.write();
        if !monitors.iter().any(|other| other.id == client.id) {
            monitors.push(Arc::clone(client));
        }
        self.set_conditions(Conditions::MONITORED, true);
    }

    /// Removes a client, if it monitors.
    pub fn remove_monitor(&self, id: u64) {
        let mut monitors = self.monitors.0.write();
        monitors.retain(|client| client.id != id);
        self.set_conditions(Conditions::MONITORED, !monitors.is_empty());
    }

    /// Shows a command to all monitoring clients.
    #[cold]
    pub fn show_to_monitors(&self, db: u32, sender: &Client, args: &Args<'_>) {
        let line: Arc<[u8]> = monitor_line(db, &shown_address(sender), args).into();
        for client in self.monitors.0.read().iter() {
            self.workers[client.worker]
                .mailbox
                .send(Mail::Deliver { client: client.id, bytes: Arc::clone(&line) });
        }
    }
}

/// The sender's address; for the unix socket, its path.
fn shown_address(sender: &Client) -> Cow<'_, str> {
    let address = sender.shared.address.as_str();
    if sender.flags.contains(ClientFlags::UNIX_SOCKET) {
        return Cow::Owned(format!("unix:{}", address.strip_suffix(":0").unwrap_or(address)));
    }
    Cow::Borrowed(address)
}

/// `+1339518083.107412 [0 127.0.0.1:60866] "keys" "*"`
fn monitor_line(db: u32, address: &str, args: &Args<'_>) -> Vec<u8> {
    let now_us = crate::system::clock::unix_us();
    let mut line = format!("+{}.{:06} [{db} {address}]", now_us / 1_000_000, now_us % 1_000_000).into_bytes();
    for index in 0..args.len() {
        line.push(b' ');
        crate::system::escape::push_quoted(&mut line, redact::shown(args, index));
    }
    line.extend_from_slice(b"\r\n");
    line
}
