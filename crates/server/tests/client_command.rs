//! CLIENT between several connections of a running server with two threads, so that most of it crosses threads.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use std::time::{Duration, Instant};
use swytch_testkit::{Client, Reply, Server};

fn start(name: &str) -> Server {
    ours().start(name, "threads 2\n")
}

fn id(connection: &mut Client) -> String {
    connection.say("CLIENT ID").text()
}

fn list(connection: &mut Client) -> String {
    connection.say("CLIENT LIST").text()
}

/// Asks again until the list of clients is as wanted.
fn wait_for(connection: &mut Client, what: &str, wanted: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !wanted(&list(connection)) {
        assert!(Instant::now() < deadline, "{what}:\n{}", list(connection));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_killed_client_is_gone_at_once_and_takes_nothing() {
    let server = start("kill");
    let mut killer = Client::open(server.port);
    for round in 0..20 {
        let mut victim = Client::open(server.port);
        let victim_id = id(&mut victim);
        victim.send(&["BLPOP", "queue", "0"]);
        wait_for(&mut killer, "the victim waits", |list| list.contains("flags=b"));
        assert_eq!(killer.say(&format!("CLIENT KILL ID {victim_id}")), Reply::Integer(1), "round {round}");
        assert!(!list(&mut killer).contains(&format!("id={victim_id} ")));
        // What is pushed now belongs to nobody yet.
        assert_eq!(killer.say("RPUSH queue element"), Reply::Integer(1));
        assert_eq!(killer.say("LPOP queue"), Reply::bulk("element"), "round {round}");
        assert!(victim.is_closed());
    }
}

#[test]
fn a_client_kills_itself_after_its_reply() {
    let server = start("kill-self");
    let mut client = Client::open(server.port);
    let own_id = id(&mut client);
    assert_eq!(client.say(&format!("CLIENT KILL ID {own_id} SKIPME no")), Reply::Integer(1));
    assert!(client.is_closed());
}

#[test]
fn who_asked_for_it_is_told_before_the_end_and_served_until_it_is_gone() {
    let mut server =
        ours().start("notice", "threads 2\nshutdown-notice 1000\nshutdown-notice-endpoint other:7\n");
    let mut other = Client::open(server.port);
    assert!(other.say("CLIENT MAINT_NOTIFICATIONS ON").is_error(), "RESP2 has no such messages");
    let mut told = Client::open(server.port);
    told.say("HELLO 3");
    for wrong in
        ["MAYBE", "ON moving-endpoint-type", "ON moving-endpoint-type ipv9", "ON moving-endpoint-type none x"]
    {
        assert!(told.say(&format!("CLIENT MAINT_NOTIFICATIONS {wrong}")).is_error(), "{wrong}");
    }
    assert_eq!(told.say("CLIENT MAINT_NOTIFICATIONS OFF"), Reply::ok());
    assert_eq!(told.say("CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type external-fqdn"), Reply::ok());
    for number in [1, 2] {
        server.signal("TERM");
        let expected =
            [Reply::bulk("MOVING"), Reply::Integer(number), Reply::Integer(1000), Reply::bulk("other:7")];
        assert_eq!(told.reply().elements(), expected);
        assert_eq!((told.say("SET key 1"), other.say("GET key").text()), (Reply::ok(), "1".to_owned()));
        if number == 1 {
            assert_eq!(told.say("SHUTDOWN ABORT"), Reply::ok());
        }
    }
    drop(told);
    assert_eq!(server.await_end(swytch_testkit::PATIENCE), Some(0), "{}", server.log_tail(20));
    assert!(other.is_closed());
}

/// node-redis ends its process where it is told of no address and has asked for one.
#[test]
fn who_cannot_do_without_an_address_is_told_only_where_there_is_one() {
    let mut server = ours().start("no-address", "shutdown-notice 1000\n");
    let connect = |name: &str, kind: &str| {
        let mut client = Client::open(server.port);
        client.say("HELLO 3");
        client.say(&format!("CLIENT SETINFO LIB-NAME {name}"));
        let words = format!("CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type {kind}");
        assert_eq!(client.say(&words), Reply::ok());
        client
    };
    let mut told = [connect("redis-py", "internal-ip"), connect("node-redis", "none")];
    let mut not_told = connect("node-redis(worker)", "external-ip");
    server.signal("TERM");
    for client in &mut told {
        let expected = [Reply::bulk("MOVING"), Reply::Integer(1), Reply::Integer(1000), Reply::Null];
        assert_eq!(client.reply().elements(), expected);
    }
    assert_eq!(not_told.say("PING").text(), "PONG", "the first that it hears of");
    drop(told);
    assert_eq!(server.await_end(swytch_testkit::PATIENCE), Some(0), "{}", server.log_tail(20));
}

#[test]
fn unblocking_ends_a_wait_with_null_or_error() {
    let server = start("unblock");
    let (mut waiting, mut other) = (Client::open(server.port), Client::open(server.port));
    let waiting_id = id(&mut waiting);
    assert_eq!(other.say(&format!("CLIENT UNBLOCK {waiting_id}")), Reply::Integer(0));
    for (how, expected) in [
        ("TIMEOUT", Reply::NullArray),
        ("ERROR", Reply::Error("UNBLOCKED client unblocked via CLIENT UNBLOCK".to_owned())),
    ] {
        waiting.send(&["BLPOP", "nothing", "0"]);
        wait_for(&mut other, "it waits", |list| list.contains("flags=b"));
        assert_eq!(other.say(&format!("CLIENT UNBLOCK {waiting_id} {how}")), Reply::Integer(1));
        assert_eq!(waiting.reply(), expected, "{how}");
    }
    let info = other.say("INFO commandstats").text();
    let line = info.lines().find(|line| line.starts_with("cmdstat_blpop:")).expect("it was called");
    assert!(line.starts_with("cmdstat_blpop:calls=2,") && line.ends_with("failed_calls=1"), "{line}");
}

#[test]
fn the_request_that_is_run_is_shown_in_the_query_buffer() {
    let server = start("query-buffer");
    let mut client = Client::open(server.port);
    let line = client.say("CLIENT INFO").text();
    // *2 $6 CLIENT $4 INFO, as in Redis.
    assert!(line.contains(" qbuf=26 ") && line.contains(" argv-mem=10 "), "{line}");
}

#[test]
fn a_monitor_is_shown_the_database_after_the_command() {
    let server = start("monitor-database");
    let (mut monitor, mut client) = (Client::open(server.port), Client::open(server.port));
    assert_eq!(monitor.say("MONITOR"), Reply::ok());
    assert_eq!(client.say("SELECT 3"), Reply::ok());
    let line = monitor.reply().text();
    assert!(line.contains(" [3 127.0.0.1:") && line.ends_with("\"SELECT\" \"3\""), "{line}");
}

#[test]
fn a_client_is_listed_with_its_type_and_its_last_command() {
    let server = start("listed");
    let (mut monitor, mut queueing) = (Client::open(server.port), Client::open(server.port));
    let mut other = Client::open(server.port);
    assert_eq!(monitor.say("MONITOR"), Reply::ok());
    assert_eq!(queueing.say("MULTI"), Reply::ok());
    assert_eq!(queueing.say("SET a b"), Reply::simple("QUEUED"));
    wait_for(&mut other, "they are listed", |list| list.contains("flags=O") && list.contains("cmd=set"));
    assert_eq!(other.say("CLIENT LIST TYPE replica"), Reply::bulk(""));
    let normal = other.say("CLIENT LIST TYPE normal").text();
    assert_eq!(normal.lines().count(), 4, "with the one of `Server`");
    assert_eq!(other.say("CLIENT KILL TYPE replica"), Reply::Integer(0));
    assert_eq!(other.say("CLIENT KILL TYPE normal"), Reply::Integer(3));
    assert!(monitor.reply() != Reply::ok(), "it was shown commands before");
}

/// A page in somebody's browser can make it send such requests, with a body of the page's choice.
#[test]
fn a_web_page_cannot_send_commands() {
    let server = start("web-page");
    for line in [["POST", "/", "HTTP/1.1"], ["Host:", "localhost", "x"], ["hOST:", "", ""]] {
        let (mut browser, mut other) = (Client::open(server.port), Client::open(server.port));
        browser.send(&line);
        assert!(browser.is_closed(), "{line:?}");
        assert_eq!(other.say("PING"), Reply::simple("PONG"));
    }
}

#[test]
fn replies_can_be_turned_off_and_skipped() {
    let server = start("reply");
    let mut client = Client::open(server.port);
    client.send(&["CLIENT", "REPLY", "OFF"]);
    client.send(&["SET", "a", "1"]);
    client.send(&["NOSUCH"]);
    assert_eq!(client.say("CLIENT REPLY ON"), Reply::ok());
    client.send(&["CLIENT", "REPLY", "SKIP"]);
    client.send(&["SET", "a", "2"]);
    assert_eq!(client.say("GET a"), Reply::bulk("2"));
}

#[test]
fn the_traffic_of_a_client_is_counted() {
    let server = start("traffic");
    let mut client = Client::open(server.port);
    let traffic = |client: &mut Client| {
        let line = client.say("CLIENT INFO").to_string();
        ["tot-net-in=", "tot-cmds="].map(|name| {
            let value = line.split(name).nth(1).and_then(|rest| rest.split_whitespace().next());
            value.and_then(|number| number.parse::<u64>().ok()).expect("a number")
        })
    };
    let before = traffic(&mut client);
    client.say("EVAL return(redis.call('ping')) 0");
    let after = traffic(&mut client);
    let request = "*2\r\n$6\r\nCLIENT\r\n$4\r\nINFO\r\n".len() as u64;
    let script = "*3\r\n$4\r\nEVAL\r\n$26\r\nreturn(redis.call('ping'))\r\n$1\r\n0\r\n".len() as u64;
    assert_eq!([after[0] - before[0], after[1] - before[1]], [request + script, 3]);
}

#[test]
fn a_pause_of_writes_holds_writes_alone() {
    let server = start("pause");
    let (mut writer, mut other) = (Client::open(server.port), Client::open(server.port));
    assert_eq!(other.say("SET a old PX 30"), Reply::ok());
    assert_eq!(other.say("CLIENT PAUSE 60000 WRITE"), Reply::ok());
    writer.send(&["SET", "b", "new"]);
    wait_for(&mut other, "it is held back", |list| list.contains("flags=b"));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(other.say("GET a"), Reply::Null, "its time is over");
    assert_eq!(other.say("GET b"), Reply::Null);
    other.say("MULTI");
    other.call(&["EVAL", "#!lua flags=no-writes\nreturn 1", "0"]);
    assert_eq!(other.say("EXEC").to_string(), "[:1]", "a script that says so does not write");
    assert_eq!(other.say("CLIENT UNPAUSE"), Reply::ok());
    assert_eq!(writer.reply(), Reply::ok());
    assert_eq!(other.say("GET b"), Reply::bulk("new"));
}
