//! CONFIG on a running server: what changes take effect, what fails is rolled back, what is rewritten is read again.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use std::net::TcpListener;
use swytch_testkit::{Reply, free_port, scratch};

fn ok() -> Reply {
    Reply::ok()
}

#[test]
fn port_and_bind_listen_anew() {
    let mut server = ours().start("listen", "bind 127.0.0.1\n");
    let old = server.port;
    let new = free_port();
    assert_eq!(server.set("port", new.to_string().as_bytes()), None);
    server.reconnect(new);
    assert_eq!(server.say("PING"), Reply::simple("PONG"));
    std::net::TcpStream::connect(("127.0.0.1", old)).expect_err("the old port is closed");
    assert_eq!(server.set("bind", b"127.0.0.1 -::1"), None);
    assert_eq!(
        server.set("bind", b"127.0.0.1 203.0.113.255"),
        Some(
            "ERR CONFIG SET failed (possibly related to argument 'bind') - \
             Failed to bind to specified addresses."
                .to_owned()
        )
    );
    server.reconnect(new);
    assert_eq!(server.get("bind"), b"127.0.0.1 -::1");
}

/// Redis's "CONFIG SET rollback on apply error": a port in use undoes everything, the kernel's score too.
#[test]
fn a_change_that_cannot_be_applied_is_undone() {
    let mut server = ours().start("rollback", "bind 127.0.0.1\nmaxmemory 5mb\n");
    let score = format!("/proc/{}/oom_score_adj", server.pid());
    let read_score = || std::fs::read_to_string(&score).ok();
    let before = read_score();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let names = ["oom-score-adj", "oom-score-adj-values", "maxmemory", "port", "client-query-buffer-limit"];
    let values: Vec<Vec<u8>> = names.iter().map(|name| server.get(name)).collect();
    let reply = server.call(&[
        b"CONFIG",
        b"SET",
        b"oom-score-adj",
        b"yes",
        b"oom-score-adj-values",
        b"1 1 1",
        b"maxmemory",
        b"10000001",
        b"port",
        port.as_bytes(),
        b"client-query-buffer-limit",
        b"10m",
    ]);
    let expected = "ERR CONFIG SET failed (possibly related to argument 'port') - \
                    Unable to listen on this port. Check server logs.";
    assert_eq!(reply, Reply::Error(expected.to_owned()));
    for (name, value) in names.iter().zip(values) {
        assert_eq!(server.get(name), value, "{name}");
    }
    assert_eq!(read_score(), before);
    server.reconnect(server.port);
    assert_eq!(server.say("PING"), Reply::simple("PONG"));
}

#[test]
fn a_rewritten_file_gives_the_same_server() {
    let port = free_port();
    let file = format!("# mine\nbind 127.0.0.1\nport {port}\nmaxmemory 1mb\nrename-command flushdb badger\n");
    let mut server = ours().start("rewrite", &file);
    for (name, value) in [
        ("maxmemory", "100mb"),
        ("save", ""),
        ("shutdown-on-sigterm", "nosave now"),
        ("requirepass", "s e\"cret"),
        ("client-output-buffer-limit", "pubsub 1mb 2mb 3"),
    ] {
        assert_eq!(server.set(name, value.as_bytes()), None, "{name}");
    }
    assert_eq!(server.say("CONFIG REWRITE"), ok());
    let values = server.get_all();
    server.restart();
    assert!(matches!(server.say("PING"), Reply::Error(text) if text.starts_with("NOAUTH")));
    assert_eq!(server.call(&[b"AUTH", b"s e\"cret"]), ok());
    assert_eq!(server.get_all(), values);
    let text = std::fs::read_to_string(server.file()).expect("readable");
    assert!(text.starts_with("# mine\nbind 127.0.0.1\n"), "{text}");
    assert!(matches!(server.say("FLUSHDB"), Reply::Error(text) if text.starts_with("ERR unknown command")));
    assert_eq!(server.say("BADGER"), ok());
}

