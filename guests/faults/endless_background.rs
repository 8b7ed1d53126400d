//! Answers in full, then loops for ever in a task that it left behind.

use fixtures::p3::{self, ErrorCode, Request, Response};

/// Enough for the answer to leave the host before the loop starts.
const HEAD_START_MS: u64 = 20;

fixtures::serve_p3!(handle);

async fn handle(_request: Request) -> Result<Response, ErrorCode> {
    Ok(p3::answer_then("answered\n".to_owned(), async {
        p3::wait_ms(HEAD_START_MS).await;
        loop {
            std::hint::spin_loop();
        }
    }))
}
