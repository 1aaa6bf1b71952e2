//! The first line of a script or library, `#!lua name=... flags=...`, and the flags of scripts and functions.

/// What a script says of itself: a set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptFlags(u8);

impl ScriptFlags {
    /// It does not write.
    pub const NO_WRITES: ScriptFlags = ScriptFlags(1 << 0);
    /// It may run when memory is over its limit.
    pub const ALLOW_OOM: ScriptFlags = ScriptFlags(1 << 1);
    /// It may run on a replica with stale data.
    pub const ALLOW_STALE: ScriptFlags = ScriptFlags(1 << 2);
    /// It does not run in a cluster.
    pub const NO_CLUSTER: ScriptFlags = ScriptFlags(1 << 3);
    /// Its keys may be in different slots.
    pub const ALLOW_CROSS_SLOT_KEYS: ScriptFlags = ScriptFlags(1 << 4);

    /// The flags with their names, in the order in which they are listed.
    pub const NAMES: [(ScriptFlags, &'static str); 5] = [
        (ScriptFlags::NO_WRITES, "no-writes"),
        (ScriptFlags::ALLOW_OOM, "allow-oom"),
        (ScriptFlags::ALLOW_STALE, "allow-stale"),
        (ScriptFlags::NO_CLUSTER, "no-cluster"),
        (ScriptFlags::ALLOW_CROSS_SLOT_KEYS, "allow-cross-slot-keys"),
    ];

    /// The flag of this name.
    pub fn named(name: &[u8]) -> Option<ScriptFlags> {
        ScriptFlags::NAMES.iter().find(|(_, known)| known.as_bytes() == name).map(|(flag, _)| *flag)
    }

    /// Whether all of `flags` are among these.
    pub fn contains(self, flags: ScriptFlags) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Both.
    pub fn with(self, flags: ScriptFlags) -> ScriptFlags {
        ScriptFlags(self.0 | flags.0)
    }

    /// Names of these, in the order in which they are listed.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        ScriptFlags::NAMES.into_iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| name)
    }
}

/// What the first line of a source says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The flags of a script; none where it has no such line, which is another thing than to have no flag.
    pub flags: Option<ScriptFlags>,
    /// Bytes in front of the code. The line's end is part of the code, so that lines keep their numbers.
    pub len: usize,
}

/// The first line of a source that begins with `#!`, in words.
fn first_line(source: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let end = source.iter().position(|byte| matches!(byte, b'\n' | 0)).filter(|end| source[*end] == b'\n')?;
    Some((split_words(&source[..end])?, end))
}

impl Header {
    /// Reads the header of a script.
    ///
    /// # Errors
    /// What is wrong with it, in Redis's words.
    pub fn of_script(source: &[u8]) -> Result<Header, String> {
        if !source.starts_with(b"#!") {
            return Ok(Header::default());
        }
        let end = source.iter().position(|byte| matches!(byte, b'\n' | 0));
        if end.is_none_or(|end| source[end] == 0) {
            return Err("Invalid script shebang".to_owned());
        }
        let Some((words, len)) = first_line(source).filter(|(words, _)| !words.is_empty()) else {
            return Err("Invalid engine in script shebang".to_owned());
        };
        if words[0] != b"#!lua" {
            return Err(format!("Unexpected engine in script shebang: {}", lossy(&words[0])));
        }
        let mut flags = ScriptFlags::default();
        for word in &words[1..] {
            let Some(names) = word.strip_prefix(b"flags=") else {
                return Err(format!("Unknown lua shebang option: {}", lossy(word)));
            };
            if names.is_empty() {
                continue;
            }
            for name in names.split(|byte| *byte == b',') {
                let flag = ScriptFlags::named(name)
                    .ok_or_else(|| format!("Unexpected flag in script shebang: {}", lossy(name)))?;
                flags = flags.with(flag);
            }
        }
        Ok(Header { flags: Some(flags), len })
    }

