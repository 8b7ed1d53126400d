//! Answers are sent in a coding that the client takes, as they come; what is cut stays cut.

use std::io::Read;

use http::Request;

use crate::support::client::{curl, empty, streamed};
use crate::support::{Answer, Host, guest, probe};

const HTML: &str = "h1=content-type:text/html";

async fn host(policy: &str) -> Host {
    Host::with("a", probe("as_told"))
        .manifest("a", &format!("[edge.compression]\n{policy}\n"))
        .start()
        .await
}

async fn ask(host: &Host, method: &str, path: &str, accepted: &str) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("accept-encoding", accepted);
    host.request(request.body(empty()).unwrap()).await
}

fn decode(answer: &Answer) -> Vec<u8> {
    let bytes = answer.bytes();
    let mut decoder: Box<dyn Read + '_> = match answer.header("content-encoding") {
        Some("zstd") => Box::new(zstd::stream::read::Decoder::new(bytes).unwrap()),
        Some("br") => Box::new(brotli::Decompressor::new(bytes, 4096)),
        Some("gzip") => Box::new(flate2::read::GzDecoder::new(bytes)),
        other => panic!("{other:?}: {answer:?}"),
    };
    let mut read = Vec::new();
    decoder.read_to_end(&mut read).unwrap();
    read
}

#[tokio::test]
async fn clients_get_the_coding_that_they_like_best() {
    let host = host("").await;
    let path = format!(
        "/a?{HTML}&bytes=100000&h2=etag:%22tag%22&h3=vary:accept&h4=accept-ranges:bytes\
         &h5=repr-digest:sha-256=:AA==:&h6=digest:sha-256=AA=="
    );
    let plain = host.get(&path).await;
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(plain.header("etag"), Some("\"tag\""));
    assert_eq!(plain.header("repr-digest"), Some("sha-256=:AA==:"));
    for (accepted, coding) in [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "br"),
        ("br;q=0.1, gzip", "gzip"),
        ("*", "zstd"),
    ] {
        for mut connection in host.both().await {
            let request = Request::get(&path).header("accept-encoding", accepted);
            let answer = connection.send(request.body(empty()).unwrap()).await;
            assert_eq!(answer.header("content-encoding"), Some(coding));
            assert_eq!(decode(&answer), plain.bytes());
            // What the guest sends piece by piece is coded so, if need be.
            assert!(answer.bytes().len() < 30_000, "{}", answer.bytes().len());
            assert_eq!(answer.header("etag"), Some("W/\"tag\""));
            for name in ["accept-ranges", "content-length", "digest", "repr-digest"] {
                assert_eq!(answer.header(name), None, "{name}");
            }
        }
    }
    for answer in [&plain, &ask(&host, "GET", &path, "gzip").await] {
        let vary: Vec<_> = answer.headers().get_all("vary").iter().collect();
        assert_eq!(vary, ["accept", "accept-encoding"]);
    }
    host.stop().await;
}

#[tokio::test]
async fn what_may_not_be_changed_or_is_not_worth_it_is_left_alone() {
    let host = host("min_length = \"100B\"\ncodings = [\"gzip\"]").await;
    for (query, coded, varies) in [
        (format!("{HTML}&bytes=100"), true, true),
        (format!("{HTML}&bytes=99"), false, true),
        ("bytes=1000".to_owned(), false, false),
        (
            "bytes=1000&h1=content-type:image/png".to_owned(),
            false,
            false,
        ),
        (
            format!("{HTML}&bytes=1000&h2=cache-control:no-transform"),
            false,
            false,
        ),
        (
            format!("{HTML}&bytes=1000&h2=content-encoding:br"),
            false,
            false,
        ),
        (
            format!("{HTML}&bytes=1000&status=206&h2=content-range:bytes 0-999/9999"),
            false,
            false,
        ),
        (format!("{HTML}&bytes=1000&status=404"), true, true),
        (format!("{HTML}&status=204"), false, false),
        (format!("{HTML}&status=304&h2=etag:%22tag%22"), false, true),
    ] {
        let path = format!("/a?{}", query.replace(' ', "%20"));
        let answer = ask(&host, "GET", &path, "br, gzip").await;
        let coding = answer
            .header("content-encoding")
            .filter(|coding| *coding == "gzip");
        assert_eq!(coding.is_some(), coded, "{query}: {answer:?}");
        assert_eq!(
            answer.header("vary").is_some(),
            varies,
            "{query}: {answer:?}"
        );
    }
    let short = ask(
        &host,
        "GET",
        &format!("/a?{HTML}&bytes=9"),
        "gzip, identity;q=0",
    )
    .await;
    assert_eq!(decode(&short).len(), 9);
    host.stop().await;
}

