//! Instances of wasi:cli commands, served as CGI (RFC 3875): one request in a life, the body on standard input, the
//! answer on standard output.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use http::Response;
use http::request::Parts;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::io::StreamReader;
use wasmtime::Store;
use wasmtime_wasi::cli::{AsyncStdinStream, AsyncStdoutStream};
use wasmtime_wasi::p2::bindings::CommandIndices;
use wasmtime_wasi::{I32Exit, WasiCtxBuilder};
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

use super::instance::Ending;
use super::meter::Bill;
use super::state::State;
use super::{Answer, Job, Life};
use crate::cgi::{self, CgiError, Head, HeadParser, Server, UnfitPath};
use crate::fault::{Cause, Fault};
use crate::request::exchange::Exchange;

/// Bytes that may be under way in a pipe between the guest and the connection.
const PIPE_BYTES: usize = 64 << 10;

pub(super) async fn live(life: &Life, entry: &CommandIndices, job: Box<Job>) {
    let Job {
        request,
        reply,
        exchange,
        errand,
        payer,
        seat,
        guards,
        ..
    } = *job;
    let (parts, body) = request.into_parts();
    let (output, read_output) = tokio::io::duplex(PIPE_BYTES);
    let (write_input, input) = tokio::io::duplex(PIPE_BYTES);
    let mut wasi = match context(&parts, input, output) {
        Ok(wasi) => wasi,
        Err(error) => {
            // Whoever waited may be gone.
            return drop(reply.send(Err(Fault::new(Cause::MalformedRequest, error))));
        }
    };
    let _bill = payer.clone().map(|payer| Bill::begin(payer, &life.meter));
    let mut store = life.store(&mut wasi);
    store.data_mut().works_on(errand);
    // The builder holds nothing of the pipes any more, so that the output ends with the store.
    drop(wasi);
    let ending = Ending::of(&life.instance);
    life.grant(payer.as_ref(), true);
    let program = async {
        let outcome = tokio::select! {
            biased;
            outcome = run(life, entry, &mut store) => outcome,
            never = feed(body, write_input) => match never {},
        };
        if let Err(fault) = &outcome {
            // Before the store goes, and with it the output: what was printed so far is not a whole answer.
            exchange.fault_after_head(fault);
        }
        drop(store);
        outcome
    };
    let (outcome, unanswered) = futures::join!(program, answer(read_output, reply, &exchange));
    if let Some((reply, error)) = unanswered {
        let fault = outcome.err().unwrap_or_else(|| match error {
            CgiError::Empty | CgiError::Cut => Fault::new(Cause::NoResponse, error),
            error => Fault::new(Cause::InvalidResponse, error),
        });
        // Whoever waited may be gone.
        drop(reply.send(Err(fault)));
    }
    ending.well();
    drop((seat, guards));
}

async fn run(life: &Life, entry: &CommandIndices, store: &mut Store<State>) -> Result<(), Fault> {
    let program = &life.program.instance;
    let instance = program.instantiate_async(&mut *store).await;
    let command = match instance.and_then(|instance| entry.load(&mut *store, &instance)) {
        Ok(command) => command,
        Err(error) => return Err(life.fault(&error, store.data(), Cause::InstantiationFailed)),
    };
    match command.wasi_cli_run().call_run(&mut *store).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(())) => Err(Fault::new(
            Cause::GuestTrapped,
            "the program ended with a failure status",
        )),
        Err(error)
            if error
                .downcast_ref::<I32Exit>()
                .is_some_and(|exit| exit.0 == 0) =>
        {
            Ok(())
        }
        Err(error) => Err(life.fault(&error, store.data(), Cause::GuestTrapped)),
    }
}

/// Writes the request's body to the program's input. Does not end before the program does.
async fn feed(body: WasiBody, mut input: DuplexStream) -> Infallible {
    let data = body.into_data_stream().map_err(std::io::Error::other);
    // A body that breaks off is the exchange's to report; a program may leave its input unread.
    drop(tokio::io::copy(&mut StreamReader::new(std::pin::pin!(data)), &mut input).await);
    drop(input);
    std::future::pending().await
}

/// Reads the program's output and answers with it. Gives the reply back if no head came of it, or says why the answer
/// must be cut.
async fn answer(
    mut output: DuplexStream,
    reply: oneshot::Sender<Answer>,
    exchange: &Exchange,
) -> Option<(oneshot::Sender<Answer>, CgiError)> {
    let mut parser = HeadParser::default();
    let mut buffer = BytesMut::new();
    let head = loop {
        buffer.clear();
        if !matches!(output.read_buf(&mut buffer).await, Ok(1..)) {
            break Err(parser.ended());
        }
        match parser.push(&buffer) {
            Ok(None) => {}
            Ok(Some((head, used))) => break Ok((head, buffer.split_off(used).freeze())),
            Err(error) => break Err(error),
        }
    };
    // What is left in the buffer is the head.
    buffer.clear();
    let (head, chunk) = match head {
        Ok((head, chunk)) if head.body_allowed || chunk.is_empty() => (head, chunk),
        refused => {
            drain(output).await;
            return Some((reply, refused.err().unwrap_or(CgiError::UnexpectedBody)));
        }
    };
    let body_allowed = head.body_allowed;
    let (frames, body) = mpsc::channel::<Bytes>(1);
    // Whoever waited may be gone; then the body's receiver is, too.
    drop(reply.send(Ok(response(head, body))));
    let mut chunk = Some(chunk).filter(|chunk| !chunk.is_empty());
    loop {
        if let Some(chunk) = chunk.take() {
            if !body_allowed {
                exchange.fault_after_head(&Fault::new(
                    Cause::InvalidResponse,
                    CgiError::UnexpectedBody,
                ));
            }
            if frames.send(chunk).await.is_err() {
                drain(output).await;
                return None;
            }
        }
        buffer.reserve(PIPE_BYTES);
        match output.read_buf(&mut buffer).await {
            Ok(1..) => chunk = Some(buffer.split().freeze()),
            Ok(0) | Err(_) => return None,
        }
    }
}

/// Lets a program that nobody listens to come to its end.
async fn drain(mut output: DuplexStream) {
    // Fails only when the program is gone.
    drop(tokio::io::copy(&mut output, &mut tokio::io::sink()).await);
}

fn response(head: Head, mut body: mpsc::Receiver<Bytes>) -> Response<WasiBody> {
    let frames = futures::stream::poll_fn(move |cx| body.poll_recv(cx))
        .map(|data| Ok::<_, WasiError>(Frame::data(data)));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

/// Variables for the request, and pipes for input and output.
fn context(
    parts: &Parts,
    input: DuplexStream,
    output: DuplexStream,
) -> Result<WasiCtxBuilder, UnfitPath> {
    // What dispatch has written into the request.
    let header = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let prefix = header("x-forwarded-prefix").unwrap_or("");
    // The client; who passed the request on follows.
    let remote = header("x-forwarded-for").and_then(|chain| chain.split(',').next());
    let remote = remote.and_then(|remote| remote.parse().ok());
    let authority = parts.uri.authority();
    let server = Server {
        name: authority.map_or("localhost", |authority| authority.host()),
        port: authority
            .and_then(|authority| authority.port_u16())
            .unwrap_or(80),
    };
    let mut wasi = WasiCtxBuilder::new();
    for (name, value) in cgi::variables(
        parts,
        prefix,
        remote.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        server,
    )? {
        wasi.env(name, value);
    }
    wasi.stdin(AsyncStdinStream::new(input));
    wasi.stdout(AsyncStdoutStream::new(PIPE_BYTES, output));
    Ok(wasi)
}
