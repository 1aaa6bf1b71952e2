//! What a command is: the one declaration that everything else is derived from.
//!
//! COMMAND and its subcommands, arity checks, ACL categories, lock sets, routing, documentation and fuzz
//! input all read these. A command's file holds its [`CommandSpec`] as a `static` beside its handler.
//!
//! Source: the command tables of Redis 7 and 8, as COMMAND and COMMAND DOCS show them.

use bitflags::bitflags;
use swytch_store::{Keyspace, KeyspaceMut};

use super::{Args, Call, Command, CommandError, CommandResult, ReplyShape};
use crate::config::{Config, ProtectedAction};
use crate::server::Server;

bitflags! {
    /// Properties that COMMAND INFO shows and the dispatcher obeys.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Flags: u32 {
        /// May change the keyspace.
        const WRITE = 1 << 0;
        /// Never changes the keyspace.
        const READONLY = 1 << 1;
        /// Refused when memory is over its limit.
        const DENYOOM = 1 << 2;
        /// Server administration.
        const ADMIN = 1 << 3;
        /// Pub/sub.
        const PUBSUB = 1 << 4;
        /// Not allowed from scripts.
        const NOSCRIPT = 1 << 5;
        /// May park the client.
        const BLOCKING = 1 << 6;
        /// Allowed while data is loaded.
        const LOADING = 1 << 7;
        /// Allowed on a replica with stale data.
        const STALE = 1 << 8;
        /// Not shown to MONITOR.
        const SKIP_MONITOR = 1 << 9;
        /// Not kept in SLOWLOG.
        const SKIP_SLOWLOG = 1 << 10;
        /// Accepts being sent to an importing slot.
        const ASKING = 1 << 11;
        /// Constant or logarithmic time.
        const FAST = 1 << 12;
        /// Allowed before authentication.
        const NO_AUTH = 1 << 13;
        /// Allowed while an asynchronous load runs.
        const NO_ASYNC_LOADING = 1 << 14;
        /// Not allowed in a transaction.
        const NO_MULTI = 1 << 15;
        /// Its key specs do not tell all keys.
        const MOVABLE_KEYS = 1 << 16;
        /// Allowed while a script is busy.
        const ALLOW_BUSY = 1 << 17;
        /// May replicate although it does not write.
        const MAY_REPLICATE = 1 << 18;
        /// Its keys are optional.
        const NO_MANDATORY_KEYS = 1 << 19;
        /// Not meant for applications (COMMAND DOCS: `syscmd`).
        const SYSTEM = 1 << 20;
        /// Acts at once while a transaction is queued. Not shown.
        const IN_MULTI = 1 << 21;
        /// Runs the commands that its client has queued: what holds for one of them holds for it. Not shown.
        const RUNS_QUEUE = 1 << 22;
        /// Sets access clocks whatever its client asked for. Not shown.
        const ALWAYS_TOUCHES = 1 << 23;
        /// An error where writes are refused because nothing can be saved. Not shown.
        const TELLS_HEALTH = 1 << 24;
        /// Allowed under RESP2 while its client is subscribed to something. Not shown.
        const WHILE_LISTENING = 1 << 25;
        /// What its client has said of its next command holds for the one behind this. Not shown.
        const KEEPS_CACHING = 1 << 26;
        /// Changes nothing, and followers are sent it as it was said. Not shown.
        const FORWARDED = 1 << 27;
    }
}

impl Flags {
    /// The flags with the names that COMMAND INFO gives them, in its order.
    pub const NAMES: &'static [(Flags, &'static str)] = &[
        (Flags::WRITE, "write"),
        (Flags::READONLY, "readonly"),
        (Flags::DENYOOM, "denyoom"),
        (Flags::ADMIN, "admin"),
        (Flags::PUBSUB, "pubsub"),
        (Flags::NOSCRIPT, "noscript"),
        (Flags::BLOCKING, "blocking"),
        (Flags::LOADING, "loading"),
        (Flags::STALE, "stale"),
        (Flags::SKIP_MONITOR, "skip_monitor"),
        (Flags::SKIP_SLOWLOG, "skip_slowlog"),
        (Flags::ASKING, "asking"),
        (Flags::FAST, "fast"),
        (Flags::NO_AUTH, "no_auth"),
        (Flags::MAY_REPLICATE, "may_replicate"),
        (Flags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
        (Flags::NO_ASYNC_LOADING, "no_async_loading"),
        (Flags::NO_MULTI, "no_multi"),
        (Flags::MOVABLE_KEYS, "movablekeys"),
        (Flags::ALLOW_BUSY, "allow_busy"),
    ];
}

