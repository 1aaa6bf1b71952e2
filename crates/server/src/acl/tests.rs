//! What rules mean, without a server.

use super::*;
use crate::command::CommandTable;

fn names() -> &'static dyn Names {
    CommandTable::new(crate::commands::SPECS, &[]).expect("names of one command each")
}

fn rights(rules: &str) -> Rights {
    let mut rights = Rights::none(false, names());
    for rule in merge_words(&rules.split(' ').map(str::as_bytes).collect::<Vec<_>>()).expect("balanced") {
        rights.apply(&rule, false, names()).unwrap_or_else(|error| panic!("{rules}: {error}"));
    }
    rights
}

#[test]
fn what_describes_rights_makes_the_same_ones() {
    for rules in [
        "on nopass +@all ~* &*",
        "on >one >two -@all +@read -get +config|get +select|0 %R~a* %W~b* ~c &d",
        "off +@all -@dangerous +flushall (+get ~x &*) (+@set -sadd %R~y*)",
        "+cluster -psync skip-sanitize-payload allkeys",
        "on +@all db=3,0,15,3 (+get ~x resetdbs) (alldbs +set)",
    ] {
        let once = rights(rules);
        let text = String::from_utf8(once.describe()).expect("ascii");
        let again = rights(&format!("reset {text}"));
        assert_eq!(again, once, "{text}");
    }
}

#[test]
fn a_rule_voids_those_before_it_about_the_same_and_its_subcommands() {
    for (rules, described) in [
        ("+get -get +get", "-@all +get"),
        ("+config|get +config|set -config", "-@all -config"),
        ("-config +config|get", "-@all -config +config|get"),
        ("+@read +@write -@read", "-@all +@write -@read"),
        ("+get +@all", "+@all"),
        ("+@all -get -@all", "-@all"),
        ("+select|0 +select|1 +select", "-@all +select"),
    ] {
        let described_now = rights(rules).selectors()[0].describe_commands();
        assert_eq!(String::from_utf8_lossy(&described_now), described, "{rules}");
    }
}

#[test]
fn a_user_is_known_to_be_free_as_long_as_it_is() {
    let users = Users::new(names());
    let free = |rules: &str| {
        let words: Vec<&[u8]> = rules.split(' ').map(str::as_bytes).collect();
        users.set(b"default", &words, false).expect("rules").is_free()
    };
    assert!(users.default().is_free());
    for rules in ["-get", "resetkeys", "resetchannels", "resetdbs", "db=0,1", "+@all -@all", "reset"] {
        assert!(!free(rules), "{rules}");
        assert!(free("reset on nopass +@all ~* &*"), "after {rules}");
    }
}

#[test]
fn a_rule_about_databases_is_a_list_of_numbers_and_replaces_the_one_before() {
    let described = |rules: &str| {
        let databases = rights(rules).selectors()[0].describe_databases();
        databases.map(|text| String::from_utf8(text).expect("ascii"))
    };
    assert_eq!(described("alldbs"), None);
    assert_eq!(described("db=1,0,1 DB=15,2").as_deref(), Some("db=2,15"));
    assert_eq!(described("db=1 resetdbs").as_deref(), Some("resetdbs"));
    assert_eq!(described("db=1 alldbs"), None);
    for (rule, error) in [
        ("db=", RuleError::Syntax),
        ("db=,0", RuleError::Syntax),
        ("db=0,,1", RuleError::Syntax),
        ("db=0,x", RuleError::Syntax),
        ("db=-1", RuleError::OutOfRange),
        ("db=2147483648", RuleError::OutOfRange),
    ] {
        assert_eq!(Rights::none(false, names()).apply(rule.as_bytes(), false, names()), Err(error), "{rule}");
    }
}

#[test]
fn what_was_seen_of_a_user_is_looked_at_anew_after_a_change() {
    let users = Users::new(names());
    let (mut seen, user) = (Seen::default(), users.set(b"alice", &[b"+get"], false).expect("a rule"));
    let before = std::sync::Arc::clone(user.look(&mut seen));
    assert!(std::sync::Arc::ptr_eq(&before, user.look(&mut seen)));
    users.set(b"alice", &[b"+set"], false).expect("a rule");
    assert_ne!(&before, user.look(&mut seen));
}

#[test]
fn only_the_password_lets_in_and_only_who_is_on() {
    let users = Users::new(names());
    users.set(b"alice", &[b"on", b">pw"], false).expect("rules");
    let log_in = |name: &[u8], password: &[u8]| users.log_in(name, password, |_| ());
    assert!(
        log_in(b"alice", b"pw")
            && !log_in(b"alice", b"p")
            && !log_in(b"alice", b"")
            && !log_in(b"bob", b"pw")
    );
    users.set(b"alice", &[b"off"], false).expect("a rule");
    assert!(!log_in(b"alice", b"pw"));
    users.set(b"alice", &[b"on", b"nopass"], false).expect("rules");
    assert!(log_in(b"alice", b"whatever"));
    users.set(b"alice", &[b"resetpass"], false).expect("a rule");
    assert!(!log_in(b"alice", b"pw") && !log_in(b"alice", b""));
}
