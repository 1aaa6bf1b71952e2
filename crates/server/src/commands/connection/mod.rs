//! Commands about the connection itself.

pub mod client;
pub mod echo;
pub mod hello;
pub mod ping;
pub mod quit;
pub mod select;

use crate::command::prelude::*;

/// Commands that a connection may send before it has authenticated and whatever state the server is in.
const ANY_TIME: Flags = Flags::NOSCRIPT
    .union(Flags::LOADING)
    .union(Flags::STALE)
    .union(Flags::FAST)
    .union(Flags::NO_AUTH)
    .union(Flags::ALLOW_BUSY);

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[
    &hello::AUTH,
    &client::CLIENT,
    &echo::ECHO,
    &hello::HELLO,
    &ping::PING,
    &quit::QUIT,
    &quit::RESET,
    &select::SELECT,
];