bitflags! {
    /// ACL categories a command names itself; more follow from its flags and group (see [`CommandSpec::categories`]).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Categories: u32 {
        /// `@keyspace`
        const KEYSPACE = 1 << 0;
        /// `@read`
        const READ = 1 << 1;
        /// `@write`
        const WRITE = 1 << 2;
        /// `@set`
        const SET = 1 << 3;
        /// `@sortedset`
        const SORTED_SET = 1 << 4;
        /// `@list`
        const LIST = 1 << 5;
        /// `@hash`
        const HASH = 1 << 6;
        /// `@string`
        const STRING = 1 << 7;
        /// `@bitmap`
        const BITMAP = 1 << 8;
        /// `@hyperloglog`
        const HYPERLOGLOG = 1 << 9;
        /// `@geo`
        const GEO = 1 << 10;
        /// `@stream`
        const STREAM = 1 << 11;
        /// `@pubsub`
        const PUBSUB = 1 << 12;
        /// `@admin`
        const ADMIN = 1 << 13;
        /// `@fast`
        const FAST = 1 << 14;
        /// `@slow`
        const SLOW = 1 << 15;
        /// `@blocking`
        const BLOCKING = 1 << 16;
        /// `@dangerous`
        const DANGEROUS = 1 << 17;
        /// `@connection`
        const CONNECTION = 1 << 18;
        /// `@transaction`
        const TRANSACTION = 1 << 19;
        /// `@scripting`
        const SCRIPTING = 1 << 20;
    }
}

impl Categories {
    /// The categories with their names in ACL rules, without `@`, in the order of ACL CAT.
    pub const NAMES: &'static [(Categories, &'static str)] = &[
        (Categories::KEYSPACE, "keyspace"),
        (Categories::READ, "read"),
        (Categories::WRITE, "write"),
        (Categories::SET, "set"),
        (Categories::SORTED_SET, "sortedset"),
        (Categories::LIST, "list"),
        (Categories::HASH, "hash"),
        (Categories::STRING, "string"),
        (Categories::BITMAP, "bitmap"),
        (Categories::HYPERLOGLOG, "hyperloglog"),
        (Categories::GEO, "geo"),
        (Categories::STREAM, "stream"),
        (Categories::PUBSUB, "pubsub"),
        (Categories::ADMIN, "admin"),
        (Categories::FAST, "fast"),
        (Categories::SLOW, "slow"),
        (Categories::BLOCKING, "blocking"),
        (Categories::DANGEROUS, "dangerous"),
        (Categories::CONNECTION, "connection"),
        (Categories::TRANSACTION, "transaction"),
        (Categories::SCRIPTING, "scripting"),
    ];

    /// The category with this name, in any case.
    pub fn named(name: &[u8]) -> Option<Categories> {
        let found = Categories::NAMES.iter().find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(name));
        found.map(|(category, _)| *category)
    }
}

/// The group of a command in the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Commands on keys of any type.
    Generic,
    /// Strings and counters.
    String,
    /// Bitmaps.
    Bitmap,
    /// Lists.
    List,
    /// Sets.
    Set,
    /// Hashes.
    Hash,
    /// HyperLogLogs.
    HyperLogLog,
    /// Positions on the earth.
    Geo,
    /// Sorted sets.
    SortedSet,
    /// Streams.
    Stream,
    /// The connection itself.
    Connection,
    /// Messages between clients.
    PubSub,
    /// Transactions.
    Transactions,
    /// Scripts and functions.
    Scripting,
    /// What clients of a cluster ask of a node.
    Cluster,
    /// The server.
    Server,
}

