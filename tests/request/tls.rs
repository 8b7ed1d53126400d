//! The gateway speaks TLS: requests come as ever, each client gets the certificate that it asks for, and no other version.

use std::process::Stdio;

use http::Request;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::support::client::{Connection, curl, empty, get};
use crate::support::setup::Setup;
use crate::support::tls::{Authority, Pair, handshakes, sha256};
use crate::support::wait::within;
use crate::support::{Host, fault, guest, probe};

const NAME: &str = "shop.example";

/// A listener for TLS with these certificates, and more settings of `[tls]`.
fn secure(setup: Setup, pairs: &[&Pair], settings: &str) -> Setup {
    let mut setup = setup;
    let mut listed = Vec::new();
    for (at, pair) in pairs.iter().enumerate() {
        let (cert, key) = (format!("{at}.pem"), format!("{at}.key"));
        setup = setup.file(&cert, &pair.pem);
        setup = setup.file(&key, pair.key.serialize_pem());
        listed.push(format!("{{ cert = \"{cert}\", key = \"{key}\" }}"));
    }
    let listed = listed.join(", ");
    setup.settings(&format!(
        "[tls]\nlisten = [\"127.0.0.1:0\", \"[::1]:0\"]\ncertificate = [{listed}]\n{settings}"
    ))
}

#[tokio::test]
async fn requests_of_both_versions_are_answered_and_told_as_secure() {
    let authority = Authority::new();
    let pair = authority.issue(&[NAME]);
    let host = secure(Host::with("a", probe("headers")), &[&pair], "");
    let host = host.start().await;
    let client = authority.trusting();
    for (protocols, agreed) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        for address in &host.tls {
            let client = client.clone().offering(protocols);
            let stream = client.shake(*address, NAME).await.unwrap();
            let found = stream.get_ref().1.alpn_protocol();
            assert_eq!(found, agreed.map(str::as_bytes));
            let mut connection = Connection::tls(stream, *address).await;
            let request = Request::get("/a/b")
                .header("host", NAME)
                .header("x-forwarded-proto", "http")
                .header("x-forwarded-client-cert", "Hash=00")
                .body(empty())
                .unwrap();
            let answer = connection.send(request).await;
            assert_eq!(answer.status(), 200, "{answer:?}");
            let text = answer.text();
            assert!(text.lines().next().unwrap().contains("Https"), "{text}");
            assert!(text.contains("\nx-forwarded-proto: https\n"), "{text}");
            assert!(
                text.contains(";host=\"shop.example\";proto=https\n"),
                "{text}"
            );
            assert!(!text.contains("x-forwarded-client-cert"), "{text}");
            assert_eq!(connection.get("/a").await.status(), 200);
        }
    }
    assert_eq!(host.get("/a").await.status(), 200, "without TLS as ever");
    handshakes(&host, "ok", 6).await;
    host.stop().await;
}

#[tokio::test]
async fn each_name_gets_its_certificate_and_others_the_first() {
    let authority = Authority::new();
    let pairs = [
        &["a.example"][..],
        &["*.shop.example", "shop.example"],
        &["b.shop.example"],
    ]
    .map(|names| authority.issue(names));
    let all = [&pairs[0], &pairs[1], &pairs[2]];
    let expected = [
        ("a.example", 0),
        (NAME, 1),
        ("x.shop.example", 1),
        ("b.shop.example", 2),
        ("elsewhere.example", 0),
        ("127.0.0.1", 0),
    ];
    let host = secure(Host::empty(), &all, "").start().await;
    for (name, which) in expected {
        // What a client is shown does not depend on whether it likes it.
        let client = authority.trusting().pinning(&sha256(&pairs[which].der));
        assert_eq!(
            client.shown(host.tls[0], name).await,
            pairs[which].der,
            "{name}"
        );
    }
    host.stop().await;
    let host = secure(Host::empty(), &all, "strict_sni = true")
        .start()
        .await;
    let client = authority.trusting();
    assert_eq!(client.shown(host.tls[0], NAME).await, pairs[1].der);
    for name in ["elsewhere.example", "127.0.0.1"] {
        let error = client.shake(host.tls[0], name).await.unwrap_err();
        assert!(error.to_string().contains("fatal alert"), "{error}");
    }
    host.stop().await;
}

#[tokio::test]
async fn old_versions_are_refused() {
    let authority = Authority::new();
    let pair = authority.issue(&[NAME]);
    let host = secure(Host::empty(), &[&pair], "").start().await;
    let client = authority.trusting();
    for version in [&TLS12, &TLS13] {
        client
            .clone()
            .only(version)
            .shake(host.tls[0], NAME)
            .await
            .unwrap();
    }
    for version in ["-tls1", "-tls1_1"] {
        let said = s_client(&host, &[version, "-cipher", "ALL:@SECLEVEL=0"], "").await;
        assert!(said.contains("SSL alert number"), "{version}: {said}");
        assert!(said.contains("Cipher is (NONE)"), "{version}: {said}");
    }
    host.stop().await;
    let host = secure(Host::empty(), &[&pair], "min_version = \"1.3\"");
    let host = host.start().await;
    client
        .clone()
        .only(&TLS13)
        .shake(host.tls[0], NAME)
        .await
        .unwrap();
    let client = client.only(&TLS12);
    client.shake(host.tls[0], NAME).await.unwrap_err();
    host.stop().await;
}

