//! The thread that sends spans to the collector, by HTTP.
//!
//! Source: <https://opentelemetry.io/docs/specs/otlp/#otlphttp>

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, http};

use super::otlp::{Service, request};
use super::{Span, Traces};
use crate::config::{Config, http_headers};
use crate::observe::logging;
use crate::system::allocator;

/// Longest time that a span waits for others.
const ROUND: Duration = Duration::from_secs(5);
/// How long the collector has for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an end of the process waits for it.
const PATIENCE_AT_END: Duration = Duration::from_secs(2);
/// Pauses before spans are sent again that the collector could not take now.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// Bytes of an answer that are looked at.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// The thread that sends.
#[derive(Debug)]
pub struct Exporter {
    traces: Arc<Traces>,
    thread: JoinHandle<()>,
}

impl Exporter {
    /// Starts it, if `otel-endpoint` names a collector.
    ///
    /// # Errors
    /// When no thread can be started, or a certificate store is not as it should be.
    pub fn start(config: &Config, traces: &Arc<Traces>, run_id: &str) -> io::Result<Option<Exporter>> {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let Some(endpoint) = config.otel_endpoint().filter(|endpoint| !endpoint.is_empty()) else {
            return Ok(None);
        };
        let headers = text(config.otel_headers().unwrap_or_default());
        let headers = http_headers(&headers).flatten();
        let sender = Sender {
            agent: agent(),
            url: url_of(&text(endpoint)),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            service: Service {
                name: text(config.otel_service_name().unwrap_or_default()),
                instance: run_id.to_owned(),
                host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            },
            traces: Arc::clone(traces),
        };
        let thread = std::thread::Builder::new().name("swytch-traces".into()).spawn(move || sender.run())?;
        traces.is_on.store(true, Ordering::Relaxed);
        Ok(Some(Exporter { traces: Arc::clone(traces), thread }))
    }

    /// Sends what is left, for as long as the end of a process may take.
    pub fn finish(self) {
        self.traces.end();
        let deadline = Instant::now() + PATIENCE_AT_END;
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn agent() -> Agent {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let config = Agent::config_builder().tls_config(tls).timeout_global(Some(PATIENCE));
    config.http_status_as_error(false).max_redirects(0).build().into()
}

/// Where spans go at an endpoint: what it names is the base of all signals.
fn url_of(endpoint: &str) -> String {
    const PATH: &str = "/v1/traces";
    let base = endpoint.trim_end_matches('/');
    if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") }
}

struct Sender {
    agent: Agent,
    url: String,
    headers: Vec<(String, String)>,
    service: Service,
    traces: Arc<Traces>,
}

/// Why spans were not taken.
enum Fault {
    /// It may be otherwise in a while.
    Passing(String),
    Lasting(String),
}

impl Sender {
    fn run(self) {
        loop {
            let (spans, is_ending) = self.traces.next(Instant::now() + ROUND);
            if !spans.is_empty() {
                self.send(&spans);
            } else if is_ending {
                return;
            }
            allocator::settle();
        }
    }

    /// Sends spans, several times where that may help, and counts them.
    fn send(&self, spans: &[Span]) {
        let body = request(&self.service, spans).to_string();
        let mut pauses = PAUSES.iter();
        let fault = loop {
            match self.post(&body) {
                Ok(rejected) => {
                    let rejected = rejected.min(spans.len() as u64);
                    self.traces.sent.fetch_add(spans.len() as u64 - rejected, Ordering::Relaxed);
                    self.traces.missing.fetch_add(rejected, Ordering::Relaxed);
                    return;
                }
                Err(Fault::Lasting(fault)) => break fault,
                Err(Fault::Passing(fault)) => {
                    let again = pauses.next().is_some_and(|pause| self.traces.wait(Instant::now() + *pause));
                    if !again {
                        break fault;
                    }
                }
            }
        };
        self.traces.missing.fetch_add(spans.len() as u64, Ordering::Relaxed);
        let (url, spans) = (&self.url, spans.len());
        logging::limited!(warn, "traces", %fault, url, spans, "the collector did not take traces");
    }

    /// Sends spans once; how many of them the collector rejects.
    fn post(&self, body: &str) -> Result<u64, Fault> {
        let post = self.agent.post(&self.url).content_type("application/json");
        let post = self.headers.iter().fold(post, |post, (name, value)| post.header(name, value));
        let mut answer = post.send(body).map_err(|error| Fault::Passing(error.to_string()))?;
        let status = answer.status();
        let text =
            answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().unwrap_or_default();
        match status {
            _ if status.is_success() => Ok(self.rejected(&text)),
            http::StatusCode::TOO_MANY_REQUESTS
            | http::StatusCode::BAD_GATEWAY
            | http::StatusCode::SERVICE_UNAVAILABLE
            | http::StatusCode::GATEWAY_TIMEOUT => Err(Fault::Passing(status.to_string())),
            _ => Err(Fault::Lasting(format!("{status}: {}", text.escape_debug()))),
        }
    }

    /// How many spans an answer says are rejected.
    fn rejected(&self, answer: &str) -> u64 {
        let Ok(answer) = serde_json::from_str::<Value>(answer) else { return 0 };
        let partial = &answer["partialSuccess"];
        let rejected = match &partial["rejectedSpans"] {
            Value::String(text) => text.parse().unwrap_or(0),
            other => other.as_u64().unwrap_or(0),
        };
        if rejected > 0 {
            let fault = partial["errorMessage"].as_str().unwrap_or_default();
            logging::limited!(
                warn,
                "traces",
                fault,
                rejected,
                url = self.url,
                "the collector rejects traces"
            );
        }
        rejected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_the_base_of_the_signals_paths() {
        for (endpoint, url) in [
            ("http://localhost:4318", "http://localhost:4318/v1/traces"),
            ("http://localhost:4318/", "http://localhost:4318/v1/traces"),
            ("https://a.example/otlp", "https://a.example/otlp/v1/traces"),
            ("https://a.example/v1/traces", "https://a.example/v1/traces"),
        ] {
            assert_eq!(url_of(endpoint), url);
        }
    }
}
