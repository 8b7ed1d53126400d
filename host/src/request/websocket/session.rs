//! One connection from its handshake to its end: what the client says goes to its partner one message after another, and
//! what the partner says to the client. Nothing is read while there is no room for it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::future::{BoxFuture, OptionFuture};
use futures::{FutureExt, Sink, Stream};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use skep_policy::websocket::{Pulse, code};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};

use self::end::{code_of, say_goodbye};
use self::progress::Progress;
use super::connections::{Outgoing, Seat};
use super::event::{About, Reply, Told};
use super::server::Server;
use crate::request::backend::upstream::Turn;

pub(super) mod end;
mod progress;
mod watch;

/// Messages that a client may be ahead of the service.
const INBOX_MAX: usize = 16;
/// What a connection reads at once.
const READ_BYTES: usize = 4 << 10;
/// What waits to be written beside a message: answers to pings.
const CONTROL_BYTES_MAX: usize = 16 << 10;

type Socket = WebSocketStream<Progress<TokioIo<Upgraded>>>;

/// A connection that its service has accepted. It must be run, so that the service learns of its end.
pub(crate) struct Session {
    about: About,
    seat: Seat,
    outgoing: Outgoing,
    upgrade: OnUpgrade,
    opened: Option<(Upgraded, Turn)>,
}

impl Session {
    pub(super) fn new(
        about: About,
        (seat, outgoing): (Seat, Outgoing),
        upgrade: OnUpgrade,
        opened: Option<(Upgraded, Turn)>,
    ) -> Self {
        Self {
            about,
            seat,
            outgoing,
            upgrade,
            opened,
        }
    }

    /// Serves the connection until it has ended and the service knows. To be called when nobody speaks HTTP on it any more.
    pub(crate) async fn run(self) {
        let Self {
            about,
            seat,
            outgoing,
            upgrade,
            opened,
        } = self;
        let partner = match opened {
            None => Partner::Service(Arc::new(Told::new(&about, seat.id))),
            Some(opened) => {
                let server = Server::new(opened, config(&about), &about, &seat).await;
                Partner::Server(Arc::new(server))
            }
        };
        let code = match upgrade.await {
            Ok(upgraded) => {
                let socket = Progress::of(TokioIo::new(upgraded));
                let config = Some(config(&about));
                let socket = WebSocketStream::from_raw_socket(socket, Role::Server, config).await;
                let talk = Talk::new(socket, &about, &partner, &seat, outgoing);
                talk.run().await
            }
            Err(error) => {
                tracing::debug!(target: "skep::websocket", connection = %seat.id, %error, "connection lost in its handshake");
                code::ABNORMAL
            }
        };
        tracing::debug!(target: "skep::websocket", service = about.head.service.as_ref(), connection = %seat.id, code, "connection ended");
        // Nothing can be sent any more when the partner learns of the end.
        drop(seat);
        partner.disconnect(code).await;
    }
}

fn config(about: &About) -> WebSocketConfig {
    let message = about.message_max();
    WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(message + CONTROL_BYTES_MAX)
        .max_message_size(Some(message))
        .max_frame_size(Some(message))
}

/// Who a client talks with.
enum Partner {
    Service(Arc<Told>),
    Server(Arc<Server>),
}

impl Partner {
    /// What it does with a message.
    fn hears(&self, message: Message) -> BoxFuture<'static, Reply> {
        match self {
            Self::Service(told) => told.clone().message(message).boxed(),
            Self::Server(server) => server.clone().message(message).boxed(),
        }
    }

    /// The connection has ended.
    async fn disconnect(&self, code: u16) {
        match self {
            Self::Service(told) => told.disconnect(code).await,
            Self::Server(server) => server.disconnect(code).await,
        }
    }
}

/// How far a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The host closes with this code once what it has taken in is handled and what is queued is out.
    Closing(u16),
    /// The client has closed with this code or is gone; what it said before is handled.
    Closed(u16),
    /// The host closes with this code at once.
    Failed(u16),
}

