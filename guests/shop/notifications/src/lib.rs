//! Tells customers what becomes of their orders: on standard output, until there is a mail server for it.

use std::sync::atomic::{AtomicU64, Ordering};

use exports::shop::notifications::outbox::Guest;
use wasip3::clocks::monotonic_clock::wait_for;

wit_bindgen::generate!({ path: "../wit", world: "notifications", generate_all });

/// What handing a message over takes.
const HANDOVER_NS: u64 = 1_000_000;

static SENT: AtomicU64 = AtomicU64::new(0);

struct Notifications;

export!(Notifications);

impl Guest for Notifications {
    async fn send(to: String, text: String) -> u64 {
        wait_for(HANDOVER_NS).await;
        println!("to {to}: {text}");
        SENT.fetch_add(1, Ordering::Relaxed) + 1
    }
}
