//! CONFIG: reads and changes the configuration while the server runs.
//!
//! The values, their rules and the error texts are `crate::config`'s; here is the command, and what the running
//! server does when a value has changed ([`apply`]).

use std::sync::atomic::Ordering;

use crate::acl;
use crate::command::prelude::*;
use crate::command::reply_help;
use crate::config::{self, ApplyError, Config, Directive, SetContext};
use crate::dispatch::{conditions, tracking};
use crate::observe::logging::limited;
use crate::persistence::append;
use crate::server::{Conditions, Server};
use crate::system::open_files;

/// CONFIG.
pub static CONFIG: CommandSpec = CommandSpec {
    name: "config",
    summary: "Groups the commands about the server's configuration.",
    since: "2.0.0",
    group: Group::Server,
    subcommands: &[&GET, &HELP, &RESETSTAT, &REWRITE, &SET],
    ..CommandSpec::CONTAINER
};

const FLAGS: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE);
const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
const COMPLEXITY: &str = "O(N) for N directives.";

static GET: CommandSpec = CommandSpec {
    name: "get",
    summary: "Returns the directives whose names match, with the values that are in force.",
    since: "2.0.0",
    group: Group::Server,
    complexity: COMPLEXITY,
    arity: -3,
    flags: FLAGS,
    arguments: &[Arg::string("parameter").multiple()],
    history: &[("7.0.0", "Takes several patterns.")],
    reply: ReplyShape::Map(&ReplyShape::Text, &ReplyShape::Text),
    handler: Handler::Session(get),
    ..CommandSpec::DEFAULT
};

static SET: CommandSpec = CommandSpec {
    name: "set",
    summary: "Changes directives of the running server: all that are given, or none if one is refused.",
    since: "2.0.0",
    group: Group::Server,
    complexity: COMPLEXITY,
    arity: -4,
    flags: FLAGS,
    arguments: &[Arg::block("data", &[Arg::string("parameter"), Arg::string("value")]).multiple()],
    tips: ALL_NODES,
    history: &[("7.0.0", "Takes several directives, which change together.")],
    reply: ReplyShape::OK,
    handler: Handler::Session(set),
    ..CommandSpec::DEFAULT
};

static RESETSTAT: CommandSpec = CommandSpec {
    name: "resetstat",
    summary: "Sets the counters that INFO shows back to zero.",
    since: "2.0.0",
    group: Group::Server,
    arity: 2,
    flags: FLAGS,
    tips: ALL_NODES,
    reply: ReplyShape::OK,
    handler: Handler::Session(reset_statistics),
    ..CommandSpec::DEFAULT
};

static REWRITE: CommandSpec = CommandSpec {
    name: "rewrite",
    summary: "Writes the configuration in force into the file the server was started with.",
    since: "2.8.0",
    group: Group::Server,
    arity: 2,
    flags: FLAGS,
    tips: ALL_NODES,
    reply: ReplyShape::OK,
    handler: Handler::Session(rewrite),
    ..CommandSpec::DEFAULT
};

static HELP: CommandSpec = CommandSpec {
    since: "5.0.0",
    group: Group::Server,
    handler: Handler::Session(help),
    ..CommandSpec::HELP
};

fn get(call: &mut Call<'_>) -> CommandResult {
    let patterns: Vec<&[u8]> = call.args.from(2).collect();
    let found = call.server.config.get_matching(&patterns);
    call.reply.map(found.len());
    for (name, value) in found {
        call.reply.bulk(&name);
        call.reply.bulk(&value);
    }
    Ok(())
}

fn set(call: &mut Call<'_>) -> CommandResult {
    if !call.args.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    let words: Vec<&[u8]> = call.args.from(2).collect();
    let pairs: Vec<(&[u8], &[u8])> = words.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let loading = call.server.conditions().contains(Conditions::LOADING);
    let context = SetContext { local_client: call.client.shared.is_local(), loading };
    let server = call.server;
    let names_log = || pairs.iter().any(|(name, _)| name.eq_ignore_ascii_case(LOG.as_bytes()));
    if call.origin.holds_locks() && names_log() {
        return Err(CommandError::text("ERR appendonly cannot be set within a transaction"));
    }
    let changed = server
        .config
        .set_many(&pairs, context, &mut |config, changed| apply(server, config, changed))
        .map_err(|error| CommandError::owned(error.reply()))?;
    if changed.iter().any(|directive| directive.name == LOG) {
        switch_log(server)?;
    }
    if changed.iter().any(|directive| directive.name == "aof-disable-auto-gc") {
        append::forget_history(server);
    }
    if !call.origin.holds_locks() {
        tracking::keep_limit(server);
    }
    conditions::changed(call);
    call.reply.ok();
    Ok(())
}

/// The directive that switches the append-only log.
const LOG: &str = "appendonly";

/// Has the log follow its directive, which takes the locks of all shards: not while the configuration is locked.
fn switch_log(server: &Server) -> CommandResult {
    let Err(error) = append::follow_config(server) else { return Ok(()) };
    limited!(error, "failures of the log", %error, "the append-only log was not begun");
    let back: (&[u8], &[u8]) = (LOG.as_bytes(), b"no");
    // It was so a moment ago.
    let _ = server.config.set_many(&[back], SetContext::default(), &mut |_, _| Ok(()));
    Err(CommandError::text(
        "ERR CONFIG SET failed (possibly related to argument 'appendonly') - Unable to turn on AOF. Check server logs.",
    ))
}

