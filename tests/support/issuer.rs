//! Who issues tokens in a test: keys and signatures by `openssl`, and the URL where the keys are.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

pub(crate) const ISSUER: &str = "https://issuer.example/";
const COORDINATE_BYTES: usize = 32;

/// A pair of keys.
pub(crate) struct Key {
    kid: String,
    pub(crate) alg: &'static str,
    file: NamedTempFile,
}

impl Key {
    /// RSA of so many bits.
    pub(crate) fn rsa(kid: &str, bits: u32) -> Self {
        let bits = format!("rsa_keygen_bits:{bits}");
        Self::new(kid, "RS256", &["-algorithm", "RSA", "-pkeyopt", &bits])
    }

    pub(crate) fn p256(kid: &str) -> Self {
        let curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
        Self::new(kid, "ES256", &curve)
    }

    pub(crate) fn ed25519(kid: &str) -> Self {
        Self::new(kid, "EdDSA", &["-algorithm", "ED25519"])
    }

    fn new(kid: &str, alg: &'static str, how: &[&str]) -> Self {
        let mut file = NamedTempFile::new().unwrap();
        let pem = openssl(&[&["genpkey", "-quiet"], how].concat(), b"");
        file.write_all(&pem).unwrap();
        Self {
            kid: kid.to_owned(),
            alg,
            file,
        }
    }

    fn path(&self) -> &str {
        self.file.path().to_str().unwrap()
    }

    /// The public key in PEM.
    pub(crate) fn public_pem(&self) -> Vec<u8> {
        openssl(&["pkey", "-in", self.path(), "-pubout"], b"")
    }

    /// The public key as an issuer publishes it.
    pub(crate) fn jwk(&self) -> Value {
        let public = ["pkey", "-in", self.path(), "-pubout", "-outform", "DER"];
        let der = openssl(&public, b"");
        let last = |bytes: usize| &der[der.len() - bytes..];
        let mut jwk = match self.alg {
            "RS256" => {
                let modulus = openssl(&["rsa", "-in", self.path(), "-noout", "-modulus"], b"");
                let modulus = String::from_utf8(modulus).unwrap();
                let digits = modulus.trim().strip_prefix("Modulus=").unwrap().as_bytes();
                let digit = |digit: u8| char::from(digit).to_digit(16).unwrap() as u8;
                let bytes = digits
                    .chunks(2)
                    .map(|two| digit(two[0]) << 4 | digit(two[1]));
                let n = bytes.collect::<Vec<_>>();
                json!({"kty": "RSA", "n": encode(n), "e": "AQAB", "use": "sig"})
            }
            "ES256" => {
                let (x, y) = last(2 * COORDINATE_BYTES).split_at(COORDINATE_BYTES);
                json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)})
            }
            _ => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(last(COORDINATE_BYTES))}),
        };
        jwk["kid"] = self.kid.clone().into();
        jwk
    }

    /// A signature as tokens have it.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(message).unwrap();
        let file = file.path().to_str().unwrap();
        match self.alg {
            "EdDSA" => {
                let sign = [
                    "pkeyutl",
                    "-sign",
                    "-rawin",
                    "-inkey",
                    self.path(),
                    "-in",
                    file,
                ];
                openssl(&sign, b"")
            }
            alg => {
                let signature = openssl(&["dgst", "-sha256", "-sign", self.path(), file], b"");
                if alg == "ES256" {
                    flat(&signature)
                } else {
                    signature
                }
            }
        }
    }

    /// A token with this head.
    pub(crate) fn token_of(&self, head: &Value, claims: &Value) -> String {
        let signed = unsigned(head, claims);
        let signature = encode(self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    pub(crate) fn head(&self) -> Value {
        json!({"alg": self.alg, "kid": self.kid, "typ": "JWT"})
    }

    /// A token of alice's with these claims in the place of, or beside, those that are good; null takes one away.
    pub(crate) fn token(&self, other: &Value) -> String {
        self.token_of(&self.head(), &claims(other))
    }
}

/// Head and claims, encoded.
pub(crate) fn unsigned(head: &Value, claims: &Value) -> String {
    format!(
        "{}.{}",
        encode(head.to_string()),
        encode(claims.to_string())
    )
}

/// Claims that are good for a while, with these in their place; null takes one away.
pub(crate) fn claims(other: &Value) -> Value {
    let mut claims = json!({"iss": ISSUER, "aud": "shop", "sub": "alice", "exp": now() + 600});
    for (name, value) in other.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let kept = claims.as_object_mut().unwrap();
    kept.retain(|_, value| !value.is_null());
    claims
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The key set with these keys.
pub(crate) fn key_set(keys: &[&Key]) -> String {
    let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
    json!({"keys": keys}).to_string()
}

/// An ECDSA signature without its DER: both numbers, each of 32 bytes.
fn flat(der: &[u8]) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut flat = Vec::new();
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let (number, after) = rest[2..].split_at(length);
        let number = &number[number.len().saturating_sub(COORDINATE_BYTES)..];
        flat.extend(std::iter::repeat_n(0, COORDINATE_BYTES - number.len()));
        flat.extend(number);
        rest = after;
    }
    flat
}

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut openssl = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl, which `cargo xtask setup` installs");
    openssl.stdin.take().unwrap().write_all(input).unwrap();
    let output = openssl.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    output.stdout
}

