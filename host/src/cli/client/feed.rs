//! A stream of messages that goes on: taken up again where it was lost.

use std::collections::VecDeque;
use std::time::Duration;

use http::header::HeaderValue;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep, timeout};

use super::error::ClientError;
use super::events::{Message, Parser};
use super::{Ask, Target};

const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long a host may be away: long enough to be started again.
const AWAY_MAX: Duration = Duration::from_mins(1);
/// Without a byte, after which a connection is lost: a host says something several times in this.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// What a host tells somebody for whom it was too fast.
const MISSED: &str = "missed";

const _: () = assert!(PAUSE_MIN.as_millis() < PAUSE_MAX.as_millis());
const _: () = assert!(PAUSE_MAX.as_millis() < AWAY_MAX.as_millis());

/// Messages from a host, without an end.
#[derive(Debug)]
pub(in crate::cli) struct Feed<'t> {
    target: &'t Target,
    path: String,
    /// Where to go on when the connection is lost.
    last_id: Option<String>,
    /// None while the connection is lost.
    connection: Option<Connection>,
    /// Read, and not asked for yet.
    ready: VecDeque<Message>,
}

#[derive(Debug)]
struct Connection {
    body: Incoming,
    parser: Parser,
}

impl<'t> Feed<'t> {
    /// Opens the stream; what happens from now on is in it.
    pub(super) async fn open(target: &'t Target, path: String) -> Result<Self, ClientError> {
        let mut feed = Self {
            target,
            path,
            last_id: None,
            connection: None,
            ready: VecDeque::new(),
        };
        feed.connection = Some(feed.connect().await?);
        Ok(feed)
    }

    /// The next message. A connection that is lost is made again, for as long as a host may be away. Dropping the future
    /// loses nothing.
    ///
    /// # Errors
    /// When the host stays away, or does not allow it any more.
    pub(in crate::cli) async fn next(&mut self) -> Result<Message, ClientError> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                if message.kind == MISSED && self.can_resume() {
                    self.ready.clear();
                    self.connection = None;
                    continue;
                }
                if message.id.is_some() {
                    self.last_id.clone_from(&message.id);
                }
                return Ok(message);
            }
            match &mut self.connection {
                None => self.connection = Some(self.reconnect().await?),
                Some(connection) => match connection.read().await {
                    Some(Ok(messages)) => self.ready.extend(messages),
                    Some(Err(source)) => return Err(self.target.foreign(source)),
                    None => self.connection = None,
                },
            }
        }
    }

    /// Whether what was missed can be had again.
    fn can_resume(&self) -> bool {
        self.last_id.is_some() || self.path.contains("after=")
    }

    async fn reconnect(&self) -> Result<Connection, ClientError> {
        let since = Instant::now();
        let mut pause = PAUSE_MIN;
        loop {
            sleep(pause).await;
            match self.connect().await {
                Err(error) if error.is_passing() && since.elapsed() < AWAY_MAX => {
                    tracing::debug!(%error, "the stream is lost");
                }
                Err(error) if error.is_passing() => {
                    let url = self.target.url().to_owned();
                    return Err(ClientError::Ended { url });
                }
                done => return done,
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn connect(&self) -> Result<Connection, ClientError> {
        let mut ask = Ask::get(&self.path).accept("text/event-stream");
        let id = self.last_id.as_deref();
        if let Some(id) = id.and_then(|id| HeaderValue::from_str(id).ok()) {
            ask = ask.header("last-event-id", id);
        }
        let response = self.target.open(ask).await?;
        Ok(Connection {
            body: response.into_body(),
            parser: Parser::default(),
        })
    }
}

impl Connection {
    /// What has come since; None at the end, or where the connection is cut.
    async fn read(&mut self) -> Option<Result<Vec<Message>, super::events::TooLong>> {
        let frame = timeout(SILENCE_MAX, self.body.frame()).await.ok()??.ok()?;
        let bytes = frame.into_data().unwrap_or_default();
        Some(self.parser.take(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn answer(listener: &TcpListener, answer: &str) -> String {
        let (mut stream, _): (TcpStream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    }

    #[tokio::test]
    async fn a_lost_stream_is_taken_up_after_the_last_id() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = listener.local_addr().unwrap().to_string();
        let target = Target::new(&url, None).unwrap();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        let server = async {
            let first =
                format!("{head}id: 5\ndata: a\n\nevent: stage\ndata: b\n\nid: 6\ndata: cut");
            let first = answer(&listener, &first).await;
            assert!(first.starts_with("GET /v1/events HTTP/1.1\r\n"), "{first}");
            assert!(first.contains("accept: text/event-stream\r\n"), "{first}");
            assert!(!first.contains("last-event-id"), "{first}");
            let starting = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
            answer(&listener, starting).await;
            let second = answer(&listener, &format!("{head}id: 6\ndata: c\n\n")).await;
            assert!(second.contains("last-event-id: 5\r\n"), "{second}");
            answer(
                &listener,
                "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n",
            )
            .await;
        };
        let client = async {
            let mut feed = target.follow("/v1/events").await.unwrap();
            for expected in ["a", "b", "c"] {
                assert_eq!(feed.next().await.unwrap().data, expected);
            }
            let error = feed.next().await.unwrap_err();
            assert!(
                matches!(error, ClientError::Unauthorised { .. }),
                "{error:?}"
            );
        };
        tokio::join!(server, client);
    }
}
