//! Commands about scripts and functions.

pub mod function;

use crate::command::CommandSpec;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[&function::FUNCTION];
