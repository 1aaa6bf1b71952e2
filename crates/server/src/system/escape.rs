//! Byte strings for people: quoted, with escapes for what is not printable (Redis: `sdscatrepr`).

/// Appends `bytes` in double quotes.
pub fn push_quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            7 => out.extend_from_slice(b"\\a"),
            8 => out.extend_from_slice(b"\\b"),
            b' '..=b'~' => out.push(byte),
            _ => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    out.push(b'"');
}

/// What C takes for the string: Redis's errors and its log quote names that way.
pub fn up_to_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn unprintable_bytes_are_escaped() {
        let mut out = Vec::new();
        super::push_quoted(&mut out, b"a\"\\\n\x00\xff z");
        assert_eq!(out, b"\"a\\\"\\\\\\n\\x00\\xff z\"");
    }
}
