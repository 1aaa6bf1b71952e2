//! Who the server is and whom it trusts: certificates and keys from their files.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use pkcs8::{EncryptedPrivateKeyInfo, SecretDocument};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::config::Config;

/// A file longer than this holds no certificates.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A directive and its value.
type Said = (&'static str, Option<Vec<u8>>);

/// The files of a certificate and its key.
pub(super) struct Files {
    certificate: Said,
    key: Said,
    password: Said,
}

impl Files {
    /// Those of the server.
    pub(super) fn serving(config: &Config) -> Files {
        Files {
            certificate: ("tls-cert-file", config.tls_cert_file()),
            key: ("tls-key-file", config.tls_key_file()),
            password: ("tls-key-file-pass", config.tls_key_file_pass()),
        }
    }

    /// What it shows other servers, if anything: its own where no others are named.
    pub(super) fn outgoing(config: &Config) -> Option<Files> {
        let others = Files {
            certificate: ("tls-client-cert-file", config.tls_client_cert_file()),
            key: ("tls-client-key-file", config.tls_client_key_file()),
            password: ("tls-client-key-file-pass", config.tls_client_key_file_pass()),
        };
        [others, Files::serving(config)].into_iter().find(|files| is_set(&files.certificate.1))
    }

    /// The certificate, and those between it and an authority.
    pub(super) fn chain(&self, config: &Config) -> Result<Vec<CertificateDer<'static>>, String> {
        let (name, value) = &self.certificate;
        certificates(name, &path(config, name, value.clone())?)
    }

    /// The certificate's key.
    pub(super) fn key(&self, config: &Config) -> Result<PrivateKeyDer<'static>, String> {
        let (name, value) = &self.key;
        let path = path(config, name, value.clone())?;
        let refused = |what: &str| format!("{name} {}: {what}", path.display());
        open(&read(name, &path)?, &self.password, refused)
    }

    /// What is said where they do not go together.
    pub(super) fn do_not_match(&self, error: &rustls::Error) -> String {
        format!("{} and {} do not go together: {error}", self.certificate.0, self.key.0)
    }
}

fn is_set(value: &Option<Vec<u8>>) -> bool {
    value.as_ref().is_some_and(|value| !value.is_empty())
}

/// A key, which may be encrypted.
fn open(
    bytes: &[u8],
    (password_name, password): &Said,
    refused: impl Fn(&str) -> String,
) -> Result<PrivateKeyDer<'static>, String> {
    const ENCRYPTED: [&str; 2] =
        ["-----BEGIN ENCRYPTED PRIVATE KEY-----", "-----END ENCRYPTED PRIVATE KEY-----"];
    let text = String::from_utf8_lossy(bytes);
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(refused(
            "a key encrypted in the form from before PKCS #8 is not read; openssl pkcs8 -topk8 converts it",
        ));
    }
    let Some(begin) = text.find(ENCRYPTED[0]) else {
        return PrivateKeyDer::from_pem_slice(bytes)
            .map_err(|error| refused(&format!("no key in PEM: {error}")));
    };
    let end = text.find(ENCRYPTED[1]).ok_or_else(|| refused("it is cut off"))? + ENCRYPTED[1].len();
    let password = password.as_ref().filter(|password| !password.is_empty());
    let password =
        password.ok_or_else(|| refused(&format!("it is encrypted, and {password_name} is not set")))?;
    let (_, document) =
        SecretDocument::from_pem(&text[begin..end]).map_err(|error| refused(&error.to_string()))?;
    let sealed = EncryptedPrivateKeyInfo::try_from(document.as_bytes());
    let sealed = sealed.map_err(|error| refused(&error.to_string()))?;
    let opened = sealed
        .decrypt(password)
        .map_err(|error| refused(&format!("{password_name} does not open it: {error}")))?;
    Ok(PrivatePkcs8KeyDer::from(opened.as_bytes().to_vec()).into())
}

/// Who may have signed the certificates of others; `needed` says when somebody has to be trusted.
pub(super) fn authorities(config: &Config, needed: &str) -> Result<RootCertStore, String> {
    let (file, folder) = ("tls-ca-cert-file", "tls-ca-cert-dir");
    let values = (config.tls_ca_cert_file(), config.tls_ca_cert_dir());
    if !is_set(&values.0) && !is_set(&values.1) {
        return Err(format!("either {file} or {folder} must be set where {needed}"));
    }
    let mut found = Vec::new();
    if is_set(&values.0) {
        found.extend(certificates(file, &path(config, file, values.0)?)?);
    }
    if is_set(&values.1) {
        let path = path(config, folder, values.1)?;
        let entries =
            std::fs::read_dir(&path).map_err(|error| format!("{folder} {}: {error}", path.display()))?;
        // What else is there is no concern of ours, as with OpenSSL.
        let files = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file());
        found.extend(files.flat_map(|path| certificates(folder, &path).unwrap_or_default()));
    }
    let mut roots = RootCertStore::empty();
    for certificate in found {
        roots.add(certificate).map_err(|error| format!("{file}, {folder}: {error}"))?;
    }
    if roots.is_empty() {
        return Err(format!("{folder}: no certificates there"));
    }
    Ok(roots)
}

fn certificates(name: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read(name, path)?;
    let refused = |what: String| format!("{name} {}: {what}", path.display());
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(refused("no certificate in PEM".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(refused(error.to_string())),
    }
}

fn path(config: &Config, name: &str, value: Option<Vec<u8>>) -> Result<PathBuf, String> {
    let value = value.filter(|value| !value.is_empty()).ok_or_else(|| format!("{name} is not set"))?;
    Ok(config.resolve(OsString::from_vec(value)))
}

fn read(name: &str, path: &Path) -> Result<Vec<u8>, String> {
    let refused = |what: String| format!("{name} {}: {what}", path.display());
    let length = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?.len();
    if length > FILE_BYTES_MAX {
        return Err(refused(format!("it is {length} bytes long")));
    }
    std::fs::read(path).map_err(|error| refused(error.to_string()))
}
