//! Users and what they may do: transcripts that are the same from a real Redis, random rules described alike, and files.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use swytch_testkit::transcript::play;
use swytch_testkit::{Client, Program, Random, Reply, Server};

const FILE: &str = "threads 4\nsave \"\"\n";
/// The same for a server that knows no threads.
const REDIS_FILE: &str = "save \"\"\n";

/// Plays transcripts to swytch and to a Redis that says what it refuses in the words of today.
fn check(transcripts: &[&str]) {
    let redis = Program::redis_since("7.2").map(|redis| redis.start("acl-redis", REDIS_FILE));
    for server in [Some(ours().start("acl", FILE)), redis].iter().flatten() {
        for transcript in transcripts {
            play(server, transcript);
            let mut client = server.connect();
            for name in ["alice", "bob"] {
                client.say(&format!("ACL DELUSER {name}"));
            }
            client.say("ACL LOG RESET");
        }
    }
}

const NO_KEY: &str = "-NOPERM No permissions to access a key";
const NO_CHANNEL: &str = "-NOPERM No permissions to access a channel";

#[test]
fn every_way_in_is_guarded() {
    let no_get = "-NOPERM User alice has no permissions to run the 'get' command";
    let changed = "-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. \
                   This command is no longer allowed for the following reason: no permission";
    check(&[
        // Commands, subcommands, keys by what is done to them.
        &format!(
            "r: ACL SETUSER alice on >pw -@all +set +mget +config|get +acl|whoami ~a* %R~r* = OK
             a: AUTH alice wrong = -WRONGPASS invalid username-password pair or user is disabled.
             a: ACL WHOAMI = default\na: AUTH alice pw = OK\na: ACL WHOAMI = alice\na: GET a = {no_get}
             a: SET a1 x = OK\na: SET r1 x = {NO_KEY}\na: SET a1 x GET = x\na: SET b x = {NO_KEY}
             a: MGET a1 r1 = [x, null]\na: MGET a1 b = {NO_KEY}\na: CONFIG GET nosuch = []
             a: CONFIG SET port 1 = -NOPERM User alice has no permissions to run the 'config|set' command
             r: ACL SETUSER alice +get = OK\na: GET r1 = null\na: HELLO 2 AUTH alice wrong = \
             -WRONGPASS invalid username-password pair or user is disabled.\na: RESET = RESET\na: ACL WHOAMI = default"
        ),
        // A transaction is spoilt by what is refused, and its commands are asked about again.
        &format!(
            "r: ACL SETUSER alice on nopass +@all -get ~* = OK\na: AUTH alice x = OK\na: MULTI = OK\na: GET k = {no_get}
             a: EXEC = -EXECABORT Transaction discarded because of previous errors.
             a: MULTI = OK\na: SET k v = QUEUED\na: LLEN l = QUEUED\nr: ACL SETUSER alice -llen = OK
             a: EXEC = [OK, {changed} to execute the command or subcommand]"
        ),
        // Scripts.
        &format!(
            "r: ACL SETUSER alice on nopass +@all -get ~a* = OK\na: AUTH alice x = OK
             a: EVAL return(redis.acl_check_cmd('set','a','1')and(1)or(0)) 0 = :1
             a: EVAL return(redis.acl_check_cmd('set','b','1')and(1)or(0)) 0 = :0
             a: EVAL return(redis.pcall('get','a').err) 0 = ERR ACL failure in script: User alice has no permissions to \
             run the 'get' command
             a: EVAL return(redis.pcall('set','b','1').err) 0 = ERR ACL failure in script: No permissions to access a key
             a: EVAL return(1) 1 b = {NO_KEY}\na: EVAL return(redis.call('set','a','1')) 0 = OK"
        ),
        // A client that waits is asked about when it is served.
        "r: ACL SETUSER alice on nopass +@all ~l* = OK\na: AUTH alice x = OK\na> BLPOP list 0\nblocked 1
         r: ACL SETUSER alice -blpop = OK\nr: RPUSH list x = :1
         a< -NOPERM User alice has no permissions to run the 'blpop' command\nr: LLEN list = :1",
        // What values lead to.
        "r: ACL SETUSER alice on nopass +@all ~l* = OK\nr: RPUSH list 1 = :1\na: AUTH alice x = OK
         a: SORT list = [1]\na: SORT list BY w_* = -ERR BY option of SORT denied due to insufficient ACL permissions.
         a: SORT_RO list GET w_* = -ERR GET option of SORT denied due to insufficient ACL permissions.
         r: ACL SETUSER alice %R~* = OK\na: SORT list BY w_* GET # = [1]\na: COPY list other = -NOPERM No permissions to access a key",
        // Channels.
        &format!(
            "r: ACL SETUSER alice on nopass +@all &c* &p?* = OK\na: AUTH alice x = OK
             a: PUBLISH c1 x = :0\na: PUBLISH other x = {NO_CHANNEL}\na: SPUBLISH c1 x = :0\na: SPUBLISH d x = {NO_CHANNEL}
             a: PSUBSCRIBE p?x = {NO_CHANNEL}\na: SUBSCRIBE c1 d = {NO_CHANNEL}\na: SSUBSCRIBE d = {NO_CHANNEL}
             a: PSUBSCRIBE p?* = [psubscribe, p?*, :1]\na: UNSUBSCRIBE d = [unsubscribe, d, :1]"
        ),
    ]);
}

