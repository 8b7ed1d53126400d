//! A key is taken once, by one of many, and what is known of it survives the process.

use futures::FutureExt;

use super::table::Most;
use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn request(id: u8, fingerprint: u8) -> Request {
    Request {
        id: [id; 32],
        service: "a".into(),
        fingerprint: [fingerprint; 32],
        expiry: DAY,
    }
}

fn kept(body: &'static str) -> Kept {
    Kept {
        status: 201,
        headers: Bytes::from_static(b"a: b\r\n"),
        body: Bytes::from_static(body.as_bytes()),
    }
}

/// The answer that is kept for a request.
async fn answer(keys: &Keys, request: Request) -> Option<Kept> {
    let Looked::Answered(found) = keys.begin(request).await.unwrap() else {
        panic!("it has none");
    };
    let held = keys.held.clone().try_acquire_owned().unwrap();
    keys.fetch(found, held).await.unwrap()
}

#[tokio::test]
async fn one_of_many_takes_a_key_and_the_others_get_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::new(folder.path());
    let all = futures::future::join_all((0..50).map(|_| keys.begin(request(1, 1)))).await;
    let begun = |looked: &&Result<Looked, KeysError>| matches!(looked, Ok(Looked::Begun));
    assert_eq!(all.iter().filter(begun).count(), 1);
    let refused = Looked::Refused(Verdict::InFlight);
    assert_eq!(keys.begin(request(1, 1)).await.unwrap(), refused);
    assert_eq!(keys.begin(request(2, 1)).await.unwrap(), Looked::Begun);
    keys.end([1; 32], End::Answered(kept("done")))
        .await
        .unwrap();
    for _ in 0..2 {
        assert_eq!(answer(&keys, request(1, 1)).await, Some(kept("done")));
    }
    let reused = Looked::Refused(Verdict::Reused);
    assert_eq!(keys.begin(request(1, 2)).await.unwrap(), reused);
}

#[tokio::test]
async fn what_is_known_survives_the_process_and_what_was_under_way_is_in_doubt() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::new(folder.path());
    for id in 1..=4 {
        assert_eq!(keys.begin(request(id, id)).await.unwrap(), Looked::Begun);
    }
    keys.end([1; 32], End::Answered(kept("one"))).await.unwrap();
    keys.end([2; 32], End::Lost).await.unwrap();
    keys.end([3; 32], End::Free).await.unwrap();
    // As if the process had been killed: the file is there as it is, and the next host has its own.
    let next = Keys::new(folder.path());
    assert_eq!(answer(&next, request(1, 1)).await, Some(kept("one")));
    let found = [
        Looked::Refused(Verdict::InDoubt),
        Looked::Begun,
        Looked::Refused(Verdict::InDoubt),
    ];
    for (id, found) in (2..).zip(found) {
        assert_eq!(next.begin(request(id, id)).await.unwrap(), found, "{id}");
    }
    // What the host before says of what is not its own any more changes nothing.
    keys.end([4; 32], End::Free).await.unwrap();
}

#[tokio::test]
async fn what_has_expired_is_forgotten_unless_it_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::new(folder.path());
    let brief = Request {
        expiry: Duration::ZERO,
        ..request(1, 1)
    };
    assert_eq!(keys.begin(brief.clone()).await.unwrap(), Looked::Begun);
    let refused = Looked::Refused(Verdict::InFlight);
    assert_eq!(keys.begin(brief.clone()).await.unwrap(), refused);
    keys.end(brief.id, End::Answered(kept("done")))
        .await
        .unwrap();
    assert_eq!(keys.begin(brief.clone()).await.unwrap(), Looked::Begun);
}

#[tokio::test]
async fn without_its_file_no_key_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("idempotency.db");
    std::fs::write(
        &file,
        "no database at all, but long enough to be looked at as one".repeat(99),
    )
    .unwrap();
    let keys = Keys::new(folder.path());
    let error = keys.begin(request(1, 1)).await.unwrap_err();
    assert!(error.to_string().contains("idempotency.db"), "{error}");
    // Once the file is out of the way, it goes on.
    std::fs::remove_file(&file).unwrap();
    assert_eq!(keys.begin(request(1, 1)).await.unwrap(), Looked::Begun);
}

#[tokio::test]
async fn a_key_that_nobody_waits_for_any_more_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::new(folder.path());
    for id in 1..=20 {
        // Gone before it is known what was found.
        if keys.begin(request(id, 1)).now_or_never().is_some() {
            continue;
        }
        // What arrives in time is looked at together with it.
        let mut looked = keys.begin(request(id, 1)).await.unwrap();
        if looked != Looked::Begun {
            looked = keys.begin(request(id, 1)).await.unwrap();
        }
        assert_eq!(looked, Looked::Begun, "{id}");
    }
    for id in 101..=120 {
        let mut begin = Box::pin(keys.begin(request(id, 1)));
        if begin.as_mut().now_or_never().is_some() {
            continue;
        }
        // Told after it, and then it is gone without having looked.
        keys.end([0; 32], End::Free).await.unwrap();
        drop(begin);
        let looked = keys.begin(request(id, 1)).await.unwrap();
        assert_eq!(looked, Looked::Begun, "{id}");
    }
}

