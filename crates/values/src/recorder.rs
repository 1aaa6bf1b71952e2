//! Listening to a command: its effects as ops on the keys it named, each with what takes it back.

use swytch_cluster::{Blob, Key};
use swytch_store::{At, Effect, EffectUndo, Event, KeyOp, Op, Sink, Undo, Wants};

use crate::key::replacing;
use crate::wire;

/// One op of a command.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// Which of the command's keys.
    pub(crate) index: usize,
    /// The op.
    pub(crate) change: Blob,
    /// What takes it back.
    pub(crate) undo: Undo,
}

/// Hears what a command does.
#[derive(Debug)]
pub(crate) struct Recorder<'k> {
    keys: &'k [Key],
    pub(crate) recorded: Vec<Recorded>,
}

impl<'k> Recorder<'k> {
    pub(crate) fn new(keys: &'k [Key]) -> Self {
        Self { keys, recorded: Vec::new() }
    }

    fn push(&mut self, space: u32, key: &[u8], op: &Op<'_>, undo: Undo) {
        let is_it = |other: &Key| other.bytes() == key && u32::from(other.space().0) == space;
        let index = self.keys.iter().position(is_it);
        let index = index.expect("a command stays within the keys it names");
        self.recorded.push(Recorded { index, change: wire::blob(op), undo });
    }
}

const WANTS_UNDO: Wants = Wants { undo: true, events: true };

impl Sink for Recorder<'_> {
    fn wants(&self) -> Wants {
        WANTS_UNDO
    }

    fn changed(&mut self, effect: &Effect<'_>, undo: Option<EffectUndo>) {
        let undo = undo.unwrap_or_else(|| {
            unreachable!(
                "{effect:?} cannot be taken back, and has no place in a cluster: FLUSHALL is the core's"
            )
        });
        // What each key of the effect has now, in a form that needs nothing of the other.
        let ops: Vec<Op<'_>> = match (effect.at, &undo) {
            (At::Key { op, .. }, _) => vec![op],
            (At::Transfer { taken, given, .. }, _) => vec![taken, given],
            (At::Keyspace(_), EffectUndo::Moved { moved, .. }) => {
                vec![Op::Key(KeyOp::Delete), Op::Key(replacing(Some(moved)))]
            }
            (At::Keyspace(_), EffectUndo::Copied { copy, .. }) => vec![Op::Key(replacing(Some(copy)))],
            (At::Keyspace(_), undo) => unreachable!("{undo:?} is for another effect than {effect:?}"),
        };
        let mut ops = ops.into_iter();
        undo.clone().each_key(effect, |space, key, undo| {
            let op = ops.next().expect("each key of an effect has an op");
            self.push(space, key, &op, undo);
        });
    }

    fn event(&mut self, _: u32, _: Event, _: &[u8]) {}
}

/// Hears only what takes back what is done.
#[derive(Debug, Default)]
pub(crate) struct Undos(pub(crate) Vec<Undo>);

impl Sink for Undos {
    fn wants(&self) -> Wants {
        WANTS_UNDO
    }

    fn changed(&mut self, effect: &Effect<'_>, undo: Option<EffectUndo>) {
        if let Some(undo) = undo {
            undo.each_key(effect, |_, _, undo| self.0.push(undo));
        }
    }

    fn event(&mut self, _: u32, _: Event, _: &[u8]) {}
}