    /// Reads the header of a library: the language, the library's name, and the bytes in front of its code.
    ///
    /// # Errors
    /// What is wrong with it, in Redis's words.
    pub fn of_library(source: &[u8]) -> Result<(String, String, usize), String> {
        if !source.starts_with(b"#!") {
            return Err("Missing library metadata".to_owned());
        }
        let Some((words, len)) = first_line(source).filter(|(words, _)| !words.is_empty()) else {
            return Err("Invalid library metadata".to_owned());
        };
        let mut name = None;
        for word in &words[1..] {
            let (key, value) = word.split_at(word.len().min(5));
            if !key.eq_ignore_ascii_case(b"name=") {
                return Err(format!("Invalid metadata value given: {}", lossy(word)));
            }
            if name.replace(lossy(value)).is_some() {
                return Err("Invalid metadata value, name argument was given multiple times".to_owned());
            }
        }
        let name = name.ok_or("Library name was not given")?;
        Ok((lossy(&words[0][2..]), name, len))
    }
}

/// Whether a library or function may have this name.
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// What is said of any other name.
pub const BAD_NAME: &str = "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Words as Redis splits a line: quotes hold them together, and a backslash escapes in double ones. `None` when quotes are
/// left open.
fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|byte| byte.is_ascii_whitespace()) {
            at += 1;
        }
        if at == line.len() {
            return Some(words);
        }
        let (mut word, mut quote) = (Vec::new(), None);
        while let Some(byte) = line.get(at).copied() {
            at += 1;
            match (quote, byte) {
                (Some(b'"'), b'\\') => {
                    let escaped = line.get(at).copied()?;
                    at += 1;
                    word.push(match escaped {
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'b' => 8,
                        b'a' => 7,
                        other => other,
                    });
                }
                (Some(open), byte) if byte == open => {
                    // Nothing but a space may follow the closing quote.
                    if line.get(at).is_some_and(|byte| !byte.is_ascii_whitespace()) {
                        return None;
                    }
                    quote = None;
                    break;
                }
                (Some(_), byte) => word.push(byte),
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, byte) if byte.is_ascii_whitespace() => break,
                (None, byte) => word.push(byte),
            }
        }
        if quote.is_some() {
            return None;
        }
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::{Header, ScriptFlags};

    #[test]
    fn a_script_without_a_header_has_no_flags_at_all() {
        assert_eq!(Header::of_script(b"return 1"), Ok(Header::default()));
        let header =
            Header::of_script(b"#!lua flags=no-writes,allow-oom\nreturn 1").expect("it is well formed");
        let flags = ScriptFlags::NO_WRITES.with(ScriptFlags::ALLOW_OOM);
        assert_eq!((header.flags, header.len), (Some(flags), 31));
    }

    #[test]
    fn what_is_wrong_with_a_header_is_said() {
        for (source, error) in [
            (&b"#!lua"[..], "Invalid script shebang"),
            (b"#!not-lua\n", "Unexpected engine in script shebang: not-lua"),
            (b"#!lua flags=bad\n", "Unexpected flag in script shebang: bad"),
            (b"#!lua badger=data\n", "Unknown lua shebang option: badger=data"),
        ] {
            // Redis quotes the whole word.
            let error = error.replace(": not-lua", ": #!not-lua");
            assert_eq!(Header::of_script(source), Err(error));
        }
    }

    #[test]
    fn a_library_has_one_name() {
        let read = Header::of_library(b"#!lua name=one\nredis.register_function");
        assert_eq!(read, Ok(("lua".to_owned(), "one".to_owned(), 14)));
        for (source, error) in [
            (&b"return 1"[..], "Missing library metadata"),
            (b"#!lua name=a", "Invalid library metadata"),
            (b"#!lua\n", "Library name was not given"),
            (b"#!lua name=a name=b\n", "Invalid metadata value, name argument was given multiple times"),
            (b"#!lua foo=a\n", "Invalid metadata value given: foo=a"),
        ] {
            assert_eq!(Header::of_library(source), Err(error.to_owned()));
        }
    }
}
