//! A server elsewhere that a client talks with.

use std::sync::Arc;

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use skep_policy::websocket::code;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::connections::{Line, Seat};
use super::event::{About, Reply};
use super::session::end::{GOODBYE_TIMEOUT, closing, code_of};
use crate::request::backend::upstream::Turn;
use crate::request::slow::Unhurried;

type Socket = WebSocketStream<Unhurried<TokioIo<Upgraded>>>;
type Ears = Mutex<SplitSink<Socket, Message>>;

/// The connection with it.
pub(super) struct Server {
    turn: Arc<Turn>,
    line: Arc<Line>,
    ears: Arc<Ears>,
    /// Whether it has said all that it will.
    is_silent: CancellationToken,
    /// A task of its own, since a server may not listen before it has been heard.
    _listening: AbortOnDropHandle<()>,
}

impl Server {
    /// What it says goes to the client of `seat` from now on.
    pub(super) async fn new(
        (upgraded, turn): (Upgraded, Turn),
        config: WebSocketConfig,
        about: &About,
        seat: &Seat,
    ) -> Self {
        let patience = about.core.config.timeouts.body_idle;
        let stream = Unhurried::new(TokioIo::new(upgraded), patience);
        let socket = WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await;
        let (ears, mouth) = socket.split();
        let (ears, turn) = (Arc::new(Mutex::new(ears)), Arc::new(turn));
        let (line, is_silent) = (seat.line.clone(), CancellationToken::new());
        let listening = listen(mouth, ears.clone(), line.clone(), turn.clone());
        let silent = is_silent.clone().drop_guard();
        let listening = tokio::spawn(async move {
            let _silent = silent;
            listening.await;
        });
        Self {
            turn,
            line,
            ears,
            is_silent,
            _listening: AbortOnDropHandle::new(listening),
        }
    }

    /// Passes a message on. If it can't be, the connection ends.
    pub(super) async fn message(self: Arc<Self>, message: Message) -> Reply {
        let sent = self.ears.lock().await.send(message).await;
        match sent {
            // Who is about to hang up has said why, or is about to.
            Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(_)) => {}
            Err(error) => {
                warn(&self.turn, &error.to_string());
                self.line.close(code::FAILED);
            }
        }
        Reply::Nothing
    }

    /// The connection with the client has ended.
    pub(super) async fn disconnect(&self, code: u16) {
        let goodbye = async {
            // It may have said so first.
            drop(self.ears.lock().await.send(closing(code)).await);
            self.is_silent.cancelled().await;
        };
        drop(timeout(GOODBYE_TIMEOUT, goodbye).await);
    }
}

/// Passes on what a server says until the connection with it has ended. When nobody hears that, it is heard out.
async fn listen(mut mouth: SplitStream<Socket>, ears: Arc<Ears>, line: Arc<Line>, turn: Arc<Turn>) {
    while let Some(heard) = mouth.next().await {
        match heard {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                line.pass(message).await;
            }
            Ok(Message::Close(frame)) => {
                line.close(frame.map_or(code::NONE, |frame| frame.code.into()));
            }
            // Pings are answered with the next look at the stream.
            Ok(_) => {}
            Err(error) => {
                if !line.is_closed() {
                    warn(&turn, &error.to_string());
                }
                line.close(code::FAILED);
                let told = async { ears.lock().await.send(closing(code_of(&error))).await };
                drop(timeout(GOODBYE_TIMEOUT, told).await);
                return;
            }
        }
    }
    // Unless it has said why.
    line.close(code::FAILED);
}

fn warn(turn: &Turn, why: &str) {
    let server = turn.server();
    tracing::warn!(target: "skep::websocket", %server, why, "a WebSocket to a server broke");
}
