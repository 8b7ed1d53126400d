//! As `told`, with 0.3: answers with the time, random numbers, its request's body, and what comes of fetching `?to=`, an
//! authority and a path. A variable `DIFFERS` changes the body.

use fixtures::p3::wasip3::clocks::{monotonic_clock, system_clock};
use fixtures::p3::wasip3::http::client;
use fixtures::p3::wasip3::http::types::Scheme;
use fixtures::p3::wasip3::random::{insecure, random};
use fixtures::p3::wasip3::wit_future;
use fixtures::p3::{self, ErrorCode, Fields, Request, Response};
use fixtures::query;

fixtures::serve_p3!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let target = p3::target(&request);
    let mut text = format!("{:?} {target}\n", request.get_method());
    let now = system_clock::now();
    text += &format!("{}.{}\n", now.seconds, now.nanoseconds);
    text += &format!("{}\n", monotonic_clock::now());
    text += &format!(
        "{} {}\n",
        random::get_random_u64(),
        insecure::get_insecure_random_u64()
    );
    let (_, handled) = wit_future::new(|| Ok(()));
    let (body, _trailers) = Request::consume_body(request, handled);
    text += &String::from_utf8_lossy(&body.collect().await);
    if let Some(to) = query::get(&target, "to") {
        text += &fetch(&to).await?;
    }
    text += &std::env::var("DIFFERS").unwrap_or_default();
    Ok(p3::answer(text))
}

async fn fetch(to: &str) -> Result<String, ErrorCode> {
    let (authority, path) = to.split_at(to.find('/').unwrap_or(to.len()));
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
    request.set_scheme(Some(&Scheme::Http)).unwrap();
    request.set_authority(Some(authority)).unwrap();
    request.set_path_with_query(Some(path)).unwrap();
    let response = client::send(request).await?;
    let (_, handled) = wit_future::new(|| Ok(()));
    let (body, _trailers) = Response::consume_body(response, handled);
    Ok(String::from_utf8_lossy(&body.collect().await).into_owned())
}
