//! Tests of [`Config`] as a whole: CONFIG GET, CONFIG SET with rollback, typed getters.

use super::*;

fn set(config: &Config, pairs: &[(&str, &str)]) -> Result<(), String> {
    let pairs: Vec<(&[u8], &[u8])> =
        pairs.iter().map(|(name, text)| (name.as_bytes(), text.as_bytes())).collect();
    config
        .set_many(&pairs, SetContext::default(), &mut |_, _| Ok(()))
        .map(|_| ())
        .map_err(|error| String::from_utf8_lossy(&error.reply()).into_owned())
}

fn get(config: &Config, name: &str) -> String {
    let found = config.get_matching(&[name.as_bytes()]);
    let [(_, text)] = found.as_slice() else {
        panic!("{name}: {found:?}");
    };
    String::from_utf8(text.clone()).expect("ascii")
}

#[track_caller]
fn check_error(pairs: &[(&str, &str)], expected: &str) {
    assert_eq!(set(&Config::new(), pairs), Err(expected.to_owned()), "{pairs:?}");
}

#[test]
fn errors_are_redis_errors() {
    check_error(&[("nope", "1")], "ERR Unknown option or number of arguments for CONFIG SET - 'nope'");
    check_error(
        &[("Daemonize", "yes")],
        "ERR CONFIG SET failed (possibly related to argument 'Daemonize') - can't set immutable config",
    );
    check_error(
        &[("dir", "/")],
        "ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config",
    );
    check_error(
        &[("maxmemory", "1"), ("MAXMEMORY", "2")],
        "ERR CONFIG SET failed (possibly related to argument 'MAXMEMORY') - duplicate parameter",
    );
    check_error(
        &[("SLAVE-PRIORITY", "x")],
        "ERR CONFIG SET failed (possibly related to argument 'slave-priority') - \
         argument couldn't be parsed into an integer",
    );
    check_error(
        &[("threads", "3")],
        "ERR CONFIG SET failed (possibly related to argument 'threads') - can't set immutable config",
    );
}

#[test]
fn the_first_error_decides_and_nothing_changes() {
    let config = Config::new();
    assert_eq!(set(&config, &[("maxmemory", "10000002")]), Ok(()));
    let pairs =
        [("maxmemory", "10000001"), ("maxmemory-clients", "200%"), ("client-query-buffer-limit", "invalid")];
    assert_eq!(
        set(&config, &pairs),
        Err("ERR CONFIG SET failed (possibly related to argument 'maxmemory-clients') - \
             percentage argument must be less or equal to 100"
            .to_owned())
    );
    assert_eq!(get(&config, "maxmemory"), "10000002");
    assert_eq!(config.maxmemory(), 10_000_002);
}

#[test]
fn a_failed_application_is_rolled_back() {
    let config = Config::new();
    let mut seen = Vec::new();
    let result = config.set_many(
        &[(b"maxmemory", b"1mb"), (b"port", b"7001")],
        SetContext::default(),
        &mut |config, changed| {
            let names: Vec<&str> = changed.iter().map(|directive| directive.name).collect();
            assert_eq!(names, ["port", "maxmemory"]);
            seen.push((config.port(), config.maxmemory()));
            match config.port() {
                7001 => Err(ApplyError {
                    directive: "port",
                    reason: "Unable to listen on this port. Check server logs.".to_owned(),
                }),
                _ => Ok(()),
            }
        },
    );
    assert_eq!(
        result.expect_err("the port is taken").reply(),
        b"ERR CONFIG SET failed (possibly related to argument 'port') - \
         Unable to listen on this port. Check server logs."
    );
    assert_eq!(seen, [(7001, 1 << 20), (6379, 0)]);
    assert_eq!((config.port(), config.maxmemory()), (6379, 0));
}

#[test]
fn unchanged_values_are_not_applied() {
    let config = Config::new();
    let changed = config
        .set_many(&[(b"maxmemory", b"0")], SetContext::default(), &mut |_, _| panic!("nothing to apply"))
        .expect("valid");
    assert!(changed.is_empty());
}

#[test]
fn loading_denies_some_directives() {
    let context = SetContext { loading: true, ..SetContext::default() };
    let config = Config::new();
    let set =
        |name: &[u8], text: &[u8]| config.set_many(&[(name, text)], context, &mut |_, _| Ok(())).map(|_| ());
    assert_eq!(set(b"appendonly", b"no"), Err(SetError::Loading));
    assert_eq!(set(b"loglevel", b"debug"), Ok(()));
    assert_eq!(config.loglevel(), LogLevel::Debug);
}

