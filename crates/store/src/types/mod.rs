//! The data types, one module each.

pub mod list;
pub mod string;
