//! `[tls]` and its flags: what they come to, and the words of what is refused.

use std::net::SocketAddr;
use std::num::NonZero;

use rcgen::{CertificateParams, KeyPair};

use super::super::tls::{CertificateFiles, Certificates, Clients, Redirect, Tls, TlsVersion};
use super::*;

/// A certificate in PEM for these names, and its key.
fn made(names: &[&str]) -> (String, String) {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key);
    (certificate.unwrap().pem(), key.serialize_pem())
}

/// Files that `settings` may name.
fn folder(settings: &str) -> Folder {
    let (shop, shop_key) = made(&["shop.example", "www.shop.example"]);
    let (other, other_key) = made(&["*.example", "shop.example"]);
    let (nameless, nameless_key) = made(&["192.0.2.1"]);
    Folder::new()
        .with("skep.toml", settings)
        .with("half.pem", &shop[..shop.len() / 2])
        .with("bad.key", shop_key.replace("MIG", "???"))
        .with("shop.pem", shop)
        .with("shop.key", shop_key)
        .with("other.pem", other)
        .with("other.key", other_key)
        .with("nameless.pem", nameless)
        .with("nameless.key", nameless_key)
}

const SHOP: &str = "certificate = [{ cert = 'shop.pem', key = 'shop.key' }]\n";

fn tls(folder: &Folder, flags: Overrides) -> Result<Option<Tls>, String> {
    folder
        .host_with("skep.toml", flags)
        .map(|config| config.tls)
}

#[test]
fn every_key_of_tls_is_taken() {
    let folder = folder(&format!(
        "[tls]\nlisten = ['127.0.0.1:0', '[::1]:8443']\n{SHOP}strict_sni = true\nmin_version = '1.3'\n\
         client_ca = 'other.pem'\nclient_auth = 'optional'\nredirect = true\nredirect_port = 443\n"
    ));
    let files = CertificateFiles {
        cert: folder.path("shop.pem"),
        key: folder.path("shop.key"),
    };
    let expected = Tls {
        listen: vec![
            "127.0.0.1:0".parse().unwrap(),
            "[::1]:8443".parse().unwrap(),
        ],
        certificates: Certificates::Files(vec![files]),
        strict_sni: true,
        min_version: TlsVersion::V1_3,
        clients: Some(Clients {
            authorities: folder.path("other.pem"),
            required: false,
        }),
        redirect: Some(Redirect::Port(NonZero::new(443).unwrap())),
    };
    assert_eq!(tls(&folder, Overrides::default()), Ok(Some(expected)));
}

#[test]
fn what_is_left_out_of_tls_has_defaults() {
    let listen = "listen = '127.0.0.1:8443'\n";
    let folder = folder(&format!("[tls]\n{listen}{SHOP}client_ca = 'other.pem'\n"));
    let tls = tls(&folder, Overrides::default()).unwrap().unwrap();
    assert_eq!(tls.min_version, TlsVersion::V1_2);
    assert!(tls.clients.is_some_and(|clients| clients.required));
    assert_eq!((tls.strict_sni, tls.redirect), (false, None));
    assert_eq!(Folder::new().host("hello.wasm").unwrap().tls, None);
}

#[test]
fn flags_of_tls_win_and_do_without_a_file() {
    let address: SocketAddr = "127.0.0.1:4433".parse().unwrap();
    let flags = |self_signed| Overrides {
        tls_listen: vec![address],
        tls_self_signed: self_signed,
        ..Overrides::default()
    };
    let listen = "listen = '127.0.0.1:8443'\n";
    let found = tls(&folder(&format!("[tls]\n{listen}{SHOP}")), flags(false));
    assert_eq!(found.unwrap().unwrap().listen, [address]);
    let found = tls(&folder(""), flags(true)).unwrap().unwrap();
    assert_eq!(found.listen, [address]);
    assert_eq!(found.certificates, Certificates::SelfSigned);
    let refused = tls(&folder(""), flags(false)).unwrap_err();
    assert!(refused.contains("names no certificate"), "{refused}");
    let refused = tls(&folder(&format!("[tls]\n{SHOP}")), flags(true)).unwrap_err();
    assert_eq!(
        refused,
        "--tls-self-signed makes a certificate, and [tls] certificate names one: leave out one of them"
    );
    let without = Overrides {
        tls_listen: Vec::new(),
        ..flags(true)
    };
    assert_eq!(
        tls(&folder(""), without).unwrap_err(),
        "--tls-self-signed needs an address to listen on: add --tls-listen 127.0.0.1:8443"
    );
}

