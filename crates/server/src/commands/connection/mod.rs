//! Commands about the connection itself.

pub mod client;
pub mod echo;
pub mod hello;
pub mod ping;
pub mod quit;
pub mod select;

use super::CommandSpec;

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
