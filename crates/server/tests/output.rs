//! What a server owes its clients and they do not take: bounded, shared with the keyspace where it can be, and in order.

#![cfg(target_os = "linux")]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use swytch_testkit::client::encode;
use swytch_testkit::{Client, Reply, Server, ours};

const MIB: u64 = 1 << 20;
/// What a server may need beyond its data while it refuses to build a reply of hundreds of megabytes.
const SLACK_BYTES: u64 = 48 * MIB;

/// A socket whose replies are not read unless the test says so.
struct Peer(TcpStream);

impl Peer {
    fn open(server: &Server) -> Peer {
        let stream = TcpStream::connect(("127.0.0.1", server.port)).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        Peer(stream)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("the server reads");
    }

    /// Everything until the server closes; a connection that is reset was closed, too.
    fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        match self.0.read_to_end(&mut all) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
        all
    }
}

fn line(words: &str) -> Vec<u8> {
    encode(&words.split(' ').collect::<Vec<_>>())
}

fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// The highest resident memory since the last call of [`forget_peak`].
fn peak_bytes(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

fn forget_peak(server: &Server) -> u64 {
    std::fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").expect("it is ours");
    peak_bytes(server)
}

/// A number of INFO.
fn info(client: &mut Client, field: &str) -> u64 {
    client.info_number(field) as u64
}

/// A number of the CLIENT LIST line that contains a word, if there is one already.
fn find_field(control: &mut Client, client: &str, field: &str) -> Option<u64> {
    let text = control.say("CLIENT LIST").text();
    let line = text.lines().find(|line| line.contains(client))?;
    let value = line.split(' ').find_map(|part| part.strip_prefix(field)?.strip_prefix('='));
    Some(value.expect("a field").parse().expect("a number"))
}

fn client_field(control: &mut Client, client: &str, field: &str) -> u64 {
    find_field(control, client, field).unwrap_or_else(|| panic!("no {client}"))
}

/// Waits until the sockets have taken what they can of a client's replies.
fn await_pending(control: &mut Client, client: &str) {
    wait_until("the reply waits", || find_field(control, client, "oll").is_some_and(|chunks| chunks > 0));
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A server in which `big` and the list `list` are far longer together than the limit when asked for often.
fn limited(name: &str) -> (Server, Client) {
    let server = ours!().start(name, "threads 2\nclient-output-buffer-limit normal 12mb 0 0\n");
    let mut control = Client::open(server.port);
    control.call(&[b"SET".as_slice(), b"big", &vec![b'b'; 4 << 20]]);
    control.call(&[b"SET".as_slice(), b"middling", &vec![b'm'; 10_000]]);
    for _ in 0..40 {
        control.call(&[&[b"RPUSH".to_vec(), b"list".to_vec()], &vec![vec![b'e'; 1000]; 1000][..]].concat());
    }
    (server, control)
}

fn many(command: &str, key: &str, count: usize) -> Vec<u8> {
    encode(&[&[command], vec![key; count].as_slice()].concat())
}

#[test]
fn one_reply_is_not_built_beyond_the_limit() {
    let (server, mut control) = limited("output-one-reply");
    for asked in [many("MGET", "big", 100), many("MGET", "middling", 40_000), line("LRANGE list 0 -1")] {
        let before = forget_peak(&server);
        let mut peer = Peer::open(&server);
        peer.send(&asked);
        assert_eq!(peer.read_to_end(), b"");
        let peak = peak_bytes(&server);
        assert!(peak < before + SLACK_BYTES, "{} MiB", (peak - before) / MIB);
    }
    assert_eq!(info(&mut control, "client_output_buffer_limit_disconnections"), 3);
    assert_eq!(control.say("PING"), Reply::simple("PONG"));
}

#[test]
fn a_transaction_beyond_the_limit_has_its_effects_and_ends_the_connection() {
    let (server, mut control) = limited("output-exec");
    for (round, asked) in [many("MGET", "big", 100), many("MGET", "middling", 40_000)].iter().enumerate() {
        let before = forget_peak(&server);
        let mut peer = Peer::open(&server);
        let parts = [
            &line("MULTI"),
            asked,
            &line("INCR inside"),
            &line("LPOP list"),
            &line("EXEC"),
            &line("INCR behind"),
        ];
        peer.send(&parts.map(Vec::as_slice).concat());
        // At most what was answered before: OK and QUEUED.
        assert!(peer.read_to_end().len() < 100);
        assert!(peak_bytes(&server) < before + SLACK_BYTES);
        assert_eq!(control.say("GET inside"), Reply::bulk((round + 1).to_string()));
        assert_eq!(control.say("GET behind"), Reply::Null);
    }
}

#[test]
fn a_served_reply_beyond_the_limit_ends_the_connection() {
    let (server, mut control) = limited("output-served");
    let mut waiting = Peer::open(&server);
    waiting.send(&line("BLMPOP 0 1 queue LEFT COUNT 100"));
    wait_until("it waits", || info(&mut control, "blocked_clients") == 1);
    let before = forget_peak(&server);
    let element = vec![b'e'; 1 << 20];
    let push = [&[b"RPUSH".as_slice(), b"queue"], vec![element.as_slice(); 30].as_slice()].concat();
    assert_eq!(control.call(&push), Reply::Integer(30));
    assert_eq!(waiting.read_to_end(), b"");
    // The elements were sent and stored.
    assert!(peak_bytes(&server) < before + 4 * 30 * MIB);
    assert_eq!(control.say("LLEN queue"), Reply::Integer(0));
    assert_eq!(info(&mut control, "client_output_buffer_limit_disconnections"), 1);
}

#[test]
fn a_monitor_that_does_not_read_is_closed() {
    let (server, mut control) = limited("output-monitor");
    let mut monitor = Peer::open(&server);
    monitor.send(&line("MONITOR"));
    wait_until("it monitors", || find_field(&mut control, "cmd=monitor", "id").is_some());
    let before = forget_peak(&server);
    let text = vec![b't'; 100_000];
    // What the sockets take is less than this.
    for _ in 0..1000 {
        control.call(&[b"ECHO".as_slice(), &text]);
    }
    wait_until("it is closed", || info(&mut control, "client_output_buffer_limit_disconnections") == 1);
    assert!(peak_bytes(&server) < before + SLACK_BYTES);
}

#[test]
fn a_stranger_that_does_not_read_is_closed() {
    let server = ours!().start("output-stranger", "requirepass secret\n");
    let mut control = Client::open(server.port);
    control.say("AUTH secret");
    let before = forget_peak(&server);
    let mut stranger = Peer::open(&server);
    let batch = line("GET key").repeat(10_000);
    let ended = (0..1000).any(|_| stranger.0.write_all(&batch).is_err());
    assert!(ended, "it may go on for ever");
    assert!(peak_bytes(&server) < before + SLACK_BYTES / 4);
    assert_eq!(info(&mut control, "client_output_buffer_limit_disconnections"), 1);
}

#[test]
fn silence_costs_nothing_and_ends_nothing() {
    let (server, _control) = limited("output-silence");
    let before = forget_peak(&server);
    let mut peer = Peer::open(&server);
    for asked in [many("MGET", "big", 100), many("MGET", "middling", 40_000), line("LRANGE list 0 -1")] {
        peer.send(&[line("CLIENT REPLY SKIP"), asked.clone(), line("PING")].concat());
        let mut answer = [0; 7];
        peer.0.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"+PONG\r\n");
        peer.send(&[line("CLIENT REPLY OFF"), asked, line("CLIENT REPLY ON")].concat());
        let mut answer = [0; 5];
        peer.0.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"+OK\r\n");
    }
    assert!(peak_bytes(&server) < before + SLACK_BYTES);
}

