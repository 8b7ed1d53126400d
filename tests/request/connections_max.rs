//! No more connections are served at a time than the settings say; the next one waits until another has gone.

use crate::support::{Host, guest};

const MAX: usize = 2;
/// Requests on each of the others in whose time the next connection would have been served as well.
const ROUNDS: usize = 20;

#[tokio::test]
async fn one_connection_too_many_is_served_once_another_has_gone() {
    let host = Host::with("a", guest("hello"))
        .settings(&format!("[connections]\nmax = {MAX}\n"))
        .start()
        .await;
    let mut served = Vec::new();
    for _ in 0..MAX {
        let mut connection = host.connect().await;
        assert_eq!(connection.get("/a").await.status(), 200);
        served.push(connection);
    }
    let next = host.begin("/a").await;
    for _ in 0..ROUNDS {
        for connection in &mut served {
            assert_eq!(connection.get("/a").await.status(), 200);
        }
        assert!(!next.is_over(), "{} connections are served", MAX + 1);
    }
    let open = host.metric("skep_connections", &[]).await;
    assert_eq!(open, Some(MAX as f64));
    drop(served.pop());
    assert_eq!(next.finish().await.status(), 200);
    assert_eq!(served[0].get("/a").await.status(), 200);
    host.stop().await;
}
