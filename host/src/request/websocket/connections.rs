//! Which connections there are, of which service, and the way to each.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use skep_policy::name::ServiceName;
use skep_policy::websocket::{ConnectionId, Settings};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::fault::{Cause, Fault};
use crate::registry::{Service, Standing};

/// Each has a lock of its own, so that connections hardly ever wait for each other.
const PARTS: usize = 64;

/// All connections of the host.
pub(crate) struct Connections {
    parts: [Mutex<HashMap<ConnectionId, Arc<Line>>>; PARTS],
    open: AtomicUsize,
    most: usize,
}

/// A connection's place among all: there until this is dropped.
pub(super) struct Seat {
    pub(super) id: ConnectionId,
    pub(super) standing: Arc<Standing>,
    pub(super) line: Arc<Line>,
    all: Arc<Connections>,
}

/// What waits for a client to read it.
pub(super) type Outgoing = mpsc::Receiver<Message>;

/// The way to one client.
pub(super) struct Line {
    pub(super) service: ServiceName,
    pub(super) message_max: u64,
    outgoing: mpsc::Sender<Message>,
    /// The code that the service closes with.
    code: OnceLock<u16>,
    closed: CancellationToken,
}

/// Why a message does not go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsent {
    /// The connection is gone, or about to be.
    Gone,
    /// The client does not read as fast as the service writes.
    Full,
}

impl Connections {
    /// At most so many.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            parts: std::array::from_fn(|_| Mutex::default()),
            open: AtomicUsize::new(0),
            most,
        })
    }

    /// A place for a connection of `service`, to which messages can be sent from now on.
    ///
    /// # Errors
    /// [`Cause::SocketsFull`] when there are as many as there may be.
    pub(super) fn enter(
        self: &Arc<Self>,
        service: &Service,
        settings: &Settings,
    ) -> Result<(Seat, Outgoing), Fault> {
        let full = |detail: &str| Fault::new(Cause::SocketsFull, detail);
        let more = |open| (open < self.most).then_some(open + 1);
        if self.open.fetch_update(Relaxed, Relaxed, more).is_err() {
            return Err(full("[connections] websockets allows no more"));
        }
        let standing = &service.standing;
        if !standing.sockets.enter(settings.connections.into()) {
            self.open.fetch_sub(1, Relaxed);
            return Err(full("[route.websocket] connections allows no more"));
        }
        let (outgoing, messages) = mpsc::channel(settings.queue as usize);
        let line = Arc::new(Line {
            service: service.name.clone(),
            message_max: settings.message,
            outgoing,
            code: OnceLock::new(),
            closed: CancellationToken::new(),
        });
        let id = ConnectionId::new(rand::random());
        self.part(id).insert(id, line.clone());
        let seat = Seat {
            id,
            standing: standing.clone(),
            line,
            all: self.clone(),
        };
        Ok((seat, messages))
    }

    /// The way to a connection, while there is one.
    pub(super) fn find(&self, id: ConnectionId) -> Option<Arc<Line>> {
        self.part(id).get(&id).cloned()
    }

    fn part(&self, id: ConnectionId) -> MutexGuard<'_, HashMap<ConnectionId, Arc<Line>>> {
        let part = &self.parts[id.part(PARTS)];
        part.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.all.part(self.id).remove(&self.id);
        self.standing.sockets.leave();
        self.all.open.fetch_sub(1, Relaxed);
    }
}

impl Line {
    /// Queues a message.
    ///
    /// # Errors
    /// Why it does not go out.
    pub(super) fn send(&self, message: Message) -> Result<(), Unsent> {
        if self.closed.is_cancelled() {
            return Err(Unsent::Gone);
        }
        self.outgoing
            .try_send(message)
            .map_err(|unsent| match unsent {
                TrySendError::Full(_) => Unsent::Full,
                TrySendError::Closed(_) => Unsent::Gone,
            })
    }

    /// Queues a message once there is room for it, unless the connection ends before.
    pub(super) async fn pass(&self, message: Message) {
        tokio::select! {
            biased;
            () = self.closed.cancelled() => {}
            Ok(room) = self.outgoing.reserve() => room.send(message),
            else => {}
        }
    }

    /// Has the connection closed once what is queued has gone out. Only the first code counts.
    pub(super) fn close(&self, code: u16) {
        self.code.get_or_init(|| code);
        self.closed.cancel();
    }

    /// Whether it is about to be closed.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled() || self.outgoing.is_closed()
    }

    /// Ends when the service wants the connection closed, with its code.
    pub(super) async fn closed(&self) -> u16 {
        self.closed.cancelled().await;
        let normal = || skep_policy::websocket::code::NORMAL;
        *self.code.get_or_init(normal)
    }
}
