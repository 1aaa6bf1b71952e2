//! Spans in the JSON of OTLP/HTTP.
//!
//! Sources: <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>, and for the names of attributes
//! <https://opentelemetry.io/docs/specs/semconv/database/redis/>

use serde_json::{Value, json};

use super::Span;
use crate::SWYTCH_VERSION;
use crate::system::random;

/// `SPAN_KIND_SERVER`.
const SERVER: u8 = 2;
/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;
/// Arguments that a text of a command has places for.
const PLACES_MAX: usize = 32;

/// Who sends spans.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) name: String,
    /// The run id.
    pub(super) instance: String,
    pub(super) host: String,
}

/// An `ExportTraceServiceRequest`.
pub(super) fn request(service: &Service, spans: &[Span]) -> Value {
    let resource = [
        text("service.name", &service.name),
        text("service.version", SWYTCH_VERSION),
        text("service.instance.id", &service.instance),
        text("host.name", &service.host),
        number("process.pid", u64::from(std::process::id())),
    ];
    let spans: Vec<Value> = spans.iter().map(span).collect();
    let scope = json!({ "name": "swytch", "version": SWYTCH_VERSION });
    json!({
        "resourceSpans": [{
            "resource": { "attributes": resource },
            "scopeSpans": [{ "scope": scope, "spans": spans }],
        }],
    })
}

fn span(span: &Span) -> Value {
    let name = span.command.replace('|', " ").to_uppercase();
    let mut attributes = vec![
        text("db.system.name", "redis"),
        text("db.namespace", &span.db.to_string()),
        text("db.operation.name", &name),
        text("db.query.text", &with_places(&name, span)),
        flag("swytch.slow", span.is_slow),
    ];
    match span.address.rsplit_once(':') {
        Some((path, "0")) if path.starts_with('/') => {
            attributes.extend([text("network.transport", "unix"), text("client.address", path)]);
        }
        Some((host, port)) => {
            attributes.extend([text("network.transport", "tcp"), text("client.address", host)]);
            attributes.extend(port.parse().ok().map(|port| number("client.port", port)));
        }
        None => {}
    }
    if !span.client.is_empty() {
        attributes.push(text("swytch.client.name", &String::from_utf8_lossy(&span.client)));
    }
    let mut status = json!({});
    if let Some(code) = &span.error {
        attributes.extend([text("error.type", code), text("db.response.status_code", code)]);
        status = json!({ "code": ERROR });
    }
    let ended_ns = span.ended_us * 1000;
    json!({
        "traceId": format!("{:016x}{:016x}", identifier(), identifier()),
        "spanId": format!("{:016x}", identifier()),
        "name": name,
        "kind": SERVER,
        "startTimeUnixNano": ended_ns.saturating_sub(span.took_ns).to_string(),
        "endTimeUnixNano": ended_ns.to_string(),
        "attributes": attributes,
        "status": status,
    })
}

/// The command with a question mark for each argument: what they are is the client's affair.
fn with_places(name: &str, span: &Span) -> String {
    let arguments = span.arguments.saturating_sub(name.split(' ').count());
    let places = " ?".repeat(arguments.min(PLACES_MAX));
    let more = if arguments > PLACES_MAX { " ..." } else { "" };
    format!("{name}{places}{more}")
}

/// Any number but 0, which stands for none.
fn identifier() -> u64 {
    random::next_u64().max(1)
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// A number of 64 bits is a text in this JSON.
fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

fn flag(key: &str, value: bool) -> Value {
    json!({ "key": key, "value": { "boolValue": value } })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn span() -> Span {
        Span {
            command: "config|set",
            arguments: 4,
            ended_us: 1_700_000_000_000_001,
            took_ns: 1500,
            db: 3,
            address: "[::1]:5000".to_owned(),
            client: b"worker \xff".to_vec(),
            error: None,
            is_slow: true,
        }
    }

    fn attribute<'v>(span: &'v Value, key: &str) -> Option<&'v Value> {
        let attributes = span["attributes"].as_array()?;
        attributes.iter().find(|attribute| attribute["key"] == key).map(|attribute| &attribute["value"])
    }

    #[test]
    fn a_span_says_what_ran_and_not_what_was_sent() {
        let shown = super::span(&span());
        assert_eq!(shown["name"], "CONFIG SET");
        assert_eq!(shown["startTimeUnixNano"], "1699999999999999500");
        assert_eq!(shown["endTimeUnixNano"], "1700000000000001000");
        assert_eq!(shown["traceId"].as_str().map(str::len), Some(32));
        assert_eq!(attribute(&shown, "db.query.text"), Some(&json!({ "stringValue": "CONFIG SET ? ?" })));
        assert_eq!(attribute(&shown, "client.address"), Some(&json!({ "stringValue": "[::1]" })));
        assert_eq!(attribute(&shown, "client.port"), Some(&json!({ "intValue": "5000" })));
        assert_eq!(
            attribute(&shown, "swytch.client.name"),
            Some(&json!({ "stringValue": "worker \u{fffd}" }))
        );
        assert_eq!((attribute(&shown, "error.type"), &shown["status"]), (None, &json!({})));
    }

    #[test]
    fn an_error_and_many_arguments_are_told_shortly() {
        let failed =
            Span { arguments: 1000, error: Some("OOM".to_owned()), address: "/run/s:0".to_owned(), ..span() };
        let shown = super::span(&failed);
        assert_eq!(shown["status"], json!({ "code": 2 }));
        assert_eq!(attribute(&shown, "error.type"), Some(&json!({ "stringValue": "OOM" })));
        assert_eq!(attribute(&shown, "client.address"), Some(&json!({ "stringValue": "/run/s" })));
        let text = attribute(&shown, "db.query.text").map(ToString::to_string).unwrap_or_default();
        assert!(text.contains("? ...") && text.len() < 200, "{text}");
    }
}
