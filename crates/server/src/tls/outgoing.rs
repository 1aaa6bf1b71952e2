//! Connections to other servers, of whose certificates this one asks who signed them, and not for which name: servers are called by
//! addresses, as in Redis.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::{identity, offers};
use crate::config::Config;

/// How this server presents itself to others, and whom it trusts, by the directives as they are now.
///
/// # Errors
/// What cannot be followed, by the name of its directive.
pub fn outgoing(config: &Config) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(offers::provider(config)?);
    let roots = Arc::new(identity::authorities(config, "tls-cluster is yes")?);
    let signed = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .build()
        .map_err(|error| format!("tls-ca-cert-file: {error}"))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&offers::versions(config)?)
        .map_err(|error| format!("tls-protocols, tls-ciphers, tls-ciphersuites: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OfAnyName(signed)));
    let made = match identity::Files::outgoing(config) {
        Some(files) => {
            let (chain, key) = (files.chain(config)?, files.key(config)?);
            builder.with_client_auth_cert(chain, key).map_err(|error| files.do_not_match(&error))?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(made))
}

/// A certificate that a trusted authority signed, whoever it names.
#[derive(Debug)]
struct OfAnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for OfAnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The name is looked at last, when everything else has been found to be right.
        match self.0.verify_server_cert(certificate, between, name, stapled, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
