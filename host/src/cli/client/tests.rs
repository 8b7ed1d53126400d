//! What is asked, and what answers come to.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

#[test]
fn urls_are_taken_with_and_without_a_scheme() {
    for (url, expected) in [
        ("http://127.0.0.1:8081", "http://127.0.0.1:8081"),
        ("127.0.0.1:8081", "http://127.0.0.1:8081"),
        ("http://[::1]:8081/", "http://[::1]:8081"),
        (
            "http://gateway.example/skep/",
            "http://gateway.example/skep",
        ),
    ] {
        assert_eq!(Target::new(url, None).unwrap().url, expected);
    }
    assert!(matches!(
        Target::new("https://127.0.0.1", None),
        Err(ClientError::Tls { .. })
    ));
    for url in [
        "",
        "ftp://host",
        "http://",
        "http://h/?x",
        "not a url",
        "unix:///run/skep",
    ] {
        assert!(
            matches!(Target::new(url, None), Err(ClientError::Url { .. })),
            "{url}"
        );
    }
    assert!(matches!(
        Target::new("http://h", Some("a\nb")),
        Err(ClientError::Token)
    ));
}

/// What asking a server comes to that answers with `answer`, and what it was sent.
async fn ask(answer: &'static str) -> (Result<Bytes, ClientError>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::new(
        &listener.local_addr().unwrap().to_string(),
        Some("0123456789abcdef"),
    )
    .unwrap();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    };
    let (result, request) = tokio::join!(target.get("/v1/services"), server);
    (result, request)
}

#[tokio::test]
async fn the_token_is_presented_and_the_body_returned() {
    let (result, request) = ask("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    assert_eq!(result.unwrap(), "{}");
    assert!(
        request.starts_with("GET /v1/services HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains("authorization: Bearer 0123456789abcdef\r\n"),
        "{request}"
    );
}

#[tokio::test]
async fn every_other_answer_is_explained() {
    let (result, _) = ask("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await;
    assert!(
        matches!(result, Err(ClientError::Unauthorised { .. })),
        "{result:?}"
    );
    let (result, _) = ask(
        "HTTP/1.1 421 Misdirected Request\r\ncontent-length: 22\r\n\r\n{\"detail\":\"not\\nhere\"}",
    )
    .await;
    assert!(result.unwrap_err().to_string().ends_with("not here"));
    let (result, _) = ask("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}").await;
    assert!(
        result
            .unwrap_err()
            .to_string()
            .contains("answered 404 Not Found, and nothing more")
    );
    let (result, _) = ask("SSH-2.0-OpenSSH_9.2\r\n").await;
    assert!(
        matches!(result, Err(ClientError::Broken { .. })),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_host_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Target::new(&url, None)
        .unwrap()
        .get("/v1/services")
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "no host answers at {url}; is `skep up` running? Say where with --admin URL or SKEP_ADMIN"
        )
    );
}