/// Rules that Valkey has and Redis has not, in its words.
#[test]
fn databases_are_guarded_wherever_they_are_selected_or_named() {
    let no = "-NOPERM No permissions to access database";
    let server = ours().start("acl-databases", FILE);
    play(
        &server,
        &format!(
            "r: ACL SETUSER alice on >pw ~* &* +@all db=0,1 = OK
             r: ACL SETUSER alice db=0,x = -ERR Error in ACL SETUSER modifier 'db=0,x': Syntax error
             a: AUTH alice pw = OK
             a: SET k v = OK
             a: SELECT 2 = {no}
             a: SELECT 16 = -ERR DB index is out of range
             a: MOVE k 2 = {no}
             a: COPY k l DB 1 DB 2 = {no}
             a: COPY k l DB 1 = :1
             a: SWAPDB 1 2 = {no}
             a: FLUSHALL = {no}
             a: EVAL return(redis.pcall('select','2').err) 0 = ERR ACL failure in script: No permissions to access database
             a: MULTI = OK
             a: SELECT 1 = QUEUED
             a: GET l = QUEUED
             a: EXEC = [OK, v]
             a: MULTI = OK
             a: SELECT 2 = {no}
             a: EXEC = -EXECABORT Transaction discarded because of previous errors.
             a: SELECT 0 = OK
             r: ACL SETUSER alice db=1 (db=2 ~r* +@read +select) = OK
             a: GET k = {no}
             a: SCAN 0 = {no}
             a: WATCH k = {no}
             a: MOVE k 1 = {no}
             a: COPY k m DB 1 = {no}
             a: PING = PONG
             a: MULTI = OK
             a: SELECT 1 = QUEUED
             a: GET l = QUEUED
             a: SELECT 2 = QUEUED
             a: SET r x = -NOPERM User alice has no permissions to run the 'set' command
             a: DISCARD = OK
             a: SELECT 2 = OK
             a: GET r = null
             a: GET k = -NOPERM No permissions to access a key
             r: ACL DRYRUN alice SELECT 3 = User alice has no permissions to access database 3
             r: ACL DRYRUN alice GET k = User alice has no permissions to access database 0
             r: ACL SETUSER alice db=1 clearselectors = OK
             r: ACL SETUSER alice resetdbs = OK
             a: SELECT 1 = {no}
             r: ACL SETUSER alice alldbs = OK
             a: FLUSHALL = OK"
        ),
    );
    let mut admin = server.connect();
    admin.say("ACL SETUSER alice db=1,0");
    let line = admin.say("ACL LIST").elements()[0].text();
    assert!(line.contains(" &* db=0,1 +@all"), "{line}");
    assert!(admin.say("ACL GETUSER alice").to_string().contains("databases, db=0,1"));
    assert!(!admin.say("ACL GETUSER default").to_string().contains("databases"));
    assert!(admin.say("ACL LOG").to_string().contains("reason, database, context, multi, object, 2,"));
    assert_eq!(admin.info_number("acl_access_denied_db"), 13);
}

/// Redis 8.6 asks again about commands but not about keys: it looks at those of EXEC.
#[test]
fn a_transaction_touches_no_key_that_is_no_longer_allowed() {
    let server = ours().start("acl-exec", FILE);
    play(
        &server,
        "r: ACL SETUSER alice on nopass +@all ~* = OK\na: AUTH alice x = OK\na: MULTI = OK\na: SET k v = QUEUED
         r: ACL SETUSER alice resetkeys ~l* = OK
         a: EXEC = [-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. \
         This command is no longer allowed for the following reason: no permission to touch the specified keys]
         r: EXISTS k = :0",
    );
}

