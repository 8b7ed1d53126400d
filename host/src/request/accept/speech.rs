//! HTTP on a connection: what one may cost. Every bound of the libraries that a client could use up is said here.

use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;

use crate::config::HostConfig;

/// Requests that one HTTP/2 connection may have open: more than browsers have (RFC 9113, 6.5.2 asks for 100). Each may
/// hold what follows.
const STREAMS_MAX: u32 = 128;
/// Of an answer, what waits for the client to take it.
const SEND_BYTES_MAX: usize = 64 << 10;
/// Of a request's body, what waits for the guest to take it. Less than what a connection may hold in all, so that one
/// guest that does not read holds no other's body up.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// The least that there may be (RFC 9113, 4.2): of one frame, this much is held before anything is known of it.
const FRAME_BYTES_MAX: u32 = 16 << 10;
/// Requests that were taken back before they were looked at, and wait to be forgotten. A client that has more is told to
/// calm down (CVE-2023-44487); `Activity` counts those that were looked at.
const RESETS_PENDING_MAX: usize = 20;
/// Requests that the host has to reset since the client has broken the protocol in them, on one connection: one that goes
/// on has the host begin what it then gives up (CVE-2025-8671), and is told to calm down.
const RESETS_OWN_MAX: usize = 128;

const _: () = assert!(STREAM_WINDOW < CONNECTION_WINDOW);

pub(super) fn builder(config: &HostConfig) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // `Activity::silence` bounds every head, with one timer for all.
        .header_read_timeout(None)
        .max_buf_size(config.header_bytes_max.max(8192))
        .max_headers(config.headers_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        // Bounds what is kept of a head and how many CONTINUATION frames it may have; four times as much in a head that
        // is refused ends the connection.
        .max_header_list_size(u32::try_from(config.header_bytes_max).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_send_buf_size(SEND_BYTES_MAX)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(RESETS_OWN_MAX)
        .keep_alive_interval(config.timeouts.idle)
        .keep_alive_timeout(config.timeouts.header);
    builder
}
