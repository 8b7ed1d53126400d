//! What comes out reads back as what went in; it comes when it has been sent, and a cut stays one.

use std::io::Read;

use futures::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use proptest::prelude::*;
use skep_policy::coding::Coding;

use super::*;
use crate::request::body::OutgoingBody;

type Part = Result<Frame<Bytes>, Cut>;

fn data(bytes: impl Into<Bytes>) -> Part {
    Ok(Frame::data(bytes.into()))
}

fn coded(coding: Coding, parts: Vec<Part>) -> OutgoingBody {
    boxed(stream::iter(parts), coding, None)
}

fn boxed(
    parts: impl Stream<Item = Part> + Send + 'static,
    coding: Coding,
    length: Option<u64>,
) -> OutgoingBody {
    let body = StreamBody::new(parts).boxed_unsync();
    let encoder = Encoder::new(coding, length);
    Coded::new(body, encoder, Exchange::of_nobody()).boxed_unsync()
}

/// As far as it reads, and whether that is all.
fn decode(coding: Coding, bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut decoder: Box<dyn Read + '_> = match coding {
        Coding::Zstd => Box::new(zstd::stream::read::Decoder::new(bytes).unwrap()),
        Coding::Br => Box::new(brotli::Decompressor::new(bytes, 4096)),
        Coding::Gzip => Box::new(flate2::read::GzDecoder::new(bytes)),
    };
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match decoder.read(&mut buffer) {
            Ok(0) => return (read, true),
            Ok(count) => read.extend_from_slice(&buffer[..count]),
            Err(_) => return (read, false),
        }
    }
}

async fn collect(mut body: OutgoingBody) -> (Vec<u8>, Option<HeaderMap>, bool) {
    let (mut bytes, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => bytes.extend_from_slice(&data),
            Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
            Err(_) => return (bytes, trailers, true),
        }
    }
    assert!(body.is_end_stream());
    (bytes, trailers, false)
}

/// Text that is neither trivial nor random.
fn text(bytes: usize) -> String {
    let lines =
        (0_u64..).map(|line| format!("line {line} of {}\n", line.wrapping_mul(2_654_435_761)));
    let mut text = String::new();
    for line in lines {
        if text.len() >= bytes {
            break;
        }
        text.push_str(&line);
    }
    text
}

#[tokio::test]
async fn what_comes_out_reads_back_and_trailers_follow() {
    for coding in Coding::ALL {
        for length in [0, 1, 100, 70_000, 1_000_000] {
            let text = text(length);
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", http::HeaderValue::from_static("1"));
            let parts = text
                .as_bytes()
                .chunks(50_000)
                .map(Bytes::copy_from_slice)
                .map(data);
            let parts = parts
                .chain([Ok(Frame::trailers(trailers.clone()))])
                .collect();
            let (bytes, found, cut) = collect(coded(coding, parts)).await;
            assert!(!cut);
            assert_eq!(found, Some(trailers));
            assert_eq!(
                decode(coding, &bytes),
                (text.into_bytes(), true),
                "{coding:?}"
            );
            assert!(
                length < 10_000 || bytes.len() * 2 < length,
                "{coding:?} {length}"
            );
        }
    }
}

#[tokio::test]
async fn what_has_been_sent_comes_out_although_there_is_no_more_for_now() {
    for coding in Coding::ALL {
        let (sender, parts) = futures::channel::mpsc::unbounded::<Part>();
        let mut body = boxed(parts, coding, None);
        let (mut bytes, mut sent) = (Vec::new(), Vec::new());
        for part in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
            assert!(futures::poll!(body.frame()).is_pending());
            sender.unbounded_send(data(part)).unwrap();
            sent.extend_from_slice(part.as_bytes());
            let frame = body.frame().await.unwrap().unwrap();
            bytes.extend_from_slice(&frame.into_data().unwrap());
            assert_eq!(decode(coding, &bytes), (sent.clone(), false), "{coding:?}");
        }
        assert!(futures::poll!(body.frame()).is_pending());
        drop(sender);
        let (rest, _, cut) = collect(body).await;
        bytes.extend_from_slice(&rest);
        assert!(!cut);
        assert_eq!(decode(coding, &bytes), (sent, true), "{coding:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_cut_never_reads_as_a_whole_one() {
    for coding in Coding::ALL {
        for before in [vec![], vec!["short".to_owned()], vec![text(200_000)]] {
            let cut = Cut::by(Cause::GuestTrapped.into());
            let parts = before.iter().cloned().map(data).chain([Err(cut)]).collect();
            let (bytes, _, is_cut) = collect(coded(coding, parts)).await;
            assert!(is_cut);
            let (_, is_whole) = decode(coding, &bytes);
            assert!(!is_whole, "{coding:?}");
        }
    }
}

/// Bytes that went in between two moments at which others had their turn.
#[tokio::test]
async fn others_have_their_turn_however_much_comes_at_once() {
    for coding in Coding::ALL {
        let zeros = Bytes::from(vec![0; 4 << 20]);
        let mut body = coded(coding, vec![data(zeros.clone())]);
        let (mut turns, mut bytes) = (0, Vec::new());
        loop {
            match futures::poll!(body.frame()) {
                Poll::Pending => turns += 1,
                Poll::Ready(None) => break,
                Poll::Ready(Some(frame)) => {
                    bytes.extend_from_slice(&frame.unwrap().into_data().unwrap());
                }
            }
        }
        assert!(
            turns >= zeros.len() / PIECE_BYTES_MAX - 1,
            "{coding:?}: {turns}"
        );
        assert_eq!(decode(coding, &bytes), (zeros.to_vec(), true));
    }
    // Nor does it matter how small the frames are.
    let many = stream::repeat_with(|| data(Bytes::new())).take(1_000_000);
    let mut body = boxed(many, Coding::Gzip, None);
    assert!(futures::poll!(body.frame()).is_pending());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_bytes_in_any_pieces_read_back(
        parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 0..20),
        at in 0..Coding::ALL.len(),
        length in proptest::option::of(0_u64..1 << 20),
    ) {
        let coding = Coding::ALL[at];
        let whole = parts.concat();
        let parts = stream::iter(parts.into_iter().map(data).collect::<Vec<_>>());
        // A body that makes it wait now and then is flushed in between.
        let parts = parts.then(|part| async {
            tokio::task::yield_now().await;
            part
        });
        let body = boxed(parts, coding, length);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (bytes, _, cut) = runtime.block_on(collect(body));
        prop_assert!(!cut);
        prop_assert_eq!(decode(coding, &bytes), (whole, true));
    }
}