#[tokio::test]
async fn a_head_is_that_of_a_get() {
    let host = host("").await;
    let path = format!("/a?{HTML}&bytes=5000&h2=content-length:5000&h3=etag:%22tag%22");
    let (get, head) = (
        ask(&host, "GET", &path, "br").await,
        ask(&host, "HEAD", &path, "br").await,
    );
    assert!(head.bytes().is_empty());
    for name in [
        "content-encoding",
        "content-length",
        "etag",
        "vary",
        "content-type",
    ] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    assert_eq!(head.header("content-encoding"), Some("br"));
    // How long the body of the other is, nobody knows.
    let unknown = ask(&host, "HEAD", &format!("/a?{HTML}"), "br").await;
    assert_eq!(unknown.header("content-encoding"), None);
    assert_eq!(unknown.header("vary"), Some("accept-encoding"));
    host.stop().await;
}

#[tokio::test]
async fn an_event_arrives_although_the_stream_goes_on() {
    let host = Host::with("echo", guest("echo"))
        .manifest("echo", "[edge.compression]\n")
        .start()
        .await;
    for mut connection in host.both().await {
        let (mut upload, body) = streamed();
        let request = Request::post("/echo")
            .header("content-type", "text/event-stream")
            .header("accept-encoding", "gzip");
        let mut reply = connection.open(request.body(body).unwrap()).await.unwrap();
        assert_eq!(reply.head.headers["content-encoding"], "gzip");
        let (mut coded, mut sent) = (Vec::new(), String::new());
        for number in 0..3 {
            let event = format!("data: {number}\n\n");
            sent.push_str(&event);
            assert!(upload.send(event).await);
            let mut read = String::new();
            while read.len() < sent.len() {
                coded.extend_from_slice(&reply.chunk().await.unwrap());
                read.clear();
                // There is no end yet.
                let mut decoder = flate2::read::GzDecoder::new(&coded[..]);
                assert!(decoder.read_to_string(&mut read).is_err());
            }
            assert_eq!(read, sent);
        }
        drop(upload);
    }
    host.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_cut_does_not_end_as_a_whole_one_does() {
    let host = host("").await;
    for mut connection in host.both().await {
        let path = format!("/a?{HTML}&bytes=3000000&end=trap");
        let request = Request::get(path).header("accept-encoding", "gzip");
        let answer = connection.send(request.body(empty()).unwrap()).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.cut.is_some(), "{answer:?}");
        let mut read = Vec::new();
        let end = flate2::read::GzDecoder::new(answer.bytes()).read_to_end(&mut read);
        assert!(end.is_err());
        assert_eq!(host.logged(&answer).await.field("cause"), "guest_trapped");
    }
    host.stop().await;
}

#[tokio::test]
async fn curl_reads_what_it_asks_for() {
    let host = host("").await;
    let url = format!("http://{}/a?{HTML}&bytes=200000", host.gateway);
    for more in [
        &["--http1.1"][..],
        &["--http2-prior-knowledge"],
        &["--http1.0"],
    ] {
        let shown = ["--compressed", "--dump-header", "-", &url];
        let text = curl(&[&shown, more].concat()).await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("content-encoding: "), "{head}");
        assert_eq!(body.len(), 200_000, "{more:?} {head}");
    }
    host.stop().await;
}

#[tokio::test]
async fn what_clients_say_they_take_may_be_anything() {
    let host = host("").await;
    let path = format!("/a?{HTML}&bytes=2000");
    let many = "x;q=0.001, ".repeat(1500) + "gzip";
    for (accepted, coding) in [
        (many.as_str(), Some("gzip")),
        (",,;;q=,gzip;q=2,br;q=-1,zstd;q=0.0001", None),
        ("gzip;q=0,*;q=0,identity;q=0", None),
    ] {
        let answer = ask(&host, "GET", &path, accepted).await;
        assert_eq!(
            (answer.status(), answer.header("content-encoding")),
            (200, coding)
        );
    }
    host.stop().await;
}
