//! An issuer's public keys (RFC 7517), and signatures by them. What a key is good for is the key's to say.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::Value;
use skep_policy::identity::Algorithm;

use super::watched::Kind;

const SET_BYTES_MAX: usize = 256 << 10;
const KEYS_MAX: usize = 100;
const COORDINATE_BYTES: usize = 32;
const MODULUS_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
const EXPONENT_BYTES_MAX: usize = 4;

pub(super) const KEY_SETS: Kind<KeySet> = Kind {
    what: "an issuer's keys",
    bytes_max: SET_BYTES_MAX,
    read: KeySet::read,
};

/// The keys that can verify something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Debug, PartialEq, Eq)]
struct Key {
    kid: Option<String>,
    material: Material,
}

#[derive(Debug, PartialEq, Eq)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// Uncompressed.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a set. Keys that verify nothing here, such as those for encryption, are left out (RFC 7517, 5); a set may be
    /// empty, when an issuer has taken back all of its keys.
    fn read(json: &[u8]) -> Result<Self, String> {
        let raw: RawSet = serde_json::from_slice(json)
            .map_err(|_| "is no key set: an object with an array of keys".to_owned())?;
        if raw.keys.len() > KEYS_MAX {
            return Err(format!("has more than {KEYS_MAX} keys"));
        }
        let given = raw.keys.len();
        let keys: Vec<Key> = raw.keys.into_iter().filter_map(Key::read).collect();
        if keys.is_empty() {
            tracing::warn!(given, "a key set has no key that can verify a token");
        }
        Ok(Self(keys))
    }

    /// Each key's id and algorithm, in their order.
    pub(super) fn described(&self) -> impl Iterator<Item = (Option<&str>, Algorithm)> {
        let keys = self.0.iter();
        keys.map(|key| (key.kid.as_deref(), key.material.algorithm()))
    }

    /// Whether one of these keys, by their places, has signed it.
    pub(super) fn verify(&self, places: &[usize], signed: &[u8], signature: &[u8]) -> bool {
        let mut keys = places.iter().filter_map(|place| self.0.get(*place));
        keys.any(|key| key.material.verifies(signed, signature))
    }
}

impl Key {
    fn read(raw: Value) -> Option<Self> {
        let raw: RawKey = serde_json::from_value(raw).ok()?;
        let is_for_this = raw.r#use.as_deref().is_none_or(|r#use| r#use == "sig");
        let ops = raw.key_ops.as_ref();
        let may_verify = ops.is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        let material = Material::read(&raw)?;
        let alg = raw.alg.as_deref();
        let is_of_it = alg.is_none_or(|alg| Algorithm::named(alg) == Some(material.algorithm()));
        (is_for_this && may_verify && is_of_it).then_some(Self {
            kid: raw.kid,
            material,
        })
    }
}

impl Material {
    fn read(raw: &RawKey) -> Option<Self> {
        let bytes = |text: &Option<String>| BASE64_URL_SAFE_NO_PAD.decode(text.as_ref()?).ok();
        let coordinate = |text| bytes(text).filter(|bytes| bytes.len() == COORDINATE_BYTES);
        match (raw.kty.as_str(), raw.crv.as_deref()) {
            ("RSA", _) => {
                let number = |text| {
                    let bytes: Vec<u8> = bytes(text)?;
                    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                    Some(bytes[zeros..].to_vec())
                };
                let (n, e) = (number(&raw.n)?, number(&raw.e)?);
                let unused = n.first()?.leading_zeros() as usize;
                let bits = n.len() * 8 - unused;
                let is_sound = MODULUS_BITS.contains(&bits) && e.len() <= EXPONENT_BYTES_MAX;
                is_sound.then_some(Self::Rsa { n, e })
            }
            ("EC", Some("P-256")) => {
                let (x, y) = (coordinate(&raw.x)?, coordinate(&raw.y)?);
                Some(Self::P256([&[4][..], &x, &y].concat()))
            }
            ("OKP", Some("Ed25519")) => Some(Self::Ed25519(coordinate(&raw.x)?)),
            _ => None,
        }
    }

    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        let verified = match self {
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                signed,
                signature,
            ),
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature)
            }
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(signed, signature),
        };
        verified.is_ok()
    }
}