/// Settings after `[tls]` and an address, and what is said of them.
const REFUSED: [(&str, &str); 14] = [
    (
        "",
        "skep.toml:1: tls.certificate: names no certificate: write certificate = [{ cert = \"shop.pem\", \
         key = \"shop.key\" }] under [tls], or, for development, start with --tls-self-signed",
    ),
    (
        "certificate = [{ cert = 'shop.pem' }]",
        "skep.toml:3: tls.certificate[0].key: is missing: a certificate has a `cert` and a `key`, files in PEM",
    ),
    (
        "certificate = [{ cert = 'gone.pem', key = 'shop.key' }]",
        "gone.pem: does not exist: create the file, or correct its path",
    ),
    (
        "certificate = [{ cert = 'half.pem', key = 'shop.key' }]",
        "half.pem: is not PEM: an -----END …----- line is missing: copy or make the file again",
    ),
    (
        "certificate = [{ cert = 'shop.pem', key = 'bad.key' }]",
        "bad.key: is not PEM: what is between the lines is not base64: copy or make the file again",
    ),
    (
        "certificate = [{ cert = 'shop.key', key = 'shop.pem' }]",
        "shop.key: has no certificate: it takes PEM, which begins with -----BEGIN CERTIFICATE-----",
    ),
    (
        "certificate = [{ cert = 'shop.pem', key = 'shop.pem' }]",
        "shop.pem: has no private key: it takes PEM, which begins with -----BEGIN PRIVATE KEY-----; one with a \
         passphrase can be had without by `openssl pkey -in FILE`",
    ),
    (
        "certificate = [{ cert = 'shop.pem', key = 'other.key' }]",
        "other.key: is not the key of shop.pem: name the one that it was made with",
    ),
    (
        "certificate = [{ cert = 'shop.pem', key = 'shop.key' },\n{ cert = 'other.pem', key = 'other.key' }]",
        "skep.toml:4: tls.certificate[1]: is for \"shop.example\", and so is certificate[0]: leave out one of them",
    ),
    (
        "strict_sni = true\ncertificate = [{ cert = 'nameless.pem', key = 'nameless.key' }]",
        "skep.toml:4: tls.certificate[0]: has no DNS name (subjectAltName), so that no client would get it: leave it \
         out, put it first without strict_sni, or have it made with its names",
    ),
    (
        "certificate = [{ cert = 'shop.pem', key = 'shop.key' }]\nmin_version = '1.1'",
        "skep.toml:4: tls.min_version: \"1.1\" is no version: write \"1.2\" or \"1.3\"",
    ),
    (
        "certificate = [{ cert = 'shop.pem', key = 'shop.key' }]\nclient_auth = 'required'",
        "skep.toml:4: tls.client_auth: needs client_ca, the authorities that clients' certificates are of",
    ),
    (
        "certificate = [{ cert = 'shop.pem', key = 'shop.key' }]\nclient_ca = 'shop.key'",
        "shop.key: has no certificate: it takes PEM, which begins with -----BEGIN CERTIFICATE-----",
    ),
    (
        "certificate = [{ cert = 'shop.pem', key = 'shop.key' }]\nredirect_port = 443",
        "skep.toml:4: tls.redirect_port: does nothing without redirect = true: write that, too, or leave it out",
    ),
];

#[test]
fn what_tls_can_t_be_done_with_says_what_would_do() {
    for (settings, message) in REFUSED {
        let folder = folder(&format!("[tls]\nlisten = '127.0.0.1:8443'\n{settings}\n"));
        let refused = tls(&folder, Overrides::default()).unwrap_err();
        assert_eq!(refused, message, "\n{settings}");
    }
}

#[test]
fn tls_has_addresses_of_its_own() {
    for (listen, what) in [
        (
            "",
            "names no address: write one, such as \"0.0.0.0:8443\", or leave [tls] out",
        ),
        (
            "listen = '127.0.0.1:8080'\n",
            "127.0.0.1:8080 is where the host listens without TLS: choose another address",
        ),
        (
            "listen = ['127.0.0.1:8081']\n",
            "127.0.0.1:8081 is where the host listens without TLS: choose another address",
        ),
        (
            "listen = 'localhost'\n",
            "\"localhost\" is no address: write an IP address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"",
        ),
    ] {
        let folder = folder(&format!("[tls]\n{listen}{SHOP}"));
        let refused = tls(&folder, Overrides::default()).unwrap_err();
        assert!(refused.ends_with(what), "{refused}");
        assert!(refused.starts_with("skep.toml:"), "{refused}");
    }
}
