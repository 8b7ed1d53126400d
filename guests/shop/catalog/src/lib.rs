//! What the shop sells, a line an item: its number, its price in cents and its name, with tabs between.

use std::io::Write as _;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

const ITEMS: &str = "\
bread\t350\tA loaf of bread
honey\t720\tA jar of honey
skep\t4900\tA basket for bees
";

struct Catalog;

wasip2::http::proxy::export!(Catalog);

impl Guest for Catalog {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let headers = Fields::new();
        let table = [b"text/tab-separated-values; charset=utf-8".to_vec()];
        headers.set("content-type", &table).unwrap();
        let response = OutgoingResponse::new(headers);
        let body = response.body().unwrap();
        ResponseOutparam::set(out, Ok(response));
        let mut stream = body.write().unwrap();
        let sent = stream.write_all(ITEMS.as_bytes());
        drop(stream);
        // Whoever asked may be gone.
        if sent.is_ok() {
            let _ = OutgoingBody::finish(body, None);
        }
    }
}
