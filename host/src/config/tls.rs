//! TLS of the gateway: where it is spoken, with which certificates, and to whom.

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};

use super::document::Document;
use super::error::{ConfigError, Place};

pub use self::identities::{Identities, NameError};
pub use self::identity::Identity;

mod identities;
mod identity;

/// What `[tls]` and its flags come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Where the gateway listens for TLS; never none.
    pub listen: Vec<SocketAddr>,
    /// What it shows to clients.
    pub certificates: Certificates,
    /// Whether clients that ask for no name, or for one that no certificate has, are refused.
    pub strict_sni: bool,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// Whose certificates clients show, if they do.
    pub clients: Option<Clients>,
    /// Where requests that come without TLS are sent, if they are.
    pub redirect: Option<Redirect>,
}

/// What the gateway shows to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificates {
    /// Of these files; never none. The first is for clients that ask for no name, or for an unknown one.
    Files(Vec<CertificateFiles>),
    /// One for this machine alone, made at every start.
    SelfSigned,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and those that lead to an authority; absolute.
    pub cert: PathBuf,
    /// The certificate's private key; absolute.
    pub key: PathBuf,
}

/// Versions of TLS that can be the oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// Clients that show certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    /// The authorities that certificates are of, in PEM; absolute.
    pub authorities: PathBuf,
    /// Whether a client without one is refused.
    pub required: bool,
}

/// The port that requests without TLS are sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirect {
    /// Of the first listener that speaks TLS.
    Listener,
    /// Another, under which clients reach it.
    Port(NonZero<u16>),
}

impl Clients {
    /// Reads the authorities.
    ///
    /// # Errors
    /// If the file can't be read or has no certificates that can.
    pub fn read(&self) -> Result<RootCertStore, ConfigError> {
        authorities(&Document::read(&self.authorities)?)
    }
}

/// The authorities in a file; never none.
pub(super) fn authorities(document: &Document) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(document)? {
        roots.add(certificate).map_err(|error| {
            let what = format!("has a certificate that can't be an authority's: {error}");
            wrong(document, what)
        })?;
    }
    Ok(roots)
}

/// The certificates in a file; never none.
fn chain(document: &Document) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(document.text().as_bytes()).collect();
    let chain = chain.map_err(|error| no_pem(document, &error))?;
    if chain.is_empty() {
        let what =
            "has no certificate: it takes PEM, which begins with -----BEGIN CERTIFICATE-----";
        return Err(wrong(document, what));
    }
    Ok(chain)
}

fn no_pem(document: &Document, error: &pem::Error) -> ConfigError {
    let why = match error {
        pem::Error::MissingSectionEnd { .. } => "an -----END …----- line is missing",
        pem::Error::IllegalSectionStart { .. } => "a -----BEGIN …----- line is none",
        pem::Error::Base64Decode(_) => "what is between the lines is not base64",
        _ => "it can't be read",
    };
    wrong(
        document,
        format!("is not PEM: {why}: copy or make the file again"),
    )
}

fn wrong(document: &Document, what: impl Into<String>) -> ConfigError {
    ConfigError::Invalid {
        at: Place {
            path: document.path().to_owned(),
            line: None,
        },
        what: what.into(),
    }
}
