//! Operators deploy, roll back, remove and look back by the admin API.

use http::Request;
use serde_json::{Value, json};

use crate::support::client::{Connection, empty, full, get, streamed};
use crate::support::operator::{digest_of, put};
use crate::support::wait::until;
use crate::support::{Answer, Host, guest, probe};

/// What an order is answered with, when it is about one service.
fn done(answer: &Answer) -> Value {
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json()["services"][0].clone()
}

#[tokio::test]
async fn a_component_that_is_sent_is_served_and_an_older_one_comes_back() {
    let host = Host::empty().start().await;
    let config = "[[route]]\npath = '/greet/{*rest}'\n[env]\nWHO = 'me'";
    let first = done(&host.send("a", guest("hello"), config).await);
    assert_eq!(first["outcome"], "promoted");
    assert_eq!(
        (&first["revision"], &first["generation"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(first["digest"], digest_of(guest("hello")));
    assert_eq!(host.get("/greet/x").await.status(), 200);

    // Without a configuration the service keeps the one that it has.
    let second = done(
        &host
            .ask(put("a", &[("source", "laptop")], guest("echo")))
            .await,
    );
    assert_eq!(
        (&second["outcome"], &second["revision"]),
        (&json!("promoted"), &json!(2))
    );
    assert_eq!(host.get("/greet/x").await.status(), 200);
    let same = done(&host.ask(put("a", &[], guest("echo"))).await);
    assert_eq!(
        (&same["outcome"], &same["revision"]),
        (&json!("unchanged"), &json!(2))
    );

    let back = done(&host.tell("/v1/services/a/rollback", &Value::Null).await);
    assert_eq!(
        (&back["outcome"], &back["revision"]),
        (&json!("rolled_back"), &json!(1))
    );
    assert_eq!(back["digest"], first["digest"]);
    let forth = done(
        &host
            .tell("/v1/services/a/rollback", &json!({"to": 2}))
            .await,
    );
    assert_eq!(forth["revision"], 2);
    for (order, status) in [
        (json!({"to": 7}), 404),
        (json!({"to": 2}), 404),
        (json!({"too": 1}), 400),
    ] {
        let answer = host.tell("/v1/services/a/rollback", &order).await;
        assert_eq!(answer.status(), status, "{order}: {}", answer.text());
    }

    let history = host.admin("/v1/services/a/history").await.json();
    let events = history["events"].as_array().unwrap();
    let second = events
        .iter()
        .find(|event| event["revision"] == 2 && event["kind"] == "promoted");
    assert_eq!(second.unwrap()["source"], "laptop");
    assert_eq!(second.unwrap()["actor"], "anonymous");
    let states = [(2, "running"), (1, "kept")].map(|(number, state)| json!([number, state]));
    let found = history["revisions"].as_array().unwrap().iter();
    let found: Vec<Value> = found
        .map(|one| json!([one["revision"], one["state"]]))
        .collect();
    assert_eq!(found, states);

    assert_eq!(
        done(&host.delete("/v1/services/a").await)["outcome"],
        "removed"
    );
    assert_eq!(host.get("/greet/x").await.status(), 404);
    assert_eq!(host.delete("/v1/services/a").await.status(), 404);
    let again = done(&host.send("a", guest("hello"), "").await);
    assert_eq!(again["revision"], 3, "numbers are never used again");
    host.stop().await;
}

#[tokio::test]
async fn what_is_refused_leaves_what_runs_and_says_why() {
    let host = Host::empty().start().await;
    done(&host.send("a", guest("hello"), "").await);
    let text = host.path().join("text.wasm");
    std::fs::write(&text, "no component").unwrap();
    for (request, status, why) in [
        (put("a", &[], &text), 422, "a: "),
        (
            put("a", &[("config", "\n[limits]\nmemroy = 1")], guest("echo")),
            422,
            "config:3: unknown key",
        ),
        (
            put("a", &[("config", "env_inherit = ['HOME']")], guest("echo")),
            422,
            "env_inherit",
        ),
        (
            put(
                "a",
                &[("config", "component = '/etc/passwd'")],
                guest("echo"),
            ),
            422,
            "component",
        ),
        (
            put(
                "a",
                &[("config", "[fallback]\nfile = '/etc/passwd'")],
                guest("echo"),
            ),
            422,
            "fallback.file",
        ),
        (
            put("b", &[("config", "[[route]]\npath = '/a'")], guest("echo")),
            422,
            "b: ",
        ),
        (
            put("a", &[("nonsense", "")], guest("echo")),
            400,
            "nonsense",
        ),
        (put("A", &[], guest("echo")), 400, "is not a service name"),
    ] {
        let answer = host.ask(request).await;
        assert_eq!(answer.status(), status, "{}", answer.text());
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(why), "{detail}");
    }
    assert_eq!(host.service("a").await.revision, Some(1));
    assert_eq!(host.get("/a").await.status(), 200);
    // What failed is in the history; and what never was a service can be forgotten.
    assert!(host.history("a").await.contains(&json!(["refused", null])));
    done(&host.delete("/v1/services/b").await);
    assert_eq!(host.services().await.len(), 1);
    host.stop().await;
}

#[tokio::test]
async fn who_has_seen_an_older_state_does_not_overwrite_a_newer_one() {
    let host = Host::empty().start().await;
    let with = |name: &str, value: &str, wasm: &str| {
        let mut request = put("a", &[], guest(wasm));
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    let created = host.ask(with("if-none-match", "*", "hello")).await;
    assert_eq!(created.header("etag"), Some("\"1\""));
    assert_eq!(
        host.ask(with("if-none-match", "*", "echo")).await.status(),
        412
    );
    let seen = host
        .admin("/v1/services/a")
        .await
        .header("etag")
        .map(str::to_owned);
    let seen = seen.unwrap();
    assert_eq!(
        host.ask(with("if-match", &seen, "echo")).await.status(),
        200
    );
    assert_eq!(
        host.ask(with("if-match", &seen, "hello")).await.status(),
        412
    );
    assert_eq!(
        host.ask(with("if-match", "nonsense", "hello"))
            .await
            .status(),
        400
    );
    assert_eq!(host.generation("a").await, 2);
    host.stop().await;
}

#[tokio::test]
async fn several_services_are_deployed_together_or_not_at_all() {
    let host = Host::with("two", probe("ledger_client"))
        .manifest(
            "two",
            "[allow]\nservices = ['ledger']\n[rollout]\nallow_breaking = false",
        )
        .and("ledger", probe("ledger"))
        .start()
        .await;
    assert_eq!(host.get("/two?how=well").await.text(), "well\n");
    let (hello, echo) = (
        host.upload(guest("hello")).await,
        host.upload(guest("echo")).await,
    );
    let bundle = |second: Value| json!({"services": [{"name": "a", "artifact": hello, "config": ""}, second]});
    let bad = json!({"name": "b", "artifact": echo, "config": "[[route]]\npath = '/a'"});
    let refused = host.tell("/v1/deployments", &bundle(bad)).await;
    assert_eq!(refused.status(), 422, "{}", refused.text());
    assert_eq!(host.get("/a").await.status(), 404);

    let good = json!({"name": "b", "artifact": echo});
    let answer = host.tell("/v1/deployments", &bundle(good)).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.json()["services"].as_array().unwrap().len(), 2);
    assert_eq!(host.get("/a").await.status(), 200);
    assert_eq!(host.get("/b").await.status(), 200);
    let unknown = json!({"name": "b", "artifact": format!("sha256:{}", "0".repeat(64))});
    assert_eq!(
        host.tell("/v1/deployments", &bundle(unknown))
            .await
            .status(),
        404
    );

    // What others call is neither taken out nor changed under them, unless forced.
    let gone = host.delete("/v1/services/ledger").await;
    assert_eq!(gone.status(), 422);
    assert!(gone.text().contains("two"), "{}", gone.text());
    let next = host.send("ledger", probe("ledger_next"), "").await;
    assert_eq!(next.status(), 422);
    assert!(
        next.text().contains("it would break two"),
        "{}",
        next.text()
    );
    assert_eq!(host.get("/two?how=well").await.text(), "well\n");
    let forced = host
        .ask(put("ledger", &[("force", "true")], probe("ledger_next")))
        .await;
    assert_eq!(done(&forced)["outcome"], "promoted");
    done(&host.delete("/v1/services/ledger?force=true").await);
    host.stop().await;
}

#[tokio::test]
async fn roles_say_who_may_do_what_and_it_is_kept_who_did() {
    let token = |name: &str| format!("{name}-0123456789abcdef");
    let entry = |name: &str| {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(token(name));
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("[[token]]\nname = '{name}'\nrole = '{name}'\nsha256 = '{hex}'\n")
    };
    let settings: String = ["read", "deploy", "admin"].map(entry).concat();
    let host = Host::empty().settings(&settings).start().await;
    let ask = async |name: &str, request: Request<_>| {
        let mut request = request;
        let value = format!("Bearer {}", token(name)).parse().unwrap();
        request.headers_mut().insert("authorization", value);
        host.ask(request).await.status()
    };
    assert_eq!(host.ask(get("/v1/services")).await.status(), 401);
    assert_eq!(host.ask(get("/healthz")).await.status(), 200);
    // Open is only what looks; and what nobody may do fills no audit log.
    for path in ["/healthz", "/v1/services/a/rollback"] {
        let answer = host.tell(path, &Value::Null).await;
        assert_eq!(answer.status(), 401, "{path}");
    }
    assert_eq!(ask("nobody", get("/v1/services")).await, 401);
    let post = Request::post("/healthz").body(empty()).unwrap();
    assert_eq!(ask("read", post).await, 405);
    assert_eq!(ask("read", get("/v1/services")).await, 200);
    assert_eq!(ask("read", put("a", &[], guest("hello"))).await, 403);
    assert_eq!(ask("deploy", put("a", &[], guest("hello"))).await, 200);
    assert_eq!(ask("deploy", get("/v1/audit")).await, 403);
    assert_eq!(ask("admin", get("/v1/audit")).await, 200);
    let mut request = get("/v1/audit?limit=10");
    let value = format!("Bearer {}", token("admin")).parse().unwrap();
    request.headers_mut().insert("authorization", value);
    let audit = host.ask(request).await.json();
    let entries = audit["entries"].as_array().unwrap().iter();
    let entries: Vec<Value> = entries
        .map(|entry| json!([entry["actor"], entry["status"]]))
        .collect();
    assert_eq!(entries, [json!(["deploy", 200]), json!(["read", 403])]);
    host.stop().await;
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let host = Host::empty().start().await;
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let mut request = put("a", &[], guest("hello"));
        request.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(host.ask(request).await.status(), 403);
    }
    assert_eq!(host.services().await.len(), 0);
    host.stop().await;
}

#[tokio::test]
async fn events_follow_and_those_that_were_missed_are_told_again() {
    let host = Host::empty().start().await;
    let request = Request::get("/v1/events?service=a")
        .header("accept", "text/event-stream")
        .body(empty())
        .unwrap();
    let mut stream = Connection::http1(host.admin).await.once(request).await;
    assert_eq!(stream.head.headers["content-type"], "text/event-stream");
    done(&host.send("a", guest("hello"), "").await);
    done(&host.send("b", guest("hello"), "").await);
    let mut seen = String::new();
    while !seen.contains("event: promoted") {
        seen.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap()));
    }
    assert!(
        seen.contains("event: stage") && !seen.contains("\"service\":\"b\""),
        "{seen}"
    );
    let listed = host.admin("/v1/events?limit=1").await.json();
    let last = listed["events"][0]["id"].as_i64().unwrap();
    done(&host.delete("/v1/services/a").await);
    let request = Request::get("/v1/events")
        .header("accept", "text/event-stream")
        .header("last-event-id", last.to_string())
        .body(empty())
        .unwrap();
    let mut stream = Connection::http1(host.admin).await.once(request).await;
    let mut seen = String::new();
    while !seen.contains("event: removed") {
        seen.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap()));
    }
    assert!(!seen.contains("event: promoted"), "{seen}");
    host.stop().await;
}

