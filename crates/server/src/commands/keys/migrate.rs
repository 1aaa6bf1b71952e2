//! MIGRATE
//!
//! The client waits as data (`dispatch/park`) while a thread carries the values (`persistence/transfer`); nobody else waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use swytch_resp::Reply;
use swytch_store::{Keyspace, LockScope};

use crate::command::prelude::*;
use crate::command::{BeginSearch, FindKeys, KeySpec, Progress, RequestKeys};
use crate::dispatch::{park, scope};
use crate::persistence::transfer::{self, Round, Route};
use crate::server::{Conditions, Mail, Server, WorkerShared};

pub static MIGRATE: CommandSpec = CommandSpec {
    name: "migrate",
    summary: "Moves keys to another server, or copies them there.",
    since: "2.6.0",
    group: Group::Generic,
    complexity: "O(N) for values of N bytes, which are written, sent and read there.",
    arity: -6,
    flags: Flags::WRITE.union(Flags::MOVABLE_KEYS),
    categories: Categories::KEYSPACE.union(Categories::DANGEROUS),
    tips: &["nondeterministic_output"],
    history: &[("3.0.0", "COPY and REPLACE."), ("3.0.6", "KEYS."), ("4.0.7", "AUTH."), ("6.0.0", "AUTH2.")],
    key_specs: &[
        KeySpec::one(3, MOVED),
        KeySpec {
            flags: MOVED.union(KeyFlags::INCOMPLETE),
            begin: BeginSearch::Keyword("KEYS", -2),
            find: FindKeys::Range { last: -1, step: 1, limit: 0 },
            notes: "",
        },
    ],
    keys: Some(keys),
    arguments: &[
        Arg::string("host"),
        Arg::integer("port"),
        Arg::one_of("key-selector", &[Arg::key("key"), Arg::flag("empty-string", "")]),
        Arg::integer("destination-db"),
        Arg::integer("timeout"),
        Arg::flag("copy", "COPY").optional().since("3.0.0"),
        Arg::flag("replace", "REPLACE").optional().since("3.0.0"),
        Arg::one_of("authentication", LOGIN).optional(),
        Arg::new("keys", ArgKind::Key(1)).display("key").token("KEYS").optional().multiple().since("3.0.6"),
    ],
    reply: ReplyShape::OK,
    differs: "Nobody waits but the client, so not in transactions and scripts; a key that changes on the way is sent again.",
    handler: Handler::Session(migrate),
    ..CommandSpec::DEFAULT
};

const LOGIN: &[Arg] = &[
    Arg::string("auth").display("password").token("AUTH").since("4.0.7"),
    Arg::block("auth2", &[Arg::string("username"), Arg::string("password")]).token("AUTH2").since("6.0.0"),
];
const MOVED: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);
/// Milliseconds where none are given.
const PATIENCE_MS: u64 = 1000;
/// How often a key is sent that changes on the way.
const ROUNDS_MAX: u32 = 16;
/// Between two looks whether changes are allowed again.
const PAUSE: Duration = Duration::from_millis(10);

/// The one key, or those behind KEYS, a word that may be a password as well.
fn keys(args: &Args<'_>) -> RequestKeys {
    let mut at = 6;
    while let Some(word) = args.try_get(at) {
        at += match () {
            () if word.eq_ignore_ascii_case(b"KEYS") => break,
            () if word.eq_ignore_ascii_case(b"AUTH") => 2,
            () if word.eq_ignore_ascii_case(b"AUTH2") => 3,
            () => 1,
        };
    }
    let named = match (args.get(3).is_empty(), at < args.len()) {
        (true, true) => at + 1..args.len(),
        // One without a name, too.
        (_, false) => 3..4,
        // An error, which is told when it runs.
        (false, true) => 0..0,
    };
    RequestKeys { named: named.map(|at| (at, MOVED)).collect(), reaches_any: false }
}

/// What stands behind the timeout.
#[derive(Default)]
struct Options {
    copies: bool,
    replaces: bool,
    login: Option<Vec<Vec<u8>>>,
    /// Where the keys are, if there are several.
    keys_at: Option<usize>,
}