/// What happens next.
enum Step {
    Written(Result<(), tungstenite::Error>),
    Read(Option<Result<Message, tungstenite::Error>>),
    Replied(Reply),
    Pushed(Option<Message>),
    Ordered(u16),
    Draining,
    Time,
}

/// A conversation.
struct Talk<'a> {
    socket: Socket,
    about: &'a About,
    partner: &'a Partner,
    seat: &'a Seat,
    outgoing: Outgoing,
    pulse: Pulse,
    began: Instant,
    phase: Phase,
    /// What the client has said, in order.
    inbox: VecDeque<Message>,
    inbox_bytes: usize,
    /// What the partner does with the message before.
    event: OptionFuture<BoxFuture<'static, Reply>>,
    is_busy: bool,
    /// What it answered, and how many messages go out before.
    reply: Option<(Message, usize)>,
    /// Whether something may not be written yet.
    is_writing: bool,
    /// Whether the client is to be asked whether it is there once that is written.
    owes_ping: bool,
}

impl<'a> Talk<'a> {
    fn new(
        socket: Socket,
        about: &'a About,
        partner: &'a Partner,
        seat: &'a Seat,
        outgoing: Outgoing,
    ) -> Self {
        Self {
            socket,
            about,
            partner,
            seat,
            outgoing,
            pulse: Pulse::new(&about.settings, Duration::ZERO),
            began: Instant::now(),
            phase: Phase::Open,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            event: None.into(),
            is_busy: false,
            reply: None,
            is_writing: false,
            owes_ping: false,
        }
    }

    /// To the end, whose code this answers.
    async fn run(mut self) -> u16 {
        loop {
            self.begin_event();
            self.begin_reply();
            if self.is_over() {
                break;
            }
            let step = self.next().await;
            self.take(step);
        }
        match self.phase {
            Phase::Closed(code) => {
                say_goodbye(self.socket, None).await;
                code
            }
            Phase::Open => code::ABNORMAL,
            Phase::Closing(code) | Phase::Failed(code) => {
                say_goodbye(self.socket, Some(code)).await;
                code
            }
        }
    }

    /// Hands the next message to the partner.
    fn begin_event(&mut self) {
        if self.is_busy || self.reply.is_some() || matches!(self.phase, Phase::Failed(_)) {
            return;
        }
        let Some(message) = self.inbox.pop_front() else {
            return;
        };
        self.inbox_bytes -= message.len();
        self.seat.standing.sockets.received();
        self.event = Some(self.partner.hears(message)).into();
        self.is_busy = true;
    }

    /// Sends what the service answered, after what it had sent before.
    fn begin_reply(&mut self) {
        if let Some((message, 0)) = self
            .reply
            .take_if(|(_, ahead)| *ahead == 0 && !self.is_writing)
        {
            self.write(message);
        }
    }

    fn is_over(&self) -> bool {
        let is_idle = !self.is_busy && self.inbox.is_empty();
        let is_silent = self.reply.is_none() && !self.is_writing;
        match self.phase {
            Phase::Open => false,
            Phase::Closing(_) => is_idle && is_silent && self.outgoing.is_empty(),
            Phase::Closed(_) => is_idle,
            Phase::Failed(_) => true,
        }
    }

