//! Charges customers, `POST /charge?sku=…&count=…`. How it goes is up to the variable BEHAVIOUR of its manifest: `well`,
//! or for the drill `trap`, `hang` or `slow`.

use std::io::Write as _;

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

const HANG_NS: u64 = 3_600_000_000_000;
const SLOW_NS: u64 = 400_000_000;

struct Payment;

wasip2::http::proxy::export!(Payment);

impl Guest for Payment {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        match std::env::var("BEHAVIOUR").as_deref() {
            Ok("trap") => panic!("the card reader is on fire"),
            Ok("hang") => subscribe_duration(HANG_NS).block(),
            Ok("slow") => subscribe_duration(SLOW_NS).block(),
            _ => {}
        }
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().unwrap();
        ResponseOutparam::set(out, Ok(response));
        let mut stream = body.write().unwrap();
        let sent = stream.write_all(b"paid");
        drop(stream);
        // Whoever asked may be gone.
        if sent.is_ok() {
            let _ = OutgoingBody::finish(body, None);
        }
    }
}
