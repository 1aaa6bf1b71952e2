//! Tests of loading: Redis's files as shipped, syntax, includes, bounds, errors and warnings.

use swytch_testkit::Random;

use super::*;

/// Loads `text` as if it were a file.
fn load(text: &str) -> Result<Loaded, ConfigError> {
    let mut loader = Loader::new();
    loader.text(text.as_bytes(), 1, |line| Place::File("test.conf".into(), line))?;
    loader.finish()
}

fn get(loaded: &Loaded, name: &str) -> String {
    let found = loaded.config.get_matching(&[name.as_bytes()]);
    String::from_utf8_lossy(&found[0].1).into_owned()
}

/// The names of the directives that are refused.
fn refused(text: &str) -> Vec<String> {
    let refusals = load(text).unwrap_or_else(|error| panic!("{error}")).refusals;
    refusals.iter().map(|refusal| refusal.line.split(' ').next().unwrap_or_default().to_owned()).collect()
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    let error = load(text).err().unwrap_or_else(|| panic!("{text:?} was accepted"));
    assert_eq!(error.to_string(), expected);
}

/// A directory for one test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("swytch-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a directory");
        Scratch(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("a directory");
        }
        std::fs::write(&path, text).expect("a file");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn later_lines_override_and_names_have_any_case() {
    let loaded = load("# comment\n\n  PORT 7000\nport \"7001\"\nmaxmemory '4gb'\r\n").expect("good");
    assert_eq!(loaded.config.port(), 7001);
    assert_eq!(loaded.config.maxmemory(), 4 << 30);
    assert!(loaded.warnings.is_empty());
}

#[test]
fn save_lines_replace_the_default_and_add_up() {
    assert_eq!(get(&load("").expect("good"), "save"), "3600 1 300 100 60 10000");
    assert_eq!(get(&load("save 900 1\nsave 100 100").expect("good"), "save"), "900 1 100 100");
    assert_eq!(get(&load("save 900 1\nsave \"\"").expect("good"), "save"), "");
    assert_eq!(get(&load("save \"900 1 5 6\"").expect("good"), "save"), "900 1 5 6");
    assert_eq!(get(&load("save \"\"\nsave 5 6").expect("good"), "save"), "5 6");
}

#[test]
fn several_words_may_stand_in_one() {
    let loaded = load(
        "bind \"127.0.0.1 -::1\"\nclient-output-buffer-limit pubsub 1 2 3\n\
                       client-output-buffer-limit \"normal 4 5 6\"",
    )
    .expect("good");
    assert_eq!(loaded.config.bind(), ["127.0.0.1", "-::1"]);
    assert_eq!(
        get(&loaded, "client-output-buffer-limit"),
        "normal 4 5 6 slave 268435456 67108864 60 pubsub 1 2 3"
    );
    assert!(load("bind \"\"").expect("good").config.bind().is_empty());
}

#[test]
fn errors_name_the_place_the_line_and_the_nearest_name() {
    check_error(
        "port 7000\nmaxmemroy 1gb",
        "configuration error on line 2 of test.conf\n>>> 'maxmemroy 1gb'\n\
         Bad directive or wrong number of arguments: 'maxmemroy' is unknown; \
         did you mean 'maxmemory'?",
    );
    check_error("port", "configuration error on line 1 of test.conf\n>>> 'port'\nwrong number of arguments");
    check_error(
        "\n\nport \"7000",
        "configuration error on line 3 of test.conf\n>>> 'port \"7000'\n\
         Unbalanced quotes in configuration line",
    );
    check_error(
        "search-timeout 500",
        "configuration error on line 1 of test.conf\n>>> 'search-timeout 500'\n\
         Bad directive or wrong number of arguments: 'search-timeout' is unknown",
    );
    check_error(
        "requirepass two words",
        "configuration error on line 1 of test.conf\n>>> 'requirepass (value not shown)'\n\
         wrong number of arguments",
    );
}

#[test]
fn what_would_be_unsafe_to_ignore_is_refused() {
    let error = load("loadmodule /x.so arg").err().expect("there are no modules");
    assert!(error.message.contains("is refused"), "{error}");
    for text in ["replicaof host 6379", "tls-dh-params-file /x.dh", "supervised upstart"] {
        let name = text.split(' ').next().expect("a name");
        assert_eq!(refused(text), [name], "{text}");
    }
    for text in [
        "aclfile /etc/users.acl\nreplicaof no one",
        "replicaof host 6379\nreplicaof no one",
        "save 900 1",
        "shutdown-on-sigterm save",
        "save 3600 1 300 100 60 10000",
        "save 3600 1\nsave 300 100\nsave 60 10000",
        "save \"\"",
        "save 900 1\nsave \"\"",
        "appendonly yes\nappendfsync always",
        "tls-port 6380\ntls-auth-clients yes",
        "shutdown-on-sigterm nosave now",
        "supervised systemd",
        "cluster-enabled yes",
    ] {
        assert!(refused(text).is_empty(), "{text}");
        assert!(load(text).expect("good").warnings.iter().all(|warning| warning.name != "save"), "{text}");
    }
    let all = refused("port 1\nsupervised upstart\nreplicaof host 6379");
    assert_eq!(all, ["supervised", "replicaof"], "one start shows all");
    let warning = &load("masterauth secret").expect("well-formed").warnings[0];
    assert!(!warning.to_string().contains("secret"), "{warning}");
}