/// What `openssl s_client` says, on either output, when it is told `input`.
async fn s_client(host: &Host, flags: &[&str], input: &str) -> String {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-servername", NAME, "-connect"])
        .arg(host.tls[0].to_string())
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .expect("openssl, which `cargo xtask setup` installs");
    let mut stdin = child.stdin.take().unwrap();
    // It may have ended before it reads.
    drop(stdin.write_all(input.as_bytes()).await);
    let keeps_open = (!input.is_empty()).then_some(stdin);
    let output = within("openssl to end", child.wait_with_output())
        .await
        .unwrap();
    drop(keeps_open);
    [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat()
}

#[tokio::test]
async fn a_handshake_cant_be_had_twice_on_a_connection() {
    let authority = Authority::new();
    let pair = authority.issue(&[NAME]);
    let host = secure(Host::empty(), &[&pair], "[timeouts]\nheader = \"1s\"\n");
    let host = host.start().await;
    // In each handshake openssl looks at the host's certificate, and says so.
    let looks = |said: &str| said.matches("verify return:1").count();
    let once = s_client(&host, &["-tls1_2"], "").await;
    let again = s_client(&host, &["-tls1_2"], "R\n").await;
    assert!(again.contains("RENEGOTIATING"), "{again}");
    assert!(looks(&once) > 0, "{once}");
    assert_eq!(looks(&once), looks(&again), "{again}");
    host.stop().await;
}

#[tokio::test]
async fn curl_gets_answers_of_both_versions() {
    let authority = Authority::new();
    let pair = authority.issue(&[NAME]);
    let host = secure(Host::with("a", guest("hello")), &[&pair], "")
        .file("ca.pem", authority.pem())
        .start()
        .await;
    let port = host.tls[0].port();
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let certificate = host.path().join("ca.pem");
        let said = curl(&[
            "--fail",
            flag,
            "--cacert",
            certificate.to_str().unwrap(),
            "--resolve",
            &format!("{NAME}:{port}:127.0.0.1"),
            "--write-out",
            "%{http_version} %{ssl_verify_result}",
            &format!("https://{NAME}:{port}/a"),
        ])
        .await;
        let expected = format!("Hello from hello revision 1: GET /\n{version} 0");
        assert_eq!(said, expected);
    }
    host.stop().await;
}

#[tokio::test]
async fn a_client_over_tls_that_stops_reading_is_let_go() {
    let authority = Authority::new();
    let pair = authority.issue(&[NAME]);
    let host = Host::with("a", fault("endless_body")).manifest("a", "[limits]\ncpu = \"60s\"\n");
    let host = secure(host, &[&pair], "[timeouts]\nbody_idle = \"300ms\"\n");
    let host = host.start().await;
    let client = authority.trusting();
    let mut stream = client.shake(host.tls[0], NAME).await.unwrap();
    stream
        .write_all(b"GET /a HTTP/1.1\r\nHost: here\r\n\r\n")
        .await
        .unwrap();
    let mut some = [0; 16];
    within("an answer", stream.read_exact(&mut some))
        .await
        .unwrap();
    let line = host
        .log_line("the request given up", |line| {
            line.field("cause") == "caller_gone"
        })
        .await;
    assert_eq!(line.field("blame"), "caller", "{}", line.text());
    host.works_on("a", 0).await;
    host.stop().await;
}

#[tokio::test]
async fn requests_without_tls_are_sent_to_where_it_is_spoken() {
    let authority = Authority::new();
    let pair = authority.issue(&[NAME]);
    let manifest = "[[route]]\npath = \"/{*rest}\"\n";
    let hello = || Host::with("a", guest("hello")).manifest("a", manifest);
    let host = secure(hello(), &[&pair], "redirect = true\n").start().await;
    let port = host.tls[0].port();
    for mut connection in host.both().await {
        for method in ["GET", "POST"] {
            let request = Request::builder().method(method).uri("/a/b?c=d");
            let request = request.header("host", "shop.example:81").body(empty());
            let answer = connection.send(request.unwrap()).await;
            assert_eq!(answer.status(), 308, "{answer:?}");
            let expected = format!("https://shop.example:{port}/a/b?c=d");
            assert_eq!(answer.header("location"), Some(&*expected));
        }
        let challenge = get("/.well-known/acme-challenge/token");
        assert_eq!(connection.send(challenge).await.status(), 200);
    }
    let malformed = host
        .raw("GET / HTTP/1.1\r\nHost: a@b\r\nConnection: close\r\n\r\n")
        .await;
    assert!(malformed.starts_with("HTTP/1.1 400"), "{malformed}");
    let mut connection = authority.trusting().connect(host.tls[0], NAME).await;
    assert_eq!(connection.get("/a").await.status(), 200);
    host.stop().await;
    let settings = "redirect = true\nredirect_port = 443\n";
    let host = secure(hello(), &[&pair], settings).start().await;
    let request = Request::get("/").header("host", NAME);
    let answer = host.request(request.body(empty()).unwrap()).await;
    assert_eq!(answer.header("location"), Some("https://shop.example/"));
    host.stop().await;
}

#[tokio::test]
async fn a_certificate_for_development_is_made_and_its_fingerprint_logged() {
    let host = Host::with("a", guest("hello"))
        .flag("--tls-self-signed")
        .flag("--tls-listen=127.0.0.1:0")
        .flag("--tls-listen=[::1]:0")
        .start()
        .await;
    let made = |line: &crate::support::log::Line| !line.field("sha256").is_empty();
    let line = host.log_line("the fingerprint", made).await;
    let client = Authority::new().trusting();
    for (address, name) in [(host.tls[0], "localhost"), (host.tls[1], "::1")] {
        client.shake(address, name).await.unwrap_err();
        let client = client.clone().pinning(&line.field("sha256"));
        let mut connection = client.connect(address, name).await;
        assert_eq!(connection.get("/a").await.status(), 200);
    }
    let setup = host.stop().await;
    let host = setup.start().await;
    let again = host.log_line("the fingerprint", made).await;
    assert_ne!(again.field("sha256"), line.field("sha256"));
    host.stop().await;
}
