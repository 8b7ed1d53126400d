//! The page that shoppers see: what the catalog says (HTTP), and what is left of it (a function of the inventory).

use std::fmt::Write as _;

use shop::inventory::stock::levels;
use wasip3::exports::http::handler::Guest;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use wasip3::{spawn_local, wit_future, wit_stream};

wit_bindgen::generate!({ path: "../wit", world: "storefront", generate_all });

struct Storefront;

wasip3::http::service::export!(Storefront);

impl Guest for Storefront {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let catalog = catalog().await?;
        let levels = levels();
        let mut page = "<!doctype html>\n<title>The shop</title>\n<ul>\n".to_owned();
        for item in catalog.lines() {
            let mut parts = item.split('\t');
            let (sku, cents, name) = (parts.next(), parts.next(), parts.next());
            let (Some(sku), Some(cents), Some(name)) = (sku, cents, name) else {
                continue;
            };
            let cents: u32 = cents.parse().unwrap_or(0);
            let left = levels.iter().find(|level| level.sku == sku);
            let left = left.map_or(0, |level| level.left);
            let (whole, rest) = (cents / 100, cents % 100);
            let _ = writeln!(page, "<li>{name}, {whole}.{rest:02}: {left} left");
        }
        page += "</ul>\n";
        Ok(html(page))
    }
}

async fn catalog() -> Result<String, ErrorCode> {
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
    request.set_scheme(Some(&Scheme::Http)).unwrap();
    request.set_authority(Some("catalog.internal")).unwrap();
    request.set_path_with_query(Some("/")).unwrap();
    let response = client::send(request).await?;
    let (_, handled) = wit_future::new(|| Ok(()));
    let (body, _trailers) = Response::consume_body(response, handled);
    Ok(String::from_utf8_lossy(&body.collect().await).into_owned())
}

fn html(page: String) -> Response {
    let headers = Fields::new();
    let html = [b"text/html; charset=utf-8".to_vec()];
    headers.set("content-type", &html).unwrap();
    let (mut body, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(headers, Some(contents), trailers);
    spawn_local(async move { body.write_all(page.into_bytes()).await });
    response
}
