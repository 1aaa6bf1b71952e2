//! TLS: what the directives say of it, as rustls wants it. No socket is known here.
//!
//! - `identity`: the server's certificate and key, and whom it trusts, from their files
//! - `offers`: versions and ciphers by the names that OpenSSL gives them
//! - `sessions`: what lets clients resume
//! - `outgoing`: how other servers are spoken to
//! - `names`: who a client's certificate says that it is

mod identity;
mod names;
mod offers;
mod outgoing;
mod sessions;

use std::sync::Arc;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;

use crate::config::{Config, TlsAuthClients};

pub use names::common_name;
pub use outgoing::outgoing;

/// How connections are secured from now on.
#[derive(Debug, Default)]
pub struct Tls(RwLock<Option<Arc<ServerConfig>>>);

impl Tls {
    /// As what the server presents itself to the next client; nothing where nobody is served with TLS.
    pub fn current(&self) -> Option<Arc<ServerConfig>> {
        self.0.read().clone()
    }

    /// Follows the directives, whose files are read anew. Connections that there are stay as they are.
    ///
    /// # Errors
    /// What cannot be followed, by the name of its directive. All is as it was then.
    pub fn follow(&self, config: &Config) -> Result<(), String> {
        let made = if config.tls_port() == 0 { None } else { Some(Arc::new(build(config)?)) };
        *self.0.write() = made;
        Ok(())
    }
}

/// Bytes of a record's content. Larger ones are a longer wait for their last byte.
const RECORD_BYTES_MAX: usize = 16 * 1024;

fn build(config: &Config) -> Result<ServerConfig, String> {
    let provider = Arc::new(offers::provider(config)?);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&offers::versions(config)?)
        .map_err(|error| format!("tls-protocols, tls-ciphers, tls-ciphersuites: {error}"))?;
    let builder = match config.tls_auth_clients() {
        TlsAuthClients::No => builder.with_no_client_auth(),
        demanded => {
            let roots = Arc::new(identity::authorities(config, "tls-auth-clients is not no")?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier = match demanded {
                TlsAuthClients::Optional => verifier.allow_unauthenticated(),
                TlsAuthClients::Yes | TlsAuthClients::No => verifier,
            };
            let verifier = verifier.build().map_err(|error| format!("tls-ca-cert-file: {error}"))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let files = identity::Files::serving(config);
    let (chain, key) = (files.chain(config)?, files.key(config)?);
    let mut made = builder.with_single_cert(chain, key).map_err(|error| files.do_not_match(&error))?;
    made.ignore_client_order = config.tls_prefer_server_ciphers();
    made.max_fragment_size = Some(RECORD_BYTES_MAX);
    sessions::set(&mut made, config);
    Ok(made)
}