/// The last one of an option's keys is used, so it is the last one that must be allowed. Redis 8.6 looks at the first one.
#[test]
fn an_option_that_is_given_twice_is_allowed_for_the_key_that_is_used() {
    let server = ours().start("acl-options", FILE);
    play(
        &server,
        "r: ACL SETUSER alice on nopass +georadius +georadiusbymember ~geo ~mine* = OK\na: AUTH alice x = OK
         r: GEOADD geo 13 38 m = :1
         a: GEORADIUS geo 13 38 9 km STORE mine STORE other = -NOPERM No permissions to access a key
         a: GEORADIUS geo 13 38 9 km STORE mine STOREDIST other = -NOPERM No permissions to access a key
         a: GEORADIUSBYMEMBER geo m 9 km STORE mine STORE other = -NOPERM No permissions to access a key
         a: GEORADIUS geo 13 38 9 km STORE other STORE mine = :1\na: GEORADIUS geo 13 38 9 km STORE mine = :1
         r: EXISTS other = :0",
    );
}

#[test]
fn who_loses_the_right_to_listen_or_the_user_loses_the_connection() {
    check(&[
        "r: ACL SETUSER alice on nopass +@all &c* &p* = OK\na: AUTH alice x = OK\nb: AUTH alice x = OK\nc: AUTH alice x = OK
         a: SUBSCRIBE c1 = [subscribe, c1, :1]\nb: PSUBSCRIBE p* = [psubscribe, p*, :1]
         r: ACL SETUSER alice resetchannels &c1 &p* = OK\na: PING = [pong, ]\nb: PING = [pong, ]
         r: ACL SETUSER alice resetchannels &p1 = OK\na closes\nb closes\nc: PING = PONG",
        "r: ACL SETUSER alice on nopass +@all = OK\na: AUTH alice x = OK\nb: PING = PONG
         r: ACL DELUSER alice nobody = :1\na closes\nb: PING = PONG
         r: ACL DELUSER bob default = -ERR The 'default' user cannot be removed",
        // Oneself.
        "r: ACL SETUSER alice on nopass +@all = OK\na: AUTH alice x = OK\na: ACL DELUSER alice = :1\na closes",
    ]);
}

#[test]
fn what_was_refused_is_in_the_log() {
    let server = ours().start("acl-log", FILE);
    let (mut admin, mut alice) = (server.connect(), server.connect());
    admin.say("ACL SETUSER alice on >pw +@all -get ~a* &c");
    alice.say("AUTH alice wrong");
    alice.say("AUTH alice pw");
    for line in
        ["GET a", "GET a", "SET b x", "PUBLISH other x", "EVAL redis.pcall('get','a') 0", "MULTI", "GET a"]
    {
        alice.say(line);
    }
    let log = admin.say("ACL LOG");
    let entries: Vec<String> = log.elements().iter().map(|entry| entry.to_string()).collect();
    let wanted = [
        (1, "command", "multi", "get"),
        (1, "command", "lua", "get"),
        (1, "channel", "toplevel", "other"),
        (1, "key", "toplevel", "b"),
        (2, "command", "toplevel", "get"),
        (1, "auth", "toplevel", "AUTH"),
    ];
    assert_eq!(entries.len(), wanted.len(), "{entries:#?}");
    for (entry, (count, reason, context, object)) in entries.iter().zip(wanted) {
        let start = format!(
            "[count, :{count}, reason, {reason}, context, {context}, object, {object}, username, alice, age-seconds, "
        );
        assert!(entry.starts_with(&start) && entry.contains("id="), "{entry} should begin with {start}");
    }
    for (field, count) in [("auth", 1), ("cmd", 4), ("key", 1), ("channel", 1)] {
        assert_eq!(admin.info_number(&format!("acl_access_denied_{field}")), count, "{field}");
    }
    assert_eq!(admin.say("ACL LOG 1").elements().len(), 1);
    admin.set("acllog-max-len", "2");
    alice.say("SET c x");
    assert_eq!(admin.say("ACL LOG").elements().len(), 2);
    assert_eq!(admin.say("ACL LOG RESET").to_string(), "OK");
    assert_eq!(admin.say("ACL LOG").elements().len(), 0);
}

