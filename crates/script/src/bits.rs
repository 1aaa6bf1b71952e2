//! `bit`: operations on 32 bits.
//!
//! Source: the documentation of Lua BitOp 1.0.2.

use std::ffi::c_int;

use crate::lua::{Failure, Lua, NONE, Outcome, native};
use crate::sandbox::set_functions;

/// Pushes the library.
pub(crate) fn open(lua: Lua) {
    lua.table(0, 12);
    set_functions(
        lua,
        &[
            (c"tobit", native(|lua: Lua| answer(lua, bits(lua, 1)?))),
            (c"bnot", native(|lua: Lua| answer(lua, !bits(lua, 1)?))),
            (c"band", native(|lua: Lua| fold(lua, |one, other| one & other))),
            (c"bor", native(|lua: Lua| fold(lua, |one, other| one | other))),
            (c"bxor", native(|lua: Lua| fold(lua, |one, other| one ^ other))),
            (c"lshift", native(|lua: Lua| shift(lua, |bits, by| bits << by))),
            (c"rshift", native(|lua: Lua| shift(lua, |bits, by| bits >> by))),
            (c"arshift", native(|lua: Lua| shift(lua, |bits, by| ((bits as i32) >> by) as u32))),
            (c"rol", native(|lua: Lua| shift(lua, u32::rotate_left))),
            (c"ror", native(|lua: Lua| shift(lua, u32::rotate_right))),
            (c"bswap", native(|lua: Lua| answer(lua, bits(lua, 1)?.swap_bytes()))),
            (c"tohex", native(to_hexadecimal)),
        ],
    );
}

/// The lowest 32 bits of an argument, rounded to an integer as adding 2^52 + 2^51 does.
fn bits(lua: Lua, at: c_int) -> Result<u32, Failure> {
    let number = lua.want_number(at)?;
    Ok((number + 6_755_399_441_055_744.0).to_bits() as u32)
}

fn answer(lua: Lua, bits: u32) -> Outcome {
    lua.push_number(f64::from(bits as i32));
    Ok(1)
}

fn fold(lua: Lua, join: impl Fn(u32, u32) -> u32) -> Outcome {
    let mut all = bits(lua, 1)?;
    for at in (2..=lua.top()).rev() {
        all = join(all, bits(lua, at)?);
    }
    answer(lua, all)
}

fn shift(lua: Lua, shift: impl Fn(u32, u32) -> u32) -> Outcome {
    answer(lua, shift(bits(lua, 1)?, bits(lua, 2)? & 31))
}

fn to_hexadecimal(lua: Lua) -> Outcome {
    let number = bits(lua, 1)?;
    let digits = if lua.kind(2) == NONE { 8 } else { bits(lua, 2)? as i32 };
    let text = if digits < 0 { format!("{number:08X}") } else { format!("{number:08x}") };
    let count = digits.unsigned_abs().min(8) as usize;
    lua.push_bytes(&text.as_bytes()[8 - count..]);
    Ok(1)
}
