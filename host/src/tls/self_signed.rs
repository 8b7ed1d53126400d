//! A certificate for development, which no authority signs and no file keeps.

use anyhow::Context;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};

use super::hex;
use crate::config::tls::Identity;

/// What a browser on this machine may call it.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// Clocks of this machine may be set back.
const BEFORE: Duration = Duration::DAY;
/// Some clients take no certificate that is good for longer (CA/Browser Forum's limit of 2020).
const LIFETIME: Duration = Duration::days(397);

/// Makes one, and logs its fingerprint.
pub(super) fn make() -> anyhow::Result<Identity> {
    let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "skep, for development");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = OffsetDateTime::now_utc() - BEFORE;
    params.not_after = params.not_before + LIFETIME;
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let sha256 = hex(&Sha256::digest(certificate.der()));
    tracing::warn!(
        sha256,
        "a certificate for development, which clients have no reason to trust"
    );
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    Identity::of(certificate.der().clone(), key)
        .context("the certificate for development is not sound")
}
