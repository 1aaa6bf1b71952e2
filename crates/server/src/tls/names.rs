//! Who a client's certificate says that it is.

use pkcs8::der::Decode as _;
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;

/// Where the common name is in a subject (RFC 4519).
const COMMON_NAME: &str = "2.5.4.3";

/// The common name of a certificate's subject, if it has one.
pub fn common_name(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let attributes = certificate.tbs_certificate.subject.0.iter().flat_map(|names| names.0.iter());
    let name = attributes.into_iter().find(|attribute| attribute.oid.to_string() == COMMON_NAME)?;
    Some(name.value.value().to_vec()).filter(|name| !name.is_empty())
}
