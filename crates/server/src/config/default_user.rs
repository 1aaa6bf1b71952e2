//! `user` lines of a file, as far as they say what this server does anyway.
//!
//! Redis and Valkey write such a line about the default user into every file that CONFIG REWRITE (or Sentinel, through
//! it) has touched: it may do everything, without a password or with that of `requirepass` as a hash. A line that says
//! that, in whatever words, is accepted, and CONFIG REWRITE keeps it true; any other user or restriction is refused.

use sha2::{Digest, Sha256};

/// How the default user is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// Without a password (`nopass`).
    Free,
    /// By this password (`>password`).
    Password(Vec<u8>),
    /// By the password with this SHA-256 (`#hash`).
    Hash([u8; 32]),
}

/// Reads what follows `user`: a name and rules.
///
/// # Errors
/// The reason, when the line says something that this server does not do.
pub(super) fn parse(words: &[Vec<u8>]) -> Result<Login, String> {
    let [name, rules @ ..] = words else { return Err("wrong number of arguments".to_owned()) };
    if name != b"default" {
        return Err(
            "'user' is refused: users other than the default one are not served by this build".to_owned()
        );
    }
    let (mut on, mut keys, mut channels, mut commands) = (false, false, false, false);
    let mut logins = Vec::new();
    for rule in rules {
        match rule.to_ascii_lowercase().as_slice() {
            b"on" => on = true,
            b"~*" | b"allkeys" => keys = true,
            b"&*" | b"allchannels" => channels = true,
            b"+@all" | b"allcommands" => commands = true,
            b"nopass" => logins.push(Login::Free),
            // Every payload is checked before it is used, and every database is open.
            b"sanitize-payload" | b"skip-sanitize-payload" | b"alldbs" => {}
            [b'#', hash @ ..] => logins.push(Login::Hash(parse_hash(hash)?)),
            [b'>', ..] => logins.push(Login::Password(rule[1..].to_vec())),
            _ => {
                let rule = String::from_utf8_lossy(rule);
                return Err(format!("'user default' is refused: '{rule}' is not served by this build"));
            }
        }
    }
    if !(on && keys && channels && commands) {
        let reason = "this build knows no user who may not do everything (on ~* &* +@all)";
        return Err(format!("'user default' is refused: {reason}"));
    }
    match <[Login; 1]>::try_from(logins) {
        Ok([login]) => Ok(login),
        Err(_) => {
            Err("'user default' is refused: it takes 'nopass' or one password, no more and no less"
                .to_owned())
        }
    }
}

/// The password that `login` and `requirepass` amount to together.
///
/// # Errors
/// The reason, when they contradict each other.
pub(super) fn password(login: &Login, requirepass: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, &'static str> {
    let requirepass = requirepass.filter(|password| !password.is_empty());
    match (login, requirepass) {
        (Login::Free, None) => Ok(None),
        (Login::Free, Some(_)) => {
            Err("'user default' is refused: it says nopass, and requirepass sets a password")
        }
        (Login::Password(password), None) => Ok(Some(password.clone())),
        (Login::Password(password), Some(required)) if *password == required => Ok(Some(required)),
        (Login::Hash(hash), Some(required)) if *hash == hash_of(&required) => Ok(Some(required)),
        (Login::Hash(_), None) => Err(
            "'user default' is refused: a password is known only by its hash; give it by requirepass, too",
        ),
        (Login::Password(_) | Login::Hash(_), Some(_)) => {
            Err("'user default' is refused: it has another password than requirepass")
        }
    }
}

/// The line that describes the default user, as Redis writes it.
pub(super) fn line(requirepass: Option<Vec<u8>>) -> Vec<u8> {
    let login = match requirepass.filter(|password| !password.is_empty()) {
        None => "nopass sanitize-payload".to_owned(),
        Some(password) => {
            let digits: String = hash_of(&password).iter().map(|byte| format!("{byte:02x}")).collect();
            format!("sanitize-payload #{digits}")
        }
    };
    format!("user default on {login} ~* &* +@all").into_bytes()
}

fn hash_of(password: &[u8]) -> [u8; 32] {
    Sha256::digest(password).into()
}

fn parse_hash(digits: &[u8]) -> Result<[u8; 32], String> {
    let bad = || "'user default' is refused: a hash is 64 hexadecimal digits".to_owned();
    let text = std::str::from_utf8(digits).map_err(|_| bad())?;
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(bad());
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(0..) {
        *byte = u8::from_str_radix(&text[2 * pair..2 * pair + 2], 16).map_err(|_| bad())?;
    }
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Login, String> {
        let words: Vec<Vec<u8>> = text.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        parse(&words)
    }

    #[test]
    fn what_redis_and_valkey_write_is_understood() {
        for free in [
            "default on nopass sanitize-payload ~* &* +@all",
            "default on nopass ~* &* +@all",
            "default ON nopass allkeys allchannels allcommands",
            "default on nopass ~* &* alldbs +@all",
        ] {
            assert_eq!(read(free), Ok(Login::Free), "{free}");
        }
        // SHA-256 of "abc" (FIPS 180-2).
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let login = read(&format!("default on sanitize-payload #{hash} ~* &* +@all")).expect("understood");
        assert_eq!(password(&login, Some(b"abc".to_vec())), Ok(Some(b"abc".to_vec())));
        assert!(password(&login, Some(b"abd".to_vec())).is_err());
        assert!(password(&login, None).is_err());
        assert_eq!(
            line(Some(b"abc".to_vec())),
            format!("user default on sanitize-payload #{hash} ~* &* +@all").into_bytes()
        );
        let login = read("default on >Pass ~* &* +@all").expect("understood");
        assert_eq!(password(&login, None), Ok(Some(b"Pass".to_vec())));
        assert_eq!(password(&Login::Free, Some(Vec::new())), Ok(None));
        assert!(password(&Login::Free, Some(b"abc".to_vec())).is_err());
    }

    #[test]
    fn whatever_restricts_is_refused() {
        for text in [
            "alice on nopass ~* &* +@all",
            "default off nopass ~* &* +@all",
            "default nopass ~* &* +@all",
            "default on nopass ~* +@all",
            "default on nopass ~x* &* +@all",
            "default on nopass ~* &* +@all -flushall",
            "default on nopass ~* &* +@read",
            "default on ~* &* +@all",
            "default on >a >b ~* &* +@all",
            "default on #123 ~* &* +@all",
            "default on nopass ~* &* +@all (+@read ~x)",
            "default",
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains("is refused"), "{text}: {error}");
        }
    }
}
