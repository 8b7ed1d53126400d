//! Which revisions have been the running one, and that those are kept.

use super::*;

#[tokio::test]
async fn what_an_older_host_left_is_taken_over() {
    let (_folder, path) = used().await;
    let older = Connection::open(database(&path)).unwrap();
    let steps = "ALTER TABLE revisions DROP COLUMN has_run; PRAGMA user_version = 1";
    older.execute_batch(steps).unwrap();
    drop(older);
    for _ in 0..2 {
        let state = State::open(&path).unwrap();
        assert_eq!(
            state.ran("a").await.unwrap()[..],
            state.kept("a").await.unwrap()
        );
        drop(state);
    }
    let state = State::open(&path).unwrap();
    state.commit(promotion("a", 2, 10)).await.unwrap();
    assert_eq!(state.ran("a").await.unwrap(), [2, 1]);
}

#[tokio::test]
async fn candidates_that_were_given_up_drive_out_nothing_that_ran() {
    let (_folder, path) = folder();
    let state = State::open(&path).unwrap();
    for number in 1..=2 {
        state.commit(promotion("a", number, 2)).await.unwrap();
    }
    for number in 3..=6 {
        let commit = Commit {
            services: vec![(row("a", Some(2), number), 2)],
            revisions: vec![("a".parse().unwrap(), revision("a", number))],
            ..Commit::default()
        };
        state.commit(commit).await.unwrap();
    }
    assert_eq!(state.kept("a").await.unwrap(), [6, 2, 1]);
}
