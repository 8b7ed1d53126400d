//! A candidate answers what the running revision has answered, told the same; where it answers otherwise, that is known
//! before it serves.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use http::Request;
use serde_json::Value;

use crate::support::answer::Answer;
use crate::support::client::{empty, full};
use crate::support::elsewhere::Elsewhere;
use crate::support::log::Line;
use crate::support::{Host, guest, probe};

const RECORD: &str = "[record]\nrequests = 10\n";
const SECRET: &str = "nobody-shall-see-this";

impl Elsewhere {
    /// A manifest of a service that may ask here and whose requests are recorded.
    fn manifest(&self, record: &str, differs: &str) -> String {
        let origin = self.origin();
        format!("[allow]\nhosts = [{origin:?}]\n{RECORD}{record}[env]\nDIFFERS = {differs:?}\n")
    }
}

impl Host {
    /// Sends a request and waits until it is over.
    async fn over(&self, request: Request<crate::support::client::Body>) -> Answer {
        let answer = self.request(request).await;
        self.logged(&answer).await;
        answer
    }

    /// What the replay of the `number`th candidate of `service` came to.
    async fn replayed(&self, service: &str, number: usize) -> Arc<Line> {
        let what = format!("replay {number} of {service}");
        let fits = |line: &Line| {
            line.message().starts_with("replayed ") && line.field("service") == service
        };
        self.nth_line(&what, number, fits).await
    }

    async fn diff(&self, service: &str) -> Value {
        let answer = self.admin(&format!("/v1/services/{service}/diff")).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        answer.json()
    }
}

fn get(path: &str) -> Request<crate::support::client::Body> {
    Request::get(path).body(empty()).unwrap()
}

#[tokio::test]
async fn what_behaves_alike_has_no_difference_whatever_it_was_told() {
    let elsewhere = Elsewhere::start().await;
    let manifest = |differs: &str| elsewhere.manifest("", differs);
    let host = Host::with("a", probe("told"))
        .manifest("a", &manifest(""))
        .and("p3", probe("told_p3"))
        .manifest("p3", &manifest(""))
        .and("cgi", guest("cgi"))
        .manifest("cgi", &manifest(""))
        .start()
        .await;
    for _ in 0..2 {
        let answers = [
            host.over(get(&format!("/a?url={}", elsewhere.url()))).await,
            host.over(get(&format!("/p3?to={}/path", elsewhere.authority)))
                .await,
        ];
        for answer in answers {
            assert!(answer.text().contains("answer 000"), "{answer:?}");
        }
    }
    for path in ["/a", "/p3", "/cgi"] {
        let post = Request::post(path).body(full("a body\n")).unwrap();
        let answer = host.over(post).await;
        assert!(answer.text().contains("a body"), "{answer:?}");
    }
    let asked = elsewhere.asked();
    for (service, requests) in [("a", "3"), ("p3", "3"), ("cgi", "1")] {
        host.put(
            &format!("{service}.toml"),
            manifest("") + "ANOTHER = \"one\"\n",
        );
        host.promoted(service, 2).await;
        let replayed = host.replayed(service, 1).await;
        let found = (replayed.field("requests"), replayed.field("differing"));
        assert_eq!(
            found,
            (requests.into(), "0".into()),
            "{}",
            host.diff(service).await
        );
        assert_eq!(
            host.diff(service).await["differences"],
            serde_json::json!([])
        );
    }
    assert_eq!(elsewhere.asked(), asked, "a replay asks nobody");
    let prints = |line: &Line| line.target() == "skep::guest";
    assert_eq!(host.log.all(prints).len(), 3, "a replay prints nothing");
    host.stop().await;
}

#[tokio::test]
async fn what_a_candidate_does_otherwise_is_told() {
    let elsewhere = Elsewhere::start().await;
    let host = Host::with("a", probe("told"))
        .manifest("a", &elsewhere.manifest("", ""))
        .start()
        .await;
    let mut revision = 1;
    for differs in ["header", "body", "status", "trap", "asks"] {
        let before = host.over(get(&format!("/a?url={}", elsewhere.url()))).await;
        let asked = elsewhere.asked();
        host.put("a.toml", elsewhere.manifest("", differs));
        revision += 1;
        host.promoted("a", revision).await;
        let report = host.diff("a").await;
        let counts = (&report["requests"], &report["same"]);
        assert_eq!(counts, (&1.into(), &0.into()), "{report}");
        assert_eq!(report["candidate"]["revision"], revision);
        assert_eq!(report["running"]["revision"], revision - 1);
        let found = &report["differences"][0];
        let request = (&found["request"]["method"], &found["request"]["path"]);
        assert_eq!(request, (&"GET".into(), &"/".into()), "{report}");
        let is = |key: &str| !found[key].is_null() && found[key] != serde_json::json!([]);
        let (faults, bodies) = (
            ["trap", "asks"].contains(&differs),
            ["body", "asks"].contains(&differs),
        );
        let expected = [differs == "header", differs == "status", bodies, faults];
        let shown = ["headers", "status", "body", "fault"].map(is);
        assert_eq!(shown, expected, "{differs}: {found}");
        match differs {
            "header" => assert_eq!(
                found["headers"],
                serde_json::json!([{"name": "x-told", "running": "same", "candidate": "other"}])
            ),
            "status" => assert_eq!(found["status"], serde_json::json!([200, 404])),
            "body" => {
                assert_eq!(found["body"]["first_difference_at"], before.bytes().len());
                let shown = found["body"]["candidate"].as_str().unwrap();
                assert!(shown.ends_with("and more\n"), "{shown}");
            }
            "trap" => assert!(found["fault"].as_str().unwrap().contains("guest_trapped")),
            _ => {
                let fault = found["fault"].as_str().unwrap();
                let stray = format!("asks GET http://{}/path?…, which", elsewhere.authority);
                assert!(fault.starts_with(&stray), "{fault}");
            }
        }
        assert_eq!(elsewhere.asked(), asked, "a replay asks nobody");
        // The next is compared with one that does nothing otherwise.
        host.put("a.toml", elsewhere.manifest("", ""));
        revision += 1;
        host.promoted("a", revision).await;
    }
    host.stop().await;
}

