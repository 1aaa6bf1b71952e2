//! `swytch check-aof` as a person and as a script use it.

use std::path::{Path, PathBuf};
use std::process::Command;

use swytch_testkit::{Reply, ours, scratch};

/// Whether it was content, and what it said.
fn check(path: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swytch"));
    let output = command.arg("check-aof").arg(path).args(arguments).output().expect("the program runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

const SET: &str = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n";
const MULTI: &str = "*1\r\n$5\r\nMULTI\r\n";
const EXEC: &str = "*1\r\n$4\r\nEXEC\r\n";

#[test]
fn what_is_not_whole_is_told_with_its_place_and_cut_off_when_asked() {
    let file = scratch("check-aof").join("log.aof");
    let whole = format!("{SET}#TS:1700000000\r\n{MULTI}{SET}{SET}{EXEC}");
    for (more, why) in [
        ("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$10\r\nshort".to_owned(), "in the middle of a command"),
        (format!("{MULTI}{SET}"), "in the middle of a transaction"),
        ("*3\r\n+no\r\n".to_owned(), "there is no command at byte"),
        ("*99999999999999\r\n".to_owned(), "there is no command at byte"),
        ("*1\r\n$99999999999\r\nx".to_owned(), "there is no command at byte"),
    ] {
        std::fs::write(&file, format!("{whole}{more}")).expect("it is writable");
        let (is_sound, text) = check(&file, &[]);
        let place = format!("DAMAGED behind byte {}: ", whole.len());
        assert!(!is_sound && text.contains(&place) && text.contains(why), "{more:?}: {text}");
        let (is_sound, text) = check(&file, &["--fix"]);
        assert!(is_sound && text.contains(&format!("{} bytes were cut off", more.len())), "{text}");
        let left = std::fs::read_to_string(&file).expect("it is readable");
        assert_eq!(left, whole);
        let (is_sound, text) = check(&file, &[]);
        assert!(is_sound && text.contains("sound, 5 commands"), "{text}");
    }
    std::fs::write(&file, "REDIS0011\x7f").expect("it is writable");
    let (is_sound, text) = check(&file, &["--fix"]);
    assert!(!is_sound && text.contains("nothing is left"), "{text}");
    assert_eq!(std::fs::metadata(&file).expect("it is there").len(), 10, "a base is not cut");
}

#[test]
fn a_log_is_read_by_its_manifest_and_a_server_starts_from_what_was_cut() {
    let mut server = ours!().start("check-aof-log", "appendonly yes\nappendfsync always\nsave \"\"\n");
    server.say("SET a 1");
    assert!(!server.say("BGREWRITEAOF").is_error());
    server.say("SET b 2");
    let folder = PathBuf::from(server.say("CONFIG GET dir").elements()[1].text()).join("appendonlydir");
    let manifest = folder.join("appendonly.aof.manifest");
    server.client.until(
        "the log was written anew",
        |client| client.info_number("aof_rewrite_in_progress"),
        |now| *now == 0,
    );
    let (is_sound, text) = check(&manifest, &[]);
    assert!(is_sound && text.lines().count() == 2 && text.contains(" keys and "), "{text}");
    // Behind the last command there is half of another one.
    let last = std::fs::read_dir(&folder).expect("it is there").flatten().map(|entry| entry.path());
    let last = last.filter(|path| path.to_string_lossy().ends_with(".incr.aof")).max().expect("it has one");
    server.kill();
    let bytes = std::fs::read(&last).expect("it is readable");
    std::fs::write(&last, [&bytes[..], b"*3\r\n$3\r\nSE"].concat()).expect("it is writable");
    assert!(!check(&manifest, &[]).0);
    assert!(check(&manifest, &["--fix"]).0);
    assert_eq!(std::fs::read(&last).expect("it is readable"), bytes);
    let text = format!(
        "appendonly yes\nsave \"\"\naof-load-truncated no\ndir {}\n",
        folder.parent().expect("one").display()
    );
    let mut again = ours!().start("check-aof-again", &text);
    again.client.until("the data is loaded", |client| client.info_number("loading") == 0, |held| *held);
    assert_eq!(again.say("GET b"), Reply::bulk("2"));
}
