//! The system's clock is set, far back and far ahead: dates are what the clock says, and whatever takes its time goes on
//! as if nothing had happened.

use std::time::Duration;

use swytch_testkit::{Client, Reply, Server, ours};

const HOUR_MS: &str = "3600000";

fn start(file: &str) -> Server {
    ours!().start("clock", &format!("save \"\"\nenable-debug-command yes\n{file}"))
}

/// Sets the server's clock.
fn shift(admin: &mut Client, by_ms: &str) {
    assert_eq!(admin.call(&["DEBUG", "SHIFT-CLOCK", by_ms]), Reply::ok());
}

/// Waits until `what` is so.
#[track_caller]
fn until(admin: &mut Client, what: &[&str], wanted: &Reply) {
    admin.until(&what.join(" "), |admin| admin.call(what), |reply| reply == wanted);
}

#[test]
fn what_was_waited_for_when_the_clock_was_set_back_comes() {
    let server = start("");
    let (mut admin, mut blocked, mut paused) = (server.connect(), server.connect(), server.connect());
    blocked.send(&["BLPOP", "none", "1"]);
    admin.await_blocked(1);
    assert_eq!(admin.call(&["CLIENT", "PAUSE", "1000", "WRITE"]), Reply::ok());
    paused.send(&["SET", "k", "v"]);
    shift(&mut admin, &format!("-{HOUR_MS}"));
    assert_eq!(paused.reply(), Reply::ok());
    assert_eq!(blocked.reply(), Reply::NullArray);
}

#[test]
fn keys_expire_by_the_date_that_was_computed() {
    let server = start("");
    let mut admin = server.connect();
    admin.call(&["SET", "before", "v", "EX", "100"]);
    admin.call(&["SET", "ahead", "v", "EX", "1000"]);
    shift(&mut admin, &format!("-{HOUR_MS}"));
    let ttl = admin.call(&["TTL", "before"]);
    assert!(ttl.number().is_some_and(|ttl| (3_400..=3_700).contains(&ttl)), "{ttl}");
    admin.call(&["SET", "after", "v", "PX", "10"]);
    // Nobody looks at it, and it goes.
    until(&mut admin, &["DBSIZE"], &Reply::Integer(2));
    shift(&mut admin, HOUR_MS);
    assert_eq!(admin.call(&["EXISTS", "before", "ahead"]), Reply::Integer(2));
    shift(&mut admin, HOUR_MS);
    assert_eq!(admin.call(&["EXISTS", "before", "ahead"]), Reply::Integer(0));
    until(&mut admin, &["DBSIZE"], &Reply::Integer(0));
}

#[test]
fn the_work_of_every_round_goes_on_whatever_the_clock_says() {
    for by_ms in [format!("-{HOUR_MS}"), HOUR_MS.to_owned()] {
        let server = start("");
        let (mut admin, mut other, mut idle) = (server.connect(), server.connect(), server.connect());
        assert_eq!(idle.call(&["PING"]), Reply::simple("PONG"));
        shift(&mut admin, &by_ms);
        admin.until("the log", |_| server.log_tail(20), |log| log.contains("clock was set"));

        // Pauses and waits that begin now.
        assert_eq!(admin.call(&["CLIENT", "PAUSE", "10", "WRITE"]), Reply::ok());
        assert_eq!(other.call(&["SET", "k", "v"]), Reply::ok());
        assert_eq!(other.call(&["BLPOP", "none", "0.01"]), Reply::NullArray);

        // Rates, ages.
        let rate = |admin: &mut Client| admin.info_number("instantaneous_ops_per_sec");
        admin.until("a rate", rate, |rate| (1..1_000_000).contains(rate));
        let line = other.call(&["CLIENT", "INFO"]).text();
        for field in ["age=", "idle="] {
            let seconds =
                line.split(field).nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
            assert!(seconds.is_some_and(|seconds| seconds < 1_000), "{line}");
        }

        // The memory limit.
        let limit = admin.info_number("used_memory") + (1 << 20);
        assert_eq!(admin.call(&["CONFIG", "SET", "maxmemory", &limit.to_string()]), Reply::ok());
        let append = |admin: &mut Client| {
            std::thread::sleep(Duration::from_millis(1));
            admin.call(&["APPEND", "big", &"x".repeat(20_000)])
        };
        admin.until("the limit", append, |reply| reply.is_error());
        assert_eq!(admin.call(&["CONFIG", "SET", "maxmemory", "0"]), Reply::ok());

        // Clients that say nothing. The one that looks may be too slow itself.
        assert_eq!(admin.call(&["CONFIG", "SET", "timeout", "1"]), Reply::ok());
        assert!(idle.is_closed());
    }
}
