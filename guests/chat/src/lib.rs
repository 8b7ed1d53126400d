//! Who connects by WebSocket is told an id, and sends messages to other ids; the service itself remembers nobody. Other
//! requests get a page for it.
//!
//! A message is `ID TEXT`, or `bye`. The host speaks WebSocket: here all are requests and answers.

use wasip3::exports::http::handler::Guest;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme};
use wasip3::{spawn_local, wit_future, wit_stream};

const PAGE: &str = include_str!("page.html");
const TEXT: &str = "text/plain; charset=utf-8";

struct Chat;

wasip3::http::service::export!(Chat);

impl Guest for Chat {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let id = header(&request, "x-skep-connection");
        Ok(match header(&request, "x-skep-websocket").as_str() {
            "connect" => {
                send(&id, &format!("you are {id}")).await;
                answer(TEXT, String::new())
            }
            "message" => answer(TEXT, message(&id, &read(request).await).await),
            "disconnect" => answer(TEXT, String::new()),
            _ => answer("text/html; charset=utf-8", PAGE.to_owned()),
        })
    }
}

/// Does what a message says; what the sender is told of it.
async fn message(id: &str, text: &str) -> String {
    if text == "bye" {
        order(&Method::Delete, id, "").await;
        return "see you".to_owned();
    }
    let Some((to, words)) = text.split_once(' ') else {
        return "say an id and a message, or bye".to_owned();
    };
    match send(to, &format!("{id}: {words}")).await {
        202 => "sent".to_owned(),
        404 | 410 => "nobody is there".to_owned(),
        status => format!("not sent: {status}"),
    }
}

/// Sends a message to a connection.
async fn send(id: &str, text: &str) -> u16 {
    order(&Method::Post, id, text).await
}

/// Has the host do something with a connection; the status of its answer.
async fn order(method: &Method, id: &str, text: &str) -> u16 {
    let headers = Fields::new();
    headers.set("content-type", &[TEXT.into()]).unwrap();
    let (mut body, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(headers, Some(contents), trailers, None);
    request.set_method(method).unwrap();
    request.set_scheme(Some(&Scheme::Http)).unwrap();
    request.set_authority(Some("websocket.internal")).unwrap();
    let path = format!("/{id}");
    if request.set_path_with_query(Some(&path)).is_err() {
        return 404;
    }
    let text = text.as_bytes().to_vec();
    spawn_local(async move {
        body.write_all(text).await;
    });
    let response = client::send(request).await;
    response.map_or(502, |response| response.get_status_code())
}

async fn read(request: Request) -> String {
    let (_, handled) = wit_future::new(|| Ok(()));
    let (contents, _trailers) = Request::consume_body(request, handled);
    String::from_utf8_lossy(&contents.collect().await).into_owned()
}

fn answer(media_type: &str, text: String) -> Response {
    let headers = Fields::new();
    headers.set("content-type", &[media_type.into()]).unwrap();
    let (mut body, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(headers, Some(contents), trailers);
    spawn_local(async move {
        body.write_all(text.into_bytes()).await;
    });
    response
}

fn header(request: &Request, name: &str) -> String {
    let values = request.get_headers().get(name);
    let first = values.into_iter().next().unwrap_or_default();
    String::from_utf8_lossy(&first).into_owned()
}
