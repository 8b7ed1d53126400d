//! Threads that hash passwords, scheduled behind all others: a hash takes a tenth of a second, and whoever guesses
//! passwords asks for many.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use tokio::sync::oneshot;

/// Passwords that wait to be hashed; further ones are refused.
const WAITING_MAX: usize = 64;
/// How far behind all other threads these are scheduled.
const NICE: i32 = 10;

/// A password and what it is compared with.
struct Job {
    password: Vec<u8>,
    hash: String,
    fits: oneshot::Sender<bool>,
}

/// The threads: half as many as there are cores.
#[derive(Debug)]
pub(super) struct Hashing(SyncSender<Job>);

/// There are too many passwords to be hashed already.
#[derive(Debug)]
pub(super) struct Full;

impl Hashing {
    pub(super) fn start() -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (jobs, queue) = sync_channel(WAITING_MAX);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..(cores / 2).max(1) {
            let queue = queue.clone();
            thread::Builder::new()
                .name("skep-password".to_owned())
                .spawn(move || work(&queue))?;
        }
        Ok(Self(jobs))
    }

    /// Whether a password is the one that a hash was made of. An answer that nobody waits for any more is not worked out.
    pub(super) async fn verify(&self, password: &[u8], hash: &str) -> Result<bool, Full> {
        let (fits, answer) = oneshot::channel();
        let job = Job {
            password: password.to_vec(),
            hash: hash.to_owned(),
            fits,
        };
        self.0.try_send(job).map_err(|_| Full)?;
        Ok(answer.await.unwrap_or(false))
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    let behind = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
    if let Err(error) = behind {
        tracing::warn!(%error, "passwords could not be hashed behind everything else");
    }
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        if job.fits.is_closed() {
            continue;
        }
        let fits = bcrypt::non_truncating_verify(&job.password, &job.hash).unwrap_or(false);
        // Nobody waits any more if the client has gone meanwhile.
        job.fits.send(fits).ok();
    }
}
