//! Ops on hashes.

use swytch_store::HashOp;

use super::Commands;

/// The command of an op.
pub(super) fn form(commands: &mut Commands<'_>, key: &[u8], op: HashOp<'_>) {
    match op {
        HashOp::Set { fields } => {
            commands.begin(2 * fields.len() + 2);
            commands.word(b"HSET");
            commands.word(key);
            fields.as_flattened().iter().for_each(|word| commands.word(word));
        }
        HashOp::Remove { fields } => {
            commands.begin(fields.len() + 2);
            commands.word(b"HDEL");
            commands.word(key);
            fields.for_each(|field| commands.word(field));
        }
        HashOp::IncrementBy { field, delta } => {
            commands.begin(4);
            commands.word(b"HINCRBY");
            commands.word(key);
            commands.word(field);
            commands.number(delta);
        }
    }
}