/// Rules, sound ones and others.
const RULES: &[&str] = &[
    "on",
    "off",
    "nopass",
    "resetpass",
    ">one",
    ">two",
    "<one",
    "<three",
    "~*",
    "~a*",
    "~b*",
    "%R~r*",
    "%W~r*",
    "%RW~x",
    "%~x",
    "%X~y",
    "allkeys",
    "resetkeys",
    "&*",
    "&c*",
    "&d",
    "allchannels",
    "resetchannels",
    "+@all",
    "-@all",
    "allcommands",
    "nocommands",
    "+@read",
    "-@read",
    "+@string",
    "-@dangerous",
    "+@nosuch",
    "+get",
    "-get",
    "+SET",
    "-set",
    "+config",
    "-config|set",
    "+config|get",
    "+config|nosuch",
    "+select|0",
    "+select|1",
    "-select|0",
    "+get|x",
    "+nosuch",
    "+config|get|x",
    "+get|",
    "(+get ~x*)",
    "(-@all +set",
    "%R~y* &c)",
    "(+@nosuch)",
    "clearselectors",
    "reset",
    "sanitize-payload",
    "skip-sanitize-payload",
    "#zz",
    "!zz",
    "+cluster",
    "-acl|setuser",
    "",
];

/// Calls that rules are held against.
const CALLS: &[&str] = &[
    "get a1",
    "get x1",
    "set b1 v",
    "set r1 v get",
    "mset a v b v",
    "copy a r1",
    "config get x",
    "config set x y",
    "select 0",
    "select 1",
    "publish c1 m",
    "subscribe c1 d",
    "psubscribe c*",
    "ping",
    "eval return(1) 1 a1",
    "flushall",
    "del r1 x",
    "sort a1 store b1",
    "bitfield a1 get u8 0",
    "auth x",
    "object encoding r2",
    "xread streams a b 0 0",
];

#[test]
fn random_rules_mean_the_same_as_in_redis() {
    let Some(redis) = Server::redis("acl-redis", REDIS_FILE) else { return };
    // Before 7.2 the rules about commands were made up anew when they were asked for.
    let describes_alike = Program::redis_since("7.2").is_some();
    let ours = ours().start("acl", FILE);
    let (mut ours, mut theirs) = (ours.connect(), redis.connect());
    let mut random = Random::from_environment();
    let kind = |reply: &Reply| {
        let text = reply.to_string();
        let kinds = ["' command", "' key", "' channel", "OK", "' not found"];
        kinds.iter().position(|kind| text.ends_with(kind)).unwrap_or_else(|| panic!("{text}"))
    };
    for _ in 0..400 {
        let rules: Vec<&str> = (0..1 + random.below(5)).map(|_| random.pick(RULES)).collect();
        let words: Vec<&str> = ["ACL", "SETUSER", "alice"].into_iter().chain(rules).collect();
        // Redis 7.0 forgets a parenthesis that is open where another one opens.
        let opening = words.iter().filter(|word| word.starts_with('(') && !word.ends_with(')')).count();
        if opening > 1 && !describes_alike {
            continue;
        }
        assert_eq!(ours.call(&words), theirs.call(&words), "{words:?}");
        if random.once_in(4) {
            for query in if describes_alike { &["ACL GETUSER alice", "ACL LIST"][..] } else { &[] } {
                assert_eq!(ours.say(query).to_string(), theirs.say(query).to_string(), "after {words:?}");
            }
            for call in CALLS {
                let words: Vec<&str> = "ACL DRYRUN alice".split(' ').chain(call.split(' ')).collect();
                let replies = (ours.call(&words), theirs.call(&words));
                assert_eq!(
                    kind(&replies.0),
                    kind(&replies.1),
                    "{call}: {replies:?}, {}",
                    ours.say("ACL LIST")
                );
            }
        }
        if random.once_in(12) {
            ours.say("ACL DELUSER alice");
            theirs.say("ACL DELUSER alice");
        }
    }
}

/// A folder of its own, and a client of a server that has a file of users in it.
fn with_file(name: &str, text: &str) -> (std::path::PathBuf, Server) {
    let folder = swytch_testkit::scratch(name);
    let file = folder.join("users.acl");
    std::fs::write(&file, text).expect("it is writable");
    let server = ours().start(name, &format!("{FILE}aclfile {}\n", file.display()));
    (file, server)
}

