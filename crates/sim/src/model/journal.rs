//! The model's values: each key is the list of operations that were applied to it, so that every promise can be read
//! off the value itself.
//!
//! A command is one byte, the operation's tag; its effect appends the tag; the reply is the list before, of each key in
//! turn ([`lists`]). A transaction does so on each of its keys. A deletion is an operation like others whose command has a
//! second byte: the key does not exist from then on, until the next operation, but its list stays, so that nothing is
//! hidden as long as anybody keeps anything of the key.
//!
//! A merge appends what the loser did, except operations that are there already because they ran on both sides. Folded
//! operations are one effect, the tags in a row, which is merged as a whole: if the core brought some of them before,
//! or a folded one ran on both sides, a tag stands there twice.

use std::collections::BTreeMap;
use std::ops::Range;

use swytch_cluster::{Aside, Blob, Executed, History, Key, MergeBy, MergeInput, Slot, Stamp, Step, Values};

use super::state::mask_of;

/// First byte of a merge's effect.
const MERGED: u8 = 0xff;

/// Behind the tag of a deletion.
pub(super) const DELETED: u8 = 0xfd;

/// Stands between the lists of two keys in a reply.
const NEXT_KEY: u8 = 0xfe;

/// The lists of a reply, key by key.
pub(super) fn lists(reply: &[u8]) -> impl Iterator<Item = &[u8]> {
    reply.split(|byte| *byte == NEXT_KEY)
}

/// Lists of tags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Journal {
    lists: BTreeMap<Key, List>,
    aside: Aside,
    /// Deleted keys whose lists were removed, with what these contained, since somebody looked.
    removed: Vec<(Key, u64)>,
}

/// What was done to a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct List {
    tags: Vec<u8>,
    /// The last of it was a deletion.
    deleted: bool,
}

impl List {
    fn run(&mut self, bytes: &[u8]) {
        self.deleted = bytes.last() == Some(&DELETED);
        self.tags.extend(bytes.iter().filter(|byte| **byte != DELETED));
    }
}

impl Journal {
    /// The operations applied to a key, in order.
    pub(super) fn tags(&self, key: &Key) -> &[u8] {
        self.lists.get(key).map_or(&[], |list| &list.tags)
    }

    /// Deleted keys whose lists were removed since this was asked last: bit `i` is tag `i`.
    pub(super) fn take_removed(&mut self) -> Vec<(Key, u64)> {
        std::mem::take(&mut self.removed)
    }

    fn remove(&mut self, key: &Key) {
        if let Some(list) = self.lists.remove(key).filter(|list| list.deleted) {
            self.removed.push((key.clone(), mask_of(&list.tags)));
        }
    }
}

/// Whether all writes on the key are decided once.
pub(super) fn is_once(key: &Key) -> bool {
    key.bytes().starts_with(b"once")
}

impl Values for Journal {
    type Undo = Option<(usize, bool)>;

    fn execute(&mut self, command: &Blob, keys: &[Key], _: Stamp) -> Executed<Self::Undo> {
        let mut reply = Vec::new();
        let mut effects = Vec::new();
        let mut undo = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            undo.push((index, self.lists.get(key).map(|list| (list.tags.len(), list.deleted))));
            let list = self.lists.entry(key.clone()).or_default();
            if index > 0 {
                reply.push(NEXT_KEY);
            }
            reply.extend_from_slice(&list.tags);
            list.run(command.bytes());
            effects.push((index, command.clone()));
        }
        Executed { reply: reply.into(), effects, undo }
    }

    fn read(&self, _: &Blob, keys: &[Key], _: u64) -> Blob {
        keys.iter().map(|key| self.tags(key)).collect::<Vec<_>>().join(&NEXT_KEY).into()
    }

    fn apply(&mut self, key: &Key, effect: &Blob, _: Stamp) {
        let list = self.lists.entry(key.clone()).or_default();
        match effect.bytes() {
            [MERGED] => {}
            [MERGED, merged @ ..] => list.run(merged),
            plain => list.run(plain),
        }
    }

    fn undo(&mut self, key: &Key, undo: Self::Undo) {
        let Some((length, deleted)) = undo else {
            self.lists.remove(key);
            return;
        };
        let list = self.lists.entry(key.clone()).or_default();
        list.tags.truncate(length);
        list.deleted = deleted;
    }

    fn snapshot(&self, key: &Key) -> Option<Blob> {
        let end: fn(&List) -> &[u8] = |list| if list.deleted { &[DELETED] } else { &[] };
        self.lists.get(key).map(|list| [&list.tags[..], end(list)].concat().into())
    }

    fn install(&mut self, key: &Key, snapshot: Option<&Blob>) {
        match snapshot {
            Some(tags) => {
                let mut list = List::default();
                list.run(tags.bytes());
                self.lists.insert(key.clone(), list);
            }
            None => self.remove(key),
        }
    }

    fn is_decided_once(&self, key: &Key) -> bool {
        is_once(key)
    }

    fn holds(&self, key: &Key) -> bool {
        self.lists.get(key).is_some_and(|list| !list.deleted)
    }

    fn keys_in(&self, wanted: &dyn Fn(Slot) -> bool) -> Vec<Key> {
        let held = self.lists.iter().filter(|(key, list)| !list.deleted && wanted(key.slot()));
        held.map(|(key, _)| key.clone()).collect()
    }

    fn aside(&self) -> &Aside {
        &self.aside
    }

    fn aside_mut(&mut self) -> &mut Aside {
        &mut self.aside
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
        let mut tags = self.tags(fork.key).to_vec();
        let known = tags.len();
        let mut add = |group: &[u8]| {
            let is_known = |tag: &u8| *tag == DELETED || tags.contains(tag);
            if !group.iter().all(is_known) {
                tags.extend_from_slice(group);
            }
        };
        match fork.by {
            MergeBy::Logs { theirs, .. } => {
                for entry in theirs {
                    match entry.step {
                        Step::Write => entry.effects.iter().for_each(|effect| add(effect.bytes())),
                        Step::Start => {
                            entry.effects.iter().flat_map(|value| value.bytes().chunks(1)).for_each(&mut add)
                        }
                        Step::Merge(_) => {}
                    }
                }
            }
            MergeBy::Whole { value } => {
                value.iter().flat_map(|value| value.bytes().chunks(1)).for_each(&mut add)
            }
        }
        let mut effect = vec![MERGED];
        effect.extend_from_slice(&tags[known..]);
        vec![effect.into()]
    }

    fn fold(&self, _: &Key, log: History<'_>, stretch: Range<usize>) -> Option<Vec<Vec<Blob>>> {
        let effects = log.entries[stretch.clone()].iter().flat_map(|entry| &entry.effects);
        let tags: Vec<u8> = effects.flat_map(Blob::bytes).copied().collect();
        let mut folded = vec![Vec::new(); stretch.len()];
        folded.last_mut()?.push(tags.into());
        Some(folded)
    }

    fn digest(&self, key: &Key) -> u64 {
        super::seen::fingerprint(self.tags(key))
    }
}
