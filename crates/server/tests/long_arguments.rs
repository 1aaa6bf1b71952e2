//! Arguments that are read into memory of their own: whole however they arrive, and kept without a copy.

use swytch_testkit::client::encode;
use swytch_testkit::{Client, Random, Reply, Server, ours};

fn start(name: &str) -> Server {
    ours!().start(name, "save \"\"\n")
}

fn bulk(bytes: &[u8]) -> Reply {
    Reply::Bulk(bytes.to_vec())
}

fn ok() -> Reply {
    Reply::Simple("OK".into())
}

/// Sends bytes in pieces of random lengths, some of them far apart in size.
fn send_in_pieces(client: &mut Client, random: &mut Random, bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let longest = [3, 1000, 40_000, 300_000][random.below(4)];
        let (piece, after) = rest.split_at((1 + random.below(longest)).min(rest.len()));
        client.send_raw(piece).expect("a socket");
        rest = after;
    }
}

#[test]
fn they_are_whole_however_they_arrive() {
    let server = start("long-pieces");
    let mut client = server.connect();
    let mut random = Random::from_environment();
    for round in 0..60 {
        let lengths = [0, 1, 5_000, 32_767, 32_768, 32_769, 70_000, 400_000];
        let values: Vec<Vec<u8>> = (0..1 + random.below(5))
            .map(|number| vec![b'a' + (round + number) as u8 % 26; lengths[random.below(lengths.len())]])
            .collect();
        let names: Vec<Vec<u8>> = (0..values.len()).map(|number| format!("k{number}").into_bytes()).collect();
        let mut set = vec![b"MSET".to_vec()];
        set.extend(names.iter().zip(&values).flat_map(|(name, value)| [name.clone(), value.clone()]));
        let mut get = vec![b"MGET".to_vec()];
        get.extend(names);
        let found = Reply::Array(values.iter().map(|value| bulk(value)).collect());
        let mut bytes = encode(&set);
        bytes.extend(encode(&get));
        let queued = random.below(2) == 1;
        if queued {
            bytes = [encode(&["MULTI"]), bytes, encode(&["EXEC"])].concat();
        }
        send_in_pieces(&mut client, &mut random, &bytes);
        if queued {
            let answers: Vec<Reply> = (0..4).map(|_| client.reply()).collect();
            assert_eq!(answers[3], Reply::Array(vec![ok(), found]), "round {round}");
        } else {
            assert_eq!([client.reply(), client.reply()], [ok(), found], "round {round}");
        }
    }
}

#[test]
fn what_follows_them_is_not_theirs() {
    let server = start("long-pipelines");
    let (mut client, mut admin) = (server.connect(), server.connect());
    let (value, other) = (vec![b'v'; 40_000], vec![b'w'; 40_000]);
    let first = encode(&[b"SET".as_slice(), b"k", &value]);
    // The argument has arrived, the end of its line has not: what comes then is as long as the argument.
    let (argument, line_end) = first.split_at(first.len() - 2);
    client.send_raw(&argument[..100]).expect("a socket");
    let read = admin.info_number("total_net_input_bytes") as usize;
    client.send_raw(&argument[100..]).expect("a socket");
    let wanted = read + argument.len() - 100;
    admin.until("read", |admin| admin.info_number("total_net_input_bytes") as usize, |now| *now >= wanted);
    let mut rest = line_end.to_vec();
    rest.extend(encode(&[b"SET".as_slice(), b"l", &other]));
    rest.extend(encode(&["MGET", "k", "l"]));
    client.send_raw(&rest).expect("a socket");
    let answers = [client.reply(), client.reply(), client.reply()];
    assert_eq!(answers, [ok(), ok(), Reply::Array(vec![bulk(&value), bulk(&other)])]);
}

#[test]
fn a_value_is_not_copied_on_its_way() {
    const MIB: usize = 1 << 20;
    let server = start("long-peak");
    let mut client = server.connect();
    let value = vec![b'v'; 64 * MIB];
    assert_eq!(client.call(&[b"SET", b"k".as_slice(), &value]), ok());
    let peak = client.info_number("used_memory_peak") as usize;
    // While it arrives its memory grows, at most once from a half.
    assert!(peak < 110 * MIB, "{peak} bytes for a value of {} bytes", value.len());
    let used = client.info_number("used_memory") as usize;
    assert!(used < 67 * MIB, "{used} bytes are kept");
    client.call(&["MULTI"]);
    client.call(&[b"SET", b"k".as_slice(), &value]);
    client.call(&["EXEC"]);
    let peak = client.info_number("used_memory_peak") as usize;
    assert!(peak < 170 * MIB, "{peak} bytes for a second value of {} bytes", value.len());
}

#[test]
fn what_the_server_keeps_is_the_keys_own() {
    let server = start("long-own");
    let mut client = server.connect();
    let value = vec![b'v'; 100_000];
    let mut changed = value.clone();
    changed.push(b'x');
    changed[0] = b'y';
    let append: [&[u8]; 3] = [b"APPEND", b"a", b"x"];
    let set_range: [&[u8]; 4] = [b"SETRANGE", b"a", b"0", b"y"];
    client.send_all(&[
        vec![b"MULTI".as_slice()],
        vec![b"SET", b"a", &value],
        append.to_vec(),
        set_range.to_vec(),
        vec![b"SET", b"b", &value],
        vec![b"EXEC"],
    ]);
    let answers: Vec<Reply> = (0..6).map(|_| client.reply()).collect();
    let done = vec![ok(), Reply::Integer(100_001), Reply::Integer(100_001), ok()];
    assert_eq!(answers[5], Reply::Array(done));
    assert_eq!(client.call(&["MGET", "a", "b"]), Reply::Array(vec![bulk(&changed), bulk(&value)]));
}
