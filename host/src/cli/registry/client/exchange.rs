//! How a registry is asked: one request and its answer, in bounded time and size, with what the registry wants to know
//! of who asks. A login goes to the registry and its token server only, never to where they redirect.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use indicatif::ProgressBar;
use tokio::time::timeout;

use super::{ANSWER_BYTES_MAX, Ask, Session};
use crate::cli::registry::TIMEOUT;
use crate::cli::registry::auth::{self, Challenge, Token};
use crate::cli::registry::credentials::{self, Login};
use crate::cli::registry::error::RegistryError;
use crate::cli::registry::progress::hidden;
use crate::cli::upload::Upload;

/// For an answer's head, and between two parts of its body.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const _: () = assert!(ANSWER_TIMEOUT.as_secs() < TIMEOUT.as_secs());
/// A request that carries more may take as long as the whole push.
const QUICK_BYTES_MAX: usize = 1 << 20;
const REDIRECTS_MAX: usize = 5;
const PROGRAM: &str = concat!("skep/", env!("CARGO_PKG_VERSION"));

impl Session {
    /// Asks, and asks again where the answer says to.
    pub(super) async fn get(&mut self, mut ask: Ask) -> Result<Response<Incoming>, RegistryError> {
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.send(&ask).await?;
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
            ask.uri = self.location(&ask.uri, &answer)?;
        }
        Err(RegistryError::Foreign {
            registry: self.registry(),
            what: "redirections without an end",
        })
    }

    /// Asks, and asks once more with what the registry wants to know.
    pub(super) async fn send(&mut self, ask: &Ask) -> Result<Response<Incoming>, RegistryError> {
        let answer = self.exchange(ask).await?;
        if answer.status() != StatusCode::UNAUTHORIZED || !self.is_registry(&ask.uri) {
            return Ok(answer);
        }
        let challenge = Challenge::of(answer.headers());
        drop(answer);
        self.authorise(challenge).await?;
        let answer = self.exchange(ask).await?;
        match answer.status() {
            StatusCode::UNAUTHORIZED => Err(self.unauthorised()),
            _ => Ok(answer),
        }
    }

    pub(super) fn is_registry(&self, uri: &Uri) -> bool {
        (uri.scheme(), uri.authority()) == (self.origin.scheme(), self.origin.authority())
    }

    async fn exchange(&self, ask: &Ask) -> Result<Response<Incoming>, RegistryError> {
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(ask.uri.clone());
        // Of a request without a body, too: some proxies want it for these methods.
        if ask.method == Method::POST || ask.method == Method::PUT {
            request = request.header(CONTENT_LENGTH, ask.body.len());
        }
        if let Some(accept) = ask.accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some(content_type) = ask.content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        if let Some(authorization) = &self.authorization
            && self.is_registry(&ask.uri)
        {
            request = request.header(AUTHORIZATION, authorization);
        }
        let body = Upload::whole(ask.body.clone(), ask.bar.clone());
        let request = request
            .body(body)
            .map_err(|source| self.broken(Box::new(source)))?;
        self.request(request, ask.body.len()).await
    }

    async fn request(
        &self,
        mut request: Request<Upload>,
        bytes: usize,
    ) -> Result<Response<Incoming>, RegistryError> {
        let bound = if bytes > QUICK_BYTES_MAX {
            TIMEOUT
        } else {
            ANSWER_TIMEOUT
        };
        let program = HeaderValue::from_static(PROGRAM);
        request.headers_mut().insert(USER_AGENT, program);
        let url = origin_of(request.uri());
        let answer = timeout(bound, self.client.request(request)).await;
        let answer = answer.map_err(|_| RegistryError::timeout(self.reference.host(), bound))?;
        answer.map_err(|source| match source.is_connect() {
            true => RegistryError::NoRegistry { url, source },
            false => self.broken(Box::new(source)),
        })
    }

    /// Finds out what to send with requests.
    async fn authorise(&mut self, challenge: Option<Challenge>) -> Result<(), RegistryError> {
        if self.login.is_none() {
            self.login = Some(credentials::find(self.reference.host())?);
        }
        let authorization = match (challenge, &self.login) {
            (Some(Challenge::Basic), Some(Login::Password { user, password })) => {
                auth::basic(user, password)
            }
            (
                Some(Challenge::Bearer {
                    realm,
                    service,
                    scope,
                }),
                Some(login),
            ) => {
                self.parse(&realm)?;
                let scope = scope.unwrap_or_else(|| self.scope());
                let request = auth::token_request(&realm, service.as_deref(), &scope, login);
                let request = request.ok_or_else(|| self.unauthorised())?;
                auth::bearer(&self.token(request).await?)
            }
            _ => None,
        };
        if authorization.is_none() {
            return Err(self.unauthorised());
        }
        self.authorization = authorization;
        Ok(())
    }

    async fn token(&self, request: Request<String>) -> Result<Token, RegistryError> {
        let request = request.map(|form| Upload::whole(form.into(), hidden()));
        let answer = self.request(request, 0).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(self.unauthorised());
            }
            _ => return Err(self.refused(answer).await),
        }
        let written = self.read(answer, ANSWER_BYTES_MAX, &hidden()).await?;
        serde_json::from_slice(&written).map_err(|_| RegistryError::Foreign {
            registry: self.registry(),
            what: "something that is no token",
        })
    }

    /// The whole body, of at most `bytes_max` bytes.
    pub(super) async fn read(
        &self,
        answer: Response<Incoming>,
        bytes_max: u64,
        bar: &ProgressBar,
    ) -> Result<Bytes, RegistryError> {
        let mut body = answer.into_body();
        let mut read = BytesMut::new();
        loop {
            let frame = timeout(ANSWER_TIMEOUT, body.frame()).await;
            let frame =
                frame.map_err(|_| RegistryError::timeout(self.reference.host(), ANSWER_TIMEOUT))?;
            let Some(frame) = frame else {
                return Ok(read.freeze());
            };
            let frame = frame.map_err(|source| self.broken(Box::new(source)))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if (read.len() + data.len()) as u64 > bytes_max {
                return Err(RegistryError::Foreign {
                    registry: self.registry(),
                    what: "more than a registry does",
                });
            }
            bar.inc(data.len() as u64);
            read.extend_from_slice(&data);
        }
    }
}

