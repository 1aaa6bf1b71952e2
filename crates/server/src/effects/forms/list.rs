//! Ops on lists.

use swytch_store::{ListOp, Side};

use super::Commands;

/// The command of an op.
pub(super) fn form(commands: &mut Commands<'_>, key: &[u8], op: ListOp<'_>) {
    match op {
        ListOp::Push { side, elements } => {
            commands.begin(elements.len() + 2);
            commands.word(if side == Side::Head { b"LPUSH" } else { b"RPUSH" });
            commands.word(key);
            elements.for_each(|element| commands.word(element));
        }
        ListOp::Pop { side, count } => {
            let name: &[u8] = if side == Side::Head { b"LPOP" } else { b"RPOP" };
            match count {
                1 => commands.push(&[name, key]),
                _ => commands.push_number(name, key, count as i64, &[]),
            }
        }
        ListOp::Rotate { from, to } => move_element(commands, key, key, from, to),
        ListOp::Set { index, element } => commands.push_number(b"LSET", key, index as i64, &[element]),
        ListOp::Insert { pivot, before, element } => {
            let place: &[u8] = if before { b"BEFORE" } else { b"AFTER" };
            commands.push(&[b"LINSERT", key, place, pivot, element]);
        }
        ListOp::Remove { count, element } => commands.push_number(b"LREM", key, count, &[element]),
        ListOp::Trim { start, stop } => {
            commands.begin(4);
            commands.word(b"LTRIM");
            commands.word(key);
            commands.number(start);
            commands.number(stop);
        }
        ListOp::InsertAt { .. } | ListOp::RemoveAt { .. } => {
            unreachable!("in the middle of a list they are told as a new value, at its ends as a push or pop")
        }
    }
}

/// The command of an element that went from one list to another.
pub(super) fn transfer(
    commands: &mut Commands<'_>,
    (from, taken): (&[u8], ListOp<'_>),
    (to, given): (&[u8], ListOp<'_>),
) {
    let (ListOp::Pop { side: from_side, .. }, ListOp::Push { side: to_side, .. }) = (taken, given) else {
        unreachable!("{taken:?} and {given:?} are no transfer of an element");
    };
    move_element(commands, from, to, from_side, to_side);
}

fn move_element(commands: &mut Commands<'_>, from: &[u8], to: &[u8], from_side: Side, to_side: Side) {
    commands.push(&[b"LMOVE", from, to, from_side.name().as_bytes(), to_side.name().as_bytes()]);
}