impl Group {
    /// Its name in COMMAND DOCS.
    pub fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::Bitmap => "bitmap",
            Group::List => "list",
            Group::Set => "set",
            Group::Hash => "hash",
            Group::HyperLogLog => "hyperloglog",
            Group::Geo => "geo",
            Group::SortedSet => "sorted-set",
            Group::Stream => "stream",
            Group::Connection => "connection",
            Group::PubSub => "pubsub",
            Group::Transactions => "transactions",
            Group::Scripting => "scripting",
            Group::Cluster => "cluster",
            Group::Server => "server",
        }
    }
}

bitflags! {
    /// What a command does with the keys of a key spec.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct KeyFlags: u16 {
        /// `RW`: reads and writes the value.
        const RW = 1 << 0;
        /// `RO`: reads only.
        const RO = 1 << 1;
        /// `OW`: overwrites without reading.
        const OW = 1 << 2;
        /// `RM`: removes.
        const RM = 1 << 3;
        /// Tells or returns something of the value.
        const ACCESS = 1 << 4;
        /// Changes the value in dependence on itself.
        const UPDATE = 1 << 5;
        /// Adds data, and changes or removes none.
        const INSERT = 1 << 6;
        /// Removes data, and adds none.
        const DELETE = 1 << 7;
        /// Not a key, but placed like one.
        const NOT_KEY = 1 << 8;
        /// Not all keys are found by this spec.
        const INCOMPLETE = 1 << 9;
        /// The access depends on the arguments.
        const VARIABLE_FLAGS = 1 << 10;
    }
}

impl KeyFlags {
    /// The flags with the names that COMMAND INFO gives them, in its order.
    pub const NAMES: &'static [(KeyFlags, &'static str)] = &[
        (KeyFlags::RO, "RO"),
        (KeyFlags::RW, "RW"),
        (KeyFlags::OW, "OW"),
        (KeyFlags::RM, "RM"),
        (KeyFlags::ACCESS, "access"),
        (KeyFlags::UPDATE, "update"),
        (KeyFlags::INSERT, "insert"),
        (KeyFlags::DELETE, "delete"),
        (KeyFlags::NOT_KEY, "not_key"),
        (KeyFlags::INCOMPLETE, "incomplete"),
        (KeyFlags::VARIABLE_FLAGS, "variable_flags"),
    ];
}

/// Where the search for keys begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginSearch {
    /// At a fixed argument; 0 is the command's name.
    Index(usize),
    /// Behind a keyword, searched from an argument on; a negative one counts from the end, backwards.
    Keyword(&'static str, i32),
    /// Nobody can tell but the command itself.
    Unknown,
}

/// How the keys follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindKeys {
    /// From the beginning to `last` (relative to it; negative counts from the end of the arguments, -1 is
    /// the last), every `step` arguments; a `limit` of 2 or more stops at that fraction of the rest.
    Range {
        /// Last key.
        last: i32,
        /// Distance of keys.
        step: usize,
        /// Divisor, or 0.
        limit: usize,
    },
    /// A number of keys at `count_at`, the first key at `first`, every `step` arguments.
    KeyNum {
        /// Where the number is, relative to the beginning.
        count_at: usize,
        /// Where the first key is, relative to the beginning.
        first: usize,
        /// Distance of keys.
        step: usize,
    },
    /// Nobody can tell but the command itself.
    Unknown,
}

/// Where keys are among the arguments, and what is done with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// Access.
    pub flags: KeyFlags,
    /// Beginning.
    pub begin: BeginSearch,
    /// Continuation.
    pub find: FindKeys,
    /// A remark for the documentation.
    pub notes: &'static str,
}

impl KeySpec {
    /// One key at a fixed argument.
    pub const fn one(at: usize, flags: KeyFlags) -> KeySpec {
        KeySpec::range(at, 0, 1, flags)
    }

