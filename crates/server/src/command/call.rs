//! One call of a command: its arguments, its reply, and whom it came from.

use std::sync::Arc;

use swytch_decimal::Extended;
use swytch_resp::{Output, Reply};
use swytch_store::{Event, Key, Keyspace, KeyspaceMut, Overwriting, Row, Side, Type, Value, Waiter};

use super::{Args, Command, CommandError, CommandTable, Origin};
use crate::clients::{Client, ClientFlags};
use crate::request::start_of;
use crate::server::{Server, WorkerShared};
use crate::system::clock::{self, MonotonicMs};

/// Everything a handler works with, the keyspace aside.
pub struct Call<'a> {
    /// The command.
    pub command: &'static Command,
    /// Its arguments.
    pub args: Args<'a>,
    /// Where the reply goes.
    pub reply: Reply<'a>,
    /// Who sent it.
    pub client: &'a mut Client,
    /// All commands.
    pub commands: &'static CommandTable,
    /// The server.
    pub server: &'a Server,
    /// The worker that runs it.
    pub worker: &'a WorkerShared,
    /// Unix milliseconds; the same for all commands of a transaction.
    pub now_ms: u64,
    /// Hash of the argument at [`Command::hashed_key`], if the batch has computed it.
    pub key_hash: Option<u64>,
    /// Whom it comes from, and what therefore holds for it.
    pub origin: Origin,
    /// Set by a handler that found nothing and wants its client parked.
    pub block: Option<BlockRequest>,
    /// What has become of it.
    pub outcome: Outcome,
    /// The slot that it is counted for, where its own arguments do not say that.
    pub counted_slot: CountedSlot,
    /// Its thread's other clients, where there are any: served meanwhile if it takes very long.
    pub others: Option<&'a mut (dyn Others + 'a)>,
}

/// For which slot a command is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CountedSlot {
    /// That of its keys.
    #[default]
    OfArguments,
    /// This one: that of the commands which it runs.
    Known(u16),
    /// For none, as it may have to do with several.
    None,
}

/// The other clients of the thread that runs a call.
pub trait Others {
    /// Serves those that have something to say.
    fn serve(&mut self);
}

/// What has become of a request.
#[derive(Debug)]
pub enum Outcome {
    /// It is answered, or needs no answer.
    Done,
    /// The client waits, perhaps until a deadline; its next request must too.
    Blocked(Arc<Waiter>, Option<MonotonicMs>),
    /// It must be tried again when the pause ends.
    Paused,
    /// What it has done is to be taken back, and it runs again under all locks.
    Again,
}

impl std::fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("command", &self.command.full_name).finish_non_exhaustive()
    }
}

/// What a blocking command answers when its time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutReply {
    /// A null.
    Null,
    /// A null array.
    NullArray,
}

/// What a client waits for that is no key: how far somebody has come.
pub trait Progress: Send + Sync + std::fmt::Debug {
    /// Whether it is answered now. Asked by the client's own worker, which holds no locks.
    fn is_enough(&self, server: &Server, worker: &WorkerShared) -> bool;

    /// Answers, whether it is enough or the time is over.
    fn answer(&self, server: &Server, reply: &mut Reply<'_>);
}

/// A handler's wish to have its client parked until one of the keys can serve it.
#[derive(Clone, Debug)]
pub struct BlockRequest {
    /// Argument positions of the keys to wait for.
    pub keys: Vec<usize>,
    /// The type that a key must have to serve the client.
    pub kind: Type,
    /// When to give up; `None` waits forever.
    pub deadline: Option<MonotonicMs>,
    /// The answer then.
    pub on_timeout: TimeoutReply,
    /// What has to be true of the value of a key besides its kind.
    pub ready: Option<Ready>,
    /// Arguments that mean something else when the command runs again, by their positions.
    pub rewritten: Vec<(usize, Vec<u8>)>,
}

/// Says of a key and what it holds now whether that serves a client, whatever its kind, or when it will.
#[derive(Clone)]
pub struct Ready(pub Arc<Says>);

type Says = dyn Fn(&[u8], Option<Value<'_>>) -> When + Send + Sync;

/// When a key serves a client that is parked on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Now.
    Now,
    /// From this time on, in Unix milliseconds, if it stays as it is.
    At(u64),
    /// Not before it changes, and then perhaps by a time of its own, which is not before this one.
    NotBefore(u64),
    /// Not before it changes.
    Later,
}

impl When {
    /// Now, or not before it changes.
    pub fn now_if(is_ready: bool) -> When {
        if is_ready { When::Now } else { When::Later }
    }
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ready")
    }
}