fn reset_statistics(call: &mut Call<'_>) -> CommandResult {
    for worker in &call.server.workers {
        worker.stats.reset();
    }
    call.server.errors.reset();
    call.server.slot_stats.reset();
    call.server.rates.reset();
    call.server.reclaimer.reset();
    call.server.excess.reset();
    call.server.saves.reset();
    call.server.log.state.rewrites.store(0, Ordering::Relaxed);
    call.server.users.forget_counts();
    call.server.clients.accepted.store(0, Ordering::Relaxed);
    call.server.clients.rejected.store(0, Ordering::Relaxed);
    call.server.client_memory.evicted.store(0, Ordering::Relaxed);
    call.server.scripts.evicted.store(0, Ordering::Relaxed);
    call.server.cluster_incompatible.store(0, Ordering::Relaxed);
    call.reply.ok();
    Ok(())
}

fn rewrite(call: &mut Call<'_>) -> CommandResult {
    match call.server.config.rewrite(false, &acl::texts(&call.server.users, &call.server.config)) {
        Ok(()) => {
            limited!(info, "rewrites", "CONFIG REWRITE executed with success");
            call.reply.ok();
            Ok(())
        }
        Err(error) => {
            limited!(warn, "failed rewrites", %error, "CONFIG REWRITE failed");
            Err(CommandError::owned(error.reply()))
        }
    }
}

fn help(call: &mut Call<'_>) -> CommandResult {
    const LINES: &[&str] = &[
        "GET <pattern> [<pattern> ...]",
        "    Answers the parameters whose names match a pattern, with their values.",
        "SET <parameter> <value> [<parameter> <value> ...]",
        "    Changes the parameters, all or none.",
        "RESETSTAT",
        "    Resets the statistics that INFO reports.",
        "REWRITE",
        "    Writes the present values to the configuration file.",
    ];
    reply_help(call, LINES);
    Ok(())
}

/// Makes the running server follow the directives whose values have changed. Most are read where they are used,
/// and need nothing here.
fn apply(server: &Server, config: &Config, changed: &[&'static Directive]) -> Result<(), ApplyError> {
    for directive in changed {
        if let Some(reason) = config.refusal(directive) {
            return Err(ApplyError { directive: directive.name, reason: reason.to_owned() });
        }
        if let Some(reason) = config.without_meaning(directive) {
            limited!(warn, "settings", "CONFIG SET {} has no effect: {reason}", directive.name);
        }
    }
    let is_changed = |names: &[&str]| changed.iter().any(|directive| names.contains(&directive.name));
    if is_changed(&["requirepass"]) {
        let password = config.requirepass().filter(|password| !password.is_empty());
        server.users.set_default_password(password.as_deref());
    }
    if is_changed(&["loglevel"]) {
        server.apply_log_level();
    }
    if changed.iter().any(|directive| directive.group == config::Group::Encodings) {
        server.apply_encoding_limits();
    }
    if is_changed(&["notify-keyspace-events"]) {
        server.apply_keyspace_events();
    }
    if is_changed(&["cluster-slot-stats-enabled"]) {
        server.apply_slot_stats();
    }
    if is_changed(&["import-mode"]) {
        server.apply_import_mode();
    }
    if is_changed(&["cluster-compatibility-sample-ratio"]) {
        server.apply_compatibility_samples();
    }
    if is_changed(&["otel-samples-per-million"]) {
        server.apply_sampling();
    }
    if is_changed(&["appendfsync"]) {
        append::apply_policy(server);
    }
    if is_changed(&["min-replicas-to-write", "min-replicas-max-lag"]) {
        server.check_followers();
    }
    if changed.iter().any(|directive| directive.group == config::Group::Memory)
        || is_changed(&["maxmemory-clients"])
    {
        server.apply_memory_limit();
    }
    if is_changed(&["oom-score-adj", "oom-score-adj-values"]) {
        config.apply_oom_score()?;
    }
    if is_changed(&["maxclients"]) {
        let (threads, has_metrics) = (server.workers.len(), config.metrics_port() != 0);
        open_files::allow_clients(config.maxclients(), threads, has_metrics).map_err(|possible| ApplyError {
            directive: "maxclients",
            reason: format!(
                "The operating system is not able to handle the specified number of clients, try with {possible}"
            ),
        })?;
    }
    if let Some(directive) = changed.iter().find(|directive| directive.group == config::Group::Tls) {
        server.tls.follow(config).map_err(|error| {
            limited!(warn, "failures of TLS", %error, "the TLS configuration was not changed");
            let reason = "Unable to update TLS configuration. Check server logs.".to_owned();
            ApplyError { directive: directive.name, reason }
        })?;
    }
    if is_changed(&["port", "bind", "tls-port"]) {
        server.listen_requests.listen_anew().map_err(|error| {
            limited!(warn, "failures to listen", %error, "listening anew failed");
            if let Some(directive) = ["port", "tls-port"].into_iter().find(|name| is_changed(&[*name])) {
                let reason = "Unable to listen on this port. Check server logs.".to_owned();
                ApplyError { directive, reason }
            } else {
                ApplyError { directive: "bind", reason: "Failed to bind to specified addresses.".to_owned() }
            }
        })?;
    }
    Ok(())
}
