//! Takes orders, `POST /orders?sku=…&count=…`: sets the goods aside (a function of the inventory), charges the customer (HTTP),
//! and says so (an async function of notifications).

use shop::inventory::stock::{Refusal, release, reserve};
use shop::notifications::outbox::send;
use wasip3::exports::http::handler::Guest;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme};
use wasip3::{spawn_local, wit_future, wit_stream};

wit_bindgen::generate!({ path: "../wit", world: "orders", generate_all });

struct Orders;

wasip3::http::service::export!(Orders);

impl Guest for Orders {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        if !matches!(request.get_method(), Method::Post) {
            return Ok(answer(405, "order with POST /orders?sku=bread&count=1"));
        }
        let target = request.get_path_with_query().unwrap_or_default();
        let sku = query(&target, "sku").unwrap_or_default();
        let count = query(&target, "count").and_then(|count| count.parse().ok());
        let count: u32 = count.unwrap_or(1);
        let left = match reserve(sku, count) {
            Ok(left) => left,
            Err(Refusal::UnknownItem) => return Ok(answer(404, "there is no such item")),
            Err(Refusal::SoldOut) => return Ok(answer(409, "sold out")),
        };
        let (status, paid) = match charge(sku, count).await {
            Ok(200) => (201, "paid"),
            // Payment's fallback: the money is collected later.
            Ok(202) => (202, "to be paid later"),
            Ok(_) | Err(_) => {
                release(sku, count);
                return Ok(answer(
                    503,
                    "nobody takes the money now: nothing was ordered",
                ));
            }
        };
        let text = format!("{count} x {sku}, {paid}; {left} left");
        let number = send("the customer".to_owned(), text.clone()).await;
        Ok(answer(status, &format!("{text} (message {number})")))
    }
}

/// The status of what payment answers.
async fn charge(sku: &str, count: u32) -> Result<u16, ErrorCode> {
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
    let path = format!("/charge?sku={sku}&count={count}");
    request.set_method(&Method::Post).unwrap();
    request.set_scheme(Some(&Scheme::Http)).unwrap();
    request.set_authority(Some("payment.internal")).unwrap();
    let invalid = |()| ErrorCode::HttpRequestUriInvalid;
    request.set_path_with_query(Some(&path)).map_err(invalid)?;
    Ok(client::send(request).await?.get_status_code())
}

fn answer(status: u16, text: &str) -> Response {
    let (mut body, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(contents), trailers);
    response.set_status_code(status).unwrap();
    let text = format!("{text}\n");
    spawn_local(async move { body.write_all(text.into_bytes()).await });
    response
}

fn query<'a>(target: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = target.split_once('?')?;
    let mut pairs = query.split('&');
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}
