//! An operator at the admin API.

use std::fs;
use std::path::Path;

use http::{Method, Request};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::answer::Answer;
use super::client::{Body, Connection, empty, full};
use super::host::Host;

const BOUNDARY: &str = "between-the-parts";

/// A component's name among artifacts.
pub(crate) fn digest_of(wasm: impl AsRef<Path>) -> String {
    let digest = Sha256::digest(fs::read(wasm).unwrap());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A form of named texts and, at its end, a component.
pub(crate) fn form(texts: &[(&str, &str)], wasm: &Path) -> Vec<u8> {
    let mut form = Vec::new();
    let begin = |name: &str| {
        format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n")
    };
    for (name, text) in texts {
        form.extend(format!("{}{text}\r\n", begin(name)).into_bytes());
    }
    form.extend(begin("artifact").into_bytes());
    form.extend(fs::read(wasm).unwrap());
    form.extend(format!("\r\n--{BOUNDARY}--\r\n").into_bytes());
    form
}

/// `PUT /v1/services/NAME` with a form.
pub(crate) fn put(name: &str, texts: &[(&str, &str)], wasm: impl AsRef<Path>) -> Request<Body> {
    Request::put(format!("/v1/services/{name}"))
        .header(
            "content-type",
            format!("multipart/form-data; boundary={BOUNDARY}"),
        )
        .body(full(form(texts, wasm.as_ref())))
        .unwrap()
}

impl Host {
    /// Any request to the admin API, on a connection of its own.
    pub(crate) async fn ask(&self, request: Request<Body>) -> Answer {
        let connection = Connection::http1(self.admin).await;
        connection.once(request).await.finish().await
    }

    /// Sends a component for the service `name`, with a configuration.
    pub(crate) async fn send(&self, name: &str, wasm: impl AsRef<Path>, config: &str) -> Answer {
        self.ask(put(name, &[("config", config)], wasm)).await
    }

    /// `POST path`; null is no body.
    pub(crate) async fn tell(&self, path: &str, body: &Value) -> Answer {
        let request = Request::post(path).header("content-type", "application/json");
        let body = if body.is_null() {
            empty()
        } else {
            full(body.to_string())
        };
        self.ask(request.body(body).unwrap()).await
    }

    /// `DELETE path`.
    pub(crate) async fn delete(&self, path: &str) -> Answer {
        let request = Request::builder().method(Method::DELETE).uri(path);
        self.ask(request.body(empty()).unwrap()).await
    }

    /// Sends a component to be deployed by its digest, which comes back.
    pub(crate) async fn upload(&self, wasm: impl AsRef<Path>) -> String {
        let digest = digest_of(&wasm);
        let request = Request::put(format!("/v1/artifacts/{digest}"));
        let body = full(fs::read(&wasm).unwrap());
        let answer = self.ask(request.body(body).unwrap()).await;
        assert_eq!(answer.status(), 201, "{}", answer.text());
        digest
    }

    /// The generation that the admin API gives a service.
    pub(crate) async fn generation(&self, name: &str) -> u64 {
        let detail = self.admin(&format!("/v1/services/{name}")).await.json();
        detail["generation"].as_u64().unwrap()
    }

    /// What happened to a service, oldest first: kinds and revisions.
    pub(crate) async fn history(&self, name: &str) -> Vec<Value> {
        let history = self
            .admin(&format!("/v1/services/{name}/history"))
            .await
            .json();
        let events = history["events"].as_array().unwrap();
        let events = events.iter().rev();
        events
            .map(|event| json!([event["kind"], event["revision"]]))
            .collect()
    }
}
