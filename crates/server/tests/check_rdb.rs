//! `swytch check-rdb` as a person and as a script use it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use swytch_testkit::{Program, Reply};

fn check(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swytch"));
    command.arg("check-rdb").args(arguments).output().expect("the program runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_sound_file_is_described_and_a_damaged_one_named() {
    let Some(program) = Program::redis() else { return };
    let mut server = program.start("check-rdb", "save \"\"\n");
    for line in [
        "SET plain value",
        "SET expiring value EX 1000",
        "RPUSH list first second third-is-the-longest-of-all-and-longer-than-a-stream-with-an-entry-of-its-own",
        "SELECT 3",
        "SADD numbers 1 2",
        "HSET hash field value",
        "XADD stream 1-1 field value",
    ] {
        assert!(!server.say(line).is_error(), "{line}");
    }
    assert_eq!(server.say("SAVE"), Reply::ok());
    let directory = server.say("CONFIG GET dir").elements()[1].text();
    let file = Path::new(&directory).join("dump.rdb");
    let name = file.display().to_string();

    let output = check(&[&name, "--biggest", "1"]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(text.starts_with(&format!("{name}: sound, RDB version ")), "{text}");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    for row in [["0", "3", "1", "0"], ["3", "3", "0", "0"]] {
        assert!(rows.contains(&row.to_vec()), "no row {row:?} in\n{text}");
    }
    for start in [
        ["string", "plain", "2", "2"],
        ["list", "quicklist", "1", "3"],
        ["set", "intset", "1", "2"],
        ["hash", "listpack", "1", "1"],
        ["stream", "stream", "1", "1"],
    ] {
        assert!(rows.iter().any(|row| row.starts_with(&start)), "no row {start:?} in\n{text}");
    }
    assert_eq!(text.lines().last().and_then(|line| line.split_whitespace().last()), Some("list"));

    let mut bytes = fs::read(&file).expect("the file is there");
    let middle = bytes.len() / 2;
    bytes.truncate(middle);
    fs::write(&file, bytes).expect("the file is ours");
    let output = check(&[&name]);
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).starts_with(&format!("{name}: DAMAGED")), "{}", out(&output));
    // Where what was cut begins: the keys lie in any order.
    let text = err(&output);
    let at = text.split_once("(at byte ").and_then(|(_, rest)| rest.split_once(')')).map(|(at, _)| at);
    let at: usize = at.and_then(|at| at.parse().ok()).unwrap_or_else(|| panic!("no byte in {text}"));
    assert!((middle.saturating_sub(160)..=middle).contains(&at), "byte {at}, cut at {middle}");
}

#[test]
fn what_is_no_rdb_file_is_refused_in_words() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = check(&[manifest]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("begins with neither REDIS nor VALKEY"), "{}", err(&output));
    let output = check(&["no-such-file.rdb"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("cannot read no-such-file.rdb: "), "{}", err(&output));
    for wrong in [&["--biggest", "x", "file"][..], &["--bigest", "3"], &[], &["one", "two"]] {
        assert_eq!(check(wrong).status.code(), Some(2), "{wrong:?}");
    }
    assert!(out(&check(&["--help"])).starts_with("Usage: swytch check-rdb FILE"));
}
