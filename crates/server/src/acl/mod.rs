//! Users and what they may do: access control lists.
//!
//! A [`User`] has [`Rights`]: whether and how one logs in as it, and one or more [`Selector`]s, each of which allows
//! commands, keys and channels; a call needs one that allows all of it. [`Users`] are all of them, and [`Log`] keeps what
//! was refused. A command is an index here; what rules call it by is asked of [`Names`].
//!
//! Whoever has a user looks at its rights anew for each command: a change holds from the next one on. A user who may do
//! everything is known by one flag, so that nobody pays for rules that there are not.
//!
//! Source: <https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/>, and what Redis 8 does.

mod log;
mod rule;
mod selector;
mod start;
#[cfg(test)]
mod tests;
mod user;
mod users;

pub use log::{Context, Entry, Log, Reason};
pub use rule::{NamedCommand, Names, RuleError, merge_words};
pub use selector::{KeyAccess, Selector};
pub use start::{allows_channels, load_file, save_file, start, texts};
pub use user::{Rights, Seen, User};
pub use users::{DEFAULT_USER, Users, is_name};
