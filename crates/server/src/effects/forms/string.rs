//! Ops on strings.

use swytch_decimal::Digits;
use swytch_store::StringOp;

use super::Commands;

/// The command of an op.
pub(super) fn form(commands: &mut Commands<'_>, key: &[u8], op: StringOp<'_>) {
    match op {
        StringOp::Set { value, expire_at_ms: None } => commands.push(&[b"SET", key, value]),
        StringOp::Set { value, expire_at_ms: Some(at_ms) } => {
            commands.push(&[b"SET", key, value, b"PXAT", &Digits::of(at_ms as i64)]);
        }
        StringOp::SetRange { offset, bytes } => {
            commands.push_number(b"SETRANGE", key, offset as i64, &[bytes]);
        }
        StringOp::SetBit { offset, bit } => {
            commands.push_number(b"SETBIT", key, i64::from(offset), &[if bit { b"1" } else { b"0" }]);
        }
        StringOp::Append { bytes } => commands.push(&[b"APPEND", key, bytes]),
        StringOp::IncrementBy { delta } => commands.push_number(b"INCRBY", key, delta, &[]),
    }
}
