use std::path::Path;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::answer::AnswerBody;
use super::*;
use crate::config::{self, Caller, Overrides, Role, Token};
use crate::registry::Service;
use crate::state::State;

/// An API over a core that serves nothing, on no socket.
struct Fixture {
    api: Api,
    first_scan: watch::Sender<bool>,
    _folder: tempfile::TempDir,
}

async fn fixture(token: Option<&str>) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let (mut config, _) = config::host::load(
        Some(folder.path()),
        Overrides {
            listen,
            state: Some(folder.path().join(".state")),
            ..Overrides::default()
        },
    )
    .unwrap();
    config.pool.instances = 4;
    config.pool.memory_max = 1 << 20;
    if let Some(token) = token {
        let caller = Caller {
            name: "admin".to_owned(),
            role: Role::Admin,
        };
        config.tokens.add(caller, &Token::try_from(token).unwrap());
    }
    let (first_scan, scanned) = watch::channel(false);
    let state = Arc::new(State::open(&config.state).unwrap());
    let control = Handle::current();
    let core = Core::new(config, control.clone(), control, scanned, state).unwrap();
    let gateway = Arc::new(Gateway::open(core.clone(), 1).await.unwrap());
    let api = Api {
        core,
        gateway,
        log: Dropped::none(),
        orders: Orders::channel().0,
        uploads: api::Uploads::default(),
        closing: CancellationToken::new(),
        started: SystemTime::now(),
        loopback: true,
    };
    Fixture {
        api,
        first_scan,
        _folder: folder,
    }
}

fn ask(method: &str, path: &str) -> Request<Empty<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost:8081")
        .body(Empty::new())
        .unwrap()
}

