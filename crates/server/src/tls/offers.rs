//! Versions and ciphers, by the names that OpenSSL gives them. What rustls does not offer is refused by its name.
//!
//! Source: <https://docs.openssl.org/master/man1/openssl-ciphers/>

use rustls::crypto::ring::cipher_suite as suites;
use rustls::crypto::{CryptoProvider, ring};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use crate::config::{Config, TlsMinVersion};

/// The suites of TLS 1.2, the preferred first.
static TLS12_SUITES: [(&str, SupportedCipherSuite); 6] = [
    ("ECDHE-ECDSA-AES256-GCM-SHA384", suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", suites::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", suites::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES128-GCM-SHA256", suites::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", suites::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// The suites of TLS 1.3, the preferred first.
static TLS13_SUITES: [(&str, SupportedCipherSuite); 3] = [
    ("TLS_AES_256_GCM_SHA384", suites::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", suites::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", suites::TLS13_CHACHA20_POLY1305_SHA256),
];

/// Words of `tls-ciphers` for what rustls does not offer at all: to do without it asks for nothing.
const NEVER_OFFERED: [&str; 31] = [
    "aNULL",
    "eNULL",
    "NULL",
    "COMPLEMENTOFDEFAULT",
    "EXP",
    "EXPORT",
    "LOW",
    "MEDIUM",
    "MD5",
    "SHA",
    "SHA1",
    "RC4",
    "RC2",
    "DES",
    "3DES",
    "IDEA",
    "SEED",
    "CAMELLIA",
    "ARIA",
    "PSK",
    "SRP",
    "DSS",
    "aDSS",
    "DH",
    "DHE",
    "kDHE",
    "ADH",
    "AECDH",
    "RSA",
    "kRSA",
    "AESCCM",
];

/// The cryptography that is offered.
pub(super) fn provider(config: &Config) -> Result<CryptoProvider, String> {
    let text = |value: Option<Vec<u8>>| String::from_utf8_lossy(&value.unwrap_or_default()).into_owned();
    let mut cipher_suites = tls13(&text(config.tls_ciphersuites()))?;
    cipher_suites.extend(tls12(&text(config.tls_ciphers()))?);
    Ok(CryptoProvider { cipher_suites, ..ring::default_provider() })
}

/// The versions that are spoken.
pub(super) fn versions(config: &Config) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let named = String::from_utf8_lossy(&config.tls_protocols().unwrap_or_default()).into_owned();
    let mut versions = named_versions(&named)?;
    if config.tls_min_version() == TlsMinVersion::Tls13 {
        versions.retain(|version| version.version == TLS13.version);
    }
    if versions.is_empty() {
        return Err("tls-protocols and tls-min-version leave no version".to_owned());
    }
    Ok(versions)
}

fn named_versions(named: &str) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let mut versions = Vec::new();
    for word in named.split_whitespace() {
        versions.push(match word.to_ascii_lowercase().as_str() {
            "tlsv1.2" => &TLS12,
            "tlsv1.3" => &TLS13,
            "tlsv1" | "tlsv1.1" => return Err(format!("tls-protocols: {word} is not spoken by this server")),
            _ => return Err(format!("tls-protocols: {word} is no version")),
        });
    }
    if versions.is_empty() {
        versions = vec![&TLS13, &TLS12];
    }
    Ok(versions)
}

fn tls13(named: &str) -> Result<Vec<SupportedCipherSuite>, String> {
    if named.is_empty() {
        return Ok(TLS13_SUITES.iter().map(|(_, suite)| *suite).collect());
    }
    let find = |word: &str| {
        let found = TLS13_SUITES.iter().find(|(name, _)| *name == word);
        found.map(|(_, suite)| *suite).ok_or_else(|| format!("tls-ciphersuites: {word} is not offered"))
    };
    named.split(':').filter(|word| !word.is_empty()).map(find).collect()
}