#[test]
fn protected_and_immutable_directives_and_limits() {
    let mut server = ours().start("refused", "bind 127.0.0.1\n");
    for (name, value, reason) in [
        ("dir", "/", "can't set protected config"),
        ("databases", "16", "can't set immutable config"),
        (
            "maxclients",
            "4000000000",
            "The operating system is not able to handle the specified number of clients, try with",
        ),
    ] {
        let error = server.set(name, value.as_bytes()).expect("refused");
        assert!(error.contains(reason), "{error}");
    }
    assert_eq!(server.get("maxclients"), b"10000");
    assert_eq!(
        server.say("CONFIG SET maxmemory"),
        Reply::Error("ERR wrong number of arguments for 'config|set' command".to_owned())
    );
    assert_eq!(server.say("CONFIG SET maxmemory 1 hz"), Reply::Error("ERR syntax error".to_owned()));
    assert_eq!(server.say("CONFIG RESETSTAT"), ok());
    let mut local = ours().start("local", "bind 127.0.0.1\nenable-protected-configs local\n");
    assert_eq!(local.set("dir", b"/"), None);
    assert_eq!(local.get("dir"), b"/");
}

/// Starts a server that must not start; what it says.
fn refusal(arguments: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_swytch"))
        .arg("redis")
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    text
}

#[test]
fn a_server_that_nobody_could_reach_does_not_start() {
    for arguments in [["--port", "0"], ["--bind", ""]] {
        let text = refusal(&arguments);
        assert!(text.contains("nothing to listen on: give --port, --tls-port or --unixsocket"), "{text}");
    }
}

#[test]
fn a_file_where_the_socket_should_be_is_kept() {
    let directory = scratch("no-socket");
    let path = directory.join("data");
    std::fs::write(&path, "precious").expect("written");
    let text = refusal(&["--port", "0", "--unixsocket", path.to_str().expect("a path in UTF-8")]);
    assert!(text.contains("something else is there, and it is kept"), "{text}");
    assert_eq!(std::fs::read_to_string(&path).ok().as_deref(), Some("precious"));
    std::fs::remove_dir_all(&directory).expect("removed");
}

#[test]
fn a_renamed_command_must_exist_and_its_new_name_be_free() {
    for (line, expected) in [
        ("rename-command nosuch x", "No such command in rename-command"),
        ("rename-command get set", "Target command name already exists"),
    ] {
        let directory = scratch("rename");
        let path = directory.join("redis.conf");
        std::fs::write(&path, format!("port 0\n{line}\n")).expect("written");
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_swytch"))
            .args(["redis".as_ref(), path.as_os_str()])
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(expected) && text.contains("line 2 of"), "{text}");
        std::fs::remove_dir_all(&directory).expect("removed");
    }
}

/// What is not served is an error that says so, never an OK.
#[test]
fn what_is_not_served_says_so() {
    let mut server = ours().start("not-served", "enable-debug-command yes\nsave \"\"\n");
    for (name, value) in [("tls-port", "1"), ("tls-dh-params-file", "/x.dh")] {
        let before = server.get(name);
        let error = server.set(name, value).expect(name);
        assert!(error.contains("CONFIG SET failed") && error.contains(name), "{error}");
        assert_eq!(server.get(name), before, "{name}");
    }
    for (name, value) in [("appendonly", "no"), ("save", ""), ("appendfsync", "always"), ("io-threads", "1")]
    {
        let error = server.set(name, value);
        assert!(error.is_none() || name == "io-threads", "{name}: {error:?}");
    }
    for line in ["DEBUG PAUSE-CRON 1", "DEBUG JMAP"] {
        let Reply::Error(error) = server.say(line) else { panic!("{line} is no error") };
        assert!(error.contains("is not served: "), "{line}: {error}");
    }
}

/// So do the limits of the small forms of sets.
#[test]
fn the_limits_on_small_sets_are_those_of_the_configuration() {
    let mut server = ours().start("sets", "set-max-intset-entries 3\nset-max-listpack-entries 4\n");
    let mut encoding = |after: &str| {
        server.say(after);
        server.say("OBJECT ENCODING s")
    };
    assert_eq!(encoding("SADD s 1 2 3"), Reply::bulk("intset"));
    assert_eq!(encoding("SADD s x"), Reply::bulk("listpack"));
    assert_eq!(encoding("SADD s y"), Reply::bulk("hashtable"));
    assert_eq!(
        encoding("CONFIG SET set-max-listpack-value 2 set-max-intset-entries 0"),
        Reply::bulk("hashtable")
    );
    assert_eq!(encoding("DEL s"), Reply::Null);
    assert_eq!(encoding("SADD s 10"), Reply::bulk("listpack"));
    assert_eq!(encoding("SADD s 100"), Reply::bulk("hashtable"));
}