/// CONFIG REWRITE of Redis 8.6 and of Valkey 9.1, without and with a password.
#[test]
fn files_that_redis_and_valkey_have_rewritten_are_read() {
    let rewritten = "port 1\n# Generated by CONFIG REWRITE\nsave 3600 1\nsave 300 100\nsave 60 10000\ndir \"/tmp\"\n\
        latency-tracking-info-percentiles 50 99 99.9\n";
    for user in ["nopass sanitize-payload ~* &* +@all", "nopass ~* &* +@all"] {
        let loaded = load(&format!("{rewritten}user default on {user}\nuser alice off")).expect("good");
        assert!(loaded.refusals.is_empty() && loaded.warnings.is_empty());
        let [default, alice] = &loaded.users[..] else { panic!("{:?}", loaded.users) };
        assert_eq!((&default.name[..], &alice.name[..]), (&b"default"[..], &b"alice"[..]));
        assert_eq!(default.rules.len(), 1 + user.split(' ').count());
    }
    let error = load("user default on >secret\nuser default on").err().expect("it is there twice");
    assert!(error.to_string().contains("Duplicate user found") && !error.to_string().contains("secret"));
}

#[test]
fn directives_without_a_meaning_end_in_one_warning_each() {
    let loaded = load(
        "cluster-node-timeout 1\nport 1\ncluster-node-timeout 2\nappendonly no\ndaemonize yes\n\
         list-max-ziplist-value 64\nsyslog-enabled yes",
    )
    .expect("good");
    let texts: Vec<String> = loaded.warnings.iter().map(Warning::to_string).collect();
    assert_eq!(texts.len(), 4, "{texts:#?}");
    let cluster = "'cluster-node-timeout' on line 3 of test.conf has no effect: ";
    assert!(texts.iter().any(|text| text.starts_with(cluster)), "{texts:#?}");
    for name in ["daemonize", "list-max-ziplist-value", "syslog-enabled"] {
        assert!(loaded.warnings.iter().any(|warning| warning.name == name), "{name}");
    }
}

#[test]
fn renamed_commands_are_collected() {
    let loaded = load("rename-command FLUSHALL \"\"\nrename-command config cfg").expect("good");
    let renamed: Vec<(&[u8], &[u8])> = loaded
        .renamed_commands
        .iter()
        .map(|renamed| (renamed.from.as_slice(), renamed.to.as_slice()))
        .collect();
    assert_eq!(renamed, [(&b"FLUSHALL"[..], &b""[..]), (b"config", b"cfg")]);
}

#[test]
fn a_missing_directory_is_an_error() {
    let error = load("dir /no/such/directory").err().expect("data would be looked for elsewhere");
    assert!(error.message.ends_with("No such file or directory"), "{error}");
    let mut loader = Loader::new();
    let error = loader.command_line(b"dir /no/such/directory").expect_err("refused");
    assert_eq!(error.message, "No such file or directory");
}

#[test]
fn includes_load_in_place_with_wildcards_in_order() {
    let scratch = Scratch::new("includes");
    let main = scratch.write(
        "main.conf",
        &format!(
            "dir {0}\nport 1\ninclude conf.d/*.conf\ninclude none/*.conf\ninclude last.conf\nhz 33",
            scratch.0.display()
        ),
    );
    scratch.write("conf.d/b.conf", "port 3\nmaxclients 77");
    scratch.write("conf.d/a.conf", "port 2\nmaxclients 66");
    scratch.write("conf.d/.hidden.conf", "no such directive");
    scratch.write("conf.d/other.txt", "no such directive");
    scratch.write("last.conf", "timeout 5");
    let mut loader = Loader::new();
    loader.main_file(&main).expect("good");
    let loaded = loader.finish().expect("good");
    let config = &loaded.config;
    assert_eq!((config.port(), config.maxclients(), config.hz()), (3, 77, 33));
    assert_eq!(config.timeout_seconds(), 5);
    assert_eq!(config.file(), Some(main.as_path()));
}

#[test]
fn an_error_in_an_included_file_names_that_file() {
    let scratch = Scratch::new("include-error");
    let inner = scratch.write("inner.conf", "port 1\nprot 2");
    let main = scratch.write("main.conf", &format!("include {}", inner.display()));
    let error = Loader::new().main_file(&main).expect_err("refused");
    assert_eq!(error.place, Some(Place::File(inner, 2)));
    let missing = scratch.write("missing.conf", "include /no/such/file");
    let error = Loader::new().main_file(&missing).expect_err("refused");
    assert_eq!(error.place, Some(Place::File(missing, 1)));
    assert_eq!(error.message, "can't open config file '/no/such/file': No such file or directory");
}

