//! A thread for work that blocks on files: hashing, loading images, writing down. Nothing that serves waits in it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::{io, thread};

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// The thread; it ends when this is dropped and its work done.
#[derive(Debug)]
pub(crate) struct Worker {
    jobs: mpsc::Sender<Job>,
}

/// The job panicked; the thread goes on.
#[derive(Debug, thiserror::Error)]
#[error("work on files panicked")]
pub struct Panicked;

impl Worker {
    pub(crate) fn start(name: &str) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                for job in queue {
                    // The panic hook has reported it, and whoever waits is told by the closed channel.
                    catch_unwind(AssertUnwindSafe(job)).ok();
                }
            })?;
        Ok(Self { jobs })
    }

    /// Runs `work` on the thread, after what was asked for before.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        let (done, outcome) = oneshot::channel();
        let job = move || {
            // Nobody waits any more if the deployment was dropped.
            done.send(work()).ok();
        };
        self.jobs.send(Box::new(job)).map_err(|_| Panicked)?;
        outcome.await.map_err(|_| Panicked)
    }
}
