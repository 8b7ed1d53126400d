//! What is kept of a request, and what keeps it from being kept.

use super::*;
use crate::config::service::record::Record;

fn ring(replays: &Replays) -> (Arc<Ring>, &Replays) {
    let record = Record {
        requests: 10,
        ..Record::default()
    };
    (Ring::of(&record).unwrap(), replays)
}

fn notebook((ring, replays): &(Arc<Ring>, &Replays)) -> Arc<Notebook> {
    let (parts, ()) = Request::builder()
        .uri("http://a.example/path?query")
        .header("authorization", "secret")
        .body(())
        .unwrap()
        .into_parts();
    let nothing = http_body_util::Empty::new().map_err(|never| match never {});
    Notebook::begin(replays, ring, &parts, &nothing.boxed_unsync()).unwrap()
}

fn answered(notebook: &Notebook, headers: &[(&str, &str)], body: &[u8]) {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
    let headers = headers.iter().map(owned).collect();
    notebook.note(0, |notes| {
        notes.answer = Some((200, headers));
        notes.answer_body.push(body);
        true
    });
}

/// Whether the notes are whole.
fn ends(notebook: &Notebook) -> Option<Recording> {
    let notes = notebook.lock().take()?;
    notebook.recording(notes)
}

#[test]
fn a_request_that_was_read_and_answered_is_kept_without_what_is_redacted() {
    let replays = Replays::default();
    let of = ring(&replays);
    let notebook = notebook(&of);
    notebook.passes(&Part::Request, b"body");
    notebook.ends(&Part::Request, true);
    notebook.wall(Duration::from_secs(1));
    notebook.monotonic(Duration::from_secs(2));
    answered(&notebook, &[], b"answer");
    let recording = ends(&notebook).unwrap();
    assert_eq!(recording.headers["authorization"], "redacted");
    assert!(recording.is_redacted && *recording.body == *b"body");
    assert_eq!(recording.wall, [Duration::from_secs(1)]);
    assert_eq!(recording.monotonic, [Duration::from_secs(2)]);
}

#[test]
fn a_request_is_not_kept_if_its_body_or_its_answer_is_not_whole() {
    let replays = Replays::default();
    let of = ring(&replays);
    for (is_body_whole, has_answer, length, is_kept) in [
        (true, true, None, true),
        (true, true, Some("6"), true),
        (true, true, Some("7"), false),
        (false, true, None, false),
        (true, false, None, false),
    ] {
        let notebook = notebook(&of);
        notebook.ends(&Part::Request, is_body_whole);
        if has_answer {
            let headers: Vec<_> = length
                .map(|length| ("content-length", length))
                .into_iter()
                .collect();
            answered(&notebook, &headers, b"answer");
        }
        assert_eq!(ends(&notebook).is_some(), is_kept, "{length:?}");
    }
}

#[test]
fn notes_that_grow_too_long_are_thrown_away() {
    let replays = Replays::default();
    let of = ring(&replays);
    let piece = vec![0; BODY_BYTES_MAX];
    let long_body = notebook(&of);
    long_body.passes(&Part::Request, &piece);
    assert!(long_body.lock().is_some());
    long_body.passes(&Part::Request, b"x");
    assert!(long_body.lock().is_none());

    let many_readings = notebook(&of);
    for _ in 0..READINGS_MAX {
        many_readings.wall(Duration::ZERO);
    }
    assert!(many_readings.lock().is_some());
    many_readings.wall(Duration::ZERO);
    assert!(many_readings.lock().is_none());

    let much = notebook(&of);
    let request = || {
        let nothing = http_body_util::Empty::new().map_err(|never| match never {});
        Request::new(nothing.boxed_unsync())
    };
    for _ in 0..BYTES_MAX / BODY_BYTES_MAX {
        let number = much.asks(&request());
        much.passes(&Part::Heard(number), &piece);
    }
    assert!(much.lock().is_none());
}

#[test]
fn a_long_answer_takes_no_more_room_than_what_is_kept_of_it() {
    let replays = Replays::default();
    let of = ring(&replays);
    let notebook = notebook(&of);
    notebook.ends(&Part::Request, true);
    answered(&notebook, &[], &vec![0; 4 * BYTES_MAX]);
    assert!(ends(&notebook).is_some());
}
