//! Commands on lists.

pub mod blocking;
pub mod edit;
pub mod pop;
pub mod position;
pub mod push;
pub mod range;
pub mod transfer;

use swytch_store::Side;

use crate::command::call::parse_side;
use crate::command::prelude::*;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[
    &blocking::BLMPOP,
    &blocking::BLPOP,
    &blocking::BRPOP,
    &edit::LINSERT,
    &edit::LREM,
    &edit::LSET,
    &edit::LTRIM,
    &pop::LMPOP,
    &pop::LPOP,
    &pop::RPOP,
    &position::LINDEX,
    &position::LPOS,
    &push::LPUSH,
    &push::LPUSHX,
    &push::RPUSH,
    &push::RPUSHX,
    &range::LLEN,
    &range::LRANGE,
    &transfer::BLMOVE,
    &transfer::BRPOPLPUSH,
    &transfer::LMOVE,
    &transfer::RPOPLPUSH,
];

/// How a command uses a key that it takes elements from.
const TAKEN_FROM: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);
/// How a command uses a key that it adds elements to.
const ADDED_TO: KeyFlags = KeyFlags::RW.union(KeyFlags::INSERT);

const SIDES: &[Arg] = &[Arg::flag("left", "LEFT"), Arg::flag("right", "RIGHT")];

/// The arguments of LMPOP, and of BLMPOP behind its timeout.
const POP_FROM_SEVERAL: [Arg; 4] = [
    Arg::integer("numkeys"),
    Arg::new("key", ArgKind::Key(0)).multiple(),
    Arg::one_of("where", SIDES),
    Arg::integer("count").token("COUNT").optional(),
];

/// What LMPOP and BLMPOP are to take.
struct PopFromSeveral {
    /// Argument positions of the keys.
    keys: std::ops::Range<usize>,
    side: Side,
    /// Most elements to take, at least one.
    count: usize,
}

impl PopFromSeveral {
    /// Reads `numkeys key [key ...] LEFT|RIGHT [COUNT count]`.
    fn parse(mut cursor: ArgCursor<'_>) -> Result<PopFromSeveral, CommandError> {
        let numkeys = at_least_one(cursor.expect()?, "ERR numkeys should be greater than 0")?;
        let first = cursor.position();
        if numkeys >= cursor.remaining() {
            return Err(CommandError::Syntax);
        }
        (0..numkeys).for_each(|_| {
            cursor.next();
        });
        let keys = first..cursor.position();
        let side = parse_side(cursor.expect()?)?;
        let mut count = 1;
        if cursor.word("COUNT") {
            count = at_least_one(cursor.expect()?, "ERR count should be greater than 0")?;
        }
        cursor.end()?;
        Ok(PopFromSeveral { keys, side, count })
    }
}

fn at_least_one(argument: &[u8], otherwise: &'static str) -> Result<usize, CommandError> {
    swytch_decimal::parse_i64(argument)
        .filter(|number| *number > 0)
        .map(|number| number as usize)
        .ok_or_else(|| CommandError::text(otherwise))
}
