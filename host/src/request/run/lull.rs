//! When an instance has nothing to do: what it was about to send has been sent.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use futures::future::BoxFuture;
use futures::task::AtomicWaker;
use tokio::sync::Notify;

/// An instance that is polled so often without a pause counts as one that had one: others keep it busy.
const POLLS_MAX: u32 = 16;

/// Tells requests when their instance comes to a rest. Wakes the task that polls the instance, and notes that it has.
#[derive(Debug)]
pub(crate) struct Lull {
    /// Whether there is something to do: the instance is to be polled again.
    awake: AtomicBool,
    /// Nothing is told any more.
    over: AtomicBool,
    task: AtomicWaker,
    came: Notify,
}

impl Lull {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            awake: AtomicBool::new(true),
            over: AtomicBool::new(false),
            task: AtomicWaker::new(),
            came: Notify::new(),
        })
    }

    /// Ends when the instance rests, or has not done so for long; at once if it rests now, or is not one to wait for.
    pub(crate) async fn came(&self) {
        let mut came = pin!(self.came.notified());
        // From here on none is missed.
        came.as_mut().enable();
        if self.awake.load(SeqCst) && !self.over.load(SeqCst) {
            came.await;
        }
    }

    fn end(&self) {
        self.over.store(true, SeqCst);
        self.comes();
    }

    fn comes(&self) {
        self.came.notify_waiters();
    }
}

impl Wake for Lull {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.awake.store(true, SeqCst);
        self.task.wake();
    }
}

/// An instance's future, which says when it rests if anyone wants to know.
pub(crate) struct Watched {
    future: BoxFuture<'static, ()>,
    lull: Option<(Arc<Lull>, Waker)>,
    polls: u32,
}

impl Watched {
    pub(crate) fn new(future: BoxFuture<'static, ()>) -> Self {
        Self {
            future,
            lull: None,
            polls: 0,
        }
    }

    pub(crate) fn tell(&mut self, lull: Arc<Lull>) {
        let waker = Waker::from(lull.clone());
        self.lull = Some((lull, waker));
    }

    /// Says no more: the instance computes for long, and nobody shall wait for it.
    pub(crate) fn hush(&mut self) {
        if let Some((lull, _)) = self.lull.take() {
            lull.end();
        }
    }
}

impl Future for Watched {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some((lull, waker)) = &this.lull else {
            return this.future.as_mut().poll(cx);
        };
        lull.task.register(cx.waker());
        lull.awake.store(false, SeqCst);
        let poll = this.future.as_mut().poll(&mut Context::from_waker(waker));
        this.polls += 1;
        if !lull.awake.load(SeqCst) || this.polls >= POLLS_MAX {
            this.polls = 0;
            lull.comes();
        }
        poll
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.hush();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// As a store yields: it asks to be polled again at once.
    async fn yields() {
        let mut has = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut has, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// A watched future and its lull, before it is polled for the first time.
    fn watched(future: impl Future<Output = ()> + Send + 'static) -> (Watched, Arc<Lull>) {
        let (mut watched, lull) = (Watched::new(Box::pin(future)), Lull::new());
        watched.tell(lull.clone());
        (watched, lull)
    }

    fn rests(lull: &Lull) -> bool {
        lull.came().now_or_never().is_some()
    }

    #[tokio::test]
    async fn it_comes_when_there_is_nothing_to_do_and_goes_when_there_is() {
        let (bell, mut rung) = tokio::sync::mpsc::channel(1);
        let guest = async move {
            yields().await;
            while rung.recv().await.is_some() {}
        };
        let (mut watched, lull) = watched(guest);
        assert!(!rests(&lull), "before the first poll");
        assert!(futures::poll!(&mut watched).is_pending());
        assert!(!rests(&lull), "it has only yielded");
        let mut coming = std::pin::pin!(lull.came());
        assert!(futures::poll!(&mut coming).is_pending());
        assert!(futures::poll!(&mut watched).is_pending());
        assert!(futures::poll!(&mut coming).is_ready() && rests(&lull));
        bell.send(()).await.unwrap();
        assert!(!rests(&lull), "it has been woken");
        drop(bell);
        watched.await;
        assert!(rests(&lull), "it is gone");
    }

    #[tokio::test]
    async fn one_that_never_rests_is_not_waited_for() {
        let restless = async {
            loop {
                yields().await;
            }
        };
        let (mut watched, lull) = watched(restless);
        let mut coming = std::pin::pin!(lull.came());
        let mut polls = 0;
        while futures::poll!(&mut coming).is_pending() {
            assert!(futures::poll!(&mut watched).is_pending());
            polls += 1;
        }
        assert_eq!(polls, POLLS_MAX);
    }

    #[tokio::test]
    async fn whoever_waits_is_told_when_the_instance_is_dropped() {
        let (watched, lull) = watched(std::future::pending());
        let mut coming = std::pin::pin!(lull.came());
        assert!(futures::poll!(&mut coming).is_pending());
        drop(watched);
        coming.await;
    }

    #[tokio::test]
    async fn one_that_computes_for_long_is_not_waited_for() {
        let (mut watched, lull) = watched(std::future::pending());
        let mut coming = std::pin::pin!(lull.came());
        assert!(futures::poll!(&mut coming).is_pending());
        watched.hush();
        coming.await;
        assert!(rests(&lull));
    }
}
