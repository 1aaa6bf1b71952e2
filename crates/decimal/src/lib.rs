//! Numbers in decimal, as Redis reads and writes them: integers, doubles, extended floats.
//!
//! A leaf that both the protocol and the keyspace stand on, so that neither needs the other.

pub mod double;
pub mod extended;
mod grisu;
pub mod integer;
mod natural;

pub use double::{double_as_integer, format_double, parse_double, shortest_double};
pub use extended::{EXTENDED_TEXT_MAX, Extended};
pub use integer::{
    Digits, INTEGER_DIGITS_MAX, decimal_len, format_i64, parse_i64, push_i64, write_i64_before,
};
