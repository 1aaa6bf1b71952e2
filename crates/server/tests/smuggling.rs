//! What ends a connection is found at one byte, however the bytes are cut: requests before it are answered, nothing
//! behind it runs. The same bytes in any cuts give the same replies and the same end, here and on a real Redis.

use std::time::Duration;

use swytch_testkit::client::encode;
use swytch_testkit::random::{self, Random};
use swytch_testkit::{Program, Reply, Server, ours};

/// Long enough for a reply on a busy machine; only a connection that stays open waits for it.
const SILENCE: Duration = Duration::from_millis(300);

fn start(program: &Program) -> Server {
    program.start("smuggling", "proto-max-bulk-len 1mb\nsave \"\"\n")
}

/// Sends `bytes` in the given cuts; what was answered, and whether the connection ended.
fn talk(server: &Server, bytes: &[u8], cuts: &[usize]) -> (String, bool) {
    let mut client = server.connect();
    client.socket().set_nodelay(true).expect("a socket");
    let mut from = 0;
    for to in cuts.iter().copied().chain([bytes.len()]) {
        // It may have ended already.
        let _ = client.send_raw(&bytes[from..to]);
        from = to;
        if to < bytes.len() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    let (replies, closed) = client.receive_all(SILENCE);
    (String::from_utf8_lossy(&replies).into_owned(), closed)
}

#[test]
fn a_value_that_is_refused_behind_other_requests_does_not_run() {
    let server = start(&ours!());
    server.connect().call(&["SET", "kept", "1"]);
    let mut value = vec![b'x'; 2 << 20];
    let hidden = b"\r\n*1\r\n$8\r\nFLUSHALL\r\n";
    for at in (0..value.len() - hidden.len()).step_by(4096) {
        value[at..at + hidden.len()].copy_from_slice(hidden);
    }
    let mut bytes = b"PING\r\n".to_vec();
    bytes.extend_from_slice(&encode(&[b"SET".as_slice(), b"k", &value]));
    let mut client = server.connect();
    // The server does not wait for the end of it.
    let _ = client.send_raw(&bytes);
    let (replies, closed) = client.receive_all(SILENCE);
    let replies = String::from_utf8_lossy(&replies).into_owned();
    assert!(closed, "still open after {replies}");
    // What the peer sent and nobody read may have made the system drop replies on their way.
    let whole = "+PONG\r\n-ERR Protocol error: invalid bulk length\r\n";
    assert!(whole.starts_with(&replies), "{replies}");
    assert_eq!(server.connect().call(&["DBSIZE"]), Reply::Integer(1));
}

#[test]
fn nothing_runs_behind_what_ends_a_connection() {
    let ours = start(&ours!());
    let redis = Program::redis().map(|program| start(&program));
    let owned = "*3\r\n$3\r\nSET\r\n$5\r\nowned\r\n$1\r\n1\r\n";
    for end in [
        "*2147483648\r\n",
        "*x\r\n",
        "*2\r\n$3\r\nGET\r\n$-1\r\n",
        "*2\r\n$3\r\nGET\r\n$1048577\r\n",
        "*2\r\n$3\r\nGET\r\n:1\r\n",
        "SET a \"b\r\n",
        "QUIT\r\n",
        "*1\r\n$4\r\nQUIT\r\n",
    ] {
        for before in ["", "PING\r\n", "*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n"] {
            for inline in [false, true] {
                let behind = if inline { "SET owned 2\r\n" } else { owned };
                let bytes = format!("{before}{end}{behind}");
                let (replies, closed) = talk(&ours, bytes.as_bytes(), &[]);
                assert!(closed, "{bytes:?} left the connection open after {replies:?}");
                if let Some(redis) = &redis {
                    assert_eq!((replies, closed), talk(redis, bytes.as_bytes(), &[]), "{bytes:?}");
                }
                assert_eq!(ours.connect().call(&["EXISTS", "owned"]), Reply::Integer(0), "{bytes:?}");
            }
        }
    }
}

/// A request or what is meant to break the protocol, of few bytes so that errors and cuts meet often.
fn piece(random: &mut Random) -> Vec<u8> {
    let list: &[&[u8]] = &[
        b"PING\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\na\r\n\r\n",
        b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n",
        b"*0\r\n",
        b"\r\n",
        b"ECHO \"a b\"\r\n",
        b"*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$18\r\nproto-max-bulk-len\r\n",
        b"*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$18\r\nproto-max-bulk-len\r\n$3\r\n2mb\r\n",
        b"*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$18\r\nproto-max-bulk-len\r\n$3\r\n1mb\r\n",
        b"*1\r\n$5\r\nMULTI\r\n",
        b"*1\r\n$4\r\nEXEC\r\n",
        b"*1\r\n$7\r\nDISCARD\r\n",
        b"NOSUCH a b\r\n",
        b"*2\r\n$4\r\nECHO\r\n$-5\r\n",
        b"*2\r\n$4\r\nECHO\r\n$1500000\r\n",
        b"*2\r\n$4\r\nECHO\r\nx\r\n",
        b"*1048577000000\r\n",
        b"*-7\r\n",
        b"'open\r\n",
        b"QUIT\r\n",
        b"RESET\r\n",
    ];
    random.pick(list).to_vec()
}

#[test]
fn the_same_bytes_in_any_cuts_end_the_same_way() {
    let seed = random::seed();
    let mut random = Random::new(seed);
    let ours = start(&ours!());
    let redis = Program::redis().map(|program| start(&program));
    for _ in 0..40 {
        let mut bytes = Vec::new();
        for _ in 0..1 + random.below(8) {
            bytes.extend(piece(&mut random));
        }
        // So that nobody has to wait for silence.
        bytes.extend_from_slice(b"QUIT\r\n");
        let mut reference = None;
        let servers = std::iter::once(&ours).chain(&redis);
        for server in servers {
            for round in 0..3 {
                let cuts = match round {
                    0 => Vec::new(),
                    _ => {
                        let mut cuts: Vec<usize> =
                            (0..3).map(|_| random.below(bytes.len() as u64) as usize).collect();
                        cuts.sort_unstable();
                        cuts
                    }
                };
                let mut other = server.connect();
                other.call(&["FLUSHALL"]);
                other.call(&["CONFIG", "SET", "proto-max-bulk-len", "1mb"]);
                let found = talk(server, &bytes, &cuts);
                let shown = String::from_utf8_lossy(&bytes).into_owned();
                let expected = reference.get_or_insert_with(|| found.clone());
                assert_eq!(&found, expected, "{shown:?} cut at {cuts:?} by seed {seed}");
            }
        }
    }
}

#[test]
fn a_client_that_wants_no_replies_is_told_nothing_and_still_let_go() {
    let ours = start(&ours!());
    let redis = Program::redis().map(|program| start(&program));
    let pong = "+PONG\r\n";
    for (bytes, expected, ends) in [
        // An empty request is the one that is skipped.
        ("CLIENT REPLY SKIP\r\n*0\r\nPING\r\n", pong, false),
        ("CLIENT REPLY SKIP\r\n\r\nPING\r\n", pong, false),
        ("CLIENT REPLY SKIP\r\n*-5\r\nPING\r\n", pong, false),
        ("CLIENT REPLY SKIP\r\nPING\r\n*0\r\nPING\r\n", pong, false),
        ("CLIENT REPLY SKIP\r\nCLIENT REPLY SKIP\r\n\r\nPING\r\n", pong, false),
        ("CLIENT REPLY OFF\r\n\r\nPING\r\nCLIENT REPLY ON\r\n", "+OK\r\n", false),
        ("CLIENT REPLY SKIP\r\nRESET\r\nPING\r\n", pong, false),
        ("CLIENT REPLY OFF\r\nRESET\r\n", "+RESET\r\n", false),
        ("CLIENT REPLY SKIP\r\nCLIENT REPLY OFF\r\nRESET\r\n", "+RESET\r\n", false),
        // The end of a connection is not said either.
        ("CLIENT REPLY OFF\r\nQUIT\r\nPING\r\n", "", true),
        ("CLIENT REPLY SKIP\r\nQUIT\r\nPING\r\n", "", true),
        ("CLIENT REPLY OFF\r\n*x\r\nPING\r\n", "", true),
        ("CLIENT REPLY SKIP\r\n*1\r\nx\r\nPING\r\n", "", true),
        ("CLIENT REPLY SKIP\r\n\r\n*x\r\n", "-ERR Protocol error: invalid multibulk length\r\n", true),
    ] {
        for cuts in [vec![], vec![bytes.len() / 2], (1..bytes.len()).step_by(7).collect()] {
            assert_eq!(talk(&ours, bytes.as_bytes(), &cuts), (expected.to_owned(), ends), "{bytes:?}");
        }
        if let Some(redis) = &redis {
            // It keeps a connection that has ended in silence until the client goes.
            assert_eq!(talk(redis, bytes.as_bytes(), &[]).0, expected, "{bytes:?}");
        }
    }
}

#[test]
fn errors_quote_the_bytes_that_were_sent() {
    let ours = start(&ours!());
    let redis = Program::redis().map(|program| start(&program));
    for request in [
        encode(&[&b"NO\xffS\r\nUCH"[..], b"a\x80", b"b\0c", b"\n"]),
        encode(&[&b"NO\0SUCH"[..], &[0xfe; 200]]),
        encode(&[&[0xff; 200][..], &[0xfe; 100], &[0xfd; 100]]),
        encode(&[&b"CLIENT"[..], b"\xc3\x28\0x"]),
        encode(&[&b"CLIENT"[..], &[0xff; 200]]),
        encode(&[&b"CLIENT"[..], b"LIST", b"TYPE", b"\xff\r\n"]),
        encode(&[&b"CLIENT"[..], b"KILL", b"USER", b"\xff"]),
        encode(&[&b"ACL"[..], b"CAT", b"\xff\n"]),
        encode(&[&b"CONFIG"[..], b"SET", b"\xff\0x", b"1"]),
        encode(&[&b"CONFIG"[..], b"SET", b"a\r\nb", b"1"]),
        encode(&[&b"EXPIRE"[..], b"k", b"1", b"\xff"]),
        encode(&[&b"HELLO"[..], b"3", b"\xff\r"]),
        encode(&[&b"FUNCTION"[..], b"LIST", b"\xff"]),
        encode(&[&b"LATENCY"[..], b"GRAPH", b"\xff"]),
        b"*1\r\n\xff1\r\nx\r\n".to_vec(),
    ] {
        let answer = |server: &Server| {
            let mut client = server.connect();
            client.send_raw(&request).expect("a socket");
            client.receive_exact().expect("an answer").escape_ascii().to_string()
        };
        let ours = answer(&ours);
        assert!(!ours.contains("\\xef\\xbf\\xbd"), "{ours}");
        if let Some(redis) = &redis {
            assert_eq!(ours, answer(redis), "{}", request.escape_ascii());
        }
    }
}

#[test]
fn an_inline_argument_with_a_nul_byte_is_whole() {
    let server = start(&ours!());
    let mut client = server.connect();
    client.send_raw(b"SET k a\0b\r\n").expect("a socket");
    assert_eq!(client.reply(), Reply::Simple("OK".into()));
    assert_eq!(client.call_exact(&["GET", "k"]), b"$3\r\na\0b\r\n");
}