/// And those of hashes, by their old names too.
#[test]
fn the_limits_on_small_hashes_are_those_of_the_configuration() {
    let mut server = ours().start("hashes", "hash-max-ziplist-entries 2\n");
    let mut encoding = |after: &str| {
        server.say(after);
        server.say("OBJECT ENCODING h")
    };
    assert_eq!(encoding("HSET h a 1 b 2"), Reply::bulk("listpack"));
    assert_eq!(encoding("HSET h c 3"), Reply::bulk("hashtable"));
    assert_eq!(encoding("CONFIG SET hash-max-listpack-value 3"), Reply::bulk("hashtable"));
    assert_eq!(encoding("DEL h"), Reply::Null);
    assert_eq!(encoding("HSET h a 123"), Reply::bulk("listpack"));
    assert_eq!(encoding("HINCRBY h a 1000"), Reply::bulk("hashtable"));
}

/// A file's `list-max-listpack-size` and CONFIG SET's hold for what is written from then on.
#[test]
fn the_limit_on_small_lists_is_that_of_the_configuration() {
    let mut server = ours().start("listpack", "list-max-listpack-size 3\n");
    let mut encoding = |after: &str| {
        server.say(after);
        server.say("OBJECT ENCODING l")
    };
    assert_eq!(encoding("RPUSH l a b c"), Reply::bulk("listpack"));
    assert_eq!(encoding("RPUSH l d"), Reply::bulk("quicklist"));
    assert_eq!(encoding("CONFIG SET list-max-listpack-size 10"), Reply::bulk("quicklist"));
    assert_eq!(encoding("LTRIM l 0 0"), Reply::bulk("listpack"));
    assert_eq!(encoding("RPUSH l b c d e f g h i j"), Reply::bulk("listpack"));
    assert_eq!(encoding("RPUSH l k"), Reply::bulk("quicklist"));
}

/// Each kind of what a cluster of Redis refuses, once, beside something of the kind that it allows.
#[test]
fn what_a_cluster_would_refuse_is_counted() {
    let mut server = ours().start("compatibility", "cluster-compatibility-sample-ratio 100\n");
    for (words, incompatible) in [
        ("SELECT 0", 0),
        ("MSET {a}1 x {a}2 x", 0),
        ("MSET a x b x", 1),
        ("RPUSH list 1 2", 0),
        ("SORT list BY w{list}_* GET #", 0),
        ("SORT list BY w_* GET o_*", 2),
        ("EVAL return(redis.call('MGET','a','b')) 0", 1),
        ("EVAL return(redis.call('MGET',KEYS[1],KEYS[2])) 2 a b", 1),
        ("COPY a {a}3", 0),
        ("COPY a a DB 1", 1),
        ("MOVE b 2", 1),
        ("SWAPDB 2 3", 1),
        ("MULTI", 0),
        ("SET a 1", 0),
        ("SET b 1", 0),
        ("EXEC", 1),
        ("SELECT 1", 1),
    ] {
        let before = server.connect().info_number("cluster_incompatible_ops");
        let reply = server.say(words);
        assert!(!reply.is_error(), "{words}: {reply:?}");
        let after = server.connect().info_number("cluster_incompatible_ops");
        assert_eq!(after - before, incompatible, "{words}");
    }
    let before = server.connect().info_number("cluster_incompatible_ops");
    for words in
        ["MOVE a 1", "MOVE a 99", "MOVE a x", "COPY a a", "COPY a a DB 99", "SWAPDB 1 99", "SWAPDB x 1"]
    {
        assert!(server.say(words).is_error(), "{words}");
        let after = server.connect().info_number("cluster_incompatible_ops");
        assert_eq!(after, before, "{words} fails for another reason");
    }
    for words in ["CONFIG SET cluster-compatibility-sample-ratio 0", "CONFIG RESETSTAT", "MGET a b"] {
        assert!(!server.say(words).is_error(), "{words}");
    }
    assert_eq!(server.say("CONFIG SET cluster-compatibility-sample-ratio 1"), Reply::ok());
    assert_eq!(server.connect().info_number("cluster_incompatible_ops"), 0);
}
