//! What a client's user may do: asked before each command, once more behind its locks, for each command of a transaction
//! and of a script, and when a parked client is served. Nothing is asked of a user who may do everything.
//!
//! Source: `ACLCheckAllUserCommandPerm` in Redis's `src/acl.c`.

use crate::acl::{Context, Entry, KeyAccess, Reason, Rights, Selector, User};
use crate::command::{Args, Call, ChannelSpec, Command, Flags, KeyFlags, client_line};
use crate::system::clock;

/// What is not allowed of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denied {
    /// The command.
    Command,
    /// The key at this position.
    Key(usize),
    /// The channel at this position.
    Channel(usize),
}

impl Denied {
    fn reason(self) -> Reason {
        match self {
            Denied::Command => Reason::Command,
            Denied::Key(_) => Reason::Key,
            Denied::Channel(_) => Reason::Channel,
        }
    }

    /// What the client is told; with `names` of the key or channel, too, which is for those who ask about others.
    pub fn text(self, user: &User, command: &Command, args: &Args<'_>, names: bool) -> Vec<u8> {
        let user = [b"User ", user.name(), b" has no permissions to "].concat();
        let named =
            |at: usize, what: &str| [&user, &b"access the '"[..], args.get(at), what.as_bytes()].concat();
        match self {
            Denied::Command => {
                [&user, &b"run the '"[..], command.full_name.as_bytes(), b"' command"].concat()
            }
            Denied::Key(at) if names => named(at, "' key"),
            Denied::Channel(at) if names => named(at, "' channel"),
            Denied::Key(_) => b"No permissions to access a key".to_vec(),
            Denied::Channel(_) => b"No permissions to access a channel".to_vec(),
        }
    }
}

/// What these rights do not allow of a command. Where several selectors refuse it, it is what the most willing one does.
pub fn denied(rights: &Rights, command: &Command, args: &Args<'_>) -> Option<Denied> {
    let keys = keys_of(command, args);
    let mut worst = Denied::Command;
    for selector in rights.selectors() {
        worst = worst.max(refusal(selector, command, args, &keys)?);
    }
    Some(worst)
}

fn keys_of(command: &Command, args: &Args<'_>) -> Vec<(usize, KeyAccess)> {
    let keys = command.keys_with_flags(args).unwrap_or_default();
    keys.into_iter().map(|(at, flags)| (at, access(flags))).collect()
}

fn access(flags: KeyFlags) -> KeyAccess {
    let mut access = KeyAccess::empty();
    access.set(KeyAccess::READ, flags.contains(KeyFlags::ACCESS));
    let changes = KeyFlags::INSERT | KeyFlags::DELETE | KeyFlags::UPDATE;
    access.set(KeyAccess::WRITE, flags.intersects(changes));
    access
}

/// What one selector does not allow.
fn refusal(
    selector: &Selector,
    command: &Command,
    args: &Args<'_>,
    keys: &[(usize, KeyAccess)],
) -> Option<Denied> {
    let first_word = args.try_get(1);
    if !command.is(Flags::NO_AUTH) && !selector.allows_command(command.index, first_word) {
        return Some(Denied::Command);
    }
    if let Some((at, _)) = keys.iter().find(|(at, access)| !selector.allows_key(args.get(*at), *access)) {
        return Some(Denied::Key(*at));
    }
    let (last, is_pattern) = match command.spec.channels {
        ChannelSpec::None => return None,
        ChannelSpec::One => (1, false),
        ChannelSpec::All => (args.len() - 1, false),
        ChannelSpec::AllPatterns => (args.len() - 1, true),
    };
    let mut channels = 1..=last.min(args.len() - 1);
    channels.find(|at| !selector.allows_channel(args.get(*at), is_pattern)).map(Denied::Channel)
}

/// What the user of the call's client may not do of a command; it is in the log then.
pub fn check(call: &mut Call<'_>, command: &Command, args: Args<'_>, context: Context) -> Option<Denied> {
    if call.client.user.is_free() {
        return None;
    }
    let denied = denied(&call.client.rights(), command, &args)?;
    let object = match denied {
        Denied::Command => command.full_name.as_bytes(),
        Denied::Key(at) | Denied::Channel(at) => args.get(at),
    };
    note(call, (denied.reason(), context), object, call.client.user.name());
    Some(denied)
}

/// Keeps in the log what was refused to a user.
pub fn note(call: &Call<'_>, what: (Reason, Context), object: &[u8], user: &[u8]) {
    call.client.publish();
    let mut line = Vec::new();
    client_line(&mut line, call.commands, &call.client.shared);
    let entry = Entry::new(what, object, user, line, clock::unix_ms());
    call.server.users.note_refused(entry, call.server.config.acllog_max_len());
}

/// Where a call of a client comes from.
pub fn context_of(call: &Call<'_>) -> Context {
    if call.client.in_multi() { Context::Transaction } else { Context::TopLevel }
}

/// Whether the call's user may read whatever key the values of others name.
pub fn reaches_any_key(call: &mut Call<'_>) -> bool {
    let (command, args) = (call.command, call.args);
    call.client.user.is_free() || {
        let keys = keys_of(command, &args);
        let allows = |selector: &Selector| {
            refusal(selector, command, &args, &keys).is_none() && selector.allows_any_key(KeyAccess::READ)
        };
        call.client.rights().selectors().iter().any(allows)
    }
}