impl<'a> Call<'a> {
    /// A call of a client that is given its request later: one serves a whole batch.
    pub fn without_request(
        commands: &'static CommandTable,
        server: &'a Server,
        worker: &'a WorkerShared,
        client: &'a mut Client,
        out: &'a mut Output,
        now_ms: u64,
    ) -> Call<'a> {
        let command = commands.iter().next().expect("there are commands");
        let origin = Origin::of(client);
        let reply = Reply::new(out, client.protocol);
        Call::new(commands, server, worker, client, command, Args::NONE, reply, now_ms, origin)
    }

    /// A call that is made while another one holds the locks: of a queued command, of a parked client's.
    #[allow(clippy::too_many_arguments, reason = "a call is all of these, and this is its one maker")]
    pub fn new(
        commands: &'static CommandTable,
        server: &'a Server,
        worker: &'a WorkerShared,
        client: &'a mut Client,
        command: &'static Command,
        args: Args<'a>,
        reply: Reply<'a>,
        now_ms: u64,
        origin: Origin,
    ) -> Call<'a> {
        Call {
            command,
            args,
            reply,
            client,
            commands,
            server,
            worker,
            now_ms,
            key_hash: None,
            origin,
            block: None,
            outcome: Outcome::Done,
            counted_slot: CountedSlot::OfArguments,
            others: None,
        }
    }

    /// Has all commands that it runs tell the same time.
    pub fn freeze_time(&mut self) {
        let began_us = self.now_ms * 1000;
        self.client.frozen_us = clock::unix_us().clamp(began_us, began_us + 999);
    }

    /// The key at an argument position, hashed.
    #[inline(always)]
    pub fn key(&self, index: usize) -> Key<'a> {
        let bytes = self.args.get(index);
        match self.key_hash {
            Some(hash) if self.command.single_key == Some(index) => Key { db: self.client.db, bytes, hash },
            _ => self.server.shards.key(self.client.db, bytes),
        }
    }

    /// The error for arguments of a subcommand that make no sense in a way that only Redis's container notices.
    pub fn subcommand_syntax(&self) -> CommandError {
        let name = self.args.try_get(1).unwrap_or_default();
        let container = self.command.container.unwrap_or(self.command.spec.name).to_uppercase();
        CommandError::quoting(
            "ERR unknown subcommand or wrong number of arguments for '",
            start_of(name),
            &format!("'. Try {container} HELP."),
        )
    }

    /// Parses a database index.
    pub fn db_index(&self, argument: &[u8]) -> Result<u32, CommandError> {
        let index = swytch_decimal::parse_i64(argument).ok_or(CommandError::NotAnInteger)?;
        if i32::try_from(index).is_err() {
            let text = "ERR value is out of range, value must between -2147483648 and 2147483647";
            return Err(CommandError::text(text));
        }
        let databases = self.server.shards.databases() as i64;
        if (0..databases).contains(&index) { Ok(index as u32) } else { Err(CommandError::DbIndexOutOfRange) }
    }

    /// Where clients of a cluster are served this is their error. Elsewhere
    /// [`Server::note_cluster_incompatible`] counts what they could not do, where nothing else forbids it.
    ///
    /// # Errors
    /// It, then.
    pub fn refused_in_cluster(&self, error: &'static str) -> Result<(), CommandError> {
        if self.server.config.cluster_enabled() { Err(CommandError::text(error)) } else { Ok(()) }
    }

    /// The longest string that the command may make.
    pub fn string_bytes_max(&self) -> u64 {
        if self.origin.is_limited() { self.server.config.proto_max_bulk_len() as u64 } else { u64::MAX }
    }

    /// Parses the timeout of a blocking command, in seconds with a fraction; the deadline, or `None` for 0, which waits
    /// forever.
    pub fn deadline(&self, argument: &[u8]) -> Result<Option<MonotonicMs>, CommandError> {
        // As in Redis a negative time that rounds to nothing waits forever.
        let ms = Extended::parse(argument).ok_or(CommandError::TimeoutNotAFloat)?.thousandfold();
        if ms < 0 {
            return Err(CommandError::TimeoutNegative);
        }
        if ms == 0 {
            return Ok(None);
        }
        // Redis refuses what is no date of its clock.
        let date_ms = ms.saturating_add(i128::from(self.now_ms));
        i64::try_from(date_ms).map_err(|_| CommandError::TimeoutOutOfRange)?;
        // Commands before this one in the batch may have taken their time.
        Ok(Some(MonotonicMs::now().after(ms as u64)))
    }

    /// Asks for the client to be parked on the keys at these argument positions until one of them has this type. Whatever
    /// the command answers when it finds nothing at once, a client that has waited in vain gets a null array, and so does
    /// one that may not wait.
    pub fn wait_for(&mut self, keys: Vec<usize>, kind: Type, deadline: Option<MonotonicMs>) {
        if self.origin.may_block() {
            let (on_timeout, ready, rewritten) = (TimeoutReply::NullArray, None, Vec::new());
            self.block = Some(BlockRequest { keys, kind, deadline, on_timeout, ready, rewritten });
        } else {
            self.reply.null_array();
        }
    }

    /// Puts what the command has made at the key of an argument, whatever was there, or deletes that key where it is empty,
    /// and answers with how many elements it has.
    pub fn put<C: Row>(&mut self, keyspace: &mut KeyspaceMut<'_, '_>, at: usize, made: C, event: Event) {
        let (key, len) = (self.key(at), made.len());
        if len == 0 {
            keyspace.delete(&key);
        } else {
            keyspace.replace(&key, made.owned(), None, event.overwriting(Overwriting::ToldBefore));
        }
        self.reply.count(len);
    }

    /// Closes the connection once the reply is written.
    pub fn close_after_reply(&mut self) {
        self.client.flags |= ClientFlags::CLOSE_AFTER_REPLY;
    }
}

