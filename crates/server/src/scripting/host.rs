//! What a script wants of the server, and what becomes of one that takes too long.
//!
//! A script that runs for longer than `busy-reply-threshold` lets its shards be known as overdue: whoever needs them is
//! answered that a script is busy, at once and as long as it runs. SCRIPT KILL finds it by its worker.

use swytch_resp::Protocol;
use swytch_script::{Called, Host, Verdict};
use swytch_store::KeyspaceMut;

use crate::command::{Args, Call};
use crate::dispatch::inner::{self, Buffers, KILLED, Rules};
use crate::dispatch::{lookup, rights};
use crate::server::Conditions;
use crate::server::scripts::Details;
use crate::system::clock::MonotonicMs;

/// The server, to one run of a script.
pub(super) struct ScriptHost<'h, 'c, 's, 'e> {
    call: &'h mut Call<'c>,
    keyspace: &'h mut KeyspaceMut<'s, 'e>,
    buffers: &'h mut Buffers,
    rules: Rules,
    name: &'h str,
    is_function: bool,
    /// When somebody first looked whether it takes too long.
    began: Option<MonotonicMs>,
    is_overdue: bool,
}

impl<'h, 'c, 's, 'e> ScriptHost<'h, 'c, 's, 'e> {
    pub(super) fn new(
        call: &'h mut Call<'c>,
        keyspace: &'h mut KeyspaceMut<'s, 'e>,
        buffers: &'h mut Buffers,
        rules: Rules,
        name: &'h str,
        is_function: bool,
    ) -> Self {
        ScriptHost { call, keyspace, buffers, rules, name, is_function, began: None, is_overdue: false }
    }

    /// Whether it takes too long has changed.
    fn tell_others(&self) {
        let server = self.call.server;
        server.scripts.count_overdue(self.is_overdue, |one| server.set_conditions(Conditions::OVERDUE, one));
    }

    /// It takes too long from now on.
    #[cold]
    fn become_overdue(&mut self, began: MonotonicMs, elapsed_ms: u64) {
        let kill = if self.is_function { "FUNCTION KILL" } else { "SCRIPT KILL" };
        tracing::warn!(
            "Slow script detected: still in execution after {elapsed_ms} milliseconds. You can try killing the script \
             using the {kill} command. Script name is: {}.",
            self.name
        );
        let details = Details { name: self.name.to_owned(), command: self.call.args.to_owned(), began };
        self.call.worker.script.begin_overdue(details, self.is_function, self.rules.has_written);
        self.keyspace.locked().set_overdue(true);
        self.is_overdue = true;
        self.tell_others();
    }
}

impl Drop for ScriptHost<'_, '_, '_, '_> {
    fn drop(&mut self) {
        if self.is_overdue {
            self.is_overdue = false;
            self.tell_others();
            self.keyspace.locked().set_overdue(false);
            self.call.worker.script.end_overdue();
        }
    }
}

impl Host for ScriptHost<'_, '_, '_, '_> {
    fn call(&mut self, words: &[&[u8]], protocol: Protocol, take: &mut dyn FnMut(&[u8])) -> Called {
        let ScriptHost { call, keyspace, buffers, rules, .. } = self;
        let called = inner::run(call, keyspace, buffers, rules, words, protocol, take);
        if self.is_overdue {
            // It may have more locks now.
            self.keyspace.locked().set_overdue(true);
        }
        match called {
            inner::Called::Answered => Called::Answered,
            inner::Called::Refused(text) => Called::Refused(text.into_bytes()),
            inner::Called::Again => Called::Again,
        }
    }

    fn may_run(&mut self, words: &[&[u8]]) -> Result<bool, &'static str> {
        let words = crate::command::OwnedArgs::from_words(words);
        let args: Args<'_> = words.as_args();
        let command = lookup::lookup(self.call.commands, &args);
        let command = command.ok_or("Invalid command passed to redis.acl_check_cmd()")?;
        if !command.accepts_arity(args.len()) {
            return Err("Wrong number of args for redis.acl_check_cmd()");
        }
        let place = rights::Place::of(self.call);
        let client = &mut self.call.client;
        Ok(client.user.is_free() || rights::denied(&client.rights(), command, &args, place).is_none())
    }

    fn log(&mut self, level: u8, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        match level {
            0 => tracing::debug!("{line}"),
            1 | 2 => tracing::info!("{line}"),
            _ => tracing::warn!("{line}"),
        }
    }

    fn tick(&mut self) -> Verdict {
        let server = self.call.server;
        if server.stopping.load(std::sync::atomic::Ordering::Relaxed) {
            return Verdict::End("The server is stopping");
        }
        let now = MonotonicMs::now();
        let began = *self.began.get_or_insert(now);
        if self.is_overdue {
            // Among the thread's other clients there may be the one that kills it.
            if let Some(others) = &mut self.call.others {
                others.serve();
            }
            return if self.call.worker.script.is_killed() { Verdict::End(KILLED) } else { Verdict::GoOn };
        }
        let threshold_ms = server.config.busy_reply_threshold();
        let elapsed_ms = now.since(began);
        if threshold_ms > 0 && elapsed_ms >= threshold_ms {
            self.become_overdue(began, elapsed_ms);
        }
        Verdict::GoOn
    }
}

/// What the code of a library wants while it is loaded: nothing but the log, and not for long.
pub(super) struct LoadingHost {
    began: MonotonicMs,
}

impl LoadingHost {
    pub(super) fn new() -> LoadingHost {
        LoadingHost { began: MonotonicMs::now() }
    }
}

/// Milliseconds that loading a library takes at most (Redis: LOAD_TIMEOUT_MS).
const LOADING_MS_MAX: u64 = 500;

impl Host for LoadingHost {
    fn call(&mut self, _: &[&[u8]], _: Protocol, _: &mut dyn FnMut(&[u8])) -> Called {
        Called::Refused("redis.call can only be called inside a script invocation".as_bytes().to_vec())
    }

    fn may_run(&mut self, _: &[&[u8]]) -> Result<bool, &'static str> {
        Err("redis.acl_check_cmd can only be called inside a script invocation")
    }

    fn log(&mut self, level: u8, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        match level {
            0 => tracing::debug!("{line}"),
            1 | 2 => tracing::info!("{line}"),
            _ => tracing::warn!("{line}"),
        }
    }

    fn tick(&mut self) -> Verdict {
        if MonotonicMs::now().since(self.began) > LOADING_MS_MAX {
            return Verdict::End("FUNCTION LOAD timeout");
        }
        Verdict::GoOn
    }
}
