//! What is kept of a request, and what keeps it from being kept.

use super::*;
use crate::config::service::record::Record;

fn ring() -> Readers {
    let record = Record {
        requests: 10,
        ..Record::default()
    };
    Readers {
        ring: Ring::of(&record),
        mirror: None,
    }
}

fn notebook(readers: &Readers, replays: &Replays) -> Arc<Notebook> {
    let (parts, ()) = Request::builder()
        .uri("http://a.example/path?query")
        .header("authorization", "secret")
        .body(())
        .unwrap()
        .into_parts();
    let nothing = http_body_util::Empty::new().map_err(|never| match never {});
    Notebook::begin(replays, readers.clone(), &parts, &nothing.boxed_unsync()).unwrap()
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
fn what_is_kept_has_no_secrets_and_what_is_mirrored_is_as_it_was() {
    let replays = Replays::default();
    let mut of = ring();
    let (mirror, mut coming) = Mirror::of(100).unwrap();
    of.mirror = Some(Arc::new(mirror));
    let notebook = notebook(&of, &replays);
    notebook.passes(&Part::Request, b"body");
    notebook.ends(&Part::Request, true);
    notebook.wall(Duration::from_secs(1));
    notebook.monotonic(Duration::from_secs(2));
    let nothing = || http_body_util::Empty::new().map_err(|never| match never {});
    let number = notebook.asks(&Request::new(nothing().boxed_unsync()));
    let mut heard = http::Response::new(nothing().boxed_unsync());
    let cookie = http::HeaderValue::from_static("cookie");
    heard.headers_mut().insert(header::SET_COOKIE, cookie);
    drop(notebook.hears(number, heard));
    answered(&notebook, &[], b"answer");
    of.read(ends(&notebook).unwrap());

    let kept = of.ring.unwrap().recordings().pop().unwrap();
    let mirrored = coming.try_recv().unwrap();
    for (recording, secrets) in [(&*kept, ["redacted"; 2]), (&mirrored, ["secret", "cookie"])] {
        let Some(Ok((_, heard))) = &recording.asked[0].head else {
            panic!("it was answered")
        };
        let found = [
            &recording.headers["authorization"],
            &heard[header::SET_COOKIE],
        ];
        assert_eq!(found, secrets);
        assert_eq!(recording.is_redacted, secrets == ["redacted"; 2]);
        assert!(*recording.body == *b"body");
        assert_eq!(recording.wall, [Duration::from_secs(1)]);
        assert_eq!(recording.monotonic, [Duration::from_secs(2)]);
    }
}

#[test]
fn a_request_is_not_kept_if_its_body_or_its_answer_is_not_whole() {
    let replays = Replays::default();
    let of = ring();
    for (is_body_whole, has_answer, length, is_kept) in [
        (true, true, None, true),
        (true, true, Some("6"), true),
        (true, true, Some("7"), false),
        (false, true, None, false),
        (true, false, None, false),
    ] {
        let notebook = notebook(&of, &replays);
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
    let of = ring();
    let piece = vec![0; BODY_BYTES_MAX];
    let long_body = notebook(&of, &replays);
    long_body.passes(&Part::Request, &piece);
    assert!(long_body.lock().is_some());
    long_body.passes(&Part::Request, b"x");
    assert!(long_body.lock().is_none());

    let many_readings = notebook(&of, &replays);
    for _ in 0..READINGS_MAX {
        many_readings.wall(Duration::ZERO);
    }
    assert!(many_readings.lock().is_some());
    many_readings.wall(Duration::ZERO);
    assert!(many_readings.lock().is_none());

    let much = notebook(&of, &replays);
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
    let of = ring();
    let notebook = notebook(&of, &replays);
    notebook.ends(&Part::Request, true);
    answered(&notebook, &[], &vec![0; 4 * BYTES_MAX]);
    assert!(ends(&notebook).is_some());
}