#[tokio::test]
async fn a_difference_refuses_a_candidate_whose_manifest_says_so() {
    let elsewhere = Elsewhere::start().await;
    let host = Host::with("a", probe("told"))
        .manifest("a", &elsewhere.manifest("", ""))
        .start()
        .await;
    host.over(get("/a")).await;
    host.put("a.toml", elsewhere.manifest("block = true\n", "header"));
    let said = "it answers 1 of 1 recorded requests otherwise than the running revision: see `skep diff a`";
    host.refused_with("a", said).await;
    assert_eq!(host.over(get("/a")).await.header("x-told"), Some("same"));
    assert_eq!(host.service("a").await.revision, Some(1));
    // What may differ, or does not.
    let ignoring = "block = true\nignore = [\"X-Told\"]\n";
    host.put("a.toml", elsewhere.manifest(ignoring, "header"));
    host.promoted("a", 3).await;
    assert_eq!(host.over(get("/a")).await.header("x-told"), Some("other"));
    host.put("a.toml", elsewhere.manifest("block = true\n", "header"));
    host.promoted("a", 4).await;
    host.stop().await;
}

#[tokio::test]
async fn secrets_are_nowhere() {
    let elsewhere = Elsewhere::start().await;
    let redact = "redact = [\"X-Mine\"]\n";
    let host = Host::with("a", probe("told"))
        .manifest("a", &elsewhere.manifest(redact, ""))
        .start()
        .await;
    for name in ["authorization", "cookie", "x-mine"] {
        let request = Request::get("/a")
            .header(name, SECRET)
            .body(empty())
            .unwrap();
        let answer = host.over(request).await;
        let length = format!("{name} {}\n", SECRET.len());
        assert!(
            name == "cookie" || answer.text().contains(&length),
            "{answer:?}"
        );
    }
    // The guest is not told them again, and that is no difference.
    host.put(
        "a.toml",
        elsewhere.manifest(redact, "") + "ANOTHER = \"one\"\n",
    );
    assert_eq!(host.replayed("a", 1).await.field("differing"), "0");
    host.promoted("a", 2).await;
    let request = Request::get("/a")
        .header("x-mine", SECRET)
        .body(empty())
        .unwrap();
    host.over(request).await;
    host.put("a.toml", elsewhere.manifest(redact, "body"));
    assert_eq!(host.replayed("a", 2).await.field("differing"), "1");
    host.promoted("a", 3).await;
    let report = host.diff("a").await.to_string();
    assert!(
        !report.contains(SECRET) && !report.contains("set-cookie"),
        "{report}"
    );
    let tells = host.log.all(|line| line.text().contains(SECRET));
    assert!(tells.is_empty(), "{tells:?}");
    assert!(!is_below(&host.path().join("state"), SECRET.as_bytes()));
    host.stop().await;
}

/// Whether any file in the folder holds the bytes.
fn is_below(folder: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_below(&path, bytes);
        }
        let content = fs::read(&path).unwrap_or_default();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

#[tokio::test]
async fn services_that_are_called_are_not_called_again() {
    let manifest =
        |more: &str| format!("[allow]\nservices = [\"b\"]\n{RECORD}[env]\nMORE = {more:?}\n");
    let host = Host::with("a", probe("told"))
        .manifest("a", &manifest(""))
        .and("b", guest("hello"))
        .start()
        .await;
    for _ in 0..2 {
        let answer = host.over(get("/a?url=http://b.internal/x")).await;
        assert!(answer.text().contains("Hello from"), "{answer:?}");
    }
    let requests = async || host.admin("/v1/services/b").await.json()["requests"].clone();
    let before = requests().await;
    host.put("a.toml", manifest("one"));
    let replayed = host.replayed("a", 1).await;
    let found = (replayed.field("requests"), replayed.field("differing"));
    assert_eq!(found, ("2".into(), "0".into()), "{}", host.diff("a").await);
    assert_eq!(requests().await, before);
    host.stop().await;
}

#[tokio::test]
async fn nothing_is_recorded_unless_it_is_asked_for() {
    let host = Host::with("a", probe("told")).start().await;
    host.over(get("/a")).await;
    host.put(
        "a.toml",
        "[record]\nblock = true\n[env]\nDIFFERS = \"body\"\n",
    );
    host.promoted("a", 2).await;
    assert_eq!(host.admin("/v1/services/a/diff").await.status(), 404);
    let replays = host.log.all(|line| line.message().starts_with("replayed "));
    assert!(replays.is_empty(), "{replays:?}");
    host.stop().await;
}