    /// Keys from a fixed argument to `last`, see [`FindKeys::Range`].
    pub const fn range(at: usize, last: i32, step: usize, flags: KeyFlags) -> KeySpec {
        KeySpec {
            flags,
            begin: BeginSearch::Index(at),
            find: FindKeys::Range { last, step, limit: 0 },
            notes: "",
        }
    }

    /// A number at a fixed argument and that many keys behind it.
    pub const fn counted(at: usize, flags: KeyFlags) -> KeySpec {
        KeySpec::counted_every(at, 1, flags)
    }

    /// A number at a fixed argument and that many keys behind it, every `step` arguments.
    pub const fn counted_every(at: usize, step: usize, flags: KeyFlags) -> KeySpec {
        let find = FindKeys::KeyNum { count_at: 0, first: 1, step };
        KeySpec { flags, begin: BeginSearch::Index(at), find, notes: "" }
    }
}

/// The keys of a request, found by the command itself.
#[derive(Clone, Debug, Default)]
pub struct RequestKeys {
    /// Those that it names, by their positions, with what is done to each.
    pub named: Vec<(usize, KeyFlags)>,
    /// Their values name others, which may be anywhere.
    pub reaches_any: bool,
}

/// The kind of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// Any string.
    String,
    /// An integer.
    Integer,
    /// A floating-point number.
    Double,
    /// A key, of the key spec with this index.
    Key(u8),
    /// A glob pattern.
    Pattern,
    /// A pattern that leads to keys, of the key spec with this index.
    KeyPattern(u8),
    /// A time in Unix seconds or milliseconds.
    UnixTime,
    /// The bare word given as the argument's token.
    PureToken,
    /// One of several.
    OneOf(&'static [Arg]),
    /// Several in a row.
    Block(&'static [Arg]),
}

/// One argument in a command's argument tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arg {
    /// Its name in the documentation.
    pub name: &'static str,
    /// Its kind.
    pub kind: ArgKind,
    /// The word in front of it.
    pub token: Option<&'static str>,
    /// May be left out.
    pub optional: bool,
    /// May be repeated.
    pub multiple: bool,
    /// The token is repeated too.
    pub multiple_token: bool,
    /// The version that brought it, when later than the command.
    pub since: Option<&'static str>,
    /// The version that deprecated it.
    pub deprecated: Option<&'static str>,
    /// How it is shown, when not by its name.
    pub display: Option<&'static str>,
}

impl Arg {
    /// A mandatory argument.
    pub const fn new(name: &'static str, kind: ArgKind) -> Arg {
        Arg {
            name,
            kind,
            token: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            since: None,
            deprecated: None,
            display: None,
        }
    }

    /// The first key.
    pub const fn key(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::Key(0))
    }

    /// A string.
    pub const fn string(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::String)
    }

    /// An integer.
    pub const fn integer(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::Integer)
    }

    /// A floating-point number.
    pub const fn double(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::Double)
    }

    /// A bare word.
    pub const fn flag(name: &'static str, token: &'static str) -> Arg {
        Arg::new(name, ArgKind::PureToken).token(token)
    }

    /// One of several.
    pub const fn one_of(name: &'static str, of: &'static [Arg]) -> Arg {
        Arg::new(name, ArgKind::OneOf(of))
    }

    /// Several in a row.
    pub const fn block(name: &'static str, of: &'static [Arg]) -> Arg {
        Arg::new(name, ArgKind::Block(of))
    }

    /// With a word in front.
    pub const fn token(self, token: &'static str) -> Arg {
        Arg { token: Some(token), ..self }
    }

    /// May be left out.
    pub const fn optional(self) -> Arg {
        Arg { optional: true, ..self }
    }

    /// May be repeated.
    pub const fn multiple(self) -> Arg {
        Arg { multiple: true, ..self }
    }

    /// May be repeated with its token.
    pub const fn multiple_token(self) -> Arg {
        Arg { multiple: true, multiple_token: true, ..self }
    }

    /// Came with a later version.
    pub const fn since(self, version: &'static str) -> Arg {
        Arg { since: Some(version), ..self }
    }

    /// Deprecated by a later version.
    pub const fn deprecated(self, version: &'static str) -> Arg {
        Arg { deprecated: Some(version), ..self }
    }

    /// Shown by another name.
    pub const fn display(self, display: &'static str) -> Arg {
        Arg { display: Some(display), ..self }
    }
}

