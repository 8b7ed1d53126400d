//! Does with WebSockets what their messages say, and prints a line for each event: `EVENT ID`, and what there is to say of
//! it. A message that says nothing known comes back as it is.

use fixtures::p3::wasip3::http::client;
use fixtures::p3::wasip3::http::types::{Method, Scheme};
use fixtures::p3::wasip3::{wit_future, wit_stream};
use fixtures::p3::{self, ErrorCode, Fields, Request, Response};
use fixtures::query;

fixtures::serve_p3!(handle);

const TEXT: &str = "text/plain; charset=utf-8";

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let target = p3::target(&request);
    let event = header(&request, "x-skep-websocket");
    let id = header(&request, "x-skep-connection");
    match event.as_str() {
        "connect" => {
            println!("connect {id} {target}");
            Ok(connect(&target, &id).await)
        }
        "disconnect" => {
            println!("disconnect {id} {}", header(&request, "x-skep-close-code"));
            Ok(p3::answer(String::new()))
        }
        "message" => Ok(message(request, &id).await),
        _ => {
            let to = query::get(&target, "to").unwrap_or_default();
            let text = query::get(&target, "text").unwrap_or_else(|| format!("{event}{id}none"));
            let status = order(&Method::Post, &to, Some(TEXT), text.as_bytes()).await;
            Ok(p3::answer(format!("{status}")))
        }
    }
}

/// Answers as the query says.
async fn connect(target: &str, id: &str) -> Response {
    if query::get(target, "welcome").is_some() {
        order(&Method::Post, id, Some(TEXT), b"welcome").await;
    }
    p3::wait_ms(query::number(target, "wait", 0)).await;
    let response = p3::answer("this is for nobody, or why not".to_owned());
    let status = query::number(target, "status", 200);
    let _ = response.set_status_code(status as u16);
    // Those of a response can be changed until it is sent.
    if let Some(protocol) = query::get(target, "protocol") {
        return with_protocol(&protocol);
    }
    response
}

fn with_protocol(protocol: &str) -> Response {
    let headers = Fields::new();
    let values = [protocol.as_bytes().to_vec()];
    headers.set("sec-websocket-protocol", &values).unwrap();
    headers.set("x-of-service", &[b"1".to_vec()]).unwrap();
    let (_, trailers) = wit_future::new(|| Ok(None));
    Response::new(headers, None, trailers).0
}

async fn message(request: Request, id: &str) -> Response {
    let content_type = header(&request, "content-type");
    let target = p3::target(&request);
    let named = |name: &str| header(&request, name);
    let asked = [
        ("cookie", named("cookie")),
        ("x-forwarded-for", named("x-forwarded-for")),
        ("sec-websocket-protocol", named("sec-websocket-protocol")),
        ("sec-websocket-key", named("sec-websocket-key")),
        ("content-type", named("content-type")),
        ("x-own", named("x-own")),
        ("accept-encoding", named("accept-encoding")),
        ("range", named("range")),
        ("if-none-match", named("if-none-match")),
    ];
    let body = read(request).await;
    let text = String::from_utf8_lossy(&body).into_owned();
    println!(
        "message {id} {} {}",
        body.len(),
        text.get(..64).unwrap_or(&text)
    );
    let words: Vec<&str> = text.splitn(3, ' ').collect();
    let number = |at: usize| {
        words
            .get(at)
            .and_then(|word| word.parse::<u64>().ok())
            .unwrap_or(0)
    };
    match words[..] {
        ["id"] => answer(200, TEXT, id.into()),
        ["target"] => answer(200, TEXT, target.into()),
        ["revision"] => answer(
            200,
            TEXT,
            std::env::var("REVISION").unwrap_or_default().into(),
        ),
        ["header", name] => {
            let found = asked.iter().find(|(known, _)| *known == name);
            answer(200, TEXT, found.map_or("", |(_, value)| value).into())
        }
        ["push", to, rest] => said(order(&Method::Post, to, Some(TEXT), rest.as_bytes()).await),
        ["look", to] => said(order(&Method::Get, to, None, b"").await),
        ["close", to, code] => said(order(&Method::Delete, to, Some(code), b"").await),
        ["flood", ..] => {
            let bytes = vec![b'x'; number(2) as usize];
            let mut last = 0;
            for _ in 0..number(1) {
                last = order(&Method::Post, id, Some(TEXT), &bytes).await;
            }
            said(last)
        }
        ["status", _] => answer(number(1) as u16, TEXT, "no".into()),
        ["silent"] => answer(204, TEXT, Vec::new()),
        ["trap"] => panic!("as asked"),
        ["wait", _] => {
            p3::wait_ms(number(1)).await;
            answer(200, TEXT, "waited".into())
        }
        ["big", _] => answer(200, TEXT, vec![b'x'; number(1) as usize]),
        ["coded", coding] => coded(coding),
        ["nonsense"] => answer(200, TEXT, vec![0xff]),
        _ => answer(200, &content_type, body),
    }
}

fn said(status: u16) -> Response {
    answer(200, TEXT, status.to_string().into_bytes())
}

fn answer(status: u16, content_type: &str, body: Vec<u8>) -> Response {
    let headers = Fields::new();
    headers.set("content-type", &[content_type.into()]).unwrap();
    let (mut writer, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(headers, Some(contents), trailers);
    let _ = response.set_status_code(status);
    fixtures::p3::wasip3::spawn_local(async move {
        writer.write_all(body).await;
    });
    response
}

/// An answer that is said to be in a content coding.
fn coded(coding: &str) -> Response {
    let headers = Fields::new();
    headers.set("content-type", &[TEXT.into()]).unwrap();
    headers.set("content-encoding", &[coding.into()]).unwrap();
    let (mut writer, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(headers, Some(contents), trailers);
    fixtures::p3::wasip3::spawn_local(async move {
        writer.write_all(b"coded".to_vec()).await;
    });
    response
}

/// Orders something about a connection; what is said is the media type of a message, or the code of a close.
async fn order(method: &Method, id: &str, said: Option<&str>, body: &[u8]) -> u16 {
    let headers = Fields::new();
    let name = match method {
        Method::Delete => "x-skep-close-code",
        _ => "content-type",
    };
    if let Some(said) = said {
        headers.set(name, &[said.into()]).unwrap();
    }
    let (mut writer, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(headers, Some(contents), trailers, None);
    request.set_method(method).unwrap();
    request.set_scheme(Some(&Scheme::Http)).unwrap();
    request.set_authority(Some("websocket.internal")).unwrap();
    request
        .set_path_with_query(Some(&format!("/{id}")))
        .unwrap();
    let body = body.to_vec();
    fixtures::p3::wasip3::spawn_local(async move {
        writer.write_all(body).await;
    });
    match client::send(request).await {
        Ok(response) => response.get_status_code(),
        Err(_) => 0,
    }
}

async fn read(request: Request) -> Vec<u8> {
    let (_, handled) = wit_future::new(|| Ok(()));
    let (contents, _trailers) = Request::consume_body(request, handled);
    contents.collect().await
}

fn header(request: &Request, name: &str) -> String {
    let values = request.get_headers().get(name);
    let first = values.into_iter().next().unwrap_or_default();
    String::from_utf8_lossy(&first).into_owned()
}
