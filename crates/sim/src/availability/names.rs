//! Values of which only the names matter.

use std::collections::BTreeSet;

use swytch_cluster::{Aside, Blob, Executed, Key, MergeInput, Slot, Stamp, Values};

/// Keys that exist. Every write makes its key exist.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Names(BTreeSet<Key>, Aside);

impl Values for Names {
    type Undo = bool;

    fn execute(&mut self, command: &Blob, keys: &[Key], _: Stamp) -> Executed<bool> {
        let new = self.0.insert(keys[0].clone());
        Executed { reply: Blob::new(b""), effects: vec![(0, command.clone())], undo: vec![(0, new)] }
    }

    fn read(&self, _: &Blob, _: &[Key], _: u64) -> Blob {
        Blob::new(b"")
    }

    fn apply(&mut self, key: &Key, _: &Blob, _: Stamp) {
        self.0.insert(key.clone());
    }

    fn undo(&mut self, key: &Key, new: bool) {
        if new {
            self.0.remove(key);
        }
    }

    fn snapshot(&self, key: &Key) -> Option<Blob> {
        self.holds(key).then(|| Blob::new(b"set"))
    }

    fn install(&mut self, key: &Key, snapshot: Option<&Blob>) {
        match snapshot {
            Some(_) => self.0.insert(key.clone()),
            None => self.0.remove(key),
        };
    }

    fn holds(&self, key: &Key) -> bool {
        self.0.contains(key)
    }

    fn keys_in(&self, wanted: &dyn Fn(Slot) -> bool) -> Vec<Key> {
        self.0.iter().filter(|key| wanted(key.slot())).cloned().collect()
    }

    fn aside(&self) -> &Aside {
        &self.1
    }

    fn aside_mut(&mut self) -> &mut Aside {
        &mut self.1
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

    fn merge(&self, _: &MergeInput<'_>) -> Vec<Blob> {
        vec!["set".into()]
    }

    fn digest(&self, key: &Key) -> u64 {
        u64::from(self.holds(key))
    }
}
