//! The effect stream: changes of the keyspace as Redis commands, in one order, for whoever reads them.
//!
//! - `forms`: an effect as a command; each type has a file of its own there
//! - `group`: the effects of one command or transaction, and groups as one stream of commands
//! - `order`: the place of each group, where it waits, and who reads it
//! - `record`: a reader that writes a file (DEBUG RECORD-EFFECTS)
//!
//! With no reader nothing is collected.

pub mod forms;
pub mod group;
pub mod order;
pub mod record;

pub use group::{CommandStream, OpenGroup, Recorder, Subject};
pub use order::{Lane, Order, Place};
