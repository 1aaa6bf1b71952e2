//! Whatever bytes a peer sends as a change or a snapshot, they are refused or are written in one form, and what they do to a
//! value in the store they do to the same value in a merge.
#![no_main]
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use swytch_cluster::{
    Blob, Entry, Generation, History, Key, MergeBy, MergeInput, Stamp, Step, Values, Version,
};
use swytch_store::{Changes, HashSeed, Keyspace, KeyspaceMut, Op, Shards, StringOp};
use swytch_values::{Host, Snapshot, StoreValues, wire};

/// Nobody asks for commands here.
struct NoCommands;

impl Host for NoCommands {
    fn execute(&mut self, _: &[u8], _: &[Key], _: &mut KeyspaceMut<'_, '_>) -> Vec<u8> {
        Vec::new()
    }

    fn read(&self, _: &[u8], _: &[Key], _: &Keyspace<'_>) -> Vec<u8> {
        Vec::new()
    }

    fn left(&mut self, mut left: Changes) {
        drop(left.take_retired());
    }
}

/// A string may be stated to be longer than a fuzzer has memory for.
fn is_small(op: &Op<'_>) -> bool {
    match op {
        Op::String(StringOp::SetRange { offset, .. }) => *offset < 1 << 16,
        Op::String(StringOp::SetBit { offset, .. }) => *offset < 1 << 16,
        _ => true,
    }
}

fuzz_target!(|data: &[u8]| {
    if let Ok(snapshot) = Snapshot::decode(data) {
        // The members of a set may have come in any order; they are written in one.
        let written = snapshot.blob();
        let again = Snapshot::decode(written.bytes()).expect("what was written is read");
        assert_eq!(again.blob().bytes(), written.bytes());
    }
    let key = Key::new(b"key");
    let shards = Arc::new(Shards::new(1, 1, HashSeed::new([1, 2, 3])));
    let mut values = StoreValues::new(shards, NoCommands);
    let mut log = Vec::new();
    let mut version = Version::default();
    for bytes in data.split(|byte| *byte == 0xfe) {
        let Ok((effect, is_small)) = wire::read(bytes, |op| (wire::blob(op), is_small(op))) else { continue };
        // As above, of a set that takes a value's place.
        let again = wire::read(effect.bytes(), wire::blob).expect("what was written is read");
        assert_eq!(again.bytes(), effect.bytes());
        let misfits = values.misfits();
        if !is_small {
            continue;
        }
        values.apply(&key, &effect, Stamp::default());
        if values.misfits() > misfits {
            continue;
        }
        let prior = version;
        version = Version { generation: Generation(1), seq: prior.seq + 1, ..prior };
        let (stamp, effects) = (Stamp::default(), vec![effect]);
        log.push(Entry { dot: version, prior, stamp, effects, origin: None, step: Step::Write });
    }
    let (our_version, their_version) = (version, version);
    let ours = History { since: Stamp::default(), entries: &log };
    let by = MergeBy::Logs { ours, our_version, theirs: &[], their_version };
    // That the log leads to the value is asserted within.
    assert_eq!(values.merge(&MergeInput { key: &key, by }), Vec::<Blob>::new());
});
