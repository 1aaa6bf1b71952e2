//! Ops on sets.

use swytch_store::SetOp;

use super::Commands;

/// The command of an op.
pub(super) fn form(commands: &mut Commands<'_>, key: &[u8], op: SetOp<'_>) {
    let (name, members): (&[u8], _) = match op {
        SetOp::Add { members } => (b"SADD", members),
        SetOp::Remove { members } => (b"SREM", members),
    };
    commands.begin(members.len() + 2);
    commands.word(name);
    commands.word(key);
    members.for_each(|member| commands.word(member));
}