#[test]
fn a_file_that_includes_itself_is_refused() {
    let scratch = Scratch::new("include-loop");
    let path = scratch.0.join("loop.conf");
    scratch.write("loop.conf", &format!("include {}", path.display()));
    let error = Loader::new().main_file(&path).expect_err("refused");
    assert_eq!(error.message, "more than 16 files include each other");
    // Two includes each double the files per level: the number of files is bounded, too.
    scratch.write("loop.conf", "");
    let wide = scratch.write("wide.conf", &format!("include {}\n", path.display()).repeat(2000));
    let error = Loader::new().main_file(&wide).expect_err("refused");
    assert_eq!(error.message, "more than 1000 configuration files");
}

#[test]
fn sizes_are_bounded() {
    let mut loader = Loader::new();
    let error = loader.standard_input(&mut std::io::repeat(b'#')).expect_err("an endless file is refused");
    assert!(error.message.contains("more than"), "{error}");
    let line = format!("requirepass {}", "x".repeat(LINE_BYTES_MAX));
    let error = loader.command_line(line.as_bytes()).expect_err("refused");
    assert!(error.message.contains("longer than"), "{error}");
    assert!(error.line.len() < 1000);
}

/// Bytes that are no configuration are refused or accepted, but never a panic.
#[test]
fn random_bytes_never_panic() {
    let mut random = Random::from_environment();
    let names: Vec<&str> = DIRECTIVES.iter().map(|directive| directive.name).collect();
    for _ in 0..5_000 {
        let mut text = names[random.below(names.len())].as_bytes().to_vec();
        text.push(b' ');
        let len = random.below(24);
        text.extend((0..len).map(|_| b"0123456789 -\"'\\xgb%.\xff\0yesno/"[random.below(25_usize)]));
        let _ = Loader::new().command_line(&text);
    }
}

/// What Redis's files as shipped set, 7.0's and 8.0's together, in the packaging of Debian, whose
/// directories may be missing or closed to this user.
#[test]
fn redis_files_as_shipped_are_accepted() {
    let text = r#"
        include /etc/swytch-no-such-directory/*.conf
        bind 127.0.0.1 -::1
        protected-mode yes
        port 6379
        tcp-backlog 511
        timeout 0
        tcp-keepalive 300
        daemonize yes
        pidfile /run/redis/redis-server.pid
        loglevel notice
        logfile /var/log/redis/redis-server.log
        databases 16
        always-show-logo no
        set-proc-title yes
        proc-title-template "{title} {listen-addr} {server-mode}"
        locale-collate ""
        stop-writes-on-bgsave-error yes
        rdbcompression yes
        rdbchecksum yes
        dbfilename dump.rdb
        rdb-del-sync-files no
        dir /var/lib/redis
        replica-serve-stale-data yes
        replica-read-only yes
        repl-diskless-sync yes
        repl-diskless-sync-delay 5
        repl-diskless-sync-max-replicas 0
        repl-diskless-load disabled
        repl-disable-tcp-nodelay no
        replica-priority 100
        acllog-max-len 128
        lazyfree-lazy-eviction no
        lazyfree-lazy-expire no
        lazyfree-lazy-server-del no
        replica-lazy-flush no
        lazyfree-lazy-user-del no
        lazyfree-lazy-user-flush no
        oom-score-adj no
        oom-score-adj-values 0 200 800
        disable-thp yes
        appendonly no
        appendfilename "appendonly.aof"
        appenddirname "appendonlydir"
        appendfsync everysec
        no-appendfsync-on-rewrite no
        auto-aof-rewrite-percentage 100
        auto-aof-rewrite-min-size 64mb
        aof-load-truncated yes
        aof-use-rdb-preamble yes
        aof-timestamp-enabled no
        slowlog-log-slower-than 10000
        slowlog-max-len 128
        latency-monitor-threshold 0
        notify-keyspace-events ""
        hash-max-listpack-entries 512
        hash-max-listpack-value 64
        list-max-listpack-size -2
        list-compress-depth 0
        set-max-intset-entries 512
        set-max-listpack-entries 128
        set-max-listpack-value 64
        zset-max-listpack-entries 128
        zset-max-listpack-value 64
        hll-sparse-max-bytes 3000
        stream-node-max-bytes 4096
        stream-node-max-entries 100
        activerehashing yes
        client-output-buffer-limit normal 0 0 0
        client-output-buffer-limit replica 256mb 64mb 60
        client-output-buffer-limit pubsub 32mb 8mb 60
        hz 10
        dynamic-hz yes
        aof-rewrite-incremental-fsync yes
        rdb-save-incremental-fsync yes
        jemalloc-bg-thread yes
    "#;
    let loaded = load(text).expect("accepted");
    let mut names: Vec<&str> = loaded.warnings.iter().map(|warning| warning.name.as_str()).collect();
    assert!(names.contains(&"daemonize"), "{names:?}");
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "one warning each");
}
