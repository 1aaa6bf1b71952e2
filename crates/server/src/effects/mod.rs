//! The effect stream: who listens to changes of the keyspace, and in which form.
//!
//! The effects of one command or transaction form a group. A [`Recorder`] collects it while the command
//! runs; [`EffectHub::publish`] hands it to every listener before the command's locks are released, so the
//! stream's order agrees with the order of changes in every shard. With no listener nothing is collected.

mod forms;
pub mod record;

use std::sync::Arc;

use parking_lot::Mutex;
use swytch_store::{At, Effect, EffectUndo, Event, KeyspaceOp, Sink};

use forms::Commands;
pub use forms::encode;

/// A listener. Called under shards' locks: it must only copy or queue what it is given.
pub trait EffectListener: Send + Sync {
    /// Takes the effects of one command or transaction as commands in RESP, `SELECT` included where the
    /// database differs from that of the group before. `atomic` groups are wrapped in MULTI and EXEC.
    fn effects(&self, commands: &[u8]);
}

/// All listeners, and the database that the stream is in.
#[derive(Default)]
pub struct EffectHub {
    state: Mutex<Hub>,
}

#[derive(Default)]
struct Hub {
    listeners: Vec<Arc<dyn EffectListener>>,
    db: Option<u32>,
}

impl std::fmt::Debug for EffectHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EffectHub").finish_non_exhaustive()
    }
}

impl EffectHub {
    /// Adds a listener. Writers ask the server's conditions whether there is one: the caller sets that one while it holds
    /// all shards' locks, so that the listener misses nothing from a known moment on.
    pub fn listen(&self, listener: Arc<dyn EffectListener>) {
        let mut hub = self.state.lock();
        hub.listeners.push(listener);
        hub.db = None;
    }

    /// Removes a listener.
    pub fn forget(&self, listener: &Arc<dyn EffectListener>) {
        self.state.lock().listeners.retain(|other| !Arc::ptr_eq(other, listener));
    }

    /// True while somebody listens.
    pub fn is_heard(&self) -> bool {
        !self.state.lock().listeners.is_empty()
    }

    /// Hands a group to the listeners. Called before the locks of the group's command are released.
    pub fn publish(&self, group: &mut Recorder) {
        if group.effects.is_empty() {
            return;
        }
        let mut hub = self.state.lock();
        let mut commands = Vec::with_capacity(group.bytes.len() + 64);
        let atomic = group.commands > 1;
        let mut start = 0;
        for (index, &(db, end)) in group.effects.iter().enumerate() {
            if let Some(db) = db.filter(|db| hub.db != Some(*db)) {
                Commands::new(&mut commands).push(&[b"SELECT", db.to_string().as_bytes()]);
                hub.db = Some(db);
            }
            if atomic && index == 0 {
                Commands::new(&mut commands).push(&[b"MULTI"]);
            }
            commands.extend_from_slice(&group.bytes[start..end]);
            start = end;
        }
        if atomic {
            Commands::new(&mut commands).push(&[b"EXEC"]);
        }
        for listener in &hub.listeners {
            listener.effects(&commands);
        }
        group.clear();
    }
}

/// Collects the effects of one command or transaction.
#[derive(Debug, Default)]
pub struct Recorder {
    bytes: Vec<u8>,
    /// Database of each effect, if it is in one, and where its bytes end.
    effects: Vec<(Option<u32>, usize)>,
    /// Commands that they are.
    commands: usize,
}

impl Recorder {
    fn clear(&mut self) {
        self.bytes.clear();
        self.effects.clear();
        self.commands = 0;
    }
}

impl Sink for Recorder {
    fn changed(&mut self, effect: &Effect<'_>, _: Option<EffectUndo>) {
        self.commands += encode(effect, &mut self.bytes);
        let is_in_one = !matches!(effect.at, At::Keyspace(KeyspaceOp::FlushAll | KeyspaceOp::SwapDb { .. }));
        self.effects.push((is_in_one.then_some(effect.db), self.bytes.len()));
    }

    fn event(&mut self, _: u32, _: Event, _: &[u8]) {}
}
