//! Orders to the admin API, and what it says of a service's revisions.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use http::Request;
use serde_json::{Value, json};

use super::client::{Body, Connection, full, get};
use super::host::Host;
use super::version::Version;

/// A connection to the admin API, which ends with the host.
#[derive(Debug)]
pub(crate) struct Orders(Connection);

impl Orders {
    /// Connects.
    pub(crate) async fn to(admin: SocketAddr) -> Self {
        Self(Connection::http1(admin).await)
    }

    /// Sends what the request says; None if the host ended before it had answered in full.
    pub(crate) async fn send(&mut self, request: Request<Body>) -> Option<(u16, Value)> {
        let answer = self.0.open(request).await.ok()?.finish().await;
        answer.cut.is_none().then(|| {
            let body = serde_json::from_slice(answer.bytes()).unwrap();
            (answer.status(), body)
        })
    }

    /// Sends a component and has it deployed.
    pub(crate) async fn deploy(
        &mut self,
        name: &str,
        version: Version,
        config: &str,
    ) -> Option<(u16, Value)> {
        let (digest, component) = (version.digest(), version.component());
        let upload = Request::put(format!("/v1/artifacts/{digest}"));
        let (status, said) = self.send(upload.body(full(component)).unwrap()).await?;
        assert_eq!(status, 201, "{said}");
        let order = json!({"artifact": digest, "config": config}).to_string();
        let order = Request::put(format!("/v1/services/{name}")).body(full(order));
        self.send(as_json(order.unwrap())).await
    }

    /// `POST /v1/services/NAME/COMMAND`.
    pub(crate) async fn command(
        &mut self,
        name: &str,
        command: &str,
        body: Value,
    ) -> Option<(u16, Value)> {
        let order = Request::post(format!("/v1/services/{name}/{command}"));
        self.send(as_json(order.body(full(body.to_string())).unwrap()))
            .await
    }

    /// `DELETE /v1/services/NAME`.
    pub(crate) async fn remove(&mut self, name: &str) -> Option<(u16, Value)> {
        let order = Request::delete(format!("/v1/services/{name}"));
        self.send(order.body(full("")).unwrap()).await
    }
}

fn as_json(mut request: Request<Body>) -> Request<Body> {
    let kind = "application/json".parse().unwrap();
    request.headers_mut().insert("content-type", kind);
    request
}

/// How a service stands; nothing of one that is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stand {
    pub(crate) generation: Option<u64>,
    /// The revision that answers, and its digest.
    pub(crate) running: Option<(u64, String)>,
    /// The one that is on its way to take that one's place.
    pub(crate) candidate: Option<(u64, String)>,
    /// All that are kept, those two among them.
    pub(crate) kept: BTreeMap<u64, String>,
}

impl Host {
    /// How a service stands.
    pub(crate) async fn stand(&self, name: &str) -> Stand {
        let mut admin = Orders::to(self.admin).await;
        let path = format!("/v1/services/{name}/history?limit=1");
        let (status, history) = admin.send(get(&path)).await.unwrap();
        let mut stand = Stand::default();
        if status == 404 {
            return stand;
        }
        assert_eq!(status, 200, "{history}");
        stand.generation = history["generation"].as_u64();
        for revision in history["revisions"].as_array().unwrap() {
            let digest = revision["digest"].as_str().unwrap().to_owned();
            let one = (revision["revision"].as_u64().unwrap(), digest);
            match revision["state"].as_str().unwrap() {
                "running" => stand.running = Some(one.clone()),
                "candidate" => stand.candidate = Some(one.clone()),
                _ => {}
            }
            stand.kept.extend([one]);
        }
        stand
    }
}
