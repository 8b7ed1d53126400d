//! Bodies are bounded, and an answer that is cut never looks whole.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, StreamBody};
use skep_policy::coding::Coding;
use wasmtime_wasi_http::WasiBody;

use super::coded::{Coded, Encoder};
use super::early::Early;
use super::{Incoming, Outgoing, OutgoingBody, watched};
use crate::fault::{Cause, Fault};
use crate::request::exchange::Exchange;
use crate::request::run::instances::tests::alone;
use crate::request::run::sender::Sender;
use crate::request::send::Manner;

const IDLE: Duration = Duration::from_secs(30);
const ON_HTTP2: Manner = Manner {
    body_idle: Duration::from_secs(90),
    without_body: false,
    may_be_unread: true,
};

/// Frames that come at once; then silence, if the body does not end.
fn body(parts: &[&'static str], ends: bool) -> WasiBody {
    let parts: Vec<_> = parts
        .iter()
        .map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes()))))
        .collect();
    let frames = stream::iter(parts);
    if ends {
        StreamBody::new(frames).boxed_unsync()
    } else {
        StreamBody::new(frames.chain(stream::pending())).boxed_unsync()
    }
}

/// As a connection hands them over; none of them fails.
fn incoming(parts: &[&'static str], ends: bool, limit: u64, exchange: &Arc<Exchange>) -> WasiBody {
    let body = body(parts, ends).map_err(|_| -> hyper::Error { unreachable!() });
    Incoming::boxed(body, limit, IDLE, exchange)
}

#[tokio::test]
async fn a_body_of_the_limit_passes_and_a_byte_more_is_refused() {
    let exchange = Exchange::of_nobody();
    let passed = incoming(&["abc", "de"], true, 5, &exchange).collect().await;
    assert_eq!(passed.unwrap().to_bytes(), "abcde");
    assert!(exchange.fault().is_none());

    let mut refused = incoming(&["abc", "def"], true, 5, &exchange);
    assert!(refused.frame().await.unwrap().is_ok());
    assert!(refused.frame().await.unwrap().is_err());
    assert_eq!(exchange.refused().await.cause, Cause::BodyTooLarge);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_silent_for_too_long_is_refused() {
    let exchange = Exchange::of_nobody();
    let mut silent = incoming(&["a"], false, 5, &exchange);
    assert!(silent.frame().await.unwrap().is_ok());
    let start = tokio::time::Instant::now();
    assert!(silent.frame().await.unwrap().is_err());
    assert_eq!(start.elapsed(), IDLE);
    assert_eq!(exchange.refused().await.cause, Cause::BodyTimeout);
}

/// The beginning of a body, as far as it comes at once.
async fn begun(parts: &[&'static str], ends: bool) -> Early {
    let mut early = Early::of(body(parts, ends));
    tokio::select! {
        biased;
        () = early.begin() => {}
        () = std::future::ready(()) => {}
    }
    early
}

#[tokio::test]
async fn a_body_that_is_all_there_says_how_long_it_is() {
    let whole = begun(&["ab", "cde"], true).await;
    assert_eq!(whole.size_hint().exact(), Some(5));
    assert!(!whole.is_end_stream());
    assert_eq!(whole.collect().await.unwrap().to_bytes(), "abcde");

    let nothing = begun(&[], true).await;
    assert!(nothing.is_end_stream() && nothing.size_hint().exact() == Some(0));

    let mut unfinished = begun(&["ab", "cde"], false).await;
    assert_eq!(unfinished.size_hint().exact(), None);
    assert_eq!(unfinished.size_hint().lower(), 5);
    for expected in ["ab", "cde"] {
        let frame = unfinished.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), expected);
    }
    assert!(futures::poll!(unfinished.frame()).is_pending());
}

#[tokio::test]
async fn a_body_with_trailers_does_not_say_how_long_it_is() {
    let frames = [
        Ok(Frame::data(Bytes::from_static(b"ab"))),
        Ok(Frame::trailers(http::HeaderMap::new())),
    ];
    let mut early = Early::of(StreamBody::new(stream::iter(frames)).boxed_unsync());
    early.begin().await;
    assert_eq!(early.size_hint().exact(), None);
    assert!(early.frame().await.unwrap().unwrap().is_data());
    assert!(early.frame().await.unwrap().unwrap().is_trailers());
    assert!(early.frame().await.is_none() && early.frame().await.is_none());
}

#[tokio::test]
async fn what_a_stopped_guest_has_sent_is_never_all_even_if_its_end_is_there() {
    for parts in [&["ab"][..], &[]] {
        let exchange = Exchange::of_nobody();
        let (_seat, claimant) = alone();
        claimant.instance.ends(Cause::CpuDeadline.into());
        let sent = begun(parts, true).await;
        let sent =
            Outgoing::new(sent, None, exchange, Sender::Guest(claimant), IDLE).boxed_unsync();
        assert_eq!(sent.size_hint().exact(), None);
        assert!(!sent.is_end_stream());
    }
}

#[tokio::test]
async fn an_answer_that_breaks_its_promise_does_not_say_how_long_it_is() {
    for parts in [&["ab"][..], &["ab", "cde"], &[]] {
        let (_seat, claimant) = alone();
        let sent = begun(parts, true).await;
        let sent = Outgoing::new(
            sent,
            Some(4),
            Exchange::of_nobody(),
            Sender::Guest(claimant),
            IDLE,
        )
        .boxed_unsync();
        assert_eq!(sent.size_hint().exact(), None, "{parts:?}");
        assert!(!sent.is_end_stream(), "{parts:?}");
    }
}

/// Sends an answer: the bytes that came out, and why it was cut.
async fn send(
    body: WasiBody,
    promised: Option<u64>,
    stopped: Option<Fault>,
) -> (Bytes, Option<Cause>) {
    let exchange = Exchange::of_nobody();
    let (_seat, claimant) = alone();
    let instance = claimant.instance.clone();
    if let Some(fault) = stopped {
        instance.ends(fault);
    }
    let mut sent = Outgoing::new(
        Early::of(body),
        promised,
        exchange.clone(),
        Sender::Guest(claimant),
        IDLE,
    )
    .boxed_unsync();
    let mut bytes = Vec::new();
    let mut cut = false;
    while let Some(frame) = sent.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => bytes.extend_from_slice(&data),
            Ok(Err(_)) => {}
            Err(_) => {
                cut = true;
                break;
            }
        }
    }
    let cause = exchange.fault().map(|fault| fault.cause);
    assert_eq!(cut, cause.is_some(), "a fault cuts, and nothing else does");
    (bytes.into(), cause)
}

