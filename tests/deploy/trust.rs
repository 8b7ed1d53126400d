//! With `[trust] keys`, only components that one of them signed are deployed.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

use crate::support::operator::put;
use crate::support::{Host, guest};

/// Of a SubjectPublicKeyInfo for P-256, before the point.
const PREFIX: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgA=";

struct Signer(EcdsaKeyPair, SystemRandom);

impl Signer {
    fn new() -> Self {
        let (random, kind) = (SystemRandom::new(), &ECDSA_P256_SHA256_ASN1_SIGNING);
        let made = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        Self(
            EcdsaKeyPair::from_pkcs8(kind, made.as_ref(), &random).unwrap(),
            random,
        )
    }

    fn public(&self) -> String {
        let mut der = STANDARD.decode(PREFIX).unwrap();
        der.extend(self.0.public_key().as_ref());
        let text = STANDARD.encode(der);
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    fn sign(&self, guest: &std::path::Path) -> String {
        let signature = self.0.sign(&self.1, &fs::read(guest).unwrap()).unwrap();
        STANDARD.encode(signature)
    }
}

#[tokio::test]
async fn what_is_not_signed_is_not_deployed() {
    let (ours, theirs) = (Signer::new(), Signer::new());
    let settings = format!("[trust]\nkeys = [\"\"\"\n{}\"\"\"]", ours.public());
    let host = Host::with("drop", guest("hello"))
        .settings(&settings)
        .start()
        .await;
    host.refused_with("drop", "it is not signed").await;
    // The signature comes later than the component.
    host.put("drop.wasm.sig", ours.sign(&guest("hello")));
    host.promoted("drop", 1).await;

    // What was vouched for once is known.
    let (hello, echo) = (guest("hello"), guest("echo"));
    assert_eq!(host.ask(put("same", &[], &hello)).await.status(), 200);
    let sent = host.ask(put("sent", &[], &echo)).await;
    assert_eq!(sent.status(), 422, "{}", sent.text());
    for signature in [theirs.sign(&echo), ours.sign(&hello), "nonsense".to_owned()] {
        let sent = host
            .ask(put("sent", &[("signature", &signature)], &echo))
            .await;
        assert_eq!(sent.status(), 422);
        assert!(
            sent.text().contains("by none of the [trust] keys"),
            "{}",
            sent.text()
        );
    }
    let signature = ours.sign(&echo);
    let sent = host
        .ask(put("sent", &[("signature", &signature)], &echo))
        .await;
    assert_eq!(sent.status(), 200, "{}", sent.text());
    assert_eq!(host.get("/sent").await.status(), 200);
    host.stop().await;
}
