//! Ops on sorted sets.

use std::cmp::Ordering;

use swytch_decimal::format_double;
use swytch_store::SortedSetOp;

use super::Commands;

/// The command of an op.
pub(super) fn form(commands: &mut Commands<'_>, key: &[u8], op: SortedSetOp<'_>) {
    match op {
        SortedSetOp::Add { members, when } => {
            let is_new = when.is_new.map(|is_new| if is_new { "NX" } else { "XX" });
            let compares = when.compares.map(|wanted| if wanted == Ordering::Greater { "GT" } else { "LT" });
            let conditions: Vec<&str> = is_new.into_iter().chain(compares).collect();
            commands.begin(2 + conditions.len() + 2 * members.len());
            commands.word(b"ZADD");
            commands.word(key);
            conditions.iter().for_each(|word| commands.word(word.as_bytes()));
            for scored in members {
                commands.word(format_double(scored.score).as_bytes());
                commands.word(scored.member);
            }
        }
        SortedSetOp::Increment { member, delta } => {
            commands.push(&[b"ZINCRBY", key, format_double(delta).as_bytes(), member]);
        }
        SortedSetOp::Remove { members } => {
            commands.begin(members.len() + 2);
            commands.word(b"ZREM");
            commands.word(key);
            members.for_each(|member| commands.word(member));
        }
    }
}
