//! Ops on hashes.

use swytch_store::HashOp;

use super::Commands;

/// The command of an op.
pub(super) fn form(commands: &mut Commands<'_>, key: &[u8], op: HashOp<'_>) {
    match op {
        HashOp::Set { fields, keep_ttl: false } => {
            commands.begin(2 * fields.len() + 2);
            commands.word(b"HSET");
            commands.word(key);
            fields.as_flattened().iter().for_each(|word| commands.word(word));
        }
        HashOp::Set { fields, keep_ttl: true } => {
            commands.begin(2 * fields.len() + 5);
            commands.word(b"HSETEX");
            commands.word(key);
            commands.word(b"KEEPTTL");
            commands.word(b"FIELDS");
            commands.number(fields.len() as i64);
            fields.as_flattened().iter().for_each(|word| commands.word(word));
        }
        HashOp::Remove { fields } => {
            commands.begin(fields.len() + 2);
            commands.word(b"HDEL");
            commands.word(key);
            fields.for_each(|field| commands.word(field));
        }
        HashOp::Expire { fields, at_ms } => {
            commands.begin(fields.len() + 4 + usize::from(at_ms.is_some()));
            commands.word(if at_ms.is_some() { b"HPEXPIREAT" } else { b"HPERSIST" });
            commands.word(key);
            if let Some(at_ms) = at_ms {
                commands.number(at_ms as i64);
            }
            commands.word(b"FIELDS");
            commands.number(fields.len() as i64);
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
