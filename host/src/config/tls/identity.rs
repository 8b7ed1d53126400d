//! What a listener can prove to be: a certificate, what leads to an authority, and the key.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{CertificateFiles, chain, no_pem, wrong};
use crate::config::document::Document;
use crate::config::error::ConfigError;

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// What rustls signs with.
    pub key: Arc<CertifiedKey>,
    /// The DNS names that the certificate has, lower-case; a wildcard is `*.` and what follows.
    pub names: Vec<String>,
    /// When it expires, in seconds since 1970.
    pub expires: i64,
}

impl CertificateFiles {
    /// Reads both files.
    ///
    /// # Errors
    /// If one can't be read or has not what it should, or the key is another certificate's.
    pub fn read(&self) -> Result<Identity, ConfigError> {
        let cert = Document::read(&self.cert)?;
        let chain = chain(&cert)?;
        let (names, expires) = described(&chain[0]).ok_or_else(|| {
            let what = "its first certificate can't be read: copy or make the file again";
            wrong(&cert, what)
        })?;
        let document = Document::read(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(document.text().as_bytes());
        let key = key.map_err(|error| match error {
            pem::Error::NoItemsFound => {
                let what = "has no private key: it takes PEM, which begins with -----BEGIN PRIVATE KEY-----; \
                            one with a passphrase can be had without by `openssl pkey -in FILE`";
                wrong(&document, what)
            }
            error => no_pem(&document, &error),
        })?;
        let of_key = |error| match error {
            rustls::Error::InconsistentKeys(_) => {
                let cert = self.cert.display();
                let what = format!("is not the key of {cert}: name the one that it was made with");
                wrong(&document, what)
            }
            error => {
                let what = format!(
                    "has a private key that can't be used: {error}: it takes RSA of at least 2048 bits, ECDSA on \
                     P-256 or P-384, or Ed25519"
                );
                wrong(&document, what)
            }
        };
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(of_key)?;
        Ok(Identity {
            key: Arc::new(key),
            names,
            expires,
        })
    }
}

impl Identity {
    /// Of what was made in memory; None if it is not sound.
    #[must_use]
    pub fn of(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> Option<Self> {
        let (names, expires) = described(&certificate)?;
        let key = CertifiedKey::from_der(vec![certificate], key, &provider()).ok()?;
        Some(Self {
            key: Arc::new(key),
            names,
            expires,
        })
    }
}

/// What certificates sign with.
fn provider() -> CryptoProvider {
    default_provider()
}

/// The names of a certificate, and when it expires.
fn described(certificate: &CertificateDer<'_>) -> Option<(Vec<String>, i64)> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let alternative = certificate.subject_alternative_name().ok()?;
    let names = alternative
        .iter()
        .flat_map(|found| &found.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    let expires = certificate.validity().not_after.timestamp();
    Some((names.collect(), expires))
}
