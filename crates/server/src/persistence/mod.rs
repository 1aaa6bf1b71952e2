//! The data outside of memory: values as payloads, and all of them in a file.
//!
//! - `value`: a value as the parts of RDB and back; a type has its lines there
//! - `payload`: one value as DUMP gives it and RESTORE takes it

pub mod payload;
pub mod value;