    async fn next(&mut self) -> Step {
        let is_open = self.phase == Phase::Open;
        let reads = is_open && self.has_room();
        let writes = self.is_writing;
        let takes_push = !writes && !matches!(self.phase, Phase::Closed(_));
        // Who does not read what is left for it is not waited for, either.
        let is_timed = is_open || writes && matches!(self.phase, Phase::Closing(_));
        let wake = self.wake();
        let Self {
            socket,
            event,
            outgoing,
            seat,
            about,
            is_busy,
            ..
        } = self;
        tokio::select! {
            step = step(Pin::new(socket), writes, reads) => step,
            Some(reply) = event, if *is_busy => Step::Replied(reply),
            message = outgoing.recv(), if takes_push => Step::Pushed(message),
            code = seat.line.closed(), if is_open => Step::Ordered(code),
            () = about.core.draining.cancelled(), if is_open => Step::Draining,
            () = sleep_until(wake), if is_timed => Step::Time,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Written(Ok(())) => self.written(),
            Step::Written(Err(error)) => self.broken(&error),
            Step::Read(Some(Ok(message))) => self.hear(message),
            Step::Read(Some(Err(error))) => self.broken(&error),
            Step::Read(None) => self.lost(code::ABNORMAL),
            Step::Replied(reply) => self.replied(reply),
            Step::Pushed(Some(message)) => {
                if let Some((_, ahead)) = &mut self.reply {
                    *ahead = ahead.saturating_sub(1);
                }
                self.write(message);
            }
            // The seat holds the sender.
            Step::Pushed(None) => self.lost(code::ABNORMAL),
            Step::Ordered(code) => self.closing(code),
            Step::Draining => self.close(code::GOING_AWAY),
            Step::Time => self.look(),
        }
    }

    fn has_room(&self) -> bool {
        let most = self.about.message_max();
        self.inbox.len() < INBOX_MAX && self.inbox_bytes < most
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn hear(&mut self, message: Message) {
        let now = self.now();
        self.pulse.heard(now);
        match message {
            Message::Text(_) | Message::Binary(_) => {
                self.pulse.message(now);
                self.inbox_bytes += message.len();
                self.inbox.push_back(message);
            }
            Message::Ping(_) | Message::Pong(_) => {
                // A ping has been answered, as far as that could be written at once.
                self.is_writing = true;
                if !self.pulse.control(now) {
                    self.phase = Phase::Failed(code::REFUSED);
                }
            }
            Message::Close(frame) => {
                self.is_writing = true;
                let code = frame.map_or(code::NONE, |frame| frame.code.into());
                self.lost(code);
            }
            // Never read.
            Message::Frame(_) => {}
        }
    }

    fn replied(&mut self, reply: Reply) {
        (self.event, self.is_busy) = (None.into(), false);
        self.pulse.message(self.now());
        match reply {
            Reply::Nothing => {}
            _ if matches!(self.phase, Phase::Closed(_)) => {}
            Reply::Message(message) => self.reply = Some((message, self.outgoing.len())),
            Reply::Ends(code) => self.phase = Phase::Failed(code),
        }
    }

    /// Closes in order.
    fn close(&mut self, code: u16) {
        self.seat.line.close(code);
        self.closing(code);
    }

    fn closing(&mut self, code: u16) {
        // It is not listened to from here on.
        self.pulse.heard(self.now());
        self.phase = Phase::Closing(code);
    }

    fn broken(&mut self, error: &tungstenite::Error) {
        if matches!(self.phase, Phase::Closed(_)) {
            return;
        }
        match code_of(error) {
            code::ABNORMAL => self.lost(code::ABNORMAL),
            code => self.phase = Phase::Failed(code),
        }
    }

    /// Nothing that the service says goes out any more.
    fn lost(&mut self, code: u16) {
        self.reply = None;
        self.phase = Phase::Closed(code);
    }

    /// Sends a message. Only when what was sent before is written.
    fn write(&mut self, message: Message) {
        self.pulse.message(self.now());
        self.seat.standing.sockets.sent();
        self.put(message);
    }

    fn put(&mut self, message: Message) {
        match Pin::new(&mut self.socket).start_send(message) {
            Ok(()) => self.is_writing = true,
            Err(error) => self.broken(&error),
        }
    }
}

/// What the connection does next of what it may do.
async fn step(mut socket: Pin<&mut Socket>, writes: bool, reads: bool) -> Step {
    poll_fn(|cx| {
        if writes && let Poll::Ready(written) = socket.as_mut().poll_flush(cx) {
            return Poll::Ready(Step::Written(written));
        }
        if reads && let Poll::Ready(read) = socket.as_mut().poll_next(cx) {
            return Poll::Ready(Step::Read(read));
        }
        Poll::Pending
    })
    .await
}