async fn read(response: Response<AnswerBody>) -> (StatusCode, String) {
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

impl Fixture {
    async fn get(&self, path: &str) -> (StatusCode, String) {
        read(self.api.answer(ask("GET", path)).await).await
    }

    fn announce(&self, wasm: &str) {
        let mut config = config::service::without_manifest(Path::new(wasm)).unwrap();
        config.env.insert("SECRET".into(), "hunter2".into());
        let (core, config) = (&self.api.core, Arc::new(config));
        let standing = core.registry.standing();
        let service = Arc::new(Service {
            name: config.name.clone(),
            config: config.clone(),
            revision: None,
            trial: None,
            tally: None,
            standing,
        });
        core.registry
            .publish(|services| drop(services.insert(config.name.clone(), service.clone())))
            .unwrap();
    }
}

#[tokio::test]
async fn every_answer_is_plain_about_itself() {
    let fixture = fixture(None).await;
    let response = fixture.api.answer(ask("GET", "/healthz")).await;
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(
        response.headers()[header::X_CONTENT_TYPE_OPTIONS],
        "nosniff"
    );
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    let head = fixture.api.answer(ask("HEAD", "/healthz")).await;
    assert_eq!(
        head.headers()[header::CONTENT_LENGTH],
        response.headers()[header::CONTENT_LENGTH]
    );
    assert_eq!(read(head).await, (StatusCode::OK, String::new()));
}

#[tokio::test]
async fn what_is_not_there_or_not_taken_is_a_problem() {
    let fixture = fixture(None).await;
    for path in ["/", "/v1", "/v1/services/nobody"] {
        let response = fixture.api.answer(ask("GET", path)).await;
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
        let (status, body) = read(response).await;
        assert_eq!(status, 404, "{path}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (&problem["status"], &problem["title"]),
            (&404.into(), &"Not Found".into())
        );
    }
    let posted = fixture.api.answer(ask("POST", "/v1/services")).await;
    assert_eq!(
        (posted.status().as_u16(), &posted.headers()[header::ALLOW]),
        (405, &"GET, HEAD".parse().unwrap())
    );
    let with_body = ask("GET", "/healthz").map(|_| Full::new(Bytes::from_static(b"x")));
    let refused = fixture.api.answer(with_body).await;
    assert_eq!(
        (
            refused.status().as_u16(),
            &refused.headers()[header::CONNECTION]
        ),
        (413, &"close".parse().unwrap())
    );
}

#[tokio::test]
async fn readiness_follows_the_first_scan_and_the_drain() {
    let fixture = fixture(None).await;
    assert_eq!(fixture.get("/readyz").await.0, 503);
    fixture.first_scan.send_replace(true);
    assert_eq!(fixture.get("/readyz").await.0, 200);
    fixture.api.core.draining.cancel();
    let (status, body) = fixture.get("/readyz").await;
    assert!(
        status == 503 && body.contains("\"reason\":\"draining\""),
        "{body}"
    );
    assert_eq!(fixture.get("/healthz").await.0, 200);
}

#[tokio::test]
async fn with_a_token_only_probes_are_open() {
    let token = "0123456789abcdef";
    let fixture = fixture(Some(token)).await;
    for (path, expected) in [
        ("/healthz", 200),
        ("/readyz", 503),
        ("/metrics", 401),
        ("/v1/services", 401),
        ("/nothing", 401),
    ] {
        assert_eq!(fixture.get(path).await.0, expected, "{path}");
    }
    let refused = fixture.api.answer(ask("GET", "/metrics")).await;
    assert_eq!(
        refused.headers()[header::WWW_AUTHENTICATE],
        "Bearer realm=\"skep\""
    );
    let mut request = ask("GET", "/metrics");
    request.headers_mut().insert(
        header::AUTHORIZATION,
        format!("Bearer {token}").parse().unwrap(),
    );
    assert_eq!(fixture.api.answer(request.clone()).await.status(), 200);
}

#[tokio::test]
async fn a_name_that_is_not_this_machines_is_misdirected() {
    let mut fixture = fixture(None).await;
    let mut request = ask("GET", "/v1/services");
    request
        .headers_mut()
        .insert(header::HOST, "rebound.example".parse().unwrap());
    assert_eq!(fixture.api.answer(request.clone()).await.status(), 421);
    fixture.api.loopback = false;
    assert_eq!(fixture.api.answer(request.clone()).await.status(), 200);
}

#[tokio::test]
async fn services_are_listed_before_they_have_a_revision() {
    let fixture = fixture(None).await;
    assert_eq!(fixture.get("/v1/services").await.1, r#"{"services":[]}"#);
    fixture.announce("/srv/hello.wasm");
    let (_, body) = fixture.get("/v1/services").await;
    let list: Value = serde_json::from_str(&body).unwrap();
    let hello = &list["services"][0];
    assert_eq!(
        (&hello["name"], &hello["state"]),
        (&"hello".into(), &"compiling".into())
    );
    assert_eq!(
        (&hello["revision"], &hello["digest"], &hello["error"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(hello["routes"].as_array().unwrap().len(), 3, "{body}");
}

#[tokio::test]
async fn details_name_variables_and_never_their_values() {
    let fixture = fixture(None).await;
    fixture.announce("/srv/hello.wasm");
    let (status, body) = fixture.get("/v1/services/hello").await;
    let detail: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(detail["config"]["env"], serde_json::json!(["SECRET"]));
    assert_eq!(detail["config"]["limits"]["memory_bytes"], 64 << 20);
    assert_eq!(detail["traffic"]["p99_ms"], Value::Null);
    assert!(!body.contains("hunter2"), "{body}");
}

#[tokio::test]
async fn metrics_tell_of_the_process_and_of_each_service() {
    let fixture = fixture(None).await;
    fixture.announce("/srv/hello.wasm");
    let (status, body) = fixture.get("/metrics").await;
    assert_eq!(status, 200);
    for sample in [
        concat!(
            "skep_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1\n"
        ),
        "skep_ready 0\n",
        "skep_connections 0\n",
        "skep_revision{service=\"hello\"} 0\n",
        "skep_queue_length{service=\"hello\"} 0\n",
        "skep_instance_claims_in_use{service=\"hello\"} 0\n",
        "http_server_active_requests{service=\"hello\"} 0\n",
    ] {
        assert!(body.contains(sample), "{sample} is not in\n{body}");
    }
    assert!(
        body.contains("\nprocess_resident_memory_bytes ") && body.contains("\nprocess_open_fds "),
        "{body}"
    );
}
