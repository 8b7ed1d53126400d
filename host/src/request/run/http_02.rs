//! Instances of wasi:http 0.2 proxies: one request at a time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Request;
use tokio::sync::oneshot;
use tokio::time::timeout;
use wasmtime::Store;
use wasmtime::component::Instance;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::bindings::{Proxy, ProxyIndices};
use wasmtime_wasi_http::p2::body::{HostOutgoingBody, StreamContext};
use wasmtime_wasi_http::{WasiBody, WasiHttpView};

use super::functions::Invocation;
use super::instance::Ending;
use super::meter::Bill;
use super::queue::Queue;
use super::state::{self, State};
use super::{Answer, Job, Life};
use crate::capability::output::{LogStream, Stream};
use crate::fault::{Cause, Fault};

/// How long an instance without work is kept.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(10);

pub(super) async fn live(life: &Life, entry: &ProxyIndices, first: Box<Job>, mut queue: Queue) {
    let mut wasi = WasiCtxBuilder::new();
    wasi.stdout(LogStream::new(Stream::Stdout, life.revision.output.clone()));
    let mut store = life.store(&mut wasi);
    life.grant(first.payer.as_ref(), true);
    let program = &life.program.instance;
    let instance = program.instantiate_async(&mut store).await;
    let loaded = instance.and_then(|instance| {
        let proxy = entry.load(&mut store, &instance)?;
        Ok((instance, proxy))
    });
    let guest = match loaded {
        Ok(guest) => guest,
        Err(error) => {
            let fault = life.fault(&error, store.data(), Cause::InstantiationFailed);
            // Whoever waited may be gone.
            drop(first.reply.send(Err(fault)));
            return;
        }
    };
    let ending = Ending::of(&life.instance);
    let mut next = Some(first);
    while let Some(job) = next {
        if !serve(life, &mut store, &guest, job).await {
            break;
        }
        if !life.stays_open() {
            close(life, &mut queue);
        }
        if queue.is_over() {
            break;
        }
        next = match timeout(IDLE_MAX, queue.next()).await {
            Ok(next) => next,
            Err(_) => {
                close(life, &mut queue);
                queue.next().await
            }
        };
        let payer = next.as_ref().and_then(|job| job.payer.as_ref());
        life.grant(payer, true);
        state::rearm(&mut store);
    }
    ending.well();
}

/// No more jobs come; those that are in the queue already are to be served.
pub(super) fn close(life: &Life, queue: &mut Queue) {
    life.instance.shut();
    queue.close();
}

/// Whether the guest is fit for another request.
async fn serve(
    life: &Life,
    store: &mut Store<State>,
    (instance, proxy): &(Instance, Proxy),
    job: Box<Job>,
) -> bool {
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
    let _bill = payer.map(|payer| Bill::begin(payer, &life.meter));
    store.data_mut().works_on(errand);
    let reply = Reply::new(reply);
    let result = match Invocation::of(&request) {
        Some(invocation) => {
            let functions = &life.program.functions;
            let called = invocation.call(functions, store, instance).await;
            called.map(|answer| reply.send(Ok(answer)))
        }
        None => handle(store, proxy, request, &reply).await,
    };
    let fit = match result {
        Ok(()) => {
            reply.send(Err(Cause::NoResponse.into()));
            let unfinished = abort_unfinished(store);
            if unfinished {
                // Before its seat is free: the next request would find nobody.
                life.instance.shut();
            }
            if let Some(seat) = seat.as_ref().filter(|_| !unfinished) {
                seat.finish();
            }
            !unfinished
        }
        Err(error) => {
            let fault = life.fault(&error, store.data(), Cause::GuestTrapped);
            exchange.fault_after_head(&fault);
            reply.send(Err(fault));
            false
        }
    };
    drop((seat, guards));
    fit
}

/// Has the guest answer the request.
async fn handle(
    store: &mut Store<State>,
    proxy: &Proxy,
    request: Request<WasiBody>,
    reply: &Reply,
) -> wasmtime::Result<()> {
    let reply = reply.clone();
    let mut http = store.data_mut().http();
    let scheme = match request.uri().scheme_str() {
        Some("https") => Scheme::Https,
        _ => Scheme::Http,
    };
    let request = http.new_incoming_request(scheme, request)?;
    let outparam = http.new_response_outparam_from_callback(move |response| {
        reply.send(response.map_err(|code| {
            Fault::new(
                Cause::GuestTrapped,
                format!("the guest answered with an error: {code:?}"),
            )
        }));
    })?;
    proxy
        .wasi_http_incoming_handler()
        .call_handle(&mut *store, request, outparam)
        .await
}

/// Cuts every body that the guest has left unfinished, of which there should be none: when the store goes, it would
/// look as if it were whole.
fn abort_unfinished(store: &mut Store<State>) -> bool {
    let mut any = false;
    let left = store.data_mut().http().table.iter_mut();
    for body in left.filter_map(|resource| resource.downcast_mut::<HostOutgoingBody>()) {
        let (nothing, _) = HostOutgoingBody::new(StreamContext::Response, None, 1, 1);
        std::mem::replace(body, nothing).abort();
        any = true;
    }
    any
}

/// Answers once; what comes later is ignored.
#[derive(Clone)]
struct Reply(Arc<Mutex<Option<oneshot::Sender<Answer>>>>);

impl Reply {
    fn new(reply: oneshot::Sender<Answer>) -> Self {
        Self(Arc::new(Mutex::new(Some(reply))))
    }

    fn send(&self, answer: Answer) {
        if let Some(reply) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Whoever waited may be gone.
            drop(reply.send(answer));
        }
    }
}