/// Words are worked off from the left, as OpenSSL does it.
fn tls12(named: &str) -> Result<Vec<SupportedCipherSuite>, String> {
    let mut chosen: Vec<usize> = Vec::new();
    let mut banned = Vec::new();
    let words = if named.is_empty() { "DEFAULT" } else { named };
    for word in words.split([':', ',', ' ']).filter(|word| !word.is_empty()) {
        let (sign, class) = match word.strip_prefix(['!', '-', '+']) {
            Some(class) => (word.as_bytes()[0], class),
            None => (b' ', word),
        };
        let meant: Vec<usize> =
            (0..TLS12_SUITES.len()).filter(|at| is_of(TLS12_SUITES[*at].0, class)).collect();
        if meant.is_empty() && !(sign != b' ' && NEVER_OFFERED.contains(&class)) {
            return Err(format!("tls-ciphers: {word} is not offered"));
        }
        match sign {
            b'!' => {
                chosen.retain(|at| !meant.contains(at));
                banned.extend(meant);
            }
            b'-' => chosen.retain(|at| !meant.contains(at)),
            b'+' => chosen.sort_by_key(|at| meant.contains(at)),
            _ => chosen.extend(meant.into_iter().filter(|at| !banned.contains(at)).collect::<Vec<_>>()),
        }
        let mut seen = Vec::new();
        chosen.retain(|at| {
            !seen.contains(at) && {
                seen.push(*at);
                true
            }
        });
    }
    if chosen.is_empty() {
        return Err("tls-ciphers: nothing of it is offered".to_owned());
    }
    Ok(chosen.into_iter().map(|at| TLS12_SUITES[at].1).collect())
}

/// Whether a suite is of a class of OpenSSL's, or of all of several that are joined by a plus sign.
fn is_of(name: &str, class: &str) -> bool {
    class.split('+').all(|class| match class {
        "ALL" | "DEFAULT" | "HIGH" | "TLSv1.2" | "ECDHE" | "EECDH" | "kECDHE" | "kEECDH" => true,
        "ECDSA" | "aECDSA" => name.contains("-ECDSA-"),
        "aRSA" => name.contains("-RSA-"),
        "AES" | "AESGCM" => name.contains("-AES"),
        "AES128" | "AES256" | "CHACHA20" => name.contains(class),
        _ => name == class,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<&'static str>, String> {
        let name = |suite| TLS12_SUITES.iter().find(|(_, other)| *other == suite).expect("known").0;
        Ok(tls12(text)?.into_iter().map(name).collect())
    }

    #[test]
    fn ciphers_are_named_as_openssl_names_them() {
        let all: Vec<&str> = TLS12_SUITES.iter().map(|(name, _)| *name).collect();
        for text in ["", "DEFAULT", "HIGH:!aNULL:!MD5", "ALL:DEFAULT"] {
            assert_eq!(names(text).as_deref(), Ok(&all[..]), "{text}");
        }
        assert_eq!(names("ECDHE-RSA-AES128-GCM-SHA256"), Ok(vec![all[4]]));
        assert_eq!(names("ECDHE+CHACHA20:ECDHE-RSA-AES128-GCM-SHA256"), Ok(vec![all[2], all[5], all[4]]));
        assert_eq!(names("!AES128:DEFAULT:-ECDSA:+AES"), Ok(vec![all[5], all[3]]));
        for (text, word) in [
            ("AES128-SHA256", "AES128-SHA256"),
            ("DEFAULT:-AES128-SHA256", "-AES128-SHA256"),
            ("DEFAULT:@SECLEVEL=1", "@SECLEVEL=1"),
            ("kRSA", "kRSA"),
        ] {
            assert_eq!(names(text), Err(format!("tls-ciphers: {word} is not offered")));
        }
        assert!(names("!ALL").is_err());
    }

    #[test]
    fn versions_and_suites_that_are_not_offered_are_named() {
        let versions = |text| named_versions(text).map(|found| found.iter().map(|one| one.version).collect());
        assert_eq!(versions("TLSv1.2"), Ok(vec![TLS12.version]));
        assert_eq!(versions(""), Ok(vec![TLS13.version, TLS12.version]));
        assert_eq!(
            versions("TLSv1.1 TLSv1.2"),
            Err("tls-protocols: TLSv1.1 is not spoken by this server".into())
        );
        assert_eq!(versions("SSLv3"), Err("tls-protocols: SSLv3 is no version".into()));
        assert_eq!(tls13("TLS_AES_128_GCM_SHA256").map(|found| found.len()), Ok(1));
        assert!(tls13("TLS_AES_128_CCM_SHA256").is_err());
    }
}
