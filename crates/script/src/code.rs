//! What compiled code can do to the globals.
//!
//! Globals are hidden behind a table that sends reads on, so that nobody writes to them (`sandbox`). Code without an
//! instruction that sets a global cannot write to the table it finds them in, which it never gets hold of as a value either:
//! it is given the shared globals themselves, and saves two of three looks for each.
//!
//! Source: `ldump.c` and `lopcodes.h` of Lua 5.1 for the form of compiled code.

/// Whether code, as the interpreter dumps it, may set a global.
pub(crate) fn may_set_globals(code: &[u8]) -> bool {
    const HEADER_BYTES: usize = 12;
    let mut dump = Dump { rest: code };
    dump.take(HEADER_BYTES).and_then(|_| dump.function()).unwrap_or(true)
}

struct Dump<'a> {
    rest: &'a [u8],
}

impl<'a> Dump<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn count(&mut self) -> Option<usize> {
        let count = i32::from_ne_bytes(*self.take(4)?.first_chunk()?);
        usize::try_from(count).ok()
    }

    fn string(&mut self) -> Option<()> {
        let len = usize::from_ne_bytes(*self.take(size_of::<usize>())?.first_chunk()?);
        self.take(len).map(drop)
    }

    /// Reads a function and those in it. What is in the code besides instructions may look like one.
    fn function(&mut self) -> Option<bool> {
        const OPCODE: u32 = 0x3f;
        const SET_GLOBAL: u32 = 7;
        self.string()?;
        // Its lines, and how many values it has of which kind.
        self.take(4 + 4 + 4)?;
        let len = self.count()?.checked_mul(4)?;
        let is_setter = |word: &[u8; 4]| u32::from_ne_bytes(*word) & OPCODE == SET_GLOBAL;
        let mut sets = self.take(len)?.as_chunks().0.iter().any(is_setter);
        for _ in 0..self.count()? {
            match self.take(1)? {
                [0] => {}
                [1] => drop(self.take(1)?),
                [3] => drop(self.take(size_of::<f64>())?),
                [4] => self.string()?,
                _ => return None,
            }
        }
        for _ in 0..self.count()? {
            sets |= self.function()?;
        }
        let lines = self.count()?.checked_mul(4)?;
        self.take(lines)?;
        for _ in 0..self.count()? {
            self.string()?;
            self.take(4 + 4)?;
        }
        for _ in 0..self.count()? {
            self.string()?;
        }
        Some(sets)
    }
}