#[test]
fn a_long_value_goes_out_as_it_was() {
    let server = ours!().start("output-shared", "threads 2\n");
    let mut control = Client::open(server.port);
    let value = (0..8 << 20).map(|at: u32| (at / 5) as u8).collect::<Vec<u8>>();
    let changes: [&[&[u8]]; 9] = [
        &[b"SET", b"key", b"other"],
        &[b"DEL", b"key"],
        &[b"APPEND", b"key", b"more"],
        &[b"SETRANGE", b"key", b"100", b"other"],
        &[b"SETBIT", b"key", b"7", b"1"],
        &[b"RENAME", b"key", b"elsewhere"],
        &[b"GETDEL", b"key"],
        &[b"COPY", b"key", b"copy"],
        &[b"FLUSHALL"],
    ];
    for change in changes {
        control.say("FLUSHALL");
        control.call(&[b"SET".as_slice(), b"key", &value]);
        // More than the sockets hold, so that most of it goes out when the value has been changed.
        let mut peer = Peer::open(&server);
        let asked = [line("MULTI"), many("MGET", "key", 4), line("GETRANGE key 100 -100"), line("EXEC")];
        peer.send(&[asked.concat(), line("QUIT")].concat());
        await_pending(&mut control, "cmd=exec");
        control.call(change);
        control.say("SETRANGE copy 5 changed");
        let head = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n*4\r\n";
        let expect = [&head[..], &bulk(&value).repeat(4), &bulk(&value[100..value.len() - 99]), b"+OK\r\n"];
        assert!(peer.read_to_end() == expect.concat(), "{}", String::from_utf8_lossy(change[0]));
    }
}

