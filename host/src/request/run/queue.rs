//! The requests of an instance that it has not begun with.

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Job;

/// Where requests are handed to an instance. Jobs are boxed: a channel has room for many from its start.
#[derive(Debug)]
pub(super) struct Entrance(Option<UnboundedSender<Box<Job>>>);

/// The instance's end. Never has anything for one that serves a single request, which has no channel.
#[derive(Debug)]
pub(crate) struct Queue(Option<UnboundedReceiver<Box<Job>>>);

/// The queue of an instance that serves so many requests in its life, of which it is started with the first.
pub(super) fn of_requests(count: u32) -> (Entrance, Queue) {
    if count == 1 {
        return (Entrance(None), Queue(None));
    }
    let (entrance, queue) = unbounded_channel();
    (Entrance(Some(entrance)), Queue(Some(queue)))
}

impl Entrance {
    /// # Errors
    /// The job, when the instance takes no more.
    pub(super) fn send(&self, job: Box<Job>) -> Result<(), Box<Job>> {
        match &self.0 {
            Some(jobs) => jobs.send(job).map_err(|refused| refused.0),
            None => Err(job),
        }
    }
}

impl Queue {
    /// The next job. None when no more can come.
    pub(super) async fn next(&mut self) -> Option<Box<Job>> {
        self.0.as_mut()?.recv().await
    }

    /// No more jobs come; those that are here already are to be served.
    pub(super) fn close(&mut self) {
        if let Some(jobs) = &mut self.0 {
            jobs.close();
        }
    }

    /// Whether there is no job and none can come.
    pub(super) fn is_over(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|jobs| jobs.is_closed() && jobs.is_empty())
    }
}
