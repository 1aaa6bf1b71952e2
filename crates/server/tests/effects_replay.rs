//! Every change of the keyspace is an effect: what many clients do at once, with transactions, blocking pops and
//! keys that expire, is recorded; the recording alone gives another server the same keyspace.

#[path = "support/forms.rs"]
mod forms;

use std::collections::BTreeSet;
use std::path::Path;

use forms::{COMMANDS, DATABASES, FORMS, KEYS_PER_NAME, NAMES, RARE_FORMS, disturb};
use swytch_testkit::{Random, Reply, Server, ours, replay::replay};

/// The names of all write commands that the server has.
fn write_commands(server: &mut Server) -> BTreeSet<String> {
    let Reply::Array(commands) = server.say("COMMAND") else { panic!("COMMAND answers an array") };
    let written = |command: &Reply| {
        let Reply::Array(fields) = command else { panic!("{command:?}") };
        let Reply::Array(flags) = &fields[2] else { panic!("{fields:?}") };
        let Reply::Bulk(name) = &fields[0] else { panic!("{fields:?}") };
        flags.contains(&Reply::simple("write")).then(|| String::from_utf8_lossy(name).into_owned())
    };
    commands.iter().filter_map(written).collect()
}

#[test]
fn the_forms_above_are_of_every_write_command_there_is() {
    let mut server = ours!().start("effects-forms", "");
    let covered: BTreeSet<String> = FORMS
        .iter()
        .chain(RARE_FORMS)
        .map(|form| form.split(' ').next().unwrap_or_default().to_lowercase())
        .collect();
    let missing: Vec<String> = write_commands(&mut server).difference(&covered).cloned().collect();
    assert!(missing.is_empty(), "give a form of {missing:?}, or their effects go unproved");
}

#[test]
fn the_recorded_effects_of_many_clients_give_the_same_keyspace() {
    let file = "enable-debug-command yes\nthreads 4\n";
    let mut server = ours!().start("effects", file);
    let mut random = Random::from_environment();
    let recording = server.directory.join("effects.resp");
    let path = recording.to_str().expect("a path in UTF-8").to_owned();
    // What was there before is part of the stream only if it is made while recording.
    assert_eq!(server.say(&format!("DEBUG RECORD-EFFECTS {path}")), Reply::ok());
    disturb(server.port, &mut random, COMMANDS, |_| true);
    // The last of the commands above may have been a flush.
    server.say("SET string:0 last");
    let (digest, expiries) = stop_recording(&mut server);
    let empty = "0".repeat(40);
    assert_ne!(digest, empty, "a keyspace with something in it");

    let mut other = ours!().start("effects-replayed", file);
    let replayed = replay(Path::new(&path), other.port).expect("the recording can be sent");
    assert_eq!(replayed.errors, Vec::<String>::new());
    assert!(replayed.replies > 1000, "{} replies", replayed.replies);
    assert_eq!(replayed.digest, digest);
    assert_eq!(all_expiries(&mut other), expiries);
}

/// Ends the recording and, before anything can change, tells the digest.
fn stop_recording(server: &mut Server) -> (String, Vec<Reply>) {
    server.say("MULTI");
    server.say("DEBUG RECORD-EFFECTS STOP");
    server.say("DEBUG DIGEST");
    // From here on, keys that have expired stay too, and their expiries can be read.
    server.say("DEBUG SET-ACTIVE-EXPIRE 0");
    let Reply::Array(replies) = server.say("EXEC") else { panic!("EXEC answers an array") };
    let [stopped, digest, _] = &replies[..] else { panic!("{replies:?}") };
    assert_eq!(*stopped, Reply::ok());
    let digest = digest.text();
    (digest, all_expiries(server))
}

/// When each key expires, in every database; those included whose time is over.
fn all_expiries(server: &mut Server) -> Vec<Reply> {
    server.say("DEBUG REPLAY ON");
    let mut expiries = Vec::new();
    for db in 0..DATABASES {
        server.say(&format!("SELECT {db}"));
        for name in NAMES {
            for number in 0..KEYS_PER_NAME {
                expiries.push(server.say(&format!("PEXPIRETIME {name}:{number}")));
            }
        }
    }
    expiries
}

#[test]
fn a_recording_is_begun_once_and_ended_once() {
    let mut server = ours!().start("effects-switch", "enable-debug-command yes\n");
    let path = server.directory.join("effects.resp");
    let start = format!("DEBUG RECORD-EFFECTS {}", path.display());
    let stop = "DEBUG RECORD-EFFECTS STOP";
    assert!(matches!(server.say(stop), Reply::Error(_)));
    assert_eq!(server.say(&start), Reply::ok());
    assert!(matches!(server.say(&start), Reply::Error(_)));
    server.say("SET key value EX 100");
    server.say("GET key");
    assert_eq!(server.say(stop), Reply::ok());
    server.say("SET key unrecorded");
    let recorded = String::from_utf8_lossy(&std::fs::read(&path).expect("it was written")).into_owned();
    assert!(
        recorded.starts_with("*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*5\r\n$3\r\nSET\r\n$3\r\nkey\r\n"),
        "{recorded:?}"
    );
    assert!(!recorded.contains("unrecorded"));
    assert!(matches!(server.say(&start), Reply::Error(_)), "a file that is there is not overwritten");
}