impl Options {
    fn parse(args: &Args<'_>) -> Result<Options, CommandError> {
        let mut options = Options::default();
        let mut arguments = args.cursor(6);
        let login = |words: &[&[u8]]| Some(words.iter().map(|word| word.to_vec()).collect());
        while arguments.remaining() > 0 {
            if arguments.word("COPY") {
                options.copies = true;
            } else if arguments.word("REPLACE") {
                options.replaces = true;
            } else if arguments.word("AUTH") {
                let password = arguments.next().ok_or(CommandError::Syntax)?;
                options.login = login(&[b"AUTH", password]);
            } else if arguments.word("AUTH2") {
                let (Some(user), Some(password)) = (arguments.next(), arguments.next()) else {
                    return Err(CommandError::Syntax);
                };
                options.login = login(&[b"AUTH", user, password]);
            } else if arguments.word("KEYS") {
                if !args.get(3).is_empty() {
                    return Err(CommandError::text(
                        "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
                    ));
                }
                options.keys_at = Some(arguments.position());
                break;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }
}

fn migrate(call: &mut Call<'_>) -> CommandResult {
    let args = &call.args;
    let options = Options::parse(args)?;
    let timeout_ms = args.integer(5)?;
    let to_db = args.integer(4)?;
    if !call.origin.may_block() {
        return Err(CommandError::text(
            "ERR MIGRATE waits for another server and cannot be called in a transaction or a script",
        ));
    }
    let port = args.integer(2)?;
    let target_is_valid = u16::try_from(port).ok().zip(std::str::from_utf8(args.get(1)).ok());
    let Some((port, host)) = target_is_valid else {
        return Err(CommandError::text("IOERR error or timeout connecting to the client"));
    };
    let route = Route {
        target: (host.to_owned(), port),
        to_db: u32::try_from(to_db).map_err(|_| CommandError::text("ERR DB index is out of range"))?,
        from_db: call.client.db,
        patience: Duration::from_millis(
            u64::try_from(timeout_ms).ok().filter(|ms| *ms > 0).unwrap_or(PATIENCE_MS),
        ),
        replaces: options.replaces,
        login: options.login,
    };
    let wanted: Vec<&[u8]> = match options.keys_at {
        Some(at) => args.from(at).collect(),
        None => vec![args.get(3)],
    };
    let present = present(call, &wanted)?;
    if present.is_empty() {
        call.reply.simple("NOKEY");
        return Ok(());
    }
    let migration = Migration(Arc::new(Shared {
        route,
        copies: options.copies,
        worker: call.client.shared.worker,
        state: Mutex::new(State { rounds: 0, stage: Stage::UnderWay }),
    }));
    migration.send(call.server, present, false);
    park::until(call, Box::new(migration), None);
    Ok(())
}

/// Those of the keys that are there.
fn present(call: &Call<'_>, wanted: &[&[u8]]) -> Result<Vec<Box<[u8]>>, CommandError> {
    let mut present = Vec::new();
    for bytes in wanted {
        let key = call.server.shards.key(call.client.db, bytes);
        let locked = scope::lock_in_time(call.server, LockScope::One(call.server.shards.shard_of(&key)))?;
        if Keyspace::new(locked, call.now_ms).find(&key).is_some() {
            present.push(Box::from(*bytes));
        }
    }
    Ok(present)
}

/// Keys on their way.
#[derive(Debug)]
struct Migration(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    route: Route,
    copies: bool,
    /// Whose client waits.
    worker: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rounds: u32,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// They are carried.
    UnderWay,
    /// This has come of it.
    There(Round),
    /// It is over, perhaps with an error.
    Over(Option<String>),
}

impl Migration {
    /// Carries keys. `again`: a former value of theirs is there.
    fn send(&self, server: &Server, keys: Vec<Box<[u8]>>, again: bool) {
        let shared = Arc::clone(&self.0);
        let carry = move |server: &Server| {
            let round = transfer::carry(server, &shared.route, &keys, again);
            while server.conditions().contains(Conditions::PAUSED) && !server.stopping.load(Ordering::Acquire)
            {
                std::thread::sleep(PAUSE);
            }
            shared.state.lock().stage = Stage::There(round);
            server.workers[shared.worker].mailbox.send(Mail::Released);
        };
        if let Err(error) = server.transfers.begin(carry) {
            self.0.state.lock().stage = Stage::Over(Some(format!("ERR no thread for MIGRATE: {error}")));
        }
    }
}

impl Progress for Migration {
    fn is_enough(&self, server: &Server, worker: &WorkerShared) -> bool {
        let mut state = self.0.state.lock();
        let Stage::There(round) = &mut state.stage else { return matches!(state.stage, Stage::Over(_)) };
        let Round { arrived, mut error } = std::mem::take(round);
        state.stage = Stage::UnderWay;
        state.rounds += 1;
        let is_last = state.rounds == ROUNDS_MAX;
        drop(state);
        // Copies stay here, too.
        let arrived = if self.0.copies { Vec::new() } else { arrived };
        let changed = match transfer::settle(server, worker, self.0.route.from_db, arrived) {
            Ok(changed) => changed,
            Err(busy) => {
                error.get_or_insert(String::from_utf8_lossy(busy.reply()).into_owned());
                Vec::new()
            }
        };
        if !changed.is_empty() {
            if error.is_none() && !is_last {
                self.send(server, changed, true);
                return false;
            }
            error.get_or_insert_with(|| "ERR a key has changed each time that it was sent".to_owned());
        }
        self.0.state.lock().stage = Stage::Over(error);
        true
    }

    fn answer(&self, _: &Server, reply: &mut Reply<'_>) {
        match &self.0.state.lock().stage {
            Stage::Over(None) => reply.simple("OK"),
            Stage::Over(Some(error)) => reply.error(error.as_bytes()),
            Stage::UnderWay | Stage::There(_) => {
                reply.error(b"IOERR the client waits no longer, and keys may be on both servers");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::OwnedArgs;

    #[test]
    fn keys_are_found_where_they_are_read_whatever_a_password_is() {
        for (line, wanted) in [
            ("migrate h 1 k 0 9", vec![3]),
            ("migrate h 1 k 0 9 COPY AUTH pw", vec![3]),
            ("migrate h 1 - 0 9", vec![3]),
            ("migrate h 1 - 0 9 KEYS a b", vec![7, 8]),
            ("migrate h 1 - 0 9 replace auth KEYS keys a", vec![10]),
            ("migrate h 1 - 0 9 AUTH2 KEYS pw KEYS a", vec![10]),
            ("migrate h 1 - 0 9 AUTH2 user KEYS COPY KEYS KEYS", vec![11]),
            ("migrate h 1 - 0 9 AUTH KEYS", vec![3]),
        ] {
            let words: Vec<&[u8]> =
                line.split(' ').map(|word| if word == "-" { "" } else { word }.as_bytes()).collect();
            let owned = OwnedArgs::from_words(&words);
            let args = owned.as_args();
            let named: Vec<usize> = keys(&args).named.into_iter().map(|(at, _)| at).collect();
            assert_eq!(named, wanted, "{line}");
            let read = Options::parse(&args).expect("it can be read").keys_at;
            assert_eq!(read.map_or(vec![3], |at| (at..args.len()).collect()), wanted, "{line}");
        }
    }
}