#[test]
fn protected_directives_may_be_changed_locally() {
    let mut loader = Loader::new();
    loader.command_line(b"enable-protected-configs local").expect("valid");
    let config = loader.finish().expect("valid").config;
    let set = |local_client| {
        let context = SetContext { local_client, ..SetContext::default() };
        let pair: (&[u8], &[u8]) = (b"dbfilename", b"other.rdb");
        config.set_many(&[pair], context, &mut |_, _| Ok(())).is_ok()
    };
    assert!(!set(false));
    assert!(set(true));
}

#[test]
fn get_by_pattern_finds_names_and_aliases_once() {
    let config = Config::new();
    let found = config.get_matching(&[b"maxmemory", b"MAXMEMORY*", b"bind", b"*of"]);
    let names: Vec<String> =
        found.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
    for expected in ["maxmemory", "maxmemory-samples", "bind", "replicaof", "slaveof"] {
        assert_eq!(names.iter().filter(|name| *name == expected).count(), 1, "{expected} in {names:?}");
    }
    assert_eq!(config.get_matching(&[b"MaxMemory"])[0].0.as_ref(), b"MaxMemory");
    assert!(config.get_matching(&[b"no-such"]).is_empty());
}

#[test]
fn hidden_directives_need_their_exact_name() {
    let config = Config::new();
    let all = config.get_matching(&[b"*"]);
    assert!(!all.iter().any(|(name, _)| name.as_ref() == b"key-load-delay"));
    assert_eq!(get(&config, "key-load-delay"), "0");
}

/// What Redis's suite calls "CONFIG sanity": every value that may be set can be set to itself.
#[test]
fn every_value_can_be_set_to_itself() {
    let config = Config::new();
    let all = config.get_matching(&[b"*"]);
    for (name, text) in &all {
        let (_, directive) = directives::find(name).expect("it was answered");
        let fixed = [Mutability::Immutable, Mutability::Protected];
        if !fixed.contains(&directive.mutability) {
            let pair = [(name.as_ref(), text.as_slice())];
            config
                .set_many(&pair, SetContext::default(), &mut |_, _| Ok(()))
                .unwrap_or_else(|error| panic!("{error:?}"));
        }
    }
    assert_eq!(config.get_matching(&[b"*"]), all);
}

#[test]
fn getters_answer_defaults_and_changes() {
    let config = Config::in_directory(Path::new("/tmp"));
    assert_eq!(config.port(), 6379);
    assert_eq!(config.databases(), 16);
    assert_eq!(config.proto_max_bulk_len(), 512 << 20);
    assert_eq!(config.client_query_buffer_limit(), 1 << 30);
    assert_eq!(config.list_max_listpack_size(), -2);
    assert_eq!(config.maxmemory_policy(), MaxmemoryPolicy::NoEviction);
    assert_eq!(config.bind(), ["*", "-::*"]);
    assert_eq!(config.requirepass(), None);
    assert_eq!(config.resolve("x/y"), Path::new("/tmp/x/y"));
    assert_eq!(config.resolve("/x"), Path::new("/x"));
    assert_eq!(config.output_buffer_limit(ClientClass::Normal).hard_bytes, 0);
    let pairs = [
        ("list-max-ziplist-size", "-1"),
        ("requirepass", "secret"),
        ("client-output-buffer-limit", "normal 1mb 512kb 7"),
        ("maxmemory", "18446744073709551615"),
        ("slowlog-log-slower-than", "-1"),
    ];
    assert_eq!(set(&config, &pairs), Ok(()));
    assert_eq!(config.list_max_listpack_size(), -1);
    assert_eq!(config.requirepass().as_deref(), Some(&b"secret"[..]));
    assert_eq!(
        config.output_buffer_limit(ClientClass::Normal),
        OutputBufferLimit { hard_bytes: 1 << 20, soft_bytes: 512 << 10, soft_seconds: 7 }
    );
    assert_eq!(config.maxmemory(), u64::MAX);
    assert_eq!(config.slowlog_log_slower_than(), -1);
    assert!(Config::is_sensitive(b"RequirePass") && !Config::is_sensitive(b"port"));
}
