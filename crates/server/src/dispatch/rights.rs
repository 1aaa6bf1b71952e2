//! What a client's user may do: asked before each command, once more behind its locks, for each command of a transaction
//! and of a script, and when a parked client is served. Nothing is asked of a user who may do everything.
//!
//! Source: `ACLCheckAllUserCommandPerm` in Redis's `src/acl.c`.

use crate::acl::{Context, Entry, KeyAccess, Reason, Rights, Selector, User};
use crate::command::{
    Args, Call, Categories, ChannelSpec, Command, DatabaseSpec, Flags, KeyFlags, Origin, client_line,
};
use crate::system::clock;

/// What is not allowed of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denied {
    /// The database with this number, which the argument at this position names; none does at position 0.
    Database(usize, u32),
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
            Denied::Database(..) => Reason::Database,
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
            Denied::Database(_, number) if names => {
                [&user, format!("access database {number}").as_bytes()].concat()
            }
            Denied::Database(..) => b"No permissions to access database".to_vec(),
            Denied::Key(at) if names => named(at, "' key"),
            Denied::Channel(at) if names => named(at, "' channel"),
            Denied::Key(_) => b"No permissions to access a key".to_vec(),
            Denied::Channel(_) => b"No permissions to access a channel".to_vec(),
        }
    }
}

/// Where a command is to run: the database that is selected then, of this many.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    selected: u32,
    databases: u32,
}

impl Place {
    /// That of a client's next command. In a transaction that is what the commands before it will have selected.
    pub fn of(call: &Call<'_>) -> Place {
        let (client, databases) = (&call.client, call.server.shards.databases() as u32);
        // What is run by EXEC has its turn when the ones before it had theirs.
        let is_queued = client.in_multi() && call.origin == Origin::Client;
        Place { selected: if is_queued { client.queue_db } else { client.db }, databases }
    }
}

/// What these rights do not allow of a command. Where several selectors refuse it, it is what the most willing one does.
pub fn denied(rights: &Rights, command: &Command, args: &Args<'_>, place: Place) -> Option<Denied> {
    let keys = keys_of(command, args);
    let mut worst = Denied::Database(0, 0);
    for selector in rights.selectors() {
        worst = worst.max(refusal(selector, command, args, &keys, place)?);
    }
    Some(worst)
}

/// The databases that a command is about, each with the position of the argument that names it.
fn databases_of(command: &Command, args: &Args<'_>, place: Place) -> Vec<(usize, u32)> {
    let has_keys = !command.spec.key_specs.is_empty() || command.spec.keys.is_some();
    let about_keys = Categories::KEYSPACE | Categories::READ | Categories::WRITE;
    let is_about_keys = has_keys || command.spec.categories().intersects(about_keys);
    // Whoever names none that there is gets another error.
    let named = |at: usize| {
        let number = args.try_get(at).and_then(swytch_decimal::parse_i64)?;
        u32::try_from(number).ok().filter(|number| *number < place.databases).map(|number| (at, number))
    };
    let mut databases: Vec<(usize, u32)> = match command.spec.databases {
        DatabaseSpec::Selected => return is_about_keys.then_some((0, place.selected)).into_iter().collect(),
        DatabaseSpec::All => return (0..place.databases).map(|number| (0, number)).collect(),
        DatabaseSpec::Selects => named(1).into_iter().collect(),
        DatabaseSpec::At(positions) => positions.iter().filter_map(|at| named(*at)).collect(),
        DatabaseSpec::Behind(word) => (1..args.len())
            .filter(|at| args.get(*at).eq_ignore_ascii_case(word))
            .filter_map(|at| named(at + 1))
            .collect(),
    };
    databases.extend(has_keys.then_some((0, place.selected)));
    databases
}

/// The database that a command selects, if it does.
pub fn selected_by(command: &Command, args: &Args<'_>, databases: u32) -> Option<u32> {
    let selects = command.spec.databases == DatabaseSpec::Selects;
    let place = Place { selected: 0, databases };
    if selects { databases_of(command, args, place).first().map(|(_, number)| *number) } else { None }
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
    place: Place,
) -> Option<Denied> {
    if !selector.allows_all_databases() {
        let databases = databases_of(command, args, place);
        if let Some((at, number)) =
            databases.into_iter().find(|(_, number)| !selector.allows_database(*number))
        {
            return Some(Denied::Database(at, number));
        }
    }
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
    let place = Place::of(call);
    let denied = denied(&call.client.rights(), command, &args, place)?;
    let object = match denied {
        Denied::Command | Denied::Database(0, _) => command.full_name.as_bytes(),
        Denied::Database(at, _) => args.get(at),
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
        let (keys, place) = (keys_of(command, &args), Place::of(call));
        let allows = |selector: &Selector| {
            refusal(selector, command, &args, &keys, place).is_none()
                && selector.allows_any_key(KeyAccess::READ)
        };
        call.client.rights().selectors().iter().any(allows)
    }
}
