//! How a connection ends, and that the client learns why.

use std::time::Duration;

use futures::SinkExt;
use skep_policy::websocket::{code, passed_on};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Socket;

/// How long the other side may take for the last word.
pub(in crate::request::websocket) const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// The code that a connection which failed so is closed with; [`code::ABNORMAL`] if there is nobody to tell.
pub(in crate::request::websocket) fn code_of(error: &Error) -> u16 {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => code::TOO_LARGE,
        Error::Utf8(_) => code::NOT_TEXT,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => code::ABNORMAL,
        Error::Protocol(_) | Error::Capacity(_) => code::PROTOCOL,
        _ => code::ABNORMAL,
    }
}

/// What tells one side that the connection with the other has ended so, or is to.
pub(in crate::request::websocket) fn closing(code: u16) -> Message {
    Message::Close(passed_on(code).map(|code| CloseFrame {
        code: code.into(),
        reason: "".into(),
    }))
}

/// Says why the connection ends, if the host ends it, and hears the client out: what is not read when a connection is
/// closed may keep what was sent last from arriving.
pub(super) async fn say_goodbye(mut socket: Socket, code: Option<u16>) {
    let goodbye = async move {
        if let Some(code) = code {
            // Whether it can be said or not, that was it.
            drop(socket.send(closing(code)).await);
        } else {
            drop(socket.flush().await);
        }
        let mut stream = socket.into_inner();
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut rest = [0; 1024];
        while let Ok(1..) = stream.read(&mut rest).await {}
    };
    // Who does not hang up is hung up on.
    drop(timeout(GOODBYE_TIMEOUT, goodbye).await);
}