/// A handler that reads.
pub type ReadHandler = fn(&mut Call<'_>, &Keyspace<'_>) -> CommandResult;
/// A handler that changes the keyspace.
pub type WriteHandler = fn(&mut Call<'_>, &mut KeyspaceMut<'_, '_>) -> CommandResult;

/// What runs a script.
#[derive(Debug)]
pub struct ScriptHandler {
    /// Finds it, compiled for this thread, before there are any locks.
    pub find: fn(&Call<'_>) -> Result<FoundScript, CommandError>,
    /// Runs it. [`super::Outcome::Again`] says that it must be taken back and run again under all locks.
    pub run: fn(&mut Call<'_>, &mut KeyspaceMut<'_, '_>, FoundScript) -> CommandResult,
    /// The properties of a call of this command with these arguments: the script may say more than the command.
    pub flags: fn(&Server, &Command, &Args<'_>) -> Flags,
}

/// A script that was found.
#[derive(Clone, Copy, Debug)]
pub struct FoundScript {
    /// Its place among those of its thread.
    pub at: usize,
    /// How many of the arguments are keys.
    pub keys: usize,
    /// It begins under all locks.
    pub is_wide: bool,
}

/// What runs a command, and what it may touch.
#[derive(Clone, Copy)]
pub enum Handler {
    /// No keyspace: connection and server state. Runs without any shard's lock.
    Session(fn(&mut Call<'_>) -> CommandResult),
    /// Reads the keys of the key specs.
    Read(ReadHandler),
    /// Reads and writes the keys of the key specs.
    Write(WriteHandler),
    /// Reads the keys of the key specs, and may have its client parked on them.
    Wait(ReadHandler),
    /// Reads any key, with all locks held.
    ReadAll(ReadHandler),
    /// Writes any key, with all locks held.
    WriteAll(WriteHandler),
    /// Runs commands of its own choice, on the keys of the key specs and, where it must, on others.
    Script(&'static ScriptHandler),
    /// Reads one shard after the other, holding one lock at a time.
    Steps(fn(&mut Call<'_>, &mut super::ShardSteps<'_>) -> CommandResult),
    /// Only a name for its subcommands.
    Container,
}

impl std::fmt::Debug for Handler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Handler::Session(_) => "Session",
            Handler::Read(_) => "Read",
            Handler::Write(_) => "Write",
            Handler::Wait(_) => "Wait",
            Handler::ReadAll(_) => "ReadAll",
            Handler::WriteAll(_) => "WriteAll",
            Handler::Script(_) => "Script",
            Handler::Steps(_) => "Steps",
            Handler::Container => "Container",
        })
    }
}

/// A directive that says who may use a command.
#[derive(Clone, Copy, Debug)]
pub struct Guard {
    /// The directive's name.
    pub directive: &'static str,
    /// Its value.
    pub level: fn(&Config) -> ProtectedAction,
}

/// Which arguments of a command are channels that it publishes to or subscribes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelSpec {
    /// None.
    None,
    /// The first.
    One,
    /// All.
    All,
    /// All, and they are patterns.
    AllPatterns,
}

/// Which databases a command is about, for rules of users that name some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseSpec {
    /// The selected one, if it has to do with keys.
    Selected,
    /// The one that the first argument names, which is the selected one from then on.
    Selects,
    /// Those that these arguments name, and the selected one if it has keys.
    At(&'static [usize]),
    /// Those that stand behind this word, and the selected one.
    Behind(&'static [u8]),
    /// All.
    All,
}

/// The declaration of a command.
#[derive(Clone, Copy, Debug)]
pub struct CommandSpec {
    /// Its name in lower case; of a subcommand, the part behind the container's.
    pub name: &'static str,
    /// One sentence of what it does.
    pub summary: &'static str,
    /// The Redis version that brought it.
    pub since: &'static str,
    /// Its group.
    pub group: Group,
    /// Its cost.
    pub complexity: &'static str,
    /// Arguments with the name: exactly this many, or at least as many when negative.
    pub arity: i32,
    /// Properties.
    pub flags: Flags,
    /// The directive that allows it, if it needs one.
    pub guard: Option<Guard>,
    /// ACL categories that do not follow from flags and group.
    pub categories: Categories,
    /// Where its keys are.
    pub key_specs: &'static [KeySpec],
    /// Finds the keys of a request, where key specs cannot tell all of them.
    pub keys: Option<fn(&Args<'_>) -> RequestKeys>,
    /// Where a member, or field, is that it looks for in the value of its only key: what several such requests look for
    /// is sent for together.
    pub member: Option<usize>,
    /// What a request does to the keys of whose key spec that cannot be told ([`KeyFlags::VARIABLE_FLAGS`]).
    pub key_flags: Option<fn(&Args<'_>) -> KeyFlags>,
    /// Which of its arguments are channels.
    pub channels: ChannelSpec,
    /// Which databases it is about.
    pub databases: DatabaseSpec,
    /// The argument tree, without the name.
    pub arguments: &'static [Arg],
    /// Command tips for clients and proxies.
    pub tips: &'static [&'static str],
    /// What changed in which version.
    pub history: &'static [(&'static str, &'static str)],
    /// What to use instead, and since when, for a deprecated command.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// Subcommands of a container.
    pub subcommands: &'static [&'static CommandSpec],
    /// The shape of its reply.
    pub reply: ReplyShape,
    /// Where it knowingly answers or does something else than Redis 8, in a sentence for `docs/commands.md`.
    pub differs: &'static str,
    /// What runs it.
    pub handler: Handler,
}

impl CommandSpec {
    /// Defaults for struct update syntax; name, summary, arity and handler must be given.
    pub const DEFAULT: CommandSpec = CommandSpec {
        name: "",
        summary: "",
        since: "1.0.0",
        group: Group::Generic,
        complexity: "O(1)",
        arity: 1,
        flags: Flags::empty(),
        guard: None,
        categories: Categories::empty(),
        key_specs: &[],
        keys: None,
        member: None,
        key_flags: None,
        channels: ChannelSpec::None,
        databases: DatabaseSpec::Selected,
        arguments: &[],
        tips: &[],
        history: &[],
        deprecated: None,
        subcommands: &[],
        reply: ReplyShape::Never,
        differs: "",
        handler: Handler::Container,
    };

    /// A container, for struct update syntax.
    pub const CONTAINER: CommandSpec =
        CommandSpec { complexity: "That of the subcommand.", arity: -2, ..CommandSpec::DEFAULT };

    /// HELP of a container, for struct update syntax.
    pub const HELP: CommandSpec = CommandSpec {
        name: "help",
        summary: "Lists the subcommands.",
        arity: 2,
        flags: Flags::LOADING.union(Flags::STALE),
        reply: ReplyShape::List(&ReplyShape::Line),
        ..CommandSpec::DEFAULT
    };

    /// All ACL categories: those named, and those that follow from flags.
    pub fn categories(&self) -> Categories {
        let mut all = self.categories;
        all.set(Categories::WRITE, self.flags.contains(Flags::WRITE) || all.contains(Categories::WRITE));
        if self.flags.contains(Flags::READONLY) && !all.contains(Categories::SCRIPTING) {
            all |= Categories::READ;
        }
        if self.flags.contains(Flags::ADMIN) {
            all |= Categories::ADMIN | Categories::DANGEROUS;
        }
        if self.flags.contains(Flags::PUBSUB) {
            all |= Categories::PUBSUB;
        }
        if self.flags.contains(Flags::BLOCKING) {
            all |= Categories::BLOCKING;
        }
        all |= if self.flags.contains(Flags::FAST) { Categories::FAST } else { Categories::SLOW };
        all
    }
}
