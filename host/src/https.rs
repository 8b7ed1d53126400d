//! Connections to other machines, with TLS and without.

use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, RootCertStore};

/// For a connection, if nothing else is said.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What makes a connection for a URL.
pub(crate) type Connector = HttpsConnector<HttpConnector>;

/// Trusts these authorities; the public ones if none are given.
pub(crate) fn connector(authorities: Option<RootCertStore>) -> Connector {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let builder = HttpsConnectorBuilder::new();
    let builder = match authorities {
        None => builder.with_webpki_roots(),
        Some(roots) => {
            let config = ClientConfig::builder().with_root_certificates(roots);
            builder.with_tls_config(config.with_no_client_auth())
        }
    };
    builder
        .https_or_http()
        // Not HTTP/2: requests would share a connection, and one that leaves its answer unread would stall the others.
        .enable_http1()
        .wrap_connector(http)
}
