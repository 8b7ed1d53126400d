//! A registry of its own for a test: Debian's `docker-registry` on a free port, its storage in a folder.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{Method, Request};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_util::task::AbortOnDropHandle;

use super::answer::Answer;
use super::client::{Connection, full};
use super::wait::within;

const PROGRAM: &str = "docker-registry";
/// The log's line that tells the address.
const LISTENS: &str = "listening on ";
/// User `user`, password `secret`, by bcrypt.
const LOGINS: &str = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A running registry; killed when a test is over.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    folder: TempDir,
    _process: Child,
    /// The log is read on, so that the registry can go on writing it.
    _log: AbortOnDropHandle<()>,
}

impl Registry {
    /// One that serves everybody.
    pub(crate) async fn open() -> Self {
        Self::start("").await
    }

    /// One that serves `user` with the password `secret`.
    pub(crate) async fn with_login() -> Self {
        Self::start("auth: {htpasswd: {realm: skep, path: logins}}\n").await
    }

    async fn start(auth: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "version: 0.1\nlog: {{accesslog: {{disabled: true}}}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n\
             storage: {{filesystem: {{rootdirectory: storage}}}}\n{auth}"
        );
        fs::write(folder.path().join("config.yml"), config).unwrap();
        fs::write(folder.path().join("logins"), LOGINS).unwrap();
        let mut process = Command::new(PROGRAM)
            .args(["serve", "config.yml"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{PROGRAM}: {error}: run `cargo xtask setup` first"));
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = loop {
            let line = within("a registry to listen", log.next_line()).await;
            let line = line.unwrap().expect("the registry runs");
            if let Some((_, rest)) = line.split_once(LISTENS) {
                let end = rest.find('"').unwrap();
                break rest[..end].parse().unwrap();
            }
        };
        let rest = tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        Self {
            address,
            folder,
            _process: process,
            _log: AbortOnDropHandle::new(rest),
        }
    }

    /// The text that names something in it.
    pub(crate) fn reference(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    /// Sends it a request by hand.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: impl Into<Bytes>,
    ) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(CONTENT_TYPE, kind)
            .header("accept", MANIFEST)
            .body(full(body))
            .unwrap();
        Connection::http1(self.address).await.send(request).await
    }

    /// What it answers at `path`.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.send(Method::GET, path, "text/plain", "").await.json()
    }

    /// Stores an image of one layer by hand, with a manifest that says of the layer what it likes.
    pub(crate) async fn store(&self, repository: &str, config: &str, layer: &str, bytes: u64) {
        let (described, data) = (&b"{}"[..], &b"data"[..]);
        for blob in [described, data] {
            self.upload(repository, blob).await;
        }
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": config, "digest": digest(described), "size": described.len()},
            "layers": [{"mediaType": layer, "digest": digest(data), "size": bytes}],
        });
        self.tag(repository, "latest", &manifest).await;
    }

    /// Puts beside an image what `cosign sign` does: payloads and their signatures.
    pub(crate) async fn cosign(&self, repository: &str, image: &str, signed: &[(&String, String)]) {
        let mut layers = Vec::new();
        for (payload, signature) in signed {
            self.upload(repository, payload.as_bytes()).await;
            layers.push(json!({
                "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
                "digest": digest(payload.as_bytes()), "size": payload.len(),
                "annotations": {"dev.cosignproject.cosign/signature": signature},
            }));
        }
        self.upload(repository, b"{}").await;
        let config = "application/vnd.oci.image.config.v1+json";
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": config, "digest": digest(b"{}"), "size": 2},
            "layers": layers,
        });
        let tag = format!("{}.sig", image.replace(':', "-"));
        self.tag(repository, &tag, &manifest).await;
    }

    async fn upload(&self, repository: &str, blob: &[u8]) {
        let uploads = format!("/v2/{repository}/blobs/uploads/");
        let kind = "application/octet-stream";
        let answer = self.send(Method::POST, &uploads, kind, "").await;
        let place: http::Uri = answer.header(LOCATION.as_str()).unwrap().parse().unwrap();
        let place = place.path_and_query().unwrap();
        let place = format!("{place}&digest={}", digest(blob));
        let blob = Bytes::copy_from_slice(blob);
        let answer = self.send(Method::PUT, &place, kind, blob).await;
        assert_eq!(answer.status(), 201, "{answer:?}");
    }

    async fn tag(&self, repository: &str, tag: &str, manifest: &Value) {
        let path = format!("/v2/{repository}/manifests/{tag}");
        let answer = self
            .send(Method::PUT, &path, MANIFEST, manifest.to_string())
            .await;
        assert_eq!(answer.status(), 201, "{answer:?}");
    }

    /// The file in which it keeps a blob or manifest.
    pub(crate) fn file(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let blobs = self
            .folder
            .path()
            .join("storage/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }
}

/// How registries name `bytes`.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hex = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    format!("sha256:{hex}")
}
