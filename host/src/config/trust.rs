//! Whose components are taken: public keys, and signatures as `cosign sign-blob` makes them of components and `cosign sign`
//! of images.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm};

pub use self::image::{Evidence, WASM_LAYERS};

mod image;

/// What comes before the key in a SubjectPublicKeyInfo (RFC 5480, RFC 8410): of an ECDSA key on P-256, whose point is not
/// compressed, and of an Ed25519 key. There is one way to write either.
const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const P256_POINT_BYTES: usize = 65;
const ED25519_PREFIX: &[u8] = &[
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const ED25519_KEY_BYTES: usize = 32;
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";
/// Characters of a signature, or of what vouches for an image.
pub const SIGNATURE_CHARS_MAX: usize = 64 << 10;

/// The keys that components must be signed with, one of them each; none if components need no signature.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust(Vec<Key>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    kind: Kind,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    P256,
    Ed25519,
}

/// A text that is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no public key: it takes an ECDSA key on P-256 or an Ed25519 key in PEM, such as the cosign.pub that \
     `cosign generate-key-pair` makes"
)]
pub struct KeyError;

/// Why a component is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// There is no signature.
    #[error(
        "it is not signed, and [trust] keys wants it to be: sign it with `cosign sign-blob --key cosign.key NAME.wasm > \
         NAME.wasm.sig` and put the signature beside it, or send it along"
    )]
    Unsigned,
    /// It is by nobody of these.
    #[error("its signature is by none of the [trust] keys, or of another component")]
    Unknown,
    /// What is signed names another manifest.
    #[error("one of the [trust] keys signed another image, not the one that it comes from")]
    AnotherImage,
    /// The image that is signed has other layers.
    #[error(
        "one of the [trust] keys signed the image, but the image is not this component and nothing else"
    )]
    AnotherComponent,
}

impl Trust {
    /// Whether components need no signature.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.0.is_empty()
    }

    /// Trusts one more key, in PEM.
    pub(super) fn add(&mut self, pem: &str) -> Result<(), KeyError> {
        let (_, rest) = pem.split_once(BEGIN).ok_or(KeyError)?;
        let (text, _) = rest.split_once(END).ok_or(KeyError)?;
        let text: String = text.split_whitespace().collect();
        let der = STANDARD.decode(text).map_err(|_| KeyError)?;
        let known = [
            (Kind::P256, P256, P256_POINT_BYTES),
            (Kind::Ed25519, ED25519_PREFIX, ED25519_KEY_BYTES),
        ];
        let key = known.into_iter().find_map(|(kind, prefix, bytes)| {
            let key = der.strip_prefix(prefix)?;
            (key.len() == bytes).then(|| Key {
                kind,
                bytes: key.to_vec(),
            })
        });
        self.0.push(key.ok_or(KeyError)?);
        Ok(())
    }

    /// Whether one of the keys signed this component, or an image of it; `signature` is in base64, or [`Evidence`].
    ///
    /// # Errors
    /// Why they are not trusted.
    pub fn check(&self, component: &[u8], signature: Option<&str>) -> Result<(), Distrust> {
        if self.is_blind() {
            return Ok(());
        }
        let signature = signature.ok_or(Distrust::Unsigned)?.trim();
        if signature.len() > SIGNATURE_CHARS_MAX {
            return Err(Distrust::Unknown);
        }
        match Evidence::read(signature) {
            Some(evidence) => evidence?.check(component, |payload, by| self.signed(payload, by)),
            None if self.signed(component, signature) => Ok(()),
            None => Err(Distrust::Unknown),
        }
    }

    /// Whether one of the keys made this signature of these bytes.
    fn signed(&self, bytes: &[u8], signature: &str) -> bool {
        let Ok(signature) = STANDARD.decode(signature) else {
            return false;
        };
        let signed = |key: &Key| {
            let algorithm: &dyn VerificationAlgorithm = match key.kind {
                Kind::P256 => &ECDSA_P256_SHA256_ASN1,
                Kind::Ed25519 => &ED25519,
            };
            UnparsedPublicKey::new(algorithm, &key.bytes)
                .verify(bytes, &signature)
                .is_ok()
        };
        self.0.iter().any(signed)
    }
}

/// Where the signature of a drop-in's component lies.
#[must_use]
pub fn signature_path(component: &Path) -> std::path::PathBuf {
    let mut name = component.file_name().unwrap_or_default().to_owned();
    name.push(".sig");
    component.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

    use super::*;

    fn pem(prefix: &[u8], key: &[u8]) -> String {
        let der = [prefix, key].concat();
        format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(der))
    }

    #[test]
    fn what_a_key_signed_is_trusted_and_nothing_else() {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let ecdsa =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, made.as_ref(), &random)
                .unwrap();
        let made = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let edwards = Ed25519KeyPair::from_pkcs8(made.as_ref()).unwrap();
        let mut trust = Trust::default();
        assert_eq!(trust.check(b"any", None), Ok(()));
        trust.add(&pem(P256, ecdsa.public_key().as_ref())).unwrap();
        let by_ecdsa = STANDARD.encode(ecdsa.sign(&random, b"component").unwrap());
        let by_edwards = STANDARD.encode(edwards.sign(b"component"));
        assert_eq!(trust.check(b"component", Some(&by_ecdsa)), Ok(()));
        assert_eq!(
            trust.check(b"component", Some(&format!("{by_ecdsa}\n"))),
            Ok(())
        );
        assert_eq!(trust.check(b"component", None), Err(Distrust::Unsigned));
        for (bytes, signature) in [
            (&b"another"[..], by_ecdsa.as_str()),
            (b"component", &by_edwards),
            (b"component", ""),
            (b"component", "?"),
            (b"component", &" {}".repeat(SIGNATURE_CHARS_MAX)),
        ] {
            assert_eq!(trust.check(bytes, Some(signature)), Err(Distrust::Unknown));
        }
        trust
            .add(&pem(ED25519_PREFIX, edwards.public_key().as_ref()))
            .unwrap();
        assert_eq!(trust.check(b"component", Some(&by_edwards)), Ok(()));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let mut trust = Trust::default();
        for text in [
            "",
            BEGIN,
            &pem(P256, &[4; 64]),
            &pem(&[], &[0; 91]),
            &pem(P256, &[4; 65]).replace("PUBLIC", "PRIVATE"),
        ] {
            assert_eq!(trust.add(text), Err(KeyError), "{text}");
        }
        assert!(trust.is_blind());
    }
}