#[test]
fn a_reply_by_reference_takes_no_memory_and_is_counted_once() {
    let server = ours!().start("output-memory", "threads 2\n");
    let mut control = Client::open(server.port);
    for key in ["a", "b"] {
        control.call(&[b"SET".as_slice(), key.as_bytes(), &vec![b'v'; 100 << 20]]);
    }
    let (before, used) = (forget_peak(&server), info(&mut control, "used_memory"));
    let normal = info(&mut control, "mem_clients_normal");
    let mut peer = Peer::open(&server);
    peer.send(&[line("MGET a b a b a b"), line("QUIT")].concat());
    await_pending(&mut control, "cmd=mget");
    assert!(peak_bytes(&server) < before + 16 * MIB);
    assert!(info(&mut control, "used_memory") < used + MIB);
    assert!(client_field(&mut control, "cmd=mget", "omem") < MIB);
    assert!(client_field(&mut control, "cmd=mget", "tot-mem") < MIB);
    assert!(info(&mut control, "mem_clients_normal") < normal + MIB);
    // The last reference is dropped behind the last byte.
    control.say("FLUSHALL");
    assert_eq!(peer.read_to_end().len(), 4 + 6 * (12 + (100 << 20) + 2) + 5);
    wait_until("the values are gone", || info(&mut control, "used_memory") < used - 190 * MIB);
}

#[test]
fn what_is_not_taken_is_told_and_comes_back() {
    let server = ours!().start("output-told", "threads 2\n");
    let mut control = Client::open(server.port);
    let normal = info(&mut control, "mem_clients_normal");
    let element = vec![b'e'; 1000];
    for _ in 0..20 {
        control.call(&[&[b"RPUSH".as_slice(), b"list"], vec![element.as_slice(); 1000].as_slice()].concat());
    }
    let mut peer = Peer::open(&server);
    peer.send(&line("LRANGE list 0 -1"));
    await_pending(&mut control, "cmd=lrange");
    let told = client_field(&mut control, "cmd=lrange", "omem");
    assert!((4 * MIB..24 * MIB).contains(&told), "{told}");
    assert!(client_field(&mut control, "cmd=lrange", "tot-mem") > told);
    assert!(info(&mut control, "mem_clients_normal") > normal + told);
    assert!(client_field(&mut control, "cmd=lrange", "oll") >= told / (64 << 10));
    let mut reply = vec![0; 8 + 20_000 * 1009];
    peer.0.read_exact(&mut reply).expect("the reply");
    for field in ["omem", "oll", "obl"] {
        wait_until(field, || client_field(&mut control, "cmd=lrange", field) == 0);
    }
    assert!(client_field(&mut control, "cmd=lrange", "tot-mem") < 100_000);
}

#[test]
fn requests_wait_while_replies_are_not_taken() {
    let server = ours!().start("output-wait", "threads 2\n");
    let mut control = Client::open(server.port);
    control.call(&[&[b"RPUSH".as_slice(), b"list"], vec![b"element".as_slice(); 1000].as_slice()].concat());
    let before = forget_peak(&server);
    let (mut peer, count, reply_bytes) = (Peer::open(&server), 10_000, 7 + 1000 * 13);
    peer.send(&[line("LRANGE list 0 -1").repeat(count), line("PING")].concat());
    thread::sleep(Duration::from_secs(1));
    assert!(peak_bytes(&server) < before + 16 * MIB, "{} MiB", (peak_bytes(&server) - before) / MIB);
    // It is not forgotten, and the last request is answered last.
    let mut replies = vec![0; count * reply_bytes + 7];
    peer.0.read_exact(&mut replies).expect("all replies");
    assert!(replies.ends_with(b"element\r\n+PONG\r\n"));
}

#[test]
fn a_client_that_sends_everything_before_it_reads_is_not_kept_waiting() {
    let server = ours!().start("output-all-first", "threads 2\n");
    let mut peer = Peer::open(&server);
    let text = vec![b't'; 1000];
    let (count, batch) = (60_000, encode(&[b"ECHO".as_slice(), &text]).repeat(100));
    let (done, is_done) = mpsc::channel();
    let sender = thread::spawn(move || {
        for _ in 0..count / 100 {
            peer.send(&batch);
        }
        done.send(()).expect("the test waits");
        let mut replies = vec![0; count * 1009];
        peer.0.read_exact(&mut replies).expect("all replies");
        assert!(replies == bulk(&text).repeat(count));
    });
    is_done.recv_timeout(Duration::from_secs(120)).expect("the server reads on");
    sender.join().expect("the replies are right");
}

/// An empty request is the one that CLIENT REPLY SKIP skips; what follows it is answered to its last byte, however long.
#[test]
fn a_long_reply_behind_an_empty_request_that_was_skipped_is_whole() {
    let server = ours!().start("output-skip", "save \"\"\n");
    let value = "v".repeat(100_000);
    let mut client = server.connect();
    assert!(!client.call(&["SET", "key", &value]).is_error());
    for empty in ["\r\n", " \r\n", "*0\r\n"] {
        client.send_raw(format!("CLIENT REPLY SKIP\r\n{empty}GET key\r\nPING\r\n").as_bytes()).expect("sent");
        assert_eq!(client.reply().text().len(), value.len(), "{empty:?}");
        assert_eq!(client.reply().text(), "PONG");
    }
}
