//! Connections to other machines, with TLS and without.

use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;

/// For a connection, if nothing else is said.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What makes a connection for a URL.
pub(crate) type Connector = HttpsConnector<HttpConnector>;

pub(crate) fn connector() -> Connector {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    HttpsConnectorBuilder::new()
        .with_webpki_roots()
        .https_or_http()
        // Not HTTP/2: services would share a connection, and one that leaves answers unread would stall the others.
        .enable_http1()
        .wrap_connector(http)
}
