//! With `[trust] keys`, only components that one of them signed are deployed.

use crate::support::operator::put;
use crate::support::signer::Signer;
use crate::support::{Host, guest};

#[tokio::test]
async fn what_is_not_signed_is_not_deployed() {
    let (ours, theirs) = (Signer::new(), Signer::new());
    let host = Host::with("drop", guest("hello"))
        .settings(&ours.trusted())
        .start()
        .await;
    host.refused_with("drop", "it is not signed").await;
    // The signature comes later than the component.
    host.put("drop.wasm.sig", ours.sign(&guest("hello")));
    host.promoted("drop", 1).await;

    // What was vouched for once is known.
    let (hello, echo) = (guest("hello"), guest("echo"));
    assert_eq!(host.ask(put("same", &[], &hello)).await.status(), 200);
    let sent = host.ask(put("sent", &[], &echo)).await;
    assert_eq!(sent.status(), 422, "{}", sent.text());
    for signature in [theirs.sign(&echo), ours.sign(&hello), "nonsense".to_owned()] {
        let sent = host
            .ask(put("sent", &[("signature", &signature)], &echo))
            .await;
        assert_eq!(sent.status(), 422);
        assert!(
            sent.text().contains("by none of the [trust] keys"),
            "{}",
            sent.text()
        );
    }
    let signature = ours.sign(&echo);
    let sent = host
        .ask(put("sent", &[("signature", &signature)], &echo))
        .await;
    assert_eq!(sent.status(), 200, "{}", sent.text());
    assert_eq!(host.get("/sent").await.status(), 200);
    host.stop().await;
}