#[test]
fn where_there_is_no_room_answers_go_and_no_key_is_forgotten_that_has_not_expired() {
    let begin = |id, expiry| {
        let request = Request {
            expiry,
            ..request(id, id)
        };
        Job::Begin(request, oneshot::channel().0)
    };
    let end = |id, end| Job::End([id; 32], end, None);
    let begun = || Done::Looked(Looked::Begun);
    let full = || Done::Looked(Looked::Full);
    let folder = tempfile::tempdir().unwrap();
    let mut table = Table::open(&folder.path().join("idempotency.db"), None).unwrap();
    // Three keys, and the answer of one.
    table.most = Most {
        keys: 3,
        keys_of_service: 3,
        bytes: 3 * 256 + 20,
    };
    let all = [begin(1, DAY * 2), begin(2, DAY), begin(3, Duration::ZERO)];
    assert_eq!(table.at_once(&all).unwrap(), [begun(), begun(), begun()]);
    assert_eq!(table.at_once(&[begin(4, DAY)]).unwrap(), [full()]);
    let ends = [1, 2].map(|id| end(id, End::Answered(kept("answered"))));
    table.at_once(&ends).unwrap();
    let again = [begin(1, DAY), begin(2, DAY), begin(4, DAY)];
    let found = [Done::Looked(Looked::Refused(Verdict::InDoubt)), full()];
    assert_eq!(table.at_once(&again[1..]).unwrap(), found);
    assert!(matches!(
        table.at_once(&again[..1]).unwrap()[..],
        [Done::Looked(Looked::Answered(_))]
    ));
    // What has expired makes room as soon as it is not under way any more.
    let all = [end(3, End::Lost), begin(4, DAY), begin(5, DAY)];
    let found = [Done::Ended, begun(), full()];
    assert_eq!(table.at_once(&all).unwrap(), found);
    let all = [end(4, End::Free), begin(5, DAY)];
    assert_eq!(table.at_once(&all).unwrap(), [Done::Ended, begun()]);
}

#[tokio::test]
async fn an_answer_is_fetched_with_room_for_it_and_none_that_came_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::new(folder.path());
    let (one, other) = (request(1, 1), request(2, 2));
    for request in [&one, &other] {
        assert_eq!(keys.begin(request.clone()).await.unwrap(), Looked::Begun);
    }
    let answered = End::Answered(kept("done"));
    keys.end(one.id, answered).await.unwrap();
    let Looked::Answered(found) = keys.begin(one.clone()).await.unwrap() else {
        panic!("it was not kept");
    };
    assert!(found.bytes >= kept("done").body.len() as u64);
    let all = keys.held.available_permits();
    let held = || keys.held.clone().try_acquire_many_owned(300).unwrap();
    let fetched = keys.fetch(found, held()).await.unwrap().unwrap();
    assert_eq!(fetched, kept("done"));
    assert_eq!(keys.held.available_permits(), all - 300);
    drop(fetched);
    assert_eq!(keys.held.available_permits(), all);
    for gone in [
        Found {
            bytes: found.bytes - 1,
            ..found
        },
        Found {
            fingerprint: [9; 32],
            ..found
        },
        Found {
            id: other.id,
            fingerprint: other.fingerprint,
            ..found
        },
    ] {
        assert_eq!(keys.fetch(gone, held()).await.unwrap(), None);
    }
    assert_eq!(keys.held.available_permits(), all);
}

#[test]
fn a_service_that_has_its_share_of_the_keys_leaves_others_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("idempotency.db");
    let open = || {
        let mut table = Table::open(&path, Some(1)).unwrap();
        table.most = Most {
            keys: 3,
            keys_of_service: 2,
            bytes: 1 << 20,
        };
        table
    };
    let begin = |table: &mut Table, id, service: &str| {
        let request = Request {
            service: service.into(),
            ..request(id, id)
        };
        let job = Job::Begin(request, oneshot::channel().0);
        table.at_once(&[job]).unwrap() == [Done::Looked(Looked::Begun)]
    };
    let mut table = open();
    assert!(begin(&mut table, 1, "a") && begin(&mut table, 2, "a"));
    // It is counted again where the table is opened.
    for mut table in [table, open()] {
        assert!(!begin(&mut table, 3, "a"));
    }
    let mut table = open();
    assert!(begin(&mut table, 4, "b"));
    assert!(
        !begin(&mut table, 5, "b"),
        "there are as many as there may be"
    );
    for id in [1, 4] {
        let free = Job::End([id; 32], End::Free, None);
        assert_eq!(table.at_once(&[free]).unwrap(), [Done::Ended]);
    }
    assert!(begin(&mut table, 5, "a"));
    assert!(!begin(&mut table, 6, "a"));
    assert!(begin(&mut table, 6, "b"));
}

#[tokio::test]
async fn keys_that_an_older_host_has_written_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::new(folder.path());
    keys.begin(request(1, 1)).await.unwrap();
    let answered = End::Answered(kept("done"));
    keys.end([1; 32], answered).await.unwrap();
    let older = rusqlite::Connection::open(folder.path().join("idempotency.db")).unwrap();
    let steps = "ALTER TABLE keys DROP COLUMN service";
    older.execute_batch(steps).unwrap();
    let next = Keys::new(folder.path());
    assert_eq!(answer(&next, request(1, 1)).await, Some(kept("done")));
    assert_eq!(next.begin(request(2, 2)).await.unwrap(), Looked::Begun);
}
