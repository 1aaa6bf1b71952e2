//! Merging what two or more sides of a partition did to one key.
//!
//! Each side keeps, from the fork on, a [`KeyLog`]: per touched cell the writes nobody has overwritten knowingly, under
//! the name ([`Dot`]) and time ([`Stamp`]) of each. Logs of the same base are *joined*; joining is commutative,
//! associative and idempotent, so it does not matter which side computes, in which order three or more sides meet, or
//! whether a log arrives twice. The key's state is a function of the base and the joined log ([`KeyLog::render`]);
//! which side wins is data in the dots. The rules by type are in docs/cluster-merge.md.
//!
//! Invariants: for one side alone, rendering gives exactly the state that its effects gave (nothing changes at a heal
//! where nobody else wrote); what is lost is counted in [`Losses`]. The tests at the end state these as laws.
//!
//! Neighbours: the protocol's core, `swytch_cluster`, decides when logs are kept, sent and freed; it knows nothing of this
//! crate and of no type. Stores of values come in by `lineage`. No IO, no clock, no hash-map order in behaviour.

mod cell;
mod dot;
mod effect;
mod fold;
mod key_log;
mod lineage;
mod sequence;
mod stream_log;
mod string_log;
mod value;

pub use dot::{Context, Dot, Origin, Side, Stamp};
pub use effect::{Effect, EffectError, End, Undo};
pub use fold::fold;
pub use key_log::{KeyLog, Losses};
pub use lineage::{Line, Meaning, Merged, creation, detached, fold_log, merge_logs, state_at};
pub use value::{Bytes, Group, Kind, Object, Score, Stream, StreamId, Value};

use key_log::Before;

/// Most cells a log may hold before the key is decided whole, by last writer.
pub const LOG_CELLS_MAX: usize = 65_536;

/// A forked key: its state at the fork, the log since, and the state now.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Forked {
    base: Option<Object>,
    log: KeyLog,
    state: Option<Object>,
    cells_max: usize,
}

impl Forked {
    /// A key at the moment of the fork.
    pub fn new(base: Option<Object>) -> Self {
        Self::with_bound(base, LOG_CELLS_MAX)
    }

    /// A key at the moment of the fork, with another bound than [`LOG_CELLS_MAX`].
    pub fn with_bound(base: Option<Object>, cells_max: usize) -> Self {
        Self { state: base.clone(), base, log: KeyLog::default(), cells_max }
    }

    /// Applies and logs an effect. `origin` must follow the invariants in the head of `dot`.
    ///
    /// # Errors
    /// If the effect does not fit the state; nothing is then changed.
    pub fn apply(&mut self, origin: Origin, effect: &Effect) -> Result<Undo, EffectError> {
        let located = effect.located(self.state.as_ref());
        let effect = located.as_ref().unwrap_or(effect);
        let existed = self.state.is_some();
        let was_member = match (effect, self.state.as_ref().map(|object| &object.value)) {
            (Effect::SortedSetAdd(member, _), Some(Value::SortedSet(members))) => {
                members.contains_key(member)
            }
            _ => false,
        };
        let undo = effect.apply(&mut self.state)?;
        let is_whole = matches!(effect, Effect::StreamMark(..));
        if is_whole || self.log.is_overflowed() || self.log.size() >= self.cells_max {
            self.log.record_whole(origin.stamp, self.state.clone());
            return Ok(undo);
        }
        let found_nothing = matches!(effect, Effect::ListTake(..));
        if !existed && self.state.is_none() || found_nothing {
            return Ok(undo);
        }
        let before = Before { existed, was_member };
        self.log.record(origin, effect, self.base.as_ref(), before, self.state.as_ref());
        Ok(undo)
    }

    /// Takes in the log of another side and gives what was lost in the result.
    pub fn merge(&mut self, other: &KeyLog) -> Losses {
        self.log.join(other);
        let (state, losses) = self.log.render(self.base.as_ref());
        self.state = state;
        losses
    }

    /// The state now; `None` if the key is absent.
    pub fn state(&self) -> Option<&Object> {
        self.state.as_ref()
    }

    /// The state at the fork.
    pub fn base(&self) -> Option<&Object> {
        self.base.as_ref()
    }

    /// The log to send.
    pub fn log(&self) -> &KeyLog {
        &self.log
    }
}

#[cfg(test)]
mod tests;
