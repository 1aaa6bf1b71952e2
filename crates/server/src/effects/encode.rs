//! Effects as Redis commands in RESP: the form of the append-only log and of the replication stream.

use swytch_decimal::{INTEGER_DIGITS_MAX, format_i64};
use swytch_store::Effect;

/// Appends one command.
pub(super) fn push_command(out: &mut Vec<u8>, words: &[&[u8]]) {
    push_header(out, words.len());
    words.iter().for_each(|word| push_word(out, word));
}

fn push_header(out: &mut Vec<u8>, words: usize) {
    out.push(b'*');
    swytch_decimal::push_i64(out, words as i64);
    out.extend_from_slice(b"\r\n");
}

fn push_word(out: &mut Vec<u8>, word: &[u8]) {
    out.push(b'$');
    swytch_decimal::push_i64(out, word.len() as i64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(word);
    out.extend_from_slice(b"\r\n");
}

/// Appends the command that has exactly this effect.
pub fn encode(effect: &Effect<'_>, out: &mut Vec<u8>) {
    let mut first = [0; INTEGER_DIGITS_MAX];
    let mut second = [0; INTEGER_DIGITS_MAX];
    match *effect {
        Effect::Set { key, value, expire_at_ms: None } => push_command(out, &[b"SET", key, value]),
        Effect::Set { key, value, expire_at_ms: Some(at_ms) } => {
            push_command(out, &[b"SET", key, value, b"PXAT", format_i64(&mut first, at_ms as i64)]);
        }
        Effect::SetRange { key, offset, bytes } => {
            push_command(out, &[b"SETRANGE", key, format_i64(&mut first, offset as i64), bytes]);
        }
        Effect::Append { key, bytes } => push_command(out, &[b"APPEND", key, bytes]),
        Effect::IncrementBy { key, delta } => {
            push_command(out, &[b"INCRBY", key, format_i64(&mut first, delta)]);
        }
        Effect::Delete { key } => push_command(out, &[b"DEL", key]),
        Effect::ExpireAt { key, at_ms } => {
            push_command(out, &[b"PEXPIREAT", key, format_i64(&mut first, at_ms as i64)]);
        }
        Effect::Persist { key } => push_command(out, &[b"PERSIST", key]),
        Effect::Rename { from, to } => push_command(out, &[b"RENAME", from, to]),
        Effect::Move { key, to_db } => {
            push_command(out, &[b"MOVE", key, format_i64(&mut first, i64::from(to_db))]);
        }
        Effect::Copy { from, to, to_db } => {
            let db = format_i64(&mut first, i64::from(to_db));
            push_command(out, &[b"COPY", from, to, b"DB", db, b"REPLACE"]);
        }
        Effect::ListPush { key, side, elements } => {
            push_header(out, elements.len() + 2);
            push_word(out, if side == swytch_store::Side::Head { b"LPUSH" } else { b"RPUSH" });
            push_word(out, key);
            elements.for_each(|element| push_word(out, element));
        }
        Effect::ListPop { key, side, count } => {
            let name: &[u8] = if side == swytch_store::Side::Head { b"LPOP" } else { b"RPOP" };
            match count {
                1 => push_command(out, &[name, key]),
                _ => push_command(out, &[name, key, format_i64(&mut first, count as i64)]),
            }
        }
        Effect::ListMove { from, to, from_side, to_side } => {
            let words = [b"LMOVE", from, to, from_side.name().as_bytes(), to_side.name().as_bytes()];
            push_command(out, &words);
        }
        Effect::ListSet { key, index, element } => {
            push_command(out, &[b"LSET", key, format_i64(&mut first, index as i64), element]);
        }
        Effect::ListInsert { key, pivot, before, element } => {
            let place: &[u8] = if before { b"BEFORE" } else { b"AFTER" };
            push_command(out, &[b"LINSERT", key, place, pivot, element]);
        }
        Effect::ListRemove { key, count, element } => {
            push_command(out, &[b"LREM", key, format_i64(&mut first, count), element]);
        }
        Effect::ListTrim { key, start, stop } => {
            let (start, stop) = (format_i64(&mut first, start), format_i64(&mut second, stop));
            push_command(out, &[b"LTRIM", key, start, stop]);
        }
        Effect::FlushDb => push_command(out, &[b"FLUSHDB"]),
        Effect::FlushAll => push_command(out, &[b"FLUSHALL"]),
        Effect::SwapDb { first: one, second: other } => {
            let (one, other) = (one.to_string(), other.to_string());
            push_command(out, &[b"SWAPDB", one.as_bytes(), other.as_bytes()]);
        }
    }
}