/// Most members that one command draws with repetition. A set does not bound them, and Redis goes on until its memory is
/// used up.
pub const DRAWS_MAX: usize = 1 << 24;

/// An integer of which the negative must be representable too.
pub fn invertible(argument: &[u8]) -> Result<i64, CommandError> {
    match swytch_decimal::parse_i64(argument) {
        None => Err(CommandError::NotAnInteger),
        Some(i64::MIN) => Err(CommandError::text(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        )),
        Some(number) => Ok(number),
    }
}

/// Reads `LEFT` or `RIGHT`.
pub fn parse_side(word: &[u8]) -> Result<Side, CommandError> {
    if word.eq_ignore_ascii_case(b"LEFT") {
        Ok(Side::Head)
    } else if word.eq_ignore_ascii_case(b"RIGHT") {
        Ok(Side::Tail)
    } else {
        Err(CommandError::Syntax)
    }
}

/// Locks the shard of this index and shows it.
type Visit<'a> = dyn FnMut(u16, &mut dyn FnMut(&Keyspace<'_>)) + 'a;

/// Gives a handler one locked shard after the other. Inside a transaction all are locked already.
pub struct ShardSteps<'a> {
    pub(crate) visit: &'a mut Visit<'a>,
}

impl std::fmt::Debug for ShardSteps<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShardSteps").finish_non_exhaustive()
    }
}

impl ShardSteps<'_> {
    /// Lets `look` see the keyspace while `shard` is locked.
    pub fn with_shard(&mut self, shard: u16, look: &mut dyn FnMut(&Keyspace<'_>)) {
        (self.visit)(shard, look);
    }
}
