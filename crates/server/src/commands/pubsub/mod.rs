//! Commands about messages between clients: who listens to which channels, and publishing to them.

pub mod about;
pub mod publish;
pub mod subscribe;

use crate::command::CommandSpec;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[
    &subscribe::PSUBSCRIBE,
    &publish::PUBLISH,
    &about::PUBSUB,
    &subscribe::PUNSUBSCRIBE,
    &publish::SPUBLISH,
    &subscribe::SSUBSCRIBE,
    &subscribe::SUBSCRIBE,
    &subscribe::SUNSUBSCRIBE,
    &subscribe::UNSUBSCRIBE,
];
