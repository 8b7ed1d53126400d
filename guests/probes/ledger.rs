//! Functions without HTTP, plain and async ones.

wit_bindgen::generate!({ path: "fixtures/wit", world: "provider" });

struct Ledger;

export!(Ledger);
fixtures::ledger!(Ledger);

impl exports::test::ledger::waiting::Guest for Ledger {
    async fn wait(ms: u32) -> u32 {
        fixtures::p3::wait_ms(ms.into()).await;
        ms
    }
}
