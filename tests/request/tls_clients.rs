//! Clients show certificates: those of the authority's are let in and told to the service, others are not.

use http::Request;
use rustls::version::{TLS12, TLS13};

use crate::support::client::empty;
use crate::support::tls::{Authority, Client, handshakes, sha256};
use crate::support::wait::within;
use crate::support::{Answer, Host, probe};

const NAME: &str = "shop.example";

/// A server by one authority, whose clients are of another.
async fn host(servers: &Authority, clients: &Authority, auth: &str) -> Host {
    let pair = servers.issue(&[NAME]);
    Host::with("a", probe("headers"))
        .file("0.pem", &pair.pem)
        .file("0.key", pair.key.serialize_pem())
        .file("clients.pem", clients.pem())
        .settings(&format!(
            "[tls]\nlisten = \"127.0.0.1:0\"\ncertificate = [{{ cert = \"0.pem\", key = \"0.key\" }}]\n\
             client_ca = \"clients.pem\"\n{auth}\n"
        ))
        .start()
        .await
}

/// The answer to a request that claims to have been shown a certificate; None if the client isn't let in.
async fn asked(client: &Client, host: &Host) -> Option<Answer> {
    // In TLS 1.3 the client is done before the host has looked at its certificate.
    let stream = client.shake(host.tls[0], NAME).await.ok()?;
    let address = host.tls[0];
    let mut connection = crate::support::client::Connection::tls(stream, address).await;
    let request =
        Request::get("/a").header("x-forwarded-client-cert", "Hash=00;Subject=\"CN=forged\"");
    let request = request.header("X-Forwarded-Client-Cert", "Hash=01");
    let opened = connection.open(request.body(empty()).unwrap());
    let reply = within("an answer", opened).await.ok()?;
    Some(reply.finish().await)
}

fn told(answer: &Answer) -> Vec<&str> {
    let lines = answer.text().lines();
    lines
        .filter_map(|line| line.strip_prefix("x-forwarded-client-cert: "))
        .collect()
}

#[tokio::test]
async fn a_verified_certificate_is_told_to_the_service() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let pair = clients.client("Shop & Co", "till \"7\"");
    let expected = format!(
        "Hash={};Subject=\"CN=till \\227\\22,O=Shop & Co\"",
        sha256(&pair.der)
    );
    for auth in [
        "",
        "client_auth = \"required\"",
        "client_auth = \"optional\"",
    ] {
        let host = host(&servers, &clients, auth).await;
        for protocol in ["h2", "http/1.1"] {
            let client = servers.trusting().offering(&[protocol]).showing(&pair);
            let answer = asked(&client, &host).await.unwrap();
            assert_eq!(told(&answer), [&expected], "{auth}");
        }
        host.stop().await;
    }
}

#[tokio::test]
async fn without_a_certificate_one_is_let_in_where_it_is_optional() {
    let (servers, clients) = (Authority::new(), Authority::new());
    for (auth, is_let_in) in [("required", false), ("optional", true)] {
        let auth = format!("client_auth = \"{auth}\"");
        let host = host(&servers, &clients, &auth).await;
        for version in [&TLS12, &TLS13] {
            let client = servers.trusting().only(version);
            let answer = asked(&client, &host).await;
            assert_eq!(answer.is_some(), is_let_in, "{auth}");
            assert!(answer.is_none_or(|answer| told(&answer).is_empty()));
        }
        host.stop().await;
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_good_is_worse_than_none() {
    let (servers, clients) = (Authority::new(), Authority::new());
    for auth in ["required", "optional"] {
        let host = host(&servers, &clients, &format!("client_auth = \"{auth}\"")).await;
        for pair in [
            Authority::new().client("Shop", "stranger"),
            servers.client("Shop", "of the servers' authority"),
            clients.expired_client(),
        ] {
            let client = servers.trusting().showing(&pair);
            assert!(asked(&client, &host).await.is_none(), "{auth}");
        }
        // The client is told before it is counted.
        handshakes(&host, "failed", 3).await;
        host.stop().await;
    }
}

#[tokio::test]
async fn without_tls_nobody_can_claim_to_have_shown_one() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let host = host(&servers, &clients, "").await;
    let forged = Request::get("/a").header("x-forwarded-client-cert", "Hash=00");
    let answer = host.request(forged.body(empty()).unwrap()).await;
    assert_eq!((answer.status(), told(&answer).len()), (200, 0));
    host.stop().await;
}
