//! Rules on single values beyond their type, with Redis's reply texts.

use super::directive::ShutdownFlags;

/// Longest announced host name in bytes, exclusive (`NET_HOST_STR_LEN`).
const HOST_NAME_LENGTH_MAX: usize = 256;

pub(super) fn shutdown_flags(flags: i64) -> Result<(), &'static str> {
    let both = ShutdownFlags::SAVE | ShutdownFlags::NOSAVE;
    if ShutdownFlags::from_bits_truncate(flags as u8).contains(both) {
        return Err("shutdown options SAVE and NOSAVE can't be used simultaneously");
    }
    Ok(())
}

pub(super) fn database_file_name(value: &[u8]) -> Result<(), &'static str> {
    base_name(value).ok_or("dbfilename can't be a path, just a filename")
}

pub(super) fn append_file_name(value: &[u8]) -> Result<(), &'static str> {
    if value.is_empty() {
        return Err("appendfilename can't be empty");
    }
    base_name(value).ok_or("appendfilename can't be a path, just a filename")
}

pub(super) fn append_directory_name(value: &[u8]) -> Result<(), &'static str> {
    if value.is_empty() {
        return Err("appenddirname can't be empty");
    }
    base_name(value).ok_or("appenddirname can't be a path, just a dirname")
}

fn base_name(value: &[u8]) -> Option<()> {
    (!value.iter().any(|byte| matches!(byte, b'/' | b'\\'))).then_some(())
}

pub(super) fn announced_host_name(value: &[u8]) -> Result<(), &'static str> {
    if value.len() >= HOST_NAME_LENGTH_MAX {
        return Err("Hostnames must be less than 256 characters");
    }
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if !value.iter().all(plain) {
        return Err("Hostnames may only contain alphanumeric characters, hyphens or dots");
    }
    Ok(())
}

/// A host and a port behind a colon, or nothing.
pub(super) fn endpoint(value: &[u8]) -> Result<(), &'static str> {
    let text = std::str::from_utf8(value).ok();
    let is_endpoint = text.and_then(|text| text.rsplit_once(':')).is_some_and(|(host, port)| {
        let has_no_space = !host.chars().any(|char| char.is_whitespace() || char.is_control());
        !host.is_empty() && has_no_space && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if value.is_empty() || is_endpoint { Ok(()) } else { Err("an endpoint is host:port") }
}

pub(super) fn announced_node_name(value: &[u8]) -> Result<(), &'static str> {
    const FORBIDDEN: &[u8] = b"!#$%&()*+:;<>?@[]^{|}~";
    if value.iter().any(|byte| FORBIDDEN.contains(byte)) {
        return Err("Announced human node name contained invalid character");
    }
    Ok(())
}

/// The URL of a service.
pub(super) fn http_url(value: &[u8]) -> Result<(), &'static str> {
    let url = str::from_utf8(value).ok().and_then(|text| text.parse::<ureq::http::Uri>().ok());
    let is_http = url.is_some_and(|url| matches!(url.scheme_str(), Some("http" | "https")));
    if value.is_empty() || is_http { Ok(()) } else { Err("must be a URL such as http://localhost:4318") }
}

/// Headers of requests: `name=value`, separated by commas.
pub(super) fn http_headers(value: &[u8]) -> Result<(), &'static str> {
    use ureq::http::{HeaderName, HeaderValue};
    let is_header = |(name, value): (&str, &str)| {
        HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value).is_ok()
    };
    let are_headers =
        str::from_utf8(value).is_ok_and(|text| headers(text).all(|header| header.is_some_and(is_header)));
    if are_headers { Ok(()) } else { Err("must be name=value, separated by commas") }
}

/// The parts of what [`http_headers`] checks.
pub fn headers(text: &str) -> impl Iterator<Item = Option<(&str, &str)>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').map(|(name, value)| (name.trim(), value.trim())))
}

/// A template is text with `{variable}` parts; it must not come out empty.
pub(super) fn process_title_template(value: &[u8]) -> Result<(), &'static str> {
    const INVALID: &str = "template format is invalid or contains unknown variables";
    const VARIABLES: [&[u8]; 7] =
        [b"title", b"listen-addr", b"server-mode", b"port", b"tls-port", b"unixsocket", b"config-file"];
    // Of the variables, only these are sure not to be empty.
    const NEVER_EMPTY: [&[u8]; 4] = [b"listen-addr", b"port", b"tls-port", b"server-mode"];
    let mut rest = value;
    let mut shows_something = false;
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'{' {
            shows_something |= first != b' ';
            rest = tail;
        } else if tail.first() == Some(&b'{') {
            // Two opening braces stand for one.
            shows_something = true;
            rest = &tail[1..];
        } else {
            let end = tail.iter().position(|&byte| byte == b'}').ok_or(INVALID)?;
            let variable = tail[..end].to_ascii_lowercase();
            if !VARIABLES.contains(&variable.as_slice()) {
                return Err(INVALID);
            }
            shows_something |= NEVER_EMPTY.contains(&variable.as_slice());
            rest = &tail[end + 1..];
        }
    }
    shows_something.then_some(()).ok_or(INVALID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        for good in ["{title} {port}", "TEST {title}", "{{x", "{LISTEN-ADDR}"] {
            assert!(process_title_template(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in ["", "{title}", "{invalid-var}", "x {port", " "] {
            assert!(process_title_template(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn names() {
        assert!(database_file_name(b"").is_ok());
        assert!(database_file_name(b"a/b").is_err());
        assert!(append_file_name(b"").is_err());
        assert!(append_directory_name(b"..\\x").is_err());
        assert!(announced_host_name(b"node-1.example").is_ok());
        assert!(announced_host_name(b"node_1").is_err());
        assert!(announced_host_name(&[b'a'; 256]).is_err());
        assert!(announced_node_name(b"node_1").is_ok());
        assert!(announced_node_name(b"node:1").is_err());
    }
}