#[test]
fn a_file_of_users_is_read_written_and_refused_as_a_whole() {
    let (file, server) = with_file("acl-file", "user alice on nopass ~a* -@all +get\n\nuser bob off\n");
    let (mut admin, mut alice) = (server.connect(), server.connect());
    assert_eq!(admin.say("ACL USERS").to_string(), "[alice, bob, default]");
    assert_eq!(alice.say("AUTH alice x").to_string(), "OK");
    assert_eq!(
        alice.say("SET a x").to_string(),
        "-NOPERM User alice has no permissions to run the 'set' command"
    );
    admin.say("ACL SETUSER carol on >pw +@read ~* (+set ~c*)");
    assert_eq!(admin.say("ACL SAVE").to_string(), "OK");
    let saved = std::fs::read_to_string(&file).expect("it is readable");
    assert_eq!(saved.lines().count(), 4, "{saved}");
    // Faults are told with their lines, and nothing has changed.
    std::fs::write(
        &file,
        format!("{saved}user dora +nosuch\nnonsense\nuser bob on\nuser erna ~* ~a\nuser f (+get\n"),
    )
    .expect("it is writable");
    let error = admin.say("ACL LOAD").to_string();
    for part in [
        ":5: Error in applying operation '+nosuch': Unknown command or category name in ACL",
        ":6 should start with user keyword",
        "Duplicate user 'bob' found on line 7",
        ":8: Adding a pattern after the * pattern",
        ":9: Unmatched parenthesis",
        "no change to the previously active ACL rules was performed",
    ] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
    assert_eq!(admin.say("ACL USERS").to_string(), "[alice, bob, carol, default]");
    // Who is no longer in it is gone, and who is has the rights of now.
    std::fs::write(&file, "user carol on nopass +@all ~*\n").expect("it is writable");
    let mut carol = server.connect();
    assert_eq!(carol.say("AUTH carol pw").to_string(), "OK");
    assert_eq!(carol.say("SET x y").to_string(), NO_KEY);
    assert_eq!(admin.say("ACL LOAD").to_string(), "OK");
    assert!(alice.is_closed());
    assert_eq!(carol.say("SET x y").to_string(), "OK");
    // What was saved is read again at the start.
    std::fs::write(&file, saved).expect("it is writable");
    let again = ours().start("acl-file-again", &format!("{FILE}aclfile {}\n", file.display()));
    let list = again.connect().say("ACL LIST").to_string();
    assert!(
        list.contains("user carol on sanitize-payload #") && list.contains("(~c* resetchannels -@all +set)"),
        "{list}"
    );
}

#[test]
fn a_server_with_broken_users_does_not_start() {
    for (file, reason) in [
        ("user alice +nosuch\n", "Unknown command or category name in ACL"),
        ("user alice on\nuser alice off\n", "Duplicate user found"),
        ("aclfile /nonexistent/users.acl\n", "opening file '/nonexistent/users.acl'"),
        ("aclfile /nonexistent/users.acl\nuser alice on\n", "give one of both"),
        ("user alice >secret (+get\n", "Unmatched parenthesis"),
    ] {
        let error = ours().launch("acl-broken").file(file).run().expect_err("it is broken").to_string();
        assert!(error.contains(reason) && !error.contains("secret"), "{file}: {error}");
    }
}

#[test]
fn user_lines_and_requirepass_say_how_one_logs_in() {
    let text =
        format!("{FILE}requirepass old\nuser default on >new ~* &* +@all\nuser alice on nopass +ping\n");
    let mut server = ours().start("acl-lines", &text);
    let mut client = server.connect();
    assert_eq!(client.say("PING").to_string(), "-NOAUTH Authentication required.");
    assert!(client.say("AUTH old").to_string().starts_with("-WRONGPASS"));
    assert_eq!(client.say("AUTH new").to_string(), "OK");
    assert_eq!(client.set("requirepass", "newer"), None);
    assert_eq!(client.say("CONFIG REWRITE").to_string(), "OK");
    let written = std::fs::read_to_string(server.file()).expect("it is readable");
    assert!(
        written.contains("user alice on nopass") && written.contains("user default on sanitize-payload #"),
        "{written}"
    );
    server.restart();
    let mut client = server.connect();
    assert_eq!(client.say("AUTH newer").to_string(), "OK");
    assert_eq!(client.say("CONFIG SET requirepass ").to_string(), "OK");
    let mut other = server.connect();
    assert_eq!(other.say("PING").to_string(), "PONG", "there is no password any more");
    assert_eq!(other.say("ACL GENPASS 5").text().len(), 2);
    let _: Client = other;
}