fn origin_of(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{}://{authority}", uri.scheme_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::cli::registry::client::Access;

    /// Gives these answers one after the other, each on a connection of its own, and says what was asked.
    async fn serve(listener: TcpListener, answers: &[String]) -> Vec<String> {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            asked.push(String::from_utf8_lossy(&request[..length]).into_owned());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        let bytes = body.len();
        format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {bytes}\r\n{headers}\r\n{body}"
        )
    }

    async fn registry(login: Login) -> (TcpListener, Session, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let reference = format!("{address}/a:1").parse().unwrap();
        let mut session = Session::new(&reference, Access::Pull).unwrap();
        session.login = Some(login);
        let challenge =
            format!("www-authenticate: Bearer realm=\"http://{address}/token\",service=\"s\"\r\n");
        (listener, session, challenge)
    }

    #[tokio::test]
    async fn a_token_is_fetched_with_the_login_and_presented_from_then_on() {
        let login = Login::Password {
            user: "user".into(),
            password: "secret".into(),
        };
        let (listener, mut session, challenge) = registry(login).await;
        let answers = [
            answer("401 Unauthorized", &challenge, ""),
            answer("200 OK", "", r#"{"token": "t"}"#),
            answer("200 OK", "", "one"),
            answer("200 OK", "", "two"),
        ];
        let ask = async {
            let one = session.manifest("1").await.unwrap();
            let two = session.manifest("2").await.unwrap();
            (one, two)
        };
        let ((one, two), asked) = tokio::join!(ask, serve(listener, &answers));
        assert_eq!((&*one, &*two), (&b"one"[..], &b"two"[..]));
        let says = |at: usize, what: &str| assert!(asked[at].contains(what), "{asked:?}");
        assert!(!asked[0].contains("authorization"), "{asked:?}");
        says(1, "GET /token?scope=repository%3Aa%3Apull&service=s ");
        says(1, "authorization: Basic dXNlcjpzZWNyZXQ=\r\n");
        says(2, "GET /v2/a/manifests/1 ");
        says(2, "authorization: Bearer t\r\n");
        says(3, "authorization: Bearer t\r\n");
    }

    #[tokio::test]
    async fn a_token_that_does_not_help_is_not_fetched_again() {
        let (listener, mut session, challenge) = registry(Login::Anonymous).await;
        let refused = answer("401 Unauthorized", &challenge, "");
        let token = answer("200 OK", "", r#"{"token": "t"}"#);
        let answers = [refused.clone(), token, refused];
        let (asked, _) = tokio::join!(session.manifest("1"), serve(listener, &answers));
        assert!(
            matches!(asked, Err(RegistryError::NoLogin { .. })),
            "{asked:?}"
        );
    }

    #[tokio::test]
    async fn redirections_without_an_end_are_given_up() {
        let (listener, mut session, _) = registry(Login::Anonymous).await;
        let round = answer("307 Temporary Redirect", "location: /v2/round\r\n", "");
        let answers = vec![round; REDIRECTS_MAX + 1];
        let (asked, _) = tokio::join!(session.manifest("1"), serve(listener, &answers));
        assert!(
            matches!(asked, Err(RegistryError::Foreign { .. })),
            "{asked:?}"
        );
    }
}
