//! One request to a host's admin API: bounded in time and size.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cli::style::harmless;

/// For the whole exchange.
const TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A host's admin API.
#[derive(Debug)]
pub(super) struct Target {
    /// Without a slash at the end.
    url: String,
    authorization: Option<HeaderValue>,
}

/// Why the host's answer can't be had.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL can't be used.
    #[error("{url:?} is no URL of an admin API: write one such as http://127.0.0.1:8081")]
    Url {
        /// As given.
        url: String,
    },
    /// TLS.
    #[error(
        "{url:?} asks for TLS, which the admin API does not speak: reach it over http, or through a tunnel"
    )]
    Tls {
        /// As given.
        url: String,
    },
    /// The token can't be sent.
    #[error("the token holds characters that no token has: check --token and SKEP_ADMIN_TOKEN")]
    Token,
    /// Nobody there.
    #[error(
        "no host answers at {url}; is `skep up` running? Say where with --admin URL or SKEP_ADMIN"
    )]
    NoHost {
        /// Where it was looked for.
        url: String,
        /// Why there is no connection.
        source: legacy::Error,
    },
    /// Somebody there, who broke off.
    #[error("{url} broke off its answer; is it a host's admin API?")]
    Broken {
        /// Who was asked.
        url: String,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Too slow.
    #[error("{url} did not answer within {} s", TIMEOUT.as_secs())]
    Timeout {
        /// Who was asked.
        url: String,
    },
    /// The token is missing or wrong.
    #[error(
        "{url} wants a token: set SKEP_ADMIN_TOKEN (or give --token) to the admin_token of its skep.toml"
    )]
    Unauthorised {
        /// Who was asked.
        url: String,
    },
    /// Any other status.
    #[error("{url} answered {status}: {detail}")]
    Refused {
        /// Who was asked.
        url: String,
        /// The status.
        status: StatusCode,
        /// What the answer said.
        detail: String,
    },
    /// Some other server.
    #[error("{url} answered with something that is no list of services; is it a host's admin API?")]
    Foreign {
        /// Who was asked.
        url: String,
        /// What is odd about it.
        source: serde_json::Error,
    },
}

impl Target {
    /// # Errors
    /// When the URL or the token can't be used.
    pub(super) fn new(url: &str, token: Option<&str>) -> Result<Self, ClientError> {
        let bad = || ClientError::Url {
            url: url.to_owned(),
        };
        let with_scheme = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        let uri: Uri = with_scheme.parse().map_err(|_| bad())?;
        match uri.scheme_str() {
            Some("http")
                if uri.query().is_none() && uri.host().is_some_and(|host| !host.is_empty()) => {}
            Some("https") => {
                return Err(ClientError::Tls {
                    url: url.to_owned(),
                });
            }
            _ => return Err(bad()),
        }
        let token = token.map(str::trim).filter(|token| !token.is_empty());
        let authorization = token
            .map(|token| HeaderValue::try_from(format!("Bearer {token}")))
            .transpose();
        let mut authorization = authorization.map_err(|_| ClientError::Token)?;
        if let Some(authorization) = &mut authorization {
            authorization.set_sensitive(true);
        }
        Ok(Self {
            url: with_scheme.trim_end_matches('/').to_owned(),
            authorization,
        })
    }

    /// Asks for `path` and returns the answer's body.
    ///
    /// # Errors
    /// Unless the status is 200.
    pub(super) async fn get(&self, path: &str) -> Result<Bytes, ClientError> {
        let answer = tokio::time::timeout(TIMEOUT, self.exchange(path)).await;
        let (status, body) = answer.map_err(|_| ClientError::Timeout {
            url: self.url.clone(),
        })??;
        match status {
            StatusCode::OK => Ok(body),
            StatusCode::UNAUTHORIZED => Err(ClientError::Unauthorised {
                url: self.url.clone(),
            }),
            status => Err(ClientError::Refused {
                url: self.url.clone(),
                status,
                detail: detail(&body),
            }),
        }
    }