#[tokio::test]
async fn a_revision_is_retired_when_its_last_request_is_over() {
    let host = Host::empty().start().await;
    done(
        &host
            .send("a", guest("echo"), "[[route]]\npath = '/{*rest}'")
            .await,
    );
    let (mut upload, body) = streamed();
    let request = Request::post("/x").body(body).unwrap();
    let connection = host.connect().await;
    let answering = tokio::spawn(async move { connection.once(request).await.finish().await });
    assert!(upload.send("part").await);
    host.works_on("a", 1).await;
    done(
        &host
            .send("a", guest("hello"), "[[route]]\npath = '/{*rest}'")
            .await,
    );
    let is_retired = async || host.history("a").await.contains(&json!(["retired", 1]));
    assert!(!is_retired().await);
    drop(upload);
    assert_eq!(answering.await.unwrap().text(), "part");
    until("revision 1 to be retired", async || {
        is_retired().await.then_some(())
    })
    .await;
    host.stop().await;
}

#[tokio::test]
async fn an_artifact_must_be_what_it_is_called() {
    let host = Host::empty().start().await;
    let request = Request::put(format!("/v1/artifacts/{}", digest_of(guest("echo"))));
    let body = full(std::fs::read(guest("hello")).unwrap());
    let answer = host.ask(request.body(body).unwrap()).await;
    assert_eq!(answer.status(), 400);
    assert!(
        answer.text().contains("changed on its way"),
        "{}",
        answer.text()
    );
    host.stop().await;
}
