//! What LMPOP, ZMPOP and what waits for them are asked: keys, an end of their values, how many to take.

use swytch_store::Side;

use super::{ArgCursor, CommandError};

/// What a command is to take from the first of several keys that has something.
#[derive(Clone, Debug)]
pub struct PopFromSeveral {
    /// Argument positions of the keys.
    pub keys: std::ops::Range<usize>,
    /// The end.
    pub side: Side,
    /// Most to take, at least one.
    pub count: usize,
}

impl PopFromSeveral {
    /// Reads `numkeys key [key ...] WHERE [COUNT count]`, of which `side` reads the end.
    pub fn parse(
        mut cursor: ArgCursor<'_>,
        side: fn(&[u8]) -> Result<Side, CommandError>,
    ) -> Result<PopFromSeveral, CommandError> {
        let numkeys = at_least_one(cursor.expect()?, "ERR numkeys should be greater than 0")?;
        let first = cursor.position();
        if numkeys >= cursor.remaining() {
            return Err(CommandError::Syntax);
        }
        (0..numkeys).for_each(|_| {
            cursor.next();
        });
        let keys = first..cursor.position();
        let side = side(cursor.expect()?)?;
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
