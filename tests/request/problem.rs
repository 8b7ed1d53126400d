//! What the host answers itself is problem details, and nothing of the inside is in it.

use std::collections::HashMap;

use http::Request;

use crate::support::client::{empty, full};
use crate::support::{Host, fault, guest};

#[tokio::test]
async fn every_answer_of_the_host_has_the_same_shape() {
    let host = Host::with("works", guest("hello"))
        .manifest(
            "works",
            "[[route]]\npath = \"/works\"\nmethods = [\"POST\"]\n[limits]\nbody = \"1KiB\"\n",
        )
        .and("traps", fault("trap"))
        .and("hoards", fault("memory_growth"))
        .and("silent", fault("no_response"))
        .and("sleeps", fault("sleep"))
        .manifest("sleeps", "[limits]\ntimeout = \"100ms\"\ncpu = \"100ms\"\n")
        .start()
        .await;
    for (method, path, status, service) in [
        ("GET", "/none", 404, None),
        ("GET", "/works", 405, None),
        ("POST", "/works", 413, Some("works")),
        ("GET", "/traps", 502, Some("traps")),
        ("GET", "/hoards", 502, Some("hoards")),
        ("GET", "/silent", 502, Some("silent")),
        ("GET", "/sleeps", 504, Some("sleeps")),
    ] {
        for mut connection in host.both().await {
            let body = if method == "POST" {
                full(vec![0; 2048])
            } else {
                empty()
            };
            let request = Request::builder()
                .method(method)
                .uri(path)
                .body(body)
                .unwrap();
            let answer = connection.send(request).await;
            assert_eq!(answer.status(), status, "{answer:?}");
            // The shape, the id and the length; a field more fails.
            let problem = answer.problem();
            assert_eq!(problem.service.as_deref(), service);
            let length = answer.bytes().len().to_string();
            assert_eq!(answer.header("content-length"), Some(&*length));
            let line = host.logged(&answer).await;
            assert_eq!(
                problem.r#type,
                format!("urn:skep:fault:{}", line.field("cause"))
            );
            for inside in ["wasm", "panick", "src/", "/tmp", "backtrace", "skep-"] {
                assert!(!answer.text().contains(inside), "{inside}: {answer:?}");
            }
            let expected = [
                "allow",
                "connection",
                "content-length",
                "content-type",
                "date",
                "x-request-id",
            ];
            let others: HashMap<_, _> = answer
                .headers()
                .iter()
                .filter(|(name, _)| !expected.contains(&name.as_str()))
                .collect();
            assert!(others.is_empty(), "{others:?}");
        }
    }
    host.stop().await;
}
