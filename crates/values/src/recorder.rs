//! Listening to a command: its effects as changes on the keys it named, each with what takes it back.

use swytch_cluster::{Blob, Key};
use swytch_store::{Effect, EffectSink, Event, Undo};

use crate::change::Change;

/// One change of a command.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// Which of the command's keys.
    pub(crate) index: usize,
    /// The change.
    pub(crate) change: Blob,
    /// What takes it back, in the order of what happened.
    pub(crate) undos: Vec<Undo>,
}

/// Hears what a command does.
#[derive(Debug)]
pub(crate) struct Recorder<'k> {
    keys: &'k [Key],
    /// Told for the effect that comes next.
    foreseen: Vec<Undo>,
    pub(crate) recorded: Vec<Recorded>,
}

impl<'k> Recorder<'k> {
    pub(crate) fn new(keys: &'k [Key]) -> Self {
        Self { keys, foreseen: Vec::new(), recorded: Vec::new() }
    }

    fn push(&mut self, key: &[u8], change: &Change<'_>, undos: Vec<Undo>) {
        let index = self.keys.iter().position(|other| other.bytes() == key);
        let index = index.expect("a command stays within the keys it names");
        self.recorded.push(Recorded { index, change: change.blob(), undos });
    }

    /// An effect on two keys, of which the first told is the source.
    fn push_pair(&mut self, effect: &Effect<'_>, source: Undo, target: Undo) {
        match *effect {
            Effect::Rename { from, to } => {
                let moved = source.entry_before();
                self.push(from, &Change::Delete, vec![source]);
                self.push(to, &Change::Whole(moved), vec![target]);
            }
            Effect::Copy { to, .. } => {
                self.push(to, &Change::Whole(source.entry_before()), vec![target]);
            }
            Effect::ListMove { from, to, from_side, to_side } if from == to => {
                let change = Change::ListRotate { from: from_side, to: to_side };
                self.push(from, &change, vec![source, target]);
            }
            Effect::ListMove { from, to, from_side, to_side } => {
                let popped = source.popped().and_then(|elements| elements.first()).cloned();
                let elements: Vec<&[u8]> = popped.iter().map(Vec::as_slice).collect();
                self.push(from, &Change::ListPop { side: from_side, count: 1 }, vec![source]);
                self.push(to, &Change::ListPush { side: to_side, elements }, vec![target]);
            }
            _ => unreachable!(
                "{effect:?} has no place in a cluster, which has one database; FLUSHALL is the core's"
            ),
        }
    }
}

impl EffectSink for Recorder<'_> {
    fn record(&mut self, _: u32, effect: &Effect<'_>) {
        let foreseen = std::mem::take(&mut self.foreseen);
        match Change::of(effect) {
            Some((key, change)) => self.push(key, &change, foreseen),
            None => {
                let mut foreseen = foreseen.into_iter();
                let pair = foreseen.next().zip(foreseen.next());
                let (source, target) = pair.expect("an effect on two keys overwrites something on both");
                self.push_pair(effect, source, target);
            }
        }
    }

    fn wants_undo(&self) -> bool {
        true
    }

    fn undo(&mut self, _: u32, _: &[u8], undo: Undo) {
        self.foreseen.push(undo);
    }

    fn notify(&mut self, _: u32, _: Event, _: &[u8]) {}
}

/// Hears only what takes back what is done.
#[derive(Debug, Default)]
pub(crate) struct Undos(pub(crate) Vec<Undo>);

impl EffectSink for Undos {
    fn record(&mut self, _: u32, _: &Effect<'_>) {}

    fn wants_undo(&self) -> bool {
        true
    }

    fn undo(&mut self, _: u32, _: &[u8], undo: Undo) {
        self.0.push(undo);
    }

    fn notify(&mut self, _: u32, _: Event, _: &[u8]) {}
}
