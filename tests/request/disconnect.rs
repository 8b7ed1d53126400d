//! A client that hangs up is not worked for any longer.

use crate::support::client::get;
use crate::support::{Host, fault, guest};

const PATIENT: &str = "[limits]\ntimeout = \"600s\"\ncpu = \"600s\"\nconcurrency = 2\n";

#[tokio::test]
async fn a_guest_stops_when_its_client_is_gone_before_the_answer() {
    for name in ["sleep", "endless_loop"] {
        let host = Host::with("a", fault(name))
            .manifest("a", PATIENT)
            .start()
            .await;
        let one = host.begin("/a").await;
        host.works_on("a", 1).await;
        let mut connection = host.connect_h2().await;
        let two = tokio::spawn(async move { connection.get("/a").await });
        host.works_on("a", 2).await;
        drop(one);
        host.works_on("a", 1).await;
        two.abort();
        host.works_on("a", 0).await;
        let gone = |line: &crate::support::log::Line| line.field("cause") == "caller_gone";
        let line = host.log_line("a request given up", gone).await;
        assert_eq!(line.field("status"), "499");
        assert_eq!(line.field("blame"), "caller");
        host.stop().await;
    }
}

#[tokio::test]
async fn a_guest_stops_when_its_client_is_gone_in_the_answer() {
    let host = Host::with("a", fault("endless_body"))
        .manifest("a", PATIENT)
        .start()
        .await;
    for mut connection in host.both().await {
        let mut reply = connection.open(get("/a")).await.unwrap();
        assert!(reply.chunk().await.is_some());
        drop((reply, connection));
        host.works_on("a", 0).await;
    }
    host.stop().await;
}

#[tokio::test]
async fn a_stream_that_is_reset_is_not_worked_for_and_the_others_are() {
    let host = Host::with("a", fault("sleep"))
        .manifest("a", PATIENT)
        .and("b", guest("hello"))
        .start()
        .await;
    let mut connection = host.connect_h2().await;
    {
        let mut request = std::pin::pin!(connection.open(get("/a")));
        tokio::select! {
            reply = &mut request => panic!("{reply:?}"),
            () = host.works_on("a", 1) => {}
        }
    }
    host.works_on("a", 0).await;
    assert_eq!(connection.get("/b").await.status(), 200);
    host.stop().await;
}
