//! What a worker does about TLS: who comes to the wrong port, whose handshake fails or takes too long, and who a certificate
//! names.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use swytch_resp::Output;

use super::{End, Worker};
use crate::acl::{Context, Entry, Reason};
use crate::command::client_line;
use crate::config::TlsAuthClientsUser;
use crate::net::connection::Connection;
use crate::net::listen::{PROTECTED_MODE, is_refused_by_protected_mode};
use crate::net::transport::Fault;
use crate::observe::logging::limited;
use crate::system::clock;

/// How long a client may take until the server and it have agreed on how to talk.
const HANDSHAKE_MS_MAX: u64 = 10_000;

impl Worker<'_> {
    /// After something was read from a connection: what that says of how its bytes travel.
    #[inline]
    pub(super) fn look_at_transport(&mut self, connection: &mut Connection, read: usize) -> Result<(), End> {
        let is_news = match connection.transport.secure() {
            None => read > 0 && !connection.has_spoken,
            Some(secure) => secure.has_news(),
        };
        if is_news { self.look_closer(connection) } else { Ok(()) }
    }

    #[cold]
    fn look_closer(&mut self, connection: &mut Connection) -> Result<(), End> {
        let client = &connection.client.shared;
        let (client, address) = (client.id, &client.address);
        if !std::mem::replace(&mut connection.has_spoken, true)
            && connection.transport.is_mistaken(&connection.query.bytes)
        {
            limited!(warn, "TLS at the wrong port", client, %address, "closing a client that speaks TLS to a port without");
            return Err(End);
        }
        let Some(secure) = connection.transport.secure() else { return Ok(()) };
        if let Some(fault) = secure.take_fault() {
            match fault {
                Fault::NotTls => {
                    limited!(warn, "plaintext at the TLS port", client, %address, "closing a client that does not speak TLS to tls-port");
                }
                Fault::Session(error) => {
                    limited!(warn, "TLS failures", client, %address, %error, "closing a client over whose TLS session there is no agreement");
                }
            }
            return Err(End);
        }
        if let Some(name) = secure.greet() {
            let peer = address.parse::<SocketAddr>();
            if peer.is_ok_and(|peer| is_refused_by_protected_mode(self.server, peer.ip())) {
                self.server.clients.rejected.fetch_add(1, Ordering::Relaxed);
                let mut reason = Output::default();
                reason.extend(PROTECTED_MODE.as_bytes());
                // The peer may be gone already.
                let _ = connection.transport.write(&reason, PROTECTED_MODE.len());
                return Err(End);
            }
            self.let_in_by_certificate(connection, name);
        }
        Ok(())
    }

    /// Logs a client in as the user whom its certificate names.
    fn let_in_by_certificate(&mut self, connection: &mut Connection, name: Option<Vec<u8>>) {
        if self.server.config.tls_auth_clients_user() == TlsAuthClientsUser::Off {
            return;
        }
        // One without a certificate, or a name in it, logs in as usual.
        let Some(name) = name else { return };
        let client = &mut connection.client;
        if self.server.users.let_in(&name, |user| client.become_user(user, true)) {
            return;
        }
        client.publish();
        let mut line = Vec::new();
        client_line(&mut line, self.commands, &client.shared);
        let what = (Reason::Certificate, Context::TopLevel);
        let entry = Entry::new(what, b"", &name, line, clock::unix_ms());
        self.server.users.note_refused(entry, self.server.config.acllog_max_len());
    }

    /// Whether a connection's handshake has taken too long.
    pub(super) fn is_overdue(&self, connection: &Connection) -> bool {
        let is_overdue = connection.transport.is_handshaking()
            && self.now.since(connection.client.shared.created) > HANDSHAKE_MS_MAX;
        if is_overdue {
            let (client, address) = (connection.client.id(), &connection.client.shared.address);
            limited!(warn, "slow TLS handshakes", client, %address,
                "closing a client whose TLS handshake takes too long"
            );
        }
        is_overdue
    }
}
