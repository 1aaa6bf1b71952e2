//! A client that waits is still heard, and nothing of one that has left stays.

use std::time::Duration;

use swytch_testkit::{Client, PATIENCE, Reply, Server, ours};

fn start(file: &str) -> Server {
    ours!().start("departures", &format!("save \"\"\n{file}"))
}

/// Waits until `what` is so.
fn await_that(mut what: impl FnMut() -> bool) -> bool {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        if what() {
            return true;
        }
        if std::time::Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// True once the server has no clients but `admin` and the one that was there at its start.
fn are_gone(admin: &mut Client) -> bool {
    await_that(|| admin.info_number("connected_clients") <= 2)
}

#[test]
fn a_waiting_client_that_has_sent_much_and_hangs_up_gets_no_element() {
    let server = start("");
    let mut admin = server.connect();
    for lines in [1_usize, 500_000] {
        let mut waiting = server.connect();
        waiting.send(&["BLPOP", "q", "0"]);
        admin.await_blocked(1);
        waiting.send_raw(&b"PING\r\n".repeat(lines)).expect("it is read although the client waits");
        drop(waiting);
        assert!(are_gone(&mut admin), "{lines} requests behind it: not missed");
        admin.call(&["RPUSH", "q", "precious"]);
        assert_eq!(admin.call(&["LLEN", "q"]), Reply::Integer(1));
        admin.call(&["DEL", "q"]);
    }
}

#[test]
fn what_was_sent_behind_a_wait_runs_after_it() {
    let server = start("");
    let mut admin = server.connect();
    let mut waiting = server.connect();
    waiting.send(&["BLPOP", "q", "0"]);
    admin.await_blocked(1);
    waiting.send_raw(&b"PING\r\n".repeat(100_000)).expect("it is read");
    admin.call(&["RPUSH", "q", "x"]);
    let served = Reply::Array(vec![Reply::Bulk(b"q".to_vec()), Reply::Bulk(b"x".to_vec())]);
    assert_eq!(waiting.reply(), served);
    for _ in 0..100_000 {
        assert_eq!(waiting.reply(), Reply::Simple("PONG".into()));
    }
}

#[test]
fn input_behind_a_wait_or_a_pause_has_a_limit() {
    let server = start("client-query-buffer-limit 1mb\n");
    let mut admin = server.connect();
    let mut waiting = server.connect();
    waiting.send(&["BLPOP", "q", "0"]);
    admin.await_blocked(1);
    // The server closes before it has everything.
    let _ = waiting.send_raw(&b"PING\r\n".repeat(400_000));
    assert!(are_gone(&mut admin), "a parked client may send without limit");
    let mut paused = server.connect();
    admin.call(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    paused.send(&["SET", "k", "v"]);
    let _ = paused.send_raw(&b"PING\r\n".repeat(400_000));
    // It may not even be accepted yet.
    let closed = |admin: &mut Client| admin.info_number("client_query_buffer_limit_disconnections");
    admin.until("a paused client may send without limit", closed, |count| *count == 2);
    assert!(are_gone(&mut admin));
}

#[test]
fn nothing_of_a_departed_waiting_client_stays() {
    let server = start("");
    let mut admin = server.connect();
    let depart = |admin: &mut Client, round: usize, key: &str| {
        let mut waiting = server.connect();
        waiting.send(&["CLIENT", "ID"]);
        let id = waiting.reply();
        waiting.send(&["BLPOP", key, "0"]);
        admin.await_blocked(1);
        match round % 3 {
            0 => drop(waiting),
            1 => waiting.reset(),
            _ => drop(admin.call(&["CLIENT", "KILL", "ID", &id.number().expect("an id").to_string()])),
        }
        assert!(are_gone(admin), "a departure was not noticed");
    };
    let key = "k".repeat(1 << 20);
    // The first ones fill caches of the allocator.
    (0..3).for_each(|round| depart(&mut admin, round, &key));
    let before = admin.info_number("used_memory");
    (0..21).for_each(|round| depart(&mut admin, round, &key));
    // A worker keeps the buffer that it lends until its next tick, so it may take a moment.
    let left = |admin: &mut Client| admin.info_number("used_memory") - before;
    admin.until("bytes are left of 21 clients", left, |left| *left < 1 << 20);
}
