//! The model's values: each key is the list of operations that were applied to it, so that every promise can be read
//! off the value itself.
//!
//! A command is one byte, the operation's tag; its effect appends the tag; the reply is the list before. A merge
//! appends what the loser did and is not there yet: like the merges by type it is idempotent, because two sides of a
//! partition may have taken the same third fork in before they meet. A transaction does so on each of its keys.

use std::collections::BTreeMap;

use swytch_cluster::{Blob, Executed, Key, MergeBy, MergeInput, Stamp, Step, Values};

/// First byte of a merge's effect.
const MERGED: u8 = 0xff;

/// Lists of tags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Journal(BTreeMap<Key, Vec<u8>>);

impl Journal {
    /// The operations applied to a key, in order.
    pub(super) fn tags(&self, key: &Key) -> &[u8] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }
}

impl Values for Journal {
    type Undo = usize;

    fn execute(&mut self, command: &Blob, keys: &[Key], _: Stamp) -> Executed<usize> {
        let mut reply = Vec::new();
        let mut effects = Vec::new();
        let mut undo = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            let tags = self.0.entry(key.clone()).or_default();
            reply.extend_from_slice(tags);
            undo.push((index, tags.len()));
            tags.extend_from_slice(command.bytes());
            effects.push((index, command.clone()));
        }
        Executed { reply: reply.into(), effects, undo }
    }

    fn read(&self, _: &Blob, keys: &[Key], _: u64) -> Blob {
        keys.iter().flat_map(|key| self.tags(key)).copied().collect::<Vec<_>>().into()
    }

    fn apply(&mut self, key: &Key, effect: &Blob, _: Stamp) {
        let tags = self.0.entry(key.clone()).or_default();
        match effect.bytes() {
            [MERGED, merged @ ..] => {
                for tag in merged {
                    if !tags.contains(tag) {
                        tags.push(*tag);
                    }
                }
            }
            plain => tags.extend_from_slice(plain),
        }
    }

    fn undo(&mut self, key: &Key, undo: usize) {
        self.0.entry(key.clone()).or_default().truncate(undo);
    }

    fn snapshot(&self, key: &Key) -> Option<Blob> {
        self.0.get(key).map(|tags| Blob::new(tags))
    }

    fn install(&mut self, key: &Key, snapshot: Option<&Blob>) {
        match snapshot {
            Some(tags) => self.0.insert(key.clone(), tags.bytes().to_vec()),
            None => self.0.remove(key),
        };
    }

    fn ready(&self, _: &Key) -> bool {
        false
    }

    fn expire(&self, _: &Key, _: u64) -> Option<Blob> {
        None
    }

    fn delete(&self, _: &Key) -> Option<Blob> {
        None
    }

    fn merge(&self, fork: &MergeInput<'_>) -> Vec<Blob> {
        let tags: Vec<u8> = match fork.by {
            MergeBy::Logs { theirs, .. } => {
                let written = theirs.iter().filter(|entry| !matches!(entry.step, Step::Merge(_)));
                written.flat_map(|entry| entry.effects.iter().flat_map(Blob::bytes)).copied().collect()
            }
            MergeBy::Whole { value } => value.map_or(&[][..], Blob::bytes).to_vec(),
        };
        let mine = self.tags(fork.key);
        let mut effect = vec![MERGED];
        effect.extend(tags.into_iter().filter(|tag| *tag != MERGED && !mine.contains(tag)));
        vec![effect.into()]
    }

    fn digest(&self, key: &Key) -> u64 {
        super::seen::fingerprint(self.tags(key))
    }
}