#[tokio::test]
async fn an_answer_is_as_long_as_it_promises() {
    let whole = |promised| send(body(&["ab", "cd"], true), promised, None);
    assert_eq!(whole(None).await, ("abcd".into(), None));
    assert_eq!(whole(Some(4)).await, ("abcd".into(), None));
    assert_eq!(
        whole(Some(5)).await,
        ("abcd".into(), Some(Cause::InvalidResponse))
    );
    assert_eq!(
        whole(Some(3)).await,
        ("ab".into(), Some(Cause::InvalidResponse))
    );
}

#[tokio::test]
async fn the_end_of_a_stream_whose_guest_was_stopped_is_no_end() {
    let stopped = Some(Cause::CpuDeadline.into());
    let sent = send(body(&["ab"], true), None, stopped).await;
    assert_eq!(sent, ("ab".into(), Some(Cause::CpuDeadline)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_stops_is_cut() {
    let sent = send(body(&["ab"], false), None, None).await;
    assert_eq!(sent, ("ab".into(), Some(Cause::BodyStalled)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_stops_because_the_request_does_is_the_callers_doing() {
    let exchange = Exchange::of_nobody();
    let mut request = incoming(&[], false, 5, &exchange);
    let (_seat, claimant) = alone();
    let answer = body(&["ab"], false);
    let mut sent = Outgoing::new(
        Early::of(answer),
        None,
        exchange.clone(),
        Sender::Guest(claimant),
        IDLE,
    )
    .boxed_unsync();
    assert!(sent.frame().await.unwrap().is_ok());
    let (first, _) = futures::join!(sent.frame(), request.frame());
    assert!(first.unwrap().is_err());
    assert_eq!(exchange.fault().unwrap().cause, Cause::BodyTimeout);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_asks_for_is_given_up_unless_it_is_the_guest_that_is_waited_for() {
    for asked in [false, true] {
        let exchange = Exchange::of_nobody();
        let (_seat, claimant) = alone();
        let parts = if asked { &["ab"][..] } else { &["ab", "cd"] };
        let answer = body(parts, false);
        let sent = Outgoing::new(
            Early::of(answer),
            None,
            exchange.clone(),
            Sender::Guest(claimant),
            3 * IDLE,
        );
        let mut sent = watched(sent, ON_HTTP2);
        assert!(sent.frame().await.unwrap().is_ok());
        if asked {
            let mut next = sent.frame();
            assert!(futures::poll!(&mut next).is_pending());
            tokio::time::sleep(2 * IDLE).await;
            assert!(exchange.fault().is_none());
            assert!(next.await.unwrap().is_err());
            assert_eq!(exchange.fault().unwrap().cause, Cause::BodyStalled);
        } else {
            tokio::time::sleep(4 * IDLE).await;
            assert_eq!(exchange.fault().unwrap().cause, Cause::CallerGone);
            assert!(sent.frame().await.unwrap().is_err());
        }
    }
}

#[tokio::test]
async fn an_answer_that_a_connection_drops_after_its_trailers_is_whole_if_its_promise_is_kept() {
    for (promised, stopped, cause) in [
        (None, None, None),
        (Some(2), None, None),
        (Some(3), None, Some(Cause::InvalidResponse)),
        (None, Some(Cause::CpuDeadline), Some(Cause::CpuDeadline)),
    ] {
        let exchange = Exchange::of_nobody();
        let (_seat, claimant) = alone();
        if let Some(cause) = stopped {
            claimant.instance.ends(cause.into());
        }
        let frames = [
            Ok(Frame::data(Bytes::from_static(b"ab"))),
            Ok(Frame::trailers(http::HeaderMap::new())),
        ];
        let frames = stream::iter(frames).chain(stream::pending());
        let mut sent = Outgoing::new(
            Early::of(StreamBody::new(frames).boxed_unsync()),
            promised,
            exchange.clone(),
            Sender::Guest(claimant),
            IDLE,
        )
        .boxed_unsync();
        assert!(sent.frame().await.unwrap().unwrap().is_data());
        let last = sent.frame().await.unwrap();
        assert_eq!(last.is_ok_and(|frame| frame.is_trailers()), cause.is_none());
        drop(sent);
        let found = exchange.fault().map(|fault| fault.cause);
        assert_eq!(found, cause, "{promised:?}");
    }
}

#[tokio::test]
async fn an_answer_that_a_connection_drops_is_the_callers_doing_unless_all_of_it_is_out() {
    for (promised, cause) in [
        (Some(4), None),
        (Some(5), Some(Cause::CallerGone)),
        (None, Some(Cause::CallerGone)),
    ] {
        let exchange = Exchange::of_nobody();
        let (_seat, claimant) = alone();
        let mut sent = Outgoing::new(
            Early::of(body(&["abcd"], false)),
            promised,
            exchange.clone(),
            Sender::Guest(claimant),
            IDLE,
        )
        .boxed_unsync();
        assert!(sent.frame().await.unwrap().is_ok());
        drop(sent);
        assert_eq!(
            exchange.fault().map(|fault| fault.cause),
            cause,
            "{promised:?}"
        );
    }
}

/// An answer that leaves in a coding over HTTP/2.
fn coded(answer: WasiBody, sender: Sender, exchange: &Arc<Exchange>) -> OutgoingBody {
    let answer = Outgoing::new(
        Early::of(answer),
        None,
        exchange.clone(),
        sender,
        ON_HTTP2.body_idle,
    );
    let encoder = Encoder::new(Coding::Zstd, None);
    watched(Coded::new(answer, encoder, exchange.clone()), ON_HTTP2)
}

#[tokio::test(start_paused = true)]
async fn what_codes_an_answer_goes_when_that_is_given_up() {
    let exchange = Exchange::of_nobody();
    let (_seat, claimant) = alone();
    let mut sent = coded(body(&["ab"], false), Sender::Guest(claimant), &exchange);
    let bytes = sent.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(Arc::strong_count(&exchange) > 1);
    tokio::time::sleep(2 * ON_HTTP2.body_idle).await;
    // The connection still has the body, and nothing is left in it.
    assert_eq!(Arc::strong_count(&exchange), 1);
    assert_eq!(exchange.fault().unwrap().cause, Cause::CallerGone);
    assert_eq!(exchange.bytes(), Some(bytes.len() as u64));
    assert!(!sent.is_end_stream() && sent.frame().await.unwrap().is_err());
}

#[tokio::test]
async fn an_answer_in_a_coding_is_over_when_all_of_that_has_left() {
    let exchange = Exchange::of_nobody();
    let mut sent = coded(body(&["a"; 5000], true), Sender::Host, &exchange);
    let mut bytes = 0;
    while !sent.is_end_stream() {
        assert_eq!(exchange.bytes(), None);
        let frame = sent.frame().await.unwrap().unwrap();
        bytes += frame.into_data().unwrap().len() as u64;
    }
    // A connection asks for no more.
    drop(sent);
    assert!(bytes < 1000);
    assert_eq!(exchange.bytes(), Some(bytes));
    assert!(exchange.fault().is_none());
}

#[tokio::test]
async fn an_answer_in_a_coding_that_a_connection_drops_is_the_callers_doing_unless_all_of_it_is_out()
 {
    for (frames, cause) in [(1, Some(Cause::CallerGone)), (2, None)] {
        let exchange = Exchange::of_nobody();
        let parts = [
            Ok(Frame::data(Bytes::from_static(b"ab"))),
            Ok(Frame::trailers(http::HeaderMap::new())),
        ];
        let answer = StreamBody::new(stream::iter(parts)).boxed_unsync();
        let mut sent = coded(answer, Sender::Host, &exchange);
        for _ in 0..frames {
            assert!(sent.frame().await.unwrap().is_ok());
        }
        drop(sent);
        assert!(exchange.bytes().is_some());
        assert_eq!(exchange.fault().map(|fault| fault.cause), cause);
    }
}
