//! Which arguments are secrets: they are not shown by SLOWLOG and MONITOR.

use super::Args;
use crate::config::Config;

/// What stands in place of a secret.
pub const REDACTED: &[u8] = b"(redacted)";

/// The argument, or [`REDACTED`] if it is a password or may hold one.
pub fn shown<'a>(args: &Args<'a>, index: usize) -> &'a [u8] {
    if is_secret(args, index) { REDACTED } else { args.get(index) }
}

fn is_secret(args: &Args<'_>, index: usize) -> bool {
    let word = |at: usize, word: &str| {
        args.try_get(at).is_some_and(|argument| argument.eq_ignore_ascii_case(word.as_bytes()))
    };
    if index == 0 {
        false
    } else if word(0, "auth") {
        true
    } else if word(0, "hello") {
        // HELLO version AUTH user password
        (index >= 3 && word(index - 1, "auth")) || (index >= 4 && word(index - 2, "auth"))
    } else if word(0, "config") {
        let is_value = index >= 3 && index % 2 == 1;
        is_value && word(1, "set") && Config::is_sensitive(args.get(index - 1))
    } else if word(0, "acl") {
        index >= 2 && (word(1, "setuser") || word(1, "getuser") || word(1, "deluser"))
    } else if word(0, "migrate") {
        (word(index - 1, "auth") || word(index - 1, "auth2")) || (index >= 2 && word(index - 2, "auth2"))
    } else {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::OwnedArgs;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let owned = OwnedArgs::from_words(&words);
        let args = owned.as_args();
        let shown: Vec<_> =
            (0..args.len()).map(|index| String::from_utf8_lossy(shown(&args, index))).collect();
        assert_eq!(shown.join(" "), expected);
    }

    #[test]
    fn passwords_are_not_shown() {
        check("auth pw", "auth (redacted)");
        check("AUTH user pw", "AUTH (redacted) (redacted)");
        check("hello 3 AUTH user pw SETNAME auth", "hello 3 AUTH (redacted) (redacted) SETNAME auth");
        check("config set RequirePass pw port 1", "config set RequirePass (redacted) port 1");
        check("config get requirepass", "config get requirepass");
        check("acl setuser a >pw", "acl setuser (redacted) (redacted)");
        check("acl whoami", "acl whoami");
        check("migrate h 1 k 0 9 AUTH2 u p", "migrate h 1 k 0 9 AUTH2 (redacted) (redacted)");
        check("set auth pw", "set auth pw");
    }
}