    /// Reads an answer as JSON.
    ///
    /// # Errors
    /// When it is something else.
    pub(super) fn decode<T: DeserializeOwned>(&self, answer: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(answer).map_err(|source| ClientError::Foreign {
            url: self.url.clone(),
            source,
        })
    }

    async fn exchange(&self, path: &str) -> Result<(StatusCode, Bytes), ClientError> {
        let mut request =
            Request::get(format!("{}{path}", self.url)).header(ACCEPT, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|_| ClientError::Url {
                url: self.url.clone(),
            })?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let response = client
            .request(request)
            .await
            .map_err(|error| self.failed(error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await;
        let body = body.map_err(|source| ClientError::Broken {
            url: self.url.clone(),
            source,
        })?;
        Ok((status, body.to_bytes()))
    }

    fn failed(&self, error: legacy::Error) -> ClientError {
        let url = self.url.clone();
        match error.is_connect() {
            true => ClientError::NoHost { url, source: error },
            false => ClientError::Broken {
                url,
                source: error.into(),
            },
        }
    }
}

/// What problem details say, or else that there are none.
fn detail(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    serde_json::from_slice(body).map_or_else(
        |_| "nothing more".to_owned(),
        |Problem { detail }| harmless(&detail),
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn urls_are_taken_with_and_without_a_scheme() {
        for (url, expected) in [
            ("http://127.0.0.1:8081", "http://127.0.0.1:8081"),
            ("127.0.0.1:8081", "http://127.0.0.1:8081"),
            ("http://[::1]:8081/", "http://[::1]:8081"),
            (
                "http://gateway.example/skep/",
                "http://gateway.example/skep",
            ),
        ] {
            assert_eq!(Target::new(url, None).unwrap().url, expected);
        }
        assert!(matches!(
            Target::new("https://127.0.0.1", None),
            Err(ClientError::Tls { .. })
        ));
        for url in [
            "",
            "ftp://host",
            "http://",
            "http://h/?x",
            "not a url",
            "unix:///run/skep",
        ] {
            assert!(
                matches!(Target::new(url, None), Err(ClientError::Url { .. })),
                "{url}"
            );
        }
        assert!(matches!(
            Target::new("http://h", Some("a\nb")),
            Err(ClientError::Token)
        ));
    }

    /// What asking a server comes to that answers with `answer`, and what it was sent.
    async fn ask(answer: &'static str) -> (Result<Bytes, ClientError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::new(
            &listener.local_addr().unwrap().to_string(),
            Some("0123456789abcdef"),
        )
        .unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        };
        let (result, request) = tokio::join!(target.get("/v1/services"), server);
        (result, request)
    }

    #[tokio::test]
    async fn the_token_is_presented_and_the_body_returned() {
        let (result, request) = ask("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
        assert_eq!(result.unwrap(), "{}");
        assert!(
            request.starts_with("GET /v1/services HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            request.contains("authorization: Bearer 0123456789abcdef\r\n"),
            "{request}"
        );
    }

    #[tokio::test]
    async fn every_other_answer_is_explained() {
        let (result, _) = ask("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await;
        assert!(
            matches!(result, Err(ClientError::Unauthorised { .. })),
            "{result:?}"
        );
        let (result, _) = ask("HTTP/1.1 421 Misdirected Request\r\ncontent-length: 22\r\n\r\n{\"detail\":\"not\\nhere\"}").await;
        assert!(
            result
                .unwrap_err()
                .to_string()
                .ends_with("answered 421 Misdirected Request: not here")
        );
        let (result, _) = ask("SSH-2.0-OpenSSH_9.2\r\n").await;
        assert!(
            matches!(result, Err(ClientError::Broken { .. })),
            "{result:?}"
        );
    }

    #[tokio::test]
    async fn a_host_that_is_not_there_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = Target::new(&url, None)
            .unwrap()
            .get("/v1/services")
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "no host answers at {url}; is `skep up` running? Say where with --admin URL or SKEP_ADMIN"
            )
        );
    }
}
