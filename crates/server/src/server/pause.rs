//! CLIENT PAUSE: commands, or only those that write, wait until a deadline or CLIENT UNPAUSE.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::clients::Client;
use crate::command::{Command, Flags};
use crate::server::Mail;
use crate::server::{Conditions, Server};

/// The pause in force, if any.
#[derive(Debug, Default)]
pub struct Pause {
    until_ms: AtomicU64,
    writes_only: AtomicBool,
}

impl Server {
    /// Begins or prolongs a pause. A pause of all commands is not weakened to one of writes.
    pub fn pause_clients(&self, until_ms: u64, writes_only: bool) {
        let active = self.conditions().contains(Conditions::PAUSED);
        let writes_only = writes_only && (!active || self.pause.writes_only.load(Ordering::Relaxed));
        let until_ms =
            if active { self.pause.until_ms.load(Ordering::Relaxed).max(until_ms) } else { until_ms };
        self.pause.writes_only.store(writes_only, Ordering::Relaxed);
        self.pause.until_ms.store(until_ms, Ordering::Relaxed);
        self.set_conditions(Conditions::PAUSED, true);
    }

    /// Ends the pause and wakes the clients that waited.
    pub fn unpause_clients(&self) {
        self.set_conditions(Conditions::PAUSED, false);
        for worker in &self.workers {
            worker.mailbox.send(Mail::Resume);
        }
    }

    /// True while `command` of `client` must wait; ends a pause whose time is over.
    #[cold]
    pub fn is_paused_for(&self, command: &Command, client: &Client, now_ms: u64) -> bool {
        if !self.conditions().contains(Conditions::PAUSED) {
            return false;
        }
        if now_ms >= self.pause.until_ms.load(Ordering::Relaxed) {
            self.unpause_clients();
            return false;
        }
        let writes = |command: &Command| command.spec.flags.intersects(Flags::WRITE | Flags::MAY_REPLICATE);
        !self.pause.writes_only.load(Ordering::Relaxed)
            || writes(command)
            || (command.spec.name == "exec" && client.queue.iter().any(|queued| writes(queued.command)))
    }

    /// Ends a pause whose time is over, although nobody sends a command that would notice.
    pub fn end_pause_if_over(&self, now_ms: u64) {
        if now_ms >= self.pause.until_ms.load(Ordering::Relaxed) {
            self.unpause_clients();
        }
    }
}
