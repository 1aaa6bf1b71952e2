//! Commands on keys of any type.

pub mod del;

use super::CommandSpec;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[&del::DEL, &del::EXISTS, &del::UNLINK];