/// What an issuer's URL answers.
#[derive(Clone)]
pub(crate) enum Says {
    /// 200 and this.
    Keys(String),
    /// This status and nothing.
    Status(&'static str),
    /// A redirection to another URL.
    Elsewhere(String),
    /// A body without an end.
    Endless,
    /// Nothing at all, for as long as anybody waits.
    Nothing,
}

/// The URL where an issuer's keys are.
pub(crate) struct Issuer {
    pub(crate) url: String,
    says: Arc<Mutex<Says>>,
    asked: Arc<AtomicU32>,
    _server: AbortOnDropHandle<()>,
}

impl Issuer {
    pub(crate) async fn start(says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys.json", listener.local_addr().unwrap());
        let says = Arc::new(Mutex::new(says));
        let asked = Arc::new(AtomicU32::new(0));
        let (told, counted) = (says.clone(), asked.clone());
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, SeqCst);
                let says = told.lock().unwrap().clone();
                tokio::spawn(answer(stream, says));
            }
        });
        Self {
            url,
            says,
            asked,
            _server: AbortOnDropHandle::new(server),
        }
    }

    /// What it answers from now on.
    pub(crate) fn says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> u32 {
        self.asked.load(SeqCst)
    }
}

async fn answer(mut stream: tokio::net::TcpStream, says: Says) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let close = "Connection: close\r\n";
    let answer = match says {
        Says::Keys(keys) => {
            let length = keys.len();
            format!("HTTP/1.1 200 OK\r\n{close}Content-Length: {length}\r\n\r\n{keys}")
        }
        Says::Status(status) => format!("HTTP/1.1 {status}\r\n{close}Content-Length: 0\r\n\r\n"),
        Says::Elsewhere(url) => {
            format!("HTTP/1.1 302 Found\r\n{close}Location: {url}\r\nContent-Length: 0\r\n\r\n")
        }
        Says::Endless => {
            let start = format!("HTTP/1.1 200 OK\r\n{close}\r\n{{\"keys\": [");
            let mut sent = stream.write_all(start.as_bytes()).await;
            while sent.is_ok() {
                sent = stream.write_all(&[b' '; 4096]).await;
            }
            return;
        }
        Says::Nothing => {
            // Until the other side has had enough.
            stream.read_buf(&mut head).await.ok();
            return;
        }
    };
    // Who hangs up is the test's business.
    stream.write_all(answer.as_bytes()).await.ok();
}
