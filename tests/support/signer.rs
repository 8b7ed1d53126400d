//! Somebody with a key, who signs as `cosign` does.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;

/// Of a SubjectPublicKeyInfo for P-256, before the point.
const PREFIX: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgA=";

pub(crate) struct Signer(EcdsaKeyPair, SystemRandom);

impl Signer {
    pub(crate) fn new() -> Self {
        let (random, kind) = (SystemRandom::new(), &ECDSA_P256_SHA256_ASN1_SIGNING);
        let made = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        Self(
            EcdsaKeyPair::from_pkcs8(kind, made.as_ref(), &random).unwrap(),
            random,
        )
    }

    /// Settings of a host that trusts this key and no other.
    pub(crate) fn trusted(&self) -> String {
        format!("[trust]\nkeys = [\"\"\"\n{}\"\"\"]", self.public())
    }

    fn public(&self) -> String {
        let mut der = STANDARD.decode(PREFIX).unwrap();
        der.extend(self.0.public_key().as_ref());
        let text = STANDARD.encode(der);
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    /// A signature of a file, in base64.
    pub(crate) fn sign(&self, file: &Path) -> String {
        self.sign_bytes(&fs::read(file).unwrap())
    }

    /// A signature of these bytes, in base64.
    pub(crate) fn sign_bytes(&self, bytes: &[u8]) -> String {
        STANDARD.encode(self.0.sign(&self.1, bytes).unwrap())
    }
}

/// What is signed of an image whose manifest has this digest.
pub(crate) fn payload(manifest: &str) -> String {
    let critical = json!({
        "identity": {"docker-reference": "registry.example/a"},
        "image": {"docker-manifest-digest": manifest},
        "type": "cosign container image signature",
    });
    json!({"critical": critical, "optional": null}).to_string()
}
