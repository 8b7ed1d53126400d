//! Servers elsewhere that stand behind the host.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use super::client::{Body, full};
use super::host::Host;
use super::tls::Pair;

/// A host whose service `a` is `upstream`; what the manifest says besides comes after.
pub(crate) async fn before(upstream: &str, manifest: &str) -> Host {
    let manifest = format!("upstream = {upstream:?}\n{manifest}");
    Host::empty().manifest("a", &manifest).start().await
}

/// A server that speaks HTTP/1.1 and notes the heads of the requests that it gets. Gone when dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Parts>>>,
    _server: AbortOnDropHandle<()>,
}

impl Upstream {
    /// One that answers so, on any port.
    pub(crate) async fn start<F>(
        answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::on(SocketAddr::from(([127, 0, 0, 1], 0)), answer).await
    }

    /// One that answers so, there.
    pub(crate) async fn on<F>(
        address: SocketAddr,
        answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::listening(address, None, answer).await
    }

    /// One that speaks TLS, with this certificate.
    pub(crate) async fn secure<F>(
        pair: &Pair,
        answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let key = PrivateKeyDer::try_from(pair.key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![pair.der.clone()], key)
            .unwrap();
        let tls = TlsAcceptor::from(Arc::new(config));
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::listening(address, Some(tls), answer).await
    }

    async fn listening<F>(
        address: SocketAddr,
        tls: Option<TlsAcceptor>,
        answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Parts>>> = Arc::default();
        let (answer, noted) = (Arc::new(answer), seen.clone());
        let server = tokio::spawn(async move {
            let mut connections = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, noted) = (answer.clone(), noted.clone());
                let tls = tls.clone();
                let task = async move {
                    match tls {
                        None => serve(stream, answer, noted).await,
                        Some(tls) => {
                            // A gateway that does not trust it is the test's business.
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, answer, noted).await;
                            }
                        }
                    }
                };
                connections.push(AbortOnDropHandle::new(tokio::spawn(task)));
            }
        });
        Self {
            address,
            seen,
            _server: AbortOnDropHandle::new(server),
        }
    }

    /// One whose answers all say `text`.
    pub(crate) async fn saying(text: &'static str) -> Self {
        Self::start(move |_| async move { Response::new(full(text)) }).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// The head of the newest request.
    pub(crate) fn last(&self) -> Parts {
        self.seen.lock().unwrap().last().unwrap().clone()
    }
}

async fn serve<F>(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    answer: Arc<impl Fn(Request<Incoming>) -> F + Send + Sync + 'static>,
    noted: Arc<Mutex<Vec<Parts>>>,
) where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (parts, body) = request.into_parts();
        noted.lock().unwrap().push(parts.clone());
        let answer = answer(Request::from_parts(parts, body));
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let builder = http1::Builder::new();
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let connection = connection.with_upgrades();
    // A gateway that hangs up is the test's business.
    drop(connection.await);
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}
