//! Tests of the command line, most of them redis-server's own cases (unit/introspection of its suite).

use super::*;

fn arguments(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn redis(words: &[&str]) -> RedisArguments {
    let words: Vec<&str> = std::iter::once("redis").chain(words.iter().copied()).collect();
    match parse(arguments(&words)) {
        Ok(Invocation::Redis(arguments)) => arguments,
        other => panic!("{words:?} gave {other:?}"),
    }
}

/// Loads the arguments and answers the values of `names`.
fn load(words: &[&str], names: &[&str]) -> Result<Vec<String>, String> {
    let loaded = redis(words).load(&mut io::empty()).map_err(|error| error.to_string())?;
    let value = |name: &&str| {
        let found = loaded.config.get_matching(&[name.as_bytes()]);
        String::from_utf8_lossy(&found[0].1).into_owned()
    };
    Ok(names.iter().map(value).collect())
}

#[track_caller]
fn check(words: &[&str], names: &[&str], expected: &[&str]) {
    let expected = expected.iter().map(|text| text.to_string()).collect();
    assert_eq!(load(words, names), Ok(expected), "{words:?}");
}

#[track_caller]
fn check_error(words: &[&str], line: &str, message: &str) {
    let error = load(words, &[]).expect_err("it should be refused");
    assert!(error.contains(line) && error.contains(message), "{words:?}: {error}");
}

#[test]
fn commands() {
    for (words, expected) in [
        (&[][..], Invocation::Help),
        (&["help"], Invocation::Help),
        (&["--help"], Invocation::Help),
        (&["help", "redis"], Invocation::RedisHelp),
        (&["redis", "--help"], Invocation::RedisHelp),
        (&["redis", "-v"], Invocation::Version),
        (&["version"], Invocation::Version),
        (&["--version"], Invocation::Version),
        (&["redis"], Invocation::Redis(RedisArguments::default())),
    ] {
        assert_eq!(parse(arguments(words)), Ok(expected), "{words:?}");
    }
    for words in [&["serve"][..], &["--port", "1"], &[""]] {
        parse(arguments(words)).expect_err("not a command");
    }
}

#[test]
fn the_promised_command_line() {
    let words = [
        "--port",
        "6380",
        "--maxmemory",
        "4gb",
        "--metrics-port",
        "9090",
        "--unixsocket",
        "/run/x",
        "--unixsocketperm",
        "700",
        "--threads",
        "3",
        "--bind",
        "",
        "--log-level",
        "warning",
    ];
    check(
        &words,
        &["port", "maxmemory", "metrics-port", "unixsocket", "unixsocketperm", "threads", "bind", "loglevel"],
        &["6380", "4294967296", "9090", "/run/x", "700", "3", "", "warning"],
    );
}

#[test]
fn values_may_be_several_words() {
    check(
        &["--bind", "127.0.0.1", "-::1", "--save", "100", "10", "60", "5", "--port", "0"],
        &["bind", "save", "port"],
        &["127.0.0.1 -::1", "100 10 60 5", "0"],
    );
    check(
        &["--shutdown-on-sigint", "nosave", "force", "now", "--shutdown-on-sigterm", "nosave force"],
        &["shutdown-on-sigint", "shutdown-on-sigterm"],
        &["nosave now force", "nosave force"],
    );
}

#[test]
fn name_and_value_may_share_an_argument() {
    check(
        &["--maxmemory 700mb", "--maxmemory-policy 'volatile-lru'"],
        &["maxmemory", "maxmemory-policy"],
        &["734003200", "volatile-lru"],
    );
    check(
        &["--proc-title-template --my--title", "--loglevel verbose"],
        &["proc-title-template", "loglevel"],
        &["--my--title", "verbose"],
    );
}

#[test]
fn a_first_value_may_begin_with_dashes() {
    check(
        &["--proc-title-template", "--my--title", "--loglevel", "verbose"],
        &["proc-title-template", "loglevel"],
        &["--my--title", "verbose"],
    );
    check(
        &["--proc-title-template", "--save", "--save", "", "--loglevel", "verbose"],
        &["proc-title-template", "save", "loglevel"],
        &["--save", "", "verbose"],
    );
}

#[test]
fn an_empty_save() {
    for words in [
        &["--save", "--loglevel", "verbose"][..],
        &["--loglevel", "verbose", "--save"],
        &["--save", "", "--loglevel", "verbose"],
        &["--loglevel", "verbose", "--save", ""],
    ] {
        check(words, &["save", "loglevel"], &["", "verbose"]);
    }
}

#[test]
fn errors_show_the_line() {
    let count = "wrong number of arguments";
    check_error(&["--port"], "'port'", count);
    check_error(&["--port", "6380", "--loglevel"], "'loglevel'", count);
    check_error(&["--port", "6379", "6380"], "'port \"6379\" \"6380\"'", count);
    check_error(&["--port", "--loglevel", "verbose"], "'port \"--loglevel\" \"verbose\"'", count);
    check_error(
        &["--port", "--bla", "--loglevel", "verbose"],
        "'port \"--bla\"'",
        "argument couldn't be parsed into an integer",
    );
    check_error(
        &["--logfile", "--my--log", "--loglevel", "--bla"],
        "'loglevel \"--bla\"'",
        "argument(s) must be one of the following",
    );
    check_error(&["--shutdown-on-sigint"], "'shutdown-on-sigint'", "argument(s) must be one of");
    check_error(
        &["--replicaof", "127.0.0.1", "abc"],
        "'replicaof \"127.0.0.1\" \"abc\"'",
        "Invalid master port",
    );
    check_error(&["--replicaof", "--127.0.0.1", "--abc"], "'replicaof \"--127.0.0.1\"'", count);
    check_error(&["--prot", "1"], "the command line", "did you mean 'port'?");
}

#[test]
fn sources_override_each_other_in_order() {
    let path = std::env::temp_dir().join(format!("swytch-cli-{}.conf", std::process::id()));
    std::fs::write(&path, "port 1\nhz 20\ntimeout 7\nsave 900 1\n").expect("written");
    let file = path.to_str().expect("a plain path");
    let arguments = redis(&[file, "--hz", "40", "--save", "100", "100", "-"]);
    assert!(arguments.read_standard_input);
    let loaded = arguments.load(&mut &b"port 2\nhz 30"[..]).expect("good");
    let config = &loaded.config;
    assert_eq!((config.port(), config.hz(), config.timeout_seconds()), (2, 40, 7));
    assert_eq!(config.save_points().len(), 2, "save lines of all sources add up");
    assert_eq!(config.file(), Some(path.as_path()));
    std::fs::remove_file(&path).expect("removed");
    assert!(redis(&["-"]).read_standard_input);
    let error = redis(&[file]).load(&mut io::empty()).err().expect("the file is gone");
    assert!(error.to_string().contains("can't open config file"), "{error}");
}

#[test]
fn wrong_usage_that_redis_supports() {
    let path = std::env::temp_dir().join(format!("swytch-cli-plain-{}.conf", std::process::id()));
    std::fs::write(&path, "").expect("written");
    let file = path.to_str().expect("a plain path");
    check(
        &[file, "loglevel", "verbose", "--maxmemory '700mb'"],
        &["loglevel", "maxmemory"],
        &["verbose", "734003200"],
    );
    std::fs::remove_file(&path).expect("removed");
}
